/* SPDX-License-Identifier: Apache-2.0 */
/* PSCI: power and the other CPUs. */

#include "psci.h"

#include "arm.h"
#include "console.h"
#include "gic.h"
#include "machine.h"
#include "mmu.h"

static struct {
    void (*fn)(uint64_t arg);
    uint64_t arg;
    bool running;
} jobs[CPU_MAX];

extern char secondary_entry[];
void cpu_start_secondary(uint64_t cpu);

int64_t smccc_call(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
    struct smccc_regs regs = {.x = {function, a1, a2, a3}};

    if (machine.psci_smc) {
        smccc_smc(&regs);
    } else {
        smccc_hvc(&regs);
    }
    return (int64_t)regs.x[0];
}

uint32_t cpu_id(void)
{
    return (uint32_t)read_sysreg(tpidr_el1);
}

int64_t cpu_start(uint32_t cpu, void (*fn)(uint64_t arg), uint64_t arg)
{
    int64_t result;

    jobs[cpu].fn = fn;
    jobs[cpu].arg = arg;
    __atomic_store_n(&jobs[cpu].running, true, __ATOMIC_RELEASE);
    /* The new CPU reads its job with the MMU on, but its first steps run uncached. */
    cache_flush(&jobs[cpu], sizeof(jobs[cpu]));
    result = smccc_call(PSCI_CPU_ON, machine.mpidr[cpu], (uint64_t)secondary_entry, cpu);
    if (result != PSCI_SUCCESS) {
        __atomic_store_n(&jobs[cpu].running, false, __ATOMIC_RELEASE);
    }
    return result;
}

/* The first C of a secondary CPU. */
void cpu_start_secondary(uint64_t cpu)
{
    mmu_on();
    jobs[cpu].fn(jobs[cpu].arg);
    irq_disable();
    __atomic_store_n(&jobs[cpu].running, false, __ATOMIC_RELEASE);
    smccc_call(PSCI_CPU_OFF, 0, 0, 0);
    payload_panic("CPU_OFF came back");
}

void cpu_wait_off(uint32_t cpu)
{
    while (__atomic_load_n(&jobs[cpu].running, __ATOMIC_ACQUIRE)) {
        cpu_relax();
    }
    while (smccc_call(PSCI_AFFINITY_INFO, machine.mpidr[cpu], 0, 0) != PSCI_STATE_OFF) {
        cpu_relax();
    }
}

void cpu_run_all(void (*fn)(uint64_t arg), uint64_t arg)
{
    for (uint32_t cpu = 0; cpu < machine.nr_cpus; cpu++) {
        int64_t result = cpu == cpu_id() ? 0 : cpu_start(cpu, fn, arg);

        if (result != PSCI_SUCCESS) {
            payload_panic("CPU_ON of cpu %u says %ld", cpu, result);
        }
    }
    fn(arg);
    for (uint32_t cpu = 0; cpu < machine.nr_cpus; cpu++) {
        if (cpu != cpu_id()) {
            cpu_wait_off(cpu);
        }
    }
}

void system_off(void)
{
    smccc_call(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;) {
        wfi();
    }
}

void system_reset(void)
{
    smccc_call(PSCI_SYSTEM_RESET, 0, 0, 0);
    for (;;) {
        wfi();
    }
}
