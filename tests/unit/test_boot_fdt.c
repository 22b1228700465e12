/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine from its device tree: trees like those of QEMU's virt and of Versal, odd cells and
 * buses, spin tables, what is missing; and damaged trees, which must be refused or survived.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "core/cpu.h"
#include "el2/boot_fdt.h"
#include "tests/support/dts.h"

_Static_assert(BOOT_CPU_MAX == CPU_MAX, "boot_fdt.h keeps its own copy");

#define HEAD "/dts-v1/; "
#define CELLS "#address-cells = <2>; #size-cells = <2>; "
#define MEMORY "memory@40000000 { device_type = \"memory\"; reg = <0 0x40000000 0 0x80000000>; }; "
#define CPU0 "cpu@0 { device_type = \"cpu\"; reg = <0>; enable-method = \"psci\"; }; "
#define CPUS "cpus { #address-cells = <1>; #size-cells = <0>; " CPU0 "}; "
#define GIC \
    "intc@8000000 { compatible = \"arm,gic-v3\"; #interrupt-cells = <3>; interrupt-controller; " \
    "reg = <0 0x8000000 0 0x10000 0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; }; "
#define TIMER \
    "timer { compatible = \"arm,armv8-timer\"; " \
    "interrupts = <1 13 4 1 14 4 1 11 4 1 10 4>; }; "
#define PSCI \
    "psci { compatible = \"arm,psci-1.0\", \"arm,psci-0.2\", \"arm,psci\"; method = \"smc\"; }; "
#define UART(name, address) \
    name "@" #address " { compatible = \"arm,pl011\", \"arm,primecell\"; " \
    "reg = <0 0x" #address " 0 0x1000>; interrupts = <0 1 4>; }; "

struct fixture {
    struct boot_machine machine;
    struct dts_said said;
    void *fdt;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    free(((struct fixture *)*state)->fdt);
    free(*state);
    return 0;
}

static enum status parse(struct fixture *f, const char *text)
{
    struct report report = {dts_say, &f->said};
    size_t size;

    free(f->fdt);
    memset(&f->said, 0, sizeof(f->said));
    f->fdt = dts_compile(text, &size);
    assert_int_equal(boot_fdt_size(f->fdt), size);
    return boot_fdt_parse(f->fdt, size, pa(0x48000000), &report, &f->machine);
}

static void expect_range(const struct boot_range *range, uint64_t base, uint64_t size)
{
    assert_int_equal(range->base.pa, base);
    assert_int_equal(range->size, size);
}

static void test_virt(void **state)
{
    struct fixture *f = *state;
    struct boot_machine *m = &f->machine;

    assert_int_equal(
        parse(f, HEAD "/ { model = \"board\"; " CELLS PSCI MEMORY CPUS GIC TIMER
                      "chosen { stdout-path = \"/pl011@9000000\"; bootargs = \"loud\"; "
                      "rng-seed = [01 02 03 04]; kaslr-seed = <1 2>; }; "
                      "pl031@9010000 { compatible = \"arm,pl031\", \"arm,primecell\"; "
                      "reg = <0 0x9010000 0 0x1000>; }; " UART("pl011", 9000000) "};"),
        STATUS_OK);
    assert_string_equal(f->said.text, "");
    assert_string_equal(m->model, "board");
    assert_string_equal(m->bootargs, "loud");
    assert_int_equal(m->nr_memory, 1);
    expect_range(&m->memory[0], 0x40000000, 0x80000000);
    assert_int_equal(m->nr_reserved, 1); /* the tree itself */
    expect_range(&m->reserved[0], 0x48000000, m->fdt_size);
    assert_int_equal(m->nr_cpus, 1);
    assert_int_equal(m->cpus[0].method, BOOT_CPU_PSCI);
    assert_int_equal(m->psci.conduit, BOOT_CONDUIT_SMC);
    assert_true(m->psci.v0_2);
    expect_range(&m->gic.distributor, 0x8000000, 0x10000);
    assert_int_equal(m->gic.nr_redistributors, 1);
    expect_range(&m->gic.redistributors[0], 0x80a0000, 0xf60000);
    assert_int_equal(m->gic.maintenance, 25);
    assert_int_equal(m->timer.phys, 30);
    assert_int_equal(m->timer.virt, 27);
    assert_int_equal(m->timer.hyp, 26);
    assert_int_equal(m->uart.kind, BOOT_UART_PL011);
    expect_range(&m->uart.registers, 0x9000000, 0x1000);
    assert_int_equal(m->uart.intid, 33);
    expect_range(&m->rtc, 0x9010000, 0x1000);
    assert_int_equal(m->seed_size, 4);
    assert_int_equal(m->seed[3], 4);
    assert_true(m->chosen > 0);
}

