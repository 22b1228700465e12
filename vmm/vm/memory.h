/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM. One mapping between two guard areas, so that a device that runs over its end
 * hits nothing.
 *
 * Private memory is anonymous: it gets transparent huge pages, and a reboot gives it back with one
 * madvise(2). (A private mapping of a memfd would keep each written page twice.) Shared memory and
 * explicit huge pages are a memfd, mapped shared, whose descriptor vhost-user and others can have.
 */
#ifndef VMM_VM_MEMORY_H
#define VMM_VM_MEMORY_H

#include "machine/layout.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"

struct vm_memory {
    uint8_t *base; /* NULL: there is none */
    uint64_t size;
    int fd; /* -1: anonymous */
    bool locked;
    void *reserved; /* with the guards */
    size_t reserved_size;
};

bool memory_create(struct vm_memory *memory, const struct config_memory *config,
                   struct error *error);
void memory_destroy(struct vm_memory *memory);

/* Around the loading of what the guest starts with, `size` bytes in the first 2 MiB: a huge page
 * has to be cleared as a whole, which a small program there doesn't need. */
void memory_begin_load(struct vm_memory *memory, const struct config_memory *config,
                       uint64_t size);
void memory_end_load(struct vm_memory *memory, const struct config_memory *config);

/* All of it reads as zero and takes no room in the host; nobody uses it now. */
bool memory_clear(struct vm_memory *memory, struct error *error);

/* The bytes [ipa, ipa + size) if all of them are RAM, or NULL. */
static inline void *memory_at(const struct vm_memory *memory, uint64_t ipa, uint64_t size)
{
    uint64_t offset = ipa - LAYOUT_RAM_BASE; /* wraps below it */

    return offset <= memory->size && size <= memory->size - offset ? memory->base + offset : NULL;
}

#endif
