/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets. Tokens are whole; the time that belongs to a fraction of one isn't taken as
 * passed (updated_ns), so nothing is lost however often one looks. Products go through 128 bits.
 */
#include "vmm/devices/rate.h"
#include "bothy/bits.h"

#define NS_PER_MS 1000000ull

__extension__ typedef unsigned __int128 wide;

static void bucket_init(struct rate_bucket *bucket, const struct config_bucket *config,
                        uint64_t now_ns)
{
    uint64_t refill_ms = MIN(config->refill_ms, (uint64_t)(UINT64_MAX / NS_PER_MS));

    *bucket = (struct rate_bucket){
        .size = refill_ms == 0 ? 0 : config->size,
        .refill_ns = refill_ms * NS_PER_MS,
        .burst = config->one_time_burst,
        .tokens = config->size,
        .updated_ns = now_ns,
    };
}

void rate_init(struct rate *rate, const struct config_rate *config, uint64_t now_ns)
{
    bucket_init(&rate->bytes, &config->bandwidth, now_ns);
    bucket_init(&rate->ops, &config->ops, now_ns);
    rate->limited = rate->bytes.size != 0 || rate->ops.size != 0;
    rate->shut_until_ns = 0;
}

/* How long `tokens` take to come, rounded up. */
static uint64_t time_for(const struct rate_bucket *bucket, uint64_t tokens)
{
    wide ns = ((wide)tokens * bucket->refill_ns + bucket->size - 1) / bucket->size;

    return ns > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)ns;
}

static void refill(struct rate_bucket *bucket, uint64_t now_ns)
{
    wide come;

    if (bucket->size == 0 || now_ns <= bucket->updated_ns) {
        return;
    }
    come = (wide)(now_ns - bucket->updated_ns) * bucket->size / bucket->refill_ns;
    if (come >= bucket->size - bucket->tokens) {
        bucket->tokens = bucket->size;
        bucket->updated_ns = now_ns;
    } else if (come != 0) {
        bucket->tokens += (uint64_t)come;
        bucket->updated_ns += (uint64_t)(come * bucket->refill_ns / bucket->size);
    }
}

/* What has to come from the bucket itself once the burst is used up. */
static uint64_t beyond_burst(const struct rate_bucket *bucket, uint64_t wanted)
{
    return wanted - MIN(wanted, bucket->burst);
}

static bool bucket_has(const struct rate_bucket *bucket, uint64_t wanted)
{
    wanted = beyond_burst(bucket, wanted);
    if (bucket->size == 0 || wanted <= bucket->tokens) {
        return true;
    }
    return wanted > bucket->size && bucket->tokens != 0;
}

/* Returns for how long the limiter is shut: bucket_has() said that it may be taken. */
static uint64_t bucket_take(struct rate_bucket *bucket, uint64_t wanted)
{
    uint64_t rest = beyond_burst(bucket, wanted);
    uint64_t excess;

    if (bucket->size == 0) {
        return 0;
    }
    bucket->burst -= wanted - rest;
    if (rest <= bucket->tokens) {
        bucket->tokens -= rest;
        return 0;
    }
    excess = rest - bucket->tokens;
    bucket->tokens = 0;
    return time_for(bucket, excess);
}

bool rate_take(struct rate *rate, uint64_t bytes, uint64_t now_ns)
{
    uint64_t shut;
    uint64_t shut_ops;

    if (!rate->limited) {
        return true;
    }
    if (now_ns < rate->shut_until_ns) {
        return false;
    }
    refill(&rate->bytes, now_ns);
    refill(&rate->ops, now_ns);
    if (!bucket_has(&rate->ops, 1) || !bucket_has(&rate->bytes, bytes)) {
        return false;
    }
    shut_ops = bucket_take(&rate->ops, 1);
    shut = bucket_take(&rate->bytes, bytes);
    shut = MAX(shut, shut_ops);
    if (shut != 0) {
        /* The time that pays for the excess doesn't fill the bucket as well. */
        rate->shut_until_ns = now_ns + shut;
        rate->bytes.updated_ns = rate->shut_until_ns;
    }
    return true;
}

static uint64_t bucket_wait(const struct rate_bucket *bucket, uint64_t wanted)
{
    uint64_t needed = beyond_burst(bucket, wanted);

    if (bucket->size == 0 || bucket_has(bucket, wanted)) {
        return 0;
    }
    needed = needed > bucket->size ? 1 : needed - bucket->tokens;
    return bucket->updated_ns + time_for(bucket, needed);
}

uint64_t rate_wait_ns(const struct rate *rate, uint64_t bytes, uint64_t now_ns)
{
    uint64_t bytes_at = bucket_wait(&rate->bytes, bytes);
    uint64_t ops_at = bucket_wait(&rate->ops, 1);
    uint64_t at = MAX(bytes_at, ops_at);

    at = MAX(at, rate->shut_until_ns);
    return at > now_ns ? at - now_ns : 1;
}
