/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for the scheduler, the same on all CPUs. Boot arguments: kind=yield (YIELD, and WFE with an
 * event stream), spin (the CPUs hand a lock around), sleep (WFI until a timer, every period= us,
 * default 1000) or hot (computes without ever leaving the guest by itself); seconds=N (default 5);
 * report= ms between lines (default 500). Prints, with the CPU's own count of its steps:
 *   mix <kind> cpu=<n> ms=<since start> steps=<n> gap_us=<longest time without a step>
 *   mix <kind> total cpu=<n> steps=<n> gap_us=<n> late_us=<n, sleep only>
 */

#include "runtime/guest.h"

const char payload_name[] = "mix";

#define CNTKCTL_EVNTEN BIT(2)

struct progress {
    uint64_t steps, longest_gap, longest_late;
    uint8_t pad[40]; /* a cache line each */
};

static struct progress progress[CPU_MAX];
static uint64_t started, deadline, report_every, period;
static uint32_t baton;
static char kind[8];

static void step_yield(struct progress *own)
{
    (void)own;
    cpu_relax();
    wfe();
}

/* Waits its turn, but not for ever: the others may be off the CPU. */
static void step_spin(struct progress *own)
{
    uint64_t end = counter_virt() + timer_from_us(10000);
    uint32_t self = cpu_id();

    (void)own;
    while (__atomic_load_n(&baton, __ATOMIC_ACQUIRE) != self && counter_virt() < end) {
        cpu_relax();
    }
    __atomic_store_n(&baton, (self + 1) % machine.nr_cpus, __ATOMIC_RELEASE);
}

static void on_timer(uint32_t intid)
{
    (void)intid;
    /* One that was still in a list register when the timer was set anew is none of this wait. */
    if ((read_sysreg(cntv_ctl_el0) & TIMER_ISTATUS) != 0) {
        timer_virt_stop();
    }
}

static void step_sleep(struct progress *own)
{
    uint64_t wake = counter_virt() + period;
    uint64_t late;

    timer_virt_arm(wake);
    while (counter_virt() < wake) {
        wfi();
        irq_enable();
        isb();
        irq_disable();
    }
    late = counter_virt() - wake;
    if (late > own->longest_late) {
        own->longest_late = late;
    }
}

static void step_hot(struct progress *own)
{
    uint64_t state = own->steps + 1;

    for (unsigned i = 0; i < 1000; i++) {
        random_next(&state);
        __asm__ volatile("" ::"r"(state));
    }
}

static const struct {
    const char *name;
    void (*step)(struct progress *own);
} kinds[] = {{"yield", step_yield}, {"spin", step_spin}, {"sleep", step_sleep}, {"hot", step_hot}};

static void report(const struct progress *own, uint64_t now)
{
    print("mix %s cpu=%u ms=%lu steps=%lu gap_us=%lu\n", kind, cpu_id(),
          timer_to_us(now - started) / 1000, own->steps, timer_to_us(own->longest_gap));
}

static void work(uint64_t index)
{
    struct progress *own = &progress[cpu_id()];
    uint64_t last = counter_virt();
    uint64_t next_report = last + report_every;

    if (cpu_id() != 0) {
        gic_init_cpu();
    }
    gic_enable(PPI_VTIMER, on_timer);
    /* An event every 2^(9+1) counts or so. */
    write_sysreg(CNTKCTL_EVNTEN | UINT64_C(9) << 4, cntkctl_el1);
    isb();
    while (last < deadline) {
        uint64_t now;

        kinds[index].step(own);
        own->steps++;
        now = counter_virt();
        if (now - last > own->longest_gap) {
            own->longest_gap = now - last;
        }
        last = now;
        if (now >= next_report) {
            next_report = now + report_every;
            report(own, now);
            last = counter_virt(); /* the printing isn't a gap */
        }
    }
}

void payload_main(void)
{
    uint64_t index = 0;

    bootarg_string("kind", kind, sizeof(kind));
    while (index < ARRAY_SIZE(kinds) && !string_equal(kind, kinds[index].name)) {
        index++;
    }
    if (index == ARRAY_SIZE(kinds)) {
        payload_panic("kind=%s is unknown", kind);
    }
    period = timer_from_us(bootarg_number("period", 1000));
    report_every = timer_from_us(1000 * bootarg_number("report", 500));
    gic_init();
    started = counter_virt();
    deadline = started + timer_from_us(1000000 * bootarg_number("seconds", 5));
    cpu_run_all(work, index);
    for (uint32_t cpu = 0; cpu < machine.nr_cpus; cpu++) {
        print("mix %s total cpu=%u steps=%lu gap_us=%lu late_us=%lu\n", kind, cpu,
              progress[cpu].steps, timer_to_us(progress[cpu].longest_gap),
              timer_to_us(progress[cpu].longest_late));
    }
}
