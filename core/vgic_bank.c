/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers with a field per interrupt (IHI 0069, 12.9 and 12.11), which the distributor has
 * for SPIs and each redistributor's SGI frame, at the same offsets, for its SGIs and PPIs.
 *
 * Whether an interrupt is pending or active may be known only to a list register of another CPU.
 * Reading has that CPU fold first. Changing it also holds the interrupt: it stays out of list
 * registers from that fold until the change is made.
 */
#include "bothy/bits.h"
#include "core/vgic_irq.h"

#define BANK_IGROUPR 1U /* offset / 0x80 */
#define BANK_ISENABLER 2U
#define BANK_ICENABLER 3U
#define BANK_ISPENDR 4U
#define BANK_ICPENDR 5U
#define BANK_ISACTIVER 6U
#define BANK_ICACTIVER 7U
#define BANK_COUNT 8U

#define BANK_IPRIORITYR 0x400U
#define BANK_ITARGETSR 0x800U
#define BANK_ICFGR 0xc00U
#define BANK_IGRPMODR 0xd00U

/* What is done before and after, beside the change itself. */
#define ROW_ALL_BITS BIT(0)   /* zeros are written too */
#define ROW_RESAMPLE BIT(1)   /* depends on the level of the timers' wires */
#define ROW_FOLD_READ BIT(2)  /* reads what list registers know */
#define ROW_FOLD_WRITE BIT(3) /* changes what list registers know */
#define ROW_WAIT BIT(4)       /* takes effect in other CPUs' list registers before it is done */

struct bank_row {
    bool (*get)(const struct vgic_irq *irq);
    bool (*set)(struct vgic_irq *irq, bool bit); /* true if vgic_irq_update() is to follow */
    uint64_t flags;
};

static bool get_group(const struct vgic_irq *irq)
{
    return irq->group != 0;
}

static bool get_enabled(const struct vgic_irq *irq)
{
    return irq->enabled;
}

static bool get_pending(const struct vgic_irq *irq)
{
    return vgic_irq_pending(irq);
}

static bool get_active(const struct vgic_irq *irq)
{
    return irq->active;
}

static bool set_group(struct vgic_irq *irq, bool bit)
{
    bool changed = (irq->group != 0) != bit;

    irq->group = bit ? 1 : 0;
    return changed;
}

static bool set_enable(struct vgic_irq *irq, bool bit)
{
    bool changed = !irq->enabled;

    (void)bit;
    irq->enabled = true;
    return changed;
}

static bool clear_enable(struct vgic_irq *irq, bool bit)
{
    bool changed = irq->enabled;

    (void)bit;
    irq->enabled = false;
    return changed;
}

static bool set_pending(struct vgic_irq *irq, bool bit)
{
    (void)bit;
    vgic_irq_set_latch(irq);
    return false;
}

static bool clear_pending(struct vgic_irq *irq, bool bit)
{
    (void)bit;
    irq->latch = false;
    irq->fresh = false;
    return true;
}

static bool set_active(struct vgic_irq *irq, bool bit)
{
    (void)bit;
    if (!irq->active) {
        irq->active = true;
        irq->soft_active = true;
        irq->list_priority = irq->priority;
        irq->list_group = irq->group;
    }
    return true;
}

static bool clear_active(struct vgic_irq *irq, bool bit)
{
    (void)bit;
    if (irq->active) {
        vgic_irq_deactivate(irq);
    }
    return true;
}

static const struct bank_row rows[BANK_COUNT] = {
    [BANK_IGROUPR] = {get_group, set_group, ROW_ALL_BITS},
    [BANK_ISENABLER] = {get_enabled, set_enable, ROW_RESAMPLE},
    [BANK_ICENABLER] = {get_enabled, clear_enable, ROW_WAIT},
    [BANK_ISPENDR] = {get_pending, set_pending, ROW_RESAMPLE | ROW_FOLD_READ},
    [BANK_ICPENDR] = {get_pending, clear_pending, ROW_RESAMPLE | ROW_FOLD_READ | ROW_FOLD_WRITE},
    [BANK_ISACTIVER] = {get_active, set_active, ROW_FOLD_READ | ROW_FOLD_WRITE},
    [BANK_ICACTIVER] = {get_active, clear_active, ROW_FOLD_READ | ROW_FOLD_WRITE},
};

void vgic_sync(struct vm *vm, uint32_t vcpus)
{
    for (; vcpus != 0; vcpus &= vcpus - 1U) {
        struct vcpu *vcpu = vm->vcpus[bits_first(vcpus)];

        vm->hooks->sync_vcpu(vcpu);
    }
}

