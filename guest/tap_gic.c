/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GICv3 registers as software sees them (IHI 0069): identification, sizes, set and clear pairs,
 * what is reserved. Delivery is tap_irq's.
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_gic";

#define SPI 40u

static uint64_t gicd, redist, sgi_frame;

static void test_identity(void)
{
    uint32_t typer = read32(gicd + GICD_TYPER);
    uint64_t redist_typer = read64(redist + GICR_TYPER);
    uint32_t ctlr = read32(gicd + GICD_CTLR);

    tap_equal(FIELD(read32(gicd + GICD_PIDR2), 7, 4), 3, "GICD_PIDR2 says GICv3");
    tap_equal(FIELD(read32(redist + GICR_PIDR2), 7, 4), 3, "GICR_PIDR2 says GICv3");
    tap_ok(gic_lines() >= 64, "GICD_TYPER: %u lines (0x%x)", gic_lines(), typer);
    tap_ok(FIELD(typer, 23, 19) >= 9, "GICD_TYPER: at least 10 INTID bits");
    tap_ok((ctlr & GICD_CTLR_ARE) != 0, "GICD_CTLR: affinity routing (0x%x)", ctlr);
    tap_equal(redist_typer >> 32, machine.mpidr[0] & BITS(23, 0), "GICR_TYPER: affinity");
    tap_equal(FIELD(redist_typer, 23, 8), 0, "GICR_TYPER: processor number");
    tap_equal(read32(redist + GICR_TYPER), redist_typer & UINT32_MAX, "GICR_TYPER: lower word");
    tap_equal(read32(redist + GICR_TYPER + 4), redist_typer >> 32, "GICR_TYPER: upper word");
    tap_note("GICD_IIDR 0x%x GICR_IIDR 0x%x", read32(gicd + GICD_IIDR), read32(redist + GICR_IIDR));
}

static void test_redistributors(void)
{
    uint32_t last = 0;

    for (uint32_t cpu = 0; cpu < machine.nr_cpus; cpu++) {
        uint64_t base = gic_redist_of(cpu);

        last += (read64(base + GICR_TYPER) & GICR_TYPER_LAST) != 0;
    }
    tap_ok(last <= 1, "%u redistributor(s), at most one is the last", machine.nr_cpus);
}

/* A set/clear pair of one interrupt. */
static void test_pair(const char *name, uint32_t set, uint32_t clear, uint32_t intid)
{
    uint64_t base = intid < 32 ? sgi_frame : gicd;
    uint64_t set_at = base + set + intid / 32 * 4;
    uint64_t clear_at = base + clear + intid / 32 * 4;
    uint32_t bit = 1u << intid % 32;
    bool fine;

    write32(clear_at, bit);
    fine = (read32(set_at) & bit) == 0 && (read32(clear_at) & bit) == 0;
    write32(set_at, bit);
    fine = fine && (read32(set_at) & bit) != 0 && (read32(clear_at) & bit) != 0;
    write32(set_at, 0);
    write32(clear_at, 0);
    fine = fine && (read32(set_at) & bit) != 0;
    write32(clear_at, bit);
    fine = fine && (read32(set_at) & bit) == 0 && (read32(clear_at) & bit) == 0;
    tap_ok(fine, "%s of INTID %u: 1 sets and clears, 0 does nothing", name, intid);
}

static void test_pairs(void)
{
    static const uint32_t intids[] = {3, 20, 33, SPI, 63};

    for (unsigned i = 0; i < ARRAY_SIZE(intids); i++) {
        test_pair("enable", GICD_ISENABLER, GICD_ICENABLER, intids[i]);
        test_pair("pending", GICD_ISPENDR, GICD_ICPENDR, intids[i]);
        test_pair("active", GICD_ISACTIVER, GICD_ICACTIVER, intids[i]);
    }
}

