/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See smccc.h. The function identifier is W0: the upper half of X0 is never looked at. The
 * services are told apart by owner and function number; each checks its own conventions, so that
 * a 64-bit identifier of a call that exists as 32-bit only is unknown.
 */
#include "core/smccc.h"

#include "arch/smc.h"
#include "arch/sysreg.h"
#include "core/pv_time.h"
#include "core/trng.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "core/vpsci.h"

/* Fast call, owner and the reserved bits: all but the width and the function number. */
#define SERVICE(function) ((function) & ~(uint32_t)SMCCC_64BIT & 0xffff0000u)
#define NUMBER(function) ((function)&0xffffu)
#define SERVICE_ARCH 0x80000000u
#define SERVICE_STANDARD 0x84000000u
#define SERVICE_STANDARD_HYP 0x85000000u

static int64_t arch_features(const struct vcpu *vcpu, uint32_t wanted)
{
    switch (wanted) {
    case SMCCC_VERSION:
    case SMCCC_ARCH_FEATURES:
        return SMCCC_SUCCESS;
    case SMCCC_ARCH_WORKAROUND_1:
        return vcpu->vm->smccc->workaround_1;
    case SMCCC_ARCH_WORKAROUND_2:
        return vcpu->vm->smccc->workaround_2;
    case SMCCC_ARCH_WORKAROUND_3:
        return vcpu->vm->smccc->workaround_3;
    case PV_TIME_FEATURES:
        return vcpu->pv_time.ipa ? SMCCC_SUCCESS : SMCCC_NOT_SUPPORTED;
    default:
        return SMCCC_NOT_SUPPORTED;
    }
}

/* A guest that needs a work-around calls it on its way through EL1: pass it on to the firmware. */
static void workaround(struct vcpu *vcpu, uint32_t function, int32_t state)
{
    if (state == SMCCC_WA_ABSENT) {
        smccc_return(vcpu, SMCCC_NOT_SUPPORTED);
        return;
    }
    if (state == SMCCC_WA_NEEDED)
        smc_call(function, 0, 0, 0);
    smccc_return(vcpu, SMCCC_SUCCESS);
}

/* Apart, so that the calls of the other services need no stack frame. */
__attribute__((noinline)) static enum trap_result arch_call(struct vcpu *vcpu, uint32_t function)
{
    const struct smccc_host *host = vcpu->vm->smccc;

    switch (function) {
    case SMCCC_VERSION:
        smccc_return(vcpu, SMCCC_VERSION_1_2);
        break;
    case SMCCC_ARCH_FEATURES:
        smccc_return(vcpu, arch_features(vcpu, (uint32_t)vcpu->regs.x[1]));
        break;
    case SMCCC_ARCH_WORKAROUND_1:
        workaround(vcpu, function, host->workaround_1);
        break;
    case SMCCC_ARCH_WORKAROUND_2:
        workaround(vcpu, function, host->workaround_2);
        break;
    case SMCCC_ARCH_WORKAROUND_3:
        workaround(vcpu, function, host->workaround_3);
        break;
    default:
        smccc_return(vcpu, SMCCC_NOT_SUPPORTED);
    }
    return TRAP_RESUME;
}

static enum trap_result dispatch(struct vcpu *vcpu, uint64_t esr)
{
    uint32_t function = (uint32_t)vcpu->regs.x[0];

    /* DEN0028 2.9: other immediates are not SMCCC. */
    if (FIELD_GET(ISS_HVC_IMM16, esr) == 0) {
        switch (SERVICE(function)) {
        case SERVICE_STANDARD:
            if (NUMBER(function) <= NUMBER(PSCI_LAST))
                return vpsci_call(vcpu, function);
            if (NUMBER(function) >= NUMBER(TRNG_VERSION) && NUMBER(function) <= NUMBER(TRNG_LAST))
                return trng_call(vcpu, function);
            break;
        case SERVICE_STANDARD_HYP:
            return pv_time_call(vcpu, function);
        case SERVICE_ARCH:
            return arch_call(vcpu, function);
        default:
            break;
        }
    }
    smccc_return(vcpu, SMCCC_NOT_SUPPORTED);
    return TRAP_RESUME;
}

enum trap_result smccc_hvc(struct vcpu *vcpu, uint64_t esr)
{
    return dispatch(vcpu, esr);
}

enum trap_result smccc_smc(struct vcpu *vcpu, uint64_t esr)
{
    enum trap_result result;

    /* The answers are made for a PC behind the instruction, as after HVC. */
    vcpu->regs.pc += SMCCC_INSTRUCTION;
    result = dispatch(vcpu, esr);
    if (result != TRAP_RESUME)
        return result;
    vcpu->regs.pc -= SMCCC_INSTRUCTION;
    return TRAP_NEXT;
}