/* Two banks in one node, sbsa after pl011, no PSCI and no enable-method, interrupt by default. */
static void test_versal(void **state)
{
    struct fixture *f = *state;
    struct boot_machine *m = &f->machine;

    assert_int_equal(
        parse(f, HEAD "/ { " CELLS "interrupt-parent = <&gic>; "
                      "memory@0 { device_type = \"memory\"; "
                      "reg = <8 0 0 0x80000000 0 0 0 0x80000000>; }; "
                      "cpus { #address-cells = <1>; #size-cells = <0>; "
                      "cpu@0 { device_type = \"cpu\"; reg = <0>; }; "
                      "cpu@1 { device_type = \"cpu\"; reg = <1>; }; }; " TIMER
                      "gic: gic@f9000000 { compatible = \"arm,gic-v3\"; #interrupt-cells = <3>; "
                      "reg = <0 0xf9000000 0 0x10000 0 0xf9080000 0 0x80000>; "
                      "interrupts = <1 9 4>; }; "
                      "uart@ff000000 { compatible = \"arm,pl011\", \"arm,sbsa-uart\"; "
                      "reg = <0 0xff000000 0 0x1000>; interrupts = <0 18 4>; }; "
                      "uart@ff010000 { compatible = \"arm,sbsa-uart\"; "
                      "reg = <0 0xff010000 0 0x1000>; interrupts = <0 19 4>; }; "
                      "chosen { stdout-path = \"/uart@ff010000:115200n8\"; }; };"),
        STATUS_OK);
    assert_int_equal(m->nr_memory, 2);
    expect_range(&m->memory[0], 0, 0x80000000);
    expect_range(&m->memory[1], 0x800000000, 0x80000000);
    assert_int_equal(m->nr_cpus, 2);
    assert_int_equal(m->cpus[1].mpidr, 1);
    assert_int_equal(m->cpus[1].method, BOOT_CPU_NONE);
    assert_int_equal(m->psci.conduit, BOOT_CONDUIT_NONE);
    assert_int_equal(m->uart.kind, BOOT_UART_SBSA);
    assert_int_equal(m->uart.intid, 51);
}

static void test_cpus(void **state)
{
    struct fixture *f = *state;
    struct boot_machine *m = &f->machine;

    assert_int_equal(
        parse(f, HEAD "/ { " CELLS MEMORY GIC TIMER
                      "cpus { #address-cells = <2>; #size-cells = <0>; "
                      "cpu-map { cluster0 { core0 { cpu = <1>; }; }; }; "
                      "cpu@0 { device_type = \"cpu\"; reg = <0 0x80000000>; "
                      "enable-method = \"spin-table\"; cpu-release-addr = <1 0xd8>; }; "
                      "cpu@100 { device_type = \"cpu\"; reg = <0 0x100>; status = \"disabled\"; "
                      "enable-method = \"psci\"; }; "
                      "cpu@100000101 { device_type = \"cpu\"; reg = <1 0x101>; "
                      "enable-method = \"spin-table\"; cpu-release-addr = <0xe0>; }; "
                      "cpu@3 { device_type = \"cpu\"; reg = <0 3>; enable-method = \"magic\"; }; "
                      "l2-cache { compatible = \"cache\"; }; }; };"),
        STATUS_OK);
    assert_string_equal(f->said.text,
                        "/cpus/cpu@3: enable-method: must be \"psci\" or \"spin-table\"\n");
    assert_int_equal(m->nr_cpus, 3);
    assert_int_equal(m->cpus[0].mpidr, 0); /* only affinity */
    assert_int_equal(m->cpus[0].method, BOOT_CPU_SPIN_TABLE);
    assert_int_equal(m->cpus[0].release.pa, 0x1000000d8);
    assert_int_equal(m->cpus[1].mpidr, 0x100000101);
    assert_int_equal(m->cpus[1].release.pa, 0xe0);
}

