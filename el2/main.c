/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initialization, as one list of ordered calls: el2_main. What goes wrong here is the machine's or
 * its configuration's fault; it is told in a sentence, and what can still start, starts.
 */
#include "el2/main.h"

#include "arch/barrier.h"
#include "arch/rndr.h"
#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "bothy/panic.h"
#include "bothy/string.h"
#include "el2/console.h"
#include "el2/guest.h"
#include "el2/hyp.h"
#include "el2/panic.h"
#include "el2/run.h"
#include "el2/smp.h"
#include "el2/switch.h"
#include "el2/uart_pl011.h"

#define IPA_BITS 40u
#define SLICE_MS 10u
#define PPI_MAINTENANCE_DEFAULT GICV3_PPI_MAINTENANCE

/* Pool for EL2 itself, each partition (VM, vCPUs, FDT, its share of tables) and each GiB of guest
 * memory (one table for it, and slack for what is not aligned). */
#define POOL_BASE (1024 * 1024ull)
#define POOL_PER_PARTITION (320 * 1024ull)
#define POOL_PER_VCPU (16 * 1024ull)
#define POOL_PER_GIB (3 * 4096ull)

struct hyp hyp;

static void say(void *context, const char *sentence)
{
    (void)context;
    console_printf("%s", sentence);
}

static const struct report report = {.say = say};

/* Halt with the console's lines out: for a machine that can't run guests at all. */
static _Noreturn void give_up(const char *why)
{
    console_printf("%s; stopped", why);
    console_flush();
    for (;;)
        cpu_wfi();
}

static void start_console(const struct boot_machine *machine)
{
    if (machine->uart.kind == BOOT_UART_NONE) {
        console_init(NULL);
        return;
    }
    hyp.uart.ops = uart_find(machine->uart.kind);
    hyp.uart.base = memory_map_device(&hyp.memory, machine->uart.registers.base,
                                      machine->uart.registers.size);
    hyp.uart.ops->init(&hyp.uart);
    console_init(&hyp.uart);
}

static enum status find_machine(uint64_t fdt_pa)
{
    const void *fdt = memory_map_fdt(&hyp.memory, pa(fdt_pa));
    size_t size = boot_fdt_size(fdt);

    if (!size)
        return STATUS_INVALID;
    /* Nobody listens yet: what is wrong is told by explain_machine(), once there is a console. */
    return boot_fdt_parse(fdt, size, pa(fdt_pa), &(struct report){.say = NULL}, &hyp.machine);
}

static void explain_machine(void)
{
    if (hyp.machine.fdt)
        (void)!boot_fdt_parse(hyp.machine.fdt, hyp.machine.fdt_size, pa(0), &report, &hyp.machine);
}

static void start_gic(const struct boot_gic *boot)
{
    struct gicv3 *gic = &hyp.gic;

    gic->gicd = memory_map_device(&hyp.memory, boot->distributor.base, boot->distributor.size);
    for (uint32_t i = 0; i < boot->nr_redistributors && i < GICV3_REGION_MAX; i++) {
        const struct boot_range *region = &boot->redistributors[i];
        /* One frame for each CPU that we use is all that is looked at. */
        uint64_t size = MIN(region->size, (uint64_t)CPU_MAX * 0x40000);

        gic->gicr[i].va = memory_map_device(&hyp.memory, region->base, size);
        gic->gicr[i].size = size;
        gic->nr_gicr = i + 1;
    }
    gic->gicr_stride = boot->stride;
    if (gicv3_init(gic) != STATUS_OK)
        give_up("The interrupt controller does not answer as a GICv3");
}

static bool peek(void *context, pa_t from, void *to, size_t size)
{
    (void)context;
    memcpy(to, memory_window_map(&hyp.memory, cpu_this()->id, 0, from, false), size);
    memory_window_unmap(&hyp.memory, cpu_this()->id, 0);
    return true;
}

static uint64_t pool_size(const struct partition_list *list)
{
    uint64_t size = POOL_BASE + list->count * POOL_PER_PARTITION;

    for (uint32_t i = 0; i < list->count; i++) {
        size += list->partitions[i].nr_vcpus * POOL_PER_VCPU;
        size += (list->partitions[i].memory / RAM_HUGE + 1) * POOL_PER_GIB;
    }
    return ALIGN_UP(size, MEMORY_BLOCK);
}

