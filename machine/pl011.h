/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PrimeCell UART (PL011, Arm DDI 0183G), revision r1p5 with 32-byte FIFOs.
 *
 * Each call takes the device's own lock. Everything is bounded: what doesn't fit into the receive
 * FIFO is refused (pl011_rx tells how much it took) and a guest that sends while the console is
 * full sees FR.TXFF.
 */
#ifndef MACHINE_PL011_H
#define MACHINE_PL011_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "machine/vm_ops.h"

#define PL011_FIFO 32u

struct pl011_fifo {
    uint16_t data[PL011_FIFO]; /* receive: bits 11:8 are the error flags of DR */
    uint8_t head;              /* oldest */
    uint8_t count;
};

struct pl011 {
    struct spinlock lock;
    const struct vm_ops *ops;
    void *vm;
    uint32_t spi;
    uint32_t flags; /* FR; read without the lock */
    bool line;      /* level of the interrupt line, as last told */
    bool refused;   /* pl011_rx() had to leave bytes out */
    struct pl011_fifo rx;
    struct pl011_fifo tx;
    uint32_t rsr, ilpr, ibrd, fbrd, lcr_h, cr, ifls, imsc, ris, dmacr;
};

/* vm and ops must outlive the device. Leaves it reset, the interrupt line low and untold. */
void pl011_init(struct pl011 *uart, const struct vm_ops *ops, void *vm, uint32_t spi);

/* As after power-on; lowers the interrupt line. */
void pl011_reset(struct pl011 *uart);

/* A device_access_t for the bus: device is the struct pl011. */
void pl011_access(void *device, uint64_t offset, unsigned int size, bool write, uint64_t *value);

/* Bytes from the console to the guest; returns how many of count were taken. */
size_t pl011_rx(struct pl011 *uart, const uint8_t *bytes, size_t count);

/* A break condition on the line. */
void pl011_rx_break(struct pl011 *uart);

/* How many bytes pl011_rx would take now. */
size_t pl011_rx_space(struct pl011 *uart);

/* The console can take bytes again: send what waits. False if some still wait. */
bool pl011_tx_ready(struct pl011 *uart);

#endif
