/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic timers of a vCPU (Arm ARM D12).
 *
 * The virtual timer is the CPU's own while the vCPU is loaded, and its interrupt a hardware-linked
 * list register. The physical timer and counter are trapped and emulated. Both count from the VM's
 * start: CNTVOFF_EL2 = vm->cntvoff, and the emulated CNTPCT shows the same count.
 */
#ifndef CORE_VTIMER_H
#define CORE_VTIMER_H

#include "bothy/types.h"
#include "core/trap_result.h"

struct vcpu;

#define VTIMER_PPI_VIRT 27u
#define VTIMER_PPI_PHYS 30u
#define VTIMER_NEVER UINT64_MAX

struct vcpu_vtimer {
    uint64_t cntv_ctl, cntv_cval; /* saved while not loaded */
    uint64_t cntp_ctl, cntp_cval; /* emulated: always here */
};

/* Architectural reset: both timers off. */
void vtimer_reset(struct vcpu *vcpu);

/* Put the virtual timer into this CPU, or take it out and silence it there. */
void vtimer_load(struct vcpu *vcpu);
void vtimer_put(struct vcpu *vcpu);

/* Copy the loaded virtual timer to memory, where vtimer_deadline(vcpu, false) looks. */
void vtimer_snapshot(struct vcpu *vcpu);

/* Tell the vGIC the level of both timer lines as they are now. The vCPU is loaded here or not
 * loaded at all. */
void vtimer_resample(struct vcpu *vcpu);

/* The physical PPI behind a hardware-linked interrupt of the loaded vCPU may fire again. */
void vtimer_deactivate(struct vcpu *vcpu, uint32_t intid);

/* CNTPCT at which this vCPU needs the hypervisor for a timer, or VTIMER_NEVER. While it is loaded
 * that is the emulated timer only: the virtual one has its own interrupt. */
uint64_t vtimer_deadline(const struct vcpu *vcpu, bool loaded);

/* A trapped CNTP_*_EL0 or CNTPCT_EL0; reg is SYSREG_..., value is read or written. */
enum trap_result vtimer_sysreg(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value);

#endif
