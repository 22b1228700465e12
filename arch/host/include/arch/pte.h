/* SPDX-License-Identifier: Apache-2.0 */
/* Translation table entries: see arch/arm64/include/arch/pte.h. Each store is an event. */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#include "arch/fake.h"
#include <stdint.h>

typedef uint64_t pte_t;

static inline void pte_write(pte_t *at, uint64_t value)
{
    fake_pte_write(at, value);
}

static inline uint64_t pte_read(const pte_t *at)
{
    return fake_pte_read(at);
}

#endif
