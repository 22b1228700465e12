/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical GICv3 (IHI 0069). EL2 is the only user of the distributor, and each CPU of its own
 * redistributor, so no lock is needed: all registers written after boot are set/clear pairs or
 * belong to one interrupt.
 */
#include "el2/gicv3.h"

#include "arch/mmio.h"

/* Distributor, 12.8 and 12.9. */
#define GICD_CTLR 0x0000U
#define GICD_CTLR_ENABLE_GRP1A BIT(1) /* the same place with one security state */
#define GICD_CTLR_ARE_NS BIT(4)       /* likewise */
#define GICD_CTLR_RWP BIT(31)
#define GICD_TYPER 0x0004U
#define GICD_TYPER_IT_LINES GENMASK(4, 0)
#define GICD_IGROUPR 0x0080U
#define GICD_ISENABLER 0x0100U
#define GICD_ICENABLER 0x0180U
#define GICD_ICPENDR 0x0280U
#define GICD_ISACTIVER 0x0300U
#define GICD_ICACTIVER 0x0380U
#define GICD_IPRIORITYR 0x0400U
#define GICD_ICFGR 0x0c00U
#define GICD_ICFGR_EDGE 2U
#define GICD_IGRPMODR 0x0d00U
#define GICD_IROUTER 0x6000U
#define GIC_PIDR2 0xffe8U
#define GIC_PIDR2_ARCH_REV GENMASK(7, 4)

/* Redistributor, 12.10 and 12.11. The SGI frame has the distributor's offsets for its 32. */
#define GICR_CTLR 0x0000U
#define GICR_CTLR_RWP BIT(3)
#define GICR_TYPER 0x0008U
#define GICR_TYPER_VLPIS BIT(1)
#define GICR_TYPER_LAST BIT(4)
#define GICR_TYPER_AFFINITY GENMASK(63, 32)
#define GICR_WAKER 0x0014U
#define GICR_WAKER_PROCESSOR_SLEEP BIT(1)
#define GICR_WAKER_CHILDREN_ASLEEP BIT(2)
#define GICR_SGI_FRAME 0x10000U
#define GICR_FRAME_SIZE 0x10000UL

#define SPI_FIRST 32U
#define PRIORITY_ALL 0xa0U
#define PRIORITY_ALL_X4 0xa0a0a0a0U
#define PRIORITY_MASK_NONE 0xffU

/* Register accesses after which hardware that has not answered is taken for broken. */
#define PATIENCE 1000000U

static volatile void *at(volatile void *base, uint64_t offset)
{
    return (volatile uint8_t *)base + offset;
}

/* A register that holds one bit per interrupt. */
static volatile void *bit_register(volatile void *base, uint32_t offset, uint32_t intid)
{
    return at(base, offset + intid / 32 * 4);
}

static uint32_t bit_of(uint32_t intid)
{
    return (uint32_t)BIT(intid % 32);
}

/* Poll until the bits are clear. */
static enum status wait_clear(const volatile void *reg, uint64_t bits)
{
    for (uint32_t i = 0; i < PATIENCE; i++) {
        if ((mmio_read32(reg) & bits) == 0) {
            return STATUS_OK;
        }
    }
    return STATUS_TIMEOUT;
}

/* The affinity fields of an MPIDR, packed as GICR_TYPER has them. */
static uint32_t affinity_packed(uint64_t mpidr)
{
    return (uint32_t)((mpidr & GENMASK(23, 0)) | FIELD_GET(MPIDR_EL1_AFF3, mpidr) << 24);
}

/* GICD_IROUTER has them where MPIDR_EL1 has them; IRM = 0: this CPU and no other. */
static uint64_t affinity_route(uint64_t mpidr)
{
    return mpidr & (MPIDR_EL1_AFF3 | GENMASK(23, 0));
}

enum status gicv3_init(struct gicv3 *gic)
{
    volatile void *gicd = gic->gicd;
    uint64_t revision = FIELD_GET(GIC_PIDR2_ARCH_REV, mmio_read32(at(gicd, GIC_PIDR2)));
    uint32_t lines;
    enum status status;

    if (revision != 3 && revision != 4) {
        return STATUS_UNSUPPORTED;
    }
    /* ARE_NS may change only while the groups are off (12.9.4). */
    mmio_write32(at(gicd, GICD_CTLR), 0);
    status = wait_clear(at(gicd, GICD_CTLR), GICD_CTLR_RWP);
    if (status != STATUS_OK) {
        return status;
    }
    mmio_write32(at(gicd, GICD_CTLR), (uint32_t)GICD_CTLR_ARE_NS);
    lines = (uint32_t)FIELD_GET(GICD_TYPER_IT_LINES, mmio_read32(at(gicd, GICD_TYPER)));
    gic->nr_irqs = MIN((lines + 1) * 32, GICV3_SPURIOUS);