/* Read the partitions, and give EL2 and each of them its memory. */
static void find_partitions(void)
{
    extern char _text_start[], _image_end[];
    struct partition_source source = {
        .machine = &hyp.machine,
        .image = {pa(hyp.memory.image_pa), (uint64_t)(_image_end - _text_start)},
        .report = &report,
        .peek = peek,
    };
    static struct ram ram; /* large, and needed once */
    pa_t pool;

    /* Bad partitions are reported and left out; the others start all the same. */
    if (partition_parse(&source, &hyp.partitions) != STATUS_OK && hyp.partitions.count)
        console_printf("%u partition(s) left out", hyp.partitions.nr_bad);
    if (partition_free_memory(&source, &hyp.partitions, &ram) != STATUS_OK)
        give_up("The memory map has more holes than this hypervisor can keep");

    uint64_t size = pool_size(&hyp.partitions);

    if (ram_alloc(&ram, size, MEMORY_BLOCK, &pool) != STATUS_OK)
        give_up("There is no memory for the hypervisor itself");
    memory_add_pool(&hyp.memory, pool, size);
    if (partition_allocate(&source, &hyp.partitions, &ram) != STATUS_OK)
        console_printf("%u partition(s) left out", hyp.partitions.nr_bad);
}

static void create_guests(void)
{
    for (uint32_t i = 0; i < hyp.partitions.count; i++) {
        struct partition_config *config = &hyp.partitions.partitions[i];
        enum status status =
            guest_create(&hyp.memory, config, hyp.nr_guests, &hyp.guests[hyp.nr_guests]);

        if (status == STATUS_OK)
            hyp.nr_guests++;
        else
            console_printf("%s: can't be made: %s", config->path, status_name(status));
    }
}

static void place_vcpus(void)
{
    struct vcpu *all[SCHED_VCPUS];
    uint32_t n = 0;
    uint32_t dedicated = 0;

    for (uint32_t g = 0; g < hyp.nr_guests; g++) {
        const struct guest *guest = hyp.guests[g];

        for (uint32_t i = 0; i < guest->vm.nr_vcpus && n < SCHED_VCPUS; i++) {
            all[n++] = guest->vm.vcpus[i];
            if (guest->config->dedicated)
                dedicated |= guest->config->affinity[i];
        }
    }
    sched_place(&hyp.sched, all, n, dedicated);
}

static bool console_rx(void *ctx, unsigned int index, uint8_t byte)
{
    (void)ctx;
    return index < hyp.nr_guests && pl011_rx(&hyp.guests[index]->uart, &byte, 1) == 1;
}

static void console_tx_ready(void *ctx, unsigned int index)
{
    (void)ctx;
    if (index < hyp.nr_guests)
        (void)pl011_tx_ready(&hyp.guests[index]->uart);
}

static void console_stats(void *ctx)
{
    (void)ctx;
    guest_print_stats();
}

static void console_quit(void *ctx)
{
    (void)ctx;
    hyp_power_off();
}

static const struct console_hooks console_hooks = {
    .rx = console_rx,
    .tx_ready = console_tx_ready,
    .stats = console_stats,
    .quit = console_quit,
};

void hyp_power_off(void)
{
    uint32_t first = 0;

    if (!atomic_cas32(&hyp.ending, &first, 1)) {
        for (;;)
            cpu_wfi();
    }
    guest_print_stats();
    if (!atomic_load32_relaxed(&hyp.guests_alive))
        console_printf("all guests are off: powering off");
    else
        console_printf("powering off");
    console_flush();
    firmware_system_off(&hyp.firmware);
}

/* Randomness for guests: the CPU's, if it has any, and the boot loader's. */
static void seed_entropy(void)
{
    uint64_t bits[8];
    size_t n = 0;

    entropy_init(&hyp.entropy);
    if (FIELD_GET(ID_AA64ISAR0_EL1_RNDR, read_id_aa64isar0_el1())) {
        while (n < ARRAY_SIZE(bits) && rndr_read(&bits[n]))
            n++;
        entropy_add(&hyp.entropy, bits, n * sizeof(bits[0]));
    }
    if (hyp.machine.seed)
        entropy_add(&hyp.entropy, hyp.machine.seed, hyp.machine.seed_size);
}

