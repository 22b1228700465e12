/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: fixed priorities, round robin with a time slice inside one, affinity masks.
 *
 * One lock and one queue per priority for the whole machine: with at most CPU_MAX CPUs this is the
 * smallest thing that is fair on all of them. A vCPU that is alone on its CPU never comes here
 * between its start and its end: it has no tick and its WFI is not trapped.
 *
 * Times are CNTPCT ticks. Nothing here touches a timer or sends an interrupt: the caller programs
 * cpu->slice_end, and `poke` (given at init) makes another CPU look at its requests.
 */
#ifndef CORE_SCHED_H
#define CORE_SCHED_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "core/cpu.h"

#define SCHED_PRIORITIES 8
#define SCHED_NEVER UINT64_MAX
#define SCHED_VCPUS 64

struct vm;
struct vcpu;

struct sched {
    struct spinlock lock;
    struct cpu *cpus[CPU_MAX];
    uint32_t nr_cpus;
    uint64_t slice;       /* ticks */
    uint32_t queued_mask; /* bit per priority: its queue is not empty */
    struct vcpu *head[SCHED_PRIORITIES];
    struct vcpu *tail[SCHED_PRIORITIES];
    struct vcpu *all[SCHED_VCPUS]; /* as given to sched_place */
    uint32_t nr_all;
    /* Make this CPU take an exit and look at its requests. Called with the lock held. */
    void (*poke)(struct cpu *cpu);
};

enum sched_leave {
    SCHED_PREEMPTED, /* still runnable; goes first if its slice has not ended, else last */
    SCHED_YIELDED,   /* still runnable; goes last */
    SCHED_WAITS,     /* blocks until sched_kick or wake_at */
    SCHED_LEAVES,    /* goes off */
};

/* slice: length of a time slice in ticks. */
void sched_init(struct sched *sched, uint64_t slice, void (*poke)(struct cpu *cpu));

/* Make a CPU known. Its `running` is NULL: it is idle until sched_switch finds it work. */
void sched_add_cpu(struct sched *sched, struct cpu *cpu);

/*
 * Give each of the n vCPUs its place: their affinity masks as configured (0 = no wish), with
 * `dedicated` a mask of the CPUs that only those may use who ask for them. If the vCPUs without a
 * wish are no more than the CPUs left, each gets one of its own; otherwise they float over them.
 * Sets affinity and alone. Call once, before any of them runs, with at
 * most SCHED_VCPUS; the scheduler keeps the pointers.
 */
void sched_place(struct sched *sched, struct vcpu **vcpus, uint32_t n, uint32_t dedicated);

/* An off vCPU becomes runnable; one that is just leaving comes back as soon as it has left. */
void sched_start(struct sched *sched, struct vcpu *vcpu, uint64_t now);

/* Something happened for this vCPU: wake it if it waits, make it exit if it runs elsewhere. */
void sched_kick(struct sched *sched, struct vcpu *vcpu, uint64_t now);

enum sched_stop {
    SCHED_STOP_WAS_OFF,
    SCHED_STOP_DONE,    /* it waited or was queued: now it is off */
    SCHED_STOP_RUNNING, /* its CPU was told to look; sched_switch with SCHED_LEAVES follows there */
};

/* Take vcpu from the scheduler, or make the CPU on which it runs do so. */
enum sched_stop sched_stop(struct sched *sched, struct vcpu *vcpu);

/*
 * What runs on this CPU next, after `how` became of the one that did (cpu->running, may be NULL).
 * Sets cpu->running, cpu->idle and cpu->slice_end; NULL means that there is nothing: idle.
 * wake_at is for SCHED_WAITS. A vCPU that was kicked since its last exit does not block.
 */
struct vcpu *sched_switch(struct sched *sched, struct cpu *cpu, enum sched_leave how,
                          uint64_t wake_at, uint64_t now);

/*
 * cpu->running waits, and keeps its CPU while nobody else can use it: true, and the CPU counts as
 * idle, if nobody is queued for it. It is told by CPU_REQ_RESCHED when somebody is; then, or when
 * the wait is over, sched_stay_end() comes before anything else.
 */
bool sched_stay_begin(struct sched *sched, struct cpu *cpu);
void sched_stay_end(struct sched *sched, struct cpu *cpu);

/*
 * Call expired(vcpu) for each vCPU that blocked on this CPU and whose wake_at has come; it is to
 * raise the timer's interrupt, which then kicks the vCPU. Called without the lock held. Returns
 * the next wake_at of this CPU, or SCHED_NEVER.
 */
uint64_t sched_expire(struct sched *sched, struct cpu *cpu, uint64_t now,
                      void (*expired)(struct vcpu *vcpu));

#endif
