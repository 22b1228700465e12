/* SPDX-License-Identifier: Apache-2.0 */
/* PSCI 1.1: each call's arguments and results, reset state, and CPU_ON and CPU_OFF in races. */
#include "tests/support/core_guest.h"

#include "bothy/atomic.h"
#include "core/smccc.h"
#include "core/vpsci.h"
#include <pthread.h>
#include <sched.h>

#define WIDE(function) ((function) | (uint32_t)SMCCC_64BIT)
#define ENTRY (GUEST_RAM + 0x80000)

static enum trap_result call(struct vcpu *vcpu, uint32_t function, uint64_t x1, uint64_t x2,
                             uint64_t x3)
{
    vcpu->regs.x[0] = function;
    vcpu->regs.x[1] = x1;
    vcpu->regs.x[2] = x2;
    vcpu->regs.x[3] = x3;
    return smccc_hvc(vcpu, FIELD_PREP(ESR_EL2_EC, EC_HVC64) | ESR_EL2_IL);
}

static int64_t answer(struct vcpu *vcpu, uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3)
{
    assert_int_equal(call(vcpu, function, x1, x2, x3), TRAP_RESUME);
    return (int64_t)vcpu->regs.x[0];
}

static void features_of_all_functions(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    static const uint32_t known[] = {
        PSCI_VERSION,
        PSCI_CPU_SUSPEND,
        PSCI_CPU_OFF,
        PSCI_CPU_ON,
        PSCI_AFFINITY_INFO,
        PSCI_MIGRATE_INFO_TYPE,
        PSCI_SYSTEM_OFF,
        PSCI_SYSTEM_RESET,
        PSCI_FEATURES,
        PSCI_SYSTEM_RESET2,
        SMCCC_VERSION,
        WIDE(PSCI_CPU_SUSPEND),
        WIDE(PSCI_CPU_ON),
        WIDE(PSCI_AFFINITY_INFO),
        WIDE(PSCI_SYSTEM_RESET2),
    };

    for (uint32_t low = 0; low < 0x100; low++) {
        for (uint32_t wide = 0; wide < 2; wide++) {
            uint32_t function = PSCI_VERSION + low + (wide ? (uint32_t)SMCCC_64BIT : 0);
            int64_t want = PSCI_NOT_SUPPORTED;

            for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                if (known[i] == function)
                    want = PSCI_SUCCESS;
            }
            assert_int_equal(answer(vcpu, PSCI_FEATURES, function, 0, 0), want);
        }
    }
    assert_int_equal(answer(vcpu, PSCI_FEATURES, SMCCC_VERSION, 0, 0), PSCI_SUCCESS);
}

static void not_supported(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    static const uint32_t none[] = {
        PSCI_MIGRATE,         PSCI_MIGRATE_INFO_UP_CPU,  PSCI_CPU_FREEZE,
        PSCI_SYSTEM_SUSPEND,  WIDE(PSCI_SYSTEM_SUSPEND), WIDE(PSCI_CPU_OFF),
        WIDE(PSCI_SYSTEM_OFF)};

    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        assert_int_equal(answer(vcpu, none[i], 0, 0, 0), PSCI_NOT_SUPPORTED);
    assert_int_equal(answer(vcpu, PSCI_MIGRATE_INFO_TYPE, 0, 0, 0), 2);
    assert_int_equal(guest_of(state)->power_calls, 0);
}

static void cpu_on_checks_its_arguments(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];
    uint64_t end = GUEST_RAM + GUEST_RAM_SIZE;

    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), 4, ENTRY, 0), PSCI_INVALID_PARAMETERS);
    for (unsigned bit = 8; bit < 64; bit++)
        assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), UINT64_C(1) << bit | 1, ENTRY, 0),
                         PSCI_INVALID_PARAMETERS);
    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), 1, GUEST_RAM - 4, 0), PSCI_INVALID_ADDRESS);
    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), 1, end, 0), PSCI_INVALID_ADDRESS);
    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), 1, UINT64_MAX - 3, 0), PSCI_INVALID_ADDRESS);
    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), 1, ENTRY + 2, 0), PSCI_INVALID_ADDRESS);
    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), 0, ENTRY, 0), PSCI_ALREADY_ON);
    assert_int_equal(guest->starts, 0);
    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_ON), 1, end - 4, 0), PSCI_SUCCESS);
    assert_int_equal(guest->starts, 1);
}

