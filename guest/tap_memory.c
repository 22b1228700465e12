/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM: zero at the start, all there, nothing behind its end; code that changes; coherence between
 * caches on and off, by address and by set/way. Boot argument: scan= MiB to look through (default
 * all free RAM).
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_memory";

#define WORDS 512u

static uint64_t block[WORDS] __attribute__((aligned(4096)));

static void test_zero(void)
{
    uint64_t base = free_ram_base();
    uint64_t end = free_ram_end();
    uint64_t limit = bootarg_number("scan", 0) << 20;
    uint64_t dirty = 0;

    if (limit != 0 && end - base > limit) {
        end = base + limit;
    }
    for (uint64_t at = base; at < end; at += 32) {
        const uint64_t *words = (const uint64_t *)at;

        dirty += (words[0] | words[1] | words[2] | words[3]) != 0;
    }
    tap_equal(dirty, 0, "%lu MiB of free RAM are zero", (end - base) >> 20);
}

static void test_edges(void)
{
    uint64_t last = machine.ram_base + machine.ram_size - 8;
    uint64_t value;
    struct fault fault = {0};

    write64(last, UINT64_C(0x1122334455667788));
    tap_equal(read64(last), UINT64_C(0x1122334455667788), "the last 8 bytes of RAM");
    write64(last, 0);
    tap_ok(try_read(machine.ram_base, 8, &value, NULL), "the first 8 bytes of RAM");
    tap_ok(!try_read(last + 8, 8, &value, &fault) && fault_class(&fault) == EC_DABT &&
               fault.far == last + 8 && fault_status(&fault) == FSC_EXTERNAL,
           "behind the end: a data abort (esr 0x%lx)", fault.esr);
    tap_ok(!try_write(last + 8, 4, 0, &fault) && fault_class(&fault) == EC_DABT,
           "and for stores (esr 0x%lx)", fault.esr);
}

static void load_across(uint64_t addr)
{
    __asm__ volatile("ldr x1, [%0]" ::"r"(addr) : "x1", "memory");
}

static void jump(uint64_t addr)
{
    ((void (*)(void))addr)();
}

static void test_across_end(void)
{
    uint64_t end = machine.ram_base + machine.ram_size;
    struct fault fault = {0};

    tap_ok(expect_exception(load_across, end - 4, &fault) && fault_class(&fault) == EC_DABT,
           "a load across the end: a data abort (esr 0x%lx, far 0x%lx)", fault.esr, fault.far);
    tap_ok(expect_exception(jump, end, &fault) && fault_class(&fault) == EC_IABT &&
               fault.far == end,
           "a fetch behind the end: an instruction abort (esr 0x%lx)", fault.esr);
}

/* Each page of a range once, in an order that jumps about, then all of it checked. */
static void test_pages(void)
{
    uint64_t base = free_ram_base();
    uint64_t pages = MIB(16) / PAGE_SIZE;
    uint64_t bad = 0;

    if (base + MIB(16) > free_ram_end()) {
        tap_skip("not enough RAM", "pages in any order");
        return;
    }
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t page = i * 1237u % pages;

        write64(base + page * PAGE_SIZE + page % 512u * 8u, page + 1);
    }
    for (uint64_t page = 0; page < pages; page++) {
        bad += read64(base + page * PAGE_SIZE + page % 512u * 8u) != page + 1;
    }
    tap_equal(bad, 0, "16 MiB of pages touched in any order keep what was stored");
}

static void test_self_modifying(void)
{
    static uint32_t code[16] __attribute__((aligned(64)));
    uint64_t sum = 0;

    for (uint32_t i = 0; i < 1000; i++) {
        code[0] = 0xd2800000u | (i & 0xffffu) << 5; /* mov x0, #i */
        code[1] = 0xd65f03c0u;                      /* ret */
        code_sync(code, 8);
        sum += ((uint64_t(*)(void))(uint64_t)code)();
    }
    tap_equal(sum, 499500, "code that is rewritten 1000 times");
}

static uint64_t sum_block(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WORDS; i++) {
        sum += *(volatile uint64_t *)&block[i];
    }
    return sum;
}

static void fill_block(uint64_t seed)
{
    for (unsigned i = 0; i < WORDS; i++) {
        *(volatile uint64_t *)&block[i] = seed * (i + 1);
    }
    dsb(sy);
}

#define BLOCK_SUM(seed) ((seed) * (WORDS * (WORDS + 1u) / 2u))

/* All data caches by set and way, from CLIDR and CCSIDR (without CCIDX). */
static void flush_set_way(void)
{
    uint64_t clidr = read_sysreg(clidr_el1);
    uint64_t operations = 0;

    for (uint64_t level = 0; level < 7 && FIELD(clidr, 3 * level + 2, 3 * level) >= 2; level++) {
        uint64_t ccsidr;
        unsigned way_shift;

        write_sysreg(level << 1, csselr_el1);
        isb();
        ccsidr = read_sysreg(ccsidr_el1);
        way_shift = (unsigned)__builtin_clz((unsigned)FIELD(ccsidr, 12, 3) | 1u);
        for (uint64_t way = 0; way <= FIELD(ccsidr, 12, 3); way++) {
            for (uint64_t set = 0; set <= FIELD(ccsidr, 27, 13); set++) {
                uint64_t arg = way << way_shift | set << (FIELD(ccsidr, 2, 0) + 4) | level << 1;

                __asm__ volatile("dc cisw, %0" ::"r"(arg) : "memory");
                operations++;
            }
        }
    }
    dsb(sy);
    tap_note("%lu set/way operations", operations);
}

static void test_coherence(void)
{
    uint64_t sum;

    fill_block(3);
    mmu_off();
    sum = sum_block();
    fill_block(5);
    mmu_on();
    tap_equal(sum, BLOCK_SUM(3u), "stored with caches on, read with caches off");
    tap_equal(sum_block(), BLOCK_SUM(5u), "stored with caches off, read with caches on");
    fill_block(7);
    flush_set_way();
    mmu_off();
    sum = sum_block();
    mmu_on();
    tap_equal(sum, BLOCK_SUM(7u), "flushed by set/way, read with caches off");
    for (unsigned i = 0; i < 20; i++) {
        mmu_off();
        fill_block(i);
        mmu_on();
    }
    tap_equal(sum_block(), BLOCK_SUM(19u), "caches off and on 20 times");
}

static void test_alias(void)
{
    uint64_t offset = (uint64_t)block - (machine.ram_base & ~(GIB(1) - 1));
    uint64_t view = mmu_alias(1, machine.ram_base & ~(GIB(1) - 1), MMU_NORMAL_NC) + offset;

    write64((uint64_t)block, 1);
    cache_flush(block, 8);
    write64(view, UINT64_C(0xabcdef));
    dsb(sy);
    cache_invalidate(block, 8);
    tap_equal(read64((uint64_t)block), UINT64_C(0xabcdef),
              "stored through a non-cacheable view, read through the cacheable one");
    write64((uint64_t)block, UINT64_C(0x123456));
    cache_flush(block, 8);
    tap_equal(read64(view), UINT64_C(0x123456), "and the other way round");
}

void payload_main(void)
{
    test_zero();
    test_edges();
    test_across_end();
    test_pages();
    test_self_modifying();
    test_coherence();
    test_alias();
    tap_done();
}
