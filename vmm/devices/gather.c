/* SPDX-License-Identifier: Apache-2.0 */
/* A policy of scheduling is chosen by the time that requests take under it. */
#include "vmm/devices/gather.h"
#include "bothy/bits.h"
#include <sched.h>

#define TRY_LENGTH 8u
#define PATIENCE_MIN 64u
#define PATIENCE_MAX 1024u
#define IDLE_NS UINT64_C(2000000) /* a request that took this long, waited for a driver */

static void change_way(struct gather *gather)
{
    const struct sched_param none = {0};
    int policy = gather->is_batch ? SCHED_OTHER : SCHED_BATCH;

    if (sched_setscheduler(0, policy, &none) == 0) {
        gather->is_batch = !gather->is_batch;
    }
}

static void begin_stretch(struct gather *gather, uint64_t now, bool is_try)
{
    gather->start_ns = now;
    gather->notified = gather->served = 0;
    gather->is_try = is_try;
    if (is_try) {
        change_way(gather);
    }
}

static void end_stretch(struct gather *gather, uint64_t now)
{
    uint64_t request_ns = (now - gather->start_ns) / MAX(gather->served, 1u);

    if (!gather->is_try) {
        gather->request_ns = request_ns;
        begin_stretch(gather, now, gather->start_ns != 0 && request_ns < IDLE_NS);
        return;
    }
    if (request_ns + request_ns / 8 < gather->request_ns) {
        gather->patience = PATIENCE_MIN;
    } else {
        gather->patience = MIN(MAX(gather->patience, PATIENCE_MIN) * 2, PATIENCE_MAX);
        change_way(gather);
    }
    begin_stretch(gather, now, false);
}

void gather_init(struct gather *gather)
{
    *gather = (struct gather){.allowed = sched_getscheduler(0) == SCHED_OTHER};
}

void gather_note(struct gather *gather, uint32_t served, uint64_t now_ns)
{
    if (!gather->allowed) {
        return;
    }
    gather->notified++;
    gather->served += served;
    if (gather->notified >= (gather->is_try ? TRY_LENGTH : MAX(gather->patience, PATIENCE_MIN))) {
        end_stretch(gather, now_ns);
    }
}
