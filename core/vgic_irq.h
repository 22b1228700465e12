/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the vGIC: what its files use of each other. Everything here needs the VM's vGIC lock,
 * unless it says otherwise.
 *
 * An interrupt is "listed" while a list register has it (irq->lr); only interrupts whose target is
 * loaded are. It is "ready" when it isn't listed and should be: it is to be forwarded or active.
 */
#ifndef CORE_VGIC_IRQ_H
#define CORE_VGIC_IRQ_H

#include "bothy/bits.h"
#include "core/cpu.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "core/vm.h"

/* The one interrupt that can be linked to a physical one. */
#define VGIC_HW_INTID VTIMER_PPI_VIRT

#define VGIC_SGIS 16U

/* The interrupt with this INTID: vcpu's own one if it is private. NULL if there is none. */
struct vgic_irq *vgic_irq_find(struct vm *vm, struct vcpu *vcpu, uint32_t intid);

static inline bool vgic_irq_listed(const struct vgic_irq *irq)
{
    return irq->lr != VGIC_NO_LR;
}

/* What ISPENDR shows. */
static inline bool vgic_irq_pending(const struct vgic_irq *irq)
{
    return irq->latch || irq->fresh || (irq->line && !irq->edge);
}

/* Whether the distributor lets it through to the CPU interface. */
static inline bool vgic_irq_enabled(const struct vgic *vgic, const struct vgic_irq *irq)
{
    return irq->enabled && ((vgic->ctlr >> irq->group) & 1U) != 0;
}

static inline bool vgic_irq_forwarded(const struct vgic *vgic, const struct vgic_irq *irq)
{
    return vgic_irq_pending(irq) && vgic_irq_enabled(vgic, irq);
}

/*
 * Whether a list register may have it. The virtual timer's interrupt, when only its wire makes it
 * pending, waits for the physical interrupt: that comes at once, and its link is what tells
 * the end of the wire's high level.
 */
static inline bool vgic_irq_listable(const struct vgic_irq *irq)
{
    return irq->held == 0 && (irq->intid != VGIC_HW_INTID || irq->hw || irq->latch || irq->active);
}

/* Whether this vCPU is loaded on this CPU. */
static inline bool vgic_is_here(const struct vcpu *vcpu)
{
    return vcpu->vgic.cpu == cpu_this();
}

/* Loaded on another CPU, whose registers can't be seen from here. */
static inline bool vgic_is_elsewhere(const struct vcpu *vcpu)
{
    return vcpu->vgic.cpu != NULL && !vgic_is_here(vcpu);
}

static inline void vgic_ready_set(struct vcpu *vcpu, const struct vgic_irq *irq)
{
    vcpu->vgic.ready[irq->intid / 32U] |= 1U << (irq->intid % 32U);
    vcpu->vgic.ready_words |= 1U << (irq->intid / 32U);
}

static inline void vgic_ready_clear(struct vcpu *vcpu, const struct vgic_irq *irq)
{
    uint32_t word = irq->intid / 32U;

    vcpu->vgic.ready[word] &= ~(1U << (irq->intid % 32U));
    if (vcpu->vgic.ready[word] == 0) {
        vcpu->vgic.ready_words &= ~(1U << word);
    }
}

/* The first interrupt from INTID *from on that is ready for the vCPU, with *from set behind it;
 * NULL if there is none. `ready` may change between calls. */
struct vgic_irq *vgic_ready_next(struct vcpu *vcpu, uint32_t *from);

/* An unlisted interrupt's state changed: make `ready` right. Whether it is ready. Tells nobody,
 * unless it goes to a new target on another CPU. */
bool vgic_irq_queue(struct vgic_irq *irq);

/* The same, and see to it that it is delivered or withdrawn; it may be listed. */
void vgic_irq_update(struct vgic_irq *irq);

/* Take it out of this CPU's list registers if it is there, so that memory is right. It is queued,
 * not put back: vgic_irq_update() does that. */
void vgic_irq_recall(struct vgic_irq *irq);

