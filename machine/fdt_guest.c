/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's device tree, written front to back with libfdt's sequential functions, without
 * looking for names that were used before: that search would cost more than all the rest.
 *
 * After the first error everything else is skipped (builder.error); the caller sees it once.
 */
#include "machine/fdt_guest.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include "machine/layout.h"
#include <libfdt.h>

#define PHANDLE_GIC 1u
#define PHANDLE_CLOCK 2u
#define PHANDLE_ITS 3u
#define PHANDLE_GPIO 4u
#define GIC_SPI 0u
#define GIC_PPI 1u
#define IRQ_EDGE_RISING 1u
#define IRQ_LEVEL_HIGH 4u
#define GPIO_ACTIVE_HIGH 0u
#define KEY_POWER 116u
#define POWER_PIN 3u

/* What the tree needs besides the command line and the CPUs, generously. libfdt clears all the
 * room that it is given, so it isn't given 64 KiB. */
#define TREE_SIZE 3072u
#define TREE_SIZE_CPU 192u
#define TREE_SIZE_ITS 256u
#define TREE_SIZE_GPIO 640u
#define TREE_SIZE_PMU 128u
#define TREE_SIZE_VIRTIO 192u

struct builder {
    void *fdt;
    int error;
};

#define UART_NODE "pl011@9000000"

static void begin(struct builder *b, const char *name)
{
    if (b->error == 0) {
        b->error = fdt_begin_node(b->fdt, name);
    }
}

static void end(struct builder *b)
{
    if (b->error == 0) {
        b->error = fdt_end_node(b->fdt);
    }
}

static void put(struct builder *b, const char *name, const void *value, size_t size)
{
    if (b->error == 0) {
        b->error = fdt_property(b->fdt, name, value, (int)size);
    }
}

static void put_text(struct builder *b, const char *name, const char *text)
{
    put(b, name, text, strlen(text) + 1);
}

/* A list of strings is one literal with \0 inside; sizeof counts the last NUL. */
#define PUT_LIST(b, name, literal) put(b, name, literal, sizeof(literal))

static void put_flag(struct builder *b, const char *name)
{
    put(b, name, "", 0);
}

static void put_cells(struct builder *b, const char *name, const uint32_t *cells, size_t count)
{
    fdt32_t raw[16];

    for (size_t i = 0; i < count; i++) {
        raw[i] = cpu_to_fdt32(cells[i]);
    }
    put(b, name, raw, count * sizeof(raw[0]));
}

