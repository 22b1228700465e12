/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of EL2: one instance of the multiplexer with its lock, its port and its clock.
 *
 * Invariants: no hook is called while the lock is held, since hooks take locks that come before
 * it; and one CPU at a time hands typed bytes to guests, so that they arrive in order.
 */
#include "el2/console.h"

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "bothy/spinlock.h"
#include "bothy/string.h"
#include "el2/console_mux.h"
#include "el2/format.h"
#include "el2/uart.h"

#define PARTIAL_MS 200U /* until an unfinished line is shown */
#define FOCUS_MS 10U    /* the same for the guest that is typed to */
#define RETRY_MS 20U    /* until output is tried again that got no interrupt */

/* Bytes that one call moves: what bounds the time for which a guest that prints holds up others. */
#define DRAIN_MAX 512U
#define READ_MAX 64U

/* Polls without progress after which the port is taken for dead. */
#define PATIENCE 10000000U

struct console {
    struct spinlock lock;
    struct uart *uart;
    const struct console_hooks *hooks;
    void *ctx;
    uint64_t ticks_per_ms;
    uint64_t deadline;  /* atomic: read without the lock */
    uint32_t panicking; /* atomic: the console belongs to panic() */
    bool interrupts;    /* the port may interrupt */
    bool transmit_irq;  /* it is to interrupt when there is room */
    bool delivering;    /* some CPU hands typed bytes to guests */
    bool deliver_again; /* and has to look once more */
    struct mux mux;
};

/* There is one console as there is one port; all of it is behind this file's functions. */
static struct console console;

static bool console_is_lost(void)
{
    return atomic_load32_relaxed(&console.panicking) != 0;
}

/* Write up to `limit` bytes; true if there is more to write. */
static bool drain_locked(size_t limit)
{
    uint64_t now = read_cntpct_el0();
    const char *text;
    size_t size;

    while ((text = mux_peek(&console.mux, now, &size)) != NULL) {
        size_t part = MIN(size, limit);
        size_t done = part;

        if (console.uart != NULL) {
            done = console.uart->ops->write(console.uart, (const uint8_t *)text, part);
        }
        mux_consume(&console.mux, done);
        limit -= done;
        if (done < part || limit == 0) {
            return mux_peek(&console.mux, now, &size) != NULL;
        }
    }
    return false;
}

/* Tell the port whether to interrupt for room, and everybody when to poll. */
static void publish_locked(bool more)
{
    uint64_t deadline = mux_deadline(&console.mux);

    if (console.interrupts && more != console.transmit_irq) {
        console.transmit_irq = more;
        console.uart->ops->irq_enable(console.uart, true, more);
    }
    if (more) {
        deadline = MIN(deadline, read_cntpct_el0() + console.ticks_per_ms * RETRY_MS);
    }
    if (console.mux.ready != 0 || console.deliver_again) {
        deadline = 0;
    }
    atomic_store64_relaxed(&console.deadline, deadline);
}

void console_init(struct uart *uart)
{
    spin_init(&console.lock);
    console.uart = uart;
    console.hooks = NULL;
    console.interrupts = false;
    console.transmit_irq = false;
    console.delivering = false;
    console.deliver_again = false;
    console.ticks_per_ms = read_cntfrq_el0() / 1000;
    console.deadline = UINT64_MAX;
    mux_init(&console.mux, console.ticks_per_ms * PARTIAL_MS, console.ticks_per_ms * FOCUS_MS);
}

void console_set_hooks(const struct console_hooks *hooks, void *ctx)
{
    spin_lock(&console.lock);
    console.ctx = ctx;
    console.hooks = hooks;
    spin_unlock(&console.lock);
}

void console_add_guest(unsigned int guest, const char *name)
{
    spin_lock(&console.lock);
    mux_add_guest(&console.mux, guest, name);
    spin_unlock(&console.lock);
}

void console_irq_enable(void)
{
    if (console.uart == NULL) {
        return;
    }
    spin_lock(&console.lock);
    console.interrupts = true;
    console.uart->ops->irq_enable(console.uart, true, console.transmit_irq);
    publish_locked(drain_locked(DRAIN_MAX));
    spin_unlock(&console.lock);
}

void console_vprintf(const char *format, va_list args)
{
    char text[MUX_OWN_LINE + 1];

    if (console_is_lost()) {
        return;
    }
    (void)format_va(text, sizeof(text), format, args);
    spin_lock(&console.lock);
    mux_print(&console.mux, text);
    publish_locked(drain_locked(DRAIN_MAX));
    spin_unlock(&console.lock);
}

void console_printf(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_vprintf(format, args);
    va_end(args);
}

