/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ticket lock: fair, so that one CPU's busy guest can't starve another's. Zero is unlocked.
 * Clang's thread-safety analysis (-Wthread-safety) checks the annotations; other compilers see
 * nothing of them.
 */
#ifndef BOTHY_SPINLOCK_H
#define BOTHY_SPINLOCK_H

#include "arch/barrier.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __clang__
#define TS_ATTRIBUTE(x) __attribute__((x))
#else
#define TS_ATTRIBUTE(x)
#endif

#define TS_CAPABILITY(name) TS_ATTRIBUTE(capability(name))
/* For the reader: in C, clang up to 18 can't name a lock that is a member of the same struct. */
#define GUARDED_BY(lock)
#define REQUIRES(...) TS_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) TS_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...) TS_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASES(...) TS_ATTRIBUTE(release_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...) TS_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY TS_ATTRIBUTE(no_thread_safety_analysis)

struct TS_CAPABILITY("mutex") spinlock {
    uint32_t next;  /* the ticket that the next CPU draws */
    uint32_t owner; /* the ticket that may enter */
};

#define SPINLOCK_INIT {0, 0}

static inline void spin_init(struct spinlock *lock)
{
    lock->next = 0;
    lock->owner = 0;
}

/* Take the lock; what the last holder wrote is visible after this (acquire). */
static inline void spin_lock(struct spinlock *lock) ACQUIRES(lock) NO_THREAD_SAFETY
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1U, __ATOMIC_RELAXED);

    while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket) {
        cpu_relax();
    }
}

/* Take the lock if nobody holds it or waits for it. */
static inline bool spin_trylock(struct spinlock *lock) TRY_ACQUIRES(true, lock) NO_THREAD_SAFETY
{
    /*
     * Acquire here pairs with spin_unlock: if owner is the ticket that is drawn below, then the
     * last holder's writes are visible.
     */
    uint32_t ticket = __atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE);

    return __atomic_compare_exchange_n(&lock->next, &ticket, ticket + 1U, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Let the next one in (release). Only the holder writes `owner`. */
static inline void spin_unlock(struct spinlock *lock) RELEASES(lock) NO_THREAD_SAFETY
{
    uint32_t ticket = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);

    __atomic_store_n(&lock->owner, ticket + 1U, __ATOMIC_RELEASE);
}

/* Whether somebody holds it; only for assertions, as it may change at once. */
static inline bool spin_is_locked(const struct spinlock *lock)
{
    return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED) !=
           __atomic_load_n(&lock->next, __ATOMIC_RELAXED);
}

#endif
