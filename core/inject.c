/* SPDX-License-Identifier: Apache-2.0 */
/* See inject.h. AArch64.TakeException() of the Arm ARM for a target of EL1, step by step. */
#include "core/inject.h"

#include "arch/sysreg.h"
#include "bothy/esr.h"
#include "core/vcpu.h"

#define VECTOR_EL1T 0x000u
#define VECTOR_EL1H 0x200u
#define VECTOR_EL0_64 0x400u
#define VECTOR_EL0_32 0x600u

/* M[3:0] of PSTATE for AArch64; M[4] says AArch32, which only EL0 can be in here. */
static bool is_from_el0(uint64_t pstate)
{
    return (pstate & SPSR_EL2_M_4) || FIELD_GET(SPSR_EL2_M, pstate) == SPSR_EL2_M_EL0T;
}

static uint64_t vector_offset(uint64_t pstate)
{
    if (pstate & SPSR_EL2_M_4)
        return VECTOR_EL0_32;
    switch (FIELD_GET(SPSR_EL2_M, pstate)) {
    case SPSR_EL2_M_EL0T:
        return VECTOR_EL0_64;
    case SPSR_EL2_M_EL1T:
        return VECTOR_EL1T;
    default:
        return VECTOR_EL1H;
    }
}

/* PSTATE in the handler: flags and DIT stay; IL, SS, BTYPE and UAO are cleared. */
static uint64_t handler_pstate(uint64_t pstate)
{
    uint64_t sctlr = read_sctlr_el1();
    uint64_t next =
        pstate & (SPSR_EL2_N | SPSR_EL2_Z | SPSR_EL2_C | SPSR_EL2_V | SPSR_EL2_DIT | SPSR_EL2_PAN);

    next |= SPSR_EL2_D | SPSR_EL2_A | SPSR_EL2_I | SPSR_EL2_F;
    next |= FIELD_PREP(SPSR_EL2_M, SPSR_EL2_M_EL1H);
    /* SPAN = 0: PAN is set on taking an exception to EL1. Before FEAT_PAN it is RES1. */
    if (!(sctlr & SCTLR_EL1_SPAN))
        next |= SPSR_EL2_PAN;
    /* The new value of SSBS is DSSBS; before FEAT_SSBS it is RES0. */
    if (sctlr & SCTLR_EL1_DSSBS)
        next |= SPSR_EL2_SSBS;
    if (FIELD_GET(ID_AA64PFR1_EL1_MTE, read_id_aa64pfr1_el1()) != 0)
        next |= SPSR_EL2_TCO;
    return next;
}

static void take_exception(struct vcpu *vcpu, uint64_t esr)
{
    uint64_t pstate = vcpu->regs.pstate;

    write_elr_el1(vcpu->regs.pc);
    write_spsr_el1(pstate);
    write_esr_el1(esr);
    vcpu->regs.pc = read_vbar_el1() + vector_offset(pstate);
    vcpu->regs.pstate = handler_pstate(pstate);
}

void inject_undef(struct vcpu *vcpu)
{
    /* IL is 1 for EC 0, whatever the instruction's length. */
    take_exception(vcpu, FIELD_PREP(ESR_EL1_EC, EC_UNKNOWN) | ESR_EL1_IL);
}

void inject_abort(struct vcpu *vcpu, uint64_t esr, uint64_t far)
{
    uint64_t ec = FIELD_GET(ESR_EL2_EC, esr);
    bool instruction = ec == EC_IABT_LOWER || ec == EC_IABT_CURRENT;
    bool el0 = is_from_el0(vcpu->regs.pstate);
    uint64_t fsc = FSC_EXTERNAL;
    uint64_t ret;

    if (instruction)
        ec = el0 ? EC_IABT_LOWER : EC_IABT_CURRENT;
    else
        ec = el0 ? EC_DABT_LOWER : EC_DABT_CURRENT;
    if (esr & ISS_DABT_S1PTW)
        fsc = FSC_EXTERNAL_WALK + FSC_LEVEL(FIELD_GET(ISS_DABT_DFSC, esr));

    /* IL is 1 for an instruction abort and for a data abort without ISV. */
    ret = FIELD_PREP(ESR_EL1_EC, ec) | ESR_EL1_IL | FIELD_PREP(ISS_DABT_DFSC, fsc);
    if (!instruction)
        ret |= esr & (ISS_DABT_WNR | ISS_DABT_CM);
    write_far_el1(far);
    take_exception(vcpu, ret);
}

void inject_serror(struct vcpu *vcpu, uint64_t syndrome)
{
    vcpu->vsesr = syndrome & (VSESR_EL2_IDS | VSESR_EL2_ISS);
    vcpu->hcr |= HCR_EL2_VSE;
    inject_load_serror(vcpu);
    write_hcr_el2(vcpu->hcr);
}

void inject_load_serror(const struct vcpu *vcpu)
{
    if (unlikely(vcpu->hcr & HCR_EL2_VSE) &&
        FIELD_GET(ID_AA64PFR0_EL1_RAS, read_id_aa64pfr0_el1()) != 0)
        write_vsesr_el2(vcpu->vsesr);
}

void inject_fold_serror(struct vcpu *vcpu)
{
    if (unlikely(vcpu->hcr & HCR_EL2_VSE) && !(read_hcr_el2() & HCR_EL2_VSE))
        vcpu->hcr &= ~HCR_EL2_VSE;
}
