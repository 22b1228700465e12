/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns which physical memory: a sorted list of free ranges, out of which the pool of EL2 and
 * the partitions' memory are cut at boot. Only arithmetic: nothing is mapped or touched here.
 * The caller serialises.
 */
#ifndef EL2_RAM_H
#define EL2_RAM_H

#include "bothy/status.h"
#include "bothy/types.h"

#define RAM_RANGES_MAX 128u
#define RAM_EXTENTS_MAX 8u
#define RAM_BLOCK 0x200000ull   /* guest memory comes in blocks of 2 MiB */
#define RAM_HUGE 0x40000000ull /* and is aligned to 1 GiB where that can be had */

struct ram_extent {
    pa_t base;
    uint64_t size;
};

struct ram {
    uint32_t count;
    struct ram_extent free[RAM_RANGES_MAX]; /* sorted by base, no two touch */
};

void ram_init(struct ram *ram);

/* Make [base, base + size) free memory; what is free already stays so. STATUS_NO_SPACE,
 * STATUS_RANGE if it wraps. */
enum status ram_add(struct ram *ram, pa_t base, uint64_t size) MUST_CHECK;

/* Take [base, base + size) out, whatever of it is free. STATUS_NO_SPACE, STATUS_RANGE. */
enum status ram_reserve(struct ram *ram, pa_t base, uint64_t size) MUST_CHECK;

/* One contiguous piece for EL2 itself, from the smallest range that has room, so that large
 * ranges stay whole. align: a power of two. STATUS_NO_MEMORY. */
enum status ram_alloc(struct ram *ram, uint64_t size, uint64_t align, pa_t *ret_base) MUST_CHECK;

/* Memory for a guest: size (a multiple of RAM_BLOCK) in at most RAM_EXTENTS_MAX extents, each a
 * multiple of and aligned to RAM_BLOCK, largest first, and to RAM_HUGE where the extent reaches
 * that size and a range allows. In the order of the guest's addresses. STATUS_NO_MEMORY: nothing
 * was taken. */
enum status ram_alloc_guest(struct ram *ram, uint64_t size,
                            struct ram_extent ret_extents[RAM_EXTENTS_MAX], uint32_t *ret_count)
    MUST_CHECK;

/* Bytes that are free; bytes that ram_alloc_guest could hand out, to one guest after another. */
uint64_t ram_free_bytes(const struct ram *ram);
uint64_t ram_guest_bytes(const struct ram *ram);

#endif
