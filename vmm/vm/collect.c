/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's metrics: its own counters, the host's under the host's names, the devices'. */
#include "vmm/api/metrics.h"
#include "bothy/bits.h"
#include "vmm/vm/parts.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LABELS_MAX 160
#define NS_PER_S 1e9

/* Exits to devices are counted as loads and stores, behind the others. */
static const char *const exit_names[BACKEND_EXIT_COUNT + 2] = {
    [BACKEND_EXIT_INTERRUPTED] = "interrupted",
    [BACKEND_EXIT_OFF] = "off",
    [BACKEND_EXIT_RESET] = "reset",
    [BACKEND_EXIT_CRASH] = "crash",
    [BACKEND_EXIT_NO_SYNDROME] = "no_syndrome",
    [BACKEND_EXIT_FAILED] = "failed",
    [BACKEND_EXIT_COUNT] = "mmio_read",
    [BACKEND_EXIT_COUNT + 1] = "mmio_write",
};

static void collect_exits(const struct vcpu *vcpu, struct metrics *metrics)
{
    char labels[LABELS_MAX];

    for (uint32_t kind = 0; kind < BACKEND_EXIT_COUNT + 2; kind++) {
        bool mmio = kind >= BACKEND_EXIT_COUNT;
        const uint64_t *counter =
            mmio ? &vcpu->mmio[kind - BACKEND_EXIT_COUNT] : &vcpu->exits[kind];

        if (kind != BACKEND_EXIT_MMIO) {
            snprintf(labels, sizeof(labels), "vcpu=\"%u\",kind=\"%s\"", vcpu->index,
                     exit_names[kind]);
            metrics_counter(metrics, "bothy_vcpu_exits", "Exits that the VMM served, by kind",
                            labels, __atomic_load_n(counter, __ATOMIC_RELAXED));
        }
    }
    snprintf(labels, sizeof(labels), "vcpu=\"%u\"", vcpu->index);
    metrics_counter(metrics, "bothy_vcpu_mmio_nowhere", "Accesses to where no device is", labels,
                    __atomic_load_n(&vcpu->mmio_nowhere, __ATOMIC_RELAXED));
}

/* Seconds that the vCPU's thread has run, in the guest and for it. */
static void collect_time(const struct vcpu *vcpu, struct metrics *metrics)
{
    char labels[LABELS_MAX];
    struct timespec time;
    clockid_t clock;

    if (pthread_getcpuclockid(vcpu->thread, &clock) == 0 && clock_gettime(clock, &time) == 0) {
        snprintf(labels, sizeof(labels), "vcpu=\"%u\"", vcpu->index);
        metrics_gauge(metrics, "bothy_vcpu_cpu_seconds", "CPU time of the vCPU's thread", labels,
                      (double)time.tv_sec + (double)time.tv_nsec / NS_PER_S);
    }
}

/* What KVM counts of its exits, and the reason that its tracepoint kvm_exit gives these. Of data
 * aborts it counts those for devices alone. */
static const struct {
    const char *stat;
    const char *reason;
} kvm_reasons[] = {
    {"hvc_exit_stat", "HVC64"},
    {"wfi_exit_stat", "WFx"},
    {"wfe_exit_stat", "WFx"},
    {"mmio_exit_user", "DABT_LOW"},
    {"mmio_exit_kernel", "DABT_LOW"},
};

static void collect_reason(struct metrics *metrics, int vcpu, const char *name, uint64_t value)
{
    char labels[LABELS_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(kvm_reasons); i++) {
        if (strcmp(kvm_reasons[i].stat, name) == 0) {
            snprintf(labels, sizeof(labels), "vcpu=\"%d\",reason=\"%s\",stat=\"%s\"", vcpu,
                     kvm_reasons[i].reason, name);
            metrics_counter(metrics, "bothy_kvm_exits", "Exits that KVM counts by reason", labels,
                            value);
        }
    }
}

/* One of the host's statistics, under KVM's own name for it. */
static void collect_stat(void *context, int vcpu, const char *name, uint64_t value)
{
    struct metrics *metrics = context;
    char labels[LABELS_MAX];

    if (vcpu < 0) {
        snprintf(labels, sizeof(labels), "stat=\"%.64s\"", name);
        metrics_counter(metrics, "bothy_kvm_vm", "KVM's statistics of the VM, by KVM's name",
                        labels, value);
        return;
    }
    collect_reason(metrics, vcpu, name, value);
    snprintf(labels, sizeof(labels), "vcpu=\"%d\",stat=\"%.64s\"", vcpu, name);
    metrics_counter(metrics, "bothy_kvm_vcpu", "KVM's statistics of a vCPU, by KVM's name", labels,
                    value);
}

static void collect_host(struct vm *vm, struct metrics *metrics)
{
    const struct backend_ops *ops = vm->backend->ops;

    if (!ops->statistics_ready(vm->backend_vm)) {
        bool runs = vm->state == VM_RUNNING; /* also when the end is near */

        if (runs) {
            vcpu_park_all(vm);
        }
        ops->statistics_open(vm->backend_vm);
        if (runs) {
            vcpu_release_all(vm);
        }
    }
    ops->statistics(vm->backend_vm, collect_stat, metrics);
}

void vm_collect_metrics(struct vm *vm, struct metrics *metrics)
{
    metrics_gauge(metrics, "bothy_vm_state", "0 configuring, 1 running, 2 paused, 3 stopped", "",
                  (double)vm_get_state(vm));
    metrics_counter(metrics, "bothy_vm_resets", "Reboots of the guest", "", vm->resets);
    metrics_gauge(metrics, "bothy_vm_memory_bytes", "The guest's memory", "",
                  (double)vm->memory.size);
    for (uint32_t i = 0; i < vm->nr_threads; i++) {
        collect_exits(&vm->vcpus[i], metrics);
        collect_time(&vm->vcpus[i], metrics);
    }
    if (vm->backend_vm != NULL) {
        collect_host(vm, metrics);
    }
    for (struct vmm_device *device = vm->devices; device != NULL; device = device->next) {
        if (device->metrics != NULL) {
            device->metrics(device, metrics);
        }
    }
}
