/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest machine's map: sorted, without overlaps, the addresses of QEMU's virt machine, and the
 * same in docs/guest-interface.md.
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
#include "machine/layout.h"

static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAYOUT_COUNT; i++) {
        const struct layout_region *region = &layout_regions[i];

        assert_non_null(region->name);
        assert_true(region->size > 0);
        assert_true(region->base + region->size > region->base);
        if (i > 0) {
            assert_true(region->base >= layout_regions[i - 1].base + layout_regions[i - 1].size);
        }
    }
}

static void test_virt(void **state)
{
    (void)state;
    assert_int_equal(layout_regions[LAYOUT_GICD].base, 0x08000000);
    assert_int_equal(layout_regions[LAYOUT_GITS].base, 0x08080000);
    assert_int_equal(layout_regions[LAYOUT_GICR].base, 0x080a0000);
    assert_int_equal(layout_regions[LAYOUT_UART].base, 0x09000000);
    assert_int_equal(layout_regions[LAYOUT_UART].spi, 1);
    assert_int_equal(layout_regions[LAYOUT_RTC].base, 0x09010000);
    assert_int_equal(layout_regions[LAYOUT_RTC].spi, 2);
    assert_int_equal(layout_regions[LAYOUT_FW_CFG].base, 0x09020000);
    assert_int_equal(layout_regions[LAYOUT_GPIO].base, 0x09030000);
    assert_int_equal(layout_regions[LAYOUT_PV_TIME].base, 0x090a0000);
    assert_int_equal(layout_regions[LAYOUT_VIRTIO_MMIO].base, 0x0a000000);
    assert_int_equal(layout_regions[LAYOUT_VIRTIO_MMIO].spi, 16);
    assert_int_equal(layout_regions[LAYOUT_PCIE_MMIO].base, 0x10000000);
    assert_int_equal(layout_regions[LAYOUT_PCIE_PIO].base, 0x3eff0000);
    assert_int_equal(layout_regions[LAYOUT_RAM].base, 0x40000000);
    assert_int_equal(layout_regions[LAYOUT_PCIE_ECAM].base, 0x4010000000);
    /* Room for the redistributors of every vCPU. */
    assert_true(layout_regions[LAYOUT_GICR].size >= 8 * LAYOUT_GICR_STRIDE);
}

static void test_find(void **state)
{
    (void)state;
    assert_ptr_equal(layout_find(0x09000fff), &layout_regions[LAYOUT_UART]);
    assert_ptr_equal(layout_find(0x09010000), &layout_regions[LAYOUT_RTC]);
    assert_null(layout_find(0x09001000));
    assert_ptr_equal(layout_find(0), &layout_regions[LAYOUT_FLASH0]);
    assert_ptr_equal(layout_find(0x3fffffffff), &layout_regions[LAYOUT_RAM]);
    assert_null(layout_find(0x4000000000));
    assert_null(layout_find(UINT64_MAX));
}

/* From the top folder, as ./test does, or from the build directory: __FILE__ is relative to it. */
static FILE *open_document(void)
{
    char path[512];
    const char *slash = strrchr(__FILE__, '/');
    FILE *file = fopen("docs/guest-interface.md", "r");

    if (file != NULL || slash == NULL) {
        return file;
    }
    snprintf(path, sizeof(path), "%.*s/../../docs/guest-interface.md", (int)(slash - __FILE__),
             __FILE__);
    return fopen(path, "r");
}

static char *read_document(void)
{
    FILE *file = open_document();
    char *text;

    assert_non_null(file);
    text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

static void test_document(void **state)
{
    char *text = read_document();
    const char *at = text;

    (void)state;
    for (size_t i = 0; i < LAYOUT_COUNT; i++) {
        const struct layout_region *region = &layout_regions[i];
        char spis[24] = "-";
        char row[160];

        if (region->nr_spis == 1) {
            snprintf(spis, sizeof(spis), "%u", region->spi);
        } else if (region->nr_spis > 1) {
            snprintf(spis, sizeof(spis), "%u..%u", region->spi,
                     region->spi + region->nr_spis - 1);
        }
        snprintf(row, sizeof(row), "| 0x%010lx | 0x%010lx | %s | %s | %s |\n", region->base,
                 region->size, region->name, spis, region->present ? "yes" : "reserved");
        at = strstr(at, row);
        if (at == NULL) {
            fail_msg("docs/guest-interface.md lacks this row, here: %s", row);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_virt),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_document),
    };

    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
