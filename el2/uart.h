/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A physical serial port. A driver is a struct uart_ops; the table in uart.c says which kind of
 * port, as boot_fdt.c recognises them, it serves. None of the operations waits, and none takes a
 * lock: the console serialises them.
 */
#ifndef EL2_UART_H
#define EL2_UART_H

#include "bothy/types.h"
#include "el2/boot_fdt.h"

struct uart;

struct uart_ops {
    /* Make it usable by polling: FIFOs on, interrupts masked. The firmware's baud rate stays. */
    void (*init)(struct uart *uart);

    /* Put as many of the bytes into the transmitter as it has room for; returns how many. */
    size_t (*write)(struct uart *uart, const uint8_t *bytes, size_t size);

    /* The next received byte, or -1 if there is none. */
    int (*read)(struct uart *uart);

    /* True once everything that was written has left the port. */
    bool (*idle)(struct uart *uart);

    /* Interrupt when a byte was received, and when there is room to transmit. */
    void (*irq_enable)(struct uart *uart, bool receive, bool transmit);
};

struct uart {
    const struct uart_ops *ops;
    volatile void *base; /* its registers, mapped as device memory */
};

/* The driver for this kind of port, or NULL. */
const struct uart_ops *uart_find(enum boot_uart_kind kind);

#endif
