/* SPDX-License-Identifier: Apache-2.0 */
/* Locks and barriers between CPUs. With the MMU on only. */
#ifndef RUNTIME_SYNC_H
#define RUNTIME_SYNC_H

#include "arm.h"

struct lock {
    uint32_t taken;
};

static inline void lock_acquire(struct lock *lock)
{
    while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE) != 0) {
        while (__atomic_load_n(&lock->taken, __ATOMIC_RELAXED) != 0) {
            cpu_relax();
        }
    }
}

static inline void lock_release(struct lock *lock)
{
    __atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

/* All `count` CPUs meet here; can be used again at once. */
struct meeting {
    uint32_t arrived, generation;
};

static inline void meeting_join(struct meeting *meeting, uint32_t count)
{
    uint32_t generation = __atomic_load_n(&meeting->generation, __ATOMIC_ACQUIRE);

    if (__atomic_add_fetch(&meeting->arrived, 1, __ATOMIC_ACQ_REL) == count) {
        __atomic_store_n(&meeting->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&meeting->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&meeting->generation, __ATOMIC_ACQUIRE) == generation) {
        cpu_relax();
    }
}

#endif
