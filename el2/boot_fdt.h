/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical machine, as the boot loader's device tree states it (Devicetree Specification 0.4,
 * and the bindings of Linux). One pass over the tree, no memory of its own: strings point into
 * the tree, which must stay where it is.
 */
#ifndef EL2_BOOT_FDT_H
#define EL2_BOOT_FDT_H

#include "bothy/status.h"
#include "bothy/types.h"
#include "el2/format.h"

#define BOOT_CPU_MAX 8u /* = CPU_MAX of core/cpu.h, as a test checks */
#define BOOT_MEMORY_MAX 32u
#define BOOT_RESERVED_MAX 64u
#define BOOT_GICR_MAX 8u
#define BOOT_SEED_MAX 64u

struct boot_range {
    pa_t base;
    uint64_t size;
};

enum boot_cpu_method { BOOT_CPU_NONE, BOOT_CPU_PSCI, BOOT_CPU_SPIN_TABLE };

struct boot_cpu {
    uint64_t mpidr; /* affinity fields, as in MPIDR_EL1 */
    pa_t release;   /* BOOT_CPU_SPIN_TABLE: cpu-release-addr */
    enum boot_cpu_method method;
};

enum boot_conduit { BOOT_CONDUIT_NONE, BOOT_CONDUIT_SMC, BOOT_CONDUIT_HVC };

struct boot_psci {
    enum boot_conduit conduit;
    bool v0_2;       /* "arm,psci-0.2" or later: standard function identifiers */
    uint32_t cpu_on; /* of "arm,psci" 0.1, where each firmware has its own identifiers */
    uint32_t cpu_off;
};

/* GICv3 or v4. */
struct boot_gic {
    bool present;
    struct boot_range distributor;
    struct boot_range redistributors[BOOT_GICR_MAX];
    uint32_t nr_redistributors; /* regions, not CPUs */
    uint64_t stride;            /* redistributor-stride, 0: by GICR_TYPER */
    uint32_t maintenance;       /* INTID, 0: not stated */
};

/* INTIDs, 0: not stated. */
struct boot_timer {
    uint32_t phys, virt, hyp;
    uint32_t frequency; /* clock-frequency, 0: CNTFRQ_EL0 says */
};

enum boot_uart_kind { BOOT_UART_NONE, BOOT_UART_PL011, BOOT_UART_SBSA };

struct boot_uart {
    enum boot_uart_kind kind;
    struct boot_range registers;
    uint32_t intid; /* 0: not stated */
};

struct boot_machine {
    uint32_t nr_memory;
    struct boot_range memory[BOOT_MEMORY_MAX]; /* sorted, merged */
    uint32_t nr_reserved;
    struct boot_range reserved[BOOT_RESERVED_MAX]; /* not to be used; the tree itself included */
    uint32_t nr_cpus;
    struct boot_cpu cpus[BOOT_CPU_MAX]; /* in the order of the tree */
    uint32_t nr_cpus_left_out;     /* beyond BOOT_CPU_MAX */
    struct boot_psci psci;
    struct boot_gic gic;
    struct boot_timer timer;
    struct boot_uart uart;
    struct boot_range rtc; /* PL031, size 0: none */
    const char *bootargs;  /* "" if there are none */
    const uint8_t *seed;   /* rng-seed, else kaslr-seed; NULL: none */
    size_t seed_size;
    const char *model; /* "" if not stated */
    const void *fdt;
    size_t fdt_size;
    int chosen; /* offset of /chosen for libfdt, negative: none */
};

/* The length of the tree, or 0 if there is no device tree at fdt. Reads 40 bytes. For mapping it
 * before the real work. */
size_t boot_fdt_size(const void *fdt);

/* fdt: where the tree is mapped, 8-byte aligned; fdt_pa: where it is, reserved too (pa 0: not in
 * memory of this machine, as in an offline check). STATUS_OK if the machine can run guests:
 * memory, a CPU, a GICv3, a timer. Otherwise a sentence was given for each thing that is missing,
 * and *ret_machine holds what was found nevertheless, so that a UART can tell it. STATUS_CORRUPT:
 * it is no device tree, and nothing was found. */
enum status boot_fdt_parse(const void *fdt, size_t fdt_size, pa_t fdt_pa,
                           const struct report *report, struct boot_machine *ret_machine)
    MUST_CHECK;

#endif
