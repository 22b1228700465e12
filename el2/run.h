/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop: from an exit to the next entry. There is no loop in the source: an exit comes in
 * by the vectors, and what it returns is entered. C code between the two runs on the CPU's stack
 * with interrupts masked, and never waits for a guest.
 */
#ifndef EL2_RUN_H
#define EL2_RUN_H

#include "core/vm.h"

/* From vectors.S: the vCPU exited; returns whom to enter. */
struct vcpu *run_exit_sync(struct vcpu *vcpu);
struct vcpu *run_exit_irq(struct vcpu *vcpu);
struct vcpu *run_exit_serror(struct vcpu *vcpu);

/* A CPU's first entry; waits until there is something to enter. */
_Noreturn void run_first(void);

/* In vectors.S. */
_Noreturn void vcpu_enter(struct vcpu *vcpu);

/* Make a CPU take an exit and look at its requests. */
void run_poke(struct cpu *cpu);

/* hooks->kick, sync_vcpu and timer_changed. */
void run_kick(struct vcpu *vcpu);
void run_sync_vcpu(struct vcpu *vcpu);
void run_timer_changed(struct vcpu *vcpu);

/* This CPU must look at its timers again at the latest at this CNTPCT. */
void run_wake_at(uint64_t at);

#endif
