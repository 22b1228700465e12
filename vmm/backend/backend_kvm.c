/* SPDX-License-Identifier: Apache-2.0 */
/* KVM on arm64: /dev/kvm, what it can do, and why there may be none. */
#include "vmm/backend/backend_kvm.h"
#include "bothy/bits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE "/dev/kvm"
#define API_VERSION 12

int kvm_ioctl(int fd, unsigned long request, unsigned long argument)
{
    return ioctl(fd, request, argument);
}

int kvm_ioctl_with(int fd, unsigned long request, void *argument)
{
    return ioctl(fd, request, argument);
}

void kvm_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

uint32_t kvm_has(int fd, unsigned long capability)
{
    int result = kvm_ioctl(fd, KVM_CHECK_EXTENSION, capability);

    return result > 0 ? (uint32_t)result : 0;
}

static void close_kvm(struct backend *backend)
{
    struct kvm_backend *kvm = CONTAINER_OF(backend, struct kvm_backend, base);

    if (kvm->fd >= 0) {
        close(kvm->fd);
    }
    free(kvm);
}

static bool probe_kvm(struct backend *backend, struct error *error)
{
    struct kvm_backend *kvm = CONTAINER_OF(backend, struct kvm_backend, base);
    int vm = kvm_ioctl(kvm->fd, KVM_CREATE_VM, 0);

    if (vm < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "KVM can't create a VM");
    }
    backend->caps.gic_v2 = kvm_irqchip_test(vm, KVM_DEV_TYPE_ARM_VGIC_V2);
    backend->caps.gic_v3 = kvm_irqchip_test(vm, KVM_DEV_TYPE_ARM_VGIC_V3);
    backend->caps.its = kvm_irqchip_test(vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
    close(vm);
    return true;
}

static const struct backend_ops kvm_ops = {
    .close = close_kvm,
    .probe = probe_kvm,
    .vm_create = kvm_vm_create,
    .vm_destroy = kvm_vm_destroy,
    .memory_map = kvm_memory_map,
    .memory_unmap = kvm_memory_unmap,
    .memory_dirty = kvm_memory_dirty,
    .vcpu_create = kvm_vcpu_create,
    .irqchip_create = kvm_irqchip_create,
    .vcpu_ready = kvm_vcpu_ready,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .vcpu_unkick = kvm_vcpu_unkick,
    .vcpu_abort = kvm_vcpu_abort,
    .register_get = kvm_register_get,
    .register_set = kvm_register_set,
    .register_writable = kvm_register_writable,
    .irq_line = kvm_irq_line,
    .irqfd = kvm_irqfd,
    .ioeventfd = kvm_ioeventfd,
    .collect = kvm_collect,
    .collected = kvm_collected,
    .statistics_ready = kvm_statistics_ready,
    .statistics_open = kvm_statistics_open,
    .statistics = kvm_statistics,
};

static bool explain_open(int why, struct error *error)
{
    switch (why) {
    case ENOENT:
        return error_set(error, EXIT_CODE_HOST,
                         DEVICE " does not exist: this Linux has no KVM (CONFIG_KVM), or was not "
                                "started at EL2 by its firmware; `bothy doctor` tells which");
    case EACCES:
    case EPERM:
        return error_set(error, EXIT_CODE_HOST,
                         DEVICE " may not be opened by this user: join its group with "
                                "`sudo usermod -aG kvm $USER` and log in again");
    case ENODEV:
    case ENXIO:
        return error_set(error, EXIT_CODE_HOST,
                         DEVICE " is there without KVM behind it: the kernel was not started at "
                                "EL2, see `dmesg | grep -i kvm`");
    default:
        return error_set_errno(error, EXIT_CODE_HOST, why, "can't open " DEVICE);
    }
}

static void get_caps(struct kvm_backend *kvm)
{
    struct backend_caps *caps = &kvm->base.caps;
    uint32_t ipa_bits = kvm_has(kvm->fd, KVM_CAP_ARM_VM_IPA_SIZE);

    *caps = (struct backend_caps){
        .ipa_bits = ipa_bits != 0 ? ipa_bits : 40,
        .max_vcpus = kvm_has(kvm->fd, KVM_CAP_MAX_VCPUS),
        .sve = kvm_has(kvm->fd, KVM_CAP_ARM_SVE) != 0,
        .pauth = kvm_has(kvm->fd, KVM_CAP_ARM_PTRAUTH_ADDRESS) != 0 &&
                 kvm_has(kvm->fd, KVM_CAP_ARM_PTRAUTH_GENERIC) != 0,
        .pmu = kvm_has(kvm->fd, KVM_CAP_ARM_PMU_V3) != 0,
        .readonly_memory = kvm_has(kvm->fd, KVM_CAP_READONLY_MEM) != 0,
        .inject_abort = kvm_has(kvm->fd, KVM_CAP_ARM_INJECT_EXT_DABT) != 0,
        .pv_time = kvm_has(kvm->fd, KVM_CAP_STEAL_TIME) != 0,
        .collects = kvm_has(kvm->fd, KVM_CAP_COALESCED_MMIO) == KVM_COALESCED_MMIO_PAGE_OFFSET,
        .id_registers = kvm_has(kvm->fd, KVM_NEW_CAP_REG_MASK_RANGES) != 0,
        .statistics = kvm_has(kvm->fd, KVM_CAP_BINARY_STATS_FD) != 0,
    };
}

struct backend *backend_open(struct error *error)
{
    struct kvm_backend *kvm = calloc(1, sizeof(*kvm));
    int size;

    if (kvm == NULL) {
        error_set(error, EXIT_CODE_HOST, "no memory for the VM");
        return NULL;
    }
    kvm->base.ops = &kvm_ops;
    kvm->base.name = "KVM";
    kvm->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
    if (kvm->fd < 0) {
        explain_open(errno, error);
        close_kvm(&kvm->base);
        return NULL;
    }
    size = kvm_ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (kvm_ioctl(kvm->fd, KVM_GET_API_VERSION, 0) != API_VERSION || size < 0) {
        error_set(error, EXIT_CODE_HOST, DEVICE " doesn't speak KVM's API version 12");
        close_kvm(&kvm->base);
        return NULL;
    }
    kvm->run_size = (size_t)size;
    kvm->page_size = (size_t)sysconf(_SC_PAGESIZE);
    get_caps(kvm);
    return &kvm->base;
}
