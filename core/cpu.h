/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A physical CPU. TPIDR_EL2 holds its address on each CPU, from before the first C code.
 */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include "arch/sysreg.h"
#include "bothy/types.h"

struct vcpu;

#define CPU_MAX 8

/* Requests from other CPUs, in cpu->requests; a physical SGI makes the CPU look. */
#define CPU_REQ_RESCHED 1u /* something more urgent may be runnable */
#define CPU_REQ_FOLD 2u    /* fold the list registers of the loaded vCPU to memory */
#define CPU_REQ_VGIC 4u    /* the loaded vCPU has something new to deliver */

struct cpu {
    uint64_t stack_top;     /* used by vectors.S: keep first */
    struct vcpu *loaded;    /* whose EL1 state, list registers and timer are in this CPU, or NULL */
    struct vcpu *running;   /* whom the scheduler has put here: loaded, or about to be */
    struct vcpu *fp_owner;  /* whose FP registers are in this CPU, or NULL */
    uint64_t mpidr;         /* affinity fields only */
    uint32_t id;            /* 0.. in boot order */
    uint32_t requests;      /* atomic; CPU_REQ_* */
    uint64_t slice_end;     /* CNTPCT at which the time slice ends, or UINT64_MAX */
    uint64_t next_wake;     /* CNTPCT of the first timer that this CPU keeps for others */
    uint64_t timer_at;      /* CNTHP_CVAL_EL2 as last written, UINT64_MAX if off */
    uint32_t fold_wanted;   /* atomic: counts requests to fold ... */
    uint32_t fold_done;     /* atomic: ... and how many of them have been served */
    bool online;            /* atomic */
    bool idle;              /* under sched.lock */
};

/* The CPU that executes this. */
static inline struct cpu *cpu_this(void)
{
    return (struct cpu *)(uintptr_t)read_tpidr_el2();
}

#endif
