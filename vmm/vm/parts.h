/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is made of; for the files of vmm/vm only, everyone else sees vm.h.
 *
 * The main thread owns all of it. What vCPU threads touch is: their struct vcpu, `bus` (constant
 * after the build), devices under the devices' locks, `backend_vm` (constant while they run), and
 * the run control under `lock`.
 */
#ifndef VMM_VM_PARTS_H
#define VMM_VM_PARTS_H

#include "machine/fdt_guest.h"
#include "machine/layout.h"
#include "machine/pl011.h"
#include "machine/pl031.h"
#include "machine/pl061.h"
#include "machine/virtio/mmio.h"
#include "vmm/backend/backend.h"
#include "vmm/devices/device.h"
#include "vmm/vm/console.h"
#include "vmm/vm/kernel.h"
#include "vmm/vm/memory.h"
#include "vmm/vm/vm.h"
#include <pthread.h>

/* What the vCPU threads shall do. */
enum vm_target { VM_TARGET_PARK, VM_TARGET_RUN, VM_TARGET_QUIT };

#define STOLEN_TIME_STRIDE 64u /* DEN0057: a vCPU's record */

struct vcpu {
    struct vm *vm;
    uint32_t index;
    int tid;
    pthread_t thread;
    struct backend_vcpu *backend;
    bool halted; /* it ended the VM or asked for a reset: not to run again before the next start */
    /* Only its own thread writes them. */
    uint64_t exits[BACKEND_EXIT_COUNT]; /* but MMIO */
    uint64_t mmio[2];                   /* loads, stores */
    uint64_t mmio_nowhere;
};

/* A queue's notification descriptor. */
struct place_queue {
    struct loop_source source; /* fd: the eventfd, or -1 */
    struct place *place;
    int call_fd; /* interrupts the guest, for vhost; or -1 */
    uint16_t index;
    bool wired; /* stores go to the eventfd */
};

/* One of the places of virtio-mmio, and the device in it. */
struct place {
    struct vm *vm;
    struct vmm_device *device;
    struct virtio_mmio mmio;
    uint32_t number;
    bool collects;   /* acknowledgements are collected now */
    bool uses_kicks; /* notifications come through descriptors, not through exits */
    struct place_queue queues[]; /* device->virtio->nr_queues */
};

struct vm {
    struct vm_config *config;
    struct loop *loop;
    enum vm_state state;
    uint32_t ending; /* atomic: 1 from the first vm_end() on */
    enum exit_code exit_code;
    bool built;

    struct backend *backend;
    struct backend_vm *backend_vm;
    struct backend_vm_config backend_config;
    struct backend_irqchip irqchip;

    struct vm_memory memory;
    uint8_t *mirror;      /* virtio-mmio registers that the guest reads without us, or NULL */
    uint8_t *stolen_time; /* the page of stolen times, or NULL */
    uint8_t *variables;   /* zeros in the place of firmware's variables, or NULL */
    size_t page_size;

    struct kernel kernel;
    struct bus bus;
    struct pl011 uart;
    struct pl031 rtc;
    struct pl061 gpio;
    struct loop_timer rtc_timer;
    struct loop_work rtc_work;
    struct loop_timer button_timer;
    uint64_t button_end_ns; /* when the button is released at the latest */
    struct console *console;
    int console_listen_fd; /* until the console has it; -1: none */

    struct vmm_device *devices;
    struct place *places[LAYOUT_VIRTIO_COUNT];
    uint32_t nr_places;

    pthread_mutex_t lock; /* run control: target, parked, halted */
    pthread_cond_t changed;
    enum vm_target target;
    uint32_t nr_parked;
    uint32_t nr_threads;
    struct loop_work reset_work;
    uint64_t resets;

    struct vcpu vcpus[]; /* config->cpus.count at creation of the threads */
};

/* build.c: the backend's part of the machine, which a reboot makes anew: VM, memory, vCPUs,
 * interrupt controller, registers. */
bool build_backend_vm(struct vm *vm, struct error *error);
/* Kernel, initrd and device tree into memory, the first vCPU to its entry. */
bool build_boot_state(struct vm *vm, struct error *error);

/* All that vm_build() has made, as far as it came. */
void vm_release_parts(struct vm *vm);
/* The same, devices and serial port excepted. */
void build_release(struct vm *vm);

/* place.c */
/* Puts the device into the next place and onto the bus. */
bool place_add(struct vm *vm, struct vmm_device *device, struct error *error);
void place_remove_all(struct vm *vm);
/* The backend's VM is new: register again what interrupts it. */
bool place_rewire(struct vm *vm, struct error *error);

/* vcpu.c */
bool vcpu_start_threads(struct vm *vm, struct error *error);
/* Return when no vCPU runs any more. */
void vcpu_park_all(struct vm *vm);
void vcpu_release_all(struct vm *vm);
void vcpu_quit_all(struct vm *vm);

/* reset.c: the guest asked for a reboot; a loop_work. */
void reset_run(struct loop_work *work);

/* serial.c: PL011, PL031, PL061 and the console. */
bool serial_create(struct vm *vm, struct error *error);
void serial_reset(struct vm *vm);
void serial_destroy(struct vm *vm);

#endif
