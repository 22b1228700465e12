/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that has several requests puts them into its queue one by one, and notifies of the
 * first. If it shares a CPU with the main thread, that one preempts it, serves one request,
 * interrupts the driver, and is preempted in turn: a notification, a round of the loop and an
 * interrupt for each. As a batch thread (SCHED_BATCH) the main thread lets the driver finish, and
 * finds all of them. For requests that come alone this costs a little more, and on a CPU that
 * others want it may take long.
 *
 * So both are tried for a while, and the quicker one, by the time that a request takes, is used
 * until the next try, which comes ever later while it changes nothing. Main thread only.
 */
#ifndef VMM_DEVICES_GATHER_H
#define VMM_DEVICES_GATHER_H

#include <stdbool.h>
#include <stdint.h>

struct gather {
    uint64_t start_ns;     /* of this stretch; 0: none yet */
    uint64_t request_ns;   /* what a request took before this try */
    uint32_t notified;     /* notifications in this stretch */
    uint32_t served;       /* requests in it */
    uint32_t patience;     /* notifications between tries */
    bool allowed;          /* not if somebody has chosen another policy for this process */
    bool is_batch;         /* how the thread is scheduled now */
    bool is_try;           /* this stretch is one */
};

/* Before the process is jailed. */
void gather_init(struct gather *gather);

/* A notification was served, with so many requests. */
void gather_note(struct gather *gather, uint32_t served, uint64_t now_ns);

#endif
