/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU that the guest sees: what the ID registers hide is undefined, what they show works, all
 * CPUs are alike; set/way, ACTLR, debug registers, OS lock, single step, breakpoints, PAuth.
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_cpu";

#define ID_REGISTER(crm, op2) SYSREG(3, 0, 0, crm, op2)
#define ID_PFR0 ID_REGISTER(4, 0)
#define ID_PFR1 ID_REGISTER(4, 1)
#define ID_DFR0 ID_REGISTER(5, 0)
#define ID_ISAR0 ID_REGISTER(6, 0)
#define ID_ISAR1 ID_REGISTER(6, 1)
#define ID_ISAR2 ID_REGISTER(6, 2)
#define ID_MMFR1 ID_REGISTER(7, 1)
#define ID_MMFR3 ID_REGISTER(7, 3)

/* A feature: in which field of which ID register, from which value on, and a register of it. */
static const struct feature {
    const char *name;
    uint32_t id;
    uint8_t low_bit, least;
    uint32_t sysreg;
} features[] = {
    {"SVE, ZCR_EL1", ID_PFR0, 32, 1, SYSREG(3, 0, 1, 2, 0)},
    {"SME, SMCR_EL1", ID_PFR1, 24, 1, SYSREG(3, 0, 1, 2, 6)},
    {"MTE, GCR_EL1", ID_PFR1, 8, 2, SYSREG(3, 0, 1, 0, 6)},
    {"MTE, RGSR_EL1", ID_PFR1, 8, 2, SYSREG(3, 0, 1, 0, 5)},
    {"MTE, TFSR_EL1", ID_PFR1, 8, 2, SYSREG(3, 0, 5, 6, 0)},
    {"AMU, AMCR_EL0", ID_PFR0, 44, 1, SYSREG(3, 3, 13, 2, 0)},
    {"AMU, AMCFGR_EL0", ID_PFR0, 44, 1, SYSREG(3, 3, 13, 2, 1)},
    {"AMU, AMEVCNTR00_EL0", ID_PFR0, 44, 1, SYSREG(3, 3, 13, 4, 0)},
    {"MPAM, MPAM0_EL1", ID_PFR0, 40, 1, SYSREG(3, 0, 10, 5, 1)},
    {"MPAM, MPAM1_EL1", ID_PFR0, 40, 1, SYSREG(3, 0, 10, 5, 0)},
    {"MPAM, MPAMIDR_EL1", ID_PFR0, 40, 1, SYSREG(3, 0, 10, 4, 4)},
    {"PMU, PMCR_EL0", ID_DFR0, 8, 1, SYSREG(3, 3, 9, 12, 0)},
    {"PMU, PMCCNTR_EL0", ID_DFR0, 8, 1, SYSREG(3, 3, 9, 13, 0)},
    {"PMU, PMINTENSET_EL1", ID_DFR0, 8, 1, SYSREG(3, 0, 9, 14, 1)},
    {"PMU, PMCCFILTR_EL0", ID_DFR0, 8, 1, SYSREG(3, 3, 14, 15, 7)},
    {"LOR, LORC_EL1", ID_MMFR1, 16, 1, SYSREG(3, 0, 10, 4, 3)},
    {"LOR, LORSA_EL1", ID_MMFR1, 16, 1, SYSREG(3, 0, 10, 4, 0)},
    {"LOR, LORID_EL1", ID_MMFR1, 16, 1, SYSREG(3, 0, 10, 4, 7)},
    {"SPE, PMSCR_EL1", ID_DFR0, 32, 1, SYSREG(3, 0, 9, 9, 0)},
    {"SPE, PMSIDR_EL1", ID_DFR0, 32, 1, SYSREG(3, 0, 9, 9, 7)},
    {"SPE, PMBLIMITR_EL1", ID_DFR0, 32, 1, SYSREG(3, 0, 9, 10, 0)},
    {"TRBE, TRBLIMITR_EL1", ID_DFR0, 44, 1, SYSREG(3, 0, 9, 11, 0)},
    {"TRBE, TRBIDR_EL1", ID_DFR0, 44, 1, SYSREG(3, 0, 9, 11, 7)},
    {"trace filter, TRFCR_EL1", ID_DFR0, 40, 1, SYSREG(3, 0, 1, 2, 1)},
    {"trace, TRCIDR0", ID_DFR0, 4, 1, SYSREG(2, 1, 0, 8, 7)},
    {"BRBE, BRBCR_EL1", ID_DFR0, 52, 1, SYSREG(2, 1, 9, 0, 0)},
    {"TCR2, TCR2_EL1", ID_MMFR3, 0, 1, SYSREG(3, 0, 2, 0, 3)},
    {"SCTLR2, SCTLR2_EL1", ID_MMFR3, 4, 1, SYSREG(3, 0, 1, 0, 3)},
    {"permission indirection, PIR_EL1", ID_MMFR3, 8, 1, SYSREG(3, 0, 10, 2, 3)},
    {"permission indirection, PIRE0_EL1", ID_MMFR3, 8, 1, SYSREG(3, 0, 10, 2, 2)},
    {"permission overlay, POR_EL1", ID_MMFR3, 16, 1, SYSREG(3, 0, 10, 2, 4)},
    {"RAS, ERRIDR_EL1", ID_PFR0, 28, 1, SYSREG(3, 0, 5, 3, 0)},
    {"RNG, RNDR", ID_ISAR0, 60, 1, SYSREG(3, 3, 2, 4, 0)},
    {"GCS, GCSCR_EL1", ID_PFR1, 44, 1, SYSREG(3, 0, 2, 5, 0)},
};

