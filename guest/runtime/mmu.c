/* SPDX-License-Identifier: Apache-2.0 */
/* See mmu.h. 39-bit addresses, so one level 1 table is all there is. */

#include "mmu.h"

#include "arm.h"
#include "machine.h"

#define ENTRIES 512u
#define ALIAS_FIRST 500u
#define WINDOW 504u
#define TABLE UINT64_C(3)
#define PAGE UINT64_C(2) /* what a level 3 entry has besides a block's bits */
#define BLOCK_VALID UINT64_C(1)
#define BLOCK_AF BIT(10)
#define BLOCK_INNER_SHAREABLE (UINT64_C(3) << 8)
#define BLOCK_ATTR(n) ((uint64_t)(n) << 2)
/* AttrIndx 0 write-back, 1 non-cacheable, 2 Device-nGnRE, 3 Device-nGnRnE */
#define MAIR_VALUE UINT64_C(0x000444ff)
/* T0SZ 25, write-back inner shareable walks, TTBR1 off */
#define TCR_VALUE (UINT64_C(25) | BIT(8) | BIT(10) | UINT64_C(3) << 12 | BIT(23))
#define SCTLR_ON (BIT(0) | BIT(2) | BIT(12))

static uint64_t table[ENTRIES] __attribute__((aligned(4096)));

/* In steps of 16 bytes, the smallest line that CTR_EL0 can state. */
void cache_flush(const void *addr, size_t size)
{
    for (uint64_t at = (uint64_t)addr & ~UINT64_C(15); at < (uint64_t)addr + size; at += 16) {
        __asm__ volatile("dc civac, %0" ::"r"(at) : "memory");
    }
    dsb(sy);
}

void cache_invalidate(const void *addr, size_t size)
{
    for (uint64_t at = (uint64_t)addr & ~UINT64_C(15); at < (uint64_t)addr + size; at += 16) {
        __asm__ volatile("dc ivac, %0" ::"r"(at) : "memory");
    }
    dsb(sy);
}

static uint64_t block(uint64_t pa, unsigned attribute)
{
    return pa | BLOCK_AF | BLOCK_INNER_SHAREABLE | BLOCK_ATTR(attribute) | BLOCK_VALID;
}

void mmu_init(void)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t pa = GIB(i);
        bool ram = pa + GIB(1) > machine.ram_base && pa < machine.ram_base + machine.ram_size;

        table[i] = block(pa, ram ? MMU_NORMAL : MMU_DEVICE);
    }
    dsb(sy);
    cache_invalidate(table, sizeof(table));
}

void mmu_on(void)
{
    /* As the CPU has it, up to 48 bits: 52 would need another descriptor format. */
    uint64_t pa_range = FIELD(read_sysreg(id_aa64mmfr0_el1), 3, 0);

    write_sysreg(MAIR_VALUE, mair_el1);
    write_sysreg(TCR_VALUE | (pa_range > 5 ? 5 : pa_range) << 32, tcr_el1);
    write_sysreg((uint64_t)table, ttbr0_el1);
    isb();
    __asm__ volatile("tlbi vmalle1; dsb nsh; ic iallu; dsb nsh; isb" ::: "memory");
    write_sysreg(read_sysreg(sctlr_el1) | SCTLR_ON, sctlr_el1);
    isb();
}

void mmu_off(void)
{
    uint64_t sctlr = read_sysreg(sctlr_el1) & ~SCTLR_ON;
    uint64_t at = (uint64_t)image_start;

    /* Off first, then clean, without touching memory in between: nothing is dirtied after it
     * was cleaned. */
    __asm__ volatile("msr sctlr_el1, %2\n"
                     "isb\n"
                     "1: dc civac, %0\n"
                     "add %0, %0, #16\n"
                     "cmp %0, %1\n"
                     "b.lo 1b\n"
                     "dsb sy\n"
                     "tlbi vmalle1\n"
                     "dsb nsh\n"
                     "isb"
                     : "+&r"(at)
                     : "r"((uint64_t)image_end), "r"(sctlr)
                     : "memory", "cc");
}

uint64_t mmu_window(uint64_t pa, unsigned attribute)
{
    static uint64_t level2[ENTRIES] __attribute__((aligned(4096)));
    static uint64_t level3[ENTRIES] __attribute__((aligned(4096)));

    level3[0] = 0; /* break before make */
    __asm__ volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" ::: "memory");
    if (table[WINDOW] != ((uint64_t)level2 | TABLE)) {
        table[WINDOW] = 0;
        __asm__ volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" ::: "memory");
        level2[0] = (uint64_t)level3 | TABLE;
        dsb(ishst);
        table[WINDOW] = (uint64_t)level2 | TABLE;
    }
    if (pa != 0) {
        level3[0] = block(pa, attribute) | PAGE;
    }
    __asm__ volatile("dsb ishst; isb" ::: "memory");
    return GIB(WINDOW);
}

bool mmu_is_on(void)
{
    return (read_sysreg(sctlr_el1) & 1u) != 0;
}

uint64_t mmu_alias(unsigned slot, uint64_t pa, unsigned attribute)
{
    unsigned index = ALIAS_FIRST + slot;

    table[index] = 0; /* break before make */
    __asm__ volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" ::: "memory");
    table[index] = block(pa, attribute);
    __asm__ volatile("dsb ishst; isb" ::: "memory");
    return GIB(index);
}
