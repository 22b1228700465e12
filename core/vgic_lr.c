/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list registers of the CPU on which a vCPU is loaded (IHI 0069, 4.5 and 6.4).
 *
 * An interrupt that becomes ready takes a free list register; that is all that happens most of the
 * time. When there are more ready ones than list registers (overflow), all are folded back to
 * memory and the most deserving are listed: see class_of(). What is left behind brings a
 * maintenance interrupt, in ICH_HCR_EL2:
 * - NPIE when the guest has taken all that were pending in list registers, VGrp<n>DIE or EIE when
 *   a group's enable in the CPU interface changes who deserves a list register;
 * - LRENPIE when it ended an active interrupt that no list register has. EOIcount says how many:
 *   it ends the one with the highest priority first.
 * UIE is not used: with one list register it would be asserted all the time, and NPIE does.
 *
 * ICC_DIR_EL1 is always trapped (TDIR), as it may name an interrupt that is active on another
 * vCPU or in no list register. Only guests with EOImode = 1 write it.
 *
 * A level-sensitive interrupt asks for a maintenance interrupt at its end (EOI), to be listed
 * again if its wire is still high. It is never both pending and active in a list register; nor is
 * an edge-triggered one whose priority, group or routing changed while it was active, nor any in an
 * overflow: its end would make it pending in the place of a more urgent one.
 */
#include "arch/sysreg.h"
#include "bothy/panic.h"
#include "core/vgic_irq.h"

#define STATE_PENDING ICH_LR_EL2_STATE_PENDING
#define STATE_ACTIVE ICH_LR_EL2_STATE_ACTIVE

static uint32_t lr_state(uint64_t lr)
{
    return (uint32_t)FIELD_GET(ICH_LR_EL2_STATE, lr);
}

/* Any list register: a jump table of sixteen instructions, once. */
static __attribute__((noinline)) uint64_t lr_read_any(uint32_t index)
{
    return read_ich_lr_el2(index);
}

static __attribute__((noinline)) void lr_write_any(uint32_t index, uint64_t lr)
{
    write_ich_lr_el2(index, lr);
}

/* Few are in use most of the time. */
static inline uint64_t lr_read(uint32_t index)
{
    if (likely(index == 0)) {
        return read_ich_lr0_el2();
    }
    return index == 1U ? read_ich_lr1_el2() : lr_read_any(index);
}

static inline void lr_write(uint32_t index, uint64_t lr)
{
    if (likely(index == 0)) {
        write_ich_lr0_el2(lr);
    } else if (index == 1U) {
        write_ich_lr1_el2(lr);
    } else {
        lr_write_any(index, lr);
    }
}

uint64_t vgic_lr_read(uint32_t index)
{
    return lr_read(index);
}

/* The list register for an interrupt in its present state; notes in it what was listed. */
static uint64_t build(const struct vcpu *vcpu, struct vgic_irq *irq)
{
    const struct vgic *vgic = &vcpu->vm->vgic;
    /* What it will be when it ends being active can't be told by the same list register. */
    bool changes = irq->active && (irq->reroute || irq->list_priority != irq->priority ||
                                   irq->list_group != irq->group);
    /* Nor whether it then is more urgent than those that are left behind. */
    bool ask = !irq->edge || changes || (irq->active && vcpu->vgic.overflow);
    bool pending = vgic_irq_forwarded(vgic, irq) && !(irq->active && ask);
    uint64_t lr = FIELD_PREP(ICH_LR_EL2_VINTID, irq->intid);

    if (!irq->active) {
        irq->list_priority = irq->priority;
        irq->list_group = irq->group;
    }
    lr |= FIELD_PREP(ICH_LR_EL2_PRIORITY, irq->list_priority);
    lr |= FIELD_PREP(ICH_LR_EL2_GROUP, irq->list_group);
    lr |= pending ? FIELD_PREP(ICH_LR_EL2_STATE, STATE_PENDING) : 0;
    lr |= irq->active ? FIELD_PREP(ICH_LR_EL2_STATE, STATE_ACTIVE) : 0;
    if (irq->hw && !irq->latch) {
        lr |= ICH_LR_EL2_HW | FIELD_PREP(ICH_LR_EL2_PINTID, irq->intid);
    } else if (ask) {
        lr |= ICH_LR_EL2_EOI;
    }
    irq->listed_pending = pending;
    irq->refire = vgic_irq_enabled(vgic, irq) && !changes;
    return lr;
}

