/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's memory is a function of its image until it is touched: see docs/design.md. */
#ifndef EL2_POPULATE_H
#define EL2_POPULATE_H

#include "core/trap_result.h"
#include "core/vm.h"

/* hooks->ram_fault: scrub, fill and map the 2 MiB block around ipa. */
enum trap_result populate_fault(struct vcpu *vcpu, ipa_t ipa);

/* The same for all of the guest's memory at once (bothy,populate = "start"). */
void populate_all(struct vm *vm);

/* Unmap everything: the next touch finds the guest's memory as it was at its first start. No vCPU
 * of the VM runs. */
void populate_forget(struct vm *vm);

/* hooks->flush_memory. */
bool populate_flush(struct vcpu *vcpu);

#endif
