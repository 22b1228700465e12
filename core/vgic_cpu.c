/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual CPU interface of a vCPU: its registers as it is loaded into a CPU and put back, the
 * writes that trap, and whether it would signal an interrupt.
 */
#include "arch/sysreg.h"
#include "core/vgic_irq.h"

#define RUNNING_IDLE 0x100U /* lower than any priority */
#define PRIORITY_NONE 0x100U

void vgic_load(struct vcpu *vcpu)
{
    const struct vgic *vgic = &vcpu->vm->vgic;
    struct vcpu_vgic *state = &vcpu->vgic;

    spin_lock(&vcpu->vm->vgic.lock);
    write_ich_vmcr_el2(state->vmcr);
    for (uint32_t i = 0; i < vgic->nr_aprs; i++) {
        write_ich_ap0r_el2(i, state->ap0r[i]);
        write_ich_ap1r_el2(i, state->ap1r[i]);
    }
    state->cpu = cpu_this();
    __atomic_store_n(&state->work, false, __ATOMIC_RELAXED);
    vgic_lr_refill(vcpu, vgic->lr_mask);
    spin_unlock(&vcpu->vm->vgic.lock);
}

/* Another vCPU ended this one's linked interrupt. */
static void drop_hw(struct vcpu *vcpu)
{
    if (vcpu->vgic.drop_hw) {
        vcpu->vgic.drop_hw = false;
        vtimer_deactivate(vcpu, VGIC_HW_INTID);
    }
}

void vgic_put(struct vcpu *vcpu)
{
    const struct vgic *vgic = &vcpu->vm->vgic;
    struct vcpu_vgic *state = &vcpu->vgic;

    spin_lock(&vcpu->vm->vgic.lock);
    drop_hw(vcpu);
    vgic_lr_fold_all(vcpu);
    write_ich_hcr_el2(0);
    state->vmcr = read_ich_vmcr_el2();
    for (uint32_t i = 0; i < vgic->nr_aprs; i++) {
        state->ap0r[i] = read_ich_ap0r_el2(i);
        state->ap1r[i] = read_ich_ap1r_el2(i);
    }
    state->cpu = NULL;
    state->overflow = false;
    spin_unlock(&vcpu->vm->vgic.lock);
}

bool vgic_hw_active(const struct vcpu *vcpu)
{
    return vcpu->vgic.irqs[VGIC_HW_INTID].hw;
}

void vgic_flush(struct vcpu *cur)
{
    struct vgic_irq *irq;
    uint32_t from = 0;

    spin_lock(&cur->vm->vgic.lock);
    drop_hw(cur);
    while (!cur->vgic.refold && (irq = vgic_ready_next(cur, &from)) != NULL) {
        vgic_lr_insert(cur, irq);
    }
    if (cur->vgic.refold) {
        vgic_lr_refold(cur);
    }
    __atomic_store_n(&cur->vgic.work, false, __ATOMIC_RELAXED);
    spin_unlock(&cur->vm->vgic.lock);
}

void vgic_fold(struct vcpu *cur)
{
    spin_lock(&cur->vm->vgic.lock);
    vgic_lr_refold(cur);
    spin_unlock(&cur->vm->vgic.lock);
}

void vgic_maintenance(struct vcpu *cur)
{
    spin_lock(&cur->vm->vgic.lock);
    if (cur->vgic.overflow) {
        vgic_lr_refold(cur);
    } else {
        uint32_t ended = (uint32_t)read_ich_eisr_el2() & cur->vgic.lr_used;

        for (; ended != 0; ended &= ended - 1U) {
            vgic_irq_update(cur->vgic.listed[bits_first(ended)]);
        }
    }
    spin_unlock(&cur->vm->vgic.lock);
}

/*
 * Send an SGI to the vCPUs that the value names (IHI 0069, 12.2.17): all but cur, or the ones of
 * one cluster that have a bit in the target list. Range selection moves the list by 16 a step.
 */
static void send_sgi(struct vcpu *cur, uint64_t value, bool either_group)
{
    struct vm *vm = cur->vm;
    uint32_t intid = (uint32_t)FIELD_GET(ICC_SGI1R_EL1_INTID, value);
    uint32_t list = (uint32_t)FIELD_GET(ICC_SGI1R_EL1_TARGETLIST, value);
    uint32_t range = (uint32_t)FIELD_GET(ICC_SGI1R_EL1_RS, value);
    uint64_t cluster = FIELD_GET(ICC_SGI1R_EL1_AFF3, value) << 24 |
                       FIELD_GET(ICC_SGI1R_EL1_AFF2, value) << 16 |
                       FIELD_GET(ICC_SGI1R_EL1_AFF1, value) << 8;
    bool all = (value & ICC_SGI1R_EL1_IRM) != 0;

    spin_lock(&vm->vgic.lock);
    for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *vcpu = vm->vcpus[i];
        struct vgic_irq *irq = &vcpu->vgic.irqs[intid];
        uint32_t aff0 = vcpu->mpidr & 0xffU;
        bool named = (vcpu->mpidr & ~0xffU) == cluster && aff0 / 16U == range &&
                     ((list >> (aff0 % 16U)) & 1U) != 0;

        if ((all ? vcpu != cur : named) && (either_group || irq->group == 0)) {
            vgic_irq_set_latch(irq);
        }
    }
    spin_unlock(&vm->vgic.lock);
}

enum trap_result vgic_write_sgi1r(struct vcpu *cur, uint64_t value)
{
    send_sgi(cur, value, true);
    return TRAP_NEXT;
}

