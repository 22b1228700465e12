/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend for tests on any machine: its vCPUs play scripts. What the VMM does to it is written
 * down, and what it can do is a test's to say. Each backend_open() takes the plan that was set
 * last; without one, a vCPU sleeps until it is kicked.
 */
#ifndef VMM_BACKEND_BACKEND_FAKE_H
#define VMM_BACKEND_BACKEND_FAKE_H

#include "vmm/backend/backend.h"

#define FAKE_VCPUS_MAX 64u
#define FAKE_WIRES_MAX 64u

enum fake_step_kind {
    FAKE_SLEEP, /* until kicked; the script doesn't go on: the last step of each */
    FAKE_LOAD,  /* address, size; what it gave must be `value` if `check` is set */
    FAKE_STORE, /* address, size, value: to an ioeventfd that takes it, else an exit */
    FAKE_OFF,
    FAKE_RESET,
    FAKE_CRASH,
    FAKE_NO_SYNDROME,
    FAKE_FAIL,
    FAKE_CALL, /* call(argument): the guest's program */
};

struct fake_step {
    enum fake_step_kind kind;
    uint64_t address;
    uint32_t size;
    uint64_t value;
    bool check;
    void (*call)(void *argument);
    void *argument;
};

/* One test's world. Counters are atomic where threads meet. */
struct fake_plan {
    struct backend_caps caps;
    const struct fake_step *scripts[FAKE_VCPUS_MAX]; /* of each life; NULL: sleeps */
    uint32_t lives;   /* after so many VMs were made, each vCPU sleeps; 0: no limit */
    bool refuse_vm;   /* vm_create fails */
    uint64_t id[128];          /* ID registers by CRm << 3 | op2 */
    uint64_t id_writable[128]; /* which of their bits may be changed */

    /* What happened. */
    uint32_t vms;        /* made */
    uint32_t vms_gone;
    uint32_t kicks;
    uint32_t aborts;
    uint32_t irqfds;
    uint64_t id_after[128];
    uint32_t mismatches; /* loads that didn't give what was expected */
    uint32_t edges[256]; /* irq_line(true), by SPI */
    uint8_t levels[256];
    uint64_t pc, x0;     /* of vCPU 0 */
    uint64_t mapped, readonly; /* bytes */
};

void fake_set_plan(struct fake_plan *plan);

#endif
