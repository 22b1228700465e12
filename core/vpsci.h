/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PSCI 1.1 (Arm DEN0022) towards a guest.
 *
 * Who may do what to vcpu->power: OFF -> ON_PENDING is CPU_ON's, by another vCPU of the VM, under
 * vm->lifecycle; ON_PENDING -> ON is vpsci_start()'s, by the CPU that is about to enter it;
 * ON -> OFF is CPU_OFF's, by itself, under vm->lifecycle. start_pc and start_x0 are written before
 * ON_PENDING is stored with release, so whoever loads ON_PENDING with acquire sees them.
 * CPU_ON touches nothing else of its target, which may still be on its way out on another CPU.
 */
#ifndef CORE_VPSCI_H
#define CORE_VPSCI_H

#include "bothy/bits.h"
#include "bothy/types.h"
#include "core/trap_result.h"

struct vcpu;

#define PSCI_VERSION 0x84000000u
#define PSCI_CPU_SUSPEND 0x84000001u
#define PSCI_CPU_OFF 0x84000002u
#define PSCI_CPU_ON 0x84000003u
#define PSCI_AFFINITY_INFO 0x84000004u
#define PSCI_MIGRATE 0x84000005u
#define PSCI_MIGRATE_INFO_TYPE 0x84000006u
#define PSCI_MIGRATE_INFO_UP_CPU 0x84000007u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
#define PSCI_FEATURES 0x8400000au
#define PSCI_CPU_FREEZE 0x8400000bu
#define PSCI_SYSTEM_SUSPEND 0x8400000eu
#define PSCI_SYSTEM_RESET2 0x84000012u

#define PSCI_LAST 0x8400001fu /* end of the range that vpsci_call() answers */

/* The original format of CPU_SUSPEND's power_state, DEN0022 5.4.2. */
#define PSCI_POWER_STATE_TYPE BIT(16) /* 1: power-down */
#define PSCI_POWER_STATE_ID GENMASK(15, 0)

#define PSCI_SUCCESS 0
#define PSCI_NOT_SUPPORTED (-1)
#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_DENIED (-3)
#define PSCI_ALREADY_ON (-4)
#define PSCI_ON_PENDING (-5)
#define PSCI_INVALID_ADDRESS (-9)

#define PSCI_VERSION_1_1 0x00010001u

/*
 * Answers one call in PSCI's range (the caller looked) by writing vcpu->regs; PC is behind the
 * call. TRAP_RESUME: done; TRAP_WAIT: CPU_SUSPEND, continue at regs.pc + 4 after a wake-up, as for
 * WFI; TRAP_OFF.
 */
enum trap_result vpsci_call(struct vcpu *vcpu, uint32_t function);

/*
 * Gives vcpu the architectural reset state with the MMU off, EL1h, DAIF masked, timers off and OS
 * lock set, starting at pc with x0 (DEN0022 6.4). The caller owns vcpu: it is not loaded, and no
 * other CPU touches it. Not done here: FP registers and the vGIC.
 */
void vpsci_reset_vcpu(struct vcpu *vcpu, uint64_t pc, uint64_t x0);

/*
 * To be called by the CPU that is about to enter vcpu, whenever the scheduler hands it a vCPU
 * that is not loaded: if a CPU_ON is pending, resets vcpu and its vGIC CPU interface to the start
 * state, makes it ON and returns true. Costs one load otherwise. A vCPU that is still loaded from
 * before its CPU_OFF must be put first.
 */
bool vpsci_start(struct vcpu *vcpu);

/*
 * Marks vcpu for starting at pc: what CPU_ON does, for a VM's first vCPU. False if it isn't off.
 * The caller holds vm->lifecycle and hands vcpu to the scheduler afterwards.
 */
bool vpsci_make_pending_locked(struct vcpu *vcpu, uint64_t pc, uint64_t x0);

#endif
