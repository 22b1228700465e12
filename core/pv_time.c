/* SPDX-License-Identifier: Apache-2.0 */
/* See pv_time.h. */
#include "core/pv_time.h"

#include "core/smccc.h"
#include "core/vcpu.h"

#define NS_PER_S UINT64_C(1000000000)

enum trap_result pv_time_call(struct vcpu *vcpu, uint32_t function)
{
    uint32_t wanted = (uint32_t)vcpu->regs.x[1];
    int64_t result = SMCCC_NOT_SUPPORTED;

    if (vcpu->pv_time.ipa) {
        if (function == PV_TIME_FEATURES && (wanted == PV_TIME_FEATURES || wanted == PV_TIME_ST))
            result = SMCCC_SUCCESS;
        else if (function == PV_TIME_ST)
            result = (int64_t)vcpu->pv_time.ipa;
    }
    smccc_return(vcpu, result);
    return TRAP_RESUME;
}

void pv_time_fill(const struct vcpu *vcpu, uint32_t frequency, struct pv_time_record *ret_record)
{
    uint64_t ticks = vcpu->stolen_ticks;

    /* The product of a remainder and 10^9 is below 2^62. */
    *ret_record = (struct pv_time_record){
        .stolen_ns = ticks / frequency * NS_PER_S + ticks % frequency * NS_PER_S / frequency,
    };
}
