/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sched.h. Invariants, under sched->lock: a vCPU is in exactly one queue if and only if it is
 * SCHED_RUNNABLE; cpu->running is SCHED_RUNNING with sched.cpu == cpu->id; a CPU with somebody of
 * its vCPU's priority waiting for it has a slice_end, any other has none.
 */
#include "core/sched.h"

#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "bothy/panic.h"
#include "core/vcpu.h"

void sched_init(struct sched *sched, uint64_t slice, void (*poke)(struct cpu *cpu))
{
    *sched = (struct sched){.slice = slice, .poke = poke};
    spin_init(&sched->lock);
}

void sched_add_cpu(struct sched *sched, struct cpu *cpu)
{
    spin_lock(&sched->lock);
    BUG_ON(cpu->id >= CPU_MAX);
    cpu->running = NULL;
    cpu->idle = true;
    cpu->slice_end = SCHED_NEVER;
    sched->cpus[cpu->id] = cpu;
    if (cpu->id >= sched->nr_cpus)
        sched->nr_cpus = cpu->id + 1;
    spin_unlock(&sched->lock);
}

/* The CPU of `allowed` with the fewest vCPUs that are tied to it. */
static uint32_t least_loaded(const uint32_t *load, uint32_t allowed)
{
    uint32_t best = CPU_MAX;

    for (uint32_t c = 0; c < CPU_MAX; c++) {
        if ((allowed & (1u << c)) && (best == CPU_MAX || load[c] < load[best]))
            best = c;
    }
    return best;
}

/* Bit per CPU that came up. */
static uint32_t present(const struct sched *sched)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; i < sched->nr_cpus; i++)
        mask |= sched->cpus[i] ? 1u << i : 0;
    return mask;
}

void sched_place(struct sched *sched, struct vcpu **vcpus, uint32_t n, uint32_t dedicated)
{
    uint32_t all = present(sched);
    uint32_t load[CPU_MAX] = {0};
    uint32_t taken = dedicated & all;
    uint32_t floating = 0;

    BUG_ON(n > SCHED_VCPUS);
    sched->nr_all = n;
    for (uint32_t i = 0; i < n; i++)
        sched->all[i] = vcpus[i];

    for (uint32_t i = 0; i < n; i++) {
        uint32_t mask = vcpus[i]->sched.affinity & all;

        floating += mask == 0;
        if (mask && !(mask & (mask - 1)))
            load[(uint32_t)__builtin_ctz(mask)]++, taken |= mask;
    }

    uint32_t shared = all & ~dedicated ? all & ~dedicated : all;
    uint32_t unused = all & ~taken;
    bool fits = floating <= bits_count(unused);

    for (uint32_t i = 0; i < n; i++) {
        struct sched_entity *e = &vcpus[i]->sched;

        e->affinity &= all;
        if (e->affinity)
            continue;
        e->affinity = shared;
        if (fits) {
            uint32_t c = least_loaded(load, unused);

            load[c]++;
            unused &= ~(1u << c);
            e->affinity = 1u << c;
        }
    }

    for (uint32_t i = 0; i < n; i++) {
        uint32_t mask = vcpus[i]->sched.affinity;
        bool alone = !(mask & (mask - 1));

        for (uint32_t j = 0; j < n; j++)
            alone = alone && (i == j || !(vcpus[j]->sched.affinity & mask));
        vcpus[i]->sched.alone = alone;
    }
}

static void queue_add(struct sched *sched, struct vcpu *vcpu, bool first)
{
    uint32_t p = vcpu->sched.priority;

    vcpu->sched.state = SCHED_RUNNABLE;
    vcpu->sched.next = NULL;
    if (!sched->head[p]) {
        sched->head[p] = sched->tail[p] = vcpu;
        sched->queued_mask |= 1u << p;
    } else if (first) {
        vcpu->sched.next = sched->head[p];
        sched->head[p] = vcpu;
    } else {
        sched->tail[p]->sched.next = vcpu;
        sched->tail[p] = vcpu;
    }
}