static uint64_t id_read(uint32_t sysreg)
{
    uint64_t value = 0;

    probe_mrs(sysreg, &value, NULL);
    return value;
}

/* 15 in PMUVer is a PMU that isn't the architecture's: none. */
static bool is_shown(const struct feature *feature)
{
    uint64_t value = id_read(feature->id) >> feature->low_bit & 15u;

    if (feature->id == ID_DFR0 && feature->low_bit == 8 && value == 15) {
        return false;
    }
    return value >= feature->least;
}

static void test_features(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        struct fault fault = {0};
        uint64_t value;
        bool shown = is_shown(&features[i]);
        bool came = probe_mrs(features[i].sysreg, &value, &fault);

        if (shown) {
            tap_ok(came, "%s: shown, and works (esr 0x%lx)", features[i].name, fault.esr);
        } else {
            tap_ok(!came && fault_class(&fault) == EC_UNKNOWN,
                   "%s: hidden, and undefined (esr 0x%lx)", features[i].name, fault.esr);
        }
    }
}

static void test_sve_instruction(void)
{
    struct fault fault = {0};
    uint64_t x0 = 0;
    bool ran = probe_run(0x0420e3e0u, &x0, 0, &fault); /* cntb x0 */

    if (FIELD(id_read(ID_PFR0), 35, 32) == 0) {
        tap_ok(!ran && fault_class(&fault) == EC_UNKNOWN, "SVE instructions: undefined");
    } else {
        tap_ok(ran && x0 >= 16 && x0 % 16 == 0, "SVE: vectors of %lu bytes", x0);
    }
}

/* Registers 3,0,C0,C1..7,0..7, those of each CPU. */
static uint64_t ids[CPU_MAX][7][8];

static void collect_ids(uint64_t arg)
{
    (void)arg;
    for (uint32_t crm = 1; crm <= 7; crm++) {
        for (uint32_t op2 = 0; op2 < 8; op2++) {
            ids[cpu_id()][crm - 1][op2] = id_read(ID_REGISTER(crm, op2));
        }
    }
}

static void check_mpidr(uint64_t arg)
{
    uint64_t *good = (uint64_t *)arg;
    uint64_t mpidr = read_sysreg(mpidr_el1) & (BITS(39, 32) | BITS(23, 0));

    if (mpidr == machine.mpidr[cpu_id()]) {
        __atomic_add_fetch(good, 1, __ATOMIC_RELAXED);
    }
}

static void test_consistency(void)
{
    uint64_t good = 0;
    uint32_t different = 0;

    cpu_run_all(collect_ids, 0);
    for (uint32_t cpu = 1; cpu < machine.nr_cpus; cpu++) {
        different += memcmp(ids[0], ids[cpu], sizeof(ids[0])) != 0;
    }
    tap_equal(different, 0, "the ID registers are the same on all CPUs");
    cpu_run_all(check_mpidr, (uint64_t)&good);
    tap_equal(good, machine.nr_cpus, "MPIDR_EL1 is what the device tree says");
    tap_equal(FIELD(id_read(ID_PFR0), 7, 4) != 0, true, "ID_AA64PFR0_EL1: EL1 is there");
}

static void test_set_way(void)
{
    static const uint32_t operations[] = {0xd5087640u, 0xd5087a40u, 0xd5087e40u};
    static const char *const names[] = {"ISW", "CSW", "CISW"};

    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++) {
        uint64_t x0 = 0;

        tap_ok(probe_run(operations[i], &x0, 0, NULL), "DC %s doesn't trap to the guest", names[i]);
    }
}

