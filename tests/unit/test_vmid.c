/* SPDX-License-Identifier: Apache-2.0 */
/* VMIDs: numbers, roll-over and its maintenance, a model with TLBs, and threads for TSan. */
#include "tests/support/s2_oracle_log.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/vmid.h"

#define NR_VMS 600U

static struct vmid_allocator allocator;
static struct vmid vms[66000];

static uint64_t rnd(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (*state >> 11) % below;
}

static void start(unsigned bits, uint64_t ctr)
{
    oracle_log_reset();
    oracle_log_ctr(ctr);
    memset(vms, 0, sizeof(vms));
    vmid_allocator_init(&allocator, bits);
    oracle_log_clear();
}

#define CTR_PIPT 0x8444C004U
#define CTR_VPIPT 0x84448004U

static unsigned flushes(void)
{
    struct oracle_event event;
    unsigned n = 0;

    for (size_t i = 0; oracle_log_at(i, &event); i++) {
        n += event.kind == ORACLE_TLBI_ALLE1IS ? 1 : 0;
    }
    return n;
}

static void test_numbers(void **state)
{
    start(8, CTR_PIPT);
    for (uint32_t i = 0; i < 255; i++) {
        assert_int_equal(vmid_get(&allocator, &vms[i], 0), i + 1);
        assert_int_equal(vmid_get(&allocator, &vms[i], 1), i + 1);
    }
    for (uint32_t i = 0; i < 255; i++) {
        assert_int_equal(vmid_get(&allocator, &vms[i], i % CPU_MAX), i + 1);
    }
    assert_false(oracle_log_at(0, &(struct oracle_event){ORACLE_OTHER, NULL, 0}));
}

static void check_maintenance(const enum oracle_event_kind *wanted, size_t count)
{
    struct oracle_event event;

    for (size_t i = 0; i < count; i++) {
        assert_true(oracle_log_at(i, &event));
        assert_int_equal(event.kind, wanted[i]);
    }
    assert_false(oracle_log_at(count, &event));
}

static void test_maintenance(void **state)
{
    static const enum oracle_event_kind pipt[] = {ORACLE_DSB_ISHST, ORACLE_TLBI_ALLE1IS,
                                                  ORACLE_DSB_ISH, ORACLE_ISB};
    static const enum oracle_event_kind vpipt[] = {ORACLE_DSB_ISHST, ORACLE_TLBI_ALLE1IS,
                                                   ORACLE_IC_IALLUIS, ORACLE_DSB_ISH, ORACLE_ISB};

    start(8, CTR_PIPT);
    for (unsigned i = 0; i < 256; i++) {
        vmid_get(&allocator, &vms[i], 0);
    }
    check_maintenance(pipt, 4);
    start(8, CTR_VPIPT);
    for (unsigned i = 0; i < 256; i++) {
        vmid_get(&allocator, &vms[i], 0);
    }
    check_maintenance(vpipt, 5);
}

static void test_active_keep_their_numbers(void **state)
{
    start(8, CTR_PIPT);
    for (unsigned i = 0; i < 255; i++) {
        vmid_get(&allocator, &vms[i], 0);
    }
    vmid_get(&allocator, &vms[99], 1);
    vmid_get(&allocator, &vms[7], 2);
    vmid_get(&allocator, &vms[254], 0);
    assert_int_equal(vmid_get(&allocator, &vms[255], 3), 1);
    assert_int_equal(flushes(), 1);

    assert_int_equal(vmid_get(&allocator, &vms[7], 5), 8); /* where a sibling runs still */
    for (unsigned i = 300; i < 300 + 255 - 4; i++) {
        uint32_t number = vmid_get(&allocator, &vms[i], 3);
        assert_true(number > 1 && number != 8 && number != 100 && number != 255);
    }
    assert_int_equal(vmid_get(&allocator, &vms[99], 4), 100);
    assert_int_equal(vmid_get(&allocator, &vms[254], 0), 255);
    assert_int_equal(vmid_get(&allocator, &vms[7], 2), 8);
    assert_int_equal(flushes(), 1);
}

/* A CPU that idles through many generations still has its last VM's number in VTTBR_EL2. */
static void test_idle_cpu(void **state)
{
    start(8, CTR_PIPT);
    assert_int_equal(vmid_get(&allocator, &vms[0], 7), 1);
    for (unsigned i = 1; i < 6000; i++) {
        assert_int_not_equal(vmid_get(&allocator, &vms[i], i % 7), 1);
        if (i % 1000 == 0) { /* a sibling runs for a while */
            assert_int_equal(vmid_get(&allocator, &vms[0], 2), 1);
        }
    }
    assert_true(flushes() >= 20);
    assert_int_equal(vmid_get(&allocator, &vms[0], 7), 1);
}

