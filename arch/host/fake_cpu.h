/* SPDX-License-Identifier: Apache-2.0 */
/* Between the fake's own files: one CPU. */
#ifndef ARCH_HOST_FAKE_CPU_H
#define ARCH_HOST_FAKE_CPU_H

#include "arch/fake.h"
#include "bothy/fp_state.h"

#define FAKE_SYSREGS 65536U

struct fake_cpu {
    uint64_t value[FAKE_SYSREGS];
    uint8_t known[FAKE_SYSREGS];
    struct fake_event *events;
    size_t nr_events;
    size_t max_events;
    struct fp_state fp;
};

/* The CPU of this thread. */
struct fake_cpu *fake_cpu_here(void);

/* Parts of fake_reset(). */
void fake_log_reset(void);
void fake_io_reset(void);

#endif