    /* Priority, trigger and route matter once an SPI is enabled: gicv3_spi_enable sets them. */
    for (uint32_t intid = SPI_FIRST; intid < gic->nr_irqs; intid += 32) {
        mmio_write32(bit_register(gicd, GICD_ICENABLER, intid), UINT32_MAX);
        mmio_write32(bit_register(gicd, GICD_ICPENDR, intid), UINT32_MAX);
        mmio_write32(bit_register(gicd, GICD_ICACTIVER, intid), UINT32_MAX);
        mmio_write32(bit_register(gicd, GICD_IGROUPR, intid), UINT32_MAX);
    }
    status = wait_clear(at(gicd, GICD_CTLR), GICD_CTLR_RWP);
    if (status != STATUS_OK) {
        return status;
    }
    mmio_write32(at(gicd, GICD_CTLR), (uint32_t)(GICD_CTLR_ARE_NS | GICD_CTLR_ENABLE_GRP1A));
    return wait_clear(at(gicd, GICD_CTLR), GICD_CTLR_RWP);
}

/* Look for the CPU's redistributor in one region. They follow each other, two frames each, or four
 * if there are virtual LPIs, up to the one that says it is the last (12.10). */
static volatile void *find_in_region(const struct gicv3_region *region, uint64_t stride,
                                     uint32_t affinity)
{
    uint64_t offset = 0;
    uint64_t typer = 0;

    while (offset + 2 * GICR_FRAME_SIZE <= region->size && (typer & GICR_TYPER_LAST) == 0) {
        volatile void *gicr = at(region->va, offset);

        typer = mmio_read64(at(gicr, GICR_TYPER));
        if (FIELD_GET(GICR_TYPER_AFFINITY, typer) == affinity) {
            return gicr;
        }
        if (stride != 0) {
            offset += stride;
        } else {
            offset += GICR_FRAME_SIZE * ((typer & GICR_TYPER_VLPIS) != 0 ? 4 : 2);
        }
    }
    return NULL;
}

static volatile void *find_redistributor(const struct gicv3 *gic, uint64_t mpidr)
{
    volatile void *gicr = NULL;

    for (uint32_t i = 0; gicr == NULL && i < gic->nr_gicr; i++) {
        gicr = find_in_region(&gic->gicr[i], gic->gicr_stride, affinity_packed(mpidr));
    }
    return gicr;
}

static enum status redistributor_init(volatile void *gicr, uint32_t enable)
{
    volatile void *sgi = at(gicr, GICR_SGI_FRAME);
    uint32_t waker = mmio_read32(at(gicr, GICR_WAKER));
    enum status status;

    /* Reads as zero, and is the firmware's business, if there are two security states. */
    mmio_write32(at(gicr, GICR_WAKER), waker & ~(uint32_t)GICR_WAKER_PROCESSOR_SLEEP);
    status = wait_clear(at(gicr, GICR_WAKER), GICR_WAKER_CHILDREN_ASLEEP);
    if (status != STATUS_OK) {
        return status;
    }
    mmio_write32(at(sgi, GICD_ICENABLER), UINT32_MAX);
    mmio_write32(at(sgi, GICD_ICPENDR), UINT32_MAX);
    mmio_write32(at(sgi, GICD_ICACTIVER), UINT32_MAX);
    mmio_write32(at(sgi, GICD_IGROUPR), UINT32_MAX);
    mmio_write32(at(sgi, GICD_IGRPMODR), 0);
    for (uint32_t i = 0; i < 32; i += 4) {
        mmio_write32(at(sgi, GICD_IPRIORITYR + i), PRIORITY_ALL_X4);
    }
    mmio_write32(at(sgi, GICD_ICFGR + 4), 0); /* PPIs: level-sensitive */
    status = wait_clear(at(gicr, GICR_CTLR), GICR_CTLR_RWP);
    if (status != STATUS_OK) {
        return status;
    }
    mmio_write32(at(sgi, GICD_ISENABLER), enable);
    return STATUS_OK;
}

static enum status interface_init(void)
{
    write_icc_sre_el2(ICC_SRE_EL2_SRE | ICC_SRE_EL2_DFB | ICC_SRE_EL2_DIB | ICC_SRE_EL2_ENABLE);
    isb(); /* the other ICC registers exist once SRE is set */
    if ((read_icc_sre_el2() & ICC_SRE_EL2_SRE) == 0) {
        return STATUS_UNSUPPORTED;
    }
    write_icc_igrpen1_el1(0);
    write_icc_ap1r0_el1(0); /* no priority is active, whatever the boot loader left */
    write_icc_pmr_el1(PRIORITY_MASK_NONE);
    write_icc_bpr1_el1(0);
    write_icc_ctlr_el1(ICC_CTLR_EL1_EOIMODE);
    isb(); /* EOImode is in force before the first interrupt can be taken */
    write_icc_igrpen1_el1(ICC_IGRPEN1_EL1_ENABLE);
    isb();
    return STATUS_OK;
}