static void test_16_bits(void **state)
{
    start(16, CTR_PIPT);
    for (uint32_t i = 0; i < 65535; i++) {
        assert_int_equal(vmid_get(&allocator, &vms[i], i % CPU_MAX), i + 1);
    }
    assert_int_equal(flushes(), 0);
    assert_int_equal(vmid_get(&allocator, &vms[65535], 0), 1);
    assert_int_equal(flushes(), 1);
}

/* --- a model: CPUs with TLBs --- */

struct model_cpu {
    unsigned vm;       /* index + 1; 0: none yet */
    uint32_t number;   /* in VTTBR_EL2 */
    unsigned tlb[256]; /* whose translations are cached under a number; index + 1 */
};

static void model_switch(struct model_cpu *cpus, unsigned cpu, unsigned vm)
{
    struct model_cpu *me = &cpus[cpu];

    oracle_log_clear();
    me->number = vmid_get(&allocator, &vms[vm], cpu);
    me->vm = vm + 1;
    for (unsigned i = 0; i < CPU_MAX && flushes() != 0; i++) {
        memset(cpus[i].tlb, 0, sizeof(cpus[i].tlb));
        cpus[i].tlb[cpus[i].number] = cpus[i].vm; /* who runs fills its TLB again at once */
    }
    assert_true(me->number > 0 && me->number < 256);
    if (me->tlb[me->number] != 0 && me->tlb[me->number] != vm + 1) {
        fail_msg("VM %u meets translations of VM %u", vm, me->tlb[me->number] - 1);
    }
    me->tlb[me->number] = vm + 1;
    for (unsigned i = 0; i < CPU_MAX; i++) {
        assert_int_equal(cpus[i].vm == vm + 1, cpus[i].number == me->number);
    }
}

static void test_model(void **state)
{
    static struct model_cpu cpus[CPU_MAX];
    uint64_t seed = 20260;

    print_message("seed %lu\n", seed);
    start(8, CTR_PIPT);
    for (unsigned i = 0; i < 300000; i++) {
        unsigned nr_vms = i < 100000 ? 240 : NR_VMS; /* enough numbers at first */
        unsigned cpu = (unsigned)rnd(&seed, rnd(&seed, 16) == 0 ? CPU_MAX : CPU_MAX - 3);
        unsigned vm = (unsigned)rnd(&seed, rnd(&seed, 4) == 0 ? nr_vms : 12);
        model_switch(cpus, cpu, vm);
    }
}

/* --- threads --- */

#define NR_THREADS 4U

static uint64_t running[CPU_MAX]; /* VM + 1 and number, while in the guest */
static unsigned violations;

static void *thread_cpu(void *arg)
{
    unsigned cpu = (unsigned)(uintptr_t)arg;
    uint64_t seed = 77 + cpu;

    for (unsigned i = 0; i < 3000; i++) {
        uint64_t vm = rnd(&seed, rnd(&seed, 2) == 0 ? NR_VMS : 6);
        uint64_t number = vmid_get(&allocator, &vms[vm], cpu);
        uint64_t mine = (vm + 1) << 32 | number;

        __atomic_store_n(&running[cpu], mine, __ATOMIC_SEQ_CST);
        for (unsigned other = 0; other < CPU_MAX; other++) {
            uint64_t theirs = __atomic_load_n(&running[other], __ATOMIC_SEQ_CST);
            bool same_vm = theirs >> 32 == vm + 1;
            bool same_number = (uint32_t)theirs == number;
            if (theirs != 0 && same_vm != same_number) {
                __atomic_fetch_add(&violations, 1, __ATOMIC_RELAXED);
            }
        }
        __atomic_store_n(&running[cpu], 0, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[NR_THREADS];

    start(8, CTR_PIPT);
    for (uintptr_t i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, thread_cpu, (void *)i), 0);
    }
    for (unsigned i = 0; i < NR_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(violations, 0);
    assert_true(allocator.generation >> 16 > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_maintenance),
        cmocka_unit_test(test_active_keep_their_numbers),
        cmocka_unit_test(test_idle_cpu),
        cmocka_unit_test(test_16_bits),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
