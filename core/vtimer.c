/* SPDX-License-Identifier: Apache-2.0 */
/* See vtimer.h. */
#include "core/vtimer.h"

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "core/vm.h"

#define CTL_ENABLE CNTV_CTL_EL0_ENABLE
#define CTL_IMASK CNTV_CTL_EL0_IMASK
#define CTL_ISTATUS CNTV_CTL_EL0_ISTATUS

void vtimer_reset(struct vcpu *vcpu)
{
    vcpu->timer = (struct vcpu_vtimer){0};
}

void vtimer_load(struct vcpu *vcpu)
{
    write_cntvoff_el2(vcpu->vm->cntvoff);
    write_cntv_cval_el0(vcpu->timer.cntv_cval);
    /* The compare value and the offset must be there before the timer can fire. */
    isb();
    write_cntv_ctl_el0(vcpu->timer.cntv_ctl);
}

void vtimer_snapshot(struct vcpu *vcpu)
{
    vcpu->timer.cntv_ctl = read_cntv_ctl_el0() & (CTL_ENABLE | CTL_IMASK);
    vcpu->timer.cntv_cval = read_cntv_cval_el0();
}

void vtimer_put(struct vcpu *vcpu)
{
    vtimer_snapshot(vcpu);
    write_cntv_ctl_el0(0);
    /* The line must have fallen before another vCPU's timer or PPI state is put here. */
    isb();
}

static uint64_t guest_count(const struct vcpu *vcpu)
{
    isb(); /* the counter may otherwise be read early */
    return read_cntpct_el0() - vcpu->vm->cntvoff;
}

static bool line(uint64_t ctl, uint64_t cval, uint64_t count)
{
    return (ctl & CTL_ENABLE) && !(ctl & CTL_IMASK) && count >= cval;
}

void vtimer_resample(struct vcpu *vcpu)
{
    const struct vcpu_vtimer *t = &vcpu->timer;
    uint64_t now = guest_count(vcpu);
    bool phys = line(t->cntp_ctl, t->cntp_cval, now);
    bool virt;

    if (cpu_this()->loaded == vcpu)
        virt = (read_cntv_ctl_el0() & (CTL_ENABLE | CTL_IMASK | CTL_ISTATUS)) ==
               (CTL_ENABLE | CTL_ISTATUS);
    else
        virt = line(t->cntv_ctl, t->cntv_cval, now);

    vgic_set_ppi_level(vcpu, VTIMER_PPI_VIRT, virt);
    /* Hardly any guest uses this one; no other place changes its line. */
    if (phys != vcpu->vgic.irqs[VTIMER_PPI_PHYS].line)
        vgic_set_ppi_level(vcpu, VTIMER_PPI_PHYS, phys);
}

void vtimer_deactivate(struct vcpu *vcpu, uint32_t intid)
{
    if (cpu_this()->loaded == vcpu)
        write_icc_dir_el1(intid);
}

/* When a timer that counts from the VM's start raises its line, in CNTPCT. */
static uint64_t deadline(const struct vcpu *vcpu, uint64_t ctl, uint64_t cval)
{
    uint64_t at;

    if ((ctl & (CTL_ENABLE | CTL_IMASK)) != CTL_ENABLE)
        return VTIMER_NEVER;
    return __builtin_add_overflow(cval, vcpu->vm->cntvoff, &at) ? VTIMER_NEVER : at;
}

uint64_t vtimer_deadline(const struct vcpu *vcpu, bool loaded)
{
    const struct vcpu_vtimer *t = &vcpu->timer;
    uint64_t phys = deadline(vcpu, t->cntp_ctl, t->cntp_cval);

    /* A line that is up already has been told to the vGIC: it is not waited for again. */
    if (phys != VTIMER_NEVER && vcpu->vgic.irqs[VTIMER_PPI_PHYS].line)
        phys = VTIMER_NEVER;
    if (loaded)
        return phys;

    uint64_t virt = deadline(vcpu, t->cntv_ctl, t->cntv_cval);

    if (virt != VTIMER_NEVER && vcpu->vgic.irqs[VTIMER_PPI_VIRT].line)
        virt = VTIMER_NEVER;
    return virt < phys ? virt : phys;
}

static uint64_t read_physical(const struct vcpu *vcpu, uint32_t reg)
{
    const struct vcpu_vtimer *t = &vcpu->timer;
    uint64_t now = guest_count(vcpu);

    switch (reg) {
    case SYSREG_CNTP_CTL_EL0:
        if ((t->cntp_ctl & CTL_ENABLE) && now >= t->cntp_cval)
            return t->cntp_ctl | CTL_ISTATUS;
        return t->cntp_ctl;
    case SYSREG_CNTP_CVAL_EL0:
        return t->cntp_cval;
    case SYSREG_CNTP_TVAL_EL0:
        return (uint32_t)(t->cntp_cval - now);
    default:
        return now;
    }
}

enum trap_result vtimer_sysreg(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    struct vcpu_vtimer *t = &vcpu->timer;

    if (!write) {
        *value = read_physical(vcpu, reg);
        return TRAP_NEXT;
    }
    switch (reg) {
    case SYSREG_CNTP_CTL_EL0:
        t->cntp_ctl = *value & (CTL_ENABLE | CTL_IMASK);
        break;
    case SYSREG_CNTP_CVAL_EL0:
        t->cntp_cval = *value;
        break;
    case SYSREG_CNTP_TVAL_EL0:
        t->cntp_cval = guest_count(vcpu) + (uint64_t)(int64_t)(int32_t)*value;
        break;
    default:
        return TRAP_UNDEF;
    }
    vtimer_resample(vcpu);
    vcpu->vm->hooks->timer_changed(vcpu);
    return TRAP_NEXT;
}
