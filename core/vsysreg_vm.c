/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache maintenance by set/way, and the translation controls that are trapped after it.
 *
 * Set/way operations reach one CPU's caches only, which means nothing for a vCPU that moves. So
 * the first one cleans and invalidates all of the VM's memory, and from then on the vCPU's writes
 * of translation controls are trapped (HCR_EL2.TVM is the state): memory is flushed again whenever
 * the caches go on or off, and further set/way operations, of which a guest's loop has thousands,
 * do nothing. The trap goes away when the guest runs with its caches on. With FEAT_S2FWB the
 * guest's accesses are cacheable whatever it does, and there is nothing to flush.
 */
#include "core/vsysreg.h"

#include "arch/sysreg.h"
#include "core/vcpu.h"
#include "core/vm.h"

static void set_hcr(struct vcpu *vcpu, uint64_t hcr)
{
    vcpu->hcr = hcr;
    write_hcr_el2(hcr);
}

enum trap_result vsysreg_set_way(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)reg;
    (void)write;
    (void)value;
    if (vcpu->hcr & (HCR_EL2_FWB | HCR_EL2_TVM))
        return TRAP_NEXT;
    if (!vcpu->vm->hooks->flush_memory(vcpu))
        return TRAP_RESUME;
    set_hcr(vcpu, vcpu->hcr | HCR_EL2_TVM);
    return TRAP_NEXT;
}

/* Data accesses are cacheable only with the MMU on and C set. */
static bool has_caches_on(uint64_t sctlr)
{
    return (sctlr & SCTLR_EL1_M) && (sctlr & SCTLR_EL1_C);
}

/*
 * The flush comes before the write: this vCPU is not running, so nothing of it gets into the
 * caches in between, and an interrupted flush leaves the instruction as if it were not tried yet.
 */
static enum trap_result write_sctlr(struct vcpu *vcpu, uint64_t value)
{
    bool on = has_caches_on(value);

    if (on != has_caches_on(read_sctlr_el1()) && !vcpu->vm->hooks->flush_memory(vcpu))
        return TRAP_RESUME;
    write_sctlr_el1(value);
    if (on)
        set_hcr(vcpu, vcpu->hcr & ~HCR_EL2_TVM);
    return TRAP_NEXT;
}

enum trap_result vsysreg_vm_control(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)write;
    switch (reg) {
    case SYSREG_SCTLR_EL1:
        return write_sctlr(vcpu, *value);
    case SYSREG_TTBR0_EL1:
        write_ttbr0_el1(*value);
        break;
    case SYSREG_TTBR1_EL1:
        write_ttbr1_el1(*value);
        break;
    case SYSREG_TCR_EL1:
        write_tcr_el1(*value);
        break;
    case SYSREG_AFSR0_EL1:
        write_afsr0_el1(*value);
        break;
    case SYSREG_AFSR1_EL1:
        write_afsr1_el1(*value);
        break;
    case SYSREG_ESR_EL1:
        write_esr_el1(*value);
        break;
    case SYSREG_FAR_EL1:
        write_far_el1(*value);
        break;
    case SYSREG_MAIR_EL1:
        write_mair_el1(*value);
        break;
    case SYSREG_AMAIR_EL1:
        write_amair_el1(*value);
        break;
    case SYSREG_CONTEXTIDR_EL1:
        write_contextidr_el1(*value);
        break;
    default:
        return TRAP_UNDEF;
    }
    return TRAP_NEXT;
}
