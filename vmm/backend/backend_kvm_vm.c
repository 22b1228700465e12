/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM of KVM: its memory slots, interrupt lines and notification descriptors. Slots are found by
 * address; there are a handful.
 */
#include "bothy/bits.h"
#include "machine/layout.h"
#include "vmm/backend/backend_kvm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IPA_BITS_DEFAULT 40u
#define IPA_BITS_LEAST 32u

static void explain_create(const struct kvm_backend *kvm, uint32_t bits, int why,
                           struct error *error)
{
    if (why == EINVAL && bits > kvm->base.caps.ipa_bits) {
        error_set(error, EXIT_CODE_HOST,
                  "this host's VMs have at most %u bits of address, this one needs %u: give it "
                  "less memory",
                  kvm->base.caps.ipa_bits, bits);
        return;
    }
    error_set_errno(error, EXIT_CODE_HOST, why, "KVM can't create a VM with %u bits of address",
                    bits);
}

/* The default type is 40 bits, which older hosts take only as 0; smaller ones must be named. */
static unsigned long vm_type(const struct kvm_backend *kvm, uint32_t bits)
{
    if (bits <= IPA_BITS_DEFAULT && kvm->base.caps.ipa_bits >= IPA_BITS_DEFAULT) {
        return 0;
    }
    return KVM_VM_TYPE_ARM_IPA_SIZE(MAX(bits, IPA_BITS_LEAST));
}

struct backend_vm *kvm_vm_create(struct backend *backend, const struct backend_vm_config *config,
                                 struct error *error)
{
    struct kvm_backend *kvm = CONTAINER_OF(backend, struct kvm_backend, base);
    struct backend_vm *vm = calloc(1, sizeof(*vm) + config->nr_vcpus * sizeof(vm->vcpus[0]));

    if (vm == NULL) {
        error_set(error, EXIT_CODE_HOST, "no memory for the VM");
        return NULL;
    }
    vm->backend = kvm;
    vm->config = *config;
    vm->gic_fd = -1;
    vm->its_fd = -1;
    vm->stats_fd = -1;
    for (uint32_t i = 0; i < config->nr_vcpus; i++) {
        vm->vcpus[i].fd = -1;
        vm->vcpus[i].stats_fd = -1;
    }
    vm->fd = kvm_ioctl(kvm->fd, KVM_CREATE_VM, vm_type(kvm, config->ipa_bits));
    if (vm->fd < 0) {
        explain_create(kvm, config->ipa_bits, errno, error);
        kvm_vm_destroy(vm);
        return NULL;
    }
    if (backend->caps.inject_abort) {
        struct kvm_enable_cap nisv = {.cap = KVM_CAP_ARM_NISV_TO_USER};

        /* Accesses without a syndrome come out instead of ending the run with ENOSYS. */
        kvm_ioctl_with(vm->fd, KVM_ENABLE_CAP, &nisv);
    }
    if (backend->caps.pv_time) {
        kvm_time_ask(vm);
    }
    return vm;
}

void kvm_vm_destroy(struct backend_vm *vm)
{
    if (vm == NULL) {
        return;
    }
    for (uint32_t i = 0; i < vm->config.nr_vcpus; i++) {
        kvm_vcpu_close(&vm->vcpus[i]);
    }
    kvm_close(&vm->stats_fd);
    kvm_close(&vm->its_fd);
    kvm_close(&vm->gic_fd);
    kvm_close(&vm->fd);
    free(vm->id_masks);
    free(vm);
}

