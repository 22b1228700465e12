/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL011. A byte that the guest writes goes straight to the console; it waits in the transmit FIFO
 * only while the console takes no more. No time passes in the device: the receive time-out comes
 * at once when bytes stay in the FIFO. Like QEMU's, it works also while CR says that it is
 * disabled, because firmware and small payloads rarely enable it.
 *
 * Invariants: line == ((ris & imsc) != 0) and flags is FR, outside of the lock; fifo.count <=
 * PL011_FIFO.
 */
#include "machine/pl011.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"

#define UART_DR 0x000u
#define UART_RSR 0x004u
#define UART_FR 0x018u
#define UART_ILPR 0x020u
#define UART_IBRD 0x024u
#define UART_FBRD 0x028u
#define UART_LCR_H 0x02cu
#define UART_CR 0x030u
#define UART_IFLS 0x034u
#define UART_IMSC 0x038u
#define UART_RIS 0x03cu
#define UART_MIS 0x040u
#define UART_ICR 0x044u
#define UART_DMACR 0x048u
#define UART_ID 0xfe0u

#define DR_BE 0x400u
#define DR_OE 0x800u
#define FR_CTS 0x001u
#define FR_DSR 0x002u
#define FR_DCD 0x004u
#define FR_BUSY 0x008u
#define FR_RXFE 0x010u
#define FR_TXFF 0x020u
#define FR_RXFF 0x040u
#define FR_TXFE 0x080u
#define FR_RI 0x100u
#define LCR_H_BRK 0x01u
#define LCR_H_FEN 0x10u
#define CR_LBE 0x0080u
#define CR_DTR 0x0400u
#define CR_RTS 0x0800u
#define CR_OUT1 0x1000u
#define CR_OUT2 0x2000u
#define INT_RX 0x010u
#define INT_TX 0x020u
#define INT_RT 0x040u
#define INT_BE 0x200u
#define INT_OE 0x400u
#define INT_ALL 0x7ffu

/* PeriphID0..3: revision 3 (r1p5) has 32-byte FIFOs; PCellID0..3 */
static const uint8_t pl011_id[8] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

static uint32_t fifo_depth(const struct pl011 *uart)
{
    return uart->lcr_h & LCR_H_FEN ? PL011_FIFO : 1;
}

static void fifo_put(struct pl011_fifo *fifo, uint16_t datum)
{
    fifo->data[(fifo->head + fifo->count) % PL011_FIFO] = datum;
    fifo->count++;
}

static uint16_t fifo_get(struct pl011_fifo *fifo)
{
    uint16_t datum = fifo->data[fifo->head];

    fifo->head = (uint8_t)((fifo->head + 1) % PL011_FIFO);
    fifo->count--;
    return datum;
}

/* IFLS: 1/8, 1/4, 1/2, 3/4, 7/8 of the FIFO; the reserved values count as the last. */
static uint32_t trigger_level(const struct pl011 *uart, uint32_t shift)
{
    static const uint8_t level[8] = {4, 8, 16, 24, 28, 28, 28, 28};

    return level[(uart->ifls >> shift) & 7];
}

static uint32_t rx_trigger(const struct pl011 *uart)
{
    return uart->lcr_h & LCR_H_FEN ? trigger_level(uart, 3) : 1;
}

static uint32_t tx_trigger(const struct pl011 *uart)
{
    return uart->lcr_h & LCR_H_FEN ? trigger_level(uart, 0) : 0;
}

static uint32_t read_flags(const struct pl011 *uart)
{
    uint32_t flags = 0;

    if (uart->cr & CR_LBE) { /* modem outputs come back as inputs, DDI 0183G 3.3.8 */
        flags |= uart->cr & CR_RTS ? FR_CTS : 0;
        flags |= uart->cr & CR_DTR ? FR_DSR : 0;
        flags |= uart->cr & CR_OUT1 ? FR_DCD : 0;
        flags |= uart->cr & CR_OUT2 ? FR_RI : 0;
    } else {
        flags |= FR_CTS | FR_DSR | FR_DCD;
    }
    flags |= uart->rx.count == 0 ? FR_RXFE : 0;
    flags |= uart->rx.count >= fifo_depth(uart) ? FR_RXFF : 0;
    flags |= uart->tx.count == 0 ? FR_TXFE : FR_BUSY;
    flags |= uart->tx.count >= fifo_depth(uart) ? FR_TXFF : 0;
    return flags;
}

