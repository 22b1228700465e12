/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to firmware (SMC) and to a hypervisor (HVC), by the SMC calling convention 1.1 and later:
 * the function and up to six arguments in x0..x6, four results, x4..x17 may be clobbered.
 */
#ifndef ARCH_SMC_H
#define ARCH_SMC_H

#include <stdint.h>

struct smc_args {
    uint64_t fn;
    uint64_t a1, a2, a3, a4, a5, a6;
};

struct smc_result {
    uint64_t x0, x1, x2, x3;
};

/* In smc.S. */
void smc_call_asm(const struct smc_args *args, struct smc_result *ret_result);
void hvc_call_asm(const struct smc_args *args, struct smc_result *ret_result);

static inline struct smc_result smc_call_args(const struct smc_args *args)
{
    struct smc_result result;

    smc_call_asm(args, &result);
    return result;
}

static inline struct smc_result hvc_call_args(const struct smc_args *args)
{
    struct smc_result result;

    hvc_call_asm(args, &result);
    return result;
}

static inline struct smc_result smc_call(uint64_t fn, uint64_t a1, uint64_t a2, uint64_t a3)
{
    return smc_call_args(&(struct smc_args){.fn = fn, .a1 = a1, .a2 = a2, .a3 = a3});
}

static inline struct smc_result hvc_call(uint64_t fn, uint64_t a1, uint64_t a2, uint64_t a3)
{
    return hvc_call_args(&(struct smc_args){.fn = fn, .a1 = a1, .a2 = a2, .a3 = a3});
}

#endif
