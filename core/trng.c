/* SPDX-License-Identifier: Apache-2.0 */
/* See trng.h. Bits that were not asked for are zero, and so are all results but x0 on an error. */
#include "core/trng.h"

#include "bothy/bits.h"
#include "core/smccc.h"
#include "core/vcpu.h"
#include "core/vm.h"

/* Names this implementation; made up once, DEN0098 2.3. The first word is not 0xffffffff. */
static const uint32_t trng_uuid[4] = {0x7d31c0b4u, 0x4f5a92e6u, 0x1d8be3a9u, 0x60c27f15u};

#define WORDS 3 /* results: x3 has the lowest bits, then x2, then x1 */

static bool is_known(uint32_t function)
{
    switch (function) {
    case TRNG_VERSION:
    case TRNG_FEATURES:
    case TRNG_GET_UUID:
    case TRNG_RND32:
    case TRNG_RND64:
        return true;
    default:
        return false;
    }
}

/* DEN0098 2.4: N bits in three words of 32 or 64 bits. */
static void trng_rnd(struct vcpu *vcpu, uint32_t function)
{
    uint64_t width = (function & SMCCC_64BIT) ? 64 : 32;
    uint64_t wanted = smccc_arg(vcpu, function, 1);
    uint64_t word[WORDS] = {0};

    if (wanted == 0 || wanted > WORDS * width) {
        smccc_return4(vcpu, TRNG_INVALID_PARAMETERS, 0, 0, 0);
        return;
    }
    for (unsigned i = 0; wanted > 0; i++) {
        uint64_t bits = wanted < width ? wanted : width;
        uint64_t entropy;

        if (!vcpu->vm->hooks->entropy(vcpu->vm, &entropy)) {
            smccc_return4(vcpu, TRNG_NO_ENTROPY, 0, 0, 0);
            return;
        }
        word[i] = entropy & GENMASK(bits - 1, 0);
        wanted -= bits;
    }
    smccc_return4(vcpu, SMCCC_SUCCESS, word[2], word[1], word[0]);
}

enum trap_result trng_call(struct vcpu *vcpu, uint32_t function)
{
    if (!vcpu->vm->hooks->entropy || !is_known(function)) {
        smccc_return(vcpu, SMCCC_NOT_SUPPORTED);
        return TRAP_RESUME;
    }
    switch (function) {
    case TRNG_VERSION:
        smccc_return4(vcpu, TRNG_VERSION_1_0, 0, 0, 0);
        break;
    case TRNG_FEATURES:
        smccc_return(vcpu,
                     is_known((uint32_t)vcpu->regs.x[1]) ? SMCCC_SUCCESS : SMCCC_NOT_SUPPORTED);
        break;
    case TRNG_GET_UUID:
        smccc_return4(vcpu, trng_uuid[0], trng_uuid[1], trng_uuid[2], trng_uuid[3]);
        break;
    default:
        trng_rnd(vcpu, function);
    }
    return TRAP_RESUME;
}