/* The vCPU (bit per id) whose CPU alone knows this interrupt's state, or 0. */
static uint32_t known_elsewhere(const struct vgic_irq *irq)
{
    const struct vcpu *vcpu = irq->target;

    if (vcpu == NULL || !vgic_is_elsewhere(vcpu)) {
        return 0;
    }
    return vgic_irq_listed(irq) ? 1U << vcpu->id : 0;
}

/* Its end may have been counted there only. */
static uint32_t counted_elsewhere(const struct vgic_irq *irq)
{
    const struct vcpu *vcpu = irq->target;

    if (vcpu == NULL || !irq->active || !vcpu->vgic.overflow || !vgic_is_elsewhere(vcpu)) {
        return 0;
    }
    return 1U << vcpu->id;
}

uint32_t vgic_bank_recall(struct vcpu *cur, struct vcpu *owner, uint32_t base, uint32_t mask,
                          bool hold)
{
    uint32_t held = 0;

    if (cur->vgic.overflow) {
        vgic_lr_refold(cur); /* counts what ended unlisted */
    }
    for (bool first = true;; first = false) {
        uint32_t wait = 0;

        for (uint32_t bits = mask; bits != 0; bits &= bits - 1U) {
            struct vgic_irq *irq = vgic_irq_find(cur->vm, owner, base + bits_first(bits));

            if (irq == NULL) {
                continue;
            }
            vgic_irq_recall(irq);
            if (hold && known_elsewhere(irq) != 0 && (held & bits & -bits) == 0) {
                irq->held++;
                held |= bits & -bits;
            }
            wait |= known_elsewhere(irq) | (first ? counted_elsewhere(irq) : 0);
        }
        if (wait == 0 || (!first && !hold)) {
            return held;
        }
        spin_unlock(&cur->vm->vgic.lock);
        vgic_sync(cur->vm, wait);
        spin_lock(&cur->vm->vgic.lock);
    }
}

void vgic_bank_release(struct vcpu *cur, struct vcpu *owner, uint32_t base, uint32_t held)
{
    for (; held != 0; held &= held - 1U) {
        vgic_irq_find(cur->vm, owner, base + bits_first(held))->held--;
    }
}

/* Put back what reading recalled from this CPU's list registers. */
static void put_back(struct vgic_irq *irq)
{
    if (!vgic_irq_listed(irq) && irq->target != NULL && vgic_is_here(irq->target)) {
        vgic_irq_update(irq);
    }
}

static uint32_t read_bits(struct vcpu *cur, struct vcpu *owner, uint32_t base,
                          const struct bank_row *row)
{
    uint32_t value = 0;

    spin_lock(&cur->vm->vgic.lock);
    if ((row->flags & ROW_FOLD_READ) != 0) {
        vgic_bank_recall(cur, owner, base, ~0U, false);
    }
    for (uint32_t i = 0; i < 32U; i++) {
        struct vgic_irq *irq = vgic_irq_find(cur->vm, owner, base + i);

        if (irq == NULL) {
            break;
        }
        value |= row->get(irq) ? 1U << i : 0;
        put_back(irq);
    }
    spin_unlock(&cur->vm->vgic.lock);
    return value;
}

static void write_bits(struct vcpu *cur, struct vcpu *owner, uint32_t base,
                       const struct bank_row *row, uint32_t value)
{
    uint32_t mask = (row->flags & ROW_ALL_BITS) != 0 ? ~0U : value;
    uint32_t wait = 0;

    spin_lock(&cur->vm->vgic.lock);
    if ((row->flags & ROW_FOLD_WRITE) != 0) {
        uint32_t held = vgic_bank_recall(cur, owner, base, mask, true);

        vgic_bank_release(cur, owner, base, held);
    }
    for (uint32_t bits = mask; bits != 0; bits &= bits - 1U) {
        uint32_t bit = bits_first(bits);
        struct vgic_irq *irq = vgic_irq_find(cur->vm, owner, base + bit);

        if (irq != NULL && row->set(irq, ((value >> bit) & 1U) != 0)) {
            vgic_irq_update(irq);
            wait |= (row->flags & ROW_WAIT) != 0 ? known_elsewhere(irq) : 0;
        }
    }
    spin_unlock(&cur->vm->vgic.lock);
    vgic_sync(cur->vm, wait);
}

