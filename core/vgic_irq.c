/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of each interrupt of a guest, and what a change of it sets in motion.
 *
 * Invariants, whenever the lock is free:
 * - an interrupt is in at most one list register: listed[irq->lr] == irq in its target's vcpu_vgic;
 * - one that isn't listed and that is forwarded or active has its bit in its target's `ready`, and
 *   no other bits are set there;
 * - if an interrupt in `ready` may be listed and its target is loaded, then either a list register
 *   was refused to it (overflow), or the target has `work`.
 */
#include "core/vgic_irq.h"
#include "core/vtimer.h"

struct vgic_irq *vgic_irq_find(struct vm *vm, struct vcpu *vcpu, uint32_t intid)
{
    if (intid < VGIC_PRIVATE_IRQS) {
        return vcpu == NULL ? NULL : &vcpu->vgic.irqs[intid];
    }
    if (intid < VGIC_IRQS) {
        return &vm->vgic.spis[intid - VGIC_PRIVATE_IRQS];
    }
    return NULL;
}

struct vgic_irq *vgic_ready_next(struct vcpu *vcpu, uint32_t *from)
{
    uint32_t words = vcpu->vgic.ready_words >> (*from / 32U) << (*from / 32U);

    for (; words != 0; words &= words - 1U) {
        uint32_t word = bits_first(words);
        uint32_t bits = vcpu->vgic.ready[word];

        if (word == *from / 32U) {
            bits = bits >> (*from % 32U) << (*from % 32U);
        }
        if (bits != 0) {
            uint32_t intid = word * 32U + bits_first(bits);

            *from = intid + 1U;
            return vgic_irq_find(vcpu->vm, vcpu, intid);
        }
    }
    return NULL;
}

void vgic_notify(struct vcpu *vcpu, bool refold)
{
    if (refold) {
        vcpu->vgic.refold = true;
    }
    __atomic_store_n(&vcpu->vgic.work, true, __ATOMIC_RELEASE);
    vcpu->vm->hooks->kick(vcpu);
}

/*
 * An interrupt was withdrawn from a vCPU that waits. If it was the most urgent one and could not
 * preempt, then the next may: the binary points of the two groups differ.
 */
static void withdrawn(struct vcpu *vcpu)
{
    if (cpu_this()->running != vcpu && !vgic_is_elsewhere(vcpu) && vgic_signals(vcpu)) {
        vcpu->vm->hooks->kick(vcpu);
    }
}

/* Find the SPI's target anew, now that it is neither listed nor active. */
static void route(struct vgic_irq *irq, struct vm *vm)
{
    struct vcpu *target = vgic_dist_route(vm, irq->router);

    irq->reroute = false;
    if (target == irq->target) {
        return;
    }
    if (irq->target != NULL) {
        vgic_ready_clear(irq->target, irq);
        withdrawn(irq->target);
    }
    irq->target = target;
    if (target != NULL && !vgic_is_here(target) && vgic_irq_forwarded(&vm->vgic, irq)) {
        vgic_notify(target, false);
    }
}

/* The VM of an interrupt whose target may be nobody: SPIs sit in its vgic. */
static struct vm *vm_of_spi(struct vgic_irq *irq)
{
    struct vgic_irq *first = irq - (irq->intid - VGIC_PRIVATE_IRQS);

    return CONTAINER_OF(first, struct vm, vgic.spis[0]);
}

bool vgic_irq_queue(struct vgic_irq *irq)
{
    struct vcpu *vcpu;

    if (unlikely(irq->reroute) && !irq->active) {
        route(irq, vm_of_spi(irq));
    }
    vcpu = irq->target;
    if (vcpu == NULL) {
        return false;
    }
    if (irq->active || vgic_irq_forwarded(&vcpu->vm->vgic, irq)) {
        vgic_ready_set(vcpu, irq);
        return true;
    }
    vgic_ready_clear(vcpu, irq);
    return false;
}

