/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a partition to a VM: memory of EL2's own for it, its devices on the bus, its FDT. All of
 * this happens once, at boot; a restart makes nothing new.
 */
#include "arch/mmio.h"
#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include "core/pv_time.h"
#include "core/vgic.h"
#include "el2/console.h"
#include "el2/guest.h"
#include "el2/hyp.h"
#include "el2/populate.h"
#include "el2/run.h"
#include "machine/fdt_guest.h"
#include "machine/layout.h"

#define FDT_PAGES (IMAGE_FDT_SIZE / MEMORY_PAGE)

static bool hook_entropy(struct vm *vm, uint64_t *ret_bits)
{
    (void)vm;
    return entropy_fill(&hyp.entropy, ret_bits, sizeof(*ret_bits));
}

void guest_device_deadline(struct guest *guest)
{
    uint64_t ns = pl031_deadline(&guest->rtc);
    uint64_t at = UINT64_MAX;

    if (ns != PL031_NO_DEADLINE)
        at = ns / 1000000000u * hyp.frequency +
             (ns % 1000000000u) * hyp.frequency / 1000000000u + 1;
    __atomic_store_n(&guest->device_deadline, at, __ATOMIC_RELAXED);
}

static enum trap_result hook_mmio(struct vcpu *vcpu, struct mmio_access *access)
{
    struct guest *guest = guest_of(vcpu->vm);

    if (bus_access(&guest->bus, access->ipa.ipa, access->size, access->write, &access->value) !=
        BUS_OK)
        return TRAP_ABORT;
    if (access->ipa.ipa - LAYOUT_RTC_BASE < MEMORY_PAGE) {
        guest_device_deadline(guest);
        run_wake_at(guest->device_deadline);
    } else if (!access->write && access->ipa.ipa == LAYOUT_UART_BASE) {
        console_rx_ready(guest->index);
    }
    return TRAP_NEXT;
}

static const struct vm_hooks hooks = {
    .mmio = hook_mmio,
    .ram_fault = populate_fault,
    .kick = run_kick,
    .sync_vcpu = run_sync_vcpu,
    .timer_changed = run_timer_changed,
    .vcpu_start = guest_vcpu_start,
    .power = guest_power,
    .flush_memory = populate_flush,
    .entropy = hook_entropy,
};

static void ops_irq_set(void *vm, uint32_t spi, bool level)
{
    struct guest *guest = vm;

    vgic_set_spi_level(&guest->vm, LAYOUT_SPI_BASE + spi, level);
}

static uint64_t ops_clock_ns(void *vm)
{
    (void)vm;
    return guest_ticks_to_ns(read_cntpct_el0());
}

static bool ops_console_tx(void *vm, uint8_t byte)
{
    const struct guest *guest = vm;
    bool taken = console_guest_tx(guest->index, byte);

    run_wake_at(console_deadline()); /* a prompt has no line end: it is shown after a while */
    return taken;
}

static const struct vm_ops device_ops = {
    .irq_set = ops_irq_set,
    .clock_ns = ops_clock_ns,
    .console_tx = ops_console_tx,
};

static enum status add_devices(struct guest *guest)
{
    uint32_t seconds = hyp.rtc ? mmio_read32(hyp.rtc) : 0;
    enum bus_result result = BUS_OK;

    bus_init(&guest->bus);
    pl011_init(&guest->uart, &device_ops, guest, LAYOUT_SPI_UART);
    pl031_init(&guest->rtc, &device_ops, guest, LAYOUT_SPI_RTC, seconds);
    guest->device_deadline = UINT64_MAX;
    if (guest->config->vpl011)
        result = bus_attach(&guest->bus, LAYOUT_UART_BASE, MEMORY_PAGE, pl011_access, &guest->uart);
    if (result == BUS_OK)
        result = bus_attach(&guest->bus, LAYOUT_RTC_BASE, MEMORY_PAGE, pl031_access, &guest->rtc);
    return result == BUS_OK ? STATUS_OK : STATUS_INVALID;
}

static enum status build_fdt(struct memory *memory, struct guest *guest,
                             struct guest_segment *ret_segment)
{
    const struct partition_config *config = guest->config;
    uint8_t entropy[FDT_GUEST_ENTROPY_SIZE];
    bool random = entropy_fill(&hyp.entropy, entropy, sizeof(entropy));
    size_t size;
    void *fdt = memory_alloc(memory, FDT_PAGES);

    if (!fdt)
        return STATUS_NO_MEMORY;
    struct fdt_guest_config fdt_config = {
        .nr_cpus = config->nr_vcpus,
        .ram_size = config->memory,
        .bootargs = config->bootargs,
        .initrd_start = config->placement.ramdisk,
        .initrd_end = config->placement.ramdisk + config->ramdisk.size,
        .entropy = random ? entropy : NULL,
        .uart = config->vpl011,
        .rtc = true,
    };

