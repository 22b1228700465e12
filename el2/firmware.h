/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware below EL2: PSCI (DEN0022) over SMC or HVC, the spin-table start of CPUs, and the
 * SMCCC (DEN0028) discovery of the work-arounds for speculation attacks.
 */
#ifndef EL2_FIRMWARE_H
#define EL2_FIRMWARE_H

#include "bothy/status.h"
#include "bothy/types.h"

enum firmware_conduit {
    FIRMWARE_NONE, /* the device tree has no PSCI node */
    FIRMWARE_SMC,
    FIRMWARE_HVC,
};

struct firmware {
    enum firmware_conduit conduit;
    uint32_t psci_version;  /* major << 16 | minor; 0 without PSCI */
    uint32_t smccc_version; /* the same; 0x10000 if it can't be asked */
    /* What SMCCC_ARCH_FEATURES answered for each: 0 needed and there, 1 not needed on this CPU,
     * negative: not known. */
    int32_t workaround_1, workaround_2, workaround_3;
};

/* Ask for versions and work-arounds. STATUS_UNSUPPORTED if PSCI is older than 0.2. */
MUST_CHECK enum status firmware_init(struct firmware *fw, enum firmware_conduit conduit);

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