static void list(struct vcpu *vcpu, struct vgic_irq *irq, uint32_t index)
{
    lr_write(index, build(vcpu, irq));
    vcpu->vgic.listed[index] = irq;
    vcpu->vgic.lr_used |= 1U << index;
    irq->lr = (uint8_t)index;
    vgic_ready_clear(vcpu, irq);
}

/* Bring memory up to date with what happened in a list register, which is not written. */
static bool fold(struct vcpu *vcpu, uint32_t index)
{
    struct vgic_irq *irq = vcpu->vgic.listed[index];
    uint64_t lr = lr_read(index);
    uint32_t state = lr_state(lr);

    vcpu->vgic.listed[index] = NULL;
    vcpu->vgic.lr_used &= ~(1U << index);
    irq->lr = VGIC_NO_LR;

    if (irq->listed_pending && (state & STATE_PENDING) == 0) {
        irq->latch = false; /* acknowledged */
    }
    irq->latch |= irq->fresh;
    irq->fresh = false;
    irq->active = (state & STATE_ACTIVE) != 0;
    if (state == 0) {
        irq->soft_active = false;
        if ((lr & ICH_LR_EL2_HW) != 0) {
            irq->hw = false; /* its end deactivated the physical one */
            irq->line = false;
        } else if (irq->hw) {
            vgic_irq_unlink(irq);
        }
    }
    return vgic_irq_queue(irq) && irq->target == vcpu;
}

bool vgic_lr_take(struct vcpu *vcpu, uint32_t lr)
{
    bool ready = fold(vcpu, lr);

    lr_write(lr, 0);
    return ready;
}

/* Free the list registers whose interrupts have ended. False if one of them is ready again. */
static bool reap(struct vcpu *vcpu)
{
    uint32_t ended = (uint32_t)read_ich_elrsr_el2() & vcpu->vgic.lr_used;
    bool again = false;

    while (ended != 0) {
        uint32_t lr = bits_first(ended);

        ended &= ended - 1U;
        again |= vgic_lr_take(vcpu, lr);
    }
    return !again;
}

void vgic_lr_insert(struct vcpu *vcpu, struct vgic_irq *irq)
{
    uint32_t all = vcpu->vm->vgic.lr_mask;

    if (!vgic_irq_listable(irq)) {
        return;
    }
    if (likely(!vcpu->vgic.overflow) &&
        (likely(vcpu->vgic.lr_used != all) || (reap(vcpu) && vcpu->vgic.lr_used != all))) {
        list(vcpu, irq, bits_first(all & ~vcpu->vgic.lr_used));
        return;
    }
    /* Once for all that come before the next entry: vgic_flush(). */
    vcpu->vgic.refold = true;
    __atomic_store_n(&vcpu->vgic.work, true, __ATOMIC_RELAXED);
}

bool vgic_lr_latch(struct vcpu *vcpu, struct vgic_irq *irq)
{
    uint64_t lr = lr_read(irq->lr);

    if (!irq->refire || !irq->edge || vcpu->vgic.overflow) {
        return false;
    }
    if ((lr & FIELD_PREP(ICH_LR_EL2_STATE, STATE_PENDING)) == 0) {
        irq->latch = true;
        irq->listed_pending = true;
        irq->soft_active = irq->soft_active && lr_state(lr) != 0;
        lr_write(irq->lr, lr | FIELD_PREP(ICH_LR_EL2_STATE, STATE_PENDING));
    }
    return true;
}