static void cpu_on_gives_the_reset_state(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *target = guest->vcpu[1];

    memset(&target->sys, 0x5a, sizeof(target->sys));
    memset(&target->debug, 0x5a, sizeof(target->debug));
    memset(&target->timer, 0x5a, sizeof(target->timer));
    memset(&target->regs, 0x5a, sizeof(target->regs));
    target->regs.stack = 0x1234;
    target->hcr |= HCR_EL2_TVM | HCR_EL2_VSE;
    assert_false(vpsci_start(target));

    assert_int_equal(answer(guest->vcpu[0], WIDE(PSCI_CPU_ON), 1, ENTRY, UINT64_MAX - 5), 0);
    assert_int_equal(target->power, VCPU_ON_PENDING);
    assert_int_equal(answer(guest->vcpu[0], WIDE(PSCI_CPU_ON), 1, ENTRY, 0), PSCI_ON_PENDING);
    assert_ptr_equal(guest->started, target);
    assert_int_equal(target->sys.vbar, UINT64_C(0x5a5a5a5a5a5a5a5a)); /* not before it is entered */

    assert_true(vpsci_start(target));
    assert_false(vpsci_start(target));
    assert_int_equal(target->power, VCPU_ON);
    assert_int_equal(target->regs.pc, ENTRY);
    assert_int_equal(target->regs.x[0], UINT64_MAX - 5);
    for (unsigned n = 1; n < 31; n++)
        assert_int_equal(target->regs.x[n], 0);
    assert_int_equal(target->regs.pstate, 0x3c5);
    assert_int_equal(target->regs.stack, 0x1234);
    assert_int_equal(target->sys.sctlr, 0x30d00800);
    assert_int_equal(target->sys.tcr, 0);
    assert_int_equal(target->timer.cntv_ctl, 0);
    assert_int_equal(target->timer.cntp_ctl, 0);
    assert_true(target->debug.os_locked);
    assert_false(target->debug.in_hardware);
    assert_int_equal(target->hcr, guest->traps.hcr);
    assert_int_equal(answer(guest->vcpu[0], WIDE(PSCI_CPU_ON), 1, ENTRY, 0), PSCI_ALREADY_ON);
}

static void cpu_on_by_32_bits(void **state)
{
    struct test_guest *guest = guest_of(state);

    assert_int_equal(answer(guest->vcpu[0], PSCI_CPU_ON, UINT64_C(0xffffffff00000002),
                            UINT64_C(0xeeeeeeee00000000) | ENTRY, UINT64_C(0xdddddddd12345678)),
                     PSCI_SUCCESS);
    assert_true(vpsci_start(guest->vcpu[2]));
    assert_int_equal(guest->vcpu[2]->regs.pc, ENTRY);
    assert_int_equal(guest->vcpu[2]->regs.x[0], 0x12345678);
}

static void cpu_off_and_on_again(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *other = guest->vcpu[1];

    answer(guest->vcpu[0], WIDE(PSCI_CPU_ON), 1, ENTRY, 7);
    assert_true(vpsci_start(other));
    assert_int_equal(call(other, PSCI_CPU_OFF, 0, 0, 0), TRAP_OFF);
    assert_int_equal(other->power, VCPU_OFF);
    assert_int_equal(guest->power_calls, 0);
    assert_int_equal(answer(guest->vcpu[0], WIDE(PSCI_AFFINITY_INFO), 1, 0, 0), 1);
    assert_int_equal(answer(guest->vcpu[0], WIDE(PSCI_CPU_ON), 1, ENTRY + 4, 8), PSCI_SUCCESS);
    assert_true(vpsci_start(other));
    assert_int_equal(other->regs.pc, ENTRY + 4);
}

