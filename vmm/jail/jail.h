/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containment of the process that runs a VM. jail_enter() comes between vm_build() and vm_start():
 * what is open stays open, nothing else can be opened. Each thread then narrows itself further.
 * The lists of system calls are in syscalls.def; filters are compiled from it by the build.
 */
#ifndef VMM_JAIL_JAIL_H
#define VMM_JAIL_JAIL_H

#include "vmm/config/config.h"

enum jail_thread {
    JAIL_MAIN, /* the event loop */
    JAIL_VCPU,
    JAIL_WORKER, /* threads of a device's back end, such as blocking block I/O */
    JAIL_THREAD_COUNT,
};

/* Close what somebody left open for this program, but for stdin, stdout, stderr and those to keep
 * (-1: none). To be called before anything is opened: then the jail has nothing that wasn't meant
 * for it. */
void jail_close_inherited(const int *keep, uint32_t nr_keep);

/* The whole process: limits, namespaces, an empty root directory, no file system access
 * (Landlock), another user if started by root, no capabilities, no new privileges. Steps that the
 * host or an ordinary user can't have are left out with an info line; one that should work and
 * doesn't is an error. With config->off only what can't hurt debugging is done. */
bool jail_enter(const struct config_jail *config, struct error *error);

/* Give the calling thread its system-call filter. After jail_enter(), as the thread's first deed;
 * the main thread's comes when all others exist. Does nothing if the jail is off. */
bool jail_thread(const struct config_jail *config, enum jail_thread kind, struct error *error);

#endif
