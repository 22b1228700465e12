/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PrimeCell GPIO (PL061, Arm DDI 0190B), eight lines. Pin 3 is the power button of QEMU's `virt`
 * machine. Each call takes the device's own lock.
 */
#ifndef MACHINE_PL061_H
#define MACHINE_PL061_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "machine/vm_ops.h"

#define PL061_PIN_POWER 3u

struct pl061 {
    struct spinlock lock;
    const struct vm_ops *ops;
    void *vm;
    uint32_t spi;
    bool line;      /* level of the interrupt line, as last told */
    uint8_t inputs; /* levels from outside */
    uint8_t seen;   /* 1: the guest has read it since the outside changed it */
    uint8_t data;   /* levels that the guest drives on its outputs */
    uint8_t dir;    /* 1: output */
    uint8_t sense, both_edges, event; /* GPIOIS, GPIOIBE, GPIOIEV */
    uint8_t mask;                     /* GPIOIE */
    uint8_t raw;                      /* GPIORIS */
    uint8_t mode;                     /* GPIOAFSEL */
};

/* vm and ops must outlive the device. All pins are inputs and low, the interrupt line low and
 * untold. */
void pl061_init(struct pl061 *gpio, const struct vm_ops *ops, void *vm, uint32_t spi);

/* As after power-on, levels from outside excepted; lowers the interrupt line. */
void pl061_reset(struct pl061 *gpio);

/* A device_access_t for the bus: device is the struct pl061. */
void pl061_access(void *device, uint64_t offset, unsigned int size, bool write, uint64_t *value);

/* The level that the outside gives to a pin (0 to 7). */
void pl061_set_input(struct pl061 *gpio, unsigned int pin, bool level);

/* Whether the guest has read the pin since its level changed. A driver that waits until a key no
 * longer bounces looks at the level only then: what is gone by that time was never there. */
bool pl061_input_seen(struct pl061 *gpio, unsigned int pin);

#endif
