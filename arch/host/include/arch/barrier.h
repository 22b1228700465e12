/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barriers and hints: see arch/arm64/include/arch/barrier.h. Each is an event, but for cpu_relax();
 * barriers are real ones between threads too.
 */
#ifndef ARCH_BARRIER_H
#define ARCH_BARRIER_H

#include "arch/fake.h"

static inline void dsb_sy(void)
{
    fake_barrier(FAKE_DSB, FAKE_SY);
}

static inline void dsb_ish(void)
{
    fake_barrier(FAKE_DSB, FAKE_ISH);
}

static inline void dsb_ishst(void)
{
    fake_barrier(FAKE_DSB, FAKE_ISHST);
}

static inline void dsb_nsh(void)
{
    fake_barrier(FAKE_DSB, FAKE_NSH);
}

static inline void dsb_nshst(void)
{
    fake_barrier(FAKE_DSB, FAKE_NSHST);
}

static inline void dmb_sy(void)
{
    fake_barrier(FAKE_DMB, FAKE_SY);
}

static inline void dmb_ish(void)
{
    fake_barrier(FAKE_DMB, FAKE_ISH);
}

static inline void dmb_ishst(void)
{
    fake_barrier(FAKE_DMB, FAKE_ISHST);
}

static inline void isb(void)
{
    fake_log_add(FAKE_ISB, 0, 0, 0);
}

static inline void cpu_relax(void)
{
    fake_relax();
}

static inline void cpu_wfi(void)
{
    fake_log_add(FAKE_HINT, FAKE_WFI, 0, 0);
}

static inline void cpu_wfe(void)
{
    fake_log_add(FAKE_HINT, FAKE_WFE, 0, 0);
}

static inline void cpu_sev(void)
{
    fake_log_add(FAKE_HINT, FAKE_SEV, 0, 0);
}

_Noreturn static inline void cpu_halt(void)
{
    fake_halt();
}

#endif
