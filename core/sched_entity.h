/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's part of a vCPU; see sched.h. */
#ifndef CORE_SCHED_ENTITY_H
#define CORE_SCHED_ENTITY_H

#include "bothy/types.h"

enum sched_state {
    SCHED_OFF,      /* unknown to the scheduler */
    SCHED_BLOCKED,  /* waits for an event */
    SCHED_RUNNABLE, /* in the queue */
    SCHED_RUNNING,  /* on a CPU */
};

struct sched_entity {
    struct vcpu *next;      /* run queue of its priority */
    uint32_t state;         /* enum sched_state, under sched.lock */
    uint32_t affinity;      /* bit per CPU where it may run */
    uint32_t cpu;           /* where it runs or ran last */
    uint8_t priority;       /* 0..7, higher runs first */
    bool alone;             /* nobody else can be placed on its CPU: no tick, WFI untrapped */
    bool start_pending;     /* started again while it was on its way out */
    bool wake_pending;      /* kicked while it was on its way to SCHED_BLOCKED */
    uint64_t wake_at;       /* CNTPCT at which to wake it, UINT64_MAX if only by kick */
};

#endif
