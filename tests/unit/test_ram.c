/* SPDX-License-Identifier: Apache-2.0 */
/* Physical memory: random operations against a map of single blocks, and the promises made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "el2/ram.h"

#define UNIT KIB(512) /* of the model: four to a block */
#define UNITS 512u

/* Free memory of ram as the model sees it; asserts the invariants on the way. */
static void check(const struct ram *ram, const bool *model)
{
    bool seen[UNITS] = {false};
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < ram->count; i++) {
        uint64_t base = ram->free[i].base.pa;
        uint64_t size = ram->free[i].size;

        assert_true(size > 0);
        if (i > 0) { /* sorted, and no two touch */
            assert_true(base > ram->free[i - 1].base.pa + ram->free[i - 1].size);
        }
        for (uint64_t at = base; at < base + size; at += UNIT) {
            seen[at / UNIT] = true;
        }
        bytes += size;
    }
    assert_memory_equal(seen, model, sizeof(seen));
    assert_int_equal(ram_free_bytes(ram), bytes);
}

static void fill(bool *model, uint64_t base, uint64_t size, bool value)
{
    for (uint64_t at = base; at < base + size; at += UNIT) {
        model[at / UNIT] = value;
    }
}

static void take(bool *model, uint64_t base, uint64_t size)
{
    for (uint64_t at = base; at < base + size; at += UNIT) {
        assert_true(model[at / UNIT]);
        model[at / UNIT] = false;
    }
}

static void guest(struct ram *ram, bool *model)
{
    struct ram_extent extents[RAM_EXTENTS_MAX];
    uint64_t size = RAM_BLOCK * (1 + (uint64_t)rand() % 40);
    uint64_t there = ram_guest_bytes(ram);
    uint64_t sum = 0;
    uint32_t count = 0;

    if (ram_alloc_guest(ram, size, extents, &count) != STATUS_OK) {
        return; /* too scattered or too little: check() sees that nothing was taken */
    }
    assert_true(size <= there);
    assert_true(count >= 1 && count <= RAM_EXTENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(IS_ALIGNED(extents[i].base.pa, RAM_BLOCK));
        assert_true(extents[i].size > 0 && IS_ALIGNED(extents[i].size, RAM_BLOCK));
        assert_true(i == 0 || extents[i].size <= extents[i - 1].size);
        take(model, extents[i].base.pa, extents[i].size);
        sum += extents[i].size;
    }
    assert_int_equal(sum, size);
    assert_int_equal(ram_guest_bytes(ram), there - size);
}

static void test_random(void **state)
{
    (void)state;
    srand(4);
    for (unsigned int round = 0; round < 300; round++) {
        struct ram ram;
        bool model[UNITS] = {false};

        ram_init(&ram);
        for (unsigned int i = 0; i < 60; i++) {
            uint64_t base = (uint64_t)rand() % UNITS;
            uint64_t size = (uint64_t)rand() % (UNITS - base + 1) / 4;
            pa_t at;

            switch (rand() % 4) {
            case 0:
                assert_int_equal(ram_add(&ram, pa(base * UNIT), size * UNIT), STATUS_OK);
                fill(model, base * UNIT, size * UNIT, true);
                break;
            case 1:
                assert_int_equal(ram_reserve(&ram, pa(base * UNIT), size * UNIT), STATUS_OK);
                fill(model, base * UNIT, size * UNIT, false);
                break;
            case 2:
                if (ram_alloc(&ram, (size + 1) * UNIT, UNIT << rand() % 6, &at) == STATUS_OK) {
                    take(model, at.pa, (size + 1) * UNIT);
                }
                break;
            default:
                guest(&ram, model);
                break;
            }
            check(&ram, model);
        }
    }
}

static void test_alignment(void **state)
{
    struct ram_extent extents[RAM_EXTENTS_MAX];
    struct ram ram;
    uint32_t count;

    (void)state;
    ram_init(&ram);
    assert_int_equal(ram_add(&ram, pa(0x40200000), GIB(4)), STATUS_OK);
    assert_int_equal(ram_alloc_guest(&ram, GIB(1) + MIB(2), extents, &count), STATUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(extents[0].base.pa, 0x80000000);
    /* A small one takes the small hole that is left below. */
    assert_int_equal(ram_alloc_guest(&ram, MIB(2), extents, &count), STATUS_OK);
    assert_int_equal(extents[0].base.pa, 0x40200000);
    /* No 1 GiB boundary has 2 GiB behind it: any 2 MiB boundary will do. */
    assert_int_equal(ram_alloc_guest(&ram, GIB(2), extents, &count), STATUS_OK);
    assert_int_equal(count, 1);
}

static void test_scattered(void **state)
{
    struct ram_extent extents[RAM_EXTENTS_MAX];
    struct ram ram;
    uint32_t count;

    (void)state;
    ram_init(&ram);
    for (uint64_t i = 0; i < 9; i++) {
        assert_int_equal(ram_add(&ram, pa(i * MIB(8)), MIB(4)), STATUS_OK);
    }
    assert_int_equal(ram_alloc_guest(&ram, MIB(36), extents, &count), STATUS_NO_MEMORY);
    assert_int_equal(ram_free_bytes(&ram), MIB(36));
    assert_int_equal(ram_alloc_guest(&ram, MIB(30), extents, &count), STATUS_OK);
    assert_int_equal(count, 8);
    assert_int_equal(extents[7].size, MIB(2));
    assert_int_equal(ram_guest_bytes(&ram), MIB(6));
}

static void test_faults(void **state)
{
    struct ram_extent extents[RAM_EXTENTS_MAX];
    struct ram ram;
    uint32_t count;
    pa_t base;

    (void)state;
    ram_init(&ram);
    assert_int_equal(ram_add(&ram, pa(UINT64_MAX), 2), STATUS_RANGE);
    assert_int_equal(ram_reserve(&ram, pa(UINT64_MAX), 2), STATUS_RANGE);
    assert_int_equal(ram_alloc(&ram, 1, 1, &base), STATUS_NO_MEMORY);
    assert_int_equal(ram_alloc(&ram, 0, 1, &base), STATUS_INVALID);
    assert_int_equal(ram_alloc(&ram, 1, 3, &base), STATUS_INVALID);
    assert_int_equal(ram_alloc_guest(&ram, 0, extents, &count), STATUS_INVALID);
    assert_int_equal(ram_alloc_guest(&ram, 4096, extents, &count), STATUS_INVALID);
    assert_int_equal(ram_alloc_guest(&ram, MIB(2), extents, &count), STATUS_NO_MEMORY);
    for (uint64_t i = 0; i < RAM_RANGES_MAX; i++) {
        assert_int_equal(ram_add(&ram, pa(i * MIB(4)), MIB(2)), STATUS_OK);
    }
    assert_int_equal(ram_add(&ram, pa(GIB(8)), 1), STATUS_NO_SPACE);
    assert_int_equal(ram_reserve(&ram, pa(MIB(1)), 1), STATUS_NO_SPACE);
    assert_int_equal(ram_free_bytes(&ram), RAM_RANGES_MAX * MIB(2));
    /* At the very top of the address space. */
    ram_init(&ram);
    assert_int_equal(ram_add(&ram, pa(UINT64_MAX - 99), 99), STATUS_OK);
    assert_int_equal(ram_alloc(&ram, 50, 4096, &base), STATUS_NO_MEMORY);
    assert_int_equal(ram_guest_bytes(&ram), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_scattered),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
