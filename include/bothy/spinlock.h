/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock that whoever comes at the right moment gets. A ticket lock would be fair, but where the
 * CPUs are threads of an emulator on fewer real ones, its next in the queue is mostly one that
 * isn't running: three Debians on four emulated CPUs took 19 to 247 seconds to boot with tickets,
 * 12 with this. What is done with a lock held is short, and its holder has more to do elsewhere
 * before it takes it again. Zero is unlocked.
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
    uint32_t locked;
};

#define SPINLOCK_INIT {0}

static inline void spin_init(struct spinlock *lock)
{
    lock->locked = 0;
}

/* Take the lock; what the last holder wrote is visible after this (acquire). */
static inline void spin_lock(struct spinlock *lock) ACQUIRES(lock) NO_THREAD_SAFETY
{
    while (__atomic_exchange_n(&lock->locked, 1U, __ATOMIC_ACQUIRE) != 0) {
        while (__atomic_load_n(&lock->locked, __ATOMIC_RELAXED) != 0) {
            cpu_relax();
        }
    }
}

/* Take the lock if nobody holds it. */
static inline bool spin_trylock(struct spinlock *lock) TRY_ACQUIRES(true, lock) NO_THREAD_SAFETY
{
    return __atomic_exchange_n(&lock->locked, 1U, __ATOMIC_ACQUIRE) == 0;
}

/* Let another one in (release). */
static inline void spin_unlock(struct spinlock *lock) RELEASES(lock) NO_THREAD_SAFETY
{
    __atomic_store_n(&lock->locked, 0U, __ATOMIC_RELEASE);
}

/* Whether somebody holds it; only for assertions, as it may change at once. */
static inline bool spin_is_locked(const struct spinlock *lock)
{
    return __atomic_load_n(&lock->locked, __ATOMIC_RELAXED) != 0;
}

#endif
