/* SPDX-License-Identifier: Apache-2.0 */
/* See s2_oracle.h. All numbers here are written from the Arm ARM (D8.3, D8.14), on purpose. */
#include "s2_oracle.h"
#include "s2_oracle_log.h"
#include <stdlib.h>
#include <string.h>

#define POOL_PAGES 8192U
#define ENTRIES 512U
#define ADDR_BITS UINT64_C(0x0000FFFFFFFFF000)
#define COUNT_BITS UINT64_C(0xFFC) /* bits 11:2 of a table descriptor, ours to use */

enum page_state { PAGE_FREE, PAGE_OFFLINE, PAGE_LIVE, PAGE_UNLINKED };
/* How far the invalidation of something that was removed has come. */
enum stage { REMOVED, VISIBLE, STAGE2_HIT, STAGE2_DONE, COMBINED_HIT, DONE };

struct page {
    enum page_state state;
    unsigned level; /* of its entries; valid while live or unlinked */
    uint64_t base;
};

struct pending {
    uint64_t base, size;
    const uint64_t *slot; /* the broken entry, or NULL for a table page */
    unsigned page;
    enum stage stage;
};

struct cached {
    bool valid;
    struct oracle_leaf leaf;
};

static uint64_t pool[POOL_PAGES][ENTRIES] __attribute__((aligned(65536)));
static uint64_t shadow[POOL_PAGES][ENTRIES];

static struct {
    struct page pages[POOL_PAGES];
    unsigned used, hint;
    int fail_after;
    unsigned root, root_pages, start_level;
    uint64_t limit;
    bool watching, running;
    size_t cursor; /* events of the log that are taken in */
    struct pending *pending;
    size_t nr_pending, max_pending;
    uint64_t samples[ORACLE_SAMPLES];
    struct cached stage2[ORACLE_SAMPLES], combined[ORACLE_SAMPLES];
} o;

static uint64_t level_size(unsigned level)
{
    static const uint64_t sizes[] = {UINT64_C(512) << 30, UINT64_C(1) << 30, 2 << 20, 4096};

    return sizes[level];
}

static bool is_table(uint64_t descriptor, unsigned level)
{
    return (descriptor & 3) == 3 && level < 3;
}

/* The pool page that a table descriptor leads to. */
static unsigned target(uint64_t descriptor)
{
    uint64_t page = ((descriptor & ADDR_BITS) - ORACLE_POOL_PA) / 4096;

    ORACLE_CHECK(page < POOL_PAGES, "descriptor %lx leads out of the pool", descriptor);
    return (unsigned)page;
}

/* --- memory --- */

static void *pages_alloc(void *ctx, unsigned pages)
{
    oracle_catch_up();
    if (o.fail_after == 0) {
        return NULL;
    }
    o.fail_after -= o.fail_after > 0 ? 1 : 0;
    for (unsigned tried = 0; tried < POOL_PAGES; tried += pages) {
        unsigned first = (o.hint / pages * pages + tried) % POOL_PAGES, n = 0;
        while (n < pages && o.pages[first + n].state == PAGE_FREE) {
            n++;
        }
        if (n == pages) {
            for (n = 0; n < pages; n++) {
                o.pages[first + n].state = PAGE_OFFLINE;
            }
            memset(pool[first], 0, (size_t)pages * 4096);
            memset(shadow[first], 0, (size_t)pages * 4096);
            o.used += pages;
            o.hint = first + pages;
            return pool[first];
        }
    }
    ORACLE_CHECK(false, "the pool of %u pages is too small", POOL_PAGES);
    return NULL;
}

static void pages_free(void *ctx, void *memory, unsigned pages)
{
    unsigned first = (unsigned)(((uint64_t *)memory - pool[0]) / ENTRIES);

    oracle_catch_up();
    for (unsigned i = first; i < first + pages; i++) {
        bool is_root = i - o.root < o.root_pages && o.watching;
        ORACLE_CHECK(o.pages[i].state == PAGE_OFFLINE || is_root, "page %u freed in state %d", i,
                     (int)o.pages[i].state);
        o.pages[i].state = PAGE_FREE;
    }
    o.used -= pages;
    memset(memory, 0xA5, (size_t)pages * 4096); /* who still uses it gets nonsense */
}

static uint64_t pages_to_pa(void *ctx, const void *memory)
{
    return ORACLE_POOL_PA + (uint64_t)((const char *)memory - (const char *)pool);
}

static void *pages_to_va(void *ctx, uint64_t pa)
{
    ORACLE_CHECK(pa - ORACLE_POOL_PA < sizeof(pool), "no table at %lx", pa);
    return (char *)pool + (pa - ORACLE_POOL_PA);
}

