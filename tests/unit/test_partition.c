/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions from the device tree: what each property means, the exact sentence for each fault,
 * that sound partitions survive bad neighbours, memory; and damaged trees.
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
#include "core/vm.h"
#include "el2/partition.h"
#include "tests/support/dts.h"

_Static_assert(PARTITION_NAME_SIZE == VM_NAME_MAX, "partition.h keeps its own copy");
_Static_assert(PARTITION_VCPUS_MAX == VM_VCPU_MAX, "partition.h keeps its own copy");

/* Four CPUs, 1 GiB of memory at 1 GiB, 16 MiB of it reserved. */
#define BOARD \
    "/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; " \
    "memory { device_type = \"memory\"; reg = <0 0x40000000 0 0x40000000>; }; " \
    "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; " \
    "fw@41000000 { reg = <0 0x41000000 0 0x1000000>; no-map; }; }; " \
    "timer { compatible = \"arm,armv8-timer\"; interrupts = <1 13 4 1 14 4 1 11 4 1 10 4>; }; " \
    "gic { compatible = \"arm,gic-v3\"; reg = <0 0x8000000 0 0x10000 0 0x80a0000 0 0xf60000>; }; " \
    "cpus { #address-cells = <1>; #size-cells = <0>; " \
    "cpu@0 { device_type = \"cpu\"; reg = <0>; }; cpu@1 { device_type = \"cpu\"; reg = <1>; }; " \
    "cpu@2 { device_type = \"cpu\"; reg = <2>; }; cpu@3 { device_type = \"cpu\"; reg = <3>; }; " \
    "}; chosen { "
#define END " }; };"

#define DOMAIN(name, body) \
    name " { compatible = \"xen,domain\"; #address-cells = <2>; #size-cells = <2>; " body " }; "
#define BASIC "memory = <0 0x8000>; cpus = <2>; "
#define KERNEL_AT(at, size) \
    "kernel@" #at " { compatible = \"multiboot,kernel\", \"multiboot,module\"; " \
    "reg = <0 0x" #at " 0 " #size ">; }; "
#define RAMDISK_AT(at, size) \
    "ramdisk@" #at " { compatible = \"multiboot,ramdisk\", \"multiboot,module\"; " \
    "reg = <0 0x" #at " 0 " #size ">; }; "
#define KERNEL KERNEL_AT(50000000, 0x100000)
#define FINE(name) DOMAIN(name, BASIC KERNEL)

struct fixture {
    struct boot_machine machine;
    struct partition_list list;
    struct ram ram;
    struct dts_said said;
    struct report report;
    struct partition_source source;
    void *fdt;
    uint8_t head[IMAGE_HEADER_SIZE]; /* what peek finds */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->report = (struct report){dts_say, &f->said};
    f->source.machine = &f->machine;
    f->source.report = &f->report;
    f->source.image = (struct boot_range){pa(0x40200000), 0x200000};
    *state = f;
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
    char *whole = malloc(strlen(text) + 4096);
    size_t size;

    sprintf(whole, BOARD "%s" END, text);
    free(f->fdt);
    memset(&f->said, 0, sizeof(f->said));
    f->fdt = dts_compile(whole, &size);
    free(whole);
    assert_int_equal(boot_fdt_parse(f->fdt, size, pa(0x48000000), &f->report, &f->machine),
                     STATUS_OK);
    return partition_parse(&f->source, &f->list);
}

static enum status allocate(struct fixture *f)
{
    assert_int_equal(partition_free_memory(&f->source, &f->list, &f->ram), STATUS_OK);
    return partition_allocate(&f->source, &f->list, &f->ram);
}

static void test_none(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "bootargs = \"x\"; other { compatible = \"y\"; };"), STATUS_OK);
    assert_int_equal(f->list.count, 0);
    f->machine.chosen = -1;
    assert_int_equal(partition_parse(&f->source, &f->list), STATUS_OK);
}

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    struct partition_config *p = &f->list.partitions[0];

    assert_int_equal(parse(f, FINE("domU1")), STATUS_OK);
    assert_string_equal(f->said.text, "");
    assert_int_equal(f->list.count, 1);
    assert_string_equal(p->name, "domU1");
    assert_string_equal(p->path, "/chosen/domU1");
    assert_int_equal(p->memory, MIB(32));
    assert_int_equal(p->nr_vcpus, 2);
    assert_int_equal(p->affinity[0], 0xf);
    assert_int_equal(p->affinity[1], 0xf);
    assert_int_equal(p->affinity[2], 0);
    assert_false(p->affinity_given);
    assert_false(p->dedicated);
    assert_false(p->vpl011);
    assert_int_equal(p->priority, 3);
    assert_int_equal(p->restart, PARTITION_RESTART_ON_RESET);
    assert_int_equal(p->populate, PARTITION_POPULATE_TOUCH);
    assert_int_equal(p->kernel.size, 0x100000);
    assert_int_equal(p->ramdisk.size, 0);
    assert_string_equal(p->bootargs, "");
    assert_int_equal(p->placement.kernel, 0x40000000);
}

