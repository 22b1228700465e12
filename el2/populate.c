/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See populate.h. A block is mapped only when it has been scrubbed, filled and cleaned to the
 * point of coherency, all under the stage-2 lock, so that no vCPU ever sees it half-made and two
 * that fault on the same block make it once.
 */
#include "el2/populate.h"

#include "arch/barrier.h"
#include "arch/cache.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "bothy/panic.h"
#include "bothy/string.h"
#include "el2/guest.h"
#include "el2/hyp.h"

#define WINDOW_GUEST 0u
#define WINDOW_MODULE 1u

/* Where guest memory at ipa is, and how much of it follows there in one piece. */
static pa_t backing(const struct guest *guest, uint64_t ipa, uint64_t *ret_size)
{
    uint64_t offset = ipa - guest->vm.ram_base.ipa;

    for (uint32_t i = 0; i < guest->config->nr_extents; i++) {
        const struct ram_extent *extent = &guest->config->extents[i];

        if (offset < extent->size) {
            *ret_size = extent->size - offset;
            return pa(extent->base.pa + offset);
        }
        offset -= extent->size;
    }
    panic("guest %s has no memory behind IPA %llx", guest->vm.name, (unsigned long long)ipa);
}

/* Copy what of the segment lies in [ipa, ipa + size) to `to`, which is the memory at ipa. */
static void copy_segment(const struct guest_segment *segment, uint64_t ipa, uint64_t size, char *to)
{
    uint64_t from = MAX(ipa, segment->ipa);
    uint64_t end = MIN(ipa + size, segment->ipa + segment->size);

    if (from >= end)
        return;
    to += from - ipa;
    if (segment->va) {
        memcpy(to, (const char *)segment->va + (from - segment->ipa), end - from);
        return;
    }

    unsigned int cpu = cpu_this()->id;
    const void *module = memory_window_map(&hyp.memory, cpu, WINDOW_MODULE,
                                           pa(segment->pa.pa + (from - segment->ipa)), false);

    memcpy(to, module, end - from);
    memory_window_unmap(&hyp.memory, cpu, WINDOW_MODULE);
}

static void fill(const struct guest *guest, uint64_t ipa, pa_t at, uint64_t size)
{
    unsigned int cpu = cpu_this()->id;
    char *to = memory_window_map(&hyp.memory, cpu, WINDOW_GUEST, at, true);

    memory_scrub(to, size);
    for (uint32_t i = 0; i < guest->nr_segments; i++)
        copy_segment(&guest->segments[i], ipa, size, to);
    /* A guest whose caches are off reads memory itself, unless FWB makes it cacheable all the
     * same; and its instruction fetches may hit lines of whoever had this memory before. */
    if (!hyp.s2_config.fwb)
        cache_clean_inval_range(to, size);
    ic_ialluis();
    dsb_ish();
    memory_window_unmap(&hyp.memory, cpu, WINDOW_GUEST);
}

/* Make a block (2 MiB-aligned, or the rest of the memory behind it). Lock held. */
static enum status make_block(struct guest *guest, uint64_t block) REQUIRES(guest->vm.s2.lock)
{
    uint64_t in_one_piece;
    uint64_t size = MIN(S2_BLOCK_2M_SIZE, guest->vm.ram_base.ipa + guest->vm.ram_size - block);
    pa_t at = backing(guest, block, &in_one_piece);

    BUG_ON(in_one_piece < size); /* extents are multiples of RAM_BLOCK */
    fill(guest, block, at, size);
    enum status status = s2_map(&guest->vm.s2, ipa(block), at, size, S2_RAM);

    if (status == STATUS_OK)
        guest->populated += size;
    return status;
}

enum trap_result populate_fault(struct vcpu *vcpu, ipa_t ipa)
{
    struct vm *vm = vcpu->vm;
    struct guest *guest = guest_of(vm);
    enum status status = STATUS_OK;
    struct s2_mapping mapping;

    spin_lock(&vm->s2.lock);
    /* A sibling may have been here first; then the instruction just runs again. */
    if (!s2_lookup(&vm->s2, ipa, &mapping))
        status = make_block(guest, ALIGN_DOWN(ipa.ipa, S2_BLOCK_2M_SIZE));
    spin_unlock(&vm->s2.lock);

    /* EL2's pool was sized for all tables that a guest can need: see main.c. */
    if (status != STATUS_OK)
        panic("no memory for the stage 2 of %s", vm->name);
    return TRAP_RESUME;
}

void populate_all(struct vm *vm)
{
    struct guest *guest = guest_of(vm);
    uint64_t end = vm->ram_base.ipa + vm->ram_size;
    struct s2_mapping mapping;

    for (uint64_t block = vm->ram_base.ipa; block < end; block += S2_BLOCK_2M_SIZE) {
        enum status status = STATUS_OK;

        spin_lock(&vm->s2.lock);
        if (!s2_lookup(&vm->s2, ipa(block), &mapping))
            status = make_block(guest, block);
        spin_unlock(&vm->s2.lock);
        if (status != STATUS_OK)
            panic("no memory for the stage 2 of %s", vm->name);
    }
}

void populate_forget(struct vm *vm)
{
    struct guest *guest = guest_of(vm);

    spin_lock(&vm->s2.lock);
    enum status status = s2_unmap(&vm->s2, vm->ram_base, ALIGN_UP(vm->ram_size, S2_PAGE_SIZE));
    spin_unlock(&vm->s2.lock);
    if (status != STATUS_OK)
        panic("stage 2 of %s can't be emptied: %s", vm->name, status_name(status));
    guest->populated_most = MAX(guest->populated_most, guest->populated);
    guest->populated = 0;
}

/* Clean and invalidate one mapped piece, at most a block. */
static void flush_piece(pa_t at, uint64_t size)
{
    unsigned int cpu = cpu_this()->id;
    void *memory = memory_window_map(&hyp.memory, cpu, WINDOW_GUEST, at, true);

    cache_clean_inval_range(memory, size);
    memory_window_unmap(&hyp.memory, cpu, WINDOW_GUEST);
}

bool populate_flush(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct s2_mapping mapping;
    bool more;

    for (;;) {
        spin_lock(&vm->s2.lock);
        more = s2_next_mapping(&vm->s2, vcpu->flush_cursor, &mapping);
        if (more) {
            mapping.size = MIN(mapping.size, S2_BLOCK_2M_SIZE);
            flush_piece(mapping.pa, mapping.size);
        }
        spin_unlock(&vm->s2.lock);

        vcpu->flush_cursor = more ? ipa(mapping.ipa.ipa + mapping.size) : ipa(0);
        if (!more)
            return true;
        /* An interrupt is waiting: the guest's instruction runs again, and we go on from here. */
        if (read_isr_el1())
            return false;
    }
}