static bool set_slot(struct backend_vm *vm, uint32_t index, const struct kvm_slot *slot)
{
    struct kvm_userspace_memory_region region = {
        .slot = index,
        .flags = slot->flags,
        .guest_phys_addr = slot->ipa,
        .memory_size = slot->size,
        .userspace_addr = (uintptr_t)slot->base,
    };

    return kvm_ioctl_with(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static uint32_t find_slot(const struct backend_vm *vm, uint64_t ipa)
{
    uint32_t i = 0;

    while (i < KVM_MEMORY_SLOTS && (vm->slots[i].size == 0 || vm->slots[i].ipa != ipa)) {
        i++;
    }
    return i;
}

bool kvm_memory_map(struct backend_vm *vm, uint64_t ipa, uint64_t size, void *base, uint32_t flags,
                    struct error *error)
{
    struct kvm_slot slot = {ipa, size, base, 0};
    uint32_t i = 0;

    while (i < KVM_MEMORY_SLOTS && vm->slots[i].size != 0) {
        i++;
    }
    if (i == KVM_MEMORY_SLOTS) {
        return error_set(error, EXIT_CODE_VMM, "more than %u pieces of guest memory",
                         KVM_MEMORY_SLOTS);
    }
    slot.flags |= (flags & BACKEND_MEMORY_READONLY) != 0 ? KVM_MEM_READONLY : 0;
    slot.flags |= (flags & BACKEND_MEMORY_DIRTY_LOG) != 0 ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    if (!set_slot(vm, i, &slot)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "KVM doesn't take %llu MiB of guest memory at %#llx",
                               (unsigned long long)(size >> 20), (unsigned long long)ipa);
    }
    vm->slots[i] = slot;
    return true;
}

bool kvm_memory_unmap(struct backend_vm *vm, uint64_t ipa, struct error *error)
{
    uint32_t i = find_slot(vm, ipa);
    struct kvm_slot gone;

    if (i == KVM_MEMORY_SLOTS) {
        return error_set(error, EXIT_CODE_VMM, "no guest memory begins at %#llx",
                         (unsigned long long)ipa);
    }
    gone = vm->slots[i];
    gone.size = 0;
    if (!set_slot(vm, i, &gone)) {
        return error_set_errno(error, EXIT_CODE_VMM, errno,
                               "KVM doesn't give back guest memory at %#llx",
                               (unsigned long long)ipa);
    }
    vm->slots[i] = gone;
    return true;
}

bool kvm_memory_dirty(struct backend_vm *vm, uint64_t ipa, uint64_t *bitmap)
{
    struct kvm_dirty_log log = {.slot = find_slot(vm, ipa), .dirty_bitmap = bitmap};

    return log.slot < KVM_MEMORY_SLOTS && kvm_ioctl_with(vm->fd, KVM_GET_DIRTY_LOG, &log) == 0;
}

bool kvm_irq_line(struct backend_vm *vm, uint32_t spi, bool level)
{
    struct kvm_irq_level line = {
        .irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (spi + LAYOUT_SPI_BASE),
        .level = level,
    };

    return kvm_ioctl_with(vm->fd, KVM_IRQ_LINE, &line) == 0;
}

bool kvm_irqfd(struct backend_vm *vm, int fd, uint32_t spi, bool assign)
{
    struct kvm_irqfd irqfd = {
        .fd = (uint32_t)fd,
        .gsi = spi, /* without a routing table, GSI n is SPI n */
        .flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
    };

    return kvm_ioctl_with(vm->fd, KVM_IRQFD, &irqfd) == 0;
}

bool kvm_ioeventfd(struct backend_vm *vm, int fd, uint64_t address, uint32_t match, bool assign)
{
    struct kvm_ioeventfd ioeventfd = {
        .datamatch = match,
        .addr = address,
        .len = sizeof(uint32_t),
        .fd = fd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    return kvm_ioctl_with(vm->fd, KVM_IOEVENTFD, &ioeventfd) == 0;
}

bool kvm_collect(struct backend_vm *vm, uint64_t address, bool assign)
{
    struct kvm_coalesced_mmio_zone zone = {.addr = address, .size = sizeof(uint32_t)};

    return kvm_ioctl_with(vm->fd,
                          assign ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
                          &zone) == 0;
}

/* The ring is one for all vCPUs, in the run area of each, behind its first page. KVM writes `last`
 * after the entry (its smp_wmb), and takes an entry's room only after `first` has moved on. */
void kvm_collected(struct backend_vm *vm, backend_store_t each, void *context)
{
    size_t page = vm->backend->page_size;
    uint32_t room = (uint32_t)((page - sizeof(struct kvm_coalesced_mmio_ring)) /
                               sizeof(struct kvm_coalesced_mmio));
    struct kvm_coalesced_mmio_ring *ring =
        (void *)((char *)vm->vcpus[0].run + KVM_COALESCED_MMIO_PAGE_OFFSET * page);
    uint32_t first;
    uint32_t last;

    spin_lock(&vm->ring_lock);
    first = ring->first % room;
    last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) % room;
    for (; first != last; first = (first + 1) % room) {
        uint32_t value;

        memcpy(&value, ring->coalesced_mmio[first].data, sizeof(value));
        each(context, ring->coalesced_mmio[first].phys_addr, value);
    }
    __atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
    spin_unlock(&vm->ring_lock);
}
