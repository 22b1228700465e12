/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3) without libsystemd: one datagram to $NOTIFY_SOCKET says what became of the service,
 * another every now and then, if the manager wants that, that it still lives.
 */
#ifndef VMM_CLI_NOTIFY_H
#define VMM_CLI_NOTIFY_H

#include "vmm/base/loop.h"
#include <stdbool.h>

struct notify {
    int fd; /* connected; -1: nobody wants to know */
    uint64_t interval_ns;
    struct loop *loop;
    struct loop_timer timer;
};

/* Before the jail. Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment; a
 * socket that can't be reached is told and forgotten. */
void notify_open(struct notify *notify, struct loop *loop);
void notify_close(struct notify *notify);
/* state: "READY=1\nSTATUS=...". */
void notify_send(struct notify *notify, const char *state);

#endif
