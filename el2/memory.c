/* SPDX-License-Identifier: Apache-2.0 */
/* See memory.h. Tables below boot_l0 come from a small static array: EL2's own map is bounded. */
#include "el2/memory.h"

#include "arch/barrier.h"
#include "arch/cache.h"
#include "arch/pte.h"
#include "arch/tlbi.h"
#include "bothy/bits.h"
#include "bothy/panic.h"
#include "bothy/string.h"
#include "el2/asm_layout.h"

#define TABLES 24u
#define ENTRIES 512u
#define PTE_VALID 1ull
#define PTE_TABLE 3ull
#define PTE_PAGE 3ull
#define PTE_ADDRESS GENMASK(47, 12)

#define RW (EL2_PTE_COMMON | EL2_PTE_RW | EL2_PTE_XN)
#define RO (EL2_PTE_COMMON | EL2_PTE_RO | EL2_PTE_XN)
#define DEVICE (EL2_PTE_DEVICE | EL2_PTE_RW | EL2_PTE_XN)

extern pte_t boot_l0[ENTRIES];
extern char _text_start[];

static pte_t tables[TABLES][ENTRIES] __attribute__((aligned(4096)));

static pa_t image_to_pa(const struct memory *memory, const void *at)
{
    return pa((uint64_t)(uintptr_t)at - EL2_VA_BASE + memory->image_pa);
}

/* The table that entry points to, made if it isn't there. Tables are part of the image. */
static pte_t *table_below(struct memory *memory, pte_t *entry)
{
    uint64_t value = pte_read(entry);

    if (!(value & PTE_VALID)) {
        BUG_ON(memory->tables_used == TABLES);
        value = image_to_pa(memory, tables[memory->tables_used++]).pa | PTE_TABLE;
        pte_write(entry, value);
    }
    return (pte_t *)(uintptr_t)((value & PTE_ADDRESS) - memory->image_pa + EL2_VA_BASE);
}

/* The entry for va in the table of the given level. */
static pte_t *entry_of(struct memory *memory, uint64_t va, unsigned int level)
{
    pte_t *table = boot_l0;

    for (unsigned int l = 0;; l++) {
        pte_t *entry = &table[(va >> (39 - 9 * l)) % ENTRIES];

        if (l == level)
            return entry;
        table = table_below(memory, entry);
    }
}

void memory_init(struct memory *memory, uint64_t image_pa)
{
    *memory = (struct memory){
        .image_pa = image_pa,
        .device_next = EL2_VA_DEVICE,
        .stack_next = EL2_VA_STACK,
    };
    spin_init(&memory->pool_lock);
    /* One level 2 table holds all windows: made here, so that CPUs need no lock for theirs. */
    memory->windows = entry_of(memory, EL2_VA_WINDOW, 2);
}

/* Map [va, va + size): pages, or 2 MiB blocks if size is a multiple of those. Never over
 * something that is mapped, so no TLB maintenance; the walker must see the stores, though. */
static void map(struct memory *memory, uint64_t va, uint64_t to, uint64_t size, uint64_t attributes)
{
    bool blocks = IS_ALIGNED(va | to | size, MEMORY_BLOCK);
    uint64_t step = blocks ? MEMORY_BLOCK : MEMORY_PAGE;

    for (uint64_t done = 0; done < size; done += step) {
        pte_t *entry = entry_of(memory, va + done, blocks ? 2 : 3);

        BUG_ON(pte_read(entry) & PTE_VALID);
        pte_write(entry, (to + done) | attributes | (blocks ? PTE_VALID : PTE_PAGE));
    }
    dsb_ishst();
    isb();
}

void memory_drop_identity(struct memory *memory)
{
    pte_write(&boot_l0[(memory->image_pa >> 39) % ENTRIES], 0);
    dsb_ishst();
    tlbi_alle2is();
    dsb_ish();
    isb();
}

volatile void *memory_map_device(struct memory *memory, pa_t base, uint64_t size)
{
    uint64_t first = ALIGN_DOWN(base.pa, MEMORY_PAGE);
    uint64_t end = ALIGN_UP(base.pa + size, MEMORY_PAGE);
    uint64_t va = memory->device_next;

    memory->device_next += end - first;
    map(memory, va, first, end - first, DEVICE);
    return (volatile void *)(uintptr_t)(va + (base.pa - first));
}

const void *memory_map_fdt(struct memory *memory, pa_t base)
{
    uint64_t first = ALIGN_DOWN(base.pa, MEMORY_BLOCK);

    map(memory, EL2_VA_FDT, first, 2 * MEMORY_BLOCK, RO);
    return (const void *)(uintptr_t)(EL2_VA_FDT + (base.pa - first));
}

void memory_add_pool(struct memory *memory, pa_t base, uint64_t size)
{
    memory->pool_pa = base.pa;
    memory->pool_size = size;
    map(memory, EL2_VA_POOL, base.pa, size, RW);
}