bool console_guest_tx(unsigned int guest, uint8_t byte)
{
    uint64_t now = read_cntpct_el0();
    bool taken;

    if (console_is_lost()) {
        return true;
    }
    spin_lock(&console.lock);
    taken = mux_guest_tx(&console.mux, guest, byte, now);
    if (byte == '\n' || !taken) {
        publish_locked(drain_locked(DRAIN_MAX));
    } else if (mux_deadline(&console.mux) < console.deadline) {
        atomic_store64_relaxed(&console.deadline, mux_deadline(&console.mux));
    }
    spin_unlock(&console.lock);
    return taken;
}

/* Hand this guest what was typed for it, until it takes no more. Called and left with the lock
 * held, given up in between. */
static void deliver_to_locked(unsigned int guest)
{
    bool taken = true;
    int byte;

    while (taken && (byte = mux_rx_peek(&console.mux, guest)) >= 0) {
        spin_unlock(&console.lock);
        taken = console.hooks->rx(console.ctx, guest, (uint8_t)byte);
        spin_lock(&console.lock);
        if (taken) {
            mux_rx_pop(&console.mux, guest);
        }
    }
}

/* Hand everybody what was typed, one CPU at a time. Called and left with the lock held. */
static void deliver_locked(void)
{
    if (console.hooks == NULL) {
        return;
    }
    if (console.delivering) {
        console.deliver_again = true;
        return;
    }
    console.delivering = true;
    do {
        console.deliver_again = false;
        for (unsigned int i = 0; i < MUX_GUEST_MAX; i++) {
            deliver_to_locked(i);
        }
    } while (console.deliver_again);
    console.delivering = false;
}

static void command(enum mux_event_kind kind)
{
    if (console.hooks == NULL) {
        return;
    }
    if (kind == MUX_EVENT_STATS) {
        console.hooks->stats(console.ctx);
    } else if (kind == MUX_EVENT_QUIT) {
        console.hooks->quit(console.ctx);
    }
}

/* Read the keyboard. Called and left with the lock held, given up for commands. */
static void read_locked(void)
{
    for (unsigned int i = 0; i < READ_MAX; i++) {
        int byte = console.uart->ops->read(console.uart);
        struct mux_event event;

        if (byte < 0) {
            break;
        }
        event = mux_input(&console.mux, (uint8_t)byte);
        if (event.kind == MUX_EVENT_STATS || event.kind == MUX_EVENT_QUIT) {
            spin_unlock(&console.lock);
            command(event.kind);
            spin_lock(&console.lock);
        }
    }
}

static void tell_ready(uint32_t ready)
{
    while (ready != 0) {
        unsigned int guest = bits_first(ready);

        ready &= ready - 1;
        console.hooks->tx_ready(console.ctx, guest);
    }
}

void console_poll(void)
{
    uint32_t ready = 0;

    if (console_is_lost()) {
        return;
    }
    spin_lock(&console.lock);
    if (console.uart != NULL) {
        read_locked();
        deliver_locked();
    }
    bool more = drain_locked(DRAIN_MAX);

    if (console.hooks != NULL) {
        ready = mux_take_ready(&console.mux);
    }
    publish_locked(more);
    spin_unlock(&console.lock);
    tell_ready(ready);
}

void console_irq(void)
{
    console_poll();
}

void console_rx_ready(unsigned int guest)
{
    if (console_is_lost()) {
        return;
    }
    spin_lock(&console.lock);
    mux_guest_show(&console.mux, guest);
    if (mux_rx_peek(&console.mux, guest) >= 0) {
        deliver_locked();
    }
    publish_locked(drain_locked(DRAIN_MAX));
    spin_unlock(&console.lock);
}

void console_guest_reset(unsigned int guest)
{
    spin_lock(&console.lock);
    mux_guest_reset(&console.mux, guest);
    publish_locked(drain_locked(DRAIN_MAX));
    spin_unlock(&console.lock);
}

uint64_t console_deadline(void)
{
    return atomic_load64_relaxed(&console.deadline);
}

void console_flush(void)
{
    uint32_t patience = PATIENCE;

    if (console_is_lost()) {
        return;
    }
    spin_lock(&console.lock);
    for (unsigned int i = 0; i < MUX_GUEST_MAX; i++) {
        mux_guest_show(&console.mux, i);
    }
    while (drain_locked(DRAIN_MAX) && patience-- != 0) {
    }
    while (console.uart != NULL && !console.uart->ops->idle(console.uart) && patience-- != 0) {
    }
    spin_unlock(&console.lock);
}

void console_panic_enter(void)
{
    atomic_store32_release(&console.panicking, 1);
    console_panic_puts("\033[0m\r\n");
}

void console_panic_puts(const char *text)
{
    struct uart *uart = console.uart;
    size_t left = strlen(text);
    uint32_t patience = PATIENCE;

    while (uart != NULL && left != 0 && patience-- != 0) {
        size_t done = uart->ops->write(uart, (const uint8_t *)text, left);

        text += done;
        left -= done;
    }
}
