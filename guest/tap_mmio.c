/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device accesses by every kind of instruction: those that the syndrome describes work, with all
 * sizes, registers and sign extensions; the others get a data abort at their address. Holes abort.
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_mmio";

#define HOLE UINT64_C(0x09800000)
#define PL011_IBRD 0x24u
#define PL011_PERIPHID0 0xfe0u /* read-only, aligned */
#define PL011_CELLID3 0xffcu   /* 0xb1: a byte with its sign bit set */

static uint64_t byte_at, word_at, double_at;

#define LOAD(instruction, addr)                                              \
    ({                                                                       \
        uint64_t value_ = UINT64_C(0x5555555555555555);                      \
        __asm__ volatile(instruction : "+r"(value_) : "r"(addr) : "memory"); \
        value_;                                                              \
    })

static void test_loads(void)
{
    tap_equal(LOAD("ldrb %w0, [%1]", byte_at), 0xb1, "LDRB");
    tap_equal(LOAD("ldrsb %w0, [%1]", byte_at), 0xffffffb1, "LDRSB to W");
    tap_equal(LOAD("ldrsb %0, [%1]", byte_at), UINT64_C(0xffffffffffffffb1), "LDRSB to X");
    tap_equal(LOAD("ldr %w0, [%1]", byte_at), 0xb1, "LDR W");
    tap_equal(LOAD("ldr %w0, [%1]", word_at), 0xaaaaaaaa, "LDR W zero-extends");
    tap_equal(LOAD("ldrsw %0, [%1]", word_at), UINT64_C(0xffffffffaaaaaaaa), "LDRSW");
    tap_equal(LOAD("ldr %w0, [%1, #4]", word_at - 4), 0xaaaaaaaa, "LDR with an offset");
    tap_equal(LOAD("ldur %w0, [%1, #-4]", word_at + 4), 0xaaaaaaaa, "LDUR");
    tap_equal(LOAD("ldar %w0, [%1]", word_at), 0xaaaaaaaa, "LDAR");
    write64(double_at, UINT64_C(0x0000000000010203));
    tap_equal(LOAD("ldr %0, [%1]", double_at), 0x10203, "LDR X");
    tap_equal(LOAD("ldr %w0, [%1]", double_at), 0x10203, "LDR W of a 64-bit register");
    __asm__ volatile("ldr wzr, [%0]\nldr xzr, [%1]" ::"r"(word_at), "r"(double_at) : "memory");
    tap_ok(true, "LDR to WZR and XZR");
}

static void test_register_offset(void)
{
    uint64_t value;

    __asm__ volatile("ldr %w0, [%1, %2, lsl #2]"
                     : "=r"(value)
                     : "r"(word_at - 16), "r"(UINT64_C(4))
                     : "memory");
    tap_equal(value, 0xaaaaaaaa, "LDR with a register offset");
}

#define EACH_REGISTER(X)                                                                         \
    X(0)                                                                                         \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) \
        X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(30)

/* Loads through register n (base and target at once), then stores from it through another. */
#define TRY_REGISTER(n)                                                        \
    {                                                                          \
        uint64_t got_;                                                         \
        __asm__ volatile("mov x" #n ", %1\n"                                   \
                         "ldr w" #n ", [x" #n "]\n"                            \
                         "mov %0, x" #n                                        \
                         : "=r"(got_)                                          \
                         : "r"(word_at)                                        \
                         : "x" #n, "memory");                                  \
        good += got_ == 0xaaaaaaaa;                                            \
        __asm__ volatile("mov x" #n ", %1\n"                                   \
                         "str w" #n ", [%0]" ::"r"(machine.uart + PL011_IBRD), \
                         "r"(UINT64_C(100) + n)                                \
                         : "x" #n, "memory");                                  \
        good += read32(machine.uart + PL011_IBRD) == 100u + n;                 \
    }

static void test_registers(void)
{
    unsigned good = 0;

    EACH_REGISTER(TRY_REGISTER)
    tap_equal(good, 60, "X0..X28 and X30 as target and as source");
}

static void test_stores(void)
{
    uint64_t priorities = machine.gicd + GICD_IPRIORITYR + 40;

    write32(priorities, 0);
    write8(priorities + 2, 0x50);
    tap_equal(read32(priorities), 0x00500000, "STRB");
    write32(priorities, 0x60708090);
    tap_equal(read32(priorities), 0x60708090, "STR W");
    __asm__ volatile("str wzr, [%0]" ::"r"(priorities) : "memory");
    tap_equal(read32(priorities), 0, "STR WZR");
    __asm__ volatile("stlr %w0, [%1]" ::"r"(0x40404040), "r"(priorities) : "memory");
    tap_equal(read32(priorities), 0x40404040, "STLR");
    write64(double_at, UINT64_C(0x20304));
    tap_equal(read64(double_at), 0x20304, "STR X");
    write16(machine.uart + PL011_IBRD, 0x1234);
    tap_equal(read16(machine.uart + PL011_IBRD), 0x1234, "STRH and LDRH");
    write64(double_at, 0);
}

/* What has no syndrome. X0 is the address. */
static const struct {
    const char *name;
    uint32_t instruction;
    bool needs_lse;
} odd[] = {
    {"LDP W", 0x29400801u, false},          /* ldp w1, w2, [x0] */
    {"LDP X", 0xa9400801u, false},          /* ldp x1, x2, [x0] */
    {"STP X", 0xa9000801u, false},          /* stp x1, x2, [x0] */
    {"LDR post-index", 0xb8404401u, false}, /* ldr w1, [x0], #4 */
    {"LDR pre-index", 0xb8404c01u, false},  /* ldr w1, [x0, #4]! */
    {"STR post-index", 0xb8004401u, false}, /* str w1, [x0], #4 */
    {"LDR S", 0xbd400000u, false},          /* ldr s0, [x0] */
    {"LDR D", 0xfd400000u, false},          /* ldr d0, [x0] */
    {"STR Q", 0x3d800000u, false},          /* str q0, [x0] */
    {"LD1", 0x4c407000u, false},            /* ld1 {v0.16b}, [x0] */
    {"LDXR", 0x885f7c01u, false},           /* ldxr w1, [x0] */
    {"LDAXR X", 0xc85ffc01u, false},        /* ldaxr x1, [x0] */
    {"LDADD", 0xb8220001u, true},           /* ldadd w2, w1, [x0] */
    {"SWP", 0xb8228001u, true},             /* swp w2, w1, [x0] */
    {"CAS", 0x88a27c01u, true},             /* cas w2, w1, [x0] */
    {"DC ZVA", 0xd50b7420u, false},         /* dc zva, x0 */
};

static void test_odd(const char *where, uint64_t addr, bool must_abort)
{
    bool has_lse = FIELD(read_sysreg(id_aa64isar0_el1), 23, 20) >= 2;
    uint64_t want = addr;

    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        struct fault fault = {0};
        uint64_t x0 = addr;
        bool ran;

        if (odd[i].needs_lse && !has_lse) {
            continue;
        }
        ran = probe_run(odd[i].instruction, &x0, 0, &fault);
        want = odd[i].instruction == 0xb8404c01u ? addr + 4 : addr;
        if (ran && !must_abort) {
            tap_skip("it works here", "%s at %s", odd[i].name, where);
            continue;
        }
        tap_ok(!ran && !fault.serror && fault_class(&fault) == EC_DABT &&
                   (fault.far & ~UINT64_C(63)) == (want & ~UINT64_C(63)),
               "%s at %s: a data abort there (esr 0x%lx)", odd[i].name, where, fault.esr);
    }
}

static void test_cache_operation(const char *where, uint64_t addr)
{
    static const uint32_t operations[] = {0xd50b7a20u, 0xd50b7e20u, 0xd5087620u}; /* CVAC.. */
    bool fine = true;

    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++) {
        uint64_t x0 = addr;
        struct fault fault = {0};

        if (!probe_run(operations[i], &x0, 0, &fault)) {
            fine = fine && fault_class(&fault) == EC_DABT;
        }
    }
    tap_ok(fine, "DC CVAC, CIVAC, IVAC at %s: nothing or a data abort", where);
}

