/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware below EL2: PSCI (DEN0022) over SMC or HVC, and the spin-table start of CPUs.
 */
#ifndef EL2_FIRMWARE_H
#define EL2_FIRMWARE_H

#include "bothy/status.h"
#include "bothy/types.h"
#include "el2/boot_fdt.h"

struct firmware {
    enum boot_conduit conduit;
    uint32_t psci_version;    /* major << 16 | minor; 0 without PSCI, 1 for version 0.1 */
    uint32_t smccc_version;   /* the same; 0x10000 if it can't be asked */
    uint32_t cpu_on, cpu_off; /* function identifiers */
    bool has_smccc;           /* SMCCC 1.1 or later by SMC: smccc_host_discover() may ask */
};

/* Ask for the versions. Without PSCI all that follows answers STATUS_UNSUPPORTED. */
void firmware_init(struct firmware *fw, const struct boot_psci *psci);

/*
 * Start a CPU: it comes up at `entry` in EL2, MMU off, with `context` in x0. STATUS_EXISTS if it
 * runs already or is about to, STATUS_NOT_FOUND if there is no such CPU, STATUS_DENIED if the
 * firmware refuses, STATUS_UNSUPPORTED without PSCI, STATUS_IO for any other failure.
 */
MUST_CHECK enum status firmware_cpu_on(const struct firmware *fw, uint64_t mpidr, pa_t entry,
                                       uint64_t context);

/* Take the calling CPU out of service; returns only if the firmware refuses. */
void firmware_cpu_off(const struct firmware *fw);

/*
 * Start a CPU that spins on a release address (Documentation/arch/arm64/booting.rst): it jumps to
 * `entry` at EL2 with MMU off and nothing in x0. `release` is where cpu-release-addr is mapped.
 */
void firmware_spin_table_release(volatile uint64_t *release, pa_t entry);

/* Switch the machine off or reset it; without a firmware that can, the CPU stops here. */
_Noreturn void firmware_system_off(const struct firmware *fw);
_Noreturn void firmware_system_reset(const struct firmware *fw);

#endif