/* The timer's interrupt has ended and comes again: its list register has all but the state. */
static bool fire_again(struct vcpu *vcpu, struct vgic_irq *irq)
{
    uint64_t lr;

    if (unlikely(!vgic_irq_listed(irq) || !irq->refire || vcpu->vgic.overflow ||
                 cpu_this()->running != vcpu)) {
        return false;
    }
    lr = lr_read(irq->lr);
    if (unlikely(lr_state(lr) != 0 || (lr & ICH_LR_EL2_HW) == 0)) {
        return false;
    }
    irq->line = true;
    irq->listed_pending = true;
    irq->soft_active = false;
    lr_write(irq->lr, lr | FIELD_PREP(ICH_LR_EL2_STATE, STATE_PENDING));
    return true;
}

void vgic_timer_fired(struct vcpu *cur)
{
    struct vgic_irq *irq = &cur->vgic.irqs[VGIC_HW_INTID];

    spin_lock(&cur->vm->vgic.lock);
    if (unlikely(!fire_again(cur, irq))) {
        vgic_irq_recall(irq); /* may find it ended: before the new link is made */
        irq->line = true;
        irq->hw = true;
        vgic_irq_update(irq);
    }
    spin_unlock(&cur->vm->vgic.lock);
}

/* The guest ended an interrupt that was in no list register: the one with the highest priority
 * among the active ones; those that no acknowledge made active come last. */
static void end_unlisted(struct vcpu *vcpu)
{
    struct vgic_irq *best = NULL;
    struct vgic_irq *irq;
    uint32_t from = 0;

    while ((irq = vgic_ready_next(vcpu, &from)) != NULL) {
        if (!irq->active) {
            continue;
        }
        if (best == NULL || best->soft_active > irq->soft_active ||
            (best->soft_active == irq->soft_active && irq->list_priority < best->list_priority)) {
            best = irq;
        }
    }
    if (best != NULL) {
        vgic_irq_deactivate(best);
    }
}

void vgic_lr_fold_all(struct vcpu *vcpu)
{
    uint64_t hcr = read_ich_hcr_el2();
    uint64_t ended = (hcr & ICH_HCR_EL2_LRENPIE) != 0 ? FIELD_GET(ICH_HCR_EL2_EOICOUNT, hcr) : 0;

    /* Before the list registers add to the active interrupts that are in none. */
    for (; unlikely(ended != 0); ended--) {
        end_unlisted(vcpu);
    }
    for (uint32_t used = vcpu->vgic.lr_used; used != 0; used &= used - 1U) {
        fold(vcpu, bits_first(used));
    }
}

/* Those that become list registers' owners, the most deserving first. */
struct picks {
    uint32_t count, limit;
    bool left_deliverable, left_disabled, left_active;
    struct {
        uint32_t key; /* class, priority, INTID: the lowest is the most deserving */
        struct vgic_irq *irq;
    } pick[VGIC_LR_MAX];
};

enum pick_class {
    PICK_RUNNING,     /* the active one that the guest will end first */
    PICK_DELIVERABLE, /* pending; the CPU interface decides by priority */
    PICK_ACTIVE,      /* its end is counted in EOIcount if it isn't listed */
    PICK_DISABLED,    /* pending, but its group is off in the CPU interface */
};

#define PICK_CLASS_SHIFT 24
#define PICK_PRIORITY_SHIFT 16

static enum pick_class class_of(const struct vgic_irq *irq, uint64_t vmcr)
{
    uint64_t enable = irq->group == 0 ? ICH_VMCR_EL2_VENG0 : ICH_VMCR_EL2_VENG1;

    if (irq->active) {
        return PICK_ACTIVE;
    }
    return (vmcr & enable) != 0 ? PICK_DELIVERABLE : PICK_DISABLED;
}

static uint32_t key_of(const struct vgic_irq *irq, enum pick_class class)
{
    uint32_t priority = irq->active ? irq->list_priority : irq->priority;

    return (uint32_t) class << PICK_CLASS_SHIFT | priority << PICK_PRIORITY_SHIFT | irq->intid;
}

static void leave_behind(struct picks *picks, uint32_t key)
{
    enum pick_class class = key >> PICK_CLASS_SHIFT;

    picks->left_deliverable |= class == PICK_DELIVERABLE;
    picks->left_disabled |= class == PICK_DISABLED;
    picks->left_active |= class == PICK_ACTIVE;
}

