/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler against what sched.h promises: places, priorities, slices, kicks, stops; and a
 * random walk over all operations that checks the invariants after each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/sysreg.h"
#include "core/sched.h"
#include "core/vcpu.h"

#define SLICE 100u
#define CPUS 4u

static struct sched sched;
static struct cpu cpus[CPU_MAX];
static struct vcpu vcpus[16];
static uint32_t pokes;

static void poke(struct cpu *cpu)
{
    pokes |= 1u << cpu->id;
}

static void on_cpu(unsigned int id)
{
    write_tpidr_el2((uint64_t)(uintptr_t)&cpus[id]);
}

static void set_up(uint32_t nr_cpus)
{
    memset(vcpus, 0, sizeof(vcpus));
    memset(cpus, 0, sizeof(cpus));
    sched_init(&sched, SLICE, poke);
    for (uint32_t i = 0; i < nr_cpus; i++) {
        cpus[i].id = i;
        sched_add_cpu(&sched, &cpus[i]);
    }
    on_cpu(0);
    pokes = 0;
}

static void place(uint32_t n, uint32_t dedicated)
{
    struct vcpu *all[16];

    for (uint32_t i = 0; i < n; i++) {
        all[i] = &vcpus[i];
        vcpus[i].id = i;
    }
    sched_place(&sched, all, n, dedicated);
}

static struct vcpu *pick(unsigned int cpu, enum sched_leave how, uint64_t now)
{
    on_cpu(cpu);
    return sched_switch(&sched, &cpus[cpu], how, SCHED_NEVER, now);
}

static void vcpus_that_fit_get_a_cpu_each(void **state)
{
    uint32_t seen = 0;

    (void)state;
    set_up(CPUS);
    vcpus[0].sched.affinity = 0x8;
    place(4, 0);
    for (unsigned int i = 0; i < 4; i++) {
        assert_true(vcpus[i].sched.alone);
        assert_int_equal(seen & vcpus[i].sched.affinity, 0);
        seen |= vcpus[i].sched.affinity;
    }
    assert_int_equal(vcpus[0].sched.affinity, 0x8);
    assert_int_equal(seen, 0xf);
}

static void too_many_vcpus_float_but_not_on_dedicated_cpus(void **state)
{
    (void)state;
    set_up(CPUS);
    vcpus[0].sched.affinity = 0x8;
    place(6, 0x8);
    assert_true(vcpus[0].sched.alone);
    for (unsigned int i = 1; i < 6; i++) {
        assert_int_equal(vcpus[i].sched.affinity, 0x7);
        assert_false(vcpus[i].sched.alone);
    }
}

static void two_on_one_cpu_are_not_alone(void **state)
{
    (void)state;
    set_up(2);
    vcpus[0].sched.affinity = 1;
    vcpus[1].sched.affinity = 1;
    place(2, 0);
    assert_false(vcpus[0].sched.alone);
    assert_false(vcpus[1].sched.alone);
}

static void higher_priority_preempts_and_lower_waits(void **state)
{
    (void)state;
    set_up(1);
    vcpus[1].sched.priority = 5;
    place(2, 0);
    sched_start(&sched, &vcpus[0], 0);
    assert_ptr_equal(pick(0, SCHED_PREEMPTED, 0), &vcpus[0]);
    assert_int_equal(cpus[0].slice_end, SCHED_NEVER);
    cpus[0].requests = 0;
    sched_start(&sched, &vcpus[1], 5);
    assert_int_equal(cpus[0].requests, CPU_REQ_RESCHED);
    assert_ptr_equal(pick(0, SCHED_PREEMPTED, 6), &vcpus[1]);
    assert_int_equal(cpus[0].slice_end, SCHED_NEVER);
    assert_ptr_equal(pick(0, SCHED_YIELDED, 7), &vcpus[1]);
    assert_ptr_equal(pick(0, SCHED_WAITS, 8), &vcpus[0]);
    assert_int_equal(vcpus[0].stolen_ticks, 2);
}

static void equals_share_by_slices(void **state)
{
    uint64_t now = 0;
    unsigned int ran[3] = {0};

    (void)state;
    set_up(1);
    place(3, 0);
    for (unsigned int i = 0; i < 3; i++)
        sched_start(&sched, &vcpus[i], 0);
    for (unsigned int round = 0; round < 30; round++) {
        struct vcpu *v = pick(0, SCHED_PREEMPTED, now);

        assert_int_equal(cpus[0].slice_end, now + SLICE);
        ran[v->id]++;
        now = cpus[0].slice_end;
    }
    assert_int_equal(ran[0], 10);
    assert_int_equal(ran[1], 10);
    assert_int_equal(ran[2], 10);
}

