/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMIDs by generation.
 *
 * - A tag of the current generation names one VM only. Numbers are not given back before the
 *   generation ends, so none can name a VM that has left translations in a TLB.
 * - active[cpu] is written by that CPU alone, except that a roll-over takes it away (to 0) and
 *   keeps it in reserved[cpu]. The fast path's compare-and-swap therefore fails, and takes the
 *   lock, if a roll-over came between its look at the generation and its claim.
 * - A number in reserved[] is still loaded in a CPU's VTTBR_EL2: only its own VM may have it.
 */
#include "core/vmid.h"
#include "arch/barrier.h"
#include "arch/cache.h"
#include "arch/sysreg.h"
#include "arch/tlbi.h"
#include "bothy/atomic.h"
#include "bothy/panic.h"
#include "bothy/string.h"

#define GENERATION_ONE (UINT64_C(1) << VMID_BITS_MAX)
#define NUMBER_MASK (GENERATION_ONE - 1)

void vmid_allocator_init(struct vmid_allocator *allocator, unsigned bits)
{
    BUG_ON(bits != 8 && bits != 16);
    memset(allocator, 0, sizeof(*allocator));
    allocator->bits = bits;
    allocator->next = 1;
    allocator->generation = GENERATION_ONE;
    allocator->used[0] = 1; /* number 0 is the host's */
    allocator->flush_icache = FIELD_GET(CTR_EL0_L1IP, read_ctr_el0()) == CTR_EL0_L1IP_VPIPT;
}

static bool take(struct vmid_allocator *allocator, uint64_t number)
{
    uint64_t *word = &allocator->used[number / 64];
    bool is_free = (*word & BIT(number % 64)) == 0;

    *word |= BIT(number % 64);
    return is_free;
}

/* The first free number at `next` or behind it; 0 if there is none: `next` never goes back
 * within a generation, and what lies before it is taken. */
static uint64_t take_next(struct vmid_allocator *allocator)
{
    uint32_t limit = 1U << allocator->bits;

    while (allocator->next < limit) {
        uint64_t free_bits = ~allocator->used[allocator->next / 64] >> (allocator->next % 64);
        if (free_bits != 0) {
            uint64_t number = allocator->next + bits_first(free_bits);
            allocator->next = (uint32_t)number + 1;
            take(allocator, number);
            return number;
        }
        allocator->next = ALIGN_DOWN(allocator->next, 64) + 64;
    }
    return 0;
}

static void roll_over(struct vmid_allocator *allocator)
{
    memset(allocator->used, 0, ((size_t)1 << allocator->bits) / 8);
    take(allocator, 0);
    allocator->next = 1;
    atomic_store64_relaxed(&allocator->generation, allocator->generation + GENERATION_ONE);
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        uint64_t tag = atomic_xchg64(&allocator->active[cpu], 0);
        if (tag != 0) { /* else it has not switched since the last roll-over */
            allocator->reserved[cpu] = tag;
        }
        take(allocator, allocator->reserved[cpu] & NUMBER_MASK);
    }
    dsb_ishst();
    tlbi_alle1is();
    if (allocator->flush_icache) {
        ic_ialluis();
    }
    dsb_ish();
    isb();
}

/* If the tag's VM was on a CPU at the last roll-over, it keeps its number in this generation. */
static bool renew_reserved(struct vmid_allocator *allocator, uint64_t old, uint64_t renewed)
{
    bool found = false;

    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        if (allocator->reserved[cpu] == old) {
            allocator->reserved[cpu] = renewed;
            found = true;
        }
    }
    return found;
}

static uint64_t assign(struct vmid_allocator *allocator, uint64_t old)
{
    uint64_t renewed = allocator->generation | (old & NUMBER_MASK);
    uint64_t number;

    if (old != 0 &&
        (renew_reserved(allocator, old, renewed) || take(allocator, old & NUMBER_MASK))) {
        return renewed;
    }
    number = take_next(allocator);
    if (number == 0) {
        roll_over(allocator);
        number = take_next(allocator); /* CPU_MAX are reserved at most */
    }
    return allocator->generation | number;
}

static bool is_current(const struct vmid_allocator *allocator, uint64_t tag)
{
    return ((tag ^ atomic_load64_relaxed(&allocator->generation)) & ~NUMBER_MASK) == 0;
}

/* Apart, so that the fast path below needs no stack frame. */
__attribute__((noinline)) static uint64_t get_locked(struct vmid_allocator *allocator,
                                                     struct vmid *vmid, unsigned cpu)
{
    uint64_t tag;

    spin_lock(&allocator->lock);
    tag = atomic_load64_relaxed(&vmid->tag);
    if (!is_current(allocator, tag)) {
        tag = assign(allocator, tag);
        atomic_store64_relaxed(&vmid->tag, tag);
    }
    atomic_store64_relaxed(&allocator->active[cpu], tag);
    spin_unlock(&allocator->lock);
    return tag;
}

uint32_t vmid_get(struct vmid_allocator *allocator, struct vmid *vmid, unsigned cpu)
{
    uint64_t tag = atomic_load64_relaxed(&vmid->tag);
    uint64_t active = atomic_load64_relaxed(&allocator->active[cpu]);

    if (active == 0 || !is_current(allocator, tag) ||
        !atomic_cas64(&allocator->active[cpu], &active, tag)) {
        tag = get_locked(allocator, vmid, cpu);
    }
    return (uint32_t)(tag & NUMBER_MASK);
}
