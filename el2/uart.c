/* SPDX-License-Identifier: Apache-2.0 */
/* Which serial ports there are drivers for. */
#include "el2/uart.h"

#include "bothy/bits.h"
#include "el2/uart_pl011.h"

static const struct uart_ops *const drivers[] = {
    [BOOT_UART_NONE] = NULL,
    [BOOT_UART_PL011] = &uart_pl011_ops,
    [BOOT_UART_SBSA] = &uart_sbsa_ops,
};

const struct uart_ops *uart_find(enum boot_uart_kind kind)
{
    return (size_t)kind < ARRAY_SIZE(drivers) ? drivers[kind] : NULL;
}
