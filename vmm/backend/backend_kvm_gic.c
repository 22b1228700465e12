/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's interrupt controller at the layout's places: a GICv3 with its ITS, or a GICv2 where the
 * host's is one or the user wants it.
 */
#include "bothy/bits.h"
#include "machine/layout.h"
#include "vmm/backend/backend_kvm.h"
#include <errno.h>
#include <string.h>

#define NR_IRQS 256u /* 32 private ones, and SPIs for the layout's 0 to 223 */
#define REDIST_COUNT_SHIFT 52

static int create_device(int vm_fd, uint32_t type, uint32_t flags)
{
    struct kvm_create_device device = {.type = type, .flags = flags};

    if (kvm_ioctl_with(vm_fd, KVM_CREATE_DEVICE, &device) != 0) {
        return -1;
    }
    return (int)device.fd;
}

bool kvm_irqchip_test(int vm_fd, uint32_t type)
{
    return create_device(vm_fd, type, KVM_CREATE_DEVICE_TEST) >= 0;
}

static bool set_attribute(int fd, uint32_t group, uint64_t number, void *value)
{
    struct kvm_device_attr attribute = {
        .group = group, .attr = number, .addr = (uintptr_t)value};

    return kvm_ioctl_with(fd, KVM_SET_DEVICE_ATTR, &attribute) == 0;
}

static bool set_address(int fd, uint64_t type, uint64_t address)
{
    return set_attribute(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &address);
}

static bool place_v3(const struct backend_vm *vm)
{
    uint64_t region = (uint64_t)vm->config.nr_vcpus << REDIST_COUNT_SHIFT | LAYOUT_GICR_BASE;

    return set_address(vm->gic_fd, KVM_VGIC_V3_ADDR_TYPE_DIST, LAYOUT_GICD_BASE) &&
           set_address(vm->gic_fd, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, region);
}

static bool place_v2(const struct backend_vm *vm)
{
    return set_address(vm->gic_fd, KVM_VGIC_V2_ADDR_TYPE_DIST, LAYOUT_GICD_BASE) &&
           set_address(vm->gic_fd, KVM_VGIC_V2_ADDR_TYPE_CPU, LAYOUT_GICC_BASE);
}

static bool init_gic(struct backend_vm *vm, enum backend_gic version)
{
    uint32_t nr_irqs = NR_IRQS;

    return (version == BACKEND_GIC_V3 ? place_v3(vm) : place_v2(vm)) &&
           set_attribute(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &nr_irqs) &&
           set_attribute(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

static bool init_its(struct backend_vm *vm)
{
    return set_address(vm->its_fd, KVM_VGIC_ITS_ADDR_TYPE,
                       LAYOUT_GITS_BASE) &&
           set_attribute(vm->its_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

static bool explain_version(enum backend_gic version, int why, struct error *error)
{
    if (version == BACKEND_GIC_AUTO) {
        return error_set_errno(error, EXIT_CODE_HOST, why,
                               "KVM offers neither a GICv3 nor a GICv2 on this host");
    }
    return error_set_errno(error, EXIT_CODE_HOST, why,
                           "this host can't give its guests a GICv%u: use --gic auto",
                           version == BACKEND_GIC_V3 ? 3u : 2u);
}

bool kvm_irqchip_create(struct backend_vm *vm, struct backend_irqchip *irqchip,
                        struct error *error)
{
    enum backend_gic version = irqchip->version;

    if (version != BACKEND_GIC_V2) {
        vm->gic_fd = create_device(vm->fd, KVM_DEV_TYPE_ARM_VGIC_V3, 0);
        irqchip->version = BACKEND_GIC_V3;
    }
    if (vm->gic_fd < 0 && version != BACKEND_GIC_V3) {
        vm->gic_fd = create_device(vm->fd, KVM_DEV_TYPE_ARM_VGIC_V2, 0);
        irqchip->version = BACKEND_GIC_V2;
    }
    if (vm->gic_fd < 0) {
        return explain_version(version, errno, error);
    }
    if (irqchip->version == BACKEND_GIC_V2 && vm->config.nr_vcpus > LAYOUT_GICV2_CPUS_MAX) {
        return error_set(error, EXIT_CODE_USAGE, "a GICv2 has at most %u CPUs, not %u",
                         LAYOUT_GICV2_CPUS_MAX, vm->config.nr_vcpus);
    }
    if (!init_gic(vm, irqchip->version)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "KVM can't set up its GICv%u",
                               irqchip->version == BACKEND_GIC_V3 ? 3u : 2u);
    }
    irqchip->its = irqchip->its && irqchip->version == BACKEND_GIC_V3;
    if (irqchip->its) {
        vm->its_fd = create_device(vm->fd, KVM_DEV_TYPE_ARM_VGIC_ITS, 0);
        irqchip->its = vm->its_fd >= 0;
    }
    if (irqchip->its && !init_its(vm)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "KVM can't set up its ITS");
    }
    return true;
}
