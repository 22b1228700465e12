/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's device tree, read back with libfdt: that it is sound, says what QEMU's virt machine
 * says, leaves out what isn't there, and fits.
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
#include "machine/fdt_guest.h"
#include "machine/image.h"
#include "machine/layout.h"
#include <libfdt.h>

static uint64_t buffer[IMAGE_FDT_SIZE / 8];

static struct fdt_guest_config make_config(void)
{
    static uint8_t entropy[FDT_GUEST_ENTROPY_SIZE];

    for (uint8_t i = 0; i < sizeof(entropy); i++) {
        entropy[i] = (uint8_t)(i + 1);
    }
    return (struct fdt_guest_config){
        .nr_cpus = 2,
        .mpidr = {0, 1},
        .ram_size = GIB(5),
        .bootargs = "console=ttyAMA0",
        .initrd_start = 0x48000000,
        .initrd_end = 0x48123456,
        .entropy = entropy,
        .uart = true,
        .rtc = true,
    };
}

static const void *build(const struct fdt_guest_config *config)
{
    size_t size = 0;

    memset(buffer, 0xa5, sizeof(buffer));
    assert_int_equal(fdt_guest_build(config, buffer, sizeof(buffer), &size), STATUS_OK);
    assert_int_equal(fdt_totalsize(buffer), size);
    assert_int_equal(fdt_check_header(buffer), 0);
    return buffer;
}

static const void *get(const void *fdt, const char *path, const char *name, int size)
{
    int node = fdt_path_offset(fdt, path);
    int length = 0;
    const void *data = fdt_getprop(fdt, node, name, &length);

    if (node < 0 || data == NULL || length != size) {
        fail_msg("%s: %s: node %d, length %d instead of %d", path, name, node, length, size);
    }
    return data;
}

static void expect_text(const void *fdt, const char *path, const char *name, const char *text)
{
    assert_string_equal(get(fdt, path, name, (int)strlen(text) + 1), text);
}

static void expect_cells(const void *fdt, const char *path, const char *name, int count, ...)
{
    const fdt32_t *cells = get(fdt, path, name, count * 4);
    va_list arguments;

    va_start(arguments, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(fdt32_to_cpu(cells[i]), va_arg(arguments, unsigned int));
    }
    va_end(arguments);
}

static void test_like_virt(void **state)
{
    struct fdt_guest_config config = make_config();
    const void *fdt = build(&config);

    (void)state;
    expect_text(fdt, "/", "compatible", "linux,dummy-virt");
    expect_text(fdt, "/", "model", "linux,dummy-virt");
    expect_cells(fdt, "/", "#address-cells", 1, 2);
    expect_cells(fdt, "/", "#size-cells", 1, 2);
    expect_cells(fdt, "/memory@40000000", "reg", 4, 0, 0x40000000, 1, 0x40000000);
    expect_text(fdt, "/memory@40000000", "device_type", "memory");
    assert_memory_equal(get(fdt, "/psci", "compatible", 26), "arm,psci-1.0\0arm,psci-0.2", 26);
    expect_text(fdt, "/psci", "method", "hvc");
    expect_cells(fdt, "/timer", "interrupts", 12, 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4);
    get(fdt, "/timer", "always-on", 0);
    expect_text(fdt, "/intc@8000000", "compatible", "arm,gic-v3");
    expect_cells(fdt, "/intc@8000000", "reg", 8, 0, 0x8000000, 0, 0x10000, 0, 0x80a0000, 0,
                 0xf60000);
    expect_cells(fdt, "/intc@8000000", "#interrupt-cells", 1, 3);
    get(fdt, "/intc@8000000", "interrupt-controller", 0);
    assert_memory_equal(get(fdt, "/pl011@9000000", "compatible", 24),
                        "arm,pl011\0arm,primecell", 24);
    expect_cells(fdt, "/pl011@9000000", "reg", 4, 0, 0x9000000, 0, 0x1000);
    expect_cells(fdt, "/pl011@9000000", "interrupts", 3, 0, 1, 4);
    assert_memory_equal(get(fdt, "/pl011@9000000", "clock-names", 17), "uartclk\0apb_pclk", 17);
    expect_cells(fdt, "/pl031@9010000", "interrupts", 3, 0, 2, 4);
    expect_cells(fdt, "/apb-pclk", "clock-frequency", 1, 24000000);
}

static void test_chosen(void **state)
{
    struct fdt_guest_config config = make_config();
    const void *fdt = build(&config);
    const uint8_t *seed = get(fdt, "/chosen", "rng-seed", 32);

    (void)state;
    expect_text(fdt, "/chosen", "bootargs", "console=ttyAMA0");
    expect_text(fdt, "/chosen", "stdout-path", "/pl011@9000000");
    expect_cells(fdt, "/chosen", "linux,initrd-start", 2, 0, 0x48000000);
    expect_cells(fdt, "/chosen", "linux,initrd-end", 2, 0, 0x48123456);
    assert_int_equal(seed[0], 9);
    assert_memory_equal(get(fdt, "/chosen", "kaslr-seed", 8), "\1\2\3\4\5\6\7\10", 8);
    assert_true(fdt_path_offset(fdt, "serial0") == fdt_path_offset(fdt, "/pl011@9000000"));
}

