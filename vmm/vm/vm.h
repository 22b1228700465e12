/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running VM, and what its parts may ask of it. One process has one VM; still nothing is global,
 * so that tests have several.
 *
 * Threads: the main thread runs the event loop and owns everything here; each vCPU has a thread
 * that touches only its struct vcpu, the bus and, under their own locks, the devices.
 */
#ifndef VMM_VM_VM_H
#define VMM_VM_VM_H

#include "machine/bus.h"
#include "machine/virtio/device.h"
#include "machine/vm_ops.h"
#include "vmm/base/error.h"
#include "vmm/base/loop.h"
#include "vmm/config/config.h"

struct vm;
struct vmm_device;
struct metrics;

enum vm_state {
    VM_CONFIGURING, /* no guest yet: the API may change the configuration */
    VM_RUNNING,
    VM_PAUSED,
    VM_STOPPED, /* the guest is off; the process is about to end */
};

/* backend: vmm/backend/backend.h. The config stays the caller's and is changed by the API while
 * VM_CONFIGURING. NULL and a sentence on failure. */
struct backend;
struct vm *vm_create(struct vm_config *config, struct loop *loop, struct error *error);
/* Stops vCPU threads, destroys devices. NULL-safe. */
void vm_destroy(struct vm *vm);

/* Open files and devices, build the machine, load the kernel, everything that needs privileges.
 * Nothing runs yet. After it the process may be jailed. */
bool vm_build(struct vm *vm, struct error *error);
/* Start the vCPUs; every thread, this one too, gets its system-call filter. */
bool vm_start(struct vm *vm, struct error *error);

/* Main thread. Pause returns when no vCPU runs. False if the state doesn't allow it. */
bool vm_pause(struct vm *vm);
bool vm_resume(struct vm *vm);
/* Press the power button (PL061): an ordinary guest shuts down. */
bool vm_power_button(struct vm *vm);
/* End the VM now: loop_stop() and this exit code. Any thread; the first call's code wins. */
void vm_end(struct vm *vm, enum exit_code code, const char *reason);

/* Before vm_build(): a listening socket for `bothy console`, which becomes the VM's. */
void vm_set_console_socket(struct vm *vm, int listen_fd);
/* After vm_build(): the guest's device tree (--dump-dtb), in guest memory. */
const void *vm_device_tree(const struct vm *vm, size_t *ret_size);

enum vm_state vm_get_state(const struct vm *vm);
enum exit_code vm_exit_code(const struct vm *vm);
struct vm_config *vm_get_config(struct vm *vm);
struct loop *vm_get_loop(struct vm *vm);

/* ---- What devices use ---- */

/* machine/vm_ops.h over this VM: the `vm` argument is the struct vm. */
extern const struct vm_ops vm_device_ops;

/* Guest memory as vhost wants it: one region. */
struct vm_memory_region {
    uint64_t ipa;
    uint64_t size;
    void *base;
    int fd;
};
void vm_memory_region(const struct vm *vm, struct vm_memory_region *ret_region);

/* The eventfd that the guest's notification of this queue signals, and the one that interrupts the
 * guest for this device when it is written, for vhost; -1 where the backend can't. */
int vm_queue_kick_fd(struct vm *vm, struct virtio_device *device, uint16_t queue);
int vm_queue_call_fd(struct vm *vm, struct virtio_device *device, uint16_t queue);

/* Where the guest's serial port leads to (vmm/vm/console.h); exists from before the devices are
 * made until after they are gone. */
struct console;
struct console *vm_console(struct vm *vm);

/* The devices, for the API and metrics; in the order of their places. */
struct vmm_device *vm_devices(struct vm *vm);
struct vmm_device *vm_device_find(struct vm *vm, const char *id);

/* All metrics of VM, vCPUs, KVM and devices (vmm/api/metrics.h); main thread. */
void vm_collect_metrics(struct vm *vm, struct metrics *metrics);

#endif
