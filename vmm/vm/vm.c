/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's life: created, built, started, paused and resumed, ended, destroyed. What it is built of
 * is build.c's; what its vCPUs do, vcpu.c's.
 */
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/jail/jail.h"
#include "vmm/vm/parts.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct vm *vm_create(struct vm_config *config, struct loop *loop, struct error *error)
{
    struct vm *vm = calloc(1, sizeof(*vm) + CONFIG_VCPUS_MAX * sizeof(vm->vcpus[0]));

    if (vm == NULL) {
        error_set(error, EXIT_CODE_HOST, "no memory for the VM");
        return NULL;
    }
    vm->config = config;
    vm->loop = loop;
    vm->memory.fd = -1;
    vm->kernel.kernel_fd = -1;
    vm->kernel.initrd_fd = -1;
    vm->console_listen_fd = -1;
    vm->reset_work.run = reset_run;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);
    return vm;
}

static void destroy_devices(struct vm *vm)
{
    place_remove_all(vm);
    while (vm->devices != NULL) {
        struct vmm_device *device = vm->devices;

        vm->devices = device->next;
        device->destroy(device);
    }
}

void vm_release_parts(struct vm *vm)
{
    destroy_devices(vm);
    serial_destroy(vm);
    build_release(vm);
}

void vm_destroy(struct vm *vm)
{
    if (vm == NULL) {
        return;
    }
    vcpu_quit_all(vm);
    vm->state = VM_STOPPED;
    for (struct vmm_device *device = vm->devices; device != NULL; device = device->next) {
        if (device->quiesce != NULL) {
            device->quiesce(device);
        }
    }
    vm_release_parts(vm);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

static bool start_devices(struct vm *vm, struct error *error)
{
    bool good = true;

    for (struct vmm_device *device = vm->devices; device != NULL && good; device = device->next) {
        good = device->start == NULL || device->start(device, error);
    }
    return good;
}

bool vm_start(struct vm *vm, struct error *error)
{
    if (vm->state != VM_CONFIGURING || !vm->built) {
        return error_set(error, EXIT_CODE_VMM, "the VM has been started already");
    }
    /* The vCPUs' threads have filters of their own, not on top of the main thread's: what each exit
     * goes through shall be short. */
    if (!vcpu_start_threads(vm, error) || !start_devices(vm, error) ||
        !jail_thread(&vm->config->jail, JAIL_MAIN, error)) {
        return false;
    }
    vm->state = VM_RUNNING;
    vcpu_release_all(vm);
    return true;
}

static void pause_devices(struct vm *vm, bool paused)
{
    for (struct vmm_device *device = vm->devices; device != NULL; device = device->next) {
        if (device->pause != NULL) {
            device->pause(device, paused);
        }
    }
}

bool vm_pause(struct vm *vm)
{
    if (vm->state != VM_RUNNING) {
        return false;
    }
    vcpu_park_all(vm);
    pause_devices(vm, true);
    vm->state = VM_PAUSED;
    return true;
}

bool vm_resume(struct vm *vm)
{
    if (vm->state != VM_PAUSED) {
        return false;
    }
    pause_devices(vm, false);
    vm->state = VM_RUNNING;
    vcpu_release_all(vm);
    return true;
}

void vm_end(struct vm *vm, enum exit_code code, const char *reason)
{
    if (__atomic_exchange_n(&vm->ending, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    vm->exit_code = code;
    if (code == EXIT_CODE_OK) {
        log_info("%s", reason);
    } else {
        log_error("%s", reason);
    }
    loop_stop(vm->loop);
}

enum vm_state vm_get_state(const struct vm *vm)
{
    return __atomic_load_n(&vm->ending, __ATOMIC_ACQUIRE) != 0 ? VM_STOPPED : vm->state;
}

enum exit_code vm_exit_code(const struct vm *vm)
{
    return vm->exit_code;
}

struct vm_config *vm_get_config(struct vm *vm)
{
    return vm->config;
}

struct loop *vm_get_loop(struct vm *vm)
{
    return vm->loop;
}

struct console *vm_console(struct vm *vm)
{
    return vm->console;
}

struct vmm_device *vm_devices(struct vm *vm)
{
    return vm->devices;
}

struct vmm_device *vm_device_find(struct vm *vm, const char *id)
{
    struct vmm_device *device = vm->devices;

    while (device != NULL && strcmp(device->id, id) != 0) {
        device = device->next;
    }
    return device;
}

void vm_set_console_socket(struct vm *vm, int listen_fd)
{
    vm->console_listen_fd = listen_fd;
}

const void *vm_device_tree(const struct vm *vm, size_t *ret_size)
{
    *ret_size = vm->kernel.fdt_size;
    return memory_at(&vm->memory, vm->kernel.place.fdt, vm->kernel.fdt_size);
}

void vm_memory_region(const struct vm *vm, struct vm_memory_region *ret_region)
{
    *ret_region = (struct vm_memory_region){LAYOUT_RAM_BASE, vm->memory.size, vm->memory.base,
                                            vm->memory.fd};
}

static bool device_memory_read(void *opaque, uint64_t ipa, void *to, size_t size)
{
    struct vm *vm = opaque;
    const void *from = memory_at(&vm->memory, ipa, size);

    if (from != NULL) {
        memcpy(to, from, size);
    }
    return from != NULL;
}

static bool device_memory_write(void *opaque, uint64_t ipa, const void *from, size_t size)
{
    struct vm *vm = opaque;
    void *to = memory_at(&vm->memory, ipa, size);

    if (to != NULL) {
        memcpy(to, from, size);
    }
    return to != NULL;
}

static void *device_memory_at(void *opaque, uint64_t ipa, size_t size)
{
    struct vm *vm = opaque;

    return memory_at(&vm->memory, ipa, size);
}

static void device_irq_set(void *opaque, uint32_t spi, bool level)
{
    struct vm *vm = opaque;

    if (vm->backend_vm != NULL) {
        vm->backend->ops->irq_line(vm->backend_vm, spi, level);
    }
}

static uint64_t device_clock_ns(void *opaque)
{
    (void)opaque;
    return loop_now_ns();
}

static bool device_console_tx(void *opaque, uint8_t byte)
{
    struct vm *vm = opaque;

    if (vm->console != NULL) {
        console_output(vm->console, CONSOLE_SERIAL, &byte, 1);
    }
    return true;
}

static void device_console_rx_room(void *opaque)
{
    struct vm *vm = opaque;

    if (vm->console != NULL) {
        console_input_room(vm->console, CONSOLE_SERIAL);
    }
}

const struct vm_ops vm_device_ops = {
    .memory_read = device_memory_read,
    .memory_write = device_memory_write,
    .memory_at = device_memory_at,
    .irq_set = device_irq_set,
    .clock_ns = device_clock_ns,
    .console_tx = device_console_tx,
    .console_rx_room = device_console_rx_room,
};