static void load_x(uint64_t addr)
{
    __asm__ volatile("ldr x1, [%0]" ::"r"(addr) : "x1", "memory");
}

static void jump(uint64_t addr)
{
    ((void (*)(void))addr)();
}

/* Through a Normal view of the device, where alignment doesn't fault first. */
static void test_across_pages(void)
{
    uint64_t view = mmu_alias(0, 0, MMU_NORMAL_NC);
    struct fault fault = {0};
    bool came = expect_exception(load_x, view + machine.uart + 0xffc, &fault);

    if (!came && machine_is_bare()) {
        tap_skip("it works here", "LDR across the end of a device");
        return;
    }
    tap_ok(came && fault_class(&fault) == EC_DABT, "LDR across the end of a device: a data abort");
}

static void test_fetch(void)
{
    struct fault fault = {0};
    bool came = expect_exception(jump, HOLE, &fault);

    tap_ok(came && fault_class(&fault) == EC_IABT && fault.far == HOLE,
           "a fetch from a hole: an instruction abort there (esr 0x%lx)", fault.esr);
    if (machine_is_bare()) {
        tap_skip("bare", "a fetch from a device");
        return;
    }
    came = expect_exception(jump, machine.uart, &fault);
    tap_ok(came && fault_class(&fault) == EC_IABT && fault.far == machine.uart,
           "a fetch from a device: an instruction abort there (esr 0x%lx)", fault.esr);
}

static void test_holes(void)
{
    static const uint64_t holes[] = {HOLE, HOLE + 0xff8, GIB(200), GIB(300) + 64};
    uint64_t past_end = machine.ram_base + machine.ram_size;
    uint64_t value;
    struct fault fault;

    for (unsigned i = 0; i <= ARRAY_SIZE(holes); i++) {
        uint64_t addr = i < ARRAY_SIZE(holes) ? holes[i] : past_end;
        bool fine = true;

        for (unsigned size = 1; size <= 8; size *= 2) {
            fine = fine && !try_read(addr, size, &value, &fault) && !fault.serror &&
                   fault_class(&fault) == EC_DABT && fault_status(&fault) == FSC_EXTERNAL &&
                   fault.far == addr && FIELD(fault.esr, 6, 6) == 0;
            fine = fine && !try_write(addr, size, 0, &fault) && fault_class(&fault) == EC_DABT &&
                   fault.far == addr && FIELD(fault.esr, 6, 6) == 1;
        }
        tap_ok(fine, "0x%lx: loads and stores get an external abort (esr 0x%lx)", addr, fault.esr);
    }
}

void payload_main(void)
{
    byte_at = machine.uart + PL011_CELLID3;
    word_at = machine.gicd + GICD_ICFGR + 12;
    double_at = machine.gicd + GICD_IROUTER + 8u * 41u;
    gic_init();
    write32(word_at, 0xaaaaaaaa);
    test_loads();
    test_register_offset();
    test_registers();
    test_stores();
    test_odd("the UART", machine.uart + PL011_PERIPHID0, !machine_is_bare());
    test_odd("the GIC", double_at, !machine_is_bare());
    test_odd("a hole", HOLE + 64, true);
    test_cache_operation("the UART", machine.uart);
    test_cache_operation("a hole", HOLE);
    test_across_pages();
    test_fetch();
    test_holes();
    tap_done();
}