static void test_everything(void **state)
{
    struct fixture *f = *state;
    struct partition_config *p = &f->list.partitions[0];

    assert_int_equal(
        parse(f, DOMAIN("domU1@0",
                        "memory = <0x20000>; cpus = <3>; vpl011; bothy,name = \"Rt-1.a_b\"; "
                        "bothy,affinity = <1 2 3>; bothy,dedicated; bothy,priority = <7>; "
                        "bothy,restart = \"always\"; bothy,restart-limit = <5>; "
                        "bothy,populate = \"start\"; status = \"okay\"; nr_spis = <0>; "
                        "xen,enhanced = \"disabled\"; passthrough = \"disabled\"; "
                        "max_grant_frames = <1>; "
                        "m1 { compatible = \"multiboot,ramdisk\", \"multiboot,module\"; "
                        "reg = <0 0x50100001 0 0x123>; bootargs = \"not for me\"; }; "
                        "m2 { compatible = \"multiboot,kernel\", \"multiboot,module\"; "
                        "reg = <0 0x50000000 0 0x100001>; bootargs = \"console=ttyAMA0\"; "
                        "}; m3 { compatible = \"x\"; status = \"disabled\"; };")
                     "off { compatible = \"xen,domain\"; status = \"disabled\"; }; "
                     DOMAIN("domU1+x@1,2", BASIC KERNEL_AT(51000000, 4))),
        STATUS_OK);
    assert_string_equal(f->said.text, "");
    assert_int_equal(f->list.count, 2);
    assert_string_equal(p->name, "Rt-1.a_b");
    assert_int_equal(p->memory, MIB(128));
    assert_int_equal(p->affinity[2], 3);
    assert_true(p->dedicated && p->vpl011);
    assert_int_equal(p->priority, 7);
    assert_int_equal(p->restart, PARTITION_RESTART_ALWAYS);
    assert_int_equal(p->restart_limit, 5);
    assert_int_equal(p->populate, PARTITION_POPULATE_START);
    assert_int_equal(p->kernel.size, 0x100001);
    assert_int_equal(p->ramdisk.base.pa, 0x50100001);
    assert_string_equal(p->bootargs, "console=ttyAMA0");
    assert_string_equal(p[1].name, "domU1-x-1-2");
    assert_int_equal(p[1].affinity[0], 0xc); /* what the first one leaves */
}

/* GRUB says only that they are modules; cells come from above, as in Xen. */
static void test_grub(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "#address-cells = <1>; #size-cells = <1>; "
                              "domU1 { compatible = \"xen,domain\"; " BASIC
                              "a { compatible = \"multiboot,module\"; "
                              "reg = <0x50000000 0x1000>; bootargs = \"one\"; }; "
                              "b { compatible = \"multiboot,module\"; "
                              "reg = <0x50001000 0x1000>; bootargs = \"\"; }; };"),
                     STATUS_OK);
    assert_int_equal(f->list.partitions[0].kernel.base.pa, 0x50000000);
    assert_int_equal(f->list.partitions[0].ramdisk.base.pa, 0x50001000);
    assert_string_equal(f->list.partitions[0].bootargs, "one");
}

/* The same module for two, whole, is fine; so are neighbours. */
static void test_shared_module(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, FINE("a") FINE("b")
                           DOMAIN("c", BASIC KERNEL_AT(50100000, 0x1000))), STATUS_OK);
    assert_int_equal(f->list.count, 3);
}

#define ALLOWED_PROPERTIES \
    "unknown property; allowed are memory, cpus, vpl011, bothy,name, bothy,affinity, " \
    "bothy,dedicated, bothy,priority, bothy,restart, bothy,restart-limit, bothy,populate, " \
    "#address-cells, #size-cells and status"