enum status gicv3_cpu_init(struct gicv3 *gic, uint32_t cpu, uint64_t mpidr, uint32_t enable)
{
    volatile void *gicr = find_redistributor(gic, mpidr);
    enum status status;

    if (gicr == NULL || cpu >= CPU_MAX) {
        return STATUS_NOT_FOUND;
    }
    status = redistributor_init(gicr, enable);
    if (status != STATUS_OK) {
        return status;
    }
    status = interface_init();
    if (status == STATUS_OK) {
        gic->cpu_gicr[cpu] = gicr;
    }
    return status;
}

void gicv3_cpu_stop(struct gicv3 *gic, uint32_t cpu)
{
    write_icc_igrpen1_el1(0);
    isb();
    mmio_write32(at(gic->cpu_gicr[cpu], GICR_SGI_FRAME + GICD_ICENABLER), UINT32_MAX);
    (void)wait_clear(at(gic->cpu_gicr[cpu], GICR_CTLR), GICR_CTLR_RWP);
}

enum status gicv3_spi_enable(struct gicv3 *gic, uint32_t intid, uint64_t mpidr, bool edge)
{
    volatile void *config = at(gic->gicd, GICD_ICFGR + intid / 16 * 4);
    uint32_t shift = intid % 16 * 2;
    uint32_t value;

    if (intid < SPI_FIRST || intid >= gic->nr_irqs) {
        return STATUS_RANGE;
    }
    gicv3_spi_disable(gic, intid); /* its trigger may change only while it is off (12.9.7) */
    value = mmio_read32(config) & ~(GICD_ICFGR_EDGE << shift);
    mmio_write32(config, edge ? value | GICD_ICFGR_EDGE << shift : value);
    mmio_write8(at(gic->gicd, GICD_IPRIORITYR + intid), PRIORITY_ALL);
    mmio_write64(at(gic->gicd, GICD_IROUTER + intid * 8UL), affinity_route(mpidr));
    mmio_write32(bit_register(gic->gicd, GICD_ISENABLER, intid), bit_of(intid));
    return STATUS_OK;
}

void gicv3_spi_disable(struct gicv3 *gic, uint32_t intid)
{
    mmio_write32(bit_register(gic->gicd, GICD_ICENABLER, intid), bit_of(intid));
    (void)wait_clear(at(gic->gicd, GICD_CTLR), GICD_CTLR_RWP);
}

void gicv3_send_sgi(uint64_t mpidr, uint32_t sgi)
{
    uint64_t aff0 = FIELD_GET(MPIDR_EL1_AFF0, mpidr);

    /* What the other CPU shall find is visible before the interrupt that makes it look. */
    dsb_ishst();
    write_icc_sgi1r_el1(FIELD_PREP(ICC_SGI1R_EL1_AFF3, FIELD_GET(MPIDR_EL1_AFF3, mpidr)) |
                        FIELD_PREP(ICC_SGI1R_EL1_AFF2, FIELD_GET(MPIDR_EL1_AFF2, mpidr)) |
                        FIELD_PREP(ICC_SGI1R_EL1_AFF1, FIELD_GET(MPIDR_EL1_AFF1, mpidr)) |
                        FIELD_PREP(ICC_SGI1R_EL1_RS, aff0 / 16) |
                        FIELD_PREP(ICC_SGI1R_EL1_INTID, sgi) |
                        FIELD_PREP(ICC_SGI1R_EL1_TARGETLIST, BIT(aff0 % 16)));
    isb(); /* sent now, not when the next context synchronisation happens */
}

void gicv3_ppi_set_active(struct gicv3 *gic, uint32_t cpu, uint32_t intid, bool active)
{
    uint32_t offset = active ? GICD_ISACTIVER : GICD_ICACTIVER;

    mmio_write32(at(gic->cpu_gicr[cpu], GICR_SGI_FRAME + offset), bit_of(intid));
    dsb_sy(); /* the redistributor has it before the guest, whose timer it is, is entered */
}

bool gicv3_ppi_is_active(const struct gicv3 *gic, uint32_t cpu, uint32_t intid)
{
    uint32_t active = mmio_read32(at(gic->cpu_gicr[cpu], GICR_SGI_FRAME + GICD_ISACTIVER));

    return (active & bit_of(intid)) != 0;
}

void gicv3_ppi_enable(struct gicv3 *gic, uint32_t cpu, uint32_t intid, bool enable)
{
    volatile void *gicr = gic->cpu_gicr[cpu];
    uint32_t offset = enable ? GICD_ISENABLER : GICD_ICENABLER;

    mmio_write32(at(gicr, GICR_SGI_FRAME + offset), bit_of(intid));
    if (!enable) {
        (void)wait_clear(at(gicr, GICR_CTLR), GICR_CTLR_RWP);
    }
}
