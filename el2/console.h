/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one physical console of the machine: EL2's own messages and the guests' serial ports, see
 * console_mux.h for what is done to them. All functions may be called on any CPU; all but the
 * panic ones take the console's lock, which is the last one in the locking order. The hooks are
 * called with no lock of the console held.
 */
#ifndef EL2_CONSOLE_H
#define EL2_CONSOLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

struct uart;

struct console_hooks {
    /* A byte for a guest's serial port. False if its FIFO is full: the console keeps the byte and
     * offers it again from console_rx_ready() and console_poll(). */
    bool (*rx)(void *ctx, unsigned int guest, uint8_t byte);
    /* A guest whose console_guest_tx() was refused may try again. */
    void (*tx_ready)(void *ctx, unsigned int guest);
    void (*stats)(void *ctx); /* Ctrl-A s */
    void (*quit)(void *ctx);  /* Ctrl-A x */
};

/* Start the console on an initialised port; messages can be printed from here on. With NULL there
 * is no port: everything is accepted and thrown away. Boot CPU only, before the others run. */
void console_init(struct uart *uart);

/* What input leads to. Until this is called input is kept. */
void console_set_hooks(const struct console_hooks *hooks, void *ctx);

/* Announce guest number `guest` (0 .. MUX_GUEST_MAX - 1) by its name, which is copied. The guests
 * are numbered from 1 for the user. The first one announced has the keyboard. */
void console_add_guest(unsigned int guest, const char *name);

/* Let UART interrupts happen; to be called once the interrupt is routed to console_irq(). */
void console_irq_enable(void);

/* One line of EL2's own: `[bothy] text`; the end of the line is added. Never waits: if the output
 * is congested the line is counted as lost, and the count is printed later. */
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void console_vprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* A byte from a guest's serial port. False: no room; offer the same byte again after the tx_ready
 * hook. May be called with the lock of a device or of a vGIC held. */
bool console_guest_tx(unsigned int guest, uint8_t byte);

/* The guest found its receive FIFO empty or drained it: give it what was typed meanwhile. Not to
 * be called from inside the rx hook. No lock held. */
void console_rx_ready(unsigned int guest);

/* Forget what the guest has not read and finish its unfinished line: it stopped or restarts. */
void console_guest_reset(unsigned int guest);

/* The UART's interrupt. No lock held. */
void console_irq(void);

/* Move what can be moved, in both directions, a bounded amount. From idle CPUs and from the timer,
 * once console_deadline() has passed. No lock held. */
void console_poll(void);

/* The CNTPCT value at which console_poll() has something to do (an unfinished line to show), or
 * UINT64_MAX. Reads one word without a lock. */
uint64_t console_deadline(void);

/* Write everything out by polling, before the machine is switched off. */
void console_flush(void);

/* For panic(): take the console away from everybody else for good, then write by polling. */
void console_panic_enter(void);
void console_panic_puts(const char *text);

#endif
