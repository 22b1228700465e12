/* SPDX-License-Identifier: Apache-2.0 */
/* TLB invalidation: see arch/arm64/include/arch/tlbi.h. Each is an event. */
#ifndef ARCH_TLBI_H
#define ARCH_TLBI_H

#include "arch/fake.h"
#include <stdint.h>

static inline void tlbi_ipas2e1is(uint64_t arg)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_IPAS2E1IS, arg, 0);
}

static inline void tlbi_ipas2le1is(uint64_t arg)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_IPAS2LE1IS, arg, 0);
}

static inline void tlbi_ripas2e1is(uint64_t arg)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_RIPAS2E1IS, arg, 0);
}

static inline void tlbi_vmalle1is(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_VMALLE1IS, 0, 0);
}

static inline void tlbi_vmalle1(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_VMALLE1, 0, 0);
}

static inline void tlbi_vmalls12e1is(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_VMALLS12E1IS, 0, 0);
}

static inline void tlbi_vmalls12e1(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_VMALLS12E1, 0, 0);
}

static inline void tlbi_alle1is(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_ALLE1IS, 0, 0);
}

static inline void tlbi_alle1(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_ALLE1, 0, 0);
}

static inline void tlbi_alle2is(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_ALLE2IS, 0, 0);
}

static inline void tlbi_alle2(void)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_ALLE2, 0, 0);
}

static inline void tlbi_vae2is(uint64_t arg)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_VAE2IS, arg, 0);
}

static inline void tlbi_vae2(uint64_t arg)
{
    fake_log_add(FAKE_TLBI, FAKE_TLBI_VAE2, arg, 0);
}

#endif
