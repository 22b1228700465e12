/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of the guest machine. */
#include "machine/layout.h"
#include "bothy/bits.h"

const struct layout_region layout_regions[LAYOUT_COUNT] = {
    [LAYOUT_FLASH0] = {"flash", 0x00000000, 0x04000000, 0, 0, false},
    [LAYOUT_FLASH1] = {"flash for variables", LAYOUT_VARIABLES_BASE, 0x04000000, 0, 0, false},
    [LAYOUT_GICD] = {"GICv3 distributor", LAYOUT_GICD_BASE, LAYOUT_GICD_SIZE, 0, 0, true},
    [LAYOUT_GITS] = {"GICv3 ITS", LAYOUT_GITS_BASE, LAYOUT_GITS_SIZE, 0, 0, false},
    [LAYOUT_GICR] = {"GICv3 redistributors", LAYOUT_GICR_BASE, LAYOUT_GICR_SIZE, 0, 0, true},
    [LAYOUT_UART] = {"PL011 UART", LAYOUT_UART_BASE, 0x1000, LAYOUT_SPI_UART, 1, true},
    [LAYOUT_RTC] = {"PL031 real time clock", LAYOUT_RTC_BASE, 0x1000, LAYOUT_SPI_RTC, 1, true},
    [LAYOUT_FW_CFG] = {"fw_cfg", 0x09020000, 0x18, 0, 0, false},
    [LAYOUT_GPIO] = {"PL061 GPIO", LAYOUT_GPIO_BASE, 0x1000, LAYOUT_SPI_GPIO, 1, false},
    [LAYOUT_PV_TIME] = {"stolen time", LAYOUT_PV_TIME_BASE, LAYOUT_PV_TIME_SIZE, 0, 0, true},
    [LAYOUT_VIRTIO_MMIO] = {"virtio-mmio, 32 of 0x200", LAYOUT_VIRTIO_BASE,
                            LAYOUT_VIRTIO_COUNT * LAYOUT_VIRTIO_STRIDE, LAYOUT_SPI_VIRTIO,
                            LAYOUT_VIRTIO_COUNT, false},
    [LAYOUT_PCIE_MMIO] = {"PCIe MMIO window", 0x10000000, 0x2eff0000, 3, 4, false},
    [LAYOUT_PCIE_PIO] = {"PCIe I/O window", 0x3eff0000, 0x00010000, 0, 0, false},
    [LAYOUT_RAM] = {"RAM", LAYOUT_RAM_BASE, LAYOUT_RAM_MAX, 0, 0, true},
    [LAYOUT_PCIE_ECAM] = {"PCIe ECAM", 0x4010000000, 0x10000000, 0, 0, false},
};

const struct layout_region *layout_find(uint64_t address)
{
    for (size_t i = 0; i < ARRAY_SIZE(layout_regions); i++) {
        if (address - layout_regions[i].base < layout_regions[i].size) {
            return &layout_regions[i];
        }
    }
    return NULL;
}
