/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache maintenance: see arch/arm64/include/arch/cache.h. Each is an event, and a range is one
 * event, so that logs stay short.
 */
#ifndef ARCH_CACHE_H
#define ARCH_CACHE_H

#include "arch/barrier.h"
#include "arch/fake.h"
#include "arch/sysreg.h"
#include "bothy/string.h"
#include <stddef.h>
#include <stdint.h>

static inline void dc_civac(const volatile void *at)
{
    fake_log_add(FAKE_DC, FAKE_DC_CIVAC, (uintptr_t)at, 0);
}

static inline void dc_cvac(const volatile void *at)
{
    fake_log_add(FAKE_DC, FAKE_DC_CVAC, (uintptr_t)at, 0);
}

static inline void dc_cvau(const volatile void *at)
{
    fake_log_add(FAKE_DC, FAKE_DC_CVAU, (uintptr_t)at, 0);
}

static inline void dc_ivac(const volatile void *at)
{
    fake_log_add(FAKE_DC, FAKE_DC_IVAC, (uintptr_t)at, 0);
}

static inline void ic_ialluis(void)
{
    fake_log_add(FAKE_IC, FAKE_IC_IALLUIS, 0, 0);
}

static inline void ic_iallu(void)
{
    fake_log_add(FAKE_IC, FAKE_IC_IALLU, 0, 0);
}

/* The smallest data cache line of this CPU. */
static inline size_t cache_line_size(void)
{
    return (size_t)4 << FIELD_GET(CTR_EL0_DMINLINE, read_ctr_el0());
}

/* The block that dc_zva() zeroes, or 0 if it may not be used. */
static inline size_t cache_zva_size(void)
{
    uint64_t dczid = read_dczid_el0();

    if ((dczid & DCZID_EL0_DZP) != 0) {
        return 0;
    }
    return (size_t)4 << FIELD_GET(DCZID_EL0_BS, dczid);
}

static inline void dc_zva(volatile void *at)
{
    size_t block = cache_zva_size();

    fake_log_add(FAKE_DC, FAKE_DC_ZVA, (uintptr_t)at, 0);
    if (block == 0) {
        fake_fail("dc zva although DCZID_EL0.DZP is set");
    } else {
        memset((void *)ALIGN_DOWN((uintptr_t)at, block), 0, block);
    }
}

static inline void cache_clean_inval_range(const volatile void *at, size_t size)
{
    fake_log_add(FAKE_DC, FAKE_DC_CIVAC, (uintptr_t)at, size);
    dsb_sy();
}

static inline void cache_clean_range(const volatile void *at, size_t size)
{
    fake_log_add(FAKE_DC, FAKE_DC_CVAC, (uintptr_t)at, size);
    dsb_sy();
}

#endif
