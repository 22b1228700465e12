/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A first sign of life: what machine this is, then a heartbeat by the virtual timer that says how
 * late each beat came. Boot arguments: beats=N (default 5), period= (ms, default 200).
 */

#include "runtime/guest.h"

const char payload_name[] = "hello";

static volatile uint64_t beats;
static uint64_t next, period, late_max;

static void on_timer(uint32_t intid)
{
    uint64_t late = counter_virt() - next;

    (void)intid;
    if (late > late_max) {
        late_max = late;
    }
    next += period;
    write_sysreg(next, cntv_cval_el0);
    isb();
    beats = beats + 1;
}

static void print_machine(void)
{
    print("\nBothy payload: hello from EL%lu on %u CPU(s)\n", FIELD(read_sysreg(CurrentEL), 3, 2),
          machine.nr_cpus);
    print("  MIDR 0x%08lx, MPIDR 0x%lx, PSCI by %s, version 0x%lx\n", read_sysreg(midr_el1),
          read_sysreg(mpidr_el1) & BITS(39, 0), machine.psci_smc ? "SMC" : "HVC",
          (uint64_t)smccc_call(PSCI_VERSION, 0, 0, 0));
    print("  RAM %lu MiB at 0x%lx, timer %lu Hz, bootargs \"%s\"\n", machine.ram_size >> 20,
          machine.ram_base, timer_frequency(), machine.bootargs ? machine.bootargs : "");
}

void payload_main(void)
{
    uint64_t wanted = bootarg_number("beats", 5);
    uint64_t seen = 0;

    print_machine();
    gic_init();
    gic_enable(PPI_VTIMER, on_timer);
    period = timer_from_us(1000u * bootarg_number("period", 200));
    next = counter_virt() + period;
    timer_virt_arm(next);
    while (seen < wanted) {
        /* Masked while looking, so that the beat can't come between the look and the WFI. */
        irq_disable();
        if (beats == seen) {
            wfi();
        }
        irq_enable();
        isb();
        if (beats != seen) {
            seen = beats;
            print("beat %lu of %lu, at most %lu us late\n", seen, wanted, timer_to_us(late_max));
        }
    }
    irq_disable();
    timer_virt_stop();
}
