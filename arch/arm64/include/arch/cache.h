/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache maintenance by virtual address. Sizes are in bytes. The single instructions need a
 * dsb_*() from the caller; the range functions end with one.
 */
#ifndef ARCH_CACHE_H
#define ARCH_CACHE_H

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include <stddef.h>
#include <stdint.h>

/* Clean and invalidate one line to the point of coherency. */
static inline void dc_civac(const volatile void *at)
{
    __asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
}

/* Clean one line to the point of coherency. */
static inline void dc_cvac(const volatile void *at)
{
    __asm__ volatile("dc cvac, %0" : : "r"(at) : "memory");
}

/* Clean one line to the point of unification. */
static inline void dc_cvau(const volatile void *at)
{
    __asm__ volatile("dc cvau, %0" : : "r"(at) : "memory");
}

/* Invalidate one line to the point of coherency: what was not yet written back is lost. */
static inline void dc_ivac(const volatile void *at)
{
    __asm__ volatile("dc ivac, %0" : : "r"(at) : "memory");
}

/* Zero one block of cache_zva_size() bytes. */
static inline void dc_zva(volatile void *at)
{
    __asm__ volatile("dc zva, %0" : : "r"(at) : "memory");
}

/* Invalidate the instruction caches of all CPUs, or of this one. */
static inline void ic_ialluis(void)
{
    __asm__ volatile("ic ialluis" : : : "memory");
}

static inline void ic_iallu(void)
{
    __asm__ volatile("ic iallu" : : : "memory");
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

/* Clean and invalidate what [at, at + size) touches, to the point of coherency. */
static inline void cache_clean_inval_range(const volatile void *at, size_t size)
{
    size_t line = cache_line_size();
    uintptr_t end = (uintptr_t)at + size;
    uintptr_t next = ALIGN_DOWN((uintptr_t)at, line);

    for (; next < end; next += line) {
        dc_civac((const volatile void *)next);
    }
    dsb_sy();
}

/* Clean what [at, at + size) touches, to the point of coherency. */
static inline void cache_clean_range(const volatile void *at, size_t size)
{
    size_t line = cache_line_size();
    uintptr_t end = (uintptr_t)at + size;
    uintptr_t next = ALIGN_DOWN((uintptr_t)at, line);

    for (; next < end; next += line) {
        dc_cvac((const volatile void *)next);
    }
    dsb_sy();
}

#endif
