/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to firmware and to a hypervisor: see arch/arm64/include/arch/smc.h. Each is an event. */
#ifndef ARCH_SMC_H
#define ARCH_SMC_H

#include "arch/fake.h"
#include <stdint.h>

struct smc_args {
    uint64_t fn;
    uint64_t a1, a2, a3, a4, a5, a6;
};

struct smc_result {
    uint64_t x0, x1, x2, x3;
};

static inline struct smc_result smc_call_args(const struct smc_args *args)
{
    struct smc_result result;

    fake_smc(false, args, &result);
    return result;
}

static inline struct smc_result hvc_call_args(const struct smc_args *args)
{
    struct smc_result result;

    fake_smc(true, args, &result);
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
