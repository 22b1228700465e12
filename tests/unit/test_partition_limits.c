/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of all partitions together, and the reserved name; test_partition.c has all the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "el2/partition.h"

static char said[1024];
static uint8_t tree[16384] __attribute__((aligned(8)));
static struct boot_machine machine;
static struct partition_list list;

static void say(void *context, const char *sentence)
{
    (void)context;
    snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", sentence);
}

static void add_partition(const char *name, uint32_t cpus)
{
    static const char domain[] = "xen,domain";
    static const char kernel[] = "multiboot,kernel\0multiboot,module";

    assert_int_equal(fdt_begin_node(tree, name), 0);
    fdt_property(tree, "compatible", domain, sizeof(domain));
    fdt_property_u32(tree, "#address-cells", 2);
    fdt_property_u32(tree, "#size-cells", 2);
    fdt_property_u64(tree, "memory", 0x8000);
    fdt_property_u32(tree, "cpus", cpus);
    fdt_begin_node(tree, "kernel@50000000");
    fdt_property(tree, "compatible", kernel, sizeof(kernel));
    const fdt64_t reg[2] = {cpu_to_fdt64(0x50000000), cpu_to_fdt64(0x1000)};

    fdt_property(tree, "reg", reg, sizeof(reg));
    fdt_end_node(tree);
    assert_int_equal(fdt_end_node(tree), 0);
}

static void begin(void)
{
    said[0] = 0;
    fdt_create(tree, sizeof(tree));
    fdt_finish_reservemap(tree);
    fdt_begin_node(tree, "");
    fdt_begin_node(tree, "chosen");
}

static enum status parse(void)
{
    const struct report report = {.say = say};
    struct partition_source source = {.machine = &machine, .report = &report};

    fdt_end_node(tree);
    fdt_end_node(tree);
    assert_int_equal(fdt_finish(tree), 0);
    machine = (struct boot_machine){
        .nr_memory = 1,
        .memory = {{pa(0x40000000), 0x80000000}},
        .nr_cpus = 4,
        .bootargs = "",
        .model = "",
        .fdt = tree,
        .fdt_size = fdt_totalsize(tree),
        .chosen = fdt_path_offset(tree, "/chosen"),
    };
    return partition_parse(&source, &list);
}

static void sixty_four_vcpus_and_no_more(void **state)
{
    (void)state;
    begin();
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        add_partition(name, 8);
    assert_int_equal(parse(), STATUS_OK);
    assert_int_equal(list.count, 8);

    begin();
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        add_partition(name, 8);
    add_partition("i", 1);
    assert_int_equal(parse(), STATUS_INVALID);
    assert_int_equal(list.count, 8);
    assert_string_equal(said, "/chosen/i: cpus: 65 with those of the partitions before it; allowed "
                              "are 64 in all\n");
}

static void the_hypervisors_name_is_its_own(void **state)
{
    (void)state;
    begin();
    add_partition("bothy", 1);
    add_partition("bothy2", 1);
    assert_int_equal(parse(), STATUS_INVALID);
    assert_int_equal(list.count, 1);
    assert_string_equal(said,
                        "/chosen/bothy: bothy,name: \"bothy\" is the hypervisor's own name in the "
                        "console; allowed is any other\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixty_four_vcpus_and_no_more),
        cmocka_unit_test(the_hypervisors_name_is_its_own),
    };

    return cmocka_run_group_tests_name("partition_limits", tests, NULL, NULL);
}
