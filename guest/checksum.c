/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Computes what is known: integers, floating point, and a walk over memory, on all CPUs, so that
 * anything that leaks into this guest shows. Boot arguments: rounds=N (default 10), seconds=N
 * instead, megabytes=N of memory to walk (default 8, shared among the CPUs). Prints
 * `checksum round <n> ok` now and then, and `checksum result ok|bad rounds=N bad=N` at the end.
 */

#include "runtime/guest.h"

const char payload_name[] = "checksum";

#define INTEGER_STEPS 100000u
#define INTEGER_ANSWER UINT64_C(0xed36af61b0124f72)
#define FP_ANSWER UINT64_C(0x2cc4ce84ef5ce76c)

uint64_t fp_compute(uint64_t seed);

static uint64_t rounds, deadline, slice;
static uint64_t bad_integer, bad_fp, bad_memory, rounds_done;

static uint64_t compute_integers(void)
{
    uint64_t state = UINT64_C(0x0123456789abcdef);
    uint64_t sum = 0;

    for (unsigned i = 0; i < INTEGER_STEPS; i++) {
        uint64_t value = random_next(&state);

        sum = (sum << 7 | sum >> 57) ^ value;
        sum += value % 1000003u;
    }
    return sum;
}

/* Writes this CPU's slice of memory, or checks what the last round has written. */
static uint64_t walk(uint64_t base, uint64_t round, bool check)
{
    uint64_t state = round << 8 | (cpu_id() + 1);
    uint64_t bad = 0;

    for (uint64_t at = base; at < base + slice; at += 64) {
        uint64_t value = random_next(&state);

        if (check) {
            bad += read64(at) != value || read64(at + 56) != ~value;
        } else {
            write64(at, value);
            write64(at + 56, ~value);
        }
    }
    return bad;
}

static void add(uint64_t *sum, uint64_t value)
{
    __atomic_add_fetch(sum, value, __ATOMIC_RELAXED);
}

static void work(uint64_t arg)
{
    uint64_t base = free_ram_base() + MIB(2) + cpu_id() * slice;
    uint64_t last_print = counter_virt();
    uint64_t round = 0;

    (void)arg;
    walk(base, 0, false);
    while (round < rounds && counter_virt() < deadline) {
        add(&bad_integer, compute_integers() != INTEGER_ANSWER);
        add(&bad_fp, fp_compute(12345) != FP_ANSWER);
        add(&bad_memory, walk(base, round, true));
        round++;
        walk(base, round, false);
        if (cpu_id() == 0 && counter_virt() - last_print > timer_frequency()) {
            last_print = counter_virt();
            print("checksum round %lu %s\n", round,
                  bad_integer + bad_fp + bad_memory == 0 ? "ok" : "bad");
        }
    }
    add(&bad_memory, walk(base, round, true));
    add(&rounds_done, round);
}

void payload_main(void)
{
    uint64_t seconds = bootarg_number("seconds", 0);
    uint64_t size = bootarg_number("megabytes", 8) << 20;
    uint64_t room = free_ram_end() - free_ram_base() - MIB(2);
    uint64_t bad;

    rounds = seconds != 0 ? UINT64_MAX : bootarg_number("rounds", 10);
    deadline = seconds != 0 ? counter_virt() + timer_from_us(1000000 * seconds) : UINT64_MAX;
    slice = (size < room ? size : room) / machine.nr_cpus & ~UINT64_C(4095);
    print("checksum: %u CPU(s), %lu KiB each\n", machine.nr_cpus, slice >> 10);
    cpu_run_all(work, 0);
    bad = bad_integer + bad_fp + bad_memory;
    if (bad != 0) {
        print("checksum bad: integers %lu, floating point %lu, memory %lu\n", bad_integer, bad_fp,
              bad_memory);
    }
    print("checksum result %s rounds=%lu bad=%lu\n", bad == 0 ? "ok" : "bad", rounds_done, bad);
}
