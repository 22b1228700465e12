/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the portable core asks of whoever runs it (el2, or a test's fake). One table a VM.
 * None of these may block; all may be called with the VM's vGIC lock held unless it says otherwise.
 */
#ifndef CORE_HOOKS_H
#define CORE_HOOKS_H

#include "bothy/types.h"
#include "core/trap_result.h"

struct vm;
struct vcpu;

/* A guest's data access to a device, as the syndrome describes it (Arm ARM D24, ISS for a Data
 * Abort with ISV = 1). */
struct mmio_access {
    ipa_t ipa;
    uint64_t value; /* stored by the guest, zero-extended; or to be filled in for a load */
    uint8_t size;   /* bytes: 1, 2, 4, 8 */
    bool write;
};

enum vm_power {
    VM_POWER_OFF,     /* PSCI SYSTEM_OFF */
    VM_POWER_RESET,   /* PSCI SYSTEM_RESET, SYSTEM_RESET2 */
    VM_POWER_CRASHED, /* the guest can't go on; vm->crash says why */
};

struct vm_hooks {
    /* An access to an address where core has nothing. Not called with any lock held. */
    enum trap_result (*mmio)(struct vcpu *vcpu, struct mmio_access *access);

    /* Stage-2 fault in a RAM region: map it (TRAP_RESUME) or TRAP_ABORT. No lock held. */
    enum trap_result (*ram_fault)(struct vcpu *vcpu, ipa_t ipa);

    /* There may be a new interrupt for this vCPU: wake it if it waits, make it exit if it runs
     * on another CPU. */
    void (*kick)(struct vcpu *vcpu);

    /* Make the CPU on which vcpu runs fold its list registers back (vgic_fold), and return when
     * that is done; serves the same request from others meanwhile. Called with no lock held. */
    void (*sync_vcpu)(struct vcpu *vcpu);

    /* The loaded vcpu's vtimer_deadline may have changed: program this CPU's timer anew. */
    void (*timer_changed)(struct vcpu *vcpu);

    /* vcpu was given its start state by CPU_ON: let the scheduler have it. No lock held. */
    void (*vcpu_start)(struct vcpu *vcpu);

    /* The VM is to stop or to start anew; takes effect when its vCPUs have left the guest. The
     * caller then returns TRAP_OFF. No lock held. */
    void (*power)(struct vm *vm, enum vm_power what);

    /* Clean and invalidate all mapped memory of the VM to the point of coherency; false if an
     * interrupt wants the CPU first: the same call then goes on where it stopped. No lock held. */
    bool (*flush_memory)(struct vcpu *vcpu);

    /* 64 bits of entropy for the TRNG calls; false if there are none. */
    bool (*entropy)(struct vm *vm, uint64_t *ret_bits);
};

#endif
