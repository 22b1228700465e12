/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree that a guest gets: the machine of layout.h, described as QEMU's `virt` describes
 * itself, so that what finds its devices there finds them here.
 */
#ifndef MACHINE_FDT_GUEST_H
#define MACHINE_FDT_GUEST_H

#include "bothy/status.h"
#include "bothy/types.h"

#define FDT_GUEST_CPUS_MAX 64u
#define FDT_GUEST_ENTROPY_SIZE 40u /* 8 bytes of kaslr-seed, 32 of rng-seed */

struct fdt_guest_config {
    uint32_t nr_cpus;
    uint32_t mpidr[FDT_GUEST_CPUS_MAX]; /* affinity fields */
    uint64_t ram_size;                  /* bytes from LAYOUT_RAM_BASE */
    const char *bootargs;               /* NULL: none */
    uint64_t initrd_start, initrd_end;  /* IPAs, both 0: none; end is exclusive */
    const uint8_t *entropy;             /* FDT_GUEST_ENTROPY_SIZE bytes, NULL: none */
    bool uart;                          /* the guest has a PL011 and its console is there */
    bool rtc;                           /* the guest has a PL031 */
    bool gicv2;                         /* instead of the GICv3 */
    bool its;                           /* beside a GICv3 */
    bool gpio;                          /* a PL061 with the power button */
    bool pmu;                           /* the CPUs have a PMUv3 */
    uint32_t nr_virtio;                 /* virtio-mmio devices, from the first place on */
};

/* Write the tree to buffer (8-byte aligned). STATUS_NO_SPACE if it doesn't fit; *ret_size is its
 * length. No locks, no global state. */
enum status fdt_guest_build(const struct fdt_guest_config *config, void *buffer, size_t size,
                            size_t *ret_size) MUST_CHECK;

#endif
