/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See smp.h. CPUs are numbered by their place in the device tree. One that doesn't come is told
 * and left out: the machine runs with those that did.
 */
#include "el2/smp.h"

#include "arch/barrier.h"
#include "arch/cache.h"
#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "el2/asm_layout.h"
#include "el2/console.h"
#include "el2/hyp.h"
#include "el2/main.h"
#include "el2/run.h"
#include "el2/switch.h"

#define MPIDR_AFFINITY (MPIDR_EL1_AFF3 | MPIDR_EL1_AFF2 | MPIDR_EL1_AFF1 | MPIDR_EL1_AFF0)
#define START_TIMEOUT_SECONDS 5u

struct spin_slot {
    uint64_t mpidr;
    struct cpu *cpu;
};

extern char secondary_entry[], spin_entry[];

/* For entry.S: read with the MMU off, by CPUs that come from a spin table. */
struct spin_slot boot_spin_table[CPU_SLOTS];

_Static_assert(CPU_SLOTS == CPU_MAX, "entry.S searches as many as there are");
_Static_assert(offsetof(struct cpu, stack_top) == 0, "entry.S and vectors.S read it");

void smp_init_cpu(struct cpu *cpu, uint32_t id, uint64_t mpidr)
{
    *cpu = (struct cpu){
        .id = id,
        .mpidr = mpidr & MPIDR_AFFINITY,
        .slice_end = SCHED_NEVER,
        .next_wake = SCHED_NEVER,
        .timer_at = SCHED_NEVER,
    };
}

/* The part that each CPU does for itself. */
static bool init_this_cpu(struct cpu *cpu)
{
    uint32_t ppis = (uint32_t)(BIT(GICV3_SGI_KICK) | BIT(GICV3_PPI_MAINTENANCE) |
                               BIT(GICV3_PPI_HYP_TIMER) | BIT(GICV3_PPI_VIRT_TIMER));

    switch_init_cpu();
    enum status status = gicv3_cpu_init(&hyp.gic, cpu->id, cpu->mpidr, ppis);

    if (status != STATUS_OK) {
        console_printf("CPU %u has no usable interrupt controller: %s", cpu->id,
                       status_name(status));
        return false;
    }
    sched_add_cpu(&hyp.sched, cpu);
    /* Release: whoever sees it online sees its GIC and stack. */
    __atomic_store_n(&cpu->online, true, __ATOMIC_RELEASE);
    return true;
}

/* Where cores differ, guests see what all of them have. CPUs come up one by one. */
static void merge_features(void)
{
    struct id_profile ids;
    struct smccc_host smccc;

    id_profile_init(&ids, hyp.s2_config.ipa_bits);
    id_profile_merge(&hyp.ids, &ids);
    smccc_host_discover(&smccc, hyp.firmware.has_smccc);
    smccc_host_merge(&hyp.smccc, &smccc);
}

void el2_secondary_main(struct cpu *cpu)
{
    write_tpidr_el2((uint64_t)(uintptr_t)cpu);
    merge_features();
    if (init_this_cpu(cpu))
        run_first();
    for (;;)
        cpu_wfi();
}

/* Let go of one CPU, by whichever way the device tree has for it. */
static enum status release(struct cpu *cpu, const struct boot_cpu *boot)
{
    if (boot->method == BOOT_CPU_PSCI)
        return firmware_cpu_on(&hyp.firmware, cpu->mpidr, memory_pa(&hyp.memory, secondary_entry),
                               (uint64_t)(uintptr_t)cpu);
    if (boot->method == BOOT_CPU_SPIN_TABLE) {
        boot_spin_table[cpu->id] = (struct spin_slot){cpu->mpidr, cpu};
        cache_clean_range(boot_spin_table, sizeof(boot_spin_table));

        void *window = memory_window_map(&hyp.memory, 0, 0, boot->release, true);

        firmware_spin_table_release(window, memory_pa(&hyp.memory, spin_entry));
        memory_window_unmap(&hyp.memory, 0, 0);
        return STATUS_OK;
    }
    return STATUS_UNSUPPORTED;
}

static bool wait_online(const struct cpu *cpu)
{
    uint64_t start = read_cntpct_el0();

    while (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE)) {
        if (read_cntpct_el0() - start > START_TIMEOUT_SECONDS * hyp.frequency)
            return false;
        cpu_relax();
    }
    return true;
}

static void start_one(uint32_t id, const struct boot_cpu *boot)
{
    struct cpu *cpu = &hyp.cpus[id];

    smp_init_cpu(cpu, id, boot->mpidr);
    cpu->stack_top = (uint64_t)(uintptr_t)memory_alloc_stack(&hyp.memory);

    enum status status = release(cpu, boot);

    if (status != STATUS_OK)
        console_printf("CPU %u (MPIDR %llx) does not start: %s", id,
                       (unsigned long long)boot->mpidr, status_name(status));
    else if (!wait_online(cpu))
        console_printf("CPU %u (MPIDR %llx) was started and did not come", id,
                       (unsigned long long)boot->mpidr);
}

void smp_start_all(void)
{
    struct cpu *first = cpu_this();

    first->stack_top = (uint64_t)(uintptr_t)memory_alloc_stack(&hyp.memory);
    init_this_cpu(first);
    hyp.nr_cpus = MIN(hyp.machine.nr_cpus, (uint32_t)CPU_MAX);
    for (uint32_t i = 0; i < hyp.nr_cpus; i++) {
        if (i != first->id)
            start_one(i, &hyp.machine.cpus[i]);
    }
    memory_drop_identity(&hyp.memory);
}

void smp_stop_others(void)
{
    /* Each CPU that takes an exit or is idle finds this; one that spins in EL2 does not. */
    atomic_store32_relaxed(&hyp.ending, 1);
    for (uint32_t i = 0; i < hyp.nr_cpus; i++) {
        if (&hyp.cpus[i] != cpu_this() && hyp.cpus[i].online)
            gicv3_send_sgi(hyp.cpus[i].mpidr, GICV3_SGI_KICK);
    }
}