static void find_cpu_features(void)
{
    if (s2_config_from_cpu(IPA_BITS, &hyp.s2_config) != STATUS_OK)
        give_up("This CPU has no 4 KiB granule for stage 2");
    hyp.frequency = read_cntfrq_el0();
    if (!hyp.frequency)
        hyp.frequency = hyp.machine.timer.frequency;
    if (!hyp.frequency)
        give_up("Neither CNTFRQ_EL0 nor the device tree knows the timer's frequency");
    seed_entropy();
    vmid_allocator_init(&hyp.vmids, hyp.s2_config.vmid16 ? 16 : 8);
    id_profile_init(&hyp.ids, hyp.s2_config.ipa_bits);
    trap_controls_init(&hyp.traps, hyp.s2_config.fwb);
    smccc_host_discover(&hyp.smccc, hyp.firmware.has_smccc);
    sched_init(&hyp.sched, hyp.frequency / 1000 * SLICE_MS, run_poke);
}

static void print_banner(void)
{
    const struct s2_config *s2 = &hyp.s2_config;

    console_printf("Bothy at EL2: %u CPU(s), %u-bit IPA, %u-bit VMID%s%s", hyp.machine.nr_cpus,
                   s2->ipa_bits, s2->vmid16 ? 16u : 8u, s2->fwb ? ", FWB" : "",
                   s2->range_tlbi ? ", range TLBI" : "");
}

/* A CPU's number is its place in the device tree, which is what affinity masks count; before that
 * has been read, the boot CPU is number 0. */
static void number_boot_cpu(void)
{
    uint64_t mpidr = cpu_this()->mpidr;

    for (uint32_t i = 0; i < hyp.machine.nr_cpus; i++) {
        if (hyp.machine.cpus[i].mpidr == mpidr)
            hyp.boot_cpu = i;
    }
    smp_init_cpu(&hyp.cpus[hyp.boot_cpu], hyp.boot_cpu, mpidr);
    write_tpidr_el2((uint64_t)(uintptr_t)&hyp.cpus[hyp.boot_cpu]);
}

void el2_main(uint64_t fdt_pa, uint64_t image_pa)
{
    smp_init_cpu(&hyp.cpus[0], 0, read_mpidr_el1());
    write_tpidr_el2((uint64_t)(uintptr_t)&hyp.cpus[0]);

    memory_init(&hyp.memory, image_pa);
    enum status found = find_machine(fdt_pa);

    number_boot_cpu();

    start_console(&hyp.machine);
    panic_set_hooks(smp_stop_others, NULL);
    if (found != STATUS_OK) {
        explain_machine();
        give_up("This machine's device tree does not describe what is needed to run guests");
    }
    firmware_init(&hyp.firmware, &hyp.machine.psci);
    find_cpu_features();
    print_banner();
    start_gic(&hyp.machine.gic);
    if (hyp.machine.rtc.size)
        hyp.rtc = memory_map_device(&hyp.memory, hyp.machine.rtc.base, hyp.machine.rtc.size);

    find_partitions();
    create_guests();
    smp_start_all();
    place_vcpus();
    console_set_hooks(&console_hooks, NULL);
    if (hyp.machine.uart.intid &&
        gicv3_spi_enable(&hyp.gic, hyp.machine.uart.intid, cpu_this()->mpidr, false) == STATUS_OK)
        console_irq_enable();

    if (!hyp.nr_guests)
        give_up("There is no partition to start");
    atomic_store32_relaxed(&hyp.guests_alive, hyp.nr_guests);
    for (uint32_t i = 0; i < hyp.nr_guests; i++)
        guest_start(hyp.guests[i]);
    run_first();
}

void el1_main(uint64_t fdt_pa, uint64_t image_pa)
{
    /* No EL2 registers here: the CPU pointer stays unset, and only the console is brought up. */
    memory_init(&hyp.memory, image_pa);
    (void)find_machine(fdt_pa);
    if (hyp.machine.uart.kind != BOOT_UART_NONE) {
        volatile void *uart =
            memory_map_device(&hyp.memory, hyp.machine.uart.registers.base, MEMORY_PAGE);

        uart_pl011_early_puts(uart, "[bothy] Entered at EL1: Bothy is a hypervisor and must be "
                                    "started at EL2 (QEMU: -M virt,virtualization=on); "
                                    "stopped\r\n");
    }
    for (;;)
        cpu_wfi();
}
