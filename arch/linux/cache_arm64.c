/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that maps memory as Device reads past the caches, unless the CPU has FEAT_S2FWB. Linux
 * lets EL0 clean lines (SCTLR_EL1.UCI) and read their size (SCTLR_EL1.UCT, or emulated).
 */
#include "arch/cache.h"
#include <stdint.h>

#define CTR_DMINLINE_SHIFT 16
#define CTR_DMINLINE_MASK 0xfu
#define WORD_SIZE 4u

void cache_clean(const void *from, size_t size)
{
    uint64_t ctr;
    uintptr_t line;
    uintptr_t at;

    __asm__ volatile("mrs %0, ctr_el0" : "=r"(ctr));
    line = (uintptr_t)WORD_SIZE << (ctr >> CTR_DMINLINE_SHIFT & CTR_DMINLINE_MASK);
    for (at = (uintptr_t)from & ~(line - 1); at < (uintptr_t)from + size; at += line) {
        __asm__ volatile("dc cvac, %0" : : "r"(at) : "memory");
    }
    /* Before the guest goes on, which may be on another CPU. */
    __asm__ volatile("dsb ish" : : : "memory");
}
