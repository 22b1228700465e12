/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals to the process of a VM, on its loop: SIGINT, SIGTERM and SIGHUP press the power button,
 * the second one ends the VM.
 */
#ifndef VMM_CLI_SIGNALS_H
#define VMM_CLI_SIGNALS_H

#include "vmm/base/error.h"
#include "vmm/base/loop.h"

struct vm;

struct signals {
    struct loop_source source;
    struct vm *vm;
    struct loop *loop;
    unsigned count;
};

/* Blocks them for this thread and those that it makes. */
bool signals_open(struct signals *signals, struct loop *loop, struct vm *vm, struct error *error);
void signals_close(struct signals *signals);

#endif
