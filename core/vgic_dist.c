/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The distributor (IHI 0069, 12.9), and the vGIC's initial state. With one security state and
 * affinity routing always enabled, GICD_CTLR has only the two group enables to write.
 */
#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include "core/hooks.h"
#include "core/vgic_irq.h"

#define GICD_CTLR 0x0000U
#define GICD_TYPER 0x0004U
#define GICD_IIDR 0x0008U
#define GICD_IGROUPR 0x0080U
#define GICD_SGIR 0x0f00U
#define GICD_IROUTER 0x6000U
#define GICD_IROUTER_END 0x8000U
#define GICD_IDREGS 0xffd0U
#define GICD_PIDR2 0xffe8U
#define GICD_CIDR0 0xfff0U

#define GICD_CTLR_ENABLE_GRP0 BIT(0)
#define GICD_CTLR_ENABLE_GRP1 BIT(1)
#define GICD_CTLR_GROUPS (GICD_CTLR_ENABLE_GRP0 | GICD_CTLR_ENABLE_GRP1)
#define GICD_CTLR_ARE BIT(4)
#define GICD_CTLR_DS BIT(6)

#define GICD_TYPER_ITLINES GENMASK(4, 0)
#define GICD_TYPER_IDBITS GENMASK(23, 19)
#define GICD_TYPER_A3V BIT(24)

#define GICD_IROUTER_IRM BIT(31)
#define GICD_IROUTER_AFFINITY (GENMASK(39, 32) | GENMASK(23, 0))

#define PIDR2_ARCH_REV GENMASK(7, 4)
#define ARCH_REV_GICV3 3U

#define INTID_BITS 10U

uint64_t vgic_extract64(uint64_t reg, uint64_t offset, uint32_t size)
{
    if (size == 8 && (offset & 7U) == 0) {
        return reg;
    }
    if (size == 4 && (offset & 3U) == 0) {
        return (uint32_t)(reg >> (8U * (offset & 4U)));
    }
    return 0;
}

uint64_t vgic_insert64(uint64_t reg, uint64_t offset, uint32_t size, uint64_t value)
{
    uint32_t shift = 8U * ((uint32_t)offset & 4U);

    if (size == 8 && (offset & 7U) == 0) {
        return value;
    }
    if (size == 4 && (offset & 3U) == 0) {
        return (reg & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)(uint32_t)value << shift;
    }
    return reg;
}

uint32_t vgic_id_register(uint64_t offset)
{
    static const uint8_t component_id[4] = {0x0d, 0xf0, 0x05, 0xb1};

    if (offset >= GICD_CIDR0) {
        return component_id[(offset - GICD_CIDR0) / 4U];
    }
    return offset == GICD_PIDR2 ? (uint32_t)FIELD_PREP(PIDR2_ARCH_REV, ARCH_REV_GICV3) : 0;
}

struct vcpu *vgic_dist_route(struct vm *vm, uint64_t router)
{
    for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *vcpu = vm->vcpus[i];

        if ((router & GICD_IROUTER_IRM) != 0) {
            if (!vcpu->vgic.asleep) {
                return vcpu;
            }
        } else if ((router & GICD_IROUTER_AFFINITY) == vcpu->mpidr) {
            return vcpu;
        }
    }
    return (router & GICD_IROUTER_IRM) != 0 ? vm->vcpus[0] : NULL;
}

void vgic_dist_reroute_any(struct vm *vm)
{
    for (uint32_t i = 0; i < VGIC_SPIS; i++) {
        struct vgic_irq *irq = &vm->vgic.spis[i];

        if ((irq->router & GICD_IROUTER_IRM) != 0) {
            irq->reroute = true;
            vgic_irq_update(irq);
        }
    }
}

/* vCPUs, bit per id, with something in the list registers of another CPU. */
static uint32_t listing_elsewhere(const struct vm *vm)
{
    uint32_t vcpus = 0;

    for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
        const struct vcpu *vcpu = vm->vcpus[i];

        if (vgic_is_elsewhere(vcpu) && vcpu->vgic.lr_used != 0) {
            vcpus |= 1U << i;
        }
    }
    return vcpus;
}

/* A group's enable decides for every interrupt in it whether it is forwarded. */
static __attribute__((noinline)) void write_ctlr(struct vm *vm, uint32_t value)
{
    uint32_t wait = 0;

    spin_lock(&vm->vgic.lock);
    if (vm->vgic.ctlr != (value & GICD_CTLR_GROUPS)) {
        vm->vgic.ctlr = value & GICD_CTLR_GROUPS;
        for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
            for (uint32_t n = 0; n < VGIC_PRIVATE_IRQS; n++) {
                vgic_irq_update(&vm->vcpus[i]->vgic.irqs[n]);
            }
        }
        for (uint32_t i = 0; i < VGIC_SPIS; i++) {
            vgic_irq_update(&vm->vgic.spis[i]);
        }
        wait = listing_elsewhere(vm);
    }
    spin_unlock(&vm->vgic.lock);
    vgic_sync(vm, wait);
}

static __attribute__((noinline)) void access_router(struct vcpu *cur, uint64_t offset,
                                                    struct mmio_access *access)
{
    struct vm *vm = cur->vm;
    struct vgic_irq *irq = vgic_irq_find(vm, NULL, (uint32_t)(offset - GICD_IROUTER) / 8U);
    uint32_t wait = 0;