static void the_last_cpu_off_is_system_off(void **state)
{
    struct test_guest *guest = guest_of(state);

    assert_int_equal(call(guest->vcpu[0], PSCI_CPU_OFF, 0, 0, 0), TRAP_OFF);
    assert_int_equal(guest->power_calls, 1);
    assert_int_equal(guest->power_what, VM_POWER_OFF);
}

static void affinity_info(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];
    uint32_t info = WIDE(PSCI_AFFINITY_INFO);

    guest->vcpu[2]->mpidr = 0x100; /* two clusters: 0 and 1, and 0x100 and 0x101 */
    guest->vcpu[3]->mpidr = 0x101;

    assert_int_equal(answer(vcpu, info, 0, 0, 0), 0);
    assert_int_equal(answer(vcpu, info, 1, 0, 0), 1);
    answer(vcpu, WIDE(PSCI_CPU_ON), 0x101, ENTRY, 0);
    assert_int_equal(answer(vcpu, info, 0x101, 0, 0), 2);
    assert_int_equal(answer(vcpu, info, 0x102, 0, 0), PSCI_INVALID_PARAMETERS);
    /* A level's lower fields don't matter. */
    assert_int_equal(answer(vcpu, info, 0x1ff, 1, 0), 2);
    assert_int_equal(answer(vcpu, info, 0x0ff, 1, 0), 0);
    assert_int_equal(answer(vcpu, info, 0x200, 1, 0), PSCI_INVALID_PARAMETERS);
    assert_int_equal(answer(vcpu, info, 0xffff, 2, 0), 0);
    assert_int_equal(answer(vcpu, info, 0, 3, 0), 0);
    assert_int_equal(answer(vcpu, info, 0, 4, 0), PSCI_INVALID_PARAMETERS);
    assert_int_equal(answer(vcpu, info, 0, UINT32_MAX, 0), PSCI_INVALID_PARAMETERS);
    assert_int_equal(answer(vcpu, info, UINT64_C(0x80000000), 0, 0), PSCI_INVALID_PARAMETERS);
    assert_int_equal(answer(vcpu, PSCI_AFFINITY_INFO, UINT64_C(0x900000000), 0, 0), 0);
}

static void system_calls(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    assert_int_equal(call(vcpu, PSCI_SYSTEM_OFF, 0, 0, 0), TRAP_OFF);
    assert_int_equal(guest->power_what, VM_POWER_OFF);
    assert_int_equal(call(vcpu, PSCI_SYSTEM_RESET, 0, 0, 0), TRAP_OFF);
    assert_int_equal(guest->power_what, VM_POWER_RESET);
    guest->power_what = VM_POWER_OFF;
    assert_int_equal(call(vcpu, WIDE(PSCI_SYSTEM_RESET2), 0, 99, 0), TRAP_OFF);
    assert_int_equal(guest->power_what, VM_POWER_RESET);
    assert_int_equal(call(vcpu, PSCI_SYSTEM_RESET2, 0, 99, 0), TRAP_OFF);
    assert_int_equal(guest->power_calls, 4);
    assert_int_equal(answer(vcpu, PSCI_SYSTEM_RESET2, 1, 0, 0), PSCI_INVALID_PARAMETERS);
    assert_int_equal(answer(vcpu, WIDE(PSCI_SYSTEM_RESET2), 0x80000000, 0, 0),
                     PSCI_INVALID_PARAMETERS);
    assert_int_equal(guest->power_calls, 4);
}

static void suspend_to_standby(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    vcpu->regs.pc = GUEST_PC;
    vcpu->regs.x[19] = 19;
    assert_int_equal(call(vcpu, WIDE(PSCI_CPU_SUSPEND), 0x1234, 3, 3), TRAP_WAIT);
    assert_int_equal(vcpu->regs.x[0], PSCI_SUCCESS);
    assert_int_equal(vcpu->regs.x[19], 19);
    assert_int_equal(vcpu->regs.pc + 4, GUEST_PC);

    /* By SMC, PC is still at the instruction. */
    vcpu->regs.pc = GUEST_PC;
    vcpu->regs.x[0] = PSCI_CPU_SUSPEND;
    vcpu->regs.x[1] = 0;
    assert_int_equal(smccc_smc(vcpu, FIELD_PREP(ESR_EL2_EC, EC_SMC64) | ESR_EL2_IL), TRAP_WAIT);
    assert_int_equal(vcpu->regs.pc, GUEST_PC);
}

