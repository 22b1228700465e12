/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several CPUs on one memory: locks, exclusives, LSE atomics, TLB invalidation by broadcast, and
 * per-CPU state that follows the CPU wherever it runs. Boot arguments: rounds=N (default 2000).
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_smp";

static uint64_t rounds;
static struct lock lock;
static uint64_t locked_count;
static uint32_t exclusive_count, lse_count;
static uint64_t wrong_state;
static struct meeting meeting;

static void count_locked(uint64_t arg)
{
    (void)arg;
    for (uint64_t i = 0; i < rounds; i++) {
        lock_acquire(&lock);
        *(volatile uint64_t *)&locked_count += 1;
        lock_release(&lock);
    }
}

static void count_exclusive(uint64_t arg)
{
    (void)arg;
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t value;
        uint32_t failed;

        __asm__ volatile("1: ldaxr %w0, [%2]\n"
                         "add %w0, %w0, #1\n"
                         "stlxr %w1, %w0, [%2]\n"
                         "cbnz %w1, 1b"
                         : "=&r"(value), "=&r"(failed)
                         : "r"(&exclusive_count)
                         : "memory");
    }
}

static void count_lse(uint64_t arg)
{
    (void)arg;
    for (uint64_t i = 0; i < rounds; i++) {
        register uint64_t x0 __asm__("x0") = (uint64_t)&lse_count;
        register uint64_t x1 __asm__("x1") = 1;
        register uint64_t x2 __asm__("x2");

        __asm__ volatile(".inst 0xb8e10002" /* ldaddal w1, w2, [x0] */
                         : "=r"(x2)
                         : "r"(x0), "r"(x1)
                         : "memory");
    }
}

static void join(uint64_t arg)
{
    (void)arg;
    for (uint64_t i = 0; i < rounds / 40; i++) {
        meeting_join(&meeting, machine.nr_cpus);
    }
}

/* A page that changes under a fixed address; the others must follow at once. */
static uint64_t pages[2][512] __attribute__((aligned(4096)));
static volatile uint64_t window, wanted;
static uint64_t stale;

static void watch_window(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (cpu_id() == 0) {
            pages[i % 2][0] = i;
            window = mmu_window((uint64_t)pages[i % 2], MMU_NORMAL);
            wanted = i;
        }
        meeting_join(&meeting, machine.nr_cpus);
        if (*(volatile uint64_t *)window != wanted) {
            __atomic_add_fetch(&stale, 1, __ATOMIC_RELAXED);
        }
        meeting_join(&meeting, machine.nr_cpus);
    }
}

/* Registers that belong to this CPU alone. */
static void own_state(uint64_t count)
{
    uint64_t mark = UINT64_C(0x1001001001) * (cpu_id() + 1);
    uint64_t mpidr = read_sysreg(mpidr_el1);
    uint64_t wrong = 0;
    uint64_t last = counter_virt();

    write_sysreg(mark, tpidr_el0);
    write_sysreg(mark + 1, tpidrro_el0);
    write_sysreg(mark + 2, contextidr_el1);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t now;

        if (i % 16 == 0) {
            smccc_call(PSCI_VERSION, 0, 0, 0);
        }
        timer_spin_us(20);
        now = counter_virt();
        wrong += read_sysreg(tpidr_el0) != mark || read_sysreg(tpidrro_el0) != mark + 1 ||
                 (read_sysreg(contextidr_el1) & UINT32_MAX) != ((mark + 2) & UINT32_MAX) ||
                 read_sysreg(mpidr_el1) != mpidr || now < last;
        last = now;
    }
    __atomic_add_fetch(&wrong_state, wrong, __ATOMIC_RELAXED);
}

void payload_main(void)
{
    uint64_t cpus = machine.nr_cpus;

    rounds = bootarg_number("rounds", 2000);
    cpu_run_all(count_locked, 0);
    tap_equal(locked_count, cpus * rounds, "%lu CPUs count under a lock", cpus);
    cpu_run_all(count_exclusive, 0);
    tap_equal(exclusive_count, cpus * rounds, "and by exclusives");
    if (FIELD(read_sysreg(id_aa64isar0_el1), 23, 20) >= 2) {
        cpu_run_all(count_lse, 0);
        tap_equal(lse_count, cpus * rounds, "and by LSE atomics");
    } else {
        tap_skip("no LSE", "and by LSE atomics");
    }
    cpu_run_all(join, 0);
    tap_ok(true, "they meet %lu times", rounds / 40);
    cpu_run_all(watch_window, 40);
    tap_equal(stale, 0, "a page that is mapped anew is seen anew by all");
    cpu_run_all(own_state, rounds / 10);
    tap_equal(wrong_state, 0, "each keeps its own registers, and its counter goes forward");
    tap_done();
}