#define ONE(body) DOMAIN("a", body)
#define NAME_ALLOWED "is not a name; allowed are 1 to 31 characters of A-Z a-z 0-9 . _ -"

static const struct {
    const char *text;
    const char *said;
} faults[] = {
    /* Numbers */
    {ONE("cpus = <1>; " KERNEL),
     "/chosen/a: memory: is missing; it must give the partition's memory in KiB"},
    {ONE("memory = <0 0x8000>; " KERNEL),
     "/chosen/a: cpus: is missing; it must give the number of vCPUs, 1 to 8"},
    {ONE("memory = <0 0>; cpus = <1>; " KERNEL),
     "/chosen/a: memory: 0 KiB are not possible; allowed are multiples of 2048 KiB up to "
     "267386880 KiB"},
    {ONE("memory = <0 3000>; cpus = <1>; " KERNEL),
     "/chosen/a: memory: 3000 KiB are not possible; allowed are multiples of 2048 KiB up to "
     "267386880 KiB"},
    {ONE("memory = <0xffffffff 0xfffff800>; cpus = <1>; " KERNEL),
     "/chosen/a: memory: 18446744073709549568 KiB are not possible; allowed are multiples of "
     "2048 KiB up to 267386880 KiB"},
    {ONE("memory = <1 2 3>; cpus = <1>; " KERNEL),
     "/chosen/a: memory: has 12 bytes; it must be a number of KiB in one or two cells"},
    {ONE("memory = <0 0x8000>; cpus = <0>; " KERNEL),
     "/chosen/a: cpus: 0 is not possible; allowed are 1 to 8"},
    {ONE("memory = <0 0x8000>; cpus = <9>; " KERNEL),
     "/chosen/a: cpus: 9 is not possible; allowed are 1 to 8"},
    {ONE("memory = <0 0x8000>; cpus = <0 1>; " KERNEL),
     "/chosen/a: cpus: has 8 bytes; it must be one cell, 1 to 8"},
    {ONE(BASIC "bothy,priority = <8>; " KERNEL),
     "/chosen/a: bothy,priority: 8 is not possible; allowed are 0 to 7"},
    {ONE(BASIC "bothy,restart-limit; " KERNEL),
     "/chosen/a: bothy,restart-limit: has 0 bytes; it must be one cell, 0 to 4294967295"},
    /* Words and flags */
    {ONE(BASIC "bothy,restart = \"maybe\"; " KERNEL),
     "/chosen/a: bothy,restart: \"maybe\" is unknown; allowed are \"never\", \"on-reset\", "
     "\"on-crash\" and \"always\""},
    {ONE(BASIC "bothy,populate; " KERNEL),
     "/chosen/a: bothy,populate: \"\" is unknown; allowed are \"touch\" and \"start\""},
    {ONE(BASIC "vpl011 = <0>; " KERNEL),
     "/chosen/a: vpl011: has a value; it must stand without one, or be left out"},
    {ONE(BASIC "colour = \"red\"; " KERNEL), "/chosen/a: colour: " ALLOWED_PROPERTIES},
    {ONE(BASIC "direct-map; " KERNEL),
     "/chosen/a: direct-map: Xen's property is not supported by Bothy; leave it out"},
    {ONE(BASIC "xen,enhanced = \"enabled\"; " KERNEL),
     "/chosen/a: xen,enhanced: is not supported by Bothy; allowed is \"disabled\""},
    /* Names */
    {ONE(BASIC "bothy,name = \"\"; " KERNEL), "/chosen/a: bothy,name: " NAME_ALLOWED},
    {ONE(BASIC "bothy,name = \"a b\"; " KERNEL), "/chosen/a: bothy,name: " NAME_ALLOWED},
    {ONE(BASIC "bothy,name = \"a\", \"b\"; " KERNEL), "/chosen/a: bothy,name: " NAME_ALLOWED},
    {ONE(BASIC "bothy,name = <1>; " KERNEL), "/chosen/a: bothy,name: " NAME_ALLOWED},
    {ONE(BASIC "bothy,name = \"a123456789012345678901234567890x\"; " KERNEL),
     "/chosen/a: bothy,name: " NAME_ALLOWED},
    /* CPUs */
    {ONE(BASIC "bothy,affinity = <0x10>; " KERNEL),
     "/chosen/a: bothy,affinity: 0x10 names a CPU that isn't there; allowed is 0xf, CPUs 0 to 3"},
    {ONE(BASIC "bothy,affinity = <1 0>; " KERNEL),
     "/chosen/a: bothy,affinity: a mask is 0; each must name a CPU, allowed is 0xf"},
    {ONE(BASIC "bothy,affinity = <1 1 1>; " KERNEL),
     "/chosen/a: bothy,affinity: has 3 masks for 2 vCPUs; it must have one, or one for each "
     "vCPU"},
    {ONE(BASIC "bothy,affinity = [01]; " KERNEL),
     "/chosen/a: bothy,affinity: has 1 bytes; it must be one mask of CPUs, or one for each vCPU"},
    {ONE(BASIC "bothy,dedicated; " KERNEL),
     "/chosen/a: bothy,dedicated: needs bothy,affinity; it must say which CPUs are the "
     "partition's own"},
    /* Modules */
    {ONE(BASIC),
     "/chosen/a: multiboot,kernel: there is no kernel; there must be a child node with "
     "compatible = \"multiboot,kernel\", \"multiboot,module\""},
    {ONE(BASIC RAMDISK_AT(50000000, 0x1000)),
     "/chosen/a: multiboot,kernel: there is no kernel; there must be a child node with "
     "compatible = \"multiboot,kernel\", \"multiboot,module\""},
    {ONE(BASIC KERNEL KERNEL_AT(51000000, 0x1000)),
     "/chosen/a/kernel@51000000: compatible: is a second kernel; a partition has one kernel and "
     "at most one ramdisk"},
    {ONE(BASIC KERNEL "x { reg = <0 0 0 1>; };"),
     "/chosen/a/x: compatible: is not a module; allowed are \"multiboot,kernel\" and "
     "\"multiboot,ramdisk\", each with \"multiboot,module\""},
    {ONE(BASIC KERNEL "x { compatible = \"multiboot,device-tree\", \"multiboot,module\"; };"),
     "/chosen/a/x: compatible: a device tree for passthrough is not supported by Bothy; allowed "
     "are \"multiboot,kernel\" and \"multiboot,ramdisk\""},
    {ONE(BASIC KERNEL_AT(50000000, 0)),
     "/chosen/a/kernel@50000000: reg: the size is 0; it must be the module's length in bytes"},
    {ONE(BASIC "k { compatible = \"multiboot,kernel\"; };"),
     "/chosen/a/k: reg: has 0 bytes; it must be one address of 2 and one size of 2 cells, as "
     "#address-cells and #size-cells of /chosen/a say"},
    {ONE(BASIC "k { compatible = \"multiboot,kernel\"; reg = <0x50000000 0x1000>; };"),
     "/chosen/a/k: reg: has 8 bytes; it must be one address of 2 and one size of 2 cells, as "
     "#address-cells and #size-cells of /chosen/a say"},
    {ONE(BASIC "k { compatible = \"multiboot,kernel\"; "
               "reg = <0xffffffff 0xffffffff 0 2>; };"),
     "/chosen/a/k: reg: 0xffffffffffffffff and 0x2 bytes reach beyond 64 bits; it must lie in "
     "memory"},
    {ONE(BASIC "k { compatible = \"multiboot,kernel\"; reg = <0 0x50000000 0 1>; entry = <1>; "
               "};"),
     "/chosen/a/k: entry: unknown property; allowed are compatible, reg, bootargs and status"},
    {ONE(BASIC "k { compatible = \"multiboot,kernel\"; reg = <0 0x50000000 0 1>; "
               "bootargs = <1>; };"),
     "/chosen/a/k: bootargs: must be one string"},
    {"a { compatible = \"xen,domain\"; #address-cells = <3>; #size-cells = <2>; " BASIC
     "k { compatible = \"multiboot,kernel\"; reg = <0 0 0 0 1>; }; };",
     "/chosen/a: #address-cells: 3 is not possible; allowed are 1 and 2"},
    {"a { compatible = \"xen,domain\"; #address-cells = <2>; #size-cells = <0>; " BASIC
     "k { compatible = \"multiboot,kernel\"; reg = <0 0>; }; };",
     "/chosen/a: #size-cells: 0 is not possible; allowed are 1 and 2"},
    {"a { compatible = \"xen,domain\"; #address-cells = [01]; " BASIC KERNEL "};",
     "/chosen/a: #address-cells: has 1 bytes; it must be one cell with 1 or 2"},
    /* Where modules lie */
    {ONE(BASIC KERNEL_AT(90000000, 0x1000)),
     "/chosen/a/kernel@90000000: reg: 0x90000000..0x90000fff is not in the machine's memory; it "
     "must lie in one of its regions"},
    {ONE(BASIC KERNEL_AT(7ffff000, 0x1001)),
     "/chosen/a/kernel@7ffff000: reg: 0x7ffff000..0x80000000 is not in the machine's memory; it "
     "must lie in one of its regions"},
    {ONE(BASIC KERNEL_AT(40fff000, 0x2000)),
     "/chosen/a/kernel@40fff000: reg: 0x40fff000..0x41000fff overlaps what is reserved at "
     "0x41000000..0x41ffffff; it must lie in memory that nobody else uses"},
    {ONE(BASIC KERNEL_AT(40300000, 0x2000)),
     "/chosen/a/kernel@40300000: reg: 0x40300000..0x40301fff overlaps the hypervisor at "
     "0x40200000..0x403fffff; it must lie in memory that nobody else uses"},
    {ONE(BASIC KERNEL RAMDISK_AT(500fffff, 0x1000)),
     "/chosen/a/ramdisk@500fffff: reg: 0x500fffff..0x50100ffe overlaps the kernel at "
     "0x50000000..0x500fffff; it must lie in memory that nobody else uses"},
    {ONE("memory = <0 0x800>; cpus = <1>; " KERNEL_AT(50000000, 0x300000)),
     "/chosen/a: memory: 2048 KiB are too little, the kernel needs more memory than there is; "
     "the kernel needs 3072 KiB, the ramdisk 0 KiB and the device tree 64 KiB"},
    {ONE("memory = <0 0x1000>; cpus = <1>; " KERNEL RAMDISK_AT(60000000, 0x300000)),
     "/chosen/a: memory: 4096 KiB are too little, the kernel and the ramdisk leave no room for "
     "the device tree; the kernel needs 1024 KiB, the ramdisk 3072 KiB and the device tree 64 "
     "KiB"},
};

