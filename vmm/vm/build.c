/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a VM: ordered calls. Everything that is opened by name is opened here, by vm_build();
 * what a reboot does again, build_backend_vm() and build_boot_state(), opens nothing.
 */
#include "bothy/bits.h"
#include "vmm/backend/profile.h"
#include "vmm/vm/parts.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIRROR_SIZE (LAYOUT_VIRTIO_COUNT * VIRTIO_MMIO_SIZE)

/* A switch of the user's against what the host has. */
static bool decide(enum config_switch wish, bool has, const char *what, bool *ret,
                   struct error *error)
{
    if (wish == CONFIG_ON && !has) {
        return error_set(error, EXIT_CODE_HOST,
                         "this host's VMs have no %s: leave out %s=on", what, what);
    }
    *ret = has && wish != CONFIG_OFF;
    return true;
}

static bool check_host(struct vm *vm, struct error *error)
{
    const struct config_cpus *cpus = &vm->config->cpus;
    const struct backend_caps *caps = &vm->backend->caps;
    uint64_t end = LAYOUT_RAM_BASE + vm->config->memory.size;
    struct backend_vm_config *config = &vm->backend_config;
    bool named = profile_is_named(cpus->profile);

    config->nr_vcpus = cpus->count;
    config->ipa_bits = bits_last(end - 1) + 1;
    if (cpus->count > caps->max_vcpus) {
        return error_set(error, EXIT_CODE_HOST, "this host's VMs have at most %u vCPUs, not %u",
                         caps->max_vcpus, cpus->count);
    }
    if (config->ipa_bits > caps->ipa_bits) {
        return error_set(error, EXIT_CODE_HOST,
                         "this host's VMs have %u bits of address: at most %llu MiB of memory",
                         caps->ipa_bits,
                         (unsigned long long)((BIT(caps->ipa_bits) - LAYOUT_RAM_BASE) >> 20));
    }
    /* A profile without them is one without them. */
    return decide(cpus->sve, caps->sve && (cpus->sve == CONFIG_ON || !named), "sve", &config->sve,
                  error) &&
           decide(cpus->pauth, caps->pauth && (cpus->pauth == CONFIG_ON || !named), "pauth",
                  &config->pauth, error) &&
           decide(cpus->pmu, caps->pmu, "pmu", &config->pmu, error);
}

/* Pages beside the guest's RAM. */
static bool make_shared_page(uint8_t **page, size_t size, struct error *error)
{
    void *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "no memory for the VM");
    }
    *page = made;
    return true;
}

static bool make_pages(struct vm *vm, struct error *error)
{
    const struct backend_caps *caps = &vm->backend->caps;

    vm->page_size = (size_t)sysconf(_SC_PAGESIZE);
    if (caps->readonly_memory && vm->page_size <= MIRROR_SIZE &&
        !make_shared_page(&vm->mirror, MIRROR_SIZE, error)) {
        return false;
    }
    /* U-Boot takes the sum of its environment in flash whether or not there is flash, one byte at a
     * time: memory that is only read, so never taken. */
    if (caps->readonly_memory && vm->kernel.image.kind == IMAGE_RAW &&
        !make_shared_page(&vm->variables, LAYOUT_VARIABLES_USED, error)) {
        return false;
    }
    return !caps->pv_time || make_shared_page(&vm->stolen_time, vm->page_size, error);
}

static bool map_memory(struct vm *vm, struct error *error)
{
    const struct backend_ops *ops = vm->backend->ops;

    return ops->memory_map(vm->backend_vm, LAYOUT_RAM_BASE, vm->memory.size, vm->memory.base, 0,
                           error) &&
           (vm->mirror == NULL ||
            ops->memory_map(vm->backend_vm, LAYOUT_VIRTIO_BASE, MIRROR_SIZE, vm->mirror,
                            BACKEND_MEMORY_READONLY, error)) &&
           (vm->variables == NULL ||
            ops->memory_map(vm->backend_vm, LAYOUT_VARIABLES_BASE, LAYOUT_VARIABLES_USED,
                            vm->variables, BACKEND_MEMORY_READONLY, error)) &&
           (vm->stolen_time == NULL ||
            /* KVM writes to it only if the guest could: it harms itself at most. */
            ops->memory_map(vm->backend_vm, LAYOUT_PV_TIME_BASE, vm->page_size, vm->stolen_time, 0,
                            error));
}

