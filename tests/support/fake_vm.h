/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM without a machine, in the place of vmm/vm and the devices, for tests of what controls one:
 * it has a state and a configuration, and notes what it was asked for.
 */
#ifndef SUPPORT_FAKE_VM_H
#define SUPPORT_FAKE_VM_H

#include "vmm/devices/device.h"
#include "vmm/vm/vm.h"

#define FAKE_DEVICES_MAX 32

struct vm {
    struct vm_config config;
    struct loop *loop;
    enum vm_state state;
    enum exit_code exit_code;
    struct vmm_device devices[FAKE_DEVICES_MAX];
    uint32_t nr_devices;

    /* What was asked for. */
    uint32_t presses, ends, pauses, resumes;
    struct config_rate disk_rate, rx_rate, tx_rate;
    char *replaced; /* the path */
    uint64_t target_mib;
    uint32_t interval_s;
    bool fails; /* what can refuse does */
};

/* The configuration has its defaults. The loop's may be NULL. */
void fake_vm_init(struct vm *vm, struct loop *loop);
void fake_vm_release(struct vm *vm);
/* As vm_build() and vm_start() would: its devices exist, and it runs. */
void fake_vm_start(struct vm *vm);

#endif
