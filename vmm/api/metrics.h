/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics in the OpenMetrics 1.0 text format. Samples of one family are grouped wherever they were
 * added, as the format asks; families come in the order of their first samples.
 *
 * A family's unit is the last word of its name if that is a unit (seconds, bytes, ratio...).
 */
#ifndef VMM_API_METRICS_H
#define VMM_API_METRICS_H

#include "bothy/atomic.h"
#include <stddef.h>
#include <stdint.h>

struct metrics;

#define METRICS_BUCKETS 16u
/* Latencies in powers of two: bucket i counts those of at most 2^i us, the last one the rest. One
 * thread writes; another may read at any time and sees each number whole. */
struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS];
    uint64_t sum_ns;
};

static inline void metrics_observe(struct metrics_histogram *histogram, uint64_t ns)
{
    uint64_t above = (ns - (ns != 0)) / 1000; /* whole us, so that a bound is within its bucket */
    unsigned int bucket = 63u - (unsigned int)__builtin_clzll(above << 1 | 1);

    uint64_t *count = &histogram->buckets[bucket < METRICS_BUCKETS ? bucket : METRICS_BUCKETS - 1];

    atomic_store64_relaxed(count, *count + 1);
    atomic_store64_relaxed(&histogram->sum_ns, histogram->sum_ns + ns);
}

struct metrics *metrics_create(void);
/* NULL-safe. */
void metrics_destroy(struct metrics *metrics);

/* One sample. name: a counter's without its _total, e.g. "bothy_block_read_bytes"; help: one
 * sentence, taken from the first call for a name; labels: `device="disk0"` or "". Without memory
 * nothing happens, and metrics_text() returns NULL. */
void metrics_counter(struct metrics *metrics, const char *name, const char *help,
                     const char *labels, uint64_t value);
/* A counter of time; the name ends with _seconds. */
void metrics_counter_ns(struct metrics *metrics, const char *name, const char *help,
                        const char *labels, uint64_t ns);
void metrics_gauge(struct metrics *metrics, const char *name, const char *help, const char *labels,
                   double value);
/* In seconds: the name ends with _seconds. */
void metrics_add_histogram(struct metrics *metrics, const char *name, const char *help,
                           const char *labels, const struct metrics_histogram *histogram);

/* Append `name="value"` to labels (a string in `size` bytes, "" at first), with the characters
 * escaped that need it. A label that doesn't fit is left out. */
void metrics_label(char *labels, size_t size, const char *name, const char *value);

/* The finished text with "# EOF", ended by a NUL; the caller's to free. NULL: no memory. */
char *metrics_text(struct metrics *metrics, size_t *ret_size);

/* Call `each` for every sample but the histograms' buckets: its name with labels, as in the text,
 * not ended by a NUL, and its value. */
void metrics_each(struct metrics *metrics,
                  void (*each)(void *context, const char *name, size_t size, double value),
                  void *context);

#endif
