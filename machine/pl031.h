/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PrimeCell real time clock (PL031, Arm DDI 0224C): seconds since 1970 and one alarm.
 * Each call takes the device's own lock.
 */
#ifndef MACHINE_PL031_H
#define MACHINE_PL031_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "machine/vm_ops.h"

#define PL031_NO_DEADLINE UINT64_MAX

struct pl031 {
    struct spinlock lock;
    const struct vm_ops *ops;
    void *vm;
    uint32_t spi;
    bool line;       /* level of the interrupt line, as last told */
    uint64_t origin; /* ops->clock_ns() at which the count was `load` */
    uint32_t load;   /* LR: the count at `origin` */
    uint32_t match;  /* MR */
    uint32_t imsc;
    uint32_t ris;
    bool armed;   /* MR was written and has not been reached since */
    uint64_t due; /* ops->clock_ns() at which it will be */
};

/* seconds: what the clock shows now. vm and ops must outlive the device. */
void pl031_init(struct pl031 *rtc, const struct vm_ops *ops, void *vm, uint32_t spi,
                uint32_t seconds);

/* Forgets the alarm and the interrupt; the clock goes on. */
void pl031_reset(struct pl031 *rtc);

/* A device_access_t for the bus: device is the struct pl031. */
void pl031_access(void *device, uint64_t offset, unsigned int size, bool write, uint64_t *value);

/* ops->clock_ns() at which pl031_poll() is to be called next, or PL031_NO_DEADLINE. May move
 * after each access. */
uint64_t pl031_deadline(struct pl031 *rtc);

/* Raises the alarm if its time has come. */
void pl031_poll(struct pl031 *rtc);

#endif
