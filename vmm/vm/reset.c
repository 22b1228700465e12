/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's reboot, in the process and the memory that it has. In this order: no vCPU runs; no
 * device touches memory; devices are as after power-on, which also unwires their notifications
 * from the old VM of the backend; that goes, with all its state; memory reads as zero; a new one
 * comes, as at the first start.
 */
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/vm/parts.h"

static void quiet_devices(struct vm *vm)
{
    for (struct vmm_device *device = vm->devices; device != NULL; device = device->next) {
        if (device->quiesce != NULL) {
            device->quiesce(device);
        }
    }
    for (uint32_t i = 0; i < vm->nr_places; i++) {
        virtio_mmio_power_on(&vm->places[i]->mmio);
    }
    serial_reset(vm);
}

static bool rebuild(struct vm *vm, struct error *error)
{
    for (uint32_t i = 0; i < vm->nr_threads; i++) {
        vm->vcpus[i].backend = NULL;
        vm->vcpus[i].halted = false;
    }
    vm->backend->ops->vm_destroy(vm->backend_vm);
    vm->backend_vm = NULL;
    return memory_clear(&vm->memory, error) && build_backend_vm(vm, error) &&
           place_rewire(vm, error) && build_boot_state(vm, error);
}

void reset_run(struct loop_work *work)
{
    struct vm *vm = CONTAINER_OF(work, struct vm, reset_work);
    struct error error = ERROR_NONE;

    if (vm_get_state(vm) == VM_STOPPED) {
        return;
    }
    vcpu_park_all(vm);
    quiet_devices(vm);
    vm->resets++;
    log_info("the guest reboots");
    if (!rebuild(vm, &error)) {
        vm_end(vm, error.code, error.text);
        return;
    }
    if (vm->state == VM_RUNNING) {
        vcpu_release_all(vm);
    }
}
