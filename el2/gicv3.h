/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical GICv3 as non-secure EL2 uses it (IHI 0069): distributor, the redistributor of each
 * CPU, and the CPU interface with EOImode = 1, so that an interrupt is acknowledged, its priority
 * dropped, and only later deactivated, by EL2 or by the guest's end of a hardware-linked interrupt.
 *
 * The instance belongs to the caller, who also maps the registers.
 */
#ifndef EL2_GICV3_H
#define EL2_GICV3_H

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "bothy/status.h"
#include "core/cpu.h"

#define GICV3_REGION_MAX 8U

#define GICV3_SGI_KICK 0U
#define GICV3_PPI_MAINTENANCE 25U
#define GICV3_PPI_HYP_TIMER 26U
#define GICV3_PPI_VIRT_TIMER 27U
#define GICV3_PPI_PHYS_TIMER 30U

#define GICV3_SPURIOUS 1020U /* this and above: no interrupt */

/* Set by the caller before gicv3_init(). */
struct gicv3_region {
    volatile void *va;
    uint64_t size; /* bytes */
};

struct gicv3 {
    volatile void *gicd;
    struct gicv3_region gicr[GICV3_REGION_MAX];
    uint32_t nr_gicr;
    uint64_t gicr_stride; /* the DT's redistributor-stride, or 0: from GICR_TYPER.VLPIS */

    uint32_t nr_irqs;                 /* INTIDs below 1020 that the distributor has */
    volatile void *cpu_gicr[CPU_MAX]; /* by cpu->id; NULL until gicv3_cpu_init() */
};

/*
 * Set up the distributor: affinity routing, group 1 on; every SPI in group 1, disabled, neither
 * pending nor active. STATUS_UNSUPPORTED if this is no GICv3 or 4, STATUS_TIMEOUT if it does not
 * answer.
 */
MUST_CHECK enum status gicv3_init(struct gicv3 *gic);

/*
 * On each CPU: find and wake its redistributor, enable the SGIs and PPIs in `enable` (bit per
 * INTID), disable the others, and start the CPU interface. STATUS_NOT_FOUND if no redistributor
 * has the MPIDR, STATUS_TIMEOUT if it does not wake, STATUS_UNSUPPORTED without system registers.
 */
MUST_CHECK enum status gicv3_cpu_init(struct gicv3 *gic, uint32_t cpu, uint64_t mpidr,
                                      uint32_t enable);

/* Stop taking interrupts on this CPU, before it is switched off. */
void gicv3_cpu_stop(struct gicv3 *gic, uint32_t cpu);

/* Deliver an SPI to the CPU with these affinity fields, or stop it; it is edge-triggered or level-
 * sensitive. STATUS_RANGE if there is no such SPI. */
MUST_CHECK enum status gicv3_spi_enable(struct gicv3 *gic, uint32_t intid, uint64_t mpidr,
                                        bool edge);
void gicv3_spi_disable(struct gicv3 *gic, uint32_t intid);

/* Make an SGI pending on the CPU with these affinity fields. What was stored before this call is
 * visible to that CPU when it takes the interrupt. */
void gicv3_send_sgi(uint64_t mpidr, uint32_t sgi);

/* Set or clear the active state of one of this CPU's SGIs and PPIs; for the virtual timer, whose
 * active state moves with the vCPU. */
void gicv3_ppi_set_active(struct gicv3 *gic, uint32_t cpu, uint32_t intid, bool active);
bool gicv3_ppi_is_active(const struct gicv3 *gic, uint32_t cpu, uint32_t intid);

/* Mask or unmask one of this CPU's SGIs and PPIs; waits until masking has taken effect. */
void gicv3_ppi_enable(struct gicv3 *gic, uint32_t cpu, uint32_t intid, bool enable);

/*
 * Take the most urgent pending interrupt; GICV3_SPURIOUS or more if there is none. The DSB makes
 * the acknowledge take effect before any access to the device that raised it (IHI 0069, 12.1.3).
 */
static inline uint32_t gicv3_ack(void)
{
    uint32_t intid = (uint32_t)FIELD_GET(ICC_IAR1_EL1_INTID, read_icc_iar1_el1());

    dsb_sy();
    return intid;
}

/* Drop its priority: others of the same priority can come again; this one is still active. */
static inline void gicv3_drop(uint32_t intid)
{
    write_icc_eoir1_el1(intid);
    isb(); /* the drop is seen before IRQs are unmasked or the guest is entered */
}

/* End it. */
static inline void gicv3_deactivate(uint32_t intid)
{
    write_icc_dir_el1(intid);
    isb();
}

#endif