/* Interrupts and clocks point to nodes that are there. */
static void test_phandles(void **state)
{
    struct fdt_guest_config config = make_config();
    const void *fdt = build(&config);
    const fdt32_t *parent = get(fdt, "/", "interrupt-parent", 4);
    const fdt32_t *clocks = get(fdt, "/pl011@9000000", "clocks", 8);

    (void)state;
    assert_int_equal(fdt_node_offset_by_phandle(fdt, fdt32_to_cpu(*parent)),
                     fdt_path_offset(fdt, "/intc@8000000"));
    assert_int_equal(fdt_node_offset_by_phandle(fdt, fdt32_to_cpu(clocks[0])),
                     fdt_path_offset(fdt, "/apb-pclk"));
}

static void test_cpus(void **state)
{
    struct fdt_guest_config config = make_config();
    const void *fdt;

    (void)state;
    config.nr_cpus = 8;
    for (uint32_t i = 0; i < 8; i++) {
        config.mpidr[i] = i;
    }
    config.mpidr[6] = 0x100;
    config.mpidr[7] = 0xff0f01;
    fdt = build(&config);
    expect_cells(fdt, "/cpus/cpu@0", "reg", 1, 0);
    expect_cells(fdt, "/cpus/cpu@5", "reg", 1, 5);
    expect_cells(fdt, "/cpus/cpu@100", "reg", 1, 0x100);
    expect_cells(fdt, "/cpus/cpu@ff0f01", "reg", 1, 0xff0f01);
    expect_text(fdt, "/cpus/cpu@5", "enable-method", "psci");
    expect_text(fdt, "/cpus/cpu@5", "device_type", "cpu");
}

static void test_absent(void **state)
{
    struct fdt_guest_config config = {.nr_cpus = 1, .ram_size = MIB(2)};
    const void *fdt = build(&config);

    (void)state;
    assert_true(fdt_path_offset(fdt, "/pl011@9000000") < 0);
    assert_true(fdt_path_offset(fdt, "/pl031@9010000") < 0);
    assert_true(fdt_path_offset(fdt, "/apb-pclk") < 0);
    assert_true(fdt_path_offset(fdt, "/aliases") < 0);
    assert_true(fdt_path_offset(fdt, "/pmu") < 0);
    assert_true(fdt_path_offset(fdt, "/gpio-keys") < 0);
    assert_true(fdt_path_offset(fdt, "/pl061@9030000") < 0);
    assert_true(fdt_path_offset(fdt, "/virtio_mmio@a000000") < 0);
    assert_true(fdt_path_offset(fdt, "/intc@8000000/its@8080000") < 0);
    assert_true(fdt_first_property_offset(fdt, fdt_path_offset(fdt, "/chosen")) < 0);
}

static void test_room(void **state)
{
    struct fdt_guest_config config = make_config();
    char bootargs[2048];
    size_t size = 99;

    (void)state;
    memset(bootargs, 'b', sizeof(bootargs) - 1);
    bootargs[sizeof(bootargs) - 1] = '\0';
    config.bootargs = bootargs;
    config.nr_cpus = 8;
    for (uint32_t i = 0; i < 8; i++) {
        config.mpidr[i] = 0xffff00 + i;
    }
    expect_text(build(&config), "/chosen", "bootargs", bootargs);
    assert_true(fdt_totalsize(buffer) <= IMAGE_FDT_SIZE);
    for (size_t room = 0; room < fdt_totalsize(buffer); room += 8) {
        static uint64_t small[1024];

        assert_int_equal(fdt_guest_build(&config, small, room, &size), STATUS_NO_SPACE);
        assert_int_equal(size, 99);
    }
    config.nr_cpus = FDT_GUEST_CPUS_MAX + 1;
    assert_int_equal(fdt_guest_build(&config, buffer, sizeof(buffer), &size), STATUS_INVALID);
    config.nr_cpus = 0;
    assert_int_equal(fdt_guest_build(&config, buffer, sizeof(buffer), &size), STATUS_INVALID);
    config.nr_cpus = 1;
    config.nr_virtio = LAYOUT_VIRTIO_COUNT + 1;
    assert_int_equal(fdt_guest_build(&config, buffer, sizeof(buffer), &size), STATUS_INVALID);
}

/* All that a machine can have, and as many of it as there can be, fits into the room that is
 * asked for. */
static struct fdt_guest_config make_full(void)
{
    struct fdt_guest_config config = make_config();

    config.nr_cpus = FDT_GUEST_CPUS_MAX;
    for (uint32_t i = 0; i < config.nr_cpus; i++) {
        config.mpidr[i] = 0xffff00 + i;
    }
    config.its = true;
    config.gpio = true;
    config.pmu = true;
    config.nr_virtio = LAYOUT_VIRTIO_COUNT;
    return config;
}

