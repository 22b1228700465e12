/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Translation table entries. The walker of any CPU may read an entry at any time, so that an
 * entry is only ever read and written whole, by one access.
 */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#include <stdint.h>

typedef uint64_t pte_t;

static inline void pte_write(pte_t *at, uint64_t value)
{
    *(volatile pte_t *)at = value;
}

static inline uint64_t pte_read(const pte_t *at)
{
    return *(const volatile pte_t *)at;
}

#endif
