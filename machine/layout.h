/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest machine: where everything is. It equals QEMU's `virt` machine, so that what is written
 * for that one runs here unmodified. The guest's FDT, the bus and docs/guest-interface.md are
 * derived from, or checked against, the one table in layout.c.
 */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

#include "bothy/types.h"

enum layout_id {
    LAYOUT_FLASH0,
    LAYOUT_FLASH1,
    LAYOUT_GICD,
    LAYOUT_GITS,
    LAYOUT_GICR,
    LAYOUT_UART,
    LAYOUT_RTC,
    LAYOUT_FW_CFG,
    LAYOUT_GPIO,
    LAYOUT_PV_TIME,
    LAYOUT_VIRTIO_MMIO,
    LAYOUT_PCIE_MMIO,
    LAYOUT_PCIE_PIO,
    LAYOUT_RAM,
    LAYOUT_PCIE_ECAM,
    LAYOUT_COUNT,
};

struct layout_region {
    const char *name; /* as in the documentation */
    uint64_t base;    /* IPA */
    uint64_t size;    /* bytes; of RAM: the most that fits below the next region */
    uint32_t spi;     /* first SPI number (INTID - 32) */
    uint32_t nr_spis; /* 0: no interrupt */
    bool present;     /* false: reserved for a device that is not there yet */
};

/* Sorted by base, no two overlap. */
extern const struct layout_region layout_regions[LAYOUT_COUNT];

/* Compile-time copies for those who need a constant; layout.c builds the table out of them. */
#define LAYOUT_VARIABLES_BASE 0x04000000ull
#define LAYOUT_VARIABLES_USED 0x00040000ull /* U-Boot looks for its environment there */
#define LAYOUT_GICD_BASE 0x08000000ull
#define LAYOUT_GICD_SIZE 0x00010000ull
#define LAYOUT_GICC_BASE 0x08010000ull /* where the interrupt controller is a GICv2 */
#define LAYOUT_GICC_SIZE 0x00010000ull
#define LAYOUT_GICV2_CPUS_MAX 8u
#define LAYOUT_GITS_BASE 0x08080000ull
#define LAYOUT_GITS_SIZE 0x00020000ull
#define LAYOUT_GICR_BASE 0x080a0000ull
#define LAYOUT_GICR_SIZE 0x00f60000ull   /* room for 123 redistributors */
#define LAYOUT_GICR_STRIDE 0x00020000ull /* RD_base and SGI_base of one vCPU */
#define LAYOUT_UART_BASE 0x09000000ull
#define LAYOUT_RTC_BASE 0x09010000ull
#define LAYOUT_GPIO_BASE 0x09030000ull
#define LAYOUT_PV_TIME_BASE 0x090a0000ull /* the vCPUs' stolen times, read-only */
#define LAYOUT_PV_TIME_SIZE 0x00001000ull
#define LAYOUT_VIRTIO_BASE 0x0a000000ull
#define LAYOUT_VIRTIO_STRIDE 0x200ull
#define LAYOUT_VIRTIO_COUNT 32u
#define LAYOUT_RAM_BASE 0x40000000ull
#define LAYOUT_RAM_MAX 0x3fc0000000ull /* up to 256 GiB: QEMU puts its high regions above */

#define LAYOUT_SPI_UART 1u
#define LAYOUT_SPI_RTC 2u
#define LAYOUT_SPI_GPIO 7u
#define LAYOUT_SPI_VIRTIO 16u /* of the first place */
#define LAYOUT_SPI_BASE 32u /* INTID of SPI 0 */
#define LAYOUT_PPI_BASE 16u /* INTID of PPI 0 */

/* Generic timer, PPI numbers (INTID - 16), and the GIC's maintenance interrupt. */
#define LAYOUT_PPI_TIMER_SECURE 13u
#define LAYOUT_PPI_TIMER_PHYS 14u
#define LAYOUT_PPI_TIMER_VIRT 11u
#define LAYOUT_PPI_TIMER_HYP 10u
#define LAYOUT_PPI_PMU 7u

#define LAYOUT_UART_CLOCK_HZ 24000000u

/* The region that holds this IPA, or NULL. A few instructions per region: not for hot paths. */
const struct layout_region *layout_find(uint64_t address);

#endif
