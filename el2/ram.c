/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free physical memory. Invariants: ranges are sorted by base, not empty, don't overlap, don't
 * touch, and don't reach 2^64.
 */
#include "el2/ram.h"
#include "bothy/bits.h"
#include "bothy/string.h"

void ram_init(struct ram *ram)
{
    ram->count = 0;
}

static uint64_t range_end(const struct ram_extent *range)
{
    return range->base.pa + range->size;
}

static void remove_range(struct ram *ram, uint32_t at)
{
    ram->count--;
    memmove(&ram->free[at], &ram->free[at + 1], (ram->count - at) * sizeof(ram->free[0]));
}

static enum status insert_range(struct ram *ram, uint32_t at, uint64_t base, uint64_t size)
{
    if (ram->count == RAM_RANGES_MAX) {
        return STATUS_NO_SPACE;
    }
    memmove(&ram->free[at + 1], &ram->free[at], (ram->count - at) * sizeof(ram->free[0]));
    ram->free[at] = (struct ram_extent){pa(base), size};
    ram->count++;
    return STATUS_OK;
}

enum status ram_add(struct ram *ram, pa_t base, uint64_t size)
{
    uint64_t start = base.pa;
    uint64_t end = start + size;
    uint32_t at = 0;

    if (end < start) {
        return STATUS_RANGE;
    }
    if (size == 0) {
        return STATUS_OK;
    }
    while (at < ram->count && range_end(&ram->free[at]) < start) {
        at++;
    }
    if (at == ram->count || ram->free[at].base.pa > end) {
        return insert_range(ram, at, start, size);
    }
    /* Swallow all that it touches. */
    start = MIN(start, ram->free[at].base.pa);
    while (at + 1 < ram->count && ram->free[at + 1].base.pa <= end) {
        remove_range(ram, at);
    }
    end = MAX(end, range_end(&ram->free[at]));
    ram->free[at] = (struct ram_extent){pa(start), end - start};
    return STATUS_OK;
}

enum status ram_reserve(struct ram *ram, pa_t base, uint64_t size)
{
    uint64_t start = base.pa;
    uint64_t end = start + size;

    if (end < start) {
        return STATUS_RANGE;
    }
    for (uint32_t at = 0; size != 0 && at < ram->count;) {
        struct ram_extent *range = &ram->free[at];
        uint64_t first = range->base.pa;
        uint64_t last = range_end(range);

        if (first >= end) {
            break;
        }
        if (last <= start) {
            at++;
        } else if (first >= start && last <= end) {
            remove_range(ram, at);
        } else if (first < start && last > end) {
            enum status status = insert_range(ram, at + 1, end, last - end);

            if (status == STATUS_OK) {
                ram->free[at].size = start - first;
            }
            return status;
        } else {
            *range = first < start ? (struct ram_extent){pa(first), start - first}
                                   : (struct ram_extent){pa(end), last - end};
            at++;
        }
    }
    return STATUS_OK;
}

/* The first aligned address in a range that has size bytes behind it. */
static bool fit(const struct ram_extent *range, uint64_t size, uint64_t align, uint64_t *ret_base)
{
    uint64_t base = ALIGN_UP(range->base.pa, align);

    if (base < range->base.pa || base >= range_end(range) || range_end(range) - base < size) {
        return false;
    }
    *ret_base = base;
    return true;
}

enum status ram_alloc(struct ram *ram, uint64_t size, uint64_t align, pa_t *ret_base)
{
    uint64_t best_size = UINT64_MAX;
    uint64_t best = 0;
    uint64_t base;

    if (size == 0 || !IS_POWER_OF_2(align)) {
        return STATUS_INVALID;
    }
    for (uint32_t i = 0; i < ram->count; i++) {
        if (ram->free[i].size < best_size && fit(&ram->free[i], size, align, &base)) {
            best_size = ram->free[i].size;
            best = base;
        }
    }
    if (best_size == UINT64_MAX || ram_reserve(ram, pa(best), size) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    *ret_base = pa(best);
    return STATUS_OK;
}

/* One extent of exactly size, from the smallest range that has it. */
static bool take_whole(struct ram *ram, uint64_t size, struct ram_extent *ret_extent)
{
    pa_t base;

    if (size >= RAM_HUGE && ram_alloc(ram, size, RAM_HUGE, &base) == STATUS_OK) {
        *ret_extent = (struct ram_extent){base, size};
        return true;
    }
    if (ram_alloc(ram, size, RAM_BLOCK, &base) == STATUS_OK) {
        *ret_extent = (struct ram_extent){base, size};
        return true;
    }
    return false;
}

/* All blocks of the range that has most of them. */
static bool take_largest(struct ram *ram, struct ram_extent *ret_extent)
{
    struct ram_extent best = {pa(0), 0};

    for (uint32_t i = 0; i < ram->count; i++) {
        uint64_t base = ALIGN_UP(ram->free[i].base.pa, RAM_BLOCK);
        uint64_t end = ALIGN_DOWN(range_end(&ram->free[i]), RAM_BLOCK);

        if (base >= ram->free[i].base.pa && end > base && end - base > best.size) {
            best = (struct ram_extent){pa(base), end - base};
        }
    }
    if (best.size == 0 || ram_reserve(ram, best.base, best.size) != STATUS_OK) {
        return false;
    }
    *ret_extent = best;
    return true;
}

enum status ram_alloc_guest(struct ram *ram, uint64_t size,
                            struct ram_extent ret_extents[RAM_EXTENTS_MAX], uint32_t *ret_count)
{
    struct ram_extent taken[RAM_EXTENTS_MAX];
    struct ram before = *ram;
    uint64_t left = size;
    uint32_t count = 0;
    bool ok = true;

    if (size == 0 || !IS_ALIGNED(size, RAM_BLOCK)) {
        return STATUS_INVALID;
    }
    while (left > 0 && ok) {
        ok = count < RAM_EXTENTS_MAX &&
             (take_whole(ram, left, &taken[count]) || take_largest(ram, &taken[count]));
        if (ok) {
            left -= taken[count++].size;
        }
    }
    if (!ok) {
        *ram = before;
        return STATUS_NO_MEMORY;
    }
    memcpy(ret_extents, taken, count * sizeof(taken[0]));
    *ret_count = count;
    return STATUS_OK;
}

uint64_t ram_free_bytes(const struct ram *ram)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < ram->count; i++) {
        bytes += ram->free[i].size;
    }
    return bytes;
}

uint64_t ram_guest_bytes(const struct ram *ram)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < ram->count; i++) {
        uint64_t base = ALIGN_UP(ram->free[i].base.pa, RAM_BLOCK);
        uint64_t end = ALIGN_DOWN(range_end(&ram->free[i]), RAM_BLOCK);

        bytes += base >= ram->free[i].base.pa && end > base ? end - base : 0;
    }
    return bytes;
}