static void preempted_within_its_slice_goes_on_first(void **state)
{
    (void)state;
    set_up(1);
    place(2, 0);
    sched_start(&sched, &vcpus[0], 0);
    sched_start(&sched, &vcpus[1], 0);
    assert_ptr_equal(pick(0, SCHED_PREEMPTED, 0), &vcpus[0]);
    assert_ptr_equal(pick(0, SCHED_PREEMPTED, SLICE / 2), &vcpus[0]);
    assert_int_equal(cpus[0].slice_end, SLICE);
    assert_ptr_equal(pick(0, SCHED_PREEMPTED, SLICE), &vcpus[1]);
}

static void an_idle_cpu_is_told_first(void **state)
{
    (void)state;
    set_up(2);
    place(3, 0);
    sched_start(&sched, &vcpus[0], 0);
    assert_non_null(pick(0, SCHED_PREEMPTED, 0));
    assert_null(pick(1, SCHED_PREEMPTED, 0));
    on_cpu(0);
    pokes = 0;
    sched_start(&sched, &vcpus[1], 1);
    assert_int_equal(pokes, 2);
    assert_ptr_equal(pick(1, SCHED_PREEMPTED, 1), &vcpus[1]);
    pokes = 0;
    sched_start(&sched, &vcpus[2], 2); /* nobody is idle: all equals begin to count their slice */
    assert_int_equal(pokes, 3);
}

static void a_kick_before_the_wait_is_not_lost(void **state)
{
    (void)state;
    set_up(1);
    place(1, 0);
    sched_start(&sched, &vcpus[0], 0);
    assert_ptr_equal(pick(0, SCHED_PREEMPTED, 0), &vcpus[0]);
    sched_kick(&sched, &vcpus[0], 1);
    assert_ptr_equal(pick(0, SCHED_WAITS, 2), &vcpus[0]);
    assert_null(pick(0, SCHED_WAITS, 3));
    sched_kick(&sched, &vcpus[0], 4);
    assert_ptr_equal(pick(0, SCHED_PREEMPTED, 5), &vcpus[0]);
}

static void a_kick_reaches_the_other_cpu(void **state)
{
    (void)state;
    set_up(2);
    place(2, 0);
    sched_start(&sched, &vcpus[0], 0);
    struct vcpu *v = pick(1, SCHED_PREEMPTED, 0);

    if (!v)
        v = pick(0, SCHED_PREEMPTED, 0);
    unsigned int where = v->sched.cpu;

    on_cpu(!where);
    pokes = 0;
    cpus[where].requests = 0;
    sched_kick(&sched, v, 1);
    assert_int_equal(pokes, 1u << where);
    assert_int_equal(cpus[where].requests, CPU_REQ_VGIC);
}

static struct vcpu *last_expired;

static void expired(struct vcpu *vcpu)
{
    last_expired = vcpu;
    sched_kick(&sched, vcpu, 0);
}

static void a_timer_wakes_its_vcpu_once(void **state)
{
    (void)state;
    set_up(1);
    place(2, 0);
    for (unsigned int i = 0; i < 2; i++)
        sched_start(&sched, &vcpus[i], 0);
    pick(0, SCHED_PREEMPTED, 0);
    sched_switch(&sched, &cpus[0], SCHED_WAITS, 50, 1);
    sched_switch(&sched, &cpus[0], SCHED_WAITS, 70, 2);
    last_expired = NULL;
    assert_int_equal(sched_expire(&sched, &cpus[0], 10, expired), 50);
    assert_null(last_expired);
    assert_int_equal(sched_expire(&sched, &cpus[0], 60, expired), 70);
    assert_ptr_equal(last_expired, &vcpus[0]);
    last_expired = NULL;
    assert_int_equal(sched_expire(&sched, &cpus[0], 70, expired), SCHED_NEVER);
    assert_ptr_equal(last_expired, &vcpus[1]);
}

static void start_while_leaving_comes_back(void **state)
{
    (void)state;
    set_up(1);
    place(1, 0);
    sched_start(&sched, &vcpus[0], 0);
    pick(0, SCHED_PREEMPTED, 0);
    sched_start(&sched, &vcpus[0], 1);
    assert_ptr_equal(pick(0, SCHED_LEAVES, 2), &vcpus[0]);
    assert_null(pick(0, SCHED_LEAVES, 3));
    assert_int_equal(vcpus[0].sched.state, SCHED_OFF);
}