enum trap_result vgic_write_sgi0r(struct vcpu *cur, uint64_t value)
{
    send_sgi(cur, value, false);
    return TRAP_NEXT;
}

enum trap_result vgic_write_dir(struct vcpu *cur, uint64_t value)
{
    struct vm *vm = cur->vm;
    uint32_t intid = (uint32_t)FIELD_GET(ICC_DIR_EL1_INTID, value);
    struct vgic_irq *irq = vgic_irq_find(vm, cur, intid);
    uint32_t base = intid & ~31U;
    uint32_t held;

    /* With EOImode = 0 the write is UNPREDICTABLE: ignored. */
    if (irq == NULL || (read_ich_vmcr_el2() & ICH_VMCR_EL2_VEOIM) == 0) {
        return TRAP_NEXT;
    }
    spin_lock(&vm->vgic.lock);
    held = vgic_bank_recall(cur, cur, base, 1U << (intid % 32U), true);
    if (irq->active) {
        vgic_irq_deactivate(irq);
    }
    vgic_bank_release(cur, cur, base, held);
    vgic_irq_update(irq);
    spin_unlock(&vm->vgic.lock);
    return TRAP_NEXT;
}

/* What the CPU interface compares: the loaded registers or the saved ones. */
struct cpu_interface {
    uint64_t vmcr;
    uint32_t running; /* priority */
    uint32_t min_bpr;
};

static uint64_t active_priorities(const struct vcpu *vcpu, uint32_t i, bool loaded)
{
    return loaded ? read_ich_ap0r_el2(i) | read_ich_ap1r_el2(i)
                  : vcpu->vgic.ap0r[i] | vcpu->vgic.ap1r[i];
}

static void get_interface(const struct vcpu *vcpu, bool loaded, struct cpu_interface *ret)
{
    const struct vgic *vgic = &vcpu->vm->vgic;
    uint32_t step = 8U - vgic->pre_bits;

    ret->vmcr = loaded ? read_ich_vmcr_el2() : vcpu->vgic.vmcr;
    ret->min_bpr = step - 1U;
    ret->running = RUNNING_IDLE;
    for (uint32_t i = 0; i < vgic->nr_aprs; i++) {
        uint32_t bits = (uint32_t)active_priorities(vcpu, i, loaded);

        if (bits != 0) {
            ret->running = (i * 32U + bits_first(bits)) << step;
            return;
        }
    }
}

/* The priority bits that decide on preemption (IHI 0069, 4.8.4). */
static uint32_t group_priority_mask(const struct cpu_interface *interface, uint32_t group)
{
    uint32_t bpr = (uint32_t)FIELD_GET(ICH_VMCR_EL2_VBPR0, interface->vmcr);

    if (group == 1U && (interface->vmcr & ICH_VMCR_EL2_VCBPR) == 0) {
        bpr = (uint32_t)FIELD_GET(ICH_VMCR_EL2_VBPR1, interface->vmcr);
        bpr = bpr > 0 ? bpr - 1U : 0;
    }
    return 0xffU & (~0U << (MAX(bpr, interface->min_bpr) + 1U));
}

/* The most urgent of the pending interrupts whose group is enabled: only that one can signal. */
struct candidate {
    uint32_t priority;
    bool signals;
};

static void consider(const struct cpu_interface *interface, uint32_t group, uint32_t priority,
                     struct candidate *best)
{
    uint64_t enable = group == 0 ? ICH_VMCR_EL2_VENG0 : ICH_VMCR_EL2_VENG1;
    uint32_t mask = group_priority_mask(interface, group);
    bool signals;

    if ((interface->vmcr & enable) == 0 || priority > best->priority) {
        return;
    }
    signals =
        priority < FIELD_GET(ICH_VMCR_EL2_VPMR, interface->vmcr) &&
        (interface->running == RUNNING_IDLE || (priority & mask) < (interface->running & mask));
    best->signals = signals || (priority == best->priority && best->signals);
    best->priority = priority;
}

static void consider_listed(const struct vcpu *vcpu, const struct cpu_interface *interface,
                            struct candidate *best)
{
    for (uint32_t used = vcpu->vgic.lr_used; used != 0; used &= used - 1U) {
        uint64_t lr = vgic_lr_read(bits_first(used));

        if (FIELD_GET(ICH_LR_EL2_STATE, lr) == ICH_LR_EL2_STATE_PENDING) {
            consider(interface, (uint32_t)FIELD_GET(ICH_LR_EL2_GROUP, lr),
                     (uint32_t)FIELD_GET(ICH_LR_EL2_PRIORITY, lr), best);
        }
    }
}

bool vgic_signals(struct vcpu *vcpu)
{
    struct candidate best = {.priority = PRIORITY_NONE};
    struct cpu_interface interface;
    bool loaded = vgic_is_here(vcpu);
    struct vgic_irq *irq;
    uint32_t from = 0;

    get_interface(vcpu, loaded, &interface);
    if (loaded) {
        consider_listed(vcpu, &interface, &best);
    }
    while ((irq = vgic_ready_next(vcpu, &from)) != NULL) {
        if (!irq->active) {
            consider(&interface, irq->group, irq->priority, &best);
        }
    }
    return best.signals;
}

bool vgic_deliverable(struct vcpu *vcpu)
{
    bool deliverable;

    spin_lock(&vcpu->vm->vgic.lock);
    deliverable = vgic_is_elsewhere(vcpu) ? vgic_has_work(&vcpu->vgic) : vgic_signals(vcpu);
    spin_unlock(&vcpu->vm->vgic.lock);
    return deliverable;
}
