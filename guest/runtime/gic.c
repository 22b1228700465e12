/* SPDX-License-Identifier: Apache-2.0 */
/* GICv3 with affinity routing, one security state as a guest sees it. */

#include "gic.h"

#include "psci.h"

#define INTID_MAX 1024u
#define REDIST_STRIDE 0x20000u
#define PRIORITY_DEFAULT 0xa0u

static irq_handler_t handlers[INTID_MAX];

uint32_t gic_lines(void)
{
    uint32_t lines = 32u * ((uint32_t)FIELD(read32(machine.gicd + GICD_TYPER), 4, 0) + 1u);

    return lines > 1020u ? 1020u : lines;
}

static void wait_dist(void)
{
    while ((read32(machine.gicd + GICD_CTLR) & GICD_CTLR_RWP) != 0) {
    }
}

uint64_t gic_redist_of(uint32_t cpu)
{
    uint64_t mpidr = machine.mpidr[cpu];
    uint64_t affinity = FIELD(mpidr, 39, 32) << 24 | FIELD(mpidr, 23, 0);

    for (uint64_t at = 0; at < machine.gicr_size; at += REDIST_STRIDE) {
        uint64_t typer = read64(machine.gicr + at + GICR_TYPER);

        if (typer >> 32 == affinity) {
            return machine.gicr + at;
        }
        if ((typer & GICR_TYPER_LAST) != 0) {
            break;
        }
    }
    payload_panic("no redistributor for cpu %u", cpu);
}

uint64_t gic_redist(void)
{
    return gic_redist_of(cpu_id());
}

void gic_init_dist(void)
{
    uint32_t lines = gic_lines();

    write32(machine.gicd + GICD_CTLR, 0);
    wait_dist();
    for (uint32_t intid = 32; intid < lines; intid += 32) {
        write32(machine.gicd + GICD_ICENABLER + intid / 8, UINT32_MAX);
        write32(machine.gicd + GICD_IGROUPR + intid / 8, UINT32_MAX);
    }
    for (uint32_t intid = 32; intid < lines; intid += 4) {
        write32(machine.gicd + GICD_IPRIORITYR + intid, PRIORITY_DEFAULT * 0x01010101u);
    }
    write32(machine.gicd + GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GRP1 | GICD_CTLR_GRP0);
    wait_dist();
}

void gic_init_cpu(void)
{
    uint64_t redist = gic_redist();

    write32(redist + GICR_WAKER, read32(redist + GICR_WAKER) & ~(uint32_t)GICR_WAKER_SLEEP);
    while ((read32(redist + GICR_WAKER) & GICR_WAKER_ASLEEP) != 0) {
    }
    write32(redist + GICR_SGI + GICD_ICENABLER, UINT32_MAX);
    write32(redist + GICR_SGI + GICD_IGROUPR, UINT32_MAX);
    for (uint32_t intid = 0; intid < 32; intid += 4) {
        write32(redist + GICR_SGI + GICD_IPRIORITYR + intid, PRIORITY_DEFAULT * 0x01010101u);
    }
    write_sysreg(read_sysreg(ICC_SRE) | 1u, ICC_SRE);
    isb();
    write_sysreg(0xff, ICC_PMR);
    write_sysreg(0, ICC_BPR1);
    write_sysreg(0, ICC_CTLR);
    write_sysreg(1, ICC_IGRPEN1);
    isb();
}

void gic_init(void)
{
    gic_init_dist();
    gic_init_cpu();
}

uint64_t gic_bit_register(uint32_t bank, uint32_t intid)
{
    uint64_t base = intid < 32 ? gic_redist() + GICR_SGI : machine.gicd;

    return base + bank + intid / 32 * 4;
}

void gic_set_bit(uint32_t bank, uint32_t intid)
{
    write32(gic_bit_register(bank, intid), 1u << intid % 32);
}

bool gic_test_bit(uint32_t bank, uint32_t intid)
{
    return (read32(gic_bit_register(bank, intid)) & 1u << intid % 32) != 0;
}

void gic_set_priority(uint32_t intid, uint8_t priority)
{
    uint64_t base = intid < 32 ? gic_redist() + GICR_SGI : machine.gicd;

    write8(base + GICD_IPRIORITYR + intid, priority);
}

void gic_set_edge(uint32_t intid, bool edge)
{
    uint64_t base = intid < 32 ? gic_redist() + GICR_SGI : machine.gicd;
    uint64_t addr = base + GICD_ICFGR + intid / 16 * 4;
    uint32_t mask = 2u << intid % 16 * 2;
    uint32_t old = read32(addr);

    write32(addr, edge ? old | mask : old & ~mask);
}

void gic_set_route(uint32_t intid, uint32_t cpu)
{
    write64(machine.gicd + GICD_IROUTER + 8u * intid, machine.mpidr[cpu] & BITS(39, 0));
}

void gic_enable(uint32_t intid, irq_handler_t handler)
{
    handlers[intid] = handler;
    dsb(ish);
    gic_set_priority(intid, PRIORITY_DEFAULT);
    gic_set_bit(GICD_ISENABLER, intid);
}

void gic_disable(uint32_t intid)
{
    gic_set_bit(GICD_ICENABLER, intid);
    wait_dist();
}

void gic_send_sgi(uint32_t cpu, uint32_t sgi)
{
    uint64_t mpidr = machine.mpidr[cpu];
    uint64_t aff0 = FIELD(mpidr, 7, 0);
    uint64_t value = FIELD(mpidr, 39, 32) << 48 | FIELD(mpidr, 23, 16) << 32 |
                     FIELD(mpidr, 15, 8) << 16 | aff0 / 16 << 44 | BIT(aff0 % 16) |
                     (uint64_t)sgi << 24;

    dsb(ishst);
    write_sysreg(value, ICC_SGI1R);
    isb();
}

void gic_handle_irq(bool fiq)
{
    uint32_t intid = (uint32_t)(fiq ? read_sysreg(ICC_IAR0) : read_sysreg(ICC_IAR1));

    dsb(sy);
    if (intid >= 1020) {
        return;
    }
    if (handlers[intid] == NULL) {
        payload_panic("interrupt %u has no handler", intid);
    }
    handlers[intid](intid);
    if (fiq) {
        write_sysreg(intid, ICC_EOIR0);
    } else {
        write_sysreg(intid, ICC_EOIR1);
    }
    isb();
}