static void test_faults(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        char text[4096];

        /* Sound neighbours, before and after, start all the same. */
        snprintf(text, sizeof(text), "%s%s%s", DOMAIN("first", BASIC KERNEL_AT(70000000, 4096)),
                 faults[i].text, DOMAIN("last", BASIC KERNEL_AT(71000000, 4096)));
        assert_int_equal(parse(f, text), STATUS_INVALID);
        f->said.text[f->said.length - 1] = '\0';
        assert_string_equal(f->said.text, faults[i].said);
        assert_int_equal(f->said.count, 1);
        assert_int_equal(f->list.count, 2);
        assert_int_equal(f->list.nr_bad, 1);
        assert_string_equal(f->list.partitions[1].name, "last");
        /* Offline, more may be said, but this for sure. */
        f->source.every_fault = true;
        assert_int_equal(parse(f, text), STATUS_INVALID);
        assert_non_null(strstr(f->said.text, faults[i].said));
        f->source.every_fault = false;
    }
}

#define BOUND(name, at, cpu) \
    DOMAIN(name, BASIC "bothy,affinity = <" #cpu ">; bothy,dedicated; " KERNEL_AT(at, 4096))

/* Two that can't both be: the second is at fault. */
static void test_conflicts(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {FINE("a") DOMAIN("b", BASIC "bothy,name = \"a\"; " KERNEL),
         "/chosen/b: bothy,name: \"a\" is the name of /chosen/a already; each needs its own\n"},
        {FINE("a") DOMAIN("b", BASIC KERNEL_AT(50080000, 0x1000)),
         "/chosen/b/kernel@50080000: reg: 0x50080000..0x50080fff overlaps /chosen/a at "
         "0x50000000..0x500fffff; it must lie in memory that nobody else uses\n"},
        {BOUND("a", 50000000, 6) DOMAIN("b", BASIC "bothy,affinity = <0xc>; "
                                                   KERNEL_AT(51000000, 1)),
         "/chosen/b: bothy,affinity: CPU 2 is named by /chosen/a too, and dedicated; allowed are "
         "CPUs that nobody else names\n"},
        {DOMAIN("a", BASIC "bothy,affinity = <1 8>; " KERNEL) BOUND("b", 51000000, 8),
         "/chosen/b: bothy,affinity: CPU 3 is named by /chosen/a too, and dedicated; allowed are "
         "CPUs that nobody else names\n"},
        {BOUND("a", 50000000, 0xf) DOMAIN("b", BASIC KERNEL_AT(51000000, 1)),
         "/chosen/b: bothy,affinity: every CPU is dedicated then, and a partition without "
         "bothy,affinity has none; one CPU must be left\n"},
        {FINE("a") BOUND("b", 51000000, 0xf),
         "/chosen/b: bothy,dedicated: every CPU is dedicated then, and a partition without "
         "bothy,affinity has none; one CPU must be left\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(parse(f, cases[i].text), STATUS_INVALID);
        assert_string_equal(f->said.text, cases[i].said);
        assert_int_equal(f->list.count, 1);
        assert_string_equal(f->list.partitions[0].name, "a");
    }
}

static void test_every_fault(void **state)
{
    struct fixture *f = *state;

    f->source.every_fault = true;
    assert_int_equal(parse(f, ONE("memory = <0 0x8000>; cpus = <0>; colour; "
                                  "bothy,priority = <9>;")),
                     STATUS_INVALID);
    assert_int_equal(f->said.count, 4);
}

static void test_stray_module(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, FINE("a") KERNEL), STATUS_INVALID);
    assert_string_equal(f->said.text,
                        "/chosen/kernel@50000000: compatible: a module out here belongs to no "
                        "partition; allowed are modules inside of a node with compatible = "
                        "\"xen,domain\"\n");
    assert_int_equal(f->list.count, 1);
}

