/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PSCI 1.1 (DEN0022E) from the guest's side: every call, its errors, and CPUs that go off and on
 * again. Boot arguments: rounds=N times that each CPU is started (default 100).
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_psci";

#define NO_SUCH_CPU UINT64_C(0x00ff0099)
#define SUSPEND_STANDBY 0u

/* tap_psci_asm.S: what a CPU found at its entry. */
struct entry_state {
    uint64_t context, current_el, daif, sctlr, mpidr, done;
};
extern struct entry_state psci_entry_state;
extern char psci_raw_entry[];

static volatile uint64_t count;
static volatile bool woken;

static void test_version(void)
{
    int64_t version = smccc_call(PSCI_VERSION, 0, 0, 0);

    tap_ok(version >= 0x10001 && version < 0x20000, "PSCI_VERSION is 1.1 or a later 1.x (0x%lx)",
           (uint64_t)version);
}

static void test_features(void)
{
    static const uint32_t supported[] = {PSCI_VERSION,
                                         PSCI_CPU_SUSPEND,
                                         PSCI_32BIT(PSCI_CPU_SUSPEND),
                                         PSCI_CPU_OFF,
                                         PSCI_CPU_ON,
                                         PSCI_32BIT(PSCI_CPU_ON),
                                         PSCI_AFFINITY_INFO,
                                         PSCI_32BIT(PSCI_AFFINITY_INFO),
                                         PSCI_SYSTEM_OFF,
                                         PSCI_SYSTEM_RESET,
                                         PSCI_FEATURES};
    static const uint32_t unknown[] = {0x8400001fu, 0xc400001eu, 0xc4000002u, 0xc4000008u,
                                       0x84000100u, 0xffffffffu, 0u};

    for (unsigned i = 0; i < ARRAY_SIZE(supported); i++) {
        tap_ok(smccc_call(PSCI_FEATURES, supported[i], 0, 0) >= 0, "PSCI_FEATURES knows 0x%08x",
               supported[i]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
        tap_equal((uint64_t)smccc_call(PSCI_FEATURES, unknown[i], 0, 0),
                  (uint64_t)PSCI_NOT_SUPPORTED, "PSCI_FEATURES denies 0x%08x", unknown[i]);
    }
    if (machine_is_bare()) {
        tap_skip("bare", "PSCI_FEATURES knows SMCCC_VERSION and SYSTEM_RESET2");
        return;
    }
    tap_ok(smccc_call(PSCI_FEATURES, SMCCC_VERSION, 0, 0) == 0 &&
               smccc_call(PSCI_FEATURES, PSCI_SYSTEM_RESET2, 0, 0) >= 0 &&
               smccc_call(PSCI_FEATURES, PSCI_32BIT(PSCI_SYSTEM_RESET2), 0, 0) >= 0,
           "PSCI_FEATURES knows SMCCC_VERSION and SYSTEM_RESET2");
}

static void test_errors(void)
{
    uint64_t self = machine.mpidr[0];
    uint64_t entry = (uint64_t)psci_raw_entry;

    tap_equal((uint64_t)smccc_call(PSCI_CPU_ON, NO_SUCH_CPU, entry, 0),
              (uint64_t)PSCI_INVALID_PARAMETERS, "CPU_ON of a CPU that isn't there");
    tap_equal((uint64_t)smccc_call(PSCI_CPU_ON, self, entry, 0), (uint64_t)PSCI_ALREADY_ON,
              "CPU_ON of the caller");
    tap_equal((uint64_t)smccc_call(PSCI_AFFINITY_INFO, self, 0, 0), PSCI_STATE_ON,
              "AFFINITY_INFO of the caller");
    tap_equal((uint64_t)smccc_call(PSCI_AFFINITY_INFO, NO_SUCH_CPU, 0, 0),
              (uint64_t)PSCI_INVALID_PARAMETERS, "AFFINITY_INFO of a CPU that isn't there");
    if (machine_is_bare()) {
        tap_skip("bare", "AFFINITY_INFO at level 4, SYSTEM_RESET2 of a type that isn't there");
    } else {
        tap_equal((uint64_t)smccc_call(PSCI_AFFINITY_INFO, self, 4, 0),
                  (uint64_t)PSCI_INVALID_PARAMETERS, "AFFINITY_INFO at level 4");
        tap_equal((uint64_t)smccc_call(PSCI_SYSTEM_RESET2, 5, 0, 0),
                  (uint64_t)PSCI_INVALID_PARAMETERS, "SYSTEM_RESET2 of a type that isn't there");
    }
    if (machine.nr_cpus > 1 && !machine_is_bare()) {
        tap_equal((uint64_t)smccc_call(PSCI_CPU_ON, machine.mpidr[1], 0x9800000, 0),
                  (uint64_t)PSCI_INVALID_ADDRESS, "CPU_ON at an address without memory");
        tap_equal((uint64_t)smccc_call(PSCI_AFFINITY_INFO, machine.mpidr[1], 0, 0), PSCI_STATE_OFF,
                  "the CPU stays off after that");
    }
    tap_ok(smccc_call(PSCI_MIGRATE, 0, 0, 0) == PSCI_NOT_SUPPORTED, "MIGRATE isn't supported");
}

static bool wait_done(struct entry_state *state)
{
    uint64_t end = counter_virt() + timer_from_us(5000000);
    const volatile uint64_t *done = &state->done;

    do {
        cache_invalidate(state, sizeof(*state));
    } while (*done == 0 && counter_virt() < end);
    return *done != 0;
}

/* The state that section 6.4 promises to a started CPU. */
static void test_entry_state(uint32_t function, uint64_t context)
{
    struct entry_state *state = &psci_entry_state;
    uint64_t target = machine.mpidr[1];

    *state = (struct entry_state){0};
    cache_flush(state, sizeof(*state));
    if (!tap_equal((uint64_t)smccc_call(function, target, (uint64_t)psci_raw_entry, context),
                   PSCI_SUCCESS, "CPU_ON (0x%08x)", function)) {
        return;
    }
    tap_ok(wait_done(state), "it runs");
    while (smccc_call(PSCI_AFFINITY_INFO, target, 0, 0) != PSCI_STATE_OFF) {
        cpu_relax();
    }
    tap_equal(state->context, context, "x0 is the context");
    tap_equal(FIELD(state->current_el, 3, 2), 1, "at EL1");
    tap_equal(FIELD(state->daif, 9, 6), 15, "with interrupts masked");
    tap_equal(state->sctlr & (BIT(0) | BIT(2) | BIT(12)), 0, "with MMU and caches off");
    tap_equal(state->mpidr & BITS(39, 0) & ~BITS(31, 24), target, "on the CPU that was meant");
}

static void count_up(uint64_t arg)
{
    count += arg;
}

static void spin_until_set(uint64_t arg)
{
    const volatile uint64_t *flag = (const volatile uint64_t *)arg;

    while (*flag == 0) {
        cpu_relax();
    }
}

static void test_loops(void)
{
    uint64_t rounds = bootarg_number("rounds", 100);

    for (uint32_t cpu = 1; cpu < machine.nr_cpus; cpu++) {
        uint64_t started = 0;

        count = 0;
        for (uint64_t i = 0; i < rounds; i++) {
            started += cpu_start(cpu, count_up, 1) == PSCI_SUCCESS;
            cpu_wait_off(cpu);
        }
        tap_ok(started == rounds && count == rounds, "cpu %u: %lu times on and off", cpu, rounds);
    }
}

static void test_running_cpu(void)
{
    static volatile uint64_t flag;

    flag = 0;
    cpu_start(1, spin_until_set, (uint64_t)&flag);
    if (machine_is_bare()) {
        tap_skip("bare", "CPU_ON of a CPU that is on its way");
    } else {
        int64_t second = smccc_call(PSCI_CPU_ON, machine.mpidr[1], (uint64_t)psci_raw_entry, 0);

        tap_ok(second == PSCI_ON_PENDING || second == PSCI_ALREADY_ON,
               "CPU_ON of a CPU that is on or on its way (%ld)", second);
    }
    while (smccc_call(PSCI_AFFINITY_INFO, machine.mpidr[1], 0, 0) != PSCI_STATE_ON) {
        cpu_relax();
    }
    tap_equal((uint64_t)smccc_call(PSCI_CPU_ON, machine.mpidr[1], (uint64_t)psci_raw_entry, 0),
              (uint64_t)PSCI_ALREADY_ON, "CPU_ON of a CPU that is on");
    flag = 1;
    cpu_wait_off(1);
    tap_ok(true, "it goes off when asked to");
}

static void on_timer(uint32_t intid)
{
    (void)intid;
    timer_virt_stop();
    woken = true;
}

static void test_suspend(void)
{
    uint64_t wake = counter_virt() + timer_from_us(2000);

    gic_init();
    gic_enable(PPI_VTIMER, on_timer);
    timer_virt_arm(wake);
    tap_equal((uint64_t)smccc_call(PSCI_CPU_SUSPEND, SUSPEND_STANDBY, 0, 0), PSCI_SUCCESS,
              "CPU_SUSPEND to standby comes back");
    tap_ok(counter_virt() >= wake, "woken by the timer, not before");
    irq_enable();
    isb();
    irq_disable();
    tap_ok(woken, "and the interrupt was delivered");
}

void payload_main(void)
{
    test_version();
    test_features();
    test_errors();
    if (machine.nr_cpus > 1) {
        test_entry_state(PSCI_CPU_ON, UINT64_C(0x123456789abcdef0));
        test_entry_state(PSCI_32BIT(PSCI_CPU_ON), 0x12345678);
        test_running_cpu();
        test_loops();
    } else {
        tap_skip("one CPU", "CPU_ON and CPU_OFF");
    }
    test_suspend();
    tap_done();
}