static void suspend_to_power_down(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    vcpu->regs.x[19] = 19;
    vcpu->regs.pstate = 0x5;
    vcpu->timer.cntp_ctl = 1;
    set_reg(SYSREG_SCTLR_EL1, 0x30d0180d);
    assert_int_equal(call(vcpu, WIDE(PSCI_CPU_SUSPEND), 0x10000, ENTRY, 77), TRAP_WAIT);
    assert_int_equal(vcpu->regs.pc + 4, ENTRY);
    assert_int_equal(vcpu->regs.x[0], 77);
    assert_int_equal(vcpu->regs.x[19], 0);
    assert_int_equal(vcpu->regs.pstate, 0x3c5);
    assert_int_equal(get_reg(SYSREG_SCTLR_EL1), 0x30d00800);
    assert_int_equal(vcpu->timer.cntp_ctl, 1); /* or nothing would wake it */
    assert_int_equal(vcpu->power, VCPU_ON);

    /* By SMC the caller's step over the instruction must not count either. */
    vcpu->regs.x[0] = PSCI_CPU_SUSPEND;
    vcpu->regs.x[1] = 0x10000;
    vcpu->regs.x[2] = ENTRY;
    assert_int_equal(smccc_smc(vcpu, FIELD_PREP(ESR_EL2_EC, EC_SMC64) | ESR_EL2_IL), TRAP_WAIT);
    assert_int_equal(vcpu->regs.pc + 4, ENTRY);
}

static void suspend_checks_its_arguments(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    for (unsigned bit = 17; bit < 32; bit++)
        assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_SUSPEND), UINT64_C(1) << bit, ENTRY, 0),
                         PSCI_INVALID_PARAMETERS);
    assert_int_equal(answer(vcpu, WIDE(PSCI_CPU_SUSPEND), 0x10000, 0, 0), PSCI_INVALID_ADDRESS);
}

/* --- races, for ThreadSanitizer too --- */

#define ROUNDS 1000

struct racer {
    struct vcpu *caller;
    struct vcpu *target;
    pthread_barrier_t *barrier;
    int64_t result[ROUNDS];
};

static void *race_cpu_on(void *arg)
{
    struct racer *racer = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(racer->barrier);
        racer->result[i] = answer(racer->caller, WIDE(PSCI_CPU_ON), racer->target->mpidr,
                                  ENTRY + 4 * racer->caller->id, racer->caller->id);
        pthread_barrier_wait(racer->barrier);
    }
    return NULL;
}

/* Three vCPUs start the fourth: one wins, and it starts where the winner said. */
static void exactly_one_cpu_on_wins(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *target = guest->vcpu[3];
    static struct racer racers[3];
    pthread_barrier_t barrier;
    pthread_t threads[3];

    pthread_barrier_init(&barrier, NULL, 4);
    for (unsigned t = 0; t < 3; t++) {
        racers[t] = (struct racer){.caller = guest->vcpu[t], .target = target, .barrier = &barrier};
        pthread_create(&threads[t], NULL, race_cpu_on, &racers[t]);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned winners = 0;
        unsigned winner = 0;

        atomic_store32_release(&target->power, VCPU_OFF);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        for (unsigned t = 0; t < 3; t++) {
            if (racers[t].result[i] == PSCI_SUCCESS) {
                winners++;
                winner = t;
            } else {
                assert_int_equal(racers[t].result[i], PSCI_ON_PENDING);
            }
        }
        assert_int_equal(winners, 1);
        assert_true(vpsci_start(target));
        assert_int_equal(target->regs.pc, ENTRY + 4 * winner);
        assert_int_equal(target->regs.x[0], winner);
    }
    for (unsigned t = 0; t < 3; t++)
        pthread_join(threads[t], NULL);
    pthread_barrier_destroy(&barrier);
    assert_int_equal(guest->starts, ROUNDS);
}

