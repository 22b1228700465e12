/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EL2's own address space, and the pool of pages that everything of EL2's is made of.
 *
 * entry.S left the image mapped, page by page and W^X. This adds devices, the device tree
 * (read-only), the pool, stacks with an unmapped page below each, and for each CPU two windows of
 * 4 MiB through which it reaches memory that isn't EL2's: guest RAM and boot modules are mapped
 * only while they are copied or scrubbed. Areas are in asm_layout.h.
 *
 * All but the windows and the pool is boot-time only and not locked.
 */
#ifndef EL2_MEMORY_H
#define EL2_MEMORY_H

#include "arch/pte.h"
#include "bothy/spinlock.h"
#include "bothy/status.h"
#include "bothy/types.h"
#include "core/s2.h"

#define MEMORY_PAGE 4096ull
#define MEMORY_BLOCK 0x200000ull
#define MEMORY_STACK_SIZE 16384ull
#define MEMORY_WINDOWS 2u
#define MEMORY_WINDOW_SIZE (2 * MEMORY_BLOCK)

struct memory {
    uint64_t image_pa;
    uint64_t device_next; /* bump allocation of the device area */
    uint64_t stack_next;
    uint32_t tables_used;
    pte_t *windows; /* level 2 table of the window area */

    struct spinlock pool_lock;
    uint64_t pool_pa;
    uint64_t pool_size;
    uint64_t pool_next;   /* offset of the first page that was never given out */
    void *pool_free;      /* pages that came back, linked through their first word */
    uint64_t pool_used;   /* bytes */
};

/* image_pa: where entry.S found the image. */
void memory_init(struct memory *memory, uint64_t image_pa);

/* The identity block that secondary CPUs needed to turn their MMU on goes away. */
void memory_drop_identity(struct memory *memory);

/* Map registers; returns where, at the same offset in a page. Never unmapped. */
volatile void *memory_map_device(struct memory *memory, pa_t base, uint64_t size);

/* Map the boot device tree, read-only: 2 MiB from its first byte at least. */
const void *memory_map_fdt(struct memory *memory, pa_t base);

/* Give the pool its memory: base and size are multiples of 2 MiB. */
void memory_add_pool(struct memory *memory, pa_t base, uint64_t size);

/* Pages of the pool, zeroed, contiguous, aligned to their (power of two) count; NULL if there is
 * no more. memory_free takes single pages back. */
void *memory_alloc(struct memory *memory, size_t pages);
void memory_free(struct memory *memory, void *page);

/* The same for something of size bytes. */
static inline void *memory_alloc_object(struct memory *memory, size_t size)
{
    return memory_alloc(memory, (size + MEMORY_PAGE - 1) / MEMORY_PAGE);
}

pa_t memory_pa(const struct memory *memory, const void *at); /* of pool or image memory */
void *memory_va(const struct memory *memory, pa_t at);       /* of pool memory */

/* A stack from the pool; returns its top. The page below it is not mapped. */
void *memory_alloc_stack(struct memory *memory);

/* Zero memory by whole cache blocks where the CPU can: from and size are multiples of 4 KiB. */
void memory_scrub(void *from, uint64_t size);

/* The pool as stage-2 tables want it. */
struct s2_pages memory_s2_pages(struct memory *memory);

/*
 * Map 4 MiB of physical memory from the 2 MiB block that holds at, in this CPU's window (0 or 1);
 * returns where `at` itself is. Executable never; writable if asked for. The window's former
 * contents must have been unmapped.
 */
void *memory_window_map(struct memory *memory, unsigned int cpu, unsigned int window, pa_t at,
                        bool writable);
void memory_window_unmap(struct memory *memory, unsigned int cpu, unsigned int window);

#endif