/* A boot loader may add PSCI's node and nothing else. */
static void test_cpus_without_method(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, HEAD "/ { " CELLS MEMORY GIC TIMER
                                   "cpus { #address-cells = <1>; #size-cells = <0>; "
                                   "cpu@0 { device_type = \"cpu\"; reg = <0>; }; }; "
                                   "psci { compatible = \"arm,psci\"; method = \"hvc\"; "
                                   "cpu_on = <0x1234>; cpu_off = <0x5678>; }; };"),
                     STATUS_OK);
    assert_int_equal(f->machine.cpus[0].method, BOOT_CPU_PSCI);
    assert_int_equal(f->machine.psci.conduit, BOOT_CONDUIT_HVC);
    assert_false(f->machine.psci.v0_2);
    assert_int_equal(f->machine.psci.cpu_on, 0x1234);
    assert_int_equal(f->machine.psci.cpu_off, 0x5678);
}

static void test_many_cpus(void **state)
{
    struct fixture *f = *state;
    char text[4096] = HEAD "/ { " CELLS MEMORY GIC TIMER "cpus { #address-cells = <1>; "
                           "#size-cells = <0>; ";

    for (int i = 0; i < 11; i++) {
        sprintf(text + strlen(text), "cpu@%x { device_type = \"cpu\"; reg = <%d>; }; ", i, i);
    }
    strcat(text, "}; };");
    assert_int_equal(parse(f, text), STATUS_OK);
    assert_int_equal(f->machine.nr_cpus, BOOT_CPU_MAX);
    assert_int_equal(f->machine.nr_cpus_left_out, 3);
}

/* Devices two buses down, with other cells on each. */
static void test_ranges(void **state)
{
    struct fixture *f = *state;
    struct boot_machine *m = &f->machine;

    assert_int_equal(
        parse(f, HEAD "/ { #address-cells = <2>; #size-cells = <1>; "
                      "memory { device_type = \"memory\"; reg = <0 0 0x1000000>; }; " CPUS TIMER
                      "aliases { serial1 = \"/soc/bus@10/serial@201000\"; }; "
                      "chosen { stdout-path = \"serial1:115200\"; }; "
                      "soc { #address-cells = <1>; #size-cells = <1>; "
                      "ranges = <0x7e000000 0x10 0xfe000000 0x1800000>; "
                      "gic@7f841000 { compatible = \"arm,gic-v3\"; #interrupt-cells = <4>; "
                      "#redistributor-regions = <2>; redistributor-stride = <0 0x40000>; "
                      "reg = <0x7f400000 0x10000 0x7f600000 0x100000 0x7f700000 0x100000>; "
                      "interrupts = <1 9 4 0>; }; "
                      "bus@10 { #address-cells = <1>; #size-cells = <1>; "
                      "ranges = <0 0x7e000000 0x300000>; "
                      "serial@200000 { compatible = \"arm,pl011\"; reg = <0x200000 0x200>; "
                      "interrupts = <0 120 4 0>; }; "
                      "serial@201000 { compatible = \"arm,pl011\"; reg = <0x201000 0x200>; "
                      "interrupts-extended = <7 0 121 4 0>; }; "
                      "serial@400000 { compatible = \"arm,pl011\"; reg = <0x400000 0x200>; }; "
                      "}; }; };"),
        STATUS_UNSUPPORTED); /* the timer has three cells an interrupt here */
    assert_string_equal(f->said.text, "/timer: interrupts: must have the virtual and the "
                                      "hypervisor timer's PPI\n");
    expect_range(&m->gic.distributor, 0x10ff400000, 0x10000);
    assert_int_equal(m->gic.nr_redistributors, 2);
    expect_range(&m->gic.redistributors[1], 0x10ff700000, 0x100000);
    assert_int_equal(m->gic.stride, 0x40000);
    assert_int_equal(m->gic.maintenance, 25);
    expect_range(&m->uart.registers, 0x10fe201000, 0x200);
    assert_int_equal(m->uart.intid, 153);
}

