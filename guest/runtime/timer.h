/* SPDX-License-Identifier: Apache-2.0 */
/* Generic timer, in counts of its own frequency. */
#ifndef RUNTIME_TIMER_H
#define RUNTIME_TIMER_H

#include "arm.h"

#define TIMER_ENABLE BIT(0)
#define TIMER_IMASK BIT(1)
#define TIMER_ISTATUS BIT(2)

static inline uint64_t timer_frequency(void)
{
    return read_sysreg(cntfrq_el0);
}

static inline uint64_t timer_from_us(uint64_t us)
{
    return us * timer_frequency() / 1000000u;
}

static inline uint64_t timer_to_us(uint64_t ticks)
{
    return ticks * 1000u / (timer_frequency() / 1000u);
}

/* The virtual timer fires at `cval` of CNTVCT. */
static inline void timer_virt_arm(uint64_t cval)
{
    write_sysreg(cval, cntv_cval_el0);
    write_sysreg(TIMER_ENABLE, cntv_ctl_el0);
    isb();
}

static inline void timer_virt_stop(void)
{
    write_sysreg(0, cntv_ctl_el0);
    isb();
}

static inline void timer_spin_us(uint64_t us)
{
    uint64_t end = counter_virt() + timer_from_us(us);

    while (counter_virt() < end) {
        cpu_relax();
    }
}

#endif
