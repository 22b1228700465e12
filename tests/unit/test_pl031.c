/* SPDX-License-Identifier: Apache-2.0 */
/* PL031: the count, the alarm with its deadline, wrap-around of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/pl031.h"

#define DR 0x00
#define MR 0x04
#define LR 0x08
#define CR 0x0c
#define IMSC 0x10
#define RIS 0x14
#define MIS 0x18
#define ICR 0x1c
#define SECOND 1000000000ull

struct fixture {
    struct pl031 rtc;
    uint64_t now;
    bool line;
};

static void irq_set(void *vm, uint32_t spi, bool level)
{
    struct fixture *f = vm;

    assert_int_equal(spi, 2);
    assert_int_not_equal(f->line, level);
    f->line = level;
}

static uint64_t clock_ns(void *vm)
{
    return ((struct fixture *)vm)->now;
}

static const struct vm_ops ops = {.irq_set = irq_set, .clock_ns = clock_ns};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->now = 5 * SECOND + 123;
    pl031_init(&f->rtc, &ops, f, 2, 1000000);
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

    pl031_access(&f->rtc, offset, 4, false, &value);
    return (uint32_t)value;
}

static void wr(struct fixture *f, uint64_t offset, uint32_t number)
{
    uint64_t value = number;

    pl031_access(&f->rtc, offset, 4, true, &value);
}

static void test_identification(void **state)
{
    static const uint8_t id[8] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(rd(f, 0xfe0 + 4 * i), id[i]);
    }
    assert_int_equal(rd(f, CR), 1);
    wr(f, CR, 0); /* can't be stopped */
    assert_int_equal(rd(f, CR), 1);
    assert_int_equal(rd(f, 0x100), 0);
}

static void test_count(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rd(f, DR), 1000000);
    f->now += SECOND - 1;
    assert_int_equal(rd(f, DR), 1000000);
    f->now += 1;
    assert_int_equal(rd(f, DR), 1000001);
    wr(f, LR, 0xffffffff);
    assert_int_equal(rd(f, DR), 0xffffffff);
    assert_int_equal(rd(f, LR), 0xffffffff);
    f->now += SECOND;
    assert_int_equal(rd(f, DR), 0);
    wr(f, DR, 77); /* read-only */
    assert_int_equal(rd(f, DR), 0);
    f->now += 1000000000ull * SECOND; /* some 31 years */
    assert_int_equal(rd(f, DR), 1000000000);
}

static void test_alarm(void **state)
{
    struct fixture *f = *state;
    uint64_t start = f->now;

    assert_true(pl031_deadline(&f->rtc) == PL031_NO_DEADLINE);
    wr(f, MR, 1000003);
    assert_true(pl031_deadline(&f->rtc) == PL031_NO_DEADLINE); /* nobody would hear it */
    wr(f, IMSC, 0xffffffff);
    assert_int_equal(rd(f, IMSC), 1);
    assert_true(pl031_deadline(&f->rtc) == start + 3 * SECOND);
    f->now = start + 3 * SECOND - 1;
    pl031_poll(&f->rtc);
    assert_false(f->line);
    f->now++;
    pl031_poll(&f->rtc);
    assert_true(f->line);
    assert_int_equal(rd(f, RIS), 1);
    assert_int_equal(rd(f, MIS), 1);
    assert_int_equal(rd(f, DR), 1000003);
    assert_true(pl031_deadline(&f->rtc) == PL031_NO_DEADLINE);
    wr(f, ICR, 1);
    assert_false(f->line);
    f->now += 100 * SECOND; /* it comes once */
    pl031_poll(&f->rtc);
    assert_false(f->line);
}

static void test_alarm_masked(void **state)
{
    struct fixture *f = *state;

    wr(f, MR, 1000001);
    f->now += 2 * SECOND;
    assert_int_equal(rd(f, RIS), 1);
    assert_int_equal(rd(f, MIS), 0);
    assert_false(f->line);
    wr(f, IMSC, 1);
    assert_true(f->line);
    wr(f, IMSC, 0);
    assert_false(f->line);
}

static void test_alarm_now_and_past(void **state)
{
    struct fixture *f = *state;
    uint64_t start = f->now;

    wr(f, IMSC, 1);
    wr(f, MR, 1000000);
    assert_true(f->line);
    wr(f, ICR, 1);
    wr(f, MR, 999999); /* after the count has wrapped */
    assert_false(f->line);
    assert_true(pl031_deadline(&f->rtc) == start + 0xffffffffull * SECOND);
}

static void test_load_moves_alarm(void **state)
{
    struct fixture *f = *state;

    wr(f, IMSC, 1);
    wr(f, MR, 2000000);
    f->now += SECOND / 2;
    wr(f, LR, 1999990);
    assert_true(pl031_deadline(&f->rtc) == f->now + 10 * SECOND);
    f->now += 10 * SECOND;
    pl031_poll(&f->rtc);
    assert_true(f->line);
}

static void test_reset(void **state)
{
    struct fixture *f = *state;

    wr(f, IMSC, 1);
    wr(f, MR, 1000000);
    assert_true(f->line);
    f->now += 10 * SECOND;
    pl031_reset(&f->rtc);
    assert_false(f->line);
    assert_int_equal(rd(f, DR), 1000010);
    assert_int_equal(rd(f, IMSC), 0);
    assert_int_equal(rd(f, RIS), 0);
    assert_true(pl031_deadline(&f->rtc) == PL031_NO_DEADLINE);
}

static void test_bytes(void **state)
{
    struct fixture *f = *state;
    uint64_t value = 0;

    pl031_access(&f->rtc, DR + 1, 1, false, &value);
    assert_int_equal(value & 0xff, 1000000 >> 8 & 0xff);
    value = 1;
    pl031_access(&f->rtc, LR + 2, 2, true, &value); /* not a register of its own */
    assert_int_equal(rd(f, DR), 1000000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identification),
        TEST(test_count),
        TEST(test_alarm),
        TEST(test_alarm_masked),
        TEST(test_alarm_now_and_past),
        TEST(test_load_moves_alarm),
        TEST(test_reset),
        TEST(test_bytes),
    };

    return cmocka_run_group_tests_name("pl031", tests, NULL, NULL);
}
