/* SPDX-License-Identifier: Apache-2.0 */
/* Arm's PrimeCell UART (DDI 0183) and its SBSA subset. */
#ifndef EL2_UART_PL011_H
#define EL2_UART_PL011_H

#include "el2/uart.h"

extern const struct uart_ops uart_pl011_ops;
extern const struct uart_ops uart_sbsa_ops;

/*
 * Write text by polling, with nothing but the registers' address: for the moments in which
 * neither the MMU nor the console can be relied upon. Gives up on a byte that does not get room.
 */
void uart_pl011_early_puts(volatile void *base, const char *text);

#endif