const struct s2_pages *oracle_pages(void)
{
    static const struct s2_pages pages = {pages_alloc, pages_free, pages_to_pa, pages_to_va, NULL};

    return &pages;
}

void oracle_fail_after(int n)
{
    o.fail_after = n;
}

unsigned oracle_pages_used(void)
{
    return o.used;
}

/* --- what is removed, and how its invalidation goes on --- */

static void pending_add(uint64_t base, uint64_t size, const uint64_t *slot, unsigned page)
{
    if (o.nr_pending == o.max_pending) {
        o.max_pending = o.max_pending * 2 + 1024;
        o.pending = (struct pending *)realloc(o.pending, o.max_pending * sizeof(*o.pending));
        ORACLE_CHECK(o.pending != NULL, "out of memory%s", "");
    }
    o.pending[o.nr_pending++] = (struct pending){base, size, slot, page, REMOVED};
}

/* A table that could be reached through `slot` can't any more, nor can what is below it. */
static void subtree_unlink(unsigned page)
{
    struct page *table = &o.pages[page];

    table->state = PAGE_UNLINKED;
    pending_add(table->base, level_size(table->level - 1), NULL, page);
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t value = shadow[page][i];
        if (is_table(value, table->level)) {
            subtree_unlink(target(value));
        } else if ((value & 1) != 0) {
            uint64_t size = level_size(table->level);
            pending_add(table->base + i * size, size, NULL, POOL_PAGES);
        }
    }
}

static void subtree_link(unsigned page, unsigned level, uint64_t base)
{
    ORACLE_CHECK(o.pages[page].state == PAGE_OFFLINE, "page %u linked twice", page);
    o.pages[page] = (struct page){PAGE_LIVE, level, base};
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (is_table(shadow[page][i], level)) {
            subtree_link(target(shadow[page][i]), level + 1, base + i * level_size(level));
        }
    }
}

static void check_break_before_make(const uint64_t *slot, uint64_t old, uint64_t new, unsigned lvl)
{
    uint64_t ignored = is_table(old, lvl) && is_table(new, lvl) ? COUNT_BITS : 0;

    if ((new & 1) == 0) {
        return;
    }
    ORACLE_CHECK((old & 1) == 0 || ((old ^ new) & ~ignored) == 0,
                 "valid entry %lx becomes valid %lx", old, new);
    for (size_t i = 0; i < o.nr_pending && (old & 1) == 0; i++) {
        ORACLE_CHECK(o.pending[i].slot != slot, "made %lx again before the flush was over", new);
    }
}

static void on_store(uint64_t *slot, uint64_t new)
{
    size_t offset = (size_t)(slot - pool[0]);
    unsigned page = (unsigned)(offset / ENTRIES), i = (unsigned)(offset % ENTRIES);
    uint64_t old = shadow[page][i], size, base;
    const struct page *table = &o.pages[page];

    ORACLE_CHECK(page < POOL_PAGES && table->state != PAGE_FREE, "store to page %u", page);
    shadow[page][i] = new;
    if (table->state != PAGE_LIVE || !o.watching) {
        return;
    }
    size = level_size(table->level);
    base = table->base + i * size;
    check_break_before_make(slot, old, new, table->level);
    if ((old & 1) != 0 && (new & 1) == 0) {
        pending_add(base, size, slot, POOL_PAGES);
        if (is_table(old, table->level)) {
            subtree_unlink(target(old));
        }
    } else if ((old & 1) == 0 && is_table(new, table->level)) {
        subtree_link(target(new), table->level + 1, base);
    }
}

/* --- the hostile TLB --- */

bool oracle_translate(uint64_t ipa, struct oracle_leaf *ret_leaf)
{
    unsigned level = o.start_level, page = o.root;
    uint64_t index = ipa / level_size(level), value;

    if (ipa >= o.limit) {
        return false;
    }
    page += (unsigned)(index / ENTRIES); /* concatenated root tables */
    index %= ENTRIES;
    for (;;) {
        value = shadow[page][index];
        if (!is_table(value, level)) {
            break;
        }
        page = target(value);
        level++;
        index = ipa / level_size(level) % ENTRIES;
    }
    if ((value & 1) == 0) {
        return false;
    }
    ret_leaf->size = level_size(level);
    ret_leaf->ipa = ipa / ret_leaf->size * ret_leaf->size;
    ret_leaf->pa = value & ADDR_BITS;
    ret_leaf->bits = value & ~ADDR_BITS & ~UINT64_C(3);
    return true;
}