pa_t memory_pa(const struct memory *memory, const void *at)
{
    uint64_t va = (uint64_t)(uintptr_t)at;

    if (va >= EL2_VA_POOL)
        return pa(va - EL2_VA_POOL + memory->pool_pa);
    return image_to_pa(memory, at);
}

void *memory_va(const struct memory *memory, pa_t at)
{
    return (void *)(uintptr_t)(at.pa - memory->pool_pa + EL2_VA_POOL);
}

void memory_scrub(void *from, uint64_t size)
{
    size_t step = cache_zva_size();
    char *at = from;
    char *end = at + size;

    if (!step || size % (8 * step)) {
        memset(from, 0, size);
        return;
    }
    /* Eight at a time: this is most of what starting a guest costs. */
    for (; at < end; at += 8 * step) {
        dc_zva(at);
        dc_zva(at + step);
        dc_zva(at + 2 * step);
        dc_zva(at + 3 * step);
        dc_zva(at + 4 * step);
        dc_zva(at + 5 * step);
        dc_zva(at + 6 * step);
        dc_zva(at + 7 * step);
    }
}

void *memory_alloc(struct memory *memory, size_t pages)
{
    uint64_t size = pages * MEMORY_PAGE;
    void *at = NULL;

    spin_lock(&memory->pool_lock);
    uint64_t next = ALIGN_UP(memory->pool_next, size & (0 - size));

    if (pages == 1 && memory->pool_free) {
        at = memory->pool_free;
        memory->pool_free = *(void **)at;
    } else if (next + size <= memory->pool_size) {
        at = (void *)(uintptr_t)(EL2_VA_POOL + next);
        memory->pool_next = next + size;
    }
    if (at)
        memory->pool_used += size;
    spin_unlock(&memory->pool_lock);
    if (at)
        memory_scrub(at, size);
    return at;
}

void memory_free(struct memory *memory, void *page)
{
    spin_lock(&memory->pool_lock);
    *(void **)page = memory->pool_free;
    memory->pool_free = page;
    memory->pool_used -= MEMORY_PAGE;
    spin_unlock(&memory->pool_lock);
}

void *memory_alloc_stack(struct memory *memory)
{
    uint64_t pages = MEMORY_STACK_SIZE / MEMORY_PAGE;
    void *stack = memory_alloc(memory, pages);
    uint64_t va = memory->stack_next + MEMORY_PAGE; /* the guard page stays unmapped */

    BUG_ON(!stack);
    map(memory, va, memory_pa(memory, stack).pa, MEMORY_STACK_SIZE, RW);
    memory->stack_next = va + MEMORY_STACK_SIZE;
    return (void *)(uintptr_t)(va + MEMORY_STACK_SIZE);
}

static void *s2_alloc(void *ctx, unsigned int pages)
{
    return memory_alloc(ctx, pages);
}

static void s2_free(void *ctx, void *page, unsigned int pages)
{
    for (unsigned int i = 0; i < pages; i++)
        memory_free(ctx, (char *)page + i * MEMORY_PAGE);
}

static uint64_t s2_to_pa(void *ctx, const void *page)
{
    return memory_pa(ctx, page).pa;
}

static void *s2_to_va(void *ctx, uint64_t at)
{
    return memory_va(ctx, pa(at));
}

struct s2_pages memory_s2_pages(struct memory *memory)
{
    return (struct s2_pages){
        .alloc = s2_alloc, .free = s2_free, .to_pa = s2_to_pa, .to_va = s2_to_va, .ctx = memory};
}

static uint64_t window_va(unsigned int cpu, unsigned int window)
{
    return EL2_VA_WINDOW + (cpu * MEMORY_WINDOWS + window) * MEMORY_WINDOW_SIZE;
}

void *memory_window_map(struct memory *memory, unsigned int cpu, unsigned int window, pa_t at,
                        bool writable)
{
    uint64_t va = window_va(cpu, window);
    uint64_t first = ALIGN_DOWN(at.pa, MEMORY_BLOCK);
    pte_t *entry = &memory->windows[(va - EL2_VA_WINDOW) / MEMORY_BLOCK];

    for (uint64_t i = 0; i < 2; i++)
        pte_write(&entry[i], (first + i * MEMORY_BLOCK) | (writable ? RW : RO) | PTE_VALID);
    dsb_ishst();
    isb();
    return (void *)(uintptr_t)(va + (at.pa - first));
}

void memory_window_unmap(struct memory *memory, unsigned int cpu, unsigned int window)
{
    uint64_t va = window_va(cpu, window);
    pte_t *entry = &memory->windows[(va - EL2_VA_WINDOW) / MEMORY_BLOCK];

    for (uint64_t i = 0; i < 2; i++)
        pte_write(&entry[i], 0);
    /* The stores are seen by the walkers, then the old translations go everywhere: another CPU may
     * have walked this speculatively. */
    dsb_ishst();
    for (uint64_t i = 0; i < 2; i++)
        tlbi_vae2is((va + i * MEMORY_BLOCK) >> 12);
    dsb_ish();
    isb();
}
