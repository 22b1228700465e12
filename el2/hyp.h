/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor as a whole: one instance, in main.c. What belongs to a CPU is in struct cpu, to a
 * VM in struct guest.
 */
#ifndef EL2_HYP_H
#define EL2_HYP_H

#include "core/cpu.h"
#include "core/s2.h"
#include "core/sched.h"
#include "core/smccc.h"
#include "core/vmid.h"
#include "core/vsysreg.h"
#include "el2/boot_fdt.h"
#include "el2/entropy.h"
#include "el2/firmware.h"
#include "el2/gicv3.h"
#include "el2/memory.h"
#include "el2/partition.h"
#include "el2/uart.h"

struct guest;

struct hyp {
    struct boot_machine machine;
    struct partition_list partitions;
    struct memory memory;
    struct gicv3 gic;
    struct firmware firmware;
    struct uart uart;
    volatile void *rtc; /* physical PL031, or NULL */

    struct sched sched;
    struct vmid_allocator vmids;
    struct s2_config s2_config;
    struct smccc_host smccc;
    struct id_profile ids;
    struct trap_controls traps;

    uint64_t frequency;  /* of the counter, Hz */
    struct entropy entropy;

    struct cpu cpus[CPU_MAX];
    uint32_t nr_cpus;  /* numbers in use, whether they came up or not */
    uint32_t boot_cpu; /* number of the CPU that booted; it looks after the console */
    struct guest *guests[PARTITION_MAX];
    uint32_t nr_guests;
    uint32_t guests_alive; /* atomic: running, or about to be started again */
    uint32_t ending;       /* atomic: somebody switches the machine off */
};

extern struct hyp hyp;

/* Print what happened, and switch the machine off. */
_Noreturn void hyp_power_off(void);

#endif