static bool create_vcpus(struct vm *vm, struct error *error)
{
    for (uint32_t i = 0; i < vm->config->cpus.count; i++) {
        vm->vcpus[i].vm = vm;
        vm->vcpus[i].index = i;
        vm->vcpus[i].backend = vm->backend->ops->vcpu_create(vm->backend_vm, i, error);
        if (vm->vcpus[i].backend == NULL) {
            return false;
        }
    }
    return true;
}

static enum backend_gic wanted_gic(const struct vm_config *config)
{
    switch (config->gic) {
    case CONFIG_GIC_V2:
        return BACKEND_GIC_V2;
    case CONFIG_GIC_V3:
        return BACKEND_GIC_V3;
    default:
        return BACKEND_GIC_AUTO;
    }
}

static bool finish_vcpus(struct vm *vm, struct error *error)
{
    for (uint32_t i = 0; i < vm->config->cpus.count; i++) {
        uint64_t stolen = vm->stolen_time != NULL
                              ? LAYOUT_PV_TIME_BASE + i * STOLEN_TIME_STRIDE : 0;

        if (!vm->backend->ops->vcpu_ready(vm->vcpus[i].backend, stolen, error)) {
            return false;
        }
    }
    return true;
}

bool build_backend_vm(struct vm *vm, struct error *error)
{
    const struct backend_ops *ops = vm->backend->ops;

    if (vm->stolen_time != NULL && vm->resets != 0) {
        memset(vm->stolen_time, 0, vm->page_size);
    }
    vm->irqchip = (struct backend_irqchip){wanted_gic(vm->config), !vm->config->no_its};
    vm->backend_vm = ops->vm_create(vm->backend, &vm->backend_config, error);
    return vm->backend_vm != NULL && map_memory(vm, error) && create_vcpus(vm, error) &&
           profile_apply(vm->backend, vm->backend_vm, vm->vcpus[0].backend,
                         vm->config->cpus.profile, error) &&
           ops->irqchip_create(vm->backend_vm, &vm->irqchip, error) && finish_vcpus(vm, error);
}

static bool describe_machine(struct vm *vm, struct fdt_guest_config *fdt, struct error *error)
{
    *fdt = (struct fdt_guest_config){
        .nr_cpus = vm->config->cpus.count,
        .ram_size = vm->memory.size,
        .uart = true,
        .rtc = true,
        .gpio = true,
        .gicv2 = vm->irqchip.version == BACKEND_GIC_V2,
        .its = vm->irqchip.its,
        .pmu = vm->backend_config.pmu,
        .nr_virtio = vm->nr_places,
    };
    for (uint32_t i = 0; i < fdt->nr_cpus; i++) {
        uint64_t mpidr;

        if (!vm->backend->ops->register_get(vm->vcpus[i].backend, BACKEND_REG_MPIDR_EL1, &mpidr)) {
            return error_set_errno(error, EXIT_CODE_HOST, errno, "vCPU %u has no MPIDR_EL1", i);
        }
        fdt->mpidr[i] = (uint32_t)(mpidr & GENMASK(23, 0));
    }
    return true;
}