static void picks_add(struct picks *picks, struct vgic_irq *irq, uint32_t key)
{
    uint32_t at;

    if (picks->count == picks->limit) {
        if (key > picks->pick[picks->count - 1U].key) {
            leave_behind(picks, key);
            return;
        }
        leave_behind(picks, picks->pick[--picks->count].key);
    }
    for (at = picks->count; at > 0 && picks->pick[at - 1U].key > key; at--) {
        picks->pick[at] = picks->pick[at - 1U];
    }
    picks->pick[at].key = key;
    picks->pick[at].irq = irq;
    picks->count++;
}

static void choose(struct vcpu *vcpu, struct picks *picks)
{
    uint64_t vmcr = read_ich_vmcr_el2();
    struct vgic_irq *running = NULL;
    struct vgic_irq *irq;
    uint32_t from = 0;

    /* With a single list register it must be the pending one that has it. */
    while (picks->limit > 1U && (irq = vgic_ready_next(vcpu, &from)) != NULL) {
        if (irq->active && vgic_irq_listable(irq) &&
            (running == NULL || irq->list_priority < running->list_priority)) {
            running = irq;
        }
    }
    from = 0;
    while ((irq = vgic_ready_next(vcpu, &from)) != NULL) {
        enum pick_class class = irq == running ? PICK_RUNNING : class_of(irq, vmcr);

        if (vgic_irq_listable(irq)) {
            picks_add(picks, irq, key_of(irq, class));
        } else {
            picks->left_active |= irq->active;
        }
    }
}

static uint64_t hcr_for(const struct picks *picks, uint64_t vmcr)
{
    uint64_t hcr = ICH_HCR_EL2_EN | ICH_HCR_EL2_TDIR;

    if (picks->left_active) {
        hcr |= ICH_HCR_EL2_LRENPIE;
    }
    if (picks->left_deliverable) {
        hcr |= ICH_HCR_EL2_NPIE;
        hcr |= (vmcr & ICH_VMCR_EL2_VENG0) != 0 ? ICH_HCR_EL2_VGRP0DIE : ICH_HCR_EL2_VGRP0EIE;
        hcr |= (vmcr & ICH_VMCR_EL2_VENG1) != 0 ? ICH_HCR_EL2_VGRP1DIE : ICH_HCR_EL2_VGRP1EIE;
    } else if (picks->left_disabled) {
        hcr |= (vmcr & ICH_VMCR_EL2_VENG0) != 0 ? 0 : ICH_HCR_EL2_VGRP0EIE;
        hcr |= (vmcr & ICH_VMCR_EL2_VENG1) != 0 ? 0 : ICH_HCR_EL2_VGRP1EIE;
    }
    return hcr;
}

/* Nothing is listed; the list registers in `stale` must be written even if they stay empty. */
void vgic_lr_refill(struct vcpu *vcpu, uint32_t stale)
{
    struct picks picks; /* pick[] needs no start value */

    picks.count = 0;
    picks.limit = (uint32_t)bits_count(vcpu->vm->vgic.lr_mask);
    picks.left_deliverable = false;
    picks.left_disabled = false;
    picks.left_active = false;
    choose(vcpu, &picks);
    vcpu->vgic.overflow = picks.left_deliverable || picks.left_disabled || picks.left_active;
    for (uint32_t i = 0; i < picks.count; i++) {
        list(vcpu, picks.pick[i].irq, i);
    }
    for (stale &= ~vcpu->vgic.lr_used; stale != 0; stale &= stale - 1U) {
        lr_write(bits_first(stale), 0);
    }
    vcpu->vgic.refold = false;
    write_ich_hcr_el2(hcr_for(&picks, read_ich_vmcr_el2()));
}

void vgic_lr_refold(struct vcpu *vcpu)
{
    uint32_t stale = vcpu->vgic.lr_used;

    vgic_lr_fold_all(vcpu);
    vgic_lr_refill(vcpu, stale);
}
