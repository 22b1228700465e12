/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's synchronous exit means: dispatch by exception class, and what follows from it. */
#ifndef CORE_TRAP_H
#define CORE_TRAP_H

#include "bothy/types.h"
#include "core/trap_result.h"

struct vcpu;

/*
 * Handle a synchronous exception that the loaded vCPU took to EL2, with ESR_EL2 as given; FAR_EL2
 * and HPFAR_EL2 are read here. PC is moved and exceptions are injected as needed, so that of the
 * results only TRAP_RESUME, TRAP_WAIT, TRAP_YIELD and TRAP_OFF are left for the caller.
 */
enum trap_result trap_handle(struct vcpu *vcpu, uint64_t esr);

/* An SError that was taken while this vCPU ran is delivered to it, and to nobody else. */
void trap_serror(struct vcpu *vcpu, uint64_t esr);

/* The guest can't go on: note why, and ask for its stop. Returns TRAP_OFF. */
enum trap_result trap_crash(struct vcpu *vcpu, const char *reason, uint64_t esr);

/* "data abort", "HVC"...: the name of an exception class for messages. */
const char *trap_class_name(uint64_t esr);

#endif
