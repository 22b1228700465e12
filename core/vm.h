/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine: what its vCPUs share. Created once at boot from a partition and used again
 * over restarts.
 */
#ifndef CORE_VM_H
#define CORE_VM_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "core/cpu.h"
#include "core/hooks.h"
#include "core/s2.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "core/vmid.h"

struct id_profile;
struct smccc_host;
struct trap_controls;

#define VM_NAME_MAX 32
#define VM_VCPU_MAX 8

enum vm_state {
    VM_STOPPED,  /* off, crashed or not started */
    VM_RUNNING,
    VM_STOPPING, /* its vCPUs are leaving; the last one does what stop_action says */
};

/* Why a guest was stopped, kept for its one console line. */
struct vm_crash {
    const char *reason;
    uint64_t esr, far, hpfar, pc;
    uint32_t vcpu;
    bool valid;
};

struct vm {
    char name[VM_NAME_MAX];
    uint32_t id;
    uint32_t nr_vcpus;
    struct vcpu *vcpus[VM_VCPU_MAX];
    const struct vm_hooks *hooks;
    void *owner; /* el2's own part of this VM; core does not look */

    /* The CPU that the guest sees; the same for all VMs, made at boot. */
    const struct id_profile *ids;      /* vsysreg.h */
    const struct trap_controls *traps; /* vsysreg.h */
    const struct smccc_host *smccc;    /* smccc.h */

    struct s2 s2;
    struct vmid vmid;
    struct vgic vgic;

    struct spinlock lifecycle;
    uint32_t state;       /* enum vm_state, atomic */
    uint32_t stop_action; /* enum vm_power */
    uint32_t vcpus_in;    /* vCPUs the scheduler still has; the last out ends the stop */
    struct vm_crash crash;

    ipa_t ram_base;
    uint64_t ram_size;
    struct vcpu *last_ran[CPU_MAX]; /* who used this VMID on each CPU: see switch.c */
    uint64_t cntvoff;
    uint64_t starts; /* 1 after the first start */
    ipa_t pv_time_base; /* first vCPU's stolen-time structure, 64 bytes each; 0 if not offered */
};

#endif