#define PUT_CELLS(b, name, ...) \
    put_cells(b, name, (const uint32_t[]){__VA_ARGS__}, \
              sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

#define CELLS64(value) (uint32_t)((value) >> 32), (uint32_t)(value)

static void put_u64(struct builder *b, const char *name, uint64_t value)
{
    PUT_CELLS(b, name, CELLS64(value));
}

/* reg, interrupts and clocks of a device of the layout. */
static void put_device(struct builder *b, enum layout_id id)
{
    const struct layout_region *region = &layout_regions[id];

    PUT_CELLS(b, "reg", CELLS64(region->base), CELLS64(region->size));
    PUT_CELLS(b, "interrupts", GIC_SPI, region->spi, IRQ_LEVEL_HIGH);
}

static void build_chosen(struct builder *b, const struct fdt_guest_config *config)
{
    begin(b, "chosen");
    if (config->bootargs != NULL) {
        put_text(b, "bootargs", config->bootargs);
    }
    if (config->uart) {
        put_text(b, "stdout-path", "/" UART_NODE);
    }
    if (config->initrd_end != 0) {
        put_u64(b, "linux,initrd-start", config->initrd_start);
        put_u64(b, "linux,initrd-end", config->initrd_end);
    }
    if (config->entropy != NULL) {
        put(b, "kaslr-seed", config->entropy, 8);
        put(b, "rng-seed", config->entropy + 8, FDT_GUEST_ENTROPY_SIZE - 8);
    }
    end(b);
}

static void build_cpus(struct builder *b, const struct fdt_guest_config *config)
{
    static const char digits[] = "0123456789abcdef";

    begin(b, "cpus");
    PUT_CELLS(b, "#address-cells", 1);
    PUT_CELLS(b, "#size-cells", 0);
    for (uint32_t i = 0; i < config->nr_cpus; i++) {
        char name[] = "cpu@\0\0\0\0\0\0";
        uint32_t mpidr = config->mpidr[i];
        size_t at = 4;

        /* Aff2, Aff1 and Aff0 are 24 bits: at most six digits. */
        for (uint32_t shift = 24; shift > 0; shift -= 4) {
            uint32_t digit = mpidr >> (shift - 4) & 0xf;

            if (at > 4 || digit != 0 || shift == 4) {
                name[at++] = digits[digit];
            }
        }
        begin(b, name);
        put_text(b, "device_type", "cpu");
        put_text(b, "compatible", "arm,armv8");
        put_text(b, "enable-method", "psci");
        PUT_CELLS(b, "reg", mpidr);
        end(b);
    }
    end(b);
}

static void build_psci(struct builder *b)
{
    begin(b, "psci");
    PUT_LIST(b, "compatible", "arm,psci-1.0\0arm,psci-0.2");
    put_text(b, "method", "hvc");
    end(b);
}

/* A GICv2 has the CPUs of a private interrupt in bits 15:8 of its flags. */
static uint32_t ppi_flags(const struct fdt_guest_config *config)
{
    uint32_t cpus = config->gicv2 ? (1u << MIN(config->nr_cpus, 8u)) - 1 : 0;

    return cpus << 8 | IRQ_LEVEL_HIGH;
}

static void build_timer(struct builder *b, const struct fdt_guest_config *config)
{
    uint32_t flags = ppi_flags(config);

    begin(b, "timer");
    PUT_LIST(b, "compatible", "arm,armv8-timer\0arm,armv7-timer");
    PUT_CELLS(b, "interrupts", GIC_PPI, LAYOUT_PPI_TIMER_SECURE, flags, GIC_PPI,
              LAYOUT_PPI_TIMER_PHYS, flags, GIC_PPI, LAYOUT_PPI_TIMER_VIRT, flags, GIC_PPI,
              LAYOUT_PPI_TIMER_HYP, flags);
    put_flag(b, "always-on");
    end(b);
}

static void build_its(struct builder *b)
{
    begin(b, "its@8080000");
    put_text(b, "compatible", "arm,gic-v3-its");
    put_flag(b, "msi-controller");
    PUT_CELLS(b, "#msi-cells", 1);
    PUT_CELLS(b, "reg", CELLS64(LAYOUT_GITS_BASE), CELLS64(LAYOUT_GITS_SIZE));
    PUT_CELLS(b, "phandle", PHANDLE_ITS);
    end(b);
}

static void build_gic(struct builder *b, const struct fdt_guest_config *config)
{
    const struct layout_region *gicd = &layout_regions[LAYOUT_GICD];
    const struct layout_region *gicr = &layout_regions[LAYOUT_GICR];

    begin(b, "intc@8000000");
    if (config->gicv2) {
        put_text(b, "compatible", "arm,cortex-a15-gic");
        PUT_CELLS(b, "reg", CELLS64(gicd->base), CELLS64(gicd->size), CELLS64(LAYOUT_GICC_BASE),
                  CELLS64(LAYOUT_GICC_SIZE));
    } else {
        put_text(b, "compatible", "arm,gic-v3");
        PUT_CELLS(b, "reg", CELLS64(gicd->base), CELLS64(gicd->size), CELLS64(gicr->base),
                  CELLS64(gicr->size));
        PUT_CELLS(b, "#redistributor-regions", 1);
    }
    put_flag(b, "interrupt-controller");
    PUT_CELLS(b, "#interrupt-cells", 3);
    PUT_CELLS(b, "#address-cells", 2);
    PUT_CELLS(b, "#size-cells", 2);
    put_flag(b, "ranges");
    PUT_CELLS(b, "phandle", PHANDLE_GIC);
    if (config->its && !config->gicv2) {
        build_its(b);
    }
    end(b);
}

static void build_clock(struct builder *b)
{
    begin(b, "apb-pclk");
    put_text(b, "compatible", "fixed-clock");
    PUT_CELLS(b, "#clock-cells", 0);
    PUT_CELLS(b, "clock-frequency", LAYOUT_UART_CLOCK_HZ);
    put_text(b, "clock-output-names", "clk24mhz");
    PUT_CELLS(b, "phandle", PHANDLE_CLOCK);
    end(b);
}

static void build_uart(struct builder *b)
{
    begin(b, UART_NODE);
    PUT_LIST(b, "compatible", "arm,pl011\0arm,primecell");
    put_device(b, LAYOUT_UART);
    PUT_LIST(b, "clock-names", "uartclk\0apb_pclk");
    PUT_CELLS(b, "clocks", PHANDLE_CLOCK, PHANDLE_CLOCK);
    end(b);
    begin(b, "aliases");
    put_text(b, "serial0", "/" UART_NODE);
    end(b);
}

static void build_rtc(struct builder *b)
{
    begin(b, "pl031@9010000");
    PUT_LIST(b, "compatible", "arm,pl031\0arm,primecell");
    put_device(b, LAYOUT_RTC);
    put_text(b, "clock-names", "apb_pclk");
    PUT_CELLS(b, "clocks", PHANDLE_CLOCK);
    end(b);
}

static void build_pmu(struct builder *b, const struct fdt_guest_config *config)
{
    begin(b, "pmu");
    put_text(b, "compatible", "arm,armv8-pmuv3");
    PUT_CELLS(b, "interrupts", GIC_PPI, LAYOUT_PPI_PMU, ppi_flags(config));
    end(b);
}

static void build_gpio(struct builder *b)
{
    begin(b, "pl061@9030000");
    PUT_LIST(b, "compatible", "arm,pl061\0arm,primecell");
    put_device(b, LAYOUT_GPIO);
    PUT_CELLS(b, "#gpio-cells", 2);
    put_flag(b, "gpio-controller");
    put_text(b, "clock-names", "apb_pclk");
    PUT_CELLS(b, "clocks", PHANDLE_CLOCK);
    PUT_CELLS(b, "phandle", PHANDLE_GPIO);
    end(b);
    begin(b, "gpio-keys");
    put_text(b, "compatible", "gpio-keys");
    begin(b, "poweroff");
    put_text(b, "label", "GPIO Key Poweroff");
    PUT_CELLS(b, "linux,code", KEY_POWER);
    PUT_CELLS(b, "gpios", PHANDLE_GPIO, POWER_PIN, GPIO_ACTIVE_HIGH);
    end(b);
    end(b);
}

/* In the order of their addresses, which is the order in which Linux finds them. */
static void build_virtio(struct builder *b, const struct fdt_guest_config *config)
{
    static const char digits[] = "0123456789abcdef";

    for (uint32_t i = 0; i < config->nr_virtio; i++) {
        char name[] = "virtio_mmio@a000000";
        uint64_t base = LAYOUT_VIRTIO_BASE + i * LAYOUT_VIRTIO_STRIDE;

        for (size_t digit = 0; digit < 4; digit++) { /* the place is in the low 16 bits */
            name[sizeof(name) - 2 - digit] = digits[base >> (4 * digit) & 0xf];
        }
        begin(b, name);
        put_text(b, "compatible", "virtio,mmio");
        PUT_CELLS(b, "reg", CELLS64(base), CELLS64(LAYOUT_VIRTIO_STRIDE));
        PUT_CELLS(b, "interrupts", GIC_SPI, LAYOUT_SPI_VIRTIO + i, IRQ_EDGE_RISING);
        put_flag(b, "dma-coherent");
        end(b);
    }
}

static void build_devices(struct builder *b, const struct fdt_guest_config *config)
{
    if (config->uart || config->rtc || config->gpio) {
        build_clock(b);
    }
    if (config->uart) {
        build_uart(b);
    }
    if (config->rtc) {
        build_rtc(b);
    }
    if (config->gpio) {
        build_gpio(b);
    }
    build_virtio(b, config);
}

static void build_root(struct builder *b, const struct fdt_guest_config *config)
{
    begin(b, "");
    put_text(b, "compatible", "linux,dummy-virt");
    put_text(b, "model", "linux,dummy-virt");
    PUT_CELLS(b, "#address-cells", 2);
    PUT_CELLS(b, "#size-cells", 2);
    PUT_CELLS(b, "interrupt-parent", PHANDLE_GIC);

    build_chosen(b, config);
    begin(b, "memory@40000000");
    put_text(b, "device_type", "memory");
    PUT_CELLS(b, "reg", CELLS64(LAYOUT_RAM_BASE), CELLS64(config->ram_size));
    end(b);
    build_cpus(b, config);
    build_psci(b);
    build_timer(b, config);
    if (config->pmu) {
        build_pmu(b, config);
    }
    build_gic(b, config);
    build_devices(b, config);
    end(b);
}

enum status fdt_guest_build(const struct fdt_guest_config *config, void *buffer, size_t size,
                            size_t *ret_size)
{
    struct builder b = {buffer, 0};
    size_t room;

    if (config->nr_cpus == 0 || config->nr_cpus > FDT_GUEST_CPUS_MAX ||
        config->nr_virtio > LAYOUT_VIRTIO_COUNT || size > INT32_MAX) {
        return STATUS_INVALID;
    }
    room = TREE_SIZE + config->nr_cpus * TREE_SIZE_CPU + config->nr_virtio * TREE_SIZE_VIRTIO;
    room += config->its ? TREE_SIZE_ITS : 0;
    room += config->gpio ? TREE_SIZE_GPIO : 0;
    room += config->pmu ? TREE_SIZE_PMU : 0;
    room += config->bootargs != NULL ? ALIGN_UP(strlen(config->bootargs), (size_t)8) : 0;
    room = MIN(room, size);
    b.error = fdt_create_with_flags(buffer, (int)room, FDT_CREATE_FLAG_NO_NAME_DEDUP);
    if (b.error == 0) {
        b.error = fdt_finish_reservemap(buffer);
    }
    build_root(&b, config);
    if (b.error == 0) {
        b.error = fdt_finish(buffer);
    }
    if (b.error != 0) {
        return b.error == -FDT_ERR_NOSPACE ? STATUS_NO_SPACE : STATUS_INVALID;
    }
    *ret_size = fdt_totalsize(buffer);
    return STATUS_OK;
}