/* Fill whatever may be filled now; a combined entry may be made from a cached stage-2 one. */
static void tlb_fill(void)
{
    for (unsigned i = 0; i < ORACLE_SAMPLES; i++) {
        if (!o.stage2[i].valid) {
            o.stage2[i].valid = oracle_translate(o.samples[i], &o.stage2[i].leaf);
        }
        if (!o.combined[i].valid) {
            o.combined[i] = o.stage2[i];
        }
    }
}

static void tlb_check(const struct cached *cached, uint64_t ipa)
{
    struct oracle_leaf now;

    if (!cached->valid) {
        return;
    }
    ORACLE_CHECK(oracle_translate(ipa, &now), "%lx is still in a TLB, but unmapped", ipa);
    ORACLE_CHECK(now.bits == cached->leaf.bits &&
                     now.pa + (ipa - now.ipa) == cached->leaf.pa + (ipa - cached->leaf.ipa),
                 "stale translation of %lx in a TLB", ipa);
    ORACLE_CHECK(now.size == cached->leaf.size, "%lx is cached with another size", ipa);
}

/* --- events --- */

static bool overlaps(uint64_t base, uint64_t size, uint64_t from, uint64_t bytes)
{
    return base < from + bytes && from < base + size;
}

/* Stage-2 translations of [from, from + bytes) go; a walk to any address in a table's range
 * makes the way to that table be forgotten. */
static void on_tlbi_ipa(uint64_t from, uint64_t bytes)
{
    for (size_t i = 0; i < o.nr_pending; i++) {
        struct pending *p = &o.pending[i];
        if (p->stage == VISIBLE && overlaps(p->base, p->size, from, bytes)) {
            p->stage = STAGE2_HIT;
        }
    }
    for (unsigned i = 0; i < ORACLE_SAMPLES; i++) {
        const struct oracle_leaf *leaf = &o.stage2[i].leaf;
        if (o.stage2[i].valid && overlaps(leaf->ipa, leaf->size, from, bytes)) {
            o.stage2[i].valid = false;
        }
    }
}

static void on_tlbi_combined(void)
{
    for (size_t i = 0; i < o.nr_pending; i++) {
        if (o.pending[i].stage == STAGE2_DONE) {
            o.pending[i].stage = COMBINED_HIT;
        }
    }
    for (unsigned i = 0; i < ORACLE_SAMPLES; i++) {
        o.combined[i].valid = false;
    }
}

static void on_tlbi_all(void)
{
    for (size_t i = 0; i < o.nr_pending; i++) {
        if (o.pending[i].stage >= VISIBLE) {
            o.pending[i].stage = COMBINED_HIT;
        }
    }
    for (unsigned i = 0; i < ORACLE_SAMPLES; i++) {
        o.stage2[i].valid = false;
        o.combined[i].valid = false;
    }
}

static void on_dsb(bool stores_only)
{
    size_t kept = 0;

    for (size_t i = 0; i < o.nr_pending; i++) {
        struct pending p = o.pending[i];
        if (p.stage == REMOVED) {
            p.stage = o.running ? VISIBLE : DONE;
        } else if (!stores_only && (p.stage == STAGE2_HIT || p.stage == COMBINED_HIT)) {
            p.stage++;
        }
        if (p.stage != DONE) {
            o.pending[kept++] = p;
        } else if (p.slot == NULL && p.page < POOL_PAGES) {
            o.pages[p.page].state = PAGE_OFFLINE;
        }
    }
    o.nr_pending = kept;
}

void oracle_catch_up(void)
{
    struct oracle_event event;

    while (oracle_log_at(o.cursor, &event)) {
        o.cursor++;
        switch (event.kind) {
        case ORACLE_STORE:
            on_store(event.slot, event.value);
            continue;
        case ORACLE_DSB_ISHST:
            on_dsb(true);
            break;
        case ORACLE_DSB_ISH:
            on_dsb(false);
            break;
        case ORACLE_TLBI_IPA:
            on_tlbi_ipa((event.value & 0xFFFFFFFFF) << 12, 4096);
            break;
        case ORACLE_TLBI_RANGE: {
            uint64_t scale = event.value >> 44 & 3, num = event.value >> 39 & 31;
            ORACLE_CHECK((event.value >> 46 & 3) == 1, "granule in %lx", event.value);
            on_tlbi_ipa((event.value & 0x1FFFFFFFFF) << 12, (num + 1) << (5 * scale + 1) << 12);
            break;
        }
        case ORACLE_TLBI_COMBINED:
            on_tlbi_combined();
            break;
        case ORACLE_TLBI_ALL:
            on_tlbi_all();
            break;
        case ORACLE_TLBI_ALLE1IS:
        case ORACLE_IC_IALLUIS:
        case ORACLE_ISB:
        case ORACLE_VTTBR:
        case ORACLE_OTHER:
            continue;
        }
        tlb_fill();
    }
}

/* --- for the tests --- */