static void test_too_many(void **state)
{
    struct fixture *f = *state;
    char text[8192] = "";

    for (int i = 0; i < 17; i++) {
        sprintf(text + strlen(text), "d%d { compatible = \"xen,domain\"; #address-cells = <2>; "
                "#size-cells = <2>; " BASIC KERNEL "}; ", i);
    }
    assert_int_equal(parse(f, text), STATUS_INVALID);
    assert_string_equal(f->said.text, "/chosen/d16: there are 16 partitions before it already, "
                                      "which is the most\n");
    assert_int_equal(f->list.count, 16);
}

static void test_long_bootargs(void **state)
{
    struct fixture *f = *state;
    char text[8192];
    char bootargs[2049];

    memset(bootargs, 'b', 2048);
    bootargs[2048] = '\0';
    for (size_t length = 2047; length <= 2048; length++) {
        snprintf(text, sizeof(text), "a { compatible = \"xen,domain\"; " BASIC
                 "k { compatible = \"multiboot,kernel\"; reg = <0 0x50000000 0 1>; "
                 "bootargs = \"%s\"; }; };", bootargs + 2048 - length);
        assert_int_equal(parse(f, text), length == 2047 ? STATUS_OK : STATUS_INVALID);
    }
    assert_string_equal(f->said.text,
                        "/chosen/a/k: bootargs: has 2048 characters; allowed are 2047\n");
}

