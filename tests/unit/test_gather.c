/* SPDX-License-Identifier: Apache-2.0 */
/* gather: the way in which requests take less time is found, kept, and given up when it isn't. */
#include "vmm/devices/gather.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define LONG_ENOUGH 20000u

/* Drivers whose requests take so long under the two policies; a batch thread finds several. */
struct driver {
    uint64_t normal_ns;
    uint64_t batch_ns;
};

static uint64_t now = 1000;
static unsigned int batch_notifications;

static void serve(struct gather *gather, const struct driver *driver, unsigned int notifications)
{
    batch_notifications = 0;
    for (unsigned int i = 0; i < notifications; i++) {
        unsigned int served = gather->is_batch ? 8 : 1;

        assert_int_equal(sched_getscheduler(0), gather->is_batch ? SCHED_BATCH : SCHED_OTHER);
        batch_notifications += gather->is_batch;
        now += served * (gather->is_batch ? driver->batch_ns : driver->normal_ns);
        gather_note(gather, served, now);
    }
}

static void test_the_quicker_way(void **state)
{
    const struct driver many = {30000, 10000};
    const struct driver alone = {30000, 40000};
    struct gather gather;

    gather_init(&gather);
    serve(&gather, &many, LONG_ENOUGH);
    assert_true(batch_notifications > LONG_ENOUGH * 9 / 10);
    serve(&gather, &alone, LONG_ENOUGH);
    serve(&gather, &alone, LONG_ENOUGH);
    assert_true(batch_notifications < LONG_ENOUGH / 50);
    serve(&gather, &many, LONG_ENOUGH);
    serve(&gather, &many, LONG_ENOUGH);
    assert_true(batch_notifications > LONG_ENOUGH * 9 / 10);
}

/* Nothing is tried, and so nothing changed, while requests only come now and then. */
static void test_idle(void **state)
{
    const struct driver idle = {5000000, 5000000};
    struct gather gather;

    gather_init(&gather);
    serve(&gather, &idle, LONG_ENOUGH);
    assert_int_equal(batch_notifications, 0);
}

/* No difference: the first way stays. */
static void test_no_difference(void **state)
{
    const struct driver same = {20000, 20000};
    struct gather gather;

    gather_init(&gather);
    serve(&gather, &same, LONG_ENOUGH);
    assert_true(batch_notifications < LONG_ENOUGH / 20);
}

/* Who has chosen a policy for this process keeps it. */
static void test_policy_of_the_user(void **state)
{
    const struct driver many = {30000, 10000};
    const struct sched_param none = {0};
    struct gather gather;

    assert_int_equal(sched_setscheduler(0, SCHED_IDLE, &none), 0);
    gather_init(&gather);
    for (unsigned int i = 0; i < LONG_ENOUGH; i++) {
        now += many.normal_ns;
        gather_note(&gather, 1, now);
    }
    assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
}

static int back_to_normal(void **state)
{
    const struct sched_param none = {0};

    return sched_setscheduler(0, SCHED_OTHER, &none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_the_quicker_way, back_to_normal),
        cmocka_unit_test_teardown(test_idle, back_to_normal),
        cmocka_unit_test_teardown(test_no_difference, back_to_normal),
        cmocka_unit_test_teardown(test_policy_of_the_user, back_to_normal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
