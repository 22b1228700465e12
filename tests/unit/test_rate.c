/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets, with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "vmm/devices/rate.h"

#define MS 1000000ull
#define START 123456789ull

static void test_no_limit(void **state)
{
    const struct config_rate config = {{0}, {0}};
    struct rate rate;

    rate_init(&rate, &config, START);
    assert_false(rate.limited);
    for (int i = 0; i < 1000; i++) {
        assert_true(rate_take(&rate, UINT64_MAX, START));
    }
}

static void test_bucket_empties_and_fills(void **state)
{
    const struct config_rate config = {.bandwidth = {.size = 1000, .refill_ms = 100}};
    struct rate rate;
    uint64_t now = START;

    rate_init(&rate, &config, now);
    assert_true(rate_take(&rate, 600, now));
    assert_false(rate_take(&rate, 600, now));
    assert_int_equal(rate_wait_ns(&rate, 600, now), 20 * MS); /* 200 tokens are missing */
    assert_false(rate_take(&rate, 600, now + 20 * MS - 1));
    assert_true(rate_take(&rate, 600, now + 20 * MS));
    /* Never more than a full bucket, however long one waits. */
    now += 1000000 * MS;
    assert_true(rate_take(&rate, 1000, now));
    assert_false(rate_take(&rate, 1, now));
}

static void test_operations_and_bytes_together(void **state)
{
    const struct config_rate config = {.bandwidth = {.size = 1000, .refill_ms = 1000},
                                       .ops = {.size = 2, .refill_ms = 1000}};
    struct rate rate;

    rate_init(&rate, &config, START);
    assert_true(rate_take(&rate, 100, START));
    assert_false(rate_take(&rate, 950, START)); /* no bytes: and the operation isn't taken */
    assert_true(rate_take(&rate, 100, START));
    assert_false(rate_take(&rate, 100, START)); /* no operations: and the bytes aren't taken */
    assert_int_equal(rate.bytes.tokens, 800);
    assert_int_equal(rate_wait_ns(&rate, 100, START), 500 * MS);
    assert_true(rate_take(&rate, 0, START + 500 * MS));
}

static void test_burst_is_there_once(void **state)
{
    const struct config_rate config = {
        .bandwidth = {.size = 100, .one_time_burst = 1000, .refill_ms = 1000}};
    struct rate rate;

    rate_init(&rate, &config, START);
    assert_true(rate_take(&rate, 900, START));
    assert_true(rate_take(&rate, 150, START)); /* the last 100 of the burst, 50 of the bucket */
    assert_false(rate_take(&rate, 60, START));
    assert_true(rate_take(&rate, 50, START));
    assert_true(rate_take(&rate, 100, START + 5000 * MS));
    assert_false(rate_take(&rate, 100, START + 5000 * MS));
}

static void test_more_than_a_bucket(void **state)
{
    const struct config_rate config = {.bandwidth = {.size = 100, .refill_ms = 100}};
    struct rate rate;
    uint64_t wait;

    rate_init(&rate, &config, START);
    assert_true(rate_take(&rate, 350, START)); /* 250 too much: 250 ms */
    assert_false(rate_take(&rate, 1, START));
    wait = rate_wait_ns(&rate, 1, START);
    assert_int_equal(wait, 251 * MS); /* and 1 ms for the token */
    assert_false(rate_take(&rate, 0, START + 249 * MS));
    assert_false(rate_take(&rate, 1, START + 250 * MS)); /* it is empty then */
    assert_true(rate_take(&rate, 1, START + 251 * MS));
    assert_false(rate_take(&rate, 350, START + 251 * MS));
    wait = rate_wait_ns(&rate, 350, START + 251 * MS);
    assert_true(rate_take(&rate, 350, START + 251 * MS + wait));
}

static void test_wait_is_exact(void **state)
{
    static const struct config_bucket buckets[] = {{1, 0, 1}, {3, 0, 1000}, {7, 2, 13},
                                                   {1000003, 0, 999}, {UINT64_MAX, 0, 1}};

    for (uint32_t b = 0; b < ARRAY_SIZE(buckets); b++) {
        const struct config_rate config = {.ops = buckets[b]};
        uint64_t now = START;
        struct rate rate;

        rate_init(&rate, &config, now);
        for (int i = 0; i < 200; i++) {
            while (i < 100 && buckets[b].size < 100 && rate_take(&rate, 0, now)) {
            }
            if (!rate_take(&rate, 0, now)) {
                uint64_t wait = rate_wait_ns(&rate, 0, now);

                assert_true(wait > 0);
                assert_true(wait == 1 || !rate_take(&rate, 0, now + wait - 1));
                now += wait;
                assert_true(rate_take(&rate, 0, now));
            }
        }
    }
}

/* Looking often must not lose the fractions of a token, nor make any. */
static void test_rate_is_kept_over_time(void **state)
{
    const struct config_rate config = {.bandwidth = {.size = 7777, .refill_ms = 1000}};
    uint64_t passed = 0;
    struct rate rate;

    rate_init(&rate, &config, 0);
    for (uint64_t now = 0; now < 10000 * MS; now += 77777) {
        while (rate_take(&rate, 3, now)) {
            passed += 3;
        }
    }
    assert_in_range(passed, 7777 * 11 - 10, 7777 * 11);
}

static void test_numbers_without_sense(void **state)
{
    const struct config_rate config = {.bandwidth = {UINT64_MAX, UINT64_MAX, UINT64_MAX},
                                       .ops = {1, 0, UINT64_MAX}};
    const struct config_rate no_refill = {.ops = {5, 0, 0}};
    struct rate rate;

    rate_init(&rate, &config, START);
    assert_true(rate_take(&rate, UINT64_MAX, START));
    assert_false(rate_take(&rate, UINT64_MAX, UINT64_MAX / 2));
    assert_true(rate_wait_ns(&rate, 1, START) > 1000 * MS);
    /* A clock that stands still or goes back. */
    assert_false(rate_take(&rate, 1, START - 1000));
    rate_init(&rate, &no_refill, START);
    assert_false(rate.limited);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_bucket_empties_and_fills),
        cmocka_unit_test(test_operations_and_bytes_together),
        cmocka_unit_test(test_burst_is_there_once),
        cmocka_unit_test(test_more_than_a_bucket),
        cmocka_unit_test(test_wait_is_exact),
        cmocka_unit_test(test_rate_is_kept_over_time),
        cmocka_unit_test(test_numbers_without_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
