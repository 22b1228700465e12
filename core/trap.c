/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See trap.h. A class that isn't in the table is one that a guest can't cause with the traps that
 * are set, or must not have: it gets UNDEF. Only the dispatch lives here.
 */
#include "core/trap.h"

#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "bothy/esr.h"
#include "core/hooks.h"
#include "core/inject.h"
#include "core/mmio_decode.h"
#include "core/smccc.h"
#include "core/vcpu.h"
#include "core/vfp.h"
#include "core/vgic.h"
#include "core/vm.h"
#include "core/vsysreg.h"

#define VECTORS_SIZE 0x800u

typedef enum trap_result (*trap_handler_t)(struct vcpu *vcpu, uint64_t esr);

enum trap_result trap_crash(struct vcpu *vcpu, const char *reason, uint64_t esr)
{
    struct vm *vm = vcpu->vm;

    spin_lock(&vm->lifecycle);
    if (!vm->crash.valid) {
        vm->crash = (struct vm_crash){
            .reason = reason,
            .esr = esr,
            .far = read_far_el2(),
            .hpfar = read_hpfar_el2(),
            .pc = vcpu->regs.pc,
            .vcpu = vcpu->id,
            .valid = true,
        };
    }
    spin_unlock(&vm->lifecycle);
    vm->hooks->power(vm, VM_POWER_CRASHED);
    return TRAP_OFF;
}

static enum trap_result trap_wfx(struct vcpu *vcpu, uint64_t esr)
{
    vcpu->exits[EXIT_WFX]++;
    return FIELD_GET(ISS_WFX_TI, esr) ? TRAP_YIELD : TRAP_WAIT;
}

static enum trap_result trap_fp(struct vcpu *vcpu, uint64_t esr)
{
    (void)esr;
    vcpu->exits[EXIT_FP]++;
    vfp_take(vcpu);
    return TRAP_RESUME;
}

static enum trap_result trap_hvc(struct vcpu *vcpu, uint64_t esr)
{
    vcpu->exits[EXIT_HVC]++;
    return smccc_hvc(vcpu, esr);
}

static enum trap_result trap_smc(struct vcpu *vcpu, uint64_t esr)
{
    vcpu->exits[EXIT_SMC]++;
    return smccc_smc(vcpu, esr);
}

static enum trap_result trap_sysreg(struct vcpu *vcpu, uint64_t esr)
{
    vcpu->exits[EXIT_SYSREG]++;
    return vsysreg_access(vcpu, esr);
}

static bool is_ram(const struct vm *vm, ipa_t ipa)
{
    return ipa.ipa - vm->ram_base.ipa < vm->ram_size;
}

static enum trap_result trap_data_abort(struct vcpu *vcpu, uint64_t esr)
{
    struct vm *vm = vcpu->vm;
    struct mmio_access access;
    enum trap_result result;
    ipa_t ipa;

    if (unlikely(!fault_ipa(esr, read_far_el2(), read_hpfar_el2(), &ipa)))
        goto abort;
    if (is_ram(vm, ipa)) {
        vcpu->exits[EXIT_DATA_ABORT_RAM]++;
        return vm->hooks->ram_fault(vcpu, ipa);
    }
    if (unlikely(!mmio_decode(vcpu, esr, ipa, &access)))
        goto abort;
    result = vgic_mmio(vcpu, &access);
    if (likely(result == TRAP_NEXT)) {
        vcpu->exits[EXIT_DATA_ABORT_GIC]++;
    } else { /* not the vGIC's */
        vcpu->exits[EXIT_DATA_ABORT_DEVICE]++;
        result = vm->hooks->mmio(vcpu, &access);
    }
    if (result == TRAP_NEXT)
        mmio_complete(vcpu, &access, esr);
    return result;

abort:
    vcpu->exits[EXIT_OTHER]++;
    return TRAP_ABORT;
}

/*
 * A fetch from where nothing can be executed is the guest's own business, unless it was the fetch
 * of its exception vector: the abort that we would inject fails in the same way, for ever.
 */
static enum trap_result trap_instruction_abort(struct vcpu *vcpu, uint64_t esr)
{
    struct vm *vm = vcpu->vm;
    ipa_t ipa;

    vcpu->exits[EXIT_INSTRUCTION_ABORT]++;
    if (fault_ipa(esr, read_far_el2(), read_hpfar_el2(), &ipa) && is_ram(vm, ipa))
        return vm->hooks->ram_fault(vcpu, ipa);
    if (vcpu->regs.pc - read_vbar_el1() < VECTORS_SIZE)
        return trap_crash(vcpu, "its exception vectors are where it has no memory", esr);
    return TRAP_ABORT;
}

static const trap_handler_t handlers[64] = {
    [EC_WFX] = trap_wfx,
    [EC_FP] = trap_fp,
    [EC_HVC64] = trap_hvc,
    [EC_SMC64] = trap_smc,
    [EC_SYS64] = trap_sysreg,
    [EC_IABT_LOWER] = trap_instruction_abort,
    [EC_DABT_LOWER] = trap_data_abort,
};

/* Go on behind an instruction that was carried out here, with the PSTATE that it leaves: a single
 * step is done (Arm ARM D2.12), and it was no indirect branch. */
static inline void skip_instruction(struct vcpu *vcpu, uint64_t esr)
{
    vcpu->regs.pc += esr & ESR_EL2_IL ? 4 : 2;
    vcpu->regs.pstate &= ~(SPSR_EL2_SS | SPSR_EL2_BTYPE);
}

enum trap_result trap_handle(struct vcpu *vcpu, uint64_t esr)
{
    trap_handler_t handler = handlers[FIELD_GET(ESR_EL2_EC, esr)];
    enum trap_result result = TRAP_UNDEF;

    if (likely(handler))
        result = handler(vcpu, esr);
    else
        vcpu->exits[EXIT_OTHER]++;

    if (likely(result == TRAP_NEXT)) {
        skip_instruction(vcpu, esr);
        return TRAP_RESUME;
    }
    switch (result) {
    case TRAP_WAIT:
    case TRAP_YIELD:
        skip_instruction(vcpu, esr);
        return result;
    case TRAP_UNDEF:
        inject_undef(vcpu);
        return TRAP_RESUME;
    case TRAP_ABORT:
        inject_abort(vcpu, esr, read_far_el2());
        return TRAP_RESUME;
    default:
        return result;
    }
}

void trap_serror(struct vcpu *vcpu, uint64_t esr)
{
    vcpu->exits[EXIT_OTHER]++;
    inject_serror(vcpu, esr);
}

const char *trap_class_name(uint64_t esr)
{
    switch ((enum esr_ec)FIELD_GET(ESR_EL2_EC, esr)) {
    case EC_UNKNOWN:
        return "undefined instruction";
    case EC_WFX:
        return "WFI or WFE";
    case EC_HVC64:
        return "HVC";
    case EC_SMC64:
        return "SMC";
    case EC_SYS64:
        return "system register access";
    case EC_IABT_LOWER:
        return "instruction abort";
    case EC_DABT_LOWER:
        return "data abort";
    case EC_SERROR:
        return "SError";
    case EC_IABT_CURRENT:
        return "instruction abort in EL2";
    case EC_DABT_CURRENT:
        return "data abort in EL2";
    default:
        return "exception";
    }
}