static void test_actlr(void)
{
    uint64_t before = read_sysreg(actlr_el1);

    tap_ok(probe_msr(SYSREG(3, 0, 1, 0, 1), ~before, NULL), "ACTLR_EL1 can be written");
    probe_msr(SYSREG(3, 0, 1, 0, 1), before, NULL);
    tap_equal(read_sysreg(actlr_el1), before, "and reads as before");
}

static void test_debug_registers(void)
{
    uint64_t breakpoints = FIELD(id_read(ID_DFR0), 15, 12) + 1;
    uint64_t value = 0;

    write_sysreg(0, oslar_el1);
    isb();
    tap_equal(read_sysreg(oslsr_el1) & 2, 0, "OS lock is off after OSLAR_EL1 = 0");
    for (uint32_t n = 0; n < breakpoints; n++) {
        uint32_t bvr = SYSREG(2, 0, 0, n, 4);

        tap_ok(probe_msr(bvr, UINT64_C(0x40001230) + 4 * n, NULL) && probe_mrs(bvr, &value, NULL) &&
                   value == UINT64_C(0x40001230) + 4 * n,
               "DBGBVR%u_EL1 stores", n);
        probe_msr(bvr, 0, NULL);
    }
    write_sysreg(BIT(13), mdscr_el1);
    isb();
    tap_equal(read_sysreg(mdscr_el1) & BIT(13), BIT(13), "MDSCR_EL1 stores");
    write_sysreg(0, mdscr_el1);
    write_sysreg(1, oslar_el1);
    isb();
    tap_equal(read_sysreg(oslsr_el1) & 2, 2, "OS lock is on after OSLAR_EL1 = 1");
    write_sysreg(0, oslar_el1);
    isb();
    tap_equal(read_sysreg(oslsr_el1) & 2, 0, "and off again");
}

/* tap_cpu_asm.S */
void cpu_step_target(uint64_t arg);
void cpu_single_step(uint64_t target);
extern char cpu_step_second[];
uint64_t cpu_pauth(uint64_t pointer, uint64_t modifier, uint64_t *ret_signed);

static void call_unmasked(uint64_t target)
{
    __asm__ volatile("msr daifclr, #8\nisb" ::: "memory");
    ((void (*)(uint64_t))target)(0);
}

static void test_single_step(void)
{
    struct fault fault = {0};
    bool came;

    write_sysreg(BIT(13) | BIT(0), mdscr_el1); /* KDE, SS */
    isb();
    came = expect_exception(cpu_single_step, (uint64_t)cpu_step_target, &fault);
    write_sysreg(0, mdscr_el1);
    isb();
    tap_ok(came && fault_class(&fault) == EC_STEP, "MDSCR_EL1.SS steps (esr 0x%lx)", fault.esr);
    tap_equal(fault.elr, (uint64_t)cpu_step_second, "one instruction");
}

static void test_breakpoint(void)
{
    struct fault fault = {0};
    bool came;

    write_sysreg((uint64_t)cpu_step_target, dbgbvr0_el1);
    write_sysreg(0x1e3, dbgbcr0_el1); /* all four bytes, EL1, enabled */
    write_sysreg(BIT(15) | BIT(13), mdscr_el1);
    isb();
    came = expect_exception(call_unmasked, (uint64_t)cpu_step_target, &fault);
    write_sysreg(0, mdscr_el1);
    write_sysreg(0, dbgbcr0_el1);
    isb();
    tap_ok(came && fault_class(&fault) == EC_BREAKPOINT && fault.elr == (uint64_t)cpu_step_target,
           "a hardware breakpoint stops there (esr 0x%lx)", fault.esr);
}

static uint64_t watched;

static void store_watched(uint64_t arg)
{
    (void)arg;
    write64((uint64_t)&watched, 1);
}

static void test_watchpoint(void)
{
    struct fault fault = {0};
    bool came;

    write_sysreg((uint64_t)&watched, dbgwvr0_el1);
    write_sysreg(0x1ff3, dbgwcr0_el1); /* 8 bytes, stores, EL1, enabled */
    write_sysreg(BIT(15) | BIT(13), mdscr_el1);
    isb();
    came = expect_exception(call_unmasked, (uint64_t)store_watched, &fault);
    write_sysreg(0, mdscr_el1);
    write_sysreg(0, dbgwcr0_el1);
    isb();
    tap_ok(came && fault_class(&fault) == EC_WATCHPOINT && fault.far == (uint64_t)&watched,
           "a watchpoint catches a store (esr 0x%lx)", fault.esr);
}