    if (irq == NULL) {
        return;
    }
    spin_lock(&vm->vgic.lock);
    if (access->write) {
        uint64_t router = vgic_insert64(irq->router, offset, access->size, access->value);

        router &= GICD_IROUTER_AFFINITY | GICD_IROUTER_IRM;
        if (router != irq->router) {
            irq->router = router;
            irq->reroute = true;
            vgic_irq_update(irq);
            if (vgic_irq_listed(irq) && vgic_is_elsewhere(irq->target)) {
                wait = 1U << irq->target->id;
            }
        }
    } else {
        access->value = vgic_extract64(irq->router, offset, access->size);
    }
    spin_unlock(&vm->vgic.lock);
    vgic_sync(vm, wait);
}

static uint32_t read_word(const struct vgic *vgic, uint64_t offset)
{
    switch (offset) {
    case GICD_CTLR:
        return (uint32_t)(GICD_CTLR_DS | GICD_CTLR_ARE) | vgic->ctlr;
    case GICD_TYPER:
        return vgic->typer;
    case GICD_IIDR:
        return VGIC_IIDR;
    default:
        return offset >= GICD_IDREGS ? vgic_id_register(offset) : 0;
    }
}

void vgic_dist_access(struct vcpu *cur, uint64_t offset, struct mmio_access *access)
{
    if (offset >= GICD_IGROUPR && offset < GICD_SGIR) {
        vgic_bank_access(cur, NULL, offset, access);
        return;
    }
    if (!access->write) {
        access->value = 0;
    }
    if (offset >= GICD_IROUTER && offset < GICD_IROUTER_END) {
        access_router(cur, offset, access);
    } else if (access->size == 4 && (offset & 3U) == 0) {
        if (!access->write) {
            access->value = read_word(&cur->vm->vgic, offset);
        } else if (offset == GICD_CTLR) {
            write_ctlr(cur->vm, (uint32_t)access->value);
        }
    }
}

enum trap_result vgic_mmio(struct vcpu *cur, struct mmio_access *access)
{
    const struct vgic *vgic = &cur->vm->vgic;

    for (uint32_t i = 0; i < vgic->nr_regions; i++) {
        uint64_t offset = access->ipa.ipa - vgic->regions[i].base;

        if (offset < vgic->regions[i].size) {
            vgic->regions[i].access(cur, offset, access);
            return TRAP_NEXT;
        }
    }
    return TRAP_ABORT;
}

static void reset_irq(struct vgic_irq *irq, struct vcpu *target, uint32_t intid)
{
    *irq = (struct vgic_irq){
        .target = target,
        .intid = (uint16_t)intid,
        .lr = VGIC_NO_LR,
        .edge = intid < VGIC_SGIS,
    };
}

void vgic_vcpu_reset(struct vcpu *vcpu)
{
    struct vcpu_vgic *state = &vcpu->vgic;
    uint32_t min_bpr = 7U - vcpu->vm->vgic.pre_bits;

    state->vmcr = ICH_VMCR_EL2_VFIQEN | FIELD_PREP(ICH_VMCR_EL2_VBPR0, min_bpr) |
                  FIELD_PREP(ICH_VMCR_EL2_VBPR1, min_bpr + 1U);
    memset(state->ap0r, 0, sizeof(state->ap0r));
    memset(state->ap1r, 0, sizeof(state->ap1r));
}

void vgic_reset(struct vm *vm)
{
    struct vgic *vgic = &vm->vgic;

    spin_lock(&vgic->lock);
    vgic->ctlr = 0;
    for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *vcpu = vm->vcpus[i];

        memset(&vcpu->vgic, 0, sizeof(vcpu->vgic));
        vcpu->vgic.asleep = true;
        for (uint32_t n = 0; n < VGIC_PRIVATE_IRQS; n++) {
            reset_irq(&vcpu->vgic.irqs[n], vcpu, n);
        }
        vgic_vcpu_reset(vcpu);
    }
    for (uint32_t i = 0; i < VGIC_SPIS; i++) {
        reset_irq(&vgic->spis[i], vgic_dist_route(vm, 0), VGIC_PRIVATE_IRQS + i);
    }
    spin_unlock(&vgic->lock);
}

void vgic_init(struct vm *vm, uint64_t dist_base, uint64_t redist_base)
{
    struct vgic *vgic = &vm->vgic;
    uint64_t vtr = read_ich_vtr_el2();
    uint32_t priority_bits = (uint32_t)FIELD_GET(ICH_VTR_EL2_PRIBITS, vtr) + 1U;

    memset(vgic, 0, sizeof(*vgic));
    spin_init(&vgic->lock);
    vgic->lr_mask = (2U << FIELD_GET(ICH_VTR_EL2_LISTREGS, vtr)) - 1U;
    vgic->lr_mask &= (1U << VGIC_LR_MAX) - 1U;
    vgic->pre_bits = (uint8_t)(FIELD_GET(ICH_VTR_EL2_PREBITS, vtr) + 1U);
    vgic->nr_aprs = vgic->pre_bits <= 5U ? 1U : 1U << (vgic->pre_bits - 5U);
    vgic->priority_mask = (uint8_t)(0xff00U >> priority_bits);
    vgic->typer = (uint32_t)(FIELD_PREP(GICD_TYPER_ITLINES, VGIC_WORDS - 1U) |
                             FIELD_PREP(GICD_TYPER_IDBITS, INTID_BITS - 1U) |
                             FIELD_PREP(GICD_TYPER_A3V, FIELD_GET(ICH_VTR_EL2_A3V, vtr)));
    vgic->regions[0] = (struct vgic_region){dist_base, VGIC_DIST_SIZE, vgic_dist_access};
    vgic->regions[1] = (struct vgic_region){
        redist_base, (uint64_t)VGIC_REDIST_STRIDE * vm->nr_vcpus, vgic_redist_access};
    vgic->nr_regions = 2;
    vgic_reset(vm);
}