/* What others see of the state, after each change. */
static void publish(struct pl011 *uart)
{
    bool level = (uart->ris & uart->imsc) != 0;

    atomic_store32_relaxed(&uart->flags, read_flags(uart));

    if (level != uart->line) {
        uart->line = level;
        uart->ops->irq_set(uart->vm, uart->spi, level);
    }
}

static void receive(struct pl011 *uart, uint16_t datum)
{
    if (uart->rx.count >= fifo_depth(uart)) {
        uart->rsr |= DR_OE >> 8;
        uart->ris |= INT_OE;
        return;
    }
    fifo_put(&uart->rx, datum);
    uart->ris |= INT_RT;
    if (uart->rx.count >= rx_trigger(uart)) {
        uart->ris |= INT_RX;
    }
    if (datum & DR_BE) {
        uart->ris |= INT_BE;
    }
}

static uint32_t read_data(struct pl011 *uart)
{
    uint32_t datum;

    if (uart->rx.count == 0) {
        return 0;
    }
    datum = fifo_get(&uart->rx);
    uart->rsr = datum >> 8;
    if (uart->rx.count < rx_trigger(uart)) {
        uart->ris &= ~INT_RX;
    }
    if (uart->rx.count == 0) {
        uart->ris &= ~INT_RT;
    } else {
        uart->ris |= INT_RT;
    }
    if (uart->refused && uart->ops->console_rx_room != NULL) {
        uart->refused = false;
        uart->ops->console_rx_room(uart->vm);
    }
    return datum;
}

/* Send what waits, as long as the console takes it. */
static void drain(struct pl011 *uart)
{
    uint32_t before = uart->tx.count;

    while (uart->tx.count > 0 &&
           uart->ops->console_tx(uart->vm, (uint8_t)uart->tx.data[uart->tx.head])) {
        fifo_get(&uart->tx);
    }
    if (before > uart->tx.count && uart->tx.count <= tx_trigger(uart)) {
        uart->ris |= INT_TX;
    }
}

static void write_data(struct pl011 *uart, uint32_t value)
{
    if (uart->cr & CR_LBE) {
        receive(uart, value & 0xff);
        uart->ris |= INT_TX;
        return;
    }
    if (uart->tx.count >= fifo_depth(uart)) {
        drain(uart);
    }
    if (uart->tx.count >= fifo_depth(uart)) {
        return; /* the guest did not look at FR.TXFF: lost, as in hardware */
    }
    fifo_put(&uart->tx, value & 0xff);
    if (uart->tx.count > tx_trigger(uart)) {
        uart->ris &= ~INT_TX;
    }
    drain(uart);
}

static void write_line_control(struct pl011 *uart, uint32_t value)
{
    if ((uart->lcr_h ^ value) & LCR_H_FEN) {
        uart->rx.count = 0; /* what waits to be sent is still sent */
        uart->ris &= ~(INT_RX | INT_RT);
    }
    if ((value & ~uart->lcr_h & LCR_H_BRK) && (uart->cr & CR_LBE)) {
        receive(uart, DR_BE);
    }
    uart->lcr_h = value & 0xff;
}

static uint32_t read_register(struct pl011 *uart, uint32_t offset)
{
    switch (offset) {
    case UART_DR:
        return read_data(uart);
    case UART_RSR:
        return uart->rsr;
    case UART_ILPR:
        return uart->ilpr;
    case UART_IBRD:
        return uart->ibrd;
    case UART_FBRD:
        return uart->fbrd;
    case UART_LCR_H:
        return uart->lcr_h;
    case UART_CR:
        return uart->cr;
    case UART_IFLS:
        return uart->ifls;
    case UART_IMSC:
        return uart->imsc;
    case UART_RIS:
        return uart->ris;
    case UART_MIS:
        return uart->ris & uart->imsc;
    case UART_DMACR:
        return uart->dmacr;
    default:
        return offset >= UART_ID && offset < 0x1000 ? pl011_id[(offset - UART_ID) / 4] : 0;
    }
}

