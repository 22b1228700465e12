/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions that the guest takes because EL2 says so. vcpu is loaded: its EL1 registers are
 * written live. PC must be the preferred return address (for everything but HVC: as at the exit).
 */
#ifndef CORE_INJECT_H
#define CORE_INJECT_H

#include "bothy/types.h"

struct vcpu;

/* An Undefined Instruction exception (EC 0) at EL1. */
void inject_undef(struct vcpu *vcpu);

/*
 * A synchronous external abort at EL1 for the abort that esr and far (ESR_EL2, FAR_EL2) describe:
 * instruction or data, same or lower EL, on a stage-1 table walk or not, read or write, as there.
 */
void inject_abort(struct vcpu *vcpu, uint64_t esr, uint64_t far);

/*
 * A virtual SError, taken when the guest unmasks it. syndrome: ESR_EL1 bits [24:0] where the CPU
 * has RAS (VSESR_EL2), ignored where not.
 */
void inject_serror(struct vcpu *vcpu, uint64_t syndrome);

/* vcpu is being loaded: a pending virtual SError's syndrome goes with it. */
void inject_load_serror(const struct vcpu *vcpu);

/*
 * After an exit of a vCPU with HCR_EL2.VSE set: takes over from the CPU that the guest has taken
 * its SError, lest it be delivered twice. To be called before HCR_EL2 is written for another.
 */
void inject_fold_serror(struct vcpu *vcpu);

#endif