static bool peek(void *context, pa_t from, void *to, size_t size)
{
    struct fixture *f = context;

    assert_int_equal(from.pa, 0x50000000);
    assert_true(size <= sizeof(f->head));
    memcpy(to, f->head, size);
    return true;
}

static void test_kernel_format(void **state)
{
    struct fixture *f = *state;

    f->source.peek = peek;
    f->source.context = f;
    assert_int_equal(parse(f, FINE("a")), STATUS_OK);
    assert_int_equal(f->list.partitions[0].image.kind, IMAGE_RAW);
    assert_int_equal(f->list.partitions[0].placement.kernel, 0x40080000);
    memcpy(f->head, "\x7f" "ELF", 4);
    assert_int_equal(parse(f, FINE("a")), STATUS_INVALID);
    assert_string_equal(f->said.text,
                        "/chosen/a/kernel@50000000: reg: the kernel is an ELF file: make a "
                        "binary of it with objcopy -O binary; allowed are an arm64 Image and a "
                        "raw binary\n");
    memcpy(f->head, "\x1f\x8b", 2);
    assert_int_equal(parse(f, FINE("a")), STATUS_INVALID);
    assert_non_null(strstr(f->said.text, "the kernel is compressed with gzip"));
    /* image_size counts, not the file's length */
    memset(f->head, 0, sizeof(f->head));
    memcpy(f->head + 56, "ARM\x64", 4);
    f->head[19] = 4; /* 64 MiB */
    assert_int_equal(parse(f, FINE("a")), STATUS_INVALID);
    assert_string_equal(f->said.text,
                        "/chosen/a: memory: 32768 KiB are too little, the kernel needs more "
                        "memory than there is; the kernel needs 65536 KiB, the ramdisk 0 KiB and "
                        "the device tree 64 KiB\n");
}

