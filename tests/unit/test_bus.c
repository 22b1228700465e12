/* SPDX-License-Identifier: Apache-2.0 */
/* The bus: attachment in any order, boundaries, and random look-ups against a linear search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/bus.h"

struct device {
    uint64_t offset;
    uint64_t value;
    unsigned int size;
    unsigned int calls;
    bool write;
};

static void touch(void *context, uint64_t offset, unsigned int size, bool write, uint64_t *value)
{
    struct device *device = context;

    device->offset = offset;
    device->size = size;
    device->write = write;
    device->calls++;
    if (write) {
        device->value = *value;
    } else {
        *value = UINT64_MAX;
    }
}

static void test_empty(void **state)
{
    struct bus bus;
    uint64_t value = 7;

    (void)state;
    bus_init(&bus);
    assert_int_equal(bus_access(&bus, 0, 4, false, &value), BUS_NONE);
    assert_int_equal(bus_access(&bus, UINT64_MAX, 8, true, &value), BUS_NONE);
    assert_int_equal(value, 7);
}

static void test_bounds(void **state)
{
    struct bus bus;
    struct device a = {0};
    struct device b = {0};
    uint64_t value = 7;

    (void)state;
    bus_init(&bus);
    assert_int_equal(bus_attach(&bus, 0x9010000, 0x1000, touch, &b), BUS_OK);
    assert_int_equal(bus_attach(&bus, 0x9000000, 0x1000, touch, &a), BUS_OK);

    assert_int_equal(bus_access(&bus, 0x8ffffff, 1, false, &value), BUS_NONE);
    assert_int_equal(bus_access(&bus, 0x8ffffff, 8, false, &value), BUS_NONE);
    assert_int_equal(bus_access(&bus, 0x9001000, 4, false, &value), BUS_NONE);
    assert_int_equal(bus_access(&bus, 0x9011000, 4, false, &value), BUS_NONE);
    assert_int_equal(bus_access(&bus, 0x9000ffd, 4, false, &value), BUS_CROSSES);
    assert_int_equal(bus_access(&bus, 0x9000ffc, 8, true, &value), BUS_CROSSES);
    assert_int_equal(value, 7);
    assert_int_equal(a.calls + b.calls, 0);

    assert_int_equal(bus_access(&bus, 0x9000ffc, 4, false, &value), BUS_OK);
    assert_int_equal(a.offset, 0xffc);
    assert_int_equal(a.size, 4);
    assert_false(a.write);
    assert_int_equal(value, 0xffffffff); /* cut to size */
    assert_int_equal(bus_access(&bus, 0x9000fff, 1, false, &value), BUS_OK);
    assert_int_equal(value, 0xff);
    assert_int_equal(bus_access(&bus, 0x9000000, 8, false, &value), BUS_OK);
    assert_true(value == UINT64_MAX);
    value = 0x55;
    assert_int_equal(bus_access(&bus, 0x9010000, 2, true, &value), BUS_OK);
    assert_true(b.write);
    assert_int_equal(b.value, 0x55);
    assert_int_equal(b.calls, 1);
}

static void test_attach_faults(void **state)
{
    struct bus bus;
    struct device device = {0};

    (void)state;
    bus_init(&bus);
    assert_int_equal(bus_attach(&bus, 0x1000, 0, touch, &device), BUS_OVERLAP);
    assert_int_equal(bus_attach(&bus, UINT64_MAX, 2, touch, &device), BUS_OVERLAP);
    assert_int_equal(bus_attach(&bus, 0x1000, 0x1000, touch, &device), BUS_OK);
    assert_int_equal(bus_attach(&bus, 0x1fff, 1, touch, &device), BUS_OVERLAP);
    assert_int_equal(bus_attach(&bus, 0, 0x1001, touch, &device), BUS_OVERLAP);
    assert_int_equal(bus_attach(&bus, 0x1000, 0x1000, touch, &device), BUS_OVERLAP);
    assert_int_equal(bus_attach(&bus, 0, 0x4000, touch, &device), BUS_OVERLAP);
    assert_int_equal(bus_attach(&bus, 0, 0x1000, touch, &device), BUS_OK);
    assert_int_equal(bus_attach(&bus, UINT64_MAX, 1, touch, &device), BUS_OK);
    for (uint64_t i = bus.count; i < BUS_SLOTS_MAX; i++) {
        assert_int_equal(bus_attach(&bus, i << 20, 0x1000, touch, &device), BUS_OK);
    }
    assert_int_equal(bus_attach(&bus, 0x100000000, 1, touch, &device), BUS_FULL);
}

static void test_random(void **state)
{
    struct device devices[BUS_SLOTS_MAX];
    uint64_t value;

    (void)state;
    srand(1);
    for (unsigned int round = 0; round < 200; round++) {
        unsigned int count = (unsigned int)rand() % (BUS_SLOTS_MAX + 1);
        bool used[256] = {false};
        struct device *owner[256] = {NULL};
        const struct bus_slot *near_slot = NULL;
        struct bus bus;

        memset(devices, 0, sizeof(devices));
        bus_init(&bus);
        for (unsigned int i = 0; i < count; i++) {
            unsigned int at = (unsigned int)rand() % 256;

            assert_int_equal(bus_attach(&bus, at * 16, 16, touch, &devices[i]),
                             used[at] ? BUS_OVERLAP : BUS_OK);
            if (!used[at]) {
                owner[at] = &devices[i];
                used[at] = true;
            }
        }
        for (unsigned int at = 0; at < 256; at++) {
            enum bus_result result = bus_access(&bus, at * 16 + 4, 4, false, &value);

            assert_int_equal(result, used[at] ? BUS_OK : BUS_NONE);
            assert_true(!used[at] || (owner[at]->calls == 1 && owner[at]->offset == 4));
        }
        /* Wherever the last access went, the next one finds the same. */
        for (unsigned int i = 0; i < 512; i++) {
            unsigned int at = (unsigned int)rand() % 256;
            unsigned int calls = used[at] ? owner[at]->calls : 0;

            assert_int_equal(bus_access_near(&bus, &near_slot, at * 16 + 8, 8, true, &value),
                             used[at] ? BUS_OK : BUS_NONE);
            assert_int_equal(bus_access_near(&bus, &near_slot, at * 16 + 12, 8, true, &value),
                             used[at] ? BUS_CROSSES : BUS_NONE);
            assert_true(!used[at] ||
                        (owner[at]->calls == calls + 1 && owner[at]->offset == 8));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_attach_faults),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
