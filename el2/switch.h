/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state between memory and this CPU's registers. */
#ifndef EL2_SWITCH_H
#define EL2_SWITCH_H

struct vcpu;

/* Once on each CPU: EL2's controls that no guest changes. */
void switch_init_cpu(void);

/* Load vcpu, which no CPU has loaded or is about to (its former CPU may still be saving it: this
 * waits for that). */
void switch_in(struct vcpu *vcpu);

/* Save the loaded vCPU; another CPU may load it afterwards. */
void switch_out(struct vcpu *vcpu);

#endif