/* Byte and word access; the unimplemented low bits read as zero. */
static void test_priority(uint64_t base, uint32_t intid)
{
    uint64_t byte = base + GICD_IPRIORITYR + intid;
    uint64_t word = byte & ~UINT64_C(3);
    uint8_t implemented;
    uint32_t mask;

    write8(byte, 0xff);
    implemented = read8(byte);
    mask = implemented * 0x01010101u;
    tap_ok(implemented >= 0xf0 && ((uint8_t)~implemented & ((uint8_t)~implemented + 1)) == 0,
           "priority of INTID %u: bits 0x%x", intid, implemented);
    write32(word, 0x50a030f0);
    tap_equal(read32(word), 0x50a030f0u & mask, "priority word");
    write8(word + 1, 0x80);
    tap_equal(read32(word), 0x50a080f0u & mask, "priority byte 1 changes nothing else");
    tap_equal(read8(word + 3), 0x50, "priority byte 3");
    write32(word, 0xa0a0a0a0);
}

static void test_configuration(void)
{
    uint64_t spis = gicd + GICD_ICFGR + SPI / 16 * 4;
    uint32_t old = read32(spis);
    uint32_t sgis;

    write32(spis, 0xaaaaaaaa);
    tap_equal(read32(spis), 0xaaaaaaaau, "GICD_ICFGR: edge");
    write32(spis, 0);
    tap_equal(read32(spis), 0, "GICD_ICFGR: level");
    write32(spis, 0x55555555);
    tap_equal(read32(spis) & 0xaaaaaaaau, 0, "GICD_ICFGR: the lower bits don't configure");
    write32(spis, old);
    sgis = read32(sgi_frame + GICD_ICFGR);
    write32(sgi_frame + GICD_ICFGR, 0);
    tap_equal(read32(sgi_frame + GICD_ICFGR) & 0xaaaaaaaau, 0xaaaaaaaau, "SGIs stay edge (0x%x)",
              sgis);
}

static void test_groups(void)
{
    uint64_t at = gicd + GICD_IGROUPR + SPI / 32 * 4;

    write32(at, 0);
    tap_equal(read32(at), 0, "GICD_IGROUPR: group 0");
    write32(at, UINT32_MAX);
    tap_equal(read32(at), UINT32_MAX, "GICD_IGROUPR: group 1");
    write32(sgi_frame + GICD_IGROUPR, 0x0000ffff);
    tap_equal(read32(sgi_frame + GICD_IGROUPR), 0x0000ffff, "GICR_IGROUPR0");
    write32(sgi_frame + GICD_IGROUPR, UINT32_MAX);
}

static void test_routing(void)
{
    uint64_t at = gicd + GICD_IROUTER + 8u * SPI;

    write64(at, BIT(31));
    tap_equal(read64(at), BIT(31), "GICD_IROUTER: any CPU");
    write64(at, UINT64_C(0x0000000100020304));
    tap_equal(read64(at) & ~UINT64_C(0xff00000000), 0x20304, "GICD_IROUTER: 64 bits");
    write32(at, 0x00000001);
    tap_equal(read32(at), 1, "GICD_IROUTER: lower word");
    write32(at + 4, 0);
    tap_equal(read64(at), 1, "GICD_IROUTER: upper word");
    write64(at, machine.mpidr[0]);
}

/* RAZ/WI or an abort, but nothing else. */
static bool is_reserved(uint64_t addr, unsigned size)
{
    uint64_t value = 0;
    struct fault fault;

    if (try_read(addr, size, &value, &fault)) {
        try_write(addr, size, UINT64_MAX, NULL);
        try_read(addr, size, &value, NULL);
        return value == 0;
    }
    return fault_class(&fault) == EC_DABT && fault.far == addr;
}

static void test_reserved(void)
{
    static const uint32_t dist[] = {0x0014, 0x0018, 0x0030, 0x0060, 0x0f30, 0x5000, 0xc000};
    static const uint32_t redistributor[] = {0x0018, 0x0030, 0x8000, 0xc000, 0x1f000, 0x10d04};
    bool all = true;

    for (unsigned i = 0; i < ARRAY_SIZE(dist); i++) {
        all = is_reserved(gicd + dist[i], 4) && all;
    }
    tap_ok(all, "reserved distributor registers");
    all = true;
    for (unsigned i = 0; i < ARRAY_SIZE(redistributor); i++) {
        all = is_reserved(redist + redistributor[i], 4) && all;
    }
    tap_ok(all, "reserved redistributor registers");
    tap_ok(is_reserved(gicd + GICD_ITARGETSR + SPI, 4), "GICD_ITARGETSR, as ARE is set");
    tap_ok(is_reserved(gicd + GICD_SGIR, 4), "GICD_SGIR, as ARE is set");
    tap_ok(is_reserved(gicd + GICD_ISENABLER, 4), "GICD_ISENABLER0, as ARE is set");
    tap_ok(is_reserved(gicd + GICD_IROUTER + 8, 8), "GICD_IROUTER below INTID 32");
}

