/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FP and SIMD registers, switched when they are used (Arm ARM, CPTR_EL2.TFP). A vCPU that leaves
 * a CPU after it used them saves them at once, so that it can go on anywhere; a vCPU that comes
 * back to a CPU where nobody used them since finds them still there and doesn't even trap.
 *
 * EL2 itself is compiled without FP.
 */
#ifndef CORE_VFP_H
#define CORE_VFP_H

#include "bothy/types.h"

struct vcpu;

/* The vCPU is being loaded: CPTR_EL2 = cptr, which has TFP set, without TFP if its registers are
 * still here. */
void vfp_load(struct vcpu *vcpu, uint64_t cptr);

/* The vCPU leaves this CPU. */
void vfp_put(struct vcpu *vcpu);

/* It touched FP while that was trapped: give it its registers. */
void vfp_take(struct vcpu *vcpu);

/* As after reset: zero. Not while loaded. */
void vfp_reset(struct vcpu *vcpu);

#endif