static void test_allocate(void **state)
{
    struct fixture *f = *state;
    struct partition_config *p = f->list.partitions;

    assert_int_equal(parse(f, DOMAIN("a", "memory = <0 0x40000>; cpus = <1>; " KERNEL)
                           DOMAIN("b", "memory = <0 0x100000>; cpus = <1>; " KERNEL)
                           DOMAIN("c", "memory = <0 0x80000>; cpus = <1>; " KERNEL)), STATUS_OK);
    assert_int_equal(allocate(f), STATUS_INVALID);
    assert_string_equal(f->said.text,
                        "/chosen/b: memory: 1048576 KiB are more than is there; the machine has "
                        "763904 KiB left in blocks of 2048 KiB\n");
    assert_int_equal(f->list.count, 2);
    assert_string_equal(p[0].name, "a");
    assert_string_equal(p[1].name, "c");
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t sum = 0;

        assert_true(p[i].nr_extents >= 1);
        for (uint32_t n = 0; n < p[i].nr_extents; n++) {
            uint64_t base = p[i].extents[n].base.pa;
            uint64_t end = base + p[i].extents[n].size;

            sum += end - base;
            assert_true(base >= 0x40000000 && end <= 0x80000000);
            assert_true(end <= 0x40200000 || base >= 0x40400000); /* the hypervisor */
            assert_true(end <= 0x41000000 || base >= 0x42000000); /* reserved */
            assert_true(end <= 0x48000000 || base > 0x48000000);  /* the tree */
            assert_true(end <= 0x50000000 || base >= 0x50100000); /* the kernel */
        }
        assert_int_equal(sum, p[i].memory);
    }
}

static void test_mutated(void **state)
{
    struct fixture *f = *state;
    size_t size;
    char *fdt = dts_compile(BOARD DOMAIN("a", BASIC "vpl011; bothy,name = \"x\"; "
                                              "bothy,affinity = <1 2>; bothy,restart = \"never\"; "
                                              KERNEL RAMDISK_AT(51000000, 0x1000)) FINE("b") END,
                            &size);
    char *copy = malloc(size);
    unsigned int parsed = 0;

    f->report.say = NULL;
    f->source.every_fault = true;
    srand(6);
    for (unsigned int round = 0; round < 40000; round++) {
        enum status status;

        memcpy(copy, fdt, size);
        for (int i = rand() % 4; i >= 0; i--) {
            copy[(size_t)rand() % size] = (char)(rand() % 3 == 0 ? rand() : rand() % 12);
        }
        if (boot_fdt_parse(copy, size, pa(0), &f->report, &f->machine) == STATUS_CORRUPT) {
            continue;
        }
        parsed++;
        status = partition_parse(&f->source, &f->list);
        assert_true(status == STATUS_OK || status == STATUS_INVALID);
        assert_true(f->list.count <= PARTITION_MAX);
        for (uint32_t i = 0; i < f->list.count; i++) {
            struct partition_config *p = &f->list.partitions[i];

            assert_true(p->nr_vcpus >= 1 && p->nr_vcpus <= PARTITION_VCPUS_MAX);
            assert_true(p->memory > 0 && p->kernel.size > 0);
            assert_true(strlen(p->name) < PARTITION_NAME_SIZE && strlen(p->bootargs) < 2048);
            assert_true(p->affinity[0] != 0);
        }
        if (partition_free_memory(&f->source, &f->list, &f->ram) == STATUS_OK) {
            status = partition_allocate(&f->source, &f->list, &f->ram);
            assert_true(status == STATUS_OK || status == STATUS_INVALID);
        }
    }
    free(copy);
    free(fdt);
    assert_true(parsed > 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_none),
        TEST(test_defaults),
        TEST(test_everything),
        TEST(test_grub),
        TEST(test_shared_module),
        TEST(test_faults),
        TEST(test_conflicts),
        TEST(test_every_fault),
        TEST(test_stray_module),
        TEST(test_too_many),
        TEST(test_long_bootargs),
        TEST(test_kernel_format),
        TEST(test_allocate),
        TEST(test_mutated),
    };

    return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