/* Any size at any alignment anywhere: a value or an abort at that address. */
static void test_any_size(void)
{
    uint64_t bases[] = {gicd, redist, sgi_frame};
    uint64_t bad = 0;
    uint64_t tried = 0;

    for (uint64_t offset = 0; offset < 0x10000; offset += 61) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            uint64_t addr = bases[tried % 3] + offset / size * size;
            uint64_t value;
            struct fault fault;

            tried++;
            if (!try_read(addr, size, &value, &fault)) {
                bad += fault_class(&fault) != EC_DABT || fault.far != addr || fault.serror;
            }
        }
    }
    tap_equal(bad, 0, "%lu reads of all sizes: a value or an abort at that address", tried);
}

static void test_lines_end(void)
{
    uint32_t lines = gic_lines();
    uint64_t at = gicd + GICD_ISENABLER + lines / 32 * 4;

    if (lines >= 1020 || machine_is_bare()) { /* QEMU has 32 more than its TYPER says */
        tap_skip("bare, or all lines exist", "interrupts above GICD_TYPER's number");
        return;
    }
    tap_ok(is_reserved(at, 4) && is_reserved(gicd + GICD_IPRIORITYR + lines, 4),
           "interrupts above GICD_TYPER's number are RAZ/WI");
}

static void test_cpu_interface(void)
{
    tap_equal(read_sysreg(ICC_SRE) & 1, 1, "ICC_SRE_EL1: system registers are on");
    write_sysreg(0x80, ICC_PMR);
    isb();
    tap_equal(read_sysreg(ICC_PMR), 0x80, "ICC_PMR_EL1");
    write_sysreg(0xff, ICC_PMR);
    isb();
    tap_ok((read_sysreg(ICC_PMR) & 0xf0) == 0xf0, "ICC_PMR_EL1: its bits (0x%lx)",
           read_sysreg(ICC_PMR));
    tap_equal(read_sysreg(ICC_RPR) & 0xff, 0xff, "ICC_RPR_EL1 when idle");
    tap_equal(read_sysreg(ICC_HPPIR1), INTID_SPURIOUS, "ICC_HPPIR1_EL1 when idle");
    tap_equal(read_sysreg(ICC_IAR1), INTID_SPURIOUS, "ICC_IAR1_EL1 when idle");
    write_sysreg(BIT(1), ICC_CTLR);
    isb();
    tap_equal(FIELD(read_sysreg(ICC_CTLR), 1, 1), 1, "ICC_CTLR_EL1.EOImode is kept");
    tap_ok(FIELD(read_sysreg(ICC_CTLR), 10, 8) >= 3, "ICC_CTLR_EL1.PRIbits (%lu)",
           FIELD(read_sysreg(ICC_CTLR), 10, 8) + 1);
    write_sysreg(0, ICC_CTLR);
    write_sysreg(3, ICC_BPR1);
    isb();
    tap_equal(read_sysreg(ICC_BPR1), 3, "ICC_BPR1_EL1");
    write_sysreg(0, ICC_BPR1);
    write_sysreg(0, ICC_IGRPEN1);
    isb();
    tap_equal(read_sysreg(ICC_IGRPEN1), 0, "ICC_IGRPEN1_EL1");
}

void payload_main(void)
{
    gicd = machine.gicd;
    redist = gic_redist();
    sgi_frame = redist + GICR_SGI;
    gic_init();
    test_identity();
    test_redistributors();
    test_pairs();
    test_priority(gicd, SPI);
    test_priority(sgi_frame, 8);
    test_configuration();
    test_groups();
    test_routing();
    test_reserved();
    test_lines_end();
    test_any_size();
    test_cpu_interface();
    tap_done();
}
