/* SPDX-License-Identifier: Apache-2.0 */
/* PL061: masked data accesses, edges and levels, what outputs don't do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/pl061.h"

#define DATA(mask) ((mask) << 2)
#define DIR 0x400
#define IS 0x404
#define IBE 0x408
#define IEV 0x40c
#define IE 0x410
#define RIS 0x414
#define MIS 0x418
#define IC 0x41c
#define AFSEL 0x420

struct fixture {
    struct pl061 gpio;
    bool line;
    int changes;
};

static void irq_set(void *vm, uint32_t spi, bool level)
{
    struct fixture *f = vm;

    assert_int_equal(spi, 7);
    assert_int_not_equal(f->line, level);
    f->line = level;
    f->changes++;
}

static const struct vm_ops ops = {.irq_set = irq_set};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    pl061_init(&f->gpio, &ops, f, 7);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static uint32_t rd(struct fixture *f, uint64_t offset)
{
    uint64_t value = 0xdeadbeefdeadbeef;

    pl061_access(&f->gpio, offset, 4, false, &value);
    return (uint32_t)value;
}

static void wr(struct fixture *f, uint64_t offset, uint32_t number)
{
    uint64_t value = number;

    pl061_access(&f->gpio, offset, 4, true, &value);
}

static void test_identification(void **state)
{
    static const uint8_t id[8] = {0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(rd(f, 0xfe0 + 4 * i), id[i]);
    }
    assert_int_equal(rd(f, 0x500), 0);
}

static void test_data_is_masked_by_the_address(void **state)
{
    struct fixture *f = *state;

    wr(f, DIR, 0x0f);
    wr(f, DATA(0x05), 0xff);
    assert_int_equal(rd(f, DATA(0xff)), 0x05);
    wr(f, DATA(0x01), 0);
    assert_int_equal(rd(f, DATA(0xff)), 0x04);
    assert_int_equal(rd(f, DATA(0x03)), 0);
    pl061_set_input(&f->gpio, 6, true);
    pl061_set_input(&f->gpio, 2, true); /* an output: the outside doesn't count */
    wr(f, DATA(0x04), 0);
    assert_int_equal(rd(f, DATA(0xff)), 0x40);
}

static void test_power_button_as_linux_sets_it_up(void **state)
{
    struct fixture *f = *state;

    wr(f, IBE, 0x08);
    wr(f, IE, 0x08);
    assert_false(f->line);
    pl061_set_input(&f->gpio, PL061_PIN_POWER, true);
    assert_true(f->line);
    assert_int_equal(rd(f, RIS), 0x08);
    assert_int_equal(rd(f, MIS), 0x08);
    wr(f, IC, 0x08);
    assert_false(f->line);
    pl061_set_input(&f->gpio, PL061_PIN_POWER, true); /* no edge */
    assert_false(f->line);
    pl061_set_input(&f->gpio, PL061_PIN_POWER, false);
    assert_true(f->line);
}

static void test_input_seen(void **state)
{
    struct fixture *f = *state;

    pl061_set_input(&f->gpio, PL061_PIN_POWER, true);
    assert_false(pl061_input_seen(&f->gpio, PL061_PIN_POWER));
    rd(f, DATA(0xf7));
    rd(f, RIS);
    rd(f, MIS);
    wr(f, DATA(0x08), 0);
    assert_false(pl061_input_seen(&f->gpio, PL061_PIN_POWER));
    assert_int_equal(rd(f, DATA(0x08)), 0x08);
    assert_true(pl061_input_seen(&f->gpio, PL061_PIN_POWER));
    pl061_set_input(&f->gpio, PL061_PIN_POWER, true); /* no change */
    pl061_set_input(&f->gpio, 2, true);
    assert_true(pl061_input_seen(&f->gpio, PL061_PIN_POWER));
    assert_false(pl061_input_seen(&f->gpio, 2));
    pl061_set_input(&f->gpio, PL061_PIN_POWER, false);
    assert_false(pl061_input_seen(&f->gpio, PL061_PIN_POWER));
    rd(f, DATA(0xff));
    assert_true(pl061_input_seen(&f->gpio, PL061_PIN_POWER));
    pl061_reset(&f->gpio);
    assert_false(pl061_input_seen(&f->gpio, PL061_PIN_POWER));
}

static void test_single_edges(void **state)
{
    struct fixture *f = *state;

    wr(f, IE, 0x03);
    wr(f, IEV, 0x02); /* pin 1 rising, pin 0 falling */
    pl061_set_input(&f->gpio, 0, true);
    assert_int_equal(rd(f, RIS), 0);
    pl061_set_input(&f->gpio, 1, true);
    assert_int_equal(rd(f, RIS), 0x02);
    pl061_set_input(&f->gpio, 1, false);
    pl061_set_input(&f->gpio, 0, false);
    assert_int_equal(rd(f, RIS), 0x03);
    wr(f, IC, 0x01);
    assert_int_equal(rd(f, RIS), 0x02);
    assert_true(f->line);
    wr(f, IE, 0x01);
    assert_false(f->line);
    assert_int_equal(rd(f, RIS), 0x02);
    assert_int_equal(rd(f, MIS), 0);
}

static void test_levels(void **state)
{
    struct fixture *f = *state;

    wr(f, IS, 0x10);
    wr(f, IE, 0x10);
    assert_true(f->line); /* low is active */
    wr(f, IEV, 0x10);
    assert_false(f->line);
    pl061_set_input(&f->gpio, 4, true);
    assert_true(f->line);
    wr(f, IC, 0x10); /* lasts as long as the level */
    assert_true(f->line);
    pl061_set_input(&f->gpio, 4, false);
    assert_false(f->line);
}

static void test_reset_keeps_the_outside(void **state)
{
    struct fixture *f = *state;

    pl061_set_input(&f->gpio, 5, true);
    wr(f, IE, 0x20);
    wr(f, IS, 0x20);
    wr(f, IEV, 0x20);
    wr(f, AFSEL, 0xff);
    assert_true(f->line);
    pl061_reset(&f->gpio);
    assert_false(f->line);
    assert_int_equal(rd(f, AFSEL), 0);
    assert_int_equal(rd(f, IE), 0);
    assert_int_equal(rd(f, DATA(0xff)), 0x20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identification, setup, teardown),
        cmocka_unit_test_setup_teardown(test_data_is_masked_by_the_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_power_button_as_linux_sets_it_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_input_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_single_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_keeps_the_outside, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
