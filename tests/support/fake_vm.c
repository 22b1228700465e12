/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for vm.h and the run-time calls of device.h. There is one fake VM at a time where a
 * call doesn't say which. */
#include "support/fake_vm.h"
#include "vmm/api/metrics.h"
#include <stdlib.h>
#include <string.h>

static struct vm *current;

void fake_vm_init(struct vm *vm, struct loop *loop)
{
    memset(vm, 0, sizeof(*vm));
    vm_config_init(&vm->config);
    strcpy(vm->config.name, "fake");
    vm->loop = loop;
    current = vm;
}

void fake_vm_release(struct vm *vm)
{
    vm_config_release(&vm->config);
    free(vm->replaced);
    current = NULL;
}

static void add_device(struct vm *vm, const char *id, const char *kind)
{
    struct vmm_device *device = &vm->devices[vm->nr_devices];

    *device = (struct vmm_device){.id = id, .kind = kind};
    if (vm->nr_devices++ > 0) {
        device[-1].next = device;
    }
}

void fake_vm_start(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->config.nr_disks; i++) {
        add_device(vm, vm->config.disks[i].id, "disk");
    }
    for (uint32_t i = 0; i < vm->config.nr_nets; i++) {
        add_device(vm, vm->config.nets[i].id, "net");
    }
    if (vm->config.balloon.present) {
        add_device(vm, "balloon", "balloon");
    }
    vm->state = VM_RUNNING;
}

struct loop *vm_get_loop(struct vm *vm)
{
    return vm->loop;
}

bool vm_pause(struct vm *vm)
{
    bool done = vm->state == VM_RUNNING;

    vm->pauses++;
    vm->state = done ? VM_PAUSED : vm->state;
    return done;
}

bool vm_resume(struct vm *vm)
{
    bool done = vm->state == VM_PAUSED;

    vm->resumes++;
    vm->state = done ? VM_RUNNING : vm->state;
    return done;
}

bool vm_power_button(struct vm *vm)
{
    vm->presses++;
    return vm->state == VM_RUNNING;
}

void vm_end(struct vm *vm, enum exit_code code, const char *reason)
{
    vm->exit_code = vm->ends++ == 0 ? code : vm->exit_code;
    vm->state = VM_STOPPED;
}

enum vm_state vm_get_state(const struct vm *vm)
{
    return vm->state;
}

struct vm_config *vm_get_config(struct vm *vm)
{
    return &vm->config;
}

struct vmm_device *vm_devices(struct vm *vm)
{
    return vm->nr_devices > 0 ? &vm->devices[0] : NULL;
}

struct vmm_device *vm_device_find(struct vm *vm, const char *id)
{
    for (uint32_t i = 0; i < vm->nr_devices; i++) {
        if (strcmp(vm->devices[i].id, id) == 0) {
            return &vm->devices[i];
        }
    }
    return NULL;
}

void vm_collect_metrics(struct vm *vm, struct metrics *metrics)
{
    metrics_counter(metrics, "bothy_vcpu_exits", "Exits by reason.", "vcpu=\"0\",reason=\"WFx\"",
                    17);
}

static bool give_in(struct error *error)
{
    return !current->fails || error_set(error, EXIT_CODE_GUEST, "the fake refuses");
}

bool disk_set_rate(struct vmm_device *device, const struct config_rate *rate, struct error *error)
{
    current->disk_rate = *rate;
    return give_in(error);
}

bool disk_replace(struct vmm_device *device, const char *path, struct error *error)
{
    free(current->replaced);
    current->replaced = strdup(path);
    return give_in(error);
}

bool net_set_rate(struct vmm_device *device, const struct config_rate *rx,
                  const struct config_rate *tx, struct error *error)
{
    current->rx_rate = *rx;
    current->tx_rate = *tx;
    return give_in(error);
}

bool balloon_set_target(struct vmm_device *device, uint64_t target_mib, struct error *error)
{
    current->target_mib = target_mib;
    return give_in(error);
}

bool balloon_set_interval(struct vmm_device *device, uint32_t seconds, struct error *error)
{
    current->interval_s = seconds;
    return give_in(error);
}

bool balloon_get_stats(struct vmm_device *device, struct balloon_stats *ret_stats)
{
    memset(ret_stats, 0xff, sizeof(*ret_stats)); /* nothing told yet */
    ret_stats->target = current->target_mib << 20;
    ret_stats->actual = 3u << 20;
    ret_stats->free = 123456;
    return !current->fails;
}
