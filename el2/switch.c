/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See switch.h. Everything that a guest can reach without a trap is saved and loaded here, or is
 * the same for all (and is then set in switch_init_cpu); what is neither must be trapped.
 */
#include "el2/switch.h"

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "arch/tlbi.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "core/inject.h"
#include "core/pv_time.h"
#include "core/vcpu.h"
#include "core/vfp.h"
#include "core/vgic.h"
#include "core/vm.h"
#include "core/vpsci.h"
#include "core/vsysreg.h"
#include "el2/guest.h"
#include "el2/hyp.h"

void switch_init_cpu(void)
{
    write_vtcr_el2(s2_vtcr(&hyp.s2_config));
    write_vpidr_el2(read_midr_el1());
    trap_controls_load(&hyp.traps);
    write_cntv_ctl_el0(0);
    write_cnthp_ctl_el2(0);
    isb();
}

static void save_keys(uint64_t *key)
{
    key[0] = read_apiakeylo_el1();
    key[1] = read_apiakeyhi_el1();
    key[2] = read_apibkeylo_el1();
    key[3] = read_apibkeyhi_el1();
    key[4] = read_apdakeylo_el1();
    key[5] = read_apdakeyhi_el1();
    key[6] = read_apdbkeylo_el1();
    key[7] = read_apdbkeyhi_el1();
    key[8] = read_apgakeylo_el1();
    key[9] = read_apgakeyhi_el1();
}

static void load_keys(const uint64_t *key)
{
    write_apiakeylo_el1(key[0]);
    write_apiakeyhi_el1(key[1]);
    write_apibkeylo_el1(key[2]);
    write_apibkeyhi_el1(key[3]);
    write_apdakeylo_el1(key[4]);
    write_apdakeyhi_el1(key[5]);
    write_apdbkeylo_el1(key[6]);
    write_apdbkeyhi_el1(key[7]);
    write_apgakeylo_el1(key[8]);
    write_apgakeyhi_el1(key[9]);
}

static void save_sysregs(struct vcpu_sysregs *s)
{
    s->sctlr = read_sctlr_el1();
    s->cpacr = read_cpacr_el1();
    s->ttbr0 = read_ttbr0_el1();
    s->ttbr1 = read_ttbr1_el1();
    s->tcr = read_tcr_el1();
    s->esr = read_esr_el1();
    s->afsr0 = read_afsr0_el1();
    s->afsr1 = read_afsr1_el1();
    s->far = read_far_el1();
    s->par = read_par_el1();
    s->mair = read_mair_el1();
    s->amair = read_amair_el1();
    s->vbar = read_vbar_el1();
    s->contextidr = read_contextidr_el1();
    s->tpidr_el0 = read_tpidr_el0();
    s->tpidrro_el0 = read_tpidrro_el0();
    s->tpidr_el1 = read_tpidr_el1();
    s->sp_el0 = read_sp_el0();
    s->sp_el1 = read_sp_el1();
    s->elr = read_elr_el1();
    s->spsr = read_spsr_el1();
    s->cntkctl = read_cntkctl_el1();
    s->csselr = read_csselr_el1();
}

static void load_sysregs(const struct vcpu_sysregs *s)
{
    write_sctlr_el1(s->sctlr);
    write_cpacr_el1(s->cpacr);
    write_ttbr0_el1(s->ttbr0);
    write_ttbr1_el1(s->ttbr1);
    write_tcr_el1(s->tcr);
    write_esr_el1(s->esr);
    write_afsr0_el1(s->afsr0);
    write_afsr1_el1(s->afsr1);
    write_far_el1(s->far);
    write_par_el1(s->par);
    write_mair_el1(s->mair);
    write_amair_el1(s->amair);
    write_vbar_el1(s->vbar);
    write_contextidr_el1(s->contextidr);
    write_tpidr_el0(s->tpidr_el0);
    write_tpidrro_el0(s->tpidrro_el0);
    write_tpidr_el1(s->tpidr_el1);
    write_sp_el0(s->sp_el0);
    write_sp_el1(s->sp_el1);
    write_elr_el1(s->elr);
    write_spsr_el1(s->spsr);
    write_cntkctl_el1(s->cntkctl);
    write_csselr_el1(s->csselr);
}

/*
 * TLB entries are tagged by VMID, not by vCPU: if a sibling was the last of the VM to run on this
 * CPU, what it left there must not be used, since each vCPU may have its own tables behind the
 * same ASID.
 */
static void flush_after_sibling(struct vcpu *vcpu, const struct cpu *cpu)
{
    struct vcpu **last = &vcpu->vm->last_ran[cpu->id];

    if (*last != vcpu && *last) {
        tlbi_vmalle1();
        dsb_nsh();
        isb();
    }
    *last = vcpu;
}

void switch_in(struct vcpu *vcpu)
{
    struct cpu *cpu = cpu_this();
    struct vm *vm = vcpu->vm;

    /* Acquire: what its former CPU saved is read after this. */
    while (__atomic_load_n(&vcpu->loaded_on, __ATOMIC_ACQUIRE))
        cpu_relax();

    vpsci_start(vcpu);
    cpu->loaded = vcpu;
    __atomic_store_n(&vcpu->loaded_on, cpu, __ATOMIC_RELEASE);
    vcpu->regs.stack = cpu->stack_top;

    write_vttbr_el2(s2_enter(&vm->s2, vmid_get(&hyp.vmids, &vm->vmid, cpu->id)));
    inject_load_serror(vcpu);
    write_hcr_el2(vcpu->hcr);
    write_vmpidr_el2(vcpu->vmpidr);
    isb(); /* the stage 2 of this guest before anything of its stage 1 */
    flush_after_sibling(vcpu, cpu);

    load_sysregs(&vcpu->sys);
    if ((hyp.traps.hcr & HCR_EL2_API))
        load_keys(vcpu->sys.apkey);
    vfp_load(vcpu, hyp.traps.cptr);
    vdebug_load(vcpu);

    vgic_load(vcpu);
    /* Once it is loaded nobody else changes what this says. And the physical timer interrupt is
     * active before its timer counts again, or it would come a second time. */
    if (vgic_hw_active(vcpu))
        gicv3_ppi_set_active(&hyp.gic, cpu->id, VTIMER_PPI_VIRT, true);
    vtimer_load(vcpu);
    guest_update_stolen(vcpu);
}

void switch_out(struct vcpu *vcpu)
{
    struct cpu *cpu = cpu_this();

    vtimer_put(vcpu);
    vgic_put(vcpu);
    if (vgic_hw_active(vcpu))
        gicv3_ppi_set_active(&hyp.gic, cpu->id, VTIMER_PPI_VIRT, false);
    vdebug_put(vcpu);
    vfp_put(vcpu);
    if ((hyp.traps.hcr & HCR_EL2_API))
        save_keys(vcpu->sys.apkey);
    save_sysregs(&vcpu->sys);
    inject_fold_serror(vcpu);

    cpu->loaded = NULL;
    /* Release: all that was saved is there for the CPU that sees this. */
    __atomic_store_n(&vcpu->loaded_on, NULL, __ATOMIC_RELEASE);
}
