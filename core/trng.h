/* SPDX-License-Identifier: Apache-2.0 */
/* True random number firmware interface 1.0 (Arm DEN0098) towards a guest. */
#ifndef CORE_TRNG_H
#define CORE_TRNG_H

#include "bothy/types.h"
#include "core/trap_result.h"

struct vcpu;

#define TRNG_VERSION 0x84000050u
#define TRNG_FEATURES 0x84000051u
#define TRNG_GET_UUID 0x84000052u
#define TRNG_RND32 0x84000053u
#define TRNG_RND64 0xc4000053u
#define TRNG_LAST 0x8400005fu /* end of the range that trng_call() answers */

#define TRNG_VERSION_1_0 0x00010000u
#define TRNG_INVALID_PARAMETERS (-2)
#define TRNG_NO_ENTROPY (-3)

/*
 * Answers a call of the range 0x[8c]4000050..5f. All of them are NOT_SUPPORTED when the VM's hooks
 * have no entropy function. Always TRAP_RESUME.
 */
enum trap_result trng_call(struct vcpu *vcpu, uint32_t function);

#endif
