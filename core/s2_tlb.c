/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLB maintenance after a change of stage-2 tables (Arm ARM D8.14). TLBs may hold translations
 * of stage 2 (by IPA) and of both stages combined (by VA): the former go by range, and as nobody
 * knows which VAs lead to an IPA, all of the VMID's combined ones go after them.
 */
#include "arch/barrier.h"
#include "arch/tlbi.h"
#include "bothy/atomic.h"
#include "core/s2_table.h"

/* When single invalidations cost more than refilling the whole VMID. */
#define MAX_SINGLE 32U

/* One TLBI RIPAS2E1IS covers (NUM + 1) << (5 * SCALE + 1) pages. */
#define RANGE_MAX_UNITS UINT64_C(32)
#define RANGE_MAX_SCALE 3U
#define RANGE_MAX_PAGES (RANGE_MAX_UNITS << (5U * RANGE_MAX_SCALE + 1U))

static void invalidate_page(uint64_t page)
{
    tlbi_ipas2e1is(FIELD_PREP(TLBI_IPA_IPA, page));
}

/* Exactly `count` pages, the largest units first. A unit is two pages at least. */
static void invalidate_range(uint64_t page, uint64_t count)
{
    unsigned scale = RANGE_MAX_SCALE;

    while (count > 1) {
        uint64_t units = MIN(count >> (5U * scale + 1U), RANGE_MAX_UNITS);
        if (units == 0) {
            scale--;
            continue;
        }
        tlbi_ripas2e1is(FIELD_PREP(TLBI_RIPA_BASEADDR, page) |
                        FIELD_PREP(TLBI_RIPA_NUM, units - 1) | FIELD_PREP(TLBI_RIPA_SCALE, scale) |
                        FIELD_PREP(TLBI_RIPA_TG, TLBI_RIPA_TG_4K));
        page += units << (5U * scale + 1U);
        count -= units << (5U * scale + 1U);
    }
    if (count == 1) {
        invalidate_page(page);
    }
}

/* For the VMID in VTTBR_EL2. */
static void invalidate(const struct s2 *s2, uint64_t ipa, uint64_t size, uint64_t step)
{
    uint64_t pages = size / S2_PAGE_SIZE;

    if (s2->config.range_tlbi && pages <= RANGE_MAX_PAGES) {
        invalidate_range(ipa / S2_PAGE_SIZE, pages);
    } else if (size / step <= MAX_SINGLE) {
        for (uint64_t at = ipa; at < ipa + size; at += step) {
            invalidate_page(at / S2_PAGE_SIZE);
        }
    } else {
        tlbi_vmalls12e1is();
    }
    dsb_ish();
    tlbi_vmalle1is();
    dsb_ish();
    isb();
}

void s2_flush(const struct s2 *s2, uint64_t ipa, uint64_t size, uint64_t step)
{
    uint64_t loaded, ours;
    uint32_t vmid;

    dsb_ishst();
    vmid = atomic_load32_relaxed(&s2->vmid); /* pairs with s2_enter() */
    if (vmid == 0) {
        return;
    }
    loaded = read_vttbr_el2();
    ours = s2_vttbr(s2, vmid);
    if (loaded != ours) {
        write_vttbr_el2(ours);
        isb();
    }
    invalidate(s2, ipa, size, step);
    if (loaded != ours) {
        write_vttbr_el2(loaded);
        isb();
    }
}