    for (uint32_t i = 0; i < config->nr_vcpus; i++)
        fdt_config.mpidr[i] = guest->vm.vcpus[i]->mpidr;

    enum status status =
        fdt_guest_build(&fdt_config, fdt, FDT_PAGES * MEMORY_PAGE, &size);

    if (status == STATUS_OK)
        *ret_segment = (struct guest_segment){
            .ipa = config->placement.fdt, .size = size, .va = fdt};
    return status;
}

static enum status create_vcpus(struct memory *memory, struct guest *guest)
{
    struct vm *vm = &guest->vm;

    for (uint32_t i = 0; i < guest->config->nr_vcpus; i++) {
        struct vcpu *vcpu = memory_alloc_object(memory, sizeof(*vcpu));

        if (!vcpu)
            return STATUS_NO_MEMORY;
        vcpu->vm = vm;
        vcpu->id = i;
        vcpu->mpidr = i; /* Aff0: at most VM_VCPU_MAX, so SGI target lists reach all */
        vcpu->vmpidr = MPIDR_EL1_RES1 | i;
        if (guest->config->nr_vcpus == 1)
            vcpu->vmpidr |= MPIDR_EL1_U;
        vcpu->pv_time = ipa(LAYOUT_PV_TIME_BASE + i * sizeof(struct pv_time_record));
        vcpu->sched.affinity = guest->config->affinity_given ? guest->config->affinity[i] : 0;
        vcpu->sched.priority = guest->config->priority;
        vcpu->sched.wake_at = SCHED_NEVER;
        vm->vcpus[i] = vcpu;
        vm->nr_vcpus = i + 1;
    }
    return STATUS_OK;
}

/* The page with the stolen times; EL2 writes it, the guest can only read. */
static enum status map_pv_time(struct memory *memory, struct guest *guest)
{
    struct vm *vm = &guest->vm;

    guest->pv_time = memory_alloc(memory, 1);
    if (!guest->pv_time)
        return STATUS_NO_MEMORY;
    vm->pv_time_base = ipa(LAYOUT_PV_TIME_BASE);
    spin_lock(&vm->s2.lock);
    enum status status = s2_map(&vm->s2, vm->pv_time_base, memory_pa(memory, guest->pv_time),
                                MEMORY_PAGE, S2_READ);
    spin_unlock(&vm->s2.lock);
    return status;
}

static void add_segments(struct guest *guest)
{
    const struct partition_config *config = guest->config;

    guest->segments[guest->nr_segments++] = (struct guest_segment){
        .ipa = config->placement.kernel, .size = config->kernel.size, .pa = config->kernel.base};
    if (config->ramdisk.size)
        guest->segments[guest->nr_segments++] =
            (struct guest_segment){.ipa = config->placement.ramdisk,
                                   .size = config->ramdisk.size,
                                   .pa = config->ramdisk.base};
}

enum status guest_create(struct memory *memory, struct partition_config *config, uint32_t index,
                         struct guest **ret_guest)
{
    struct guest *guest = memory_alloc_object(memory, sizeof(*guest));
    struct s2_pages pages = memory_s2_pages(memory);
    enum status status;

    if (!guest)
        return STATUS_NO_MEMORY;
    guest->index = index;
    guest->config = config;

    struct vm *vm = &guest->vm;

    memcpy(vm->name, config->name, sizeof(vm->name));
    vm->id = index;
    vm->owner = guest;
    guest->hooks = hooks;
    if (!hyp.entropy.seeded)
        guest->hooks.entropy = NULL; /* and so there are no TRNG calls that always fail */
    vm->hooks = &guest->hooks;
    vm->smccc = &hyp.smccc;
    vm->ids = &hyp.ids;
    vm->traps = &hyp.traps;
    vm->ram_base = ipa(LAYOUT_RAM_BASE);
    vm->ram_size = config->memory;
    spin_init(&vm->lifecycle);

    status = s2_init(&vm->s2, &hyp.s2_config, &pages);
    if (status == STATUS_OK)
        status = create_vcpus(memory, guest);
    if (status == STATUS_OK)
        status = map_pv_time(memory, guest);
    if (status == STATUS_OK)
        status = add_devices(guest);
    if (status != STATUS_OK)
        return status;

    vgic_init(vm, LAYOUT_GICD_BASE, LAYOUT_GICR_BASE);
    add_segments(guest);
    status = build_fdt(memory, guest, &guest->segments[guest->nr_segments]);
    if (status != STATUS_OK)
        return status;
    guest->nr_segments++;
    console_add_guest(index, vm->name);
    *ret_guest = guest;
    return STATUS_OK;
}
