/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's other CPUs. */
#ifndef EL2_SMP_H
#define EL2_SMP_H

#include "core/cpu.h"

/* Fill in what a CPU is before it runs. */
void smp_init_cpu(struct cpu *cpu, uint32_t id, uint64_t mpidr);

/* From the boot CPU: bring this CPU's own part up, then start all others of the device tree and
 * wait until each is there or has failed. */
void smp_start_all(void);

/* For panic: make the other CPUs stop. */
void smp_stop_others(void);

#endif
