/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMC Calling Convention 1.2 (Arm DEN0028) towards a guest: one dispatch for HVC and for trapped
 * SMC. Both conduits answer the same calls; whatever is not listed is NOT_SUPPORTED.
 */
#ifndef CORE_SMCCC_H
#define CORE_SMCCC_H

#include "bothy/bits.h"
#include "bothy/types.h"
#include "core/trap_result.h"
#include "core/vcpu.h"

#define SMCCC_SUCCESS 0
#define SMCCC_NOT_SUPPORTED (-1)
#define SMCCC_NOT_REQUIRED (-2)
#define SMCCC_INVALID_PARAMETER (-3)

#define SMCCC_VERSION 0x80000000u
#define SMCCC_ARCH_FEATURES 0x80000001u
#define SMCCC_ARCH_SOC_ID 0x80000002u
#define SMCCC_ARCH_WORKAROUND_1 0x80008000u
#define SMCCC_ARCH_WORKAROUND_2 0x80007fffu
#define SMCCC_ARCH_WORKAROUND_3 0x80003fffu

#define SMCCC_VERSION_1_2 0x00010002u

#define SMCCC_INSTRUCTION 4u /* bytes of HVC and SMC */

#define SMCCC_64BIT BIT(30) /* in a function identifier: arguments are 64 bits wide */

/* What ARCH_FEATURES says of a work-around, DEN0028 7.3: as a guest is told it. */
enum smccc_workaround {
    SMCCC_WA_ABSENT = -1,    /* no call, or not known: the guest must look after itself */
    SMCCC_WA_NEEDED = 0,     /* the call is there and this machine needs it */
    SMCCC_WA_NOT_NEEDED = 1, /* safe without, or permanently mitigated */
};

/* The firmware's work-around calls, the same for the whole system; vm->smccc points at it. */
struct smccc_host {
    int32_t workaround_1; /* Spectre v2: enum smccc_workaround */
    int32_t workaround_2; /* Spectre v4: never SMCCC_WA_NEEDED, see smccc_host_discover() */
    int32_t workaround_3; /* Spectre BHB */
};

/*
 * Asks the firmware. To be called once at boot and, since the answers may differ between kinds of
 * cores, once more on each other CPU into a struct of its own that smccc_host_merge() adds.
 * firmware_has_smccc: PSCI is by SMC and PSCI_FEATURES knows SMCCC_VERSION, which is 1.1 or later;
 * false leaves all of them absent. Must run at EL2.
 *
 * A work-around 2 that the firmware offers to switch is on from reset, and Bothy never turns it
 * off: guests are told that it isn't needed.
 */
void smccc_host_discover(struct smccc_host *ret_host, bool firmware_has_smccc);

/* Makes *host what holds for all CPUs: needed by one is needed, absent on one is absent. */
void smccc_host_merge(struct smccc_host *host, const struct smccc_host *other);

/*
 * The guest executed HVC (EC 0x16); PC is behind it. Writes the results to x0..x3; x4..x30 are
 * preserved (DEN0028 2.6). Returns TRAP_RESUME, TRAP_WAIT (CPU_SUSPEND; PC was moved back so that
 * the caller's "go on behind it" holds as for WFI) or TRAP_OFF.
 */
enum trap_result smccc_hvc(struct vcpu *vcpu, uint64_t esr);

/* The guest executed SMC (EC 0x17, HCR_EL2.TSC); PC is at it. TRAP_NEXT, TRAP_WAIT or TRAP_OFF. */
enum trap_result smccc_smc(struct vcpu *vcpu, uint64_t esr);

/* A call's argument in x<n>, n at most 7: 32 bits of it if the function identifier says so. */
static inline uint64_t smccc_arg(const struct vcpu *vcpu, uint32_t function, unsigned n)
{
    return (function & SMCCC_64BIT) ? vcpu->regs.x[n] : (uint32_t)vcpu->regs.x[n];
}

/*
 * Results. An error code is sign-extended also for 32-bit calls: only W0 counts there, and some
 * callers compare X0 with -1.
 */
static inline void smccc_return(struct vcpu *vcpu, int64_t x0)
{
    vcpu->regs.x[0] = (uint64_t)x0;
}

static inline void smccc_return4(struct vcpu *vcpu, int64_t x0, uint64_t x1, uint64_t x2,
                                 uint64_t x3)
{
    vcpu->regs.x[0] = (uint64_t)x0;
    vcpu->regs.x[1] = x1;
    vcpu->regs.x[2] = x2;
    vcpu->regs.x[3] = x3;
}

#endif