void vgic_irq_update(struct vgic_irq *irq)
{
    struct vcpu *vcpu = irq->target;

    vgic_irq_recall(irq);
    if (vgic_irq_listed(irq)) {
        vgic_notify(vcpu, true);
        return;
    }
    if (!vgic_irq_queue(irq)) {
        if (vcpu != NULL) {
            withdrawn(vcpu);
        }
        return;
    }
    vcpu = irq->target;
    if (!vgic_is_here(vcpu)) {
        vgic_notify(vcpu, false);
        return;
    }
    vgic_lr_insert(vcpu, irq);
    if (cpu_this()->running != vcpu) {
        vcpu->vm->hooks->kick(vcpu); /* loaded here, but waiting */
    }
}

void vgic_irq_recall(struct vgic_irq *irq)
{
    if (vgic_irq_listed(irq) && vgic_is_here(irq->target)) {
        vgic_lr_take(irq->target, irq->lr);
    }
}

void vgic_irq_unlink(struct vgic_irq *irq)
{
    struct vcpu *vcpu = irq->target;

    irq->hw = false;
    if (vcpu->vgic.cpu == NULL) {
        return;
    }
    irq->line = false; /* if it is still high, the physical interrupt says so at once */
    if (vgic_is_here(vcpu)) {
        vtimer_deactivate(vcpu, irq->intid);
    } else {
        vcpu->vgic.drop_hw = true; /* only that CPU can */
        vgic_notify(vcpu, false);
    }
}

void vgic_irq_deactivate(struct vgic_irq *irq)
{
    irq->active = false;
    irq->soft_active = false;
    if (irq->hw) {
        vgic_irq_unlink(irq);
    }
    vgic_irq_queue(irq);
}

void vgic_irq_set_latch(struct vgic_irq *irq)
{
    struct vcpu *vcpu = irq->target;

    if (vgic_irq_listed(irq)) {
        if (!vgic_is_here(vcpu)) {
            irq->fresh = true;
            vgic_notify(vcpu, true);
            return;
        }
        if (likely(vgic_lr_latch(vcpu, irq))) {
            if (unlikely(cpu_this()->running != vcpu)) {
                vcpu->vm->hooks->kick(vcpu);
            }
            return;
        }
        vgic_lr_take(vcpu, irq->lr);
    }
    irq->latch = true;
    vgic_irq_update(irq);
}

void vgic_irq_set_line(struct vgic_irq *irq, bool level)
{
    if (irq->line == level && !irq->hw) {
        return;
    }
    if (irq->edge) {
        irq->line = level;
        if (level) {
            vgic_irq_set_latch(irq);
        }
        return;
    }
    vgic_irq_recall(irq); /* first: that may take the line of an ended one for low */
    irq->line = level;
    /* A rise is of no concern to another CPU's list register that has it: it is pending there, or
     * active, and the end of that brings a maintenance interrupt. */
    if (level && vgic_irq_listed(irq)) {
        return;
    }
    if (irq->hw && !level && !irq->active && !vgic_irq_listed(irq)) {
        vgic_irq_unlink(irq);
    }
    vgic_irq_update(irq);
}

void vgic_set_spi_level(struct vm *vm, uint32_t intid, bool level)
{
    if (intid < VGIC_PRIVATE_IRQS || intid >= VGIC_IRQS) {
        return;
    }
    spin_lock(&vm->vgic.lock);
    vgic_irq_set_line(&vm->vgic.spis[intid - VGIC_PRIVATE_IRQS], level);
    spin_unlock(&vm->vgic.lock);
}

void vgic_pulse_spi(struct vm *vm, uint32_t intid)
{
    struct vgic_irq *irq;

    if (intid < VGIC_PRIVATE_IRQS || intid >= VGIC_IRQS) {
        return;
    }
    irq = &vm->vgic.spis[intid - VGIC_PRIVATE_IRQS];
    spin_lock(&vm->vgic.lock);
    /* A level-sensitive one would miss so short a pulse. */
    if (irq->edge) {
        vgic_irq_set_latch(irq);
    }
    spin_unlock(&vm->vgic.lock);
}

void vgic_set_ppi_level(struct vcpu *vcpu, uint32_t intid, bool level)
{
    if (intid < VGIC_SGIS || intid >= VGIC_PRIVATE_IRQS) {
        return;
    }
    spin_lock(&vcpu->vm->vgic.lock);
    vgic_irq_set_line(&vcpu->vgic.irqs[intid], level);
    spin_unlock(&vcpu->vm->vgic.lock);
}
