/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barriers for the parts that run in a Linux process, on any CPU: threads of one process and a
 * guest's CPUs share memory as C11 threads do, so the compiler's fences are enough. The thread
 * that a waiting one waits for may not be running at all, hence the yield.
 */
#ifndef ARCH_BARRIER_H
#define ARCH_BARRIER_H

#include <sched.h>

static inline void dmb_ish(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void dmb_ishst(void)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void cpu_relax(void)
{
    sched_yield();
}

#endif