static void test_named_timer(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, HEAD "/ { " CELLS MEMORY CPUS GIC
                                   "timer { compatible = \"arm,armv8-timer\"; "
                                   "interrupt-names = \"phys\", \"virt\", \"hyp-phys\"; "
                                   "clock-frequency = <1000>; "
                                   "interrupts = <1 14 4 1 11 4 1 10 4>; }; };"),
                     STATUS_OK);
    assert_int_equal(f->machine.timer.phys, 30);
    assert_int_equal(f->machine.timer.virt, 27);
    assert_int_equal(f->machine.timer.hyp, 26);
    assert_int_equal(f->machine.timer.frequency, 1000);
}

static void test_uart_choice(void **state)
{
    static const struct {
        const char *chosen;
        uint64_t base;
    } cases[] = {
        {"stdout-path = \"/serial@9040000\";", 0x9040000},
        {"stdout-path = \"/serial@9000000\";", 0x9000000},
        {"linux,stdout-path = \"/serial@9040000\";", 0x9040000},
        {"stdout-path = \"/other\";", 0x9040000}, /* the first in the tree */
        {"stdout-path = \"nowhere:115200\";", 0x9040000},
        {"stdout-path = \"\";", 0x9040000},
        {"", 0x9040000},
        {"stdout-path = \"console\";", 0x9000000},
        {"stdout-path = \"/serial\";", 0x9040000}, /* without a unit: the first of the name */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[2048];

        snprintf(text, sizeof(text), HEAD "/ { " CELLS MEMORY CPUS GIC TIMER "chosen { %s }; "
                 "off@9090000 { compatible = \"arm,pl011\"; status = \"disabled\"; "
                 "reg = <0 0x9090000 0 0x1000>; }; "
                 UART("serial", 9040000) UART("serial", 9000000)
                 "aliases { console = \"/serial@9000000\"; }; };", cases[i].chosen);
        assert_int_equal(parse(f, text), STATUS_OK);
        assert_int_equal(f->machine.uart.registers.base.pa, cases[i].base);
    }
}

static void test_reserved(void **state)
{
    struct fixture *f = *state;
    struct boot_machine *m = &f->machine;

    assert_int_equal(
        parse(f, HEAD "/memreserve/ 0x41000000 0x1000; / { " CELLS CPUS GIC TIMER
                      "memory@60000000 { device_type = \"memory\"; "
                      "reg = <0 0x60000000 0 0x20000000 0 0x50000000 0 0x10000000>; }; "
                      "memory@40000000 { device_type = \"memory\"; "
                      "reg = <0 0x40000000 0 0x8000000>; }; "
                      "memory@90000000 { device_type = \"memory\"; status = \"disabled\"; "
                      "reg = <0 0x90000000 0 0x8000000>; }; "
                      "reserved-memory { " CELLS "ranges; "
                      "firmware@42000000 { reg = <0 0x42000000 0 0x200000>; no-map; }; "
                      "cma { size = <0 0x1000000>; reusable; }; "
                      "two@43000000 { reg = <0 0x43000000 0 0x1000 0 0x44000000 0 0x1000>; }; "
                      "}; };"),
        STATUS_OK);
    assert_string_equal(f->said.text, "");
    assert_int_equal(m->nr_memory, 2);
    expect_range(&m->memory[0], 0x40000000, 0x8000000);
    expect_range(&m->memory[1], 0x50000000, 0x30000000); /* two that touch are one */
    assert_int_equal(m->nr_reserved, 5);
    expect_range(&m->reserved[0], 0x41000000, 0x1000);
    expect_range(&m->reserved[2], 0x42000000, 0x200000);
    expect_range(&m->reserved[4], 0x44000000, 0x1000);
}

