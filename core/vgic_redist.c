/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The redistributors (IHI 0069, 12.10 and 12.11): two frames of 64 KiB per vCPU, in the order of
 * the vCPUs' ids. There are no LPIs.
 *
 * GICR_WAKER: a redistributor whose ProcessorSleep is set still delivers, for guests that never
 * clear it; it only takes no part in the choice of a vCPU for an SPI with IROUTER.IRM = 1.
 */
#include "bothy/bits.h"
#include "core/hooks.h"
#include "core/vgic_irq.h"

#define GICR_IIDR 0x0004U
#define GICR_TYPER 0x0008U
#define GICR_TYPER_END 0x0010U
#define GICR_WAKER 0x0014U
#define GICR_IDREGS 0xffd0U
#define GICR_SGI_FRAME 0x10000U
#define GICR_SGI_REGS 0x80U
#define GICR_SGI_REGS_END 0x1000U

#define GICR_TYPER_LAST BIT(4)
#define GICR_TYPER_PROCESSOR GENMASK(23, 8)
#define GICR_TYPER_AFFINITY GENMASK(63, 32)

#define GICR_WAKER_PROCESSOR_SLEEP BIT(1)
#define GICR_WAKER_CHILDREN_ASLEEP BIT(2)

static uint64_t typer(const struct vcpu *vcpu)
{
    return FIELD_PREP(GICR_TYPER_AFFINITY, vcpu->mpidr) |
           FIELD_PREP(GICR_TYPER_PROCESSOR, vcpu->id) |
           (vcpu->id + 1U == vcpu->vm->nr_vcpus ? GICR_TYPER_LAST : 0);
}

static void write_waker(struct vcpu *owner, uint64_t value)
{
    bool asleep = (value & GICR_WAKER_PROCESSOR_SLEEP) != 0;

    spin_lock(&owner->vm->vgic.lock);
    if (owner->vgic.asleep != asleep) {
        owner->vgic.asleep = asleep;
        vgic_dist_reroute_any(owner->vm);
    }
    spin_unlock(&owner->vm->vgic.lock);
}

static uint32_t read_waker(struct vcpu *owner)
{
    bool asleep;

    spin_lock(&owner->vm->vgic.lock);
    asleep = owner->vgic.asleep;
    spin_unlock(&owner->vm->vgic.lock);
    return asleep ? (uint32_t)(GICR_WAKER_PROCESSOR_SLEEP | GICR_WAKER_CHILDREN_ASLEEP) : 0;
}

static uint32_t read_word(struct vcpu *owner, uint64_t offset)
{
    switch (offset) {
    case GICR_IIDR:
        return VGIC_IIDR;
    case GICR_WAKER:
        return read_waker(owner);
    default:
        return offset >= GICR_IDREGS ? vgic_id_register(offset) : 0;
    }
}

static void access_rd_frame(struct vcpu *owner, uint64_t offset, struct mmio_access *access)
{
    if (!access->write) {
        access->value = 0;
    }
    if (offset >= GICR_TYPER && offset < GICR_TYPER_END) {
        if (!access->write) {
            access->value = vgic_extract64(typer(owner), offset, access->size);
        }
    } else if (access->size == 4 && (offset & 3U) == 0) {
        if (!access->write) {
            access->value = read_word(owner, offset);
        } else if (offset == GICR_WAKER) {
            write_waker(owner, access->value);
        }
    }
}

void vgic_redist_access(struct vcpu *cur, uint64_t offset, struct mmio_access *access)
{
    struct vcpu *owner = cur->vm->vcpus[offset / VGIC_REDIST_STRIDE];

    offset %= VGIC_REDIST_STRIDE;
    if (offset < GICR_SGI_FRAME) {
        access_rd_frame(owner, offset, access);
        return;
    }
    offset -= GICR_SGI_FRAME;
    if (offset >= GICR_SGI_REGS && offset < GICR_SGI_REGS_END) {
        vgic_bank_access(cur, owner, offset, access);
    } else if (!access->write) {
        access->value = offset >= GICR_IDREGS && access->size == 4 && (offset & 3U) == 0
                            ? vgic_id_register(offset)
                            : 0;
    }
}