static void test_full(void **state)
{
    struct fdt_guest_config config = make_full();
    const void *fdt = build(&config);
    const fdt32_t *gpios = get(fdt, "/gpio-keys/poweroff", "gpios", 12);

    (void)state;
    assert_true(fdt_totalsize(buffer) <= IMAGE_FDT_SIZE);
    expect_cells(fdt, "/cpus/cpu@ffff3f", "reg", 1, 0xffff3f);
    expect_text(fdt, "/intc@8000000/its@8080000", "compatible", "arm,gic-v3-its");
    expect_cells(fdt, "/intc@8000000/its@8080000", "reg", 4, 0, 0x8080000, 0, 0x20000);
    expect_cells(fdt, "/intc@8000000/its@8080000", "#msi-cells", 1, 1);
    get(fdt, "/intc@8000000/its@8080000", "msi-controller", 0);
    expect_text(fdt, "/pmu", "compatible", "arm,armv8-pmuv3");
    expect_cells(fdt, "/pmu", "interrupts", 3, 1, 7, 4);
    expect_cells(fdt, "/pl061@9030000", "reg", 4, 0, 0x9030000, 0, 0x1000);
    expect_cells(fdt, "/pl061@9030000", "interrupts", 3, 0, 7, 4);
    get(fdt, "/pl061@9030000", "gpio-controller", 0);
    expect_cells(fdt, "/gpio-keys/poweroff", "linux,code", 1, 116);
    assert_int_equal(fdt_node_offset_by_phandle(fdt, fdt32_to_cpu(gpios[0])),
                     fdt_path_offset(fdt, "/pl061@9030000"));
    assert_int_equal(fdt32_to_cpu(gpios[1]), 3);
}

/* The places of virtio-mmio come in the order of their addresses, with edge interrupts. */
static void test_virtio(void **state)
{
    struct fdt_guest_config config = make_full();
    const void *fdt = build(&config);
    uint32_t next = 0;
    int node;

    (void)state;
    fdt_for_each_subnode(node, fdt, 0)
    {
        char path[40];

        if (strncmp(fdt_get_name(fdt, node, NULL), "virtio_mmio@", 12) != 0) {
            continue;
        }
        snprintf(path, sizeof(path), "/virtio_mmio@%x", 0xa000000 + next * 0x200);
        assert_int_equal(fdt_path_offset(fdt, path), node);
        expect_text(fdt, path, "compatible", "virtio,mmio");
        expect_cells(fdt, path, "reg", 4, 0, 0xa000000 + next * 0x200, 0, 0x200);
        expect_cells(fdt, path, "interrupts", 3, 0, 16 + next, 1);
        get(fdt, path, "dma-coherent", 0);
        next++;
    }
    assert_int_equal(next, 32);
}

/* The GICv2: other registers, no ITS, and private interrupts that name their CPUs. */
static void test_gicv2(void **state)
{
    struct fdt_guest_config config = make_full();
    const void *fdt;

    (void)state;
    config.gicv2 = true;
    config.nr_cpus = 3;
    fdt = build(&config);
    expect_text(fdt, "/intc@8000000", "compatible", "arm,cortex-a15-gic");
    expect_cells(fdt, "/intc@8000000", "reg", 8, 0, 0x8000000, 0, 0x10000, 0, 0x8010000, 0,
                 0x10000);
    assert_true(fdt_path_offset(fdt, "/intc@8000000/its@8080000") < 0);
    expect_cells(fdt, "/timer", "interrupts", 12, 1, 13, 0x704, 1, 14, 0x704, 1, 11, 0x704, 1, 10,
                 0x704);
    expect_cells(fdt, "/pmu", "interrupts", 3, 1, 7, 0x704);
    expect_cells(fdt, "/virtio_mmio@a000000", "interrupts", 3, 0, 16, 1);
}

/* Every device of the map that is present has a node whose name bears its address; stolen time is
 * found by a call. */
static void test_layout(void **state)
{
    struct fdt_guest_config config = make_config();
    const void *fdt = build(&config);

    (void)state;
    for (size_t i = 0; i < LAYOUT_COUNT; i++) {
        const struct layout_region *region = &layout_regions[i];
        char address[24];
        bool found = false;
        int node;

        if (!region->present || i == LAYOUT_GICR || i == LAYOUT_PV_TIME) {
            continue;
        }
        snprintf(address, sizeof(address), "@%lx", region->base);
        fdt_for_each_subnode(node, fdt, 0)
        {
            const char *name = fdt_get_name(fdt, node, NULL);

            found |= strstr(name, address) != NULL && strlen(strstr(name, "@")) == strlen(address);
        }
        assert_true(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_virt),
        cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_phandles),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_virtio),
        cmocka_unit_test(test_gicv2),
    };

    return cmocka_run_group_tests_name("fdt_guest", tests, NULL, NULL);
}
