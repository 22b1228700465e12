/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the serial port (PL011) of the guest and its virtio console, if any, lead to: the terminal
 * or pipe of `bothy run`, a file, or who attaches with `bothy console` through a Unix socket. A
 * bounded buffer of output is kept for who attaches later; a slow reader loses the oldest bytes,
 * the guest is never made to wait for one.
 *
 * Keys, on the terminal and from who is attached: Ctrl-A x ends the VM (who is attached is only
 * detached), c switches between serial port and virtio console, b sends a break, h helps, Ctrl-A
 * Ctrl-A is a Ctrl-A. So an attached program passes on all that is typed as it is.
 */
#ifndef VMM_VM_CONSOLE_H
#define VMM_VM_CONSOLE_H

#include "vmm/base/error.h"
#include "vmm/base/loop.h"
#include "vmm/config/config.h"
#include <stddef.h>
#include <stdint.h>

struct console;
struct vm;

enum console_port { CONSOLE_SERIAL, CONSOLE_VIRTIO, CONSOLE_PORTS };

/* What the console does with input: the device takes up to count bytes and returns how many; the
 * rest is offered again after console_input_room(). */
struct console_sink {
    size_t (*input)(void *device, const uint8_t *bytes, size_t count);
    void (*break_condition)(void *device); /* may be NULL */
    void *device;
};

/* listen_fd: of the console socket, or -1; it becomes the console's. The terminal is left to the
 * caller (vmm/vm/terminal.h), who has to restore it whatever becomes of this process. */
struct console *console_create(struct vm *vm, struct loop *loop, const struct config_serial *config,
                               int listen_fd, struct error *error);
/* The listening socket is the caller's again, -1 if there is none: before console_destroy(). */
int console_give_back_socket(struct console *console);
/* NULL-safe. */
void console_destroy(struct console *console);

void console_attach(struct console *console, enum console_port port,
                    const struct console_sink *sink);

/* Bytes from the guest; from any thread. Never blocks. */
void console_output(struct console *console, enum console_port port, const uint8_t *bytes,
                    size_t count);
/* The device has room for input again; from any thread. */
void console_input_room(struct console *console, enum console_port port);

/* Write out what is buffered, before the process ends. */
void console_flush(struct console *console);

#endif