static void test_missing(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {CPUS GIC TIMER, "/memory: reg: the machine has no memory; there must be a node with "
                         "device_type = \"memory\"\n"},
        {MEMORY GIC TIMER, "/cpus: the machine has no CPU; there must be nodes with device_type = "
                           "\"cpu\" below /cpus\n"},
        {MEMORY CPUS TIMER, "/: no usable interrupt controller; there must be a node with "
                            "compatible = \"arm,gic-v3\"\n"},
        {MEMORY CPUS TIMER "intc@1 { compatible = \"arm,gic-400\"; };",
         "/intc@1: compatible: this interrupt controller is not supported; allowed is "
         "\"arm,gic-v3\"\n"},
        {MEMORY CPUS GIC, "/: no timer; there must be a node with compatible = "
                          "\"arm,armv8-timer\"\n"},
        {MEMORY CPUS TIMER "gic@1 { compatible = \"arm,gic-v3\"; reg = <0 1 0 2>; };",
         "/gic@1: reg: must have the distributor and then each redistributor region\n"
         "/: no usable interrupt controller; there must be a node with compatible = "
         "\"arm,gic-v3\"\n"},
        {CPUS GIC TIMER "memory { device_type = \"memory\"; reg = <0 0x40000000 0>; };",
         "/memory: reg: must be pairs of address and size in the parent's #address-cells and "
         "#size-cells\n"
         "/memory: reg: the machine has no memory; there must be a node with device_type = "
         "\"memory\"\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[2048];

        snprintf(text, sizeof(text), HEAD "/ { " CELLS "%s };", cases[i].text);
        assert_int_equal(parse(f, text), STATUS_UNSUPPORTED);
        assert_string_equal(f->said.text, cases[i].said);
    }
}

#define WHOLE \
    HEAD "/memreserve/ 0x41000000 0x1000; / { model = \"x\"; " CELLS PSCI MEMORY CPUS GIC TIMER \
         "chosen { stdout-path = \"s:1\"; }; aliases { s = \"/pl011@9000000\"; }; " \
         "soc { #address-cells = <1>; #size-cells = <1>; ranges = <0 0 0 0x1000>; " \
         "serial@10 { compatible = \"arm,pl011\"; reg = <0x10 0x10>; }; }; " \
         UART("pl011", 9000000) "};"

static void test_truncated(void **state)
{
    struct fixture *f = *state;
    struct dts_said said = {.count = 0};
    struct report report = {dts_say, &said};
    size_t size;
    char *fdt = dts_compile(WHOLE, &size);

    for (size_t length = 0; length < size; length++) {
        void *copy = malloc(length + 1);

        memcpy(copy, fdt, length);
        assert_int_equal(boot_fdt_parse(copy, length, pa(0), &report, &f->machine),
                         STATUS_CORRUPT);
        free(copy);
    }
    free(fdt);
}

/* Whatever happens, no access lies outside of the tree (a sanitizer would see it). */
static void test_mutated(void **state)
{
    struct fixture *f = *state;
    struct report report = {NULL, NULL};
    unsigned int survived = 0;
    size_t size;
    char *fdt = dts_compile(WHOLE, &size);
    char *copy = malloc(size);

    srand(5);
    for (unsigned int round = 0; round < 60000; round++) {
        unsigned int changes = 1 + (unsigned int)rand() % 4;

        memcpy(copy, fdt, size);
        for (unsigned int i = 0; i < changes; i++) {
            size_t at = (size_t)rand() % size;

            copy[at] = (char)(rand() % 3 == 0 ? rand() : rand() % 12);
        }
        if (boot_fdt_parse(copy, size, pa(0), &report, &f->machine) != STATUS_CORRUPT) {
            survived++;
            assert_true(f->machine.nr_memory <= BOOT_MEMORY_MAX);
            assert_true(f->machine.nr_cpus <= BOOT_CPU_MAX);
            assert_true(f->machine.gic.nr_redistributors <= BOOT_GICR_MAX);
        }
    }
    assert_true(survived > 1000);
    free(copy);
    free(fdt);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_virt),
        TEST(test_versal),
        TEST(test_cpus),
        TEST(test_cpus_without_method),
        TEST(test_many_cpus),
        TEST(test_ranges),
        TEST(test_named_timer),
        TEST(test_uart_choice),
        TEST(test_reserved),
        TEST(test_missing),
        TEST(test_truncated),
        TEST(test_mutated),
    };

    return cmocka_run_group_tests_name("boot_fdt", tests, NULL, NULL);
}