/* An edge came, or ISPENDR or an SGI. */
void vgic_irq_set_latch(struct vgic_irq *irq);

/* The wire's level. */
void vgic_irq_set_line(struct vgic_irq *irq, bool level);

/* A guest's or a trapped deactivation, of an interrupt that isn't listed. */
void vgic_irq_deactivate(struct vgic_irq *irq);

/* Its physical interrupt is not needed any more: allow it to fire again. */
void vgic_irq_unlink(struct vgic_irq *irq);

/* Have the vCPU's CPU look: at `ready`, or (refold) at the list registers too. */
void vgic_notify(struct vcpu *vcpu, bool refold);

/* vgic_cpu.c: vgic_deliverable() of a vCPU that isn't loaded on another CPU. */
bool vgic_signals(struct vcpu *vcpu);

/* vgic_lr.c: for a vCPU that is loaded on this CPU. */

/* ICH_LR<index>_EL2. */
uint64_t vgic_lr_read(uint32_t index);

/* Fold one list register to memory and empty it; its interrupt is queued, not put back. Returns
 * whether it is ready again. */
bool vgic_lr_take(struct vcpu *vcpu, uint32_t lr);

/* Give a ready interrupt a list register; or leave it to vgic_flush() if there are too few. */
void vgic_lr_insert(struct vcpu *vcpu, struct vgic_irq *irq);

/* A listed interrupt was latched again: true if the list register could be changed in place. */
bool vgic_lr_latch(struct vcpu *vcpu, struct vgic_irq *irq);

/* Fold all, and give the list registers to those who deserve them most. */
void vgic_lr_refold(struct vcpu *vcpu);
void vgic_lr_fold_all(struct vcpu *vcpu);
void vgic_lr_refill(struct vcpu *vcpu, uint32_t stale);

/* vgic_bank.c: the registers that have a field per interrupt, 0x0080 to 0x0FFF of the distributor
 * (owner NULL) and of the SGI frame of the owner's redistributor. */
void vgic_bank_access(struct vcpu *cur, struct vcpu *owner, uint64_t offset,
                      struct mmio_access *access);

/*
 * Make memory right for the interrupts of one word (32 of them, `base` the first INTID) whose bits
 * are in mask, wherever they are listed. With hold, also keep them out of list registers until
 * vgic_bank_release(), and return those for which that must be called. Drops the lock while it
 * waits for other CPUs.
 */
uint32_t vgic_bank_recall(struct vcpu *cur, struct vcpu *owner, uint32_t base, uint32_t mask,
                          bool hold) REQUIRES(cur->vm->vgic.lock);
void vgic_bank_release(struct vcpu *cur, struct vcpu *owner, uint32_t base, uint32_t held);

/* Wait until the CPUs of these vCPUs (bit per id) have folded. With no lock held. */
void vgic_sync(struct vm *vm, uint32_t vcpus);

/* vgic_dist.c, vgic_redist.c: a region's access. No lock held. */
void vgic_dist_access(struct vcpu *cur, uint64_t offset, struct mmio_access *access);
void vgic_redist_access(struct vcpu *cur, uint64_t offset, struct mmio_access *access);

/* The routing of all SPIs that may go to any vCPU is to be decided anew. */
void vgic_dist_reroute_any(struct vm *vm);
/* The vCPU to which an SPI goes; NULL if the affinity is nobody's. */
struct vcpu *vgic_dist_route(struct vm *vm, uint64_t router);

/* A 32-bit half or all of a 64-bit register: what a load of `size` bytes at `offset` (its low bits
 * count) gives, and the register's new value after a store. */
uint64_t vgic_extract64(uint64_t reg, uint64_t offset, uint32_t size);
uint64_t vgic_insert64(uint64_t reg, uint64_t offset, uint32_t size, uint64_t value);

/* PIDR and CIDR, 0xFFD0 to 0xFFFF of each frame. */
uint32_t vgic_id_register(uint64_t offset);

#define VGIC_IIDR 0x42000000U /* ProductID 'B', no implementer */

#endif
