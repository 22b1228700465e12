/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barriers and hints. Each is a compiler barrier too. The Arm ARM's names: ISH is the inner
 * shareable domain (all CPUs), NSH this CPU, ST orders stores only.
 */
#ifndef ARCH_BARRIER_H
#define ARCH_BARRIER_H

static inline void dsb_sy(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

static inline void dsb_ish(void)
{
    __asm__ volatile("dsb ish" : : : "memory");
}

static inline void dsb_ishst(void)
{
    __asm__ volatile("dsb ishst" : : : "memory");
}

static inline void dsb_nsh(void)
{
    __asm__ volatile("dsb nsh" : : : "memory");
}

static inline void dsb_nshst(void)
{
    __asm__ volatile("dsb nshst" : : : "memory");
}

static inline void dmb_sy(void)
{
    __asm__ volatile("dmb sy" : : : "memory");
}

static inline void dmb_ish(void)
{
    __asm__ volatile("dmb ish" : : : "memory");
}

static inline void dmb_ishst(void)
{
    __asm__ volatile("dmb ishst" : : : "memory");
}

static inline void isb(void)
{
    __asm__ volatile("isb" : : : "memory");
}

/* In a loop that polls memory. */
static inline void cpu_relax(void)
{
    __asm__ volatile("yield" : : : "memory");
}

/* Sleep until an interrupt is pending, masked or not. */
static inline void cpu_wfi(void)
{
    __asm__ volatile("dsb sy\n\twfi" : : : "memory");
}

/* Sleep until an event or an interrupt. */
static inline void cpu_wfe(void)
{
    __asm__ volatile("wfe" : : : "memory");
}

/* Wake the CPUs that wait in WFE, after our stores are visible to them. */
static inline void cpu_sev(void)
{
    __asm__ volatile("dsb ishst\n\tsev" : : : "memory");
}

/* Mask everything and stop this CPU for good. */
_Noreturn static inline void cpu_halt(void)
{
    __asm__ volatile("msr daifset, #15" : : : "memory");
    for (;;) {
        cpu_wfi();
    }
}

#endif
