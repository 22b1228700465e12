/* SPDX-License-Identifier: Apache-2.0 */
/* GICv3: registers and a driver without ambitions. */
#ifndef RUNTIME_GIC_H
#define RUNTIME_GIC_H

#include "arm.h"
#include "machine.h"

#define GICD_CTLR 0x0000u
#define GICD_TYPER 0x0004u
#define GICD_IIDR 0x0008u
#define GICD_TYPER2 0x000cu
#define GICD_STATUSR 0x0010u
#define GICD_SETSPI_NSR 0x0040u
#define GICD_CLRSPI_NSR 0x0048u
#define GICD_IGROUPR 0x0080u
#define GICD_ISENABLER 0x0100u
#define GICD_ICENABLER 0x0180u
#define GICD_ISPENDR 0x0200u
#define GICD_ICPENDR 0x0280u
#define GICD_ISACTIVER 0x0300u
#define GICD_ICACTIVER 0x0380u
#define GICD_IPRIORITYR 0x0400u
#define GICD_ITARGETSR 0x0800u
#define GICD_ICFGR 0x0c00u
#define GICD_IGRPMODR 0x0d00u
#define GICD_NSACR 0x0e00u
#define GICD_SGIR 0x0f00u
#define GICD_IROUTER 0x6000u
#define GICD_PIDR2 0xffe8u

#define GICR_CTLR 0x0000u
#define GICR_IIDR 0x0004u
#define GICR_TYPER 0x0008u
#define GICR_WAKER 0x0014u
#define GICR_PIDR2 0xffe8u
#define GICR_SGI 0x10000u /* add to the GICD_ offsets of the banked registers */

#define GICR_TYPER_LAST BIT(4)
#define GICR_WAKER_SLEEP BIT(1)
#define GICR_WAKER_ASLEEP BIT(2)
#define GICD_CTLR_ARE BIT(4)
#define GICD_CTLR_RWP BIT(31)
#define GICD_CTLR_GRP0 BIT(0)
#define GICD_CTLR_GRP1 BIT(1)

#define ICC_PMR s3_0_c4_c6_0
#define ICC_IAR0 s3_0_c12_c8_0
#define ICC_EOIR0 s3_0_c12_c8_1
#define ICC_HPPIR0 s3_0_c12_c8_2
#define ICC_BPR0 s3_0_c12_c8_3
#define ICC_AP0R0 s3_0_c12_c8_4
#define ICC_AP1R0 s3_0_c12_c9_0
#define ICC_DIR s3_0_c12_c11_1
#define ICC_RPR s3_0_c12_c11_3
#define ICC_SGI1R s3_0_c12_c11_5
#define ICC_ASGI1R s3_0_c12_c11_6
#define ICC_SGI0R s3_0_c12_c11_7
#define ICC_IAR1 s3_0_c12_c12_0
#define ICC_EOIR1 s3_0_c12_c12_1
#define ICC_HPPIR1 s3_0_c12_c12_2
#define ICC_BPR1 s3_0_c12_c12_3
#define ICC_CTLR s3_0_c12_c12_4
#define ICC_SRE s3_0_c12_c12_5
#define ICC_IGRPEN0 s3_0_c12_c12_6
#define ICC_IGRPEN1 s3_0_c12_c12_7

#define INTID_SPURIOUS 1023u
#define PPI_VTIMER 27u
#define PPI_PTIMER 30u

typedef void (*irq_handler_t)(uint32_t intid);

/* The distributor, by the first CPU; then the redistributor and CPU interface by each. */
void gic_init_dist(void);
void gic_init_cpu(void);

/* Both for the first CPU. */
void gic_init(void);

/* The calling CPU's redistributor, and that of another. */
uint64_t gic_redist(void);
uint64_t gic_redist_of(uint32_t cpu);

/* The address of the register in `bank` (GICD_ISENABLER ...) that holds intid's bit, in the
 * redistributor for SGIs and PPIs. Write BIT32 of intid to it. */
uint64_t gic_bit_register(uint32_t bank, uint32_t intid);
void gic_set_bit(uint32_t bank, uint32_t intid);
bool gic_test_bit(uint32_t bank, uint32_t intid);

void gic_set_priority(uint32_t intid, uint8_t priority);
void gic_set_edge(uint32_t intid, bool edge);
void gic_set_route(uint32_t intid, uint32_t cpu);

/* Sets the handler and enables the interrupt at priority 0xa0, group 1. */
void gic_enable(uint32_t intid, irq_handler_t handler);
void gic_disable(uint32_t intid);

void gic_send_sgi(uint32_t cpu, uint32_t sgi);

/* The dispatch behind the IRQ vector. */
void gic_handle_irq(bool fiq);

/* How many interrupts there are: 32 * (ITLinesNumber + 1), at most 1020. */
uint32_t gic_lines(void);

#endif