static void queue_remove(struct sched *sched, struct vcpu *vcpu)
{
    uint32_t p = vcpu->sched.priority;
    struct vcpu *before = NULL;

    for (struct vcpu *v = sched->head[p]; v != vcpu; v = v->sched.next) {
        BUG_ON(!v);
        before = v;
    }
    if (before)
        before->sched.next = vcpu->sched.next;
    else
        sched->head[p] = vcpu->sched.next;
    if (sched->tail[p] == vcpu)
        sched->tail[p] = before;
    if (!sched->head[p])
        sched->queued_mask &= ~(1u << p);
    vcpu->sched.next = NULL;
}

/* The first in the queues that may run on this CPU, of at least the given priority. */
static struct vcpu *queue_find(struct sched *sched, const struct cpu *cpu, uint32_t at_least)
{
    for (uint32_t mask = sched->queued_mask; mask;) {
        uint32_t p = 31u - (uint32_t)__builtin_clz(mask);

        if (p < at_least)
            break;
        for (struct vcpu *v = sched->head[p]; v; v = v->sched.next) {
            if (v->sched.affinity & (1u << cpu->id))
                return v;
        }
        mask &= ~(1u << p);
    }
    return NULL;
}

static void ask(struct sched *sched, struct cpu *cpu, uint32_t request)
{
    atomic_fetch_or32(&cpu->requests, request);
    sched->poke(cpu);
}

/*
 * A vCPU was queued: tell whom it concerns. An idle CPU is best, the one where it ran before all
 * others; then the CPU with the least priority below its own; else all CPUs that run its equals
 * without a slice must start to count, or the one that shares would be treated worse than others.
 */
static void announce(struct sched *sched, const struct vcpu *vcpu)
{
    struct cpu *victim = NULL;
    uint32_t lowest = vcpu->sched.priority;

    for (uint32_t i = 0; i < sched->nr_cpus; i++) {
        struct cpu *cpu = sched->cpus[(vcpu->sched.cpu + i) % sched->nr_cpus];

        if (!cpu || !(vcpu->sched.affinity & (1u << cpu->id)))
            continue;
        if (cpu->idle) {
            cpu->idle = false; /* the next announcement finds another one */
            ask(sched, cpu, CPU_REQ_RESCHED);
            return;
        }
        if (cpu->running && cpu->running->sched.priority < lowest) {
            lowest = cpu->running->sched.priority;
            victim = cpu;
        }
    }
    if (victim) {
        ask(sched, victim, CPU_REQ_RESCHED);
        return;
    }
    for (uint32_t i = 0; i < sched->nr_cpus; i++) {
        struct cpu *cpu = sched->cpus[i];

        if (cpu && (vcpu->sched.affinity & (1u << i)) && cpu->slice_end == SCHED_NEVER &&
            cpu->running && cpu->running->sched.priority == vcpu->sched.priority)
            ask(sched, cpu, CPU_REQ_RESCHED);
    }
}

static void make_runnable(struct sched *sched, struct vcpu *vcpu, uint64_t now)
{
    vcpu->stolen_since = now;
    vcpu->sched.wake_at = SCHED_NEVER;
    queue_add(sched, vcpu, false);
    announce(sched, vcpu);
}

void sched_start(struct sched *sched, struct vcpu *vcpu, uint64_t now)
{
    spin_lock(&sched->lock);
    if (vcpu->sched.state == SCHED_OFF) {
        vcpu->sched.wake_pending = false;
        make_runnable(sched, vcpu, now);
    } else {
        vcpu->sched.start_pending = true;
    }
    spin_unlock(&sched->lock);
}

void sched_kick(struct sched *sched, struct vcpu *vcpu, uint64_t now)
{
    spin_lock(&sched->lock);
    if (vcpu->sched.state == SCHED_BLOCKED) {
        make_runnable(sched, vcpu, now);
    } else if (vcpu->sched.state == SCHED_RUNNING) {
        struct cpu *cpu = sched->cpus[vcpu->sched.cpu];

        vcpu->sched.wake_pending = true;
        if (cpu != cpu_this())
            ask(sched, cpu, CPU_REQ_VGIC);
        else
            atomic_fetch_or32(&cpu->requests, CPU_REQ_VGIC);
    }
    spin_unlock(&sched->lock);
}

enum sched_stop sched_stop(struct sched *sched, struct vcpu *vcpu)
{
    enum sched_stop result = SCHED_STOP_DONE;