static void *target_off_and_on(void *arg)
{
    struct vcpu *target = arg;

    for (unsigned i = 0; i < ROUNDS;) {
        if (vpsci_start(target)) {
            assert_int_equal(target->regs.pc, ENTRY);
            assert_int_equal(target->regs.x[0], target->mpidr);
            assert_int_equal(call(target, PSCI_CPU_OFF, 0, 0, 0), TRAP_OFF);
            i++;
        }
    }
    return NULL;
}

/* CPU_ON again and again while the target goes off: each success is one start, none is lost. */
static void cpu_on_against_cpu_off(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *target = guest->vcpu[1];
    unsigned started = 0;
    pthread_t thread;

    pthread_create(&thread, NULL, target_off_and_on, target);
    while (started < ROUNDS) {
        int64_t result = answer(guest->vcpu[0], WIDE(PSCI_CPU_ON), 1, ENTRY, 1);

        if (result == PSCI_SUCCESS)
            started++;
        else
            assert_true(result == PSCI_ALREADY_ON || result == PSCI_ON_PENDING);
        assert_in_range(answer(guest->vcpu[0], WIDE(PSCI_AFFINITY_INFO), 1, 0, 0), 0, 2);
    }
    pthread_join(thread, NULL);
    assert_int_equal(guest->starts, ROUNDS);
    assert_int_equal(target->power, VCPU_OFF);
    assert_int_equal(guest->power_calls, 0);
}

/* Both arrive, spinning, so that they leave as close together as two CPUs can. */
static void meet(uint32_t *arrived, uint32_t *meetings)
{
    ++*meetings;
    atomic_fetch_add32(arrived, 1);
    for (unsigned spins = 0; atomic_load32_acquire(arrived) < 2 * *meetings; spins++) {
        if (spins > 10000)
            sched_yield();
    }
}

struct leaver {
    struct vcpu *vcpu;
    uint32_t *arrived;
};

static void *go_off(void *arg)
{
    struct leaver *leaver = arg;
    struct test_guest *guest = guest_of_vm(leaver->vcpu->vm);
    uint32_t meetings = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_store32_release(&leaver->vcpu->power, VCPU_ON);
        meet(leaver->arrived, &meetings);
        assert_int_equal(call(leaver->vcpu, PSCI_CPU_OFF, 0, 0, 0), TRAP_OFF);
        meet(leaver->arrived, &meetings);
        assert_int_equal(guest->power_calls, i + 1);
        meet(leaver->arrived, &meetings);
    }
    return NULL;
}

/* Both go off at once: exactly one of them is the last. */
static void exactly_one_is_the_last_off(void **state)
{
    struct test_guest *guest = guest_of(state);
    uint32_t arrived = 0;
    struct leaver leavers[2];
    pthread_t threads[2];

    for (unsigned t = 0; t < 2; t++) {
        leavers[t] = (struct leaver){.vcpu = guest->vcpu[t], .arrived = &arrived};
        pthread_create(&threads[t], NULL, go_off, &leavers[t]);
    }
    for (unsigned t = 0; t < 2; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(guest->power_calls, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(features_of_all_functions),
        GUEST_TEST(not_supported),
        GUEST_TEST(cpu_on_checks_its_arguments),
        GUEST_TEST(cpu_on_gives_the_reset_state),
        GUEST_TEST(cpu_on_by_32_bits),
        GUEST_TEST(cpu_off_and_on_again),
        GUEST_TEST(the_last_cpu_off_is_system_off),
        GUEST_TEST(affinity_info),
        GUEST_TEST(system_calls),
        GUEST_TEST(suspend_to_standby),
        GUEST_TEST(suspend_to_power_down),
        GUEST_TEST(suspend_checks_its_arguments),
        GUEST_TEST(exactly_one_cpu_on_wins),
        GUEST_TEST(cpu_on_against_cpu_off),
        GUEST_TEST(exactly_one_is_the_last_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
