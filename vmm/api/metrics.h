/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics in the OpenMetrics 1.0 text format, into a growing buffer. A family is opened once
 * (metrics_family) and its samples follow; the writer keeps the order that the format asks for by
 * grouping samples of one family wherever they were added.
 */
#ifndef VMM_API_METRICS_H
#define VMM_API_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct metrics;

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

#define METRICS_BUCKETS 16u
/* Latencies in powers of two from 1 us (bucket 0: below 1 us ... the last: no bound). */
struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS];
    uint64_t sum_ns;
    uint64_t count;
};

void metrics_observe(struct metrics_histogram *histogram, uint64_t ns);

struct metrics *metrics_create(void);
void metrics_destroy(struct metrics *metrics);

/* One sample. name: without the _total that counters get, e.g. "bothy_block_read_bytes"; help: one
 * sentence, taken from the first call for a name; labels: `device="disk0"` or "" . */
void metrics_counter(struct metrics *metrics, const char *name, const char *help,
                     const char *labels, uint64_t value);
void metrics_gauge(struct metrics *metrics, const char *name, const char *help, const char *labels,
                   double value);
void metrics_add_histogram(struct metrics *metrics, const char *name, const char *help,
                           const char *labels, const struct metrics_histogram *histogram);

/* The finished text with "# EOF"; the caller's to free. */
char *metrics_text(struct metrics *metrics, size_t *ret_size);

#endif
