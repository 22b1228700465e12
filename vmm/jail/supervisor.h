/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bothy run` is two processes: the VM, jailed, and its parent, the supervisor, which stays out,
 * does nothing while the VM runs, and tidies up whatever end the VM comes to: files in the run
 * directory, the terminal, the exit code, a sentence about a VM that was killed.
 *
 * It also does the few things that a jailed VM may ask for, on paths that were named before the
 * jail was shut: connecting to the vsock's Unix sockets, opening another medium for a disk.
 */
#ifndef VMM_JAIL_SUPERVISOR_H
#define VMM_JAIL_SUPERVISOR_H

#include "vmm/base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct supervisor_hooks {
    /* The VM has ended; code is what the command will exit with. In the parent. */
    void (*cleanup)(void *argument, int code);
    void *argument;
};

/* Fork. Returns true in the child, the VM. In the parent it returns false when the VM is gone, with
 * *ret_code the exit code (a signal that killed the VM: 128 + signal; a system call that the
 * filter refuses: EXIT_CODE_VMM). false with an error if forking failed. Signals that are sent to
 * the parent (SIGTERM, SIGINT, SIGHUP by kill(2)) are passed on. */
bool supervisor_fork(const struct supervisor_hooks *hooks, int *ret_code, struct error *error);

/* In the VM, before the jail: paths that may be asked for later. */
bool supervisor_allow_connect(const char *prefix); /* "PREFIX_<number>"; when the VM has ended a
                                                      socket PREFIX is removed if it is dead */
/* Plain files in the disk's directory, by the same words, that end as its name does (.img) or, if
 * that has no such end, begin with it; to be written only if the disk is. */
bool supervisor_allow_open(const char *disk, bool readonly);
/* From now on supervisor_allow_* is refused. */
void supervisor_seal(void);

/* In the VM: a connected stream socket to "PREFIX_<port>", or -1 and errno. Does not block for
 * longer than the connect of a Unix socket. */
int supervisor_connect(const char *prefix, uint32_t port);
/* An open regular file, or -1 and errno. */
int supervisor_open(const char *path, bool readonly, bool direct);

#endif