static void log_consume(void)
{
    oracle_catch_up();
    oracle_log_clear();
    o.cursor = 0;
}

void oracle_reset(void)
{
    struct pending *memory = o.pending;
    size_t max = o.max_pending;

    memset(&o, 0, sizeof(o));
    o.pending = memory;
    o.max_pending = max;
    o.fail_after = -1;
    oracle_log_clear();
}

void oracle_watch(const struct s2 *s2, bool running)
{
    oracle_catch_up();
    o.root = (unsigned)((s2->root - pool[0]) / ENTRIES);
    o.start_level = s2->config.ipa_bits > 43 ? 0 : 1;
    o.limit = UINT64_C(1) << s2->config.ipa_bits;
    o.root_pages = (unsigned)(o.limit / level_size(o.start_level) / ENTRIES);
    o.root_pages += o.root_pages == 0 ? 1 : 0;
    o.running = running;
    o.watching = true;
    for (unsigned i = 0; i < o.root_pages; i++) {
        uint64_t bytes = level_size(o.start_level) * ENTRIES;
        o.pages[o.root + i] = (struct page){PAGE_LIVE, o.start_level, i * bytes};
    }
}

void oracle_begin(const uint64_t ipas[ORACLE_SAMPLES])
{
    log_consume();
    memcpy(o.samples, ipas, sizeof(o.samples));
    memset(o.stage2, 0, sizeof(o.stage2));
    memset(o.combined, 0, sizeof(o.combined));
    tlb_fill();
}

void oracle_end(void)
{
    log_consume();
    ORACLE_CHECK(o.nr_pending == 0, "%zu removals were not flushed", o.nr_pending);
    for (unsigned i = 0; i < ORACLE_SAMPLES && o.running; i++) {
        tlb_check(&o.stage2[i], o.samples[i]);
        tlb_check(&o.combined[i], o.samples[i]);
    }
}

/* Whether this full table says no more than one block would. */
static bool is_block_in_disguise(const uint64_t *table, unsigned level)
{
    uint64_t parent = level_size(level - 1);

    for (unsigned i = 0; i < ENTRIES; i++) {
        if ((table[i] & 1) == 0 || is_table(table[i], level) ||
            table[i] - table[0] != i * level_size(level)) {
            return false;
        }
    }
    return level >= 2 && (table[0] & ADDR_BITS) % parent == 0;
}

/* Returns the number of tables in the subtree. */
static unsigned walk_table(const uint64_t *table, unsigned level, uint64_t base, unsigned *ret_live,
                           oracle_visit_fn visit, void *ctx)
{
    unsigned tables = 1, live = 0;

    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t value = table[i], at = base + i * level_size(level);
        if (is_table(value, level)) {
            const uint64_t *next = shadow[target(value)];
            unsigned below;
            tables += walk_table(next, level + 1, at, &below, visit, ctx);
            ORACLE_CHECK(below != 0, "empty table at %lx", at);
            ORACLE_CHECK((value >> 2 & 0x3FF) == below, "table at %lx miscounted", at);
            ORACLE_CHECK((value & ~ADDR_BITS & ~COUNT_BITS) == 3, "table bits %lx", value);
            ORACLE_CHECK(below != ENTRIES || !is_block_in_disguise(next, level + 1),
                         "table at %lx could be a block", at);
        } else if ((value & 1) != 0) {
            struct oracle_leaf leaf = {at, level_size(level), value & ADDR_BITS,
                                       value & ~ADDR_BITS & ~UINT64_C(3)};
            ORACLE_CHECK(level != 0 && (value & 2) == (level == 3 ? 2 : 0), "leaf %lx", value);
            ORACLE_CHECK(leaf.pa % leaf.size == 0, "leaf %lx misaligned", value);
            visit(ctx, &leaf);
        } else {
            ORACLE_CHECK(value == 0, "rubbish %lx in an invalid entry", value);
            continue;
        }
        live++;
    }
    *ret_live = live;
    return tables;
}

void oracle_walk(oracle_visit_fn visit, void *ctx)
{
    unsigned tables = 0, live;

    oracle_catch_up();
    for (unsigned i = 0; i < o.root_pages; i++) {
        tables += walk_table(shadow[o.root + i], o.start_level, o.pages[o.root + i].base, &live,
                             visit, ctx);
    }
    ORACLE_CHECK(tables == o.used, "%u table pages used, %u reachable", o.used, tables);
    for (unsigned i = 0; i < POOL_PAGES; i++) {
        ORACLE_CHECK(o.pages[i].state == PAGE_FREE ||
                         memcmp(pool[i], shadow[i], sizeof(pool[i])) == 0,
                     "page %u was written behind the log's back", i);
    }
}