static void test_traps_to_el1(void)
{
    static const struct {
        const char *name;
        uint32_t instruction;
        unsigned class;
    } traps[] = {
        {"BRK", 0xd4200020u, EC_BRK},
        {"SVC", 0xd4000021u, EC_SVC64},
        {"UDF", 0x00000000u, EC_UNKNOWN},
        {"MRS of an EL2 register", 0xd53c1100u, EC_UNKNOWN}, /* HCR_EL2 */
        {"MSR to an EL2 register", 0xd51c1100u, EC_UNKNOWN},
        {"TLBI ALLE2", 0xd50c871fu, EC_UNKNOWN},
        {"AT S12E1R", 0xd50c7880u, EC_UNKNOWN},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(traps); i++) {
        struct fault fault = {0};
        uint64_t x0 = 0;
        bool ran = probe_run(traps[i].instruction, &x0, 0, &fault);

        tap_ok(!ran && fault_class(&fault) == traps[i].class, "%s (esr 0x%lx)", traps[i].name,
               fault.esr);
    }
}

static void test_pauth(void)
{
    uint64_t isar1 = id_read(ID_ISAR1);
    uint64_t pointer = (uint64_t)&watched;
    uint64_t value;
    uint64_t sealed;

    if ((isar1 & (BITS(7, 4) | BITS(11, 8))) == 0 && (id_read(ID_ISAR2) & BITS(15, 12)) == 0) {
        tap_ok(!probe_mrs(SYSREG(3, 0, 2, 1, 0), &value, NULL),
               "PAuth: hidden, and APIAKeyLo_EL1 undefined");
        return;
    }
    tap_ok(probe_msr(SYSREG(3, 0, 2, 1, 0), UINT64_C(0x0123456789abcdef), NULL) &&
               probe_msr(SYSREG(3, 0, 2, 1, 1), UINT64_C(0xfedcba9876543210), NULL) &&
               probe_mrs(SYSREG(3, 0, 2, 1, 0), &value, NULL) &&
               value == UINT64_C(0x0123456789abcdef),
           "PAuth: keys store");
    write_sysreg(read_sysreg(sctlr_el1) | BIT(31), sctlr_el1);
    isb();
    value = cpu_pauth(pointer, 42, &sealed);
    write_sysreg(read_sysreg(sctlr_el1) & ~BIT(31), sctlr_el1);
    isb();
    tap_ok(sealed != pointer, "PAuth: PACIA signs (0x%lx)", sealed);
    tap_equal(value, pointer, "PAuth: AUTIA takes it back");
}

static void test_bti(void)
{
    bool shown = FIELD(id_read(ID_PFR1), 3, 0) != 0;
    uint64_t old = read_sysreg(sctlr_el1);
    uint64_t kept;

    if (!shown) {
        tap_skip("hidden", "BTI");
        return;
    }
    write_sysreg(old | BIT(36), sctlr_el1); /* BT1: no page here is guarded */
    isb();
    kept = read_sysreg(sctlr_el1);
    write_sysreg(old, sctlr_el1);
    isb();
    tap_ok((kept & BIT(36)) != 0, "BTI: SCTLR_EL1.BT1 can be set");
}

static void test_zero_block(void)
{
    static uint8_t block[4096] __attribute__((aligned(2048)));
    uint64_t dczid = read_sysreg(dczid_el0);
    size_t size = (size_t)4 << (dczid & 15);
    bool zero = true;

    if ((dczid & BIT(4)) != 0 || size > 2048) {
        tap_skip("prohibited", "DC ZVA");
        return;
    }
    memset(block, 0xff, sizeof(block));
    __asm__ volatile("dc zva, %0" ::"r"(block + size) : "memory");
    for (size_t i = 0; i < size; i++) {
        zero = zero && block[size + i] == 0;
    }
    tap_ok(zero && block[size - 1] == 0xff && (size == 2048 || block[2 * size] == 0xff),
           "DC ZVA clears %u bytes", (unsigned)size);
}

static void test_hints(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        cpu_relax();
        sev();
        wfe();
    }
    tap_ok(true, "SEV, WFE and YIELD, 1000 times");
}

void payload_main(void)
{
    write_sysreg(BITS(21, 20) | BITS(17, 16) | BITS(25, 24), cpacr_el1);
    isb();
    test_consistency();
    test_features();
    test_sve_instruction();
    test_set_way();
    test_actlr();
    test_debug_registers();
    test_single_step();
    test_breakpoint();
    test_watchpoint();
    test_traps_to_el1();
    test_pauth();
    test_bti();
    test_zero_block();
    test_hints();
    tap_done();
}
