/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls into the firmware. Which instruction makes them is the device tree's choice; at EL2, HVC
 * means that a hypervisor below this one plays firmware.
 */
#include "el2/firmware.h"

#include "arch/barrier.h"
#include "arch/cache.h"
#include "arch/smc.h"

/* DEN0022, 5.1; DEN0028, 7. */
#define PSCI_VERSION 0x84000000U
#define PSCI_CPU_OFF 0x84000002U
#define PSCI_CPU_ON_64 0xc4000003U
#define PSCI_SYSTEM_OFF 0x84000008U
#define PSCI_SYSTEM_RESET 0x84000009U
#define PSCI_FEATURES 0x8400000aU
#define SMCCC_VERSION 0x80000000U

#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_DENIED (-3)
#define PSCI_ALREADY_ON (-4)
#define PSCI_ON_PENDING (-5)

#define NOT_SUPPORTED (-1)

#define PSCI_1_0 0x10000U
#define PSCI_0_1 1U
#define SMCCC_1_0 0x10000U
#define SMCCC_1_1 0x10001U

/* A call; its first result, of which functions with a 32-bit identifier define the lower half. */
static int32_t call(const struct firmware *fw, uint32_t function, uint64_t a1, uint64_t a2,
                    uint64_t a3)
{
    switch (fw->conduit) {
    case BOOT_CONDUIT_SMC:
        return (int32_t)smc_call(function, a1, a2, a3).x0;
    case BOOT_CONDUIT_HVC:
        return (int32_t)hvc_call(function, a1, a2, a3).x0;
    case BOOT_CONDUIT_NONE:
        break;
    }
    return NOT_SUPPORTED;
}

void firmware_init(struct firmware *fw, const struct boot_psci *psci)
{
    *fw = (struct firmware){
        .conduit = psci->conduit,
        .smccc_version = SMCCC_1_0,
        .cpu_on = PSCI_CPU_ON_64,
        .cpu_off = PSCI_CPU_OFF,
    };
    if (psci->conduit != BOOT_CONDUIT_NONE && psci->v0_2) {
        int32_t version = call(fw, PSCI_VERSION, 0, 0, 0);

        fw->psci_version = version > 0 ? (uint32_t)version : 0;
    } else if (psci->conduit != BOOT_CONDUIT_NONE) {
        fw->psci_version = PSCI_0_1;
        fw->cpu_on = psci->cpu_on;
        fw->cpu_off = psci->cpu_off;
    }
    /* SMCCC_VERSION may be called only if PSCI says that it exists (DEN0028, 7.2). */
    if (fw->psci_version >= PSCI_1_0 && call(fw, PSCI_FEATURES, SMCCC_VERSION, 0, 0) >= 0) {
        int32_t version = call(fw, SMCCC_VERSION, 0, 0, 0);

        fw->smccc_version = version > 0 ? (uint32_t)version : SMCCC_1_0;
    }
    fw->has_smccc = fw->conduit == BOOT_CONDUIT_SMC && fw->smccc_version >= SMCCC_1_1;
}

enum status firmware_cpu_on(const struct firmware *fw, uint64_t mpidr, pa_t entry, uint64_t context)
{
    if (fw->conduit == BOOT_CONDUIT_NONE) {
        return STATUS_UNSUPPORTED;
    }
    dsb_sy(); /* what the new CPU reads first is in memory before it runs */
    switch (call(fw, fw->cpu_on, mpidr, entry.pa, context)) {
    case 0:
        return STATUS_OK;
    case NOT_SUPPORTED:
        return STATUS_UNSUPPORTED;
    case PSCI_INVALID_PARAMETERS:
        return STATUS_NOT_FOUND;
    case PSCI_DENIED:
        return STATUS_DENIED;
    case PSCI_ALREADY_ON:
    case PSCI_ON_PENDING:
        return STATUS_EXISTS;
    default:
        return STATUS_IO;
    }
}

void firmware_cpu_off(const struct firmware *fw)
{
    (void)call(fw, fw->cpu_off, 0, 0, 0);
}

void firmware_spin_table_release(volatile uint64_t *release, pa_t entry)
{
    *release = entry.pa;
    /* The CPU polls with its caches off: the address is in memory before the event wakes it. */
    cache_clean_range(release, sizeof(*release));
    cpu_sev();
}

_Noreturn void firmware_system_off(const struct firmware *fw)
{
    if (fw->psci_version > PSCI_0_1) {
        (void)call(fw, PSCI_SYSTEM_OFF, 0, 0, 0);
    }
    cpu_halt();
}

_Noreturn void firmware_system_reset(const struct firmware *fw)
{
    if (fw->psci_version > PSCI_0_1) {
        (void)call(fw, PSCI_SYSTEM_RESET, 0, 0, 0);
    }
    cpu_halt();
}
