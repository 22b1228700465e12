/* SPDX-License-Identifier: Apache-2.0 */
/* SMC Calling Convention and PSCI, by HVC or SMC as the device tree says. */
#ifndef RUNTIME_PSCI_H
#define RUNTIME_PSCI_H

#include "base.h"

#define PSCI_VERSION 0x84000000u
#define PSCI_CPU_SUSPEND 0xc4000001u
#define PSCI_CPU_OFF 0x84000002u
#define PSCI_CPU_ON 0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define PSCI_MIGRATE 0xc4000005u
#define PSCI_MIGRATE_INFO_TYPE 0x84000006u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
#define PSCI_FEATURES 0x8400000au
#define PSCI_CPU_FREEZE 0x8400000bu
#define PSCI_SYSTEM_SUSPEND 0xc400000eu
#define PSCI_SYSTEM_RESET2 0xc4000012u
#define PSCI_32BIT(function) ((function) & ~0x40000000u)

#define PSCI_SUCCESS 0
#define PSCI_NOT_SUPPORTED (-1)
#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_DENIED (-3)
#define PSCI_ALREADY_ON (-4)
#define PSCI_ON_PENDING (-5)
#define PSCI_INVALID_ADDRESS (-9)

#define PSCI_STATE_ON 0
#define PSCI_STATE_OFF 1
#define PSCI_STATE_PENDING 2

#define SMCCC_VERSION 0x80000000u
#define SMCCC_ARCH_FEATURES 0x80000001u
#define SMCCC_ARCH_WORKAROUND_1 0x80008000u
#define SMCCC_ARCH_WORKAROUND_2 0x80007fffu
#define SMCCC_ARCH_WORKAROUND_3 0x80003fffu
#define PV_TIME_FEATURES 0xc5000020u
#define PV_TIME_ST 0xc5000021u
#define TRNG_VERSION 0x84000050u
#define TRNG_FEATURES 0x84000051u
#define TRNG_GET_UUID 0x84000052u
#define TRNG_RND32 0x84000053u
#define TRNG_RND64 0xc4000053u

/* x0..x17 in and out. smccc.S */
struct smccc_regs {
    uint64_t x[18];
};

void smccc_hvc(struct smccc_regs *regs);
void smccc_smc(struct smccc_regs *regs);

/* By the conduit of the device tree; x0 of the answer. */
int64_t smccc_call(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3);

/* Starts a CPU at a C function with its own stack, MMU on, vectors set, interrupts masked. When
 * fn returns, the CPU turns itself off. Returns PSCI's answer. */
int64_t cpu_start(uint32_t cpu, void (*fn)(uint64_t arg), uint64_t arg);

/* Waits until fn has returned and PSCI says OFF. */
void cpu_wait_off(uint32_t cpu);

/* Runs fn on every CPU including this one, and waits for all. */
void cpu_run_all(void (*fn)(uint64_t arg), uint64_t arg);

/* The calling CPU's number, in device tree order. */
uint32_t cpu_id(void);

void system_off(void) __attribute__((noreturn));
void system_reset(void) __attribute__((noreturn));

#endif