static void stop_takes_it_from_wherever_it_is(void **state)
{
    (void)state;
    set_up(1);
    place(3, 0);
    assert_int_equal(sched_stop(&sched, &vcpus[2]), SCHED_STOP_WAS_OFF);
    sched_start(&sched, &vcpus[0], 0);
    sched_start(&sched, &vcpus[1], 0);
    pick(0, SCHED_PREEMPTED, 0);
    assert_int_equal(sched_stop(&sched, &vcpus[1]), SCHED_STOP_DONE);
    cpus[0].requests = 0;
    assert_int_equal(sched_stop(&sched, &vcpus[0]), SCHED_STOP_RUNNING);
    assert_int_equal(cpus[0].requests, CPU_REQ_RESCHED);
    assert_null(pick(0, SCHED_LEAVES, 1));
}

/* In exactly one queue iff runnable; no CPU runs what another runs, or what it must not. */
static void check_invariants(uint32_t n)
{
    unsigned int queued[16] = {0};

    for (unsigned int p = 0; p < SCHED_PRIORITIES; p++) {
        struct vcpu *last = NULL;

        for (struct vcpu *v = sched.head[p]; v; v = v->sched.next) {
            assert_int_equal(v->sched.priority, p);
            queued[v->id]++;
            last = v;
        }
        assert_ptr_equal(sched.head[p] ? sched.tail[p] : NULL, last);
        assert_int_equal(!!(sched.queued_mask & (1u << p)), !!sched.head[p]);
    }
    for (unsigned int i = 0; i < n; i++) {
        unsigned int running = 0;

        for (unsigned int c = 0; c < CPUS; c++)
            running += cpus[c].running == &vcpus[i];
        assert_int_equal(queued[i], vcpus[i].sched.state == SCHED_RUNNABLE);
        assert_int_equal(running, vcpus[i].sched.state == SCHED_RUNNING);
    }
    for (unsigned int c = 0; c < CPUS; c++) {
        struct vcpu *v = cpus[c].running;

        assert_true(!v || (v->sched.affinity & (1u << c)));
        assert_true(!v || v->sched.cpu == c);
    }
}

static void random_walk(void **state)
{
    enum { N = 12 };
    uint64_t now = 0;

    (void)state;
    for (unsigned int seed = 1; seed <= 200; seed++) {
        srand(seed);
        set_up(CPUS);
        for (unsigned int i = 0; i < N; i++) {
            vcpus[i].sched.priority = (uint8_t)(rand() % 3);
            vcpus[i].sched.affinity = rand() % 3 ? 0 : (uint32_t)(rand() % 15 + 1);
        }
        place(N, 0);
        for (unsigned int step = 0; step < 400; step++) {
            struct vcpu *v = &vcpus[rand() % N];
            unsigned int c = (unsigned int)rand() % CPUS;

            now += (unsigned int)rand() % 60;
            on_cpu(c);
            switch (rand() % 4) {
            case 0:
                if (v->sched.state == SCHED_OFF)
                    sched_start(&sched, v, now);
                break;
            case 1:
                sched_kick(&sched, v, now);
                break;
            case 2:
                if (cpus[c].running || (cpus[c].requests & CPU_REQ_RESCHED)) {
                    cpus[c].requests = 0;
                    pick(c, (enum sched_leave)(rand() % 4), now);
                }
                break;
            default:
                cpus[c].requests = 0;
                sched_expire(&sched, &cpus[c], now, expired);
                pick(c, SCHED_PREEMPTED, now);
                break;
            }
            check_invariants(N);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vcpus_that_fit_get_a_cpu_each),
        cmocka_unit_test(too_many_vcpus_float_but_not_on_dedicated_cpus),
        cmocka_unit_test(two_on_one_cpu_are_not_alone),
        cmocka_unit_test(higher_priority_preempts_and_lower_waits),
        cmocka_unit_test(equals_share_by_slices),
        cmocka_unit_test(preempted_within_its_slice_goes_on_first),
        cmocka_unit_test(an_idle_cpu_is_told_first),
        cmocka_unit_test(a_kick_before_the_wait_is_not_lost),
        cmocka_unit_test(a_kick_reaches_the_other_cpu),
        cmocka_unit_test(a_timer_wakes_its_vcpu_once),
        cmocka_unit_test(start_while_leaving_comes_back),
        cmocka_unit_test(stop_takes_it_from_wherever_it_is),
        cmocka_unit_test(random_walk),
    };

    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
