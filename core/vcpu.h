/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual CPU. Its register frame comes first: vectors.S addresses it through SP_EL2 while the
 * guest runs. While the vCPU is loaded, everything but the frame lives in the CPU's registers.
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include "bothy/fp_state.h"
#include "bothy/types.h"
#include "core/sched_entity.h"
#include "core/vgic.h"
#include "core/vtimer.h"

struct vm;
struct cpu;

struct vcpu_regs {
    uint64_t x[31];
    uint64_t pc;
    uint64_t pstate;
    uint64_t stack; /* SP_EL2 to use after an exit: the CPU's stack, written at switch-in */
};

/* EL1 and EL0 system registers that follow the vCPU, in the order of switch.c's table. */
struct vcpu_sysregs {
    uint64_t sctlr, actlr, cpacr, ttbr0, ttbr1, tcr, esr, afsr0, afsr1, far, par, mair, amair;
    uint64_t vbar, contextidr, tpidr_el0, tpidrro_el0, tpidr_el1, sp_el0, sp_el1, elr, spsr;
    uint64_t cntkctl, csselr, disr;
    uint64_t apkey[10]; /* APIA, APIB, APDA, APDB, APGA: lo, hi */
};

enum vcpu_power {
    VCPU_OFF,        /* never started, or CPU_OFF */
    VCPU_ON_PENDING, /* CPU_ON accepted, not yet entered */
    VCPU_ON,
};

/* Exits, counted by reason. */
enum exit_reason {
    EXIT_IRQ,
    EXIT_HVC,
    EXIT_SMC,
    EXIT_SYSREG,
    EXIT_DATA_ABORT_GIC,
    EXIT_DATA_ABORT_DEVICE,
    EXIT_DATA_ABORT_RAM,
    EXIT_INSTRUCTION_ABORT,
    EXIT_WFX,
    EXIT_FP,
    EXIT_OTHER,
    EXIT_REASON_COUNT,
};

struct vcpu_debug {
    uint64_t mdscr;
    uint64_t bvr[16], bcr[16], wvr[16], wcr[16];
    bool os_locked;
    bool in_hardware; /* the guest uses them: they are loaded and not trapped */
};

struct vcpu {
    struct vcpu_regs regs; /* first: see vectors.S */

    struct vm *vm;
    uint32_t id;
    uint32_t mpidr; /* affinity fields as the guest sees them */

    uint64_t hcr;   /* HCR_EL2 while it runs */
    uint64_t vmpidr;
    uint64_t vsesr; /* syndrome of the virtual SError that is pending if hcr has VSE */
    struct vcpu_sysregs sys;
    struct vcpu_debug debug;
    struct vcpu_vgic vgic;
    struct vcpu_vtimer timer;
    struct sched_entity sched;

    uint32_t power;        /* enum vcpu_power, atomic: PSCI may look from another vCPU */
    uint64_t start_pc;     /* CPU_ON's entry point and context, valid while VCPU_ON_PENDING */
    uint64_t start_x0;

    struct cpu *loaded_on; /* atomic: the CPU that has its state in registers, or NULL */
    ipa_t flush_cursor;    /* flush_memory: where to go on; 0 if none is under way */
    struct cpu *fp_cpu;    /* the CPU whose FP registers are ours, if its fp_owner says so too */
    uint64_t stolen_since; /* CNTPCT when it became runnable but did not run, 0 otherwise */
    uint64_t stolen_ticks; /* PV time: DEN0057 */
    ipa_t pv_time;         /* its stolen-time structure */
    uint64_t exits[EXIT_REASON_COUNT];
    struct fp_state fp;
};

#endif
