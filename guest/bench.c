/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the way out of the guest and back costs. Under `-icount shift=0` and a counter of 1 GHz a
 * tick is an instruction; other frequencies are converted to nanoseconds, with their coarseness.
 * Prints `bench <name> <min> <mean> <max>` for each. Boot arguments: rounds=N (default 1000),
 * pages=N for the first touch (default 2048), settle= (ms to wait before, default 0).
 */

#include "runtime/guest.h"

const char payload_name[] = "bench";

extern char bench_vectors[];
extern char bench_wfi_vectors[];
uint64_t bench_hvc(uint64_t function);
uint64_t bench_smc(uint64_t function);
uint64_t bench_id_register(uint64_t unused);
uint64_t bench_read32(uint64_t address);
uint64_t bench_touch(uint64_t address);
uint64_t bench_empty(uint64_t unused);
uint64_t bench_self_sgi(uint64_t sgi1r);
uint64_t bench_timer_spin(uint64_t delay);
uint64_t bench_timer_wfi(uint64_t delay);

static uint64_t to_ns(uint64_t ticks)
{
    uint64_t frequency = timer_frequency();

    return frequency == 1000000000u ? ticks : ticks * 1000u / (frequency / 1000000u);
}

/* `rounds` samples after some to warm up; the argument grows by `step` each time. */
static void measure(const char *name, uint64_t (*sample)(uint64_t), uint64_t arg, uint64_t step,
                    uint64_t rounds)
{
    uint64_t min = UINT64_MAX;
    uint64_t max = 0;
    uint64_t sum = 0;

    for (unsigned i = 0; step == 0 && i < 8; i++) {
        sample(arg);
    }
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t ticks = sample(arg);

        min = ticks < min ? ticks : min;
        max = ticks > max ? ticks : max;
        sum += ticks;
        arg += step;
    }
    print("bench %s %lu %lu %lu\n", name, to_ns(min), to_ns(sum) / rounds, to_ns(max));
}

static uint64_t self_sgi(void)
{
    uint64_t mpidr = read_sysreg(mpidr_el1);

    return FIELD(mpidr, 39, 32) << 48 | FIELD(mpidr, 23, 16) << 32 | FIELD(mpidr, 15, 8) << 16 |
           BIT(FIELD(mpidr, 3, 0)) | UINT64_C(1) << 24;
}

static void set_vectors(const char *table)
{
    write_sysreg((uint64_t)table, vbar_el1);
    isb();
}

static void measure_interrupts(uint64_t rounds)
{
    uint64_t delay = timer_from_us(50);

    gic_init();
    gic_enable(1, NULL);
    gic_enable(PPI_VTIMER, NULL);
    set_vectors(bench_vectors);
    measure("self-sgi", bench_self_sgi, self_sgi(), 0, rounds);
    measure("vtimer-spin", bench_timer_spin, delay, 0, rounds);
    set_vectors(bench_wfi_vectors);
    measure("vtimer-wfi", bench_timer_wfi, delay, 0, rounds);
    set_vectors(vectors);
}

void payload_main(void)
{
    uint64_t rounds = bootarg_number("rounds", 1000);
    uint64_t pages = bootarg_number("pages", 2048);
    uint64_t base = free_ram_base() + MIB(2);

    print("\nBothy payload: bench, %lu rounds, counter at %lu Hz\n", rounds, timer_frequency());
    timer_spin_us(1000u * bootarg_number("settle", 0));
    measure("empty", bench_empty, 0, 0, rounds);
    measure(machine.psci_smc ? "smc-psci-version" : "hvc-psci-version",
            machine.psci_smc ? bench_smc : bench_hvc, PSCI_VERSION, 0, rounds);
    measure("id-register", bench_id_register, 0, 0, rounds);
    measure("gicd-read", bench_read32, machine.gicd + GICD_IIDR, 0, rounds);
    measure("device-read", bench_read32, machine.uart + 0x18, 0, rounds);
    measure_interrupts(rounds);
    if (base + pages * PAGE_SIZE <= free_ram_end()) {
        measure("first-touch", bench_touch, base, PAGE_SIZE, pages);
    }
}
