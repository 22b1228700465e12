/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL011 driver (DDI 0183, chapter 3). The firmware has set the baud rate: it is left alone, and so
 * are the control registers of a port that runs. The SBSA's generic UART (DEN0029, appendix B) is
 * the same without control registers.
 */
#include "el2/uart_pl011.h"

#include "arch/mmio.h"
#include "bothy/bits.h"

#define UARTDR 0x000U
#define UARTFR 0x018U
#define UARTLCR_H 0x02cU
#define UARTCR 0x030U
#define UARTIFLS 0x034U
#define UARTIMSC 0x038U
#define UARTICR 0x044U

#define UARTDR_ERRORS GENMASK(11, 8)
#define UARTFR_BUSY BIT(3)
#define UARTFR_RXFE BIT(4)
#define UARTFR_TXFF BIT(5)
#define UARTLCR_H_FEN BIT(4)
#define UARTLCR_H_WLEN8 GENMASK(6, 5)
#define UARTCR_RUN (BIT(0) | BIT(8) | BIT(9)) /* UARTEN, TXE, RXE */
#define UARTIFLS_MIDDLE 0x12U                 /* both FIFOs at half */
#define UARTINT_RX BIT(4)
#define UARTINT_TX BIT(5)
#define UARTINT_RT BIT(6) /* bytes wait in the FIFO, fewer than its trigger level */
#define UARTINT_ALL 0x7ffU

/* At 115200 baud a byte takes 87 us: many times that, on any CPU. */
#define EARLY_POLLS 1000000U

static uint32_t get(volatile void *base, uint32_t offset)
{
    return mmio_read32((volatile uint8_t *)base + offset);
}

static void set(volatile void *base, uint32_t offset, uint32_t value)
{
    mmio_write32((volatile uint8_t *)base + offset, value);
}

static void sbsa_init(struct uart *uart)
{
    set(uart->base, UARTIMSC, 0);
    set(uart->base, UARTICR, UARTINT_ALL);
}

static void pl011_init(struct uart *uart)
{
    volatile void *base = uart->base;

    sbsa_init(uart);
    if ((get(base, UARTCR) & UARTCR_RUN) != UARTCR_RUN ||
        (get(base, UARTLCR_H) & UARTLCR_H_FEN) == 0) {
        /* LCR_H may only be written while the port is off (3.3.7). */
        set(base, UARTCR, 0);
        set(base, UARTLCR_H, (uint32_t)(UARTLCR_H_FEN | UARTLCR_H_WLEN8));
        set(base, UARTCR, (uint32_t)UARTCR_RUN);
    }
    set(base, UARTIFLS, UARTIFLS_MIDDLE);
}

static size_t pl011_write(struct uart *uart, const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size && (get(uart->base, UARTFR) & UARTFR_TXFF) == 0) {
        set(uart->base, UARTDR, bytes[done++]);
    }
    return done;
}

static int pl011_read(struct uart *uart)
{
    while ((get(uart->base, UARTFR) & UARTFR_RXFE) == 0) {
        uint32_t data = get(uart->base, UARTDR);

        if ((data & UARTDR_ERRORS) == 0) {
            return (int)(data & 0xff);
        }
    }
    return -1;
}

static bool pl011_idle(struct uart *uart)
{
    return (get(uart->base, UARTFR) & UARTFR_BUSY) == 0;
}

static void pl011_irq_enable(struct uart *uart, bool receive, bool transmit)
{
    uint64_t mask = (receive ? UARTINT_RX | UARTINT_RT : 0) | (transmit ? UARTINT_TX : 0);

    /*
     * The transmit interrupt comes when the FIFO drains through its trigger level, and stays until
     * it is filled beyond it or cleared. Masking is enough to silence it: when it is unmasked
     * again the FIFO has just been found full, or will be written by the handler.
     */
    set(uart->base, UARTIMSC, (uint32_t)mask);
}

const struct uart_ops uart_pl011_ops = {
    .init = pl011_init,
    .write = pl011_write,
    .read = pl011_read,
    .idle = pl011_idle,
    .irq_enable = pl011_irq_enable,
};

const struct uart_ops uart_sbsa_ops = {
    .init = sbsa_init,
    .write = pl011_write,
    .read = pl011_read,
    .idle = pl011_idle,
    .irq_enable = pl011_irq_enable,
};

void uart_pl011_early_puts(volatile void *base, const char *text)
{
    for (; *text != '\0'; text++) {
        for (uint32_t i = 0; i < EARLY_POLLS && (get(base, UARTFR) & UARTFR_TXFF) != 0; i++) {
        }
        set(base, UARTDR, (uint8_t)*text);
    }
}
