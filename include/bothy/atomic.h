/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin names over the compiler's atomics, on plain uint32_t and uint64_t. The suffix is the
 * ordering; a read-modify-write is both acquire and release, and returns the value before it.
 * A compare-and-swap that finds another value than *expected stores what it found there, changes
 * nothing else and returns false. A full fence between CPUs is dmb_ish() of arch/barrier.h.
 */
#ifndef BOTHY_ATOMIC_H
#define BOTHY_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t atomic_load32_relaxed(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline uint32_t atomic_load32_acquire(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline void atomic_store32_relaxed(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static inline void atomic_store32_release(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static inline uint32_t atomic_fetch_add32(uint32_t *at, uint32_t value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_ACQ_REL);
}

static inline uint32_t atomic_fetch_sub32(uint32_t *at, uint32_t value)
{
    return __atomic_fetch_sub(at, value, __ATOMIC_ACQ_REL);
}

static inline uint32_t atomic_fetch_or32(uint32_t *at, uint32_t bits)
{
    return __atomic_fetch_or(at, bits, __ATOMIC_ACQ_REL);
}

static inline uint32_t atomic_fetch_and32(uint32_t *at, uint32_t bits)
{
    return __atomic_fetch_and(at, bits, __ATOMIC_ACQ_REL);
}

static inline uint32_t atomic_xchg32(uint32_t *at, uint32_t value)
{
    return __atomic_exchange_n(at, value, __ATOMIC_ACQ_REL);
}

static inline bool atomic_cas32(uint32_t *at, uint32_t *expected, uint32_t value)
{
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static inline uint64_t atomic_load64_relaxed(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline uint64_t atomic_load64_acquire(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline void atomic_store64_relaxed(uint64_t *at, uint64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static inline void atomic_store64_release(uint64_t *at, uint64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static inline uint64_t atomic_fetch_add64(uint64_t *at, uint64_t value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_ACQ_REL);
}

static inline uint64_t atomic_fetch_sub64(uint64_t *at, uint64_t value)
{
    return __atomic_fetch_sub(at, value, __ATOMIC_ACQ_REL);
}

static inline uint64_t atomic_fetch_or64(uint64_t *at, uint64_t bits)
{
    return __atomic_fetch_or(at, bits, __ATOMIC_ACQ_REL);
}

static inline uint64_t atomic_fetch_and64(uint64_t *at, uint64_t bits)
{
    return __atomic_fetch_and(at, bits, __ATOMIC_ACQ_REL);
}

static inline uint64_t atomic_xchg64(uint64_t *at, uint64_t value)
{
    return __atomic_exchange_n(at, value, __ATOMIC_ACQ_REL);
}

static inline bool atomic_cas64(uint64_t *at, uint64_t *expected, uint64_t value)
{
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

#endif