static void write_register(struct pl011 *uart, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case UART_DR:
        write_data(uart, value);
        break;
    case UART_RSR: /* ECR: any value clears */
        uart->rsr = 0;
        break;
    case UART_ILPR:
        uart->ilpr = value & 0xff;
        break;
    case UART_IBRD:
        uart->ibrd = value & 0xffff;
        break;
    case UART_FBRD:
        uart->fbrd = value & 0x3f;
        break;
    case UART_LCR_H:
        write_line_control(uart, value);
        break;
    case UART_CR:
        uart->cr = value & 0xffff;
        break;
    case UART_IFLS:
        uart->ifls = value & 0x3f;
        break;
    case UART_IMSC:
        uart->imsc = value & INT_ALL;
        break;
    case UART_ICR:
        uart->ris &= ~value;
        break;
    case UART_DMACR: /* there is no DMA: kept, without effect */
        uart->dmacr = value & 7;
        break;
    default:
        break;
    }
}

void pl011_access(void *device, uint64_t offset, unsigned int size, bool write, uint64_t *value)
{
    struct pl011 *uart = device;
    uint32_t shift = (uint32_t)(offset & 3) * 8;
    uint32_t reg = (uint32_t)offset & 0xffcu;

    (void)size; /* the registers' upper bits are not there, so any size does */
    /* A guest looks here before each byte that it sends. */
    if (!write && reg == UART_FR) {
        *value = atomic_load32_relaxed(&uart->flags) >> shift;
        return;
    }
    spin_lock(&uart->lock);
    if (!write) {
        /* A byte out of the middle of DR must not eat a character. */
        *value = shift != 0 && reg == UART_DR ? 0 : read_register(uart, reg) >> shift;
    } else if (shift == 0) {
        write_register(uart, reg, (uint32_t)*value);
    }
    publish(uart);
    spin_unlock(&uart->lock);
}

size_t pl011_rx(struct pl011 *uart, const uint8_t *bytes, size_t count)
{
    size_t taken = 0;

    spin_lock(&uart->lock);
    while (taken < count && uart->rx.count < fifo_depth(uart)) {
        receive(uart, bytes[taken++]);
    }
    uart->refused = taken < count;
    publish(uart);
    spin_unlock(&uart->lock);
    return taken;
}

void pl011_rx_break(struct pl011 *uart)
{
    spin_lock(&uart->lock);
    receive(uart, DR_BE);
    publish(uart);
    spin_unlock(&uart->lock);
}

size_t pl011_rx_space(struct pl011 *uart)
{
    size_t space;

    spin_lock(&uart->lock);
    space = uart->rx.count < fifo_depth(uart) ? fifo_depth(uart) - uart->rx.count : 0;
    spin_unlock(&uart->lock);
    return space;
}

bool pl011_tx_ready(struct pl011 *uart)
{
    bool empty;

    spin_lock(&uart->lock);
    drain(uart);
    publish(uart);
    empty = uart->tx.count == 0;
    spin_unlock(&uart->lock);
    return empty;
}

static void reset_registers(struct pl011 *uart)
{
    uart->refused = false;
    uart->rx = (struct pl011_fifo){.count = 0};
    uart->tx = (struct pl011_fifo){.count = 0};
    uart->rsr = uart->ilpr = uart->ibrd = uart->fbrd = uart->lcr_h = 0;
    uart->cr = 0x300; /* RXE, TXE */
    uart->ifls = 0x12;
    uart->imsc = uart->ris = uart->dmacr = 0;
}

void pl011_reset(struct pl011 *uart)
{
    spin_lock(&uart->lock);
    drain(uart); /* a guest's last words */
    reset_registers(uart);
    publish(uart);
    spin_unlock(&uart->lock);
}

void pl011_init(struct pl011 *uart, const struct vm_ops *ops, void *vm, uint32_t spi)
{
    spin_init(&uart->lock);
    uart->ops = ops;
    uart->vm = vm;
    uart->spi = spi;
    uart->line = false;
    reset_registers(uart);
    uart->flags = read_flags(uart);
}
