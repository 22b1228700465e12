/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual counter: under `-icount shift=0` and at 1 GHz a tick is an executed instruction. */
#ifndef BENCH_COUNTER_H
#define BENCH_COUNTER_H

#include <stdint.h>

static inline uint64_t counter_read(void)
{
    uint64_t ticks;

    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
}

#endif