    spin_lock(&sched->lock);
    if (vcpu->sched.state == SCHED_RUNNABLE) {
        queue_remove(sched, vcpu);
    } else if (vcpu->sched.state == SCHED_OFF) {
        result = SCHED_STOP_WAS_OFF;
    } else if (vcpu->sched.state == SCHED_RUNNING) {
        result = SCHED_STOP_RUNNING;
        vcpu->sched.wake_pending = true; /* or it might be about to block */
        ask(sched, sched->cpus[vcpu->sched.cpu], CPU_REQ_RESCHED);
    }
    if (result != SCHED_STOP_RUNNING)
        vcpu->sched.state = SCHED_OFF;
    spin_unlock(&sched->lock);
    return result;
}

/* File away the vCPU that leaves the CPU. */
static void put_away(struct sched *sched, struct cpu *cpu, enum sched_leave how, uint64_t wake_at,
                     uint64_t now)
{
    struct vcpu *vcpu = cpu->running;
    struct sched_entity *e = &vcpu->sched;

    if (how == SCHED_WAITS && e->wake_pending)
        how = SCHED_PREEMPTED;
    e->wake_pending = false;
    vcpu->stolen_since = now;

    if (how == SCHED_LEAVES && e->start_pending)
        how = SCHED_YIELDED;
    e->start_pending = false;

    if (how == SCHED_WAITS) {
        e->state = SCHED_BLOCKED;
        e->wake_at = wake_at;
    } else if (how == SCHED_LEAVES) {
        e->state = SCHED_OFF;
    } else {
        queue_add(sched, vcpu, how == SCHED_PREEMPTED && now < cpu->slice_end);
    }
}

struct vcpu *sched_switch(struct sched *sched, struct cpu *cpu, enum sched_leave how,
                          uint64_t wake_at, uint64_t now)
{
    spin_lock(&sched->lock);

    struct vcpu *before = cpu->running;

    if (before)
        put_away(sched, cpu, how, wake_at, now);

    struct vcpu *next = queue_find(sched, cpu, 0);

    cpu->running = next;
    cpu->idle = !next;
    if (next) {
        queue_remove(sched, next);
        next->sched.state = SCHED_RUNNING;
        next->sched.cpu = cpu->id;
        next->stolen_ticks += now - next->stolen_since;
        next->stolen_since = 0;
    }

    bool contended = next && queue_find(sched, cpu, next->sched.priority);

    if (!contended)
        cpu->slice_end = SCHED_NEVER;
    else if (next != before || cpu->slice_end == SCHED_NEVER || now >= cpu->slice_end)
        cpu->slice_end = now + sched->slice;
    spin_unlock(&sched->lock);
    return next;
}

bool sched_stay_begin(struct sched *sched, struct cpu *cpu)
{
    spin_lock(&sched->lock);
    bool stays = !queue_find(sched, cpu, 0);

    cpu->idle = stays;
    spin_unlock(&sched->lock);
    return stays;
}

void sched_stay_end(struct sched *sched, struct cpu *cpu)
{
    spin_lock(&sched->lock);
    cpu->idle = false;
    spin_unlock(&sched->lock);
}

/* One vCPU whose time has come, its wake_at cleared so that it is found once; or NULL. */
static struct vcpu *take_expired(struct sched *sched, const struct cpu *cpu, uint64_t now,
                                 uint64_t *next)
{
    struct vcpu *found = NULL;

    spin_lock(&sched->lock);
    *next = SCHED_NEVER;
    for (uint32_t i = 0; i < sched->nr_all; i++) {
        struct vcpu *vcpu = sched->all[i];
        struct sched_entity *e = &vcpu->sched;

        if (e->state != SCHED_BLOCKED || e->cpu != cpu->id)
            continue;
        if (e->wake_at <= now && !found) {
            found = vcpu;
            e->wake_at = SCHED_NEVER;
        } else if (e->wake_at < *next) {
            *next = e->wake_at;
        }
    }
    spin_unlock(&sched->lock);
    return found;
}

uint64_t sched_expire(struct sched *sched, struct cpu *cpu, uint64_t now,
                      void (*expired)(struct vcpu *vcpu))
{
    uint64_t next;

    for (;;) {
        struct vcpu *vcpu = take_expired(sched, cpu, now, &next);

        if (!vcpu)
            return next;
        expired(vcpu);
    }
}
