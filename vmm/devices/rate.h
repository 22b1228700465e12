/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits of disk and net in Firecracker's terms: a bucket of `size` tokens that fills up
 * within `refill_ms`, steadily, and before it a burst that is there once. What takes more than a
 * whole bucket gets through when there is anything in it, and the limiter is shut for as long as
 * the excess takes to refill. Time is the caller's, so that tests can make their own.
 */
#ifndef VMM_DEVICES_RATE_H
#define VMM_DEVICES_RATE_H

#include "vmm/config/config.h"
#include <stdbool.h>
#include <stdint.h>

struct rate_bucket {
    uint64_t size;      /* 0: no limit */
    uint64_t refill_ns; /* from empty to full */
    uint64_t burst;     /* left of it */
    uint64_t tokens;
    uint64_t updated_ns; /* `tokens` are right for this point in time */
};

struct rate {
    bool limited; /* false: rate_take() needs not even know the time */
    struct rate_bucket bytes;
    struct rate_bucket ops;
    uint64_t shut_until_ns;
};

/* Buckets begin full. */
void rate_init(struct rate *rate, const struct config_rate *config, uint64_t now_ns);

/* Take one operation and its bytes: all or nothing. False: not now. */
bool rate_take(struct rate *rate, uint64_t bytes, uint64_t now_ns);

/* After rate_take() has refused: in how many nanoseconds it won't; at least 1. */
uint64_t rate_wait_ns(const struct rate *rate, uint64_t bytes, uint64_t now_ns);

#endif