/* Documentation/arch/arm64/booting.rst: x0 is the device tree, x1 to x3 are 0, as after reset. */
bool build_boot_state(struct vm *vm, struct error *error)
{
    const struct backend_ops *ops = vm->backend->ops;
    struct backend_vcpu *first = vm->vcpus[0].backend;
    struct fdt_guest_config fdt;

    memory_begin_load(&vm->memory, &vm->config->memory, vm->kernel.image.file_size);
    if (!describe_machine(vm, &fdt, error) ||
        !kernel_load(&vm->kernel, vm->config, &vm->memory, &fdt, error)) {
        return false;
    }
    memory_end_load(&vm->memory, &vm->config->memory);
    if (!ops->register_set(first, BACKEND_REG_PC, vm->kernel.place.kernel) ||
        !ops->register_set(first, BACKEND_REG_X0, vm->kernel.place.fdt)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "the first vCPU can't be set up");
    }
    return true;
}

/* Takes the device, whatever happens. */
static bool add(struct vm *vm, struct vmm_device *device, struct error *error)
{
    struct vmm_device **last = &vm->devices;

    if (device == NULL) {
        return false;
    }
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = device;
    device->next = NULL;
    return place_add(vm, device, error);
}

/* In the order of their places, which is that of the guest's names: vda is the first disk. */
static bool create_devices(struct vm *vm, struct error *error)
{
    struct vm_config *config = vm->config;
    bool ok = true;

    for (uint32_t i = 0; ok && i < config->nr_disks; i++) {
        ok = add(vm, disk_create(vm, &config->disks[i], error), error);
    }
    for (uint32_t i = 0; ok && i < config->nr_nets; i++) {
        ok = add(vm, net_create(vm, &config->nets[i], error), error);
    }
    if (ok && config->virtio_console) {
        ok = add(vm, virtio_console_create(vm, error), error);
    }
    if (ok && !config->no_rng) {
        ok = add(vm, rng_create(vm, error), error);
    }
    if (ok && config->vsock.kind != CONFIG_VSOCK_NONE) {
        ok = add(vm, vsock_create(vm, &config->vsock, error), error);
    }
    if (ok && config->balloon.present) {
        ok = add(vm, balloon_create(vm, &config->balloon, error), error);
    }
    return ok;
}

bool vm_build(struct vm *vm, struct error *error)
{
    if (vm->built) {
        return error_set(error, EXIT_CODE_VMM, "the VM has been built already");
    }
    bus_init(&vm->bus);
    if (!kernel_open(&vm->kernel, vm->config, error) ||
        !backend_prepare_signals(error) ||
        (vm->backend = backend_open(error)) == NULL ||
        !check_host(vm, error) ||
        !memory_create(&vm->memory, &vm->config->memory, error) ||
        !make_pages(vm, error) ||
        !build_backend_vm(vm, error) ||
        !serial_create(vm, error) ||
        !create_devices(vm, error) ||
        !build_boot_state(vm, error)) {
        /* Over the API this may be tried again, with another configuration. */
        if (vm->console != NULL) {
            vm->console_listen_fd = console_give_back_socket(vm->console);
        }
        vm_release_parts(vm);
        return false;
    }
    vm->built = true;
    return true;
}

void build_release(struct vm *vm)
{
    if (vm->backend != NULL) {
        vm->backend->ops->vm_destroy(vm->backend_vm);
        vm->backend->ops->close(vm->backend);
    }
    for (uint32_t i = 0; i < vm->config->cpus.count; i++) {
        vm->vcpus[i].backend = NULL;
    }
    vm->backend = NULL;
    vm->backend_vm = NULL;
    if (vm->mirror != NULL) {
        munmap(vm->mirror, MIRROR_SIZE);
    }
    if (vm->variables != NULL) {
        munmap(vm->variables, LAYOUT_VARIABLES_USED);
    }
    if (vm->stolen_time != NULL) {
        munmap(vm->stolen_time, vm->page_size);
    }
    vm->mirror = NULL;
    vm->variables = NULL;
    vm->stolen_time = NULL;
    kernel_close(&vm->kernel);
    memory_destroy(&vm->memory);
}