static uint32_t read_priorities(struct vcpu *cur, struct vcpu *owner, uint32_t intid, uint32_t n)
{
    uint32_t value = 0;

    spin_lock(&cur->vm->vgic.lock);
    for (uint32_t i = 0; i < n; i++) {
        struct vgic_irq *irq = vgic_irq_find(cur->vm, owner, intid + i);

        value |= irq == NULL ? 0 : (uint32_t)irq->priority << (8U * i);
    }
    spin_unlock(&cur->vm->vgic.lock);
    return value;
}

static void write_priorities(struct vcpu *cur, struct vcpu *owner, uint32_t intid, uint32_t n,
                             uint32_t value)
{
    uint8_t implemented = cur->vm->vgic.priority_mask;

    spin_lock(&cur->vm->vgic.lock);
    for (uint32_t i = 0; i < n; i++, value >>= 8) {
        struct vgic_irq *irq = vgic_irq_find(cur->vm, owner, intid + i);
        uint8_t priority = (uint8_t)(value & implemented);

        if (irq != NULL && irq->priority != priority) {
            irq->priority = priority;
            vgic_irq_update(irq);
        }
    }
    spin_unlock(&cur->vm->vgic.lock);
}

/* 16 interrupts, of which bit 2n+1 says that it is edge-triggered. */
static uint32_t read_config(struct vcpu *cur, struct vcpu *owner, uint32_t intid)
{
    uint32_t value = 0;

    spin_lock(&cur->vm->vgic.lock);
    for (uint32_t i = 0; i < 16U; i++) {
        struct vgic_irq *irq = vgic_irq_find(cur->vm, owner, intid + i);

        value |= irq != NULL && irq->edge ? 2U << (2U * i) : 0;
    }
    spin_unlock(&cur->vm->vgic.lock);
    return value;
}

/* SGIs are edge-triggered and PPIs level-sensitive, for good. */
static void write_config(struct vcpu *cur, uint32_t intid, uint32_t value)
{
    spin_lock(&cur->vm->vgic.lock);
    for (uint32_t i = 0; i < 16U; i++) {
        struct vgic_irq *irq = vgic_irq_find(cur->vm, NULL, intid + i);
        bool edge = ((value >> (2U * i)) & 2U) != 0;

        if (irq != NULL && irq->edge != edge) {
            irq->edge = edge;
            vgic_irq_update(irq);
        }
    }
    spin_unlock(&cur->vm->vgic.lock);
}

static void access_bits(struct vcpu *cur, struct vcpu *owner, uint64_t offset,
                        struct mmio_access *access)
{
    const struct bank_row *row = &rows[offset >> 7];
    uint32_t base = ((uint32_t)offset & 0x7cU) * 8U;

    if (row->get == NULL || access->size != 4 || (owner != NULL && base != 0)) {
        return;
    }
    if (owner == cur && (row->flags & ROW_RESAMPLE) != 0) {
        if (cur->vgic.overflow) {
            vgic_fold(cur); /* an end that is counted only lowers the line: before the sample */
        }
        vtimer_resample(cur);
    }
    if (access->write) {
        write_bits(cur, owner, base, row, (uint32_t)access->value);
    } else {
        access->value = read_bits(cur, owner, base, row);
    }
}

void vgic_bank_access(struct vcpu *cur, struct vcpu *owner, uint64_t offset,
                      struct mmio_access *access)
{
    uint32_t intid;

    if (!access->write) {
        access->value = 0;
    }
    if (!IS_ALIGNED(offset, (uint64_t)access->size)) {
        return;
    }
    if (offset < BANK_IPRIORITYR) {
        access_bits(cur, owner, offset, access);
        return;
    }
    if (offset < BANK_ITARGETSR && (access->size == 4 || access->size == 1)) {
        intid = (uint32_t)offset - BANK_IPRIORITYR;
        if (owner != NULL && intid >= VGIC_PRIVATE_IRQS) {
            return;
        }
        if (access->write) {
            write_priorities(cur, owner, intid, access->size, (uint32_t)access->value);
        } else {
            access->value = read_priorities(cur, owner, intid, access->size);
        }
    } else if (offset >= BANK_ICFGR && offset < BANK_IGRPMODR && access->size == 4) {
        intid = ((uint32_t)offset - BANK_ICFGR) * 4U;
        if (owner != NULL && intid >= VGIC_PRIVATE_IRQS) {
            return;
        }
        if (!access->write) {
            access->value = read_config(cur, owner, intid);
        } else if (owner == NULL) {
            write_config(cur, intid, (uint32_t)access->value);
        }
    }
    /* All else reads as zero and ignores writes: ITARGETSR and SGIR as affinity routing is on,
     * IGRPMODR and NSACR as there is one security state. */
}
