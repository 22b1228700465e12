/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: the form of the text, grouping, escapes, histograms' bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/api/metrics.h"

static void check_text(struct metrics *metrics, const char *expected)
{
    size_t size = 0;
    char *text = metrics_text(metrics, &size);

    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    free(text);
    metrics_destroy(metrics);
}

static void test_none(void **state)
{
    check_text(metrics_create(), "# EOF\n");
    metrics_destroy(NULL);
}

static void test_samples_are_grouped_by_family(void **state)
{
    struct metrics *metrics = metrics_create();

    metrics_counter(metrics, "bothy_a_bytes", "First.", "device=\"x\"", 1);
    metrics_gauge(metrics, "bothy_b", "Second.", "", 2.5);
    metrics_counter(metrics, "bothy_a_bytes", "Not this.", "device=\"y\"", UINT64_MAX);
    metrics_counter_ns(metrics, "bothy_c_seconds", "Third.", "", 1000000001);
    check_text(metrics, "# TYPE bothy_a_bytes counter\n"
                        "# UNIT bothy_a_bytes bytes\n"
                        "# HELP bothy_a_bytes First.\n"
                        "bothy_a_bytes_total{device=\"x\"} 1\n"
                        "bothy_a_bytes_total{device=\"y\"} 18446744073709551615\n"
                        "# TYPE bothy_b gauge\n"
                        "# HELP bothy_b Second.\n"
                        "bothy_b 2.5\n"
                        "# TYPE bothy_c_seconds counter\n"
                        "# UNIT bothy_c_seconds seconds\n"
                        "# HELP bothy_c_seconds Third.\n"
                        "bothy_c_seconds_total 1.000000001\n"
                        "# EOF\n");
}

static void test_help_and_labels_are_escaped(void **state)
{
    struct metrics *metrics = metrics_create();
    char labels[64] = "";

    metrics_label(labels, sizeof(labels), "path", "a\\b\"c\nd");
    metrics_label(labels, sizeof(labels), "id", "0");
    metrics_label(labels, sizeof(labels), "long",
                  "this one doesn't fit into what is left of the 64 bytes");
    assert_string_equal(labels, "path=\"a\\\\b\\\"c\\nd\",id=\"0\"");
    metrics_gauge(metrics, "bothy_x", "A \\ and\nlines.", labels, 1);
    check_text(metrics, "# TYPE bothy_x gauge\n"
                        "# HELP bothy_x A \\\\ and\\nlines.\n"
                        "bothy_x{path=\"a\\\\b\\\"c\\nd\",id=\"0\"} 1\n"
                        "# EOF\n");
}

static void test_a_name_has_one_type(void **state)
{
    struct metrics *metrics = metrics_create();
    size_t size = 0;

    metrics_gauge(metrics, "bothy_x", "One.", "", 1);
    metrics_counter(metrics, "bothy_x", "Two.", "", 1);
    assert_null(metrics_text(metrics, &size));
    metrics_destroy(metrics);
}

/* Which bucket takes a time. */
static unsigned int bucket_of(uint64_t ns)
{
    struct metrics_histogram histogram = {{0}, 0};
    unsigned int at = 0;

    metrics_observe(&histogram, ns);
    assert_true(histogram.sum_ns == ns);
    while (histogram.buckets[at] == 0) {
        at++;
    }
    assert_int_equal(histogram.buckets[at], 1);
    return at;
}

static void test_bounds_are_inclusive(void **state)
{
    assert_int_equal(bucket_of(0), 0);
    assert_int_equal(bucket_of(1), 0);
    for (unsigned int i = 0; i < METRICS_BUCKETS - 1; i++) {
        assert_int_equal(bucket_of(1000ull << i), i);
        assert_int_equal(bucket_of((1000ull << i) + 1), i + 1);
    }
    assert_int_equal(bucket_of(UINT64_MAX), METRICS_BUCKETS - 1);
}

static void test_histogram(void **state)
{
    struct metrics *metrics = metrics_create();
    struct metrics_histogram histogram = {{0}, 0};

    metrics_observe(&histogram, 500);
    metrics_observe(&histogram, 3000);
    metrics_observe(&histogram, 10000000000ull);
    metrics_add_histogram(metrics, "bothy_t_seconds", "Times.", "device=\"d\"", &histogram);
    check_text(metrics,
               "# TYPE bothy_t_seconds histogram\n"
               "# UNIT bothy_t_seconds seconds\n"
               "# HELP bothy_t_seconds Times.\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"1e-06\"} 1\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"2e-06\"} 1\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"4e-06\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"8e-06\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"1.6e-05\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"3.2e-05\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"6.4e-05\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.000128\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.000256\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.000512\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.001024\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.002048\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.004096\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.008192\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"0.016384\"} 2\n"
               "bothy_t_seconds_bucket{device=\"d\",le=\"+Inf\"} 3\n"
               "bothy_t_seconds_count{device=\"d\"} 3\n"
               "bothy_t_seconds_sum{device=\"d\"} 10.000003500\n"
               "# EOF\n");
}

struct seen {
    char names[256];
    double sum;
};

static void note(void *context, const char *name, size_t size, double value)
{
    struct seen *seen = context;
    size_t length = strlen(seen->names);

    snprintf(seen->names + length, sizeof(seen->names) - length, "%.*s;", (int)size, name);
    seen->sum += value;
}

static void test_each(void **state)
{
    struct metrics *metrics = metrics_create();
    struct metrics_histogram histogram = {{0}, 0};
    struct seen seen = {"", 0};

    metrics_observe(&histogram, 500000000);
    metrics_gauge(metrics, "a", "A.", "x=\"a b\"", 2);
    metrics_add_histogram(metrics, "h_seconds", "H.", "", &histogram);
    metrics_counter(metrics, "a_bucket", "Not a bucket.", "", 4);
    metrics_each(metrics, note, &seen);
    assert_string_equal(seen.names, "a{x=\"a b\"};h_seconds_count;h_seconds_sum;a_bucket_total;");
    assert_true(seen.sum == 7.5);
    metrics_destroy(metrics);
}

static void test_many(void **state)
{
    struct metrics *metrics = metrics_create();
    char name[32];
    size_t size = 0;
    char *text;

    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "bothy_%d", i % 50);
        metrics_counter(metrics, name, "Many.", "vcpu=\"63\",reason=\"DABT_LOW\"", (uint64_t)i);
    }
    text = metrics_text(metrics, &size);
    assert_non_null(text);
    assert_true(size > 20000 * 40);
    assert_string_equal(text + size - 6, "# EOF\n");
    free(text);
    metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_samples_are_grouped_by_family),
        cmocka_unit_test(test_help_and_labels_are_escaped),
        cmocka_unit_test(test_a_name_has_one_type),
        cmocka_unit_test(test_bounds_are_inclusive),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
