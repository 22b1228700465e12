/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a guest starts with: kernel, initrd, device tree. They are opened once, looked at
 * and kept open, and copied into guest memory at each start.
 */
#ifndef VMM_VM_KERNEL_H
#define VMM_VM_KERNEL_H

#include "machine/image.h"
#include "vmm/config/config.h"
#include <stddef.h>
#include <stdint.h>

struct vm_memory;
struct fdt_guest_config;

struct kernel {
    int kernel_fd;
    int initrd_fd; /* -1: none */
    uint64_t initrd_size;
    struct image image;
    struct image_placement place;
    void *dtb; /* the user's, or NULL */
    size_t dtb_size;
    size_t fdt_size; /* of what the guest got */
};

/* Opens and places them. False and a sentence; kernel_close() in any case. */
bool kernel_open(struct kernel *kernel, const struct vm_config *config, struct error *error);
void kernel_close(struct kernel *kernel);

/* Into memory, which is zero. fdt: what the machine looks like; boot arguments, initrd and entropy
 * are added here. */
bool kernel_load(struct kernel *kernel, const struct vm_config *config,
                 const struct vm_memory *memory, struct fdt_guest_config *fdt,
                 struct error *error);

#endif
