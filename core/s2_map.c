/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 2: changes of the tables.
 *
 * What holds before and after each change:
 * - no table but the root is empty;
 * - no table is full of leaves that one block could replace (1 GiB and 2 MiB): the tables are a
 *   function of what is mapped, not of how it came about;
 * - a valid entry becomes another valid entry only by way of an invalid one that was flushed.
 * Whatever needs memory is built aside first and linked when it is complete. A page that was a
 * table is given back only after the flush behind its unlinking.
 */
#include "arch/barrier.h"
#include "core/s2_table.h"

#define LIVE_ONE FIELD_PREP(S2_TABLE_LIVE, 1)

static uint64_t live_entries(uint64_t table_descriptor)
{
    return FIELD_GET(S2_TABLE_LIVE, table_descriptor);
}

static uint64_t *table_alloc(struct s2 *s2)
{
    uint64_t *table = (uint64_t *)s2->pages.alloc(s2->pages.ctx, 1);

    s2->table_pages += table != NULL ? 1 : 0;
    return table;
}

static void table_free(struct s2 *s2, uint64_t *table)
{
    s2->table_pages--;
    s2->pages.free(s2->pages.ctx, table, 1);
}

static uint64_t table_descriptor(const struct s2 *s2, const uint64_t *table, unsigned live)
{
    return s2->pages.to_pa(s2->pages.ctx, table) | S2_PTE_TABLE | S2_PTE_VALID |
           FIELD_PREP(S2_TABLE_LIVE, live);
}

/* A leaf's type and valid bits at this level. */
static uint64_t leaf_type(unsigned level)
{
    return level == S2_LAST_LEVEL ? S2_PTE_TABLE | S2_PTE_VALID : S2_PTE_VALID;
}

/* Write an entry of a path, and count it in its table. True if that has become full. */
static bool entry_write(struct s2 *s2, const struct s2_path *path, unsigned level, uint64_t value)
{
    bool was_valid = s2_is_valid(pte_read(path->entry[level]));
    uint64_t *parent, descriptor;

    pte_write(path->entry[level], value);
    if (level == s2->config.start_level || was_valid == s2_is_valid(value)) {
        return false;
    }
    parent = path->entry[level - 1];
    descriptor = pte_read(parent);
    descriptor = was_valid ? descriptor - LIVE_ONE : descriptor + LIVE_ONE;
    pte_write(parent, descriptor);
    return live_entries(descriptor) == S2_TABLE_ENTRIES;
}

/* Break before make: put another valid entry in the place of one for [base, base + size). */
static void entry_replace(struct s2 *s2, uint64_t *entry, uint64_t value, uint64_t base,
                          uint64_t size, uint64_t step)
{
    pte_write(entry, 0);
    s2_flush(s2, base, size, step);
    pte_write(entry, value);
    dsb_ishst();
}

/*
 * Build a table that means what `value`, a leaf or a hole at `level`, means; along the way to ipa
 * go on down to level `to`. Nothing refers to it yet: ret_descriptor would.
 */
static enum status refine(struct s2 *s2, uint64_t value, unsigned level, uint64_t ipa, unsigned to,
                          uint64_t *ret_descriptor)
{
    unsigned child = level + 1, live = 0;
    uint64_t *table = table_alloc(s2);

    if (table == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (s2_is_valid(value)) {
        uint64_t leaf = (value & ~leaf_type(S2_LAST_LEVEL)) | leaf_type(child);
        for (; live < S2_TABLE_ENTRIES; live++) {
            pte_write(&table[live], leaf + live * s2_level_size(child));
        }
    }
    if (child < to) {
        uint64_t *way = &table[s2_table_index(ipa, child)], descriptor;
        enum status status = refine(s2, pte_read(way), child, ipa, to, &descriptor);
        if (status != STATUS_OK) {
            table_free(s2, table);
            return status;
        }
        pte_write(way, descriptor);
        live = live == 0 ? 1 : live;
    }
    dsb_ishst(); /* complete before anything refers to it */
    *ret_descriptor = table_descriptor(s2, table, live);
    return STATUS_OK;
}

/* See to it that no leaf reaches across `at`. */
static enum status split(struct s2 *s2, uint64_t at)
{
    struct s2_path path;
    uint64_t value, descriptor;
    unsigned to;
    enum status status;

    if (at == s2_ipa_limit(s2)) {
        return STATUS_OK;
    }
    s2_descend(s2, at, &path);
    value = pte_read(path.entry[path.level]);
    for (to = path.level; !IS_ALIGNED(at, s2_level_size(to)); to++) {
    }
    if (!s2_is_valid(value) || to == path.level) {
        return STATUS_OK;
    }
    status = refine(s2, value, path.level, at, to, &descriptor);
    if (status == STATUS_OK) {
        uint64_t size = s2_level_size(path.level);
        entry_replace(s2, path.entry[path.level], descriptor, s2_path_base(&path, at), size, size);
    }
    return status;
}

/* The block that could replace this full table, which entries of `level` make up; 0 if none. */
static uint64_t block_for(const uint64_t *table, unsigned level)
{
    uint64_t first = pte_read(&table[0]);

    if (!s2_is_leaf(first, level) || !IS_ALIGNED(first & S2_PTE_OA, s2_level_size(level - 1))) {
        return 0;
    }
    for (unsigned i = 1; i < S2_TABLE_ENTRIES; i++) {
        if (pte_read(&table[i]) != first + i * s2_level_size(level)) {
            return 0;
        }
    }
    return (first & ~leaf_type(S2_LAST_LEVEL)) | leaf_type(level - 1);
}

/* Put a block in the place of the table that holds the path's entry of this level, if one can. */
static void coalesce_table(struct s2 *s2, const struct s2_path *path, unsigned level, uint64_t ipa)
{
    uint64_t descriptor = pte_read(path->entry[level - 1]);
    uint64_t block, *table;

    if (live_entries(descriptor) != S2_TABLE_ENTRIES) {
        return;
    }
    table = s2_table_of(s2, descriptor);
    block = block_for(table, level);
    if (block != 0) {
        uint64_t size = s2_level_size(level - 1);
        entry_replace(s2, path->entry[level - 1], block, ALIGN_DOWN(ipa, size), size,
                      s2_level_size(level));
        table_free(s2, table);
    }
}

/* Do so for all tables in a range, the last level's first. Level 0 has no blocks. */
static void coalesce(struct s2 *s2, uint64_t ipa, uint64_t end)
{
    struct s2_path path;

    for (unsigned level = S2_LAST_LEVEL; level >= 2; level--) {
        for (uint64_t at = ipa, size; at < end; at = ALIGN_DOWN(at, size) + size) {
            s2_descend(s2, at, &path);
            if (path.level >= level) {
                coalesce_table(s2, &path, level, at);
            }
            size = s2_level_size(MIN(path.level, level - 1));
        }
    }
}

static enum status split_edges(struct s2 *s2, uint64_t ipa, uint64_t end)
{
    enum status status = split(s2, ipa);

    if (status == STATUS_OK) {
        status = split(s2, end);
        if (status != STATUS_OK) {
            coalesce(s2, ipa, ipa + 1);
        }
    }
    return status;
}

/* Unlink the tables of the path that have become empty, onto a list that runs through them: its
 * links are aligned addresses, which a walker that is still there takes for invalid entries. */
static void prune(struct s2 *s2, const struct s2_path *path, uint64_t **empty)
{
    for (unsigned level = path->level; level > s2->config.start_level; level--) {
        uint64_t descriptor = pte_read(path->entry[level - 1]);
        if (live_entries(descriptor) != 0) {
            break;
        }
        uint64_t *table = s2_table_of(s2, descriptor);
        entry_write(s2, path, level - 1, 0);
        pte_write(&table[0], (uint64_t)(uintptr_t)*empty);
        *empty = table;
    }
}

/* Unmap leaves; none reaches across the ends. */
static void clear(struct s2 *s2, uint64_t ipa, uint64_t end)
{
    uint64_t *empty = NULL, step = UINT64_MAX;
    struct s2_path path;

    for (uint64_t at = ipa; at < end; at = s2_path_end(&path, at)) {
        s2_descend(s2, at, &path);
        if (s2_is_valid(pte_read(path.entry[path.level]))) {
            entry_write(s2, &path, path.level, 0);
            prune(s2, &path, &empty);
            s2->mapped -= s2_level_size(path.level);
            step = MIN(step, s2_level_size(path.level));
        }
    }
    if (step != UINT64_MAX) {
        s2_flush(s2, ipa, end - ipa, step);
    }
    while (empty != NULL) {
        uint64_t *table = empty;
        empty = (uint64_t *)(uintptr_t)pte_read(&table[0]);
        table_free(s2, table);
    }
}

static bool range_is_sane(uint64_t start, uint64_t size, unsigned limit_bits)
{
    uint64_t limit = UINT64_C(1) << limit_bits;

    return size != 0 && IS_ALIGNED(start | size, S2_PAGE_SIZE) && start < limit &&
           size <= limit - start;
}

static bool range_is_free(const struct s2 *s2, uint64_t ipa, uint64_t end)
{
    struct s2_path path;

    for (uint64_t at = ipa; at < end; at = s2_path_end(&path, at)) {
        s2_descend(s2, at, &path);
        if (s2_is_valid(pte_read(path.entry[path.level]))) {
            return false;
        }
    }
    return true;
}

/* Of the largest leaf that can begin here. */
static unsigned leaf_level(uint64_t ipa, uint64_t pa, uint64_t size)
{
    unsigned level = 1;

    while (level < S2_LAST_LEVEL &&
           (size < s2_level_size(level) || !IS_ALIGNED(ipa | pa, s2_level_size(level)))) {
        level++;
    }
    return level;
}

/* Fill a hole; tell if that made a table full. As no table is empty, a hole that has room for a
 * leaf of this level has an entry of this level or a higher one. */
static enum status leaf_map(struct s2 *s2, uint64_t ipa, uint64_t leaf, unsigned level, bool *full)
{
    struct s2_path path;

    s2_descend(s2, ipa, &path);
    if (path.level > level || s2_is_valid(pte_read(path.entry[path.level]))) {
        return STATUS_EXISTS;
    }
    if (path.level < level) {
        uint64_t descriptor;
        enum status status = refine(s2, 0, path.level, ipa, level, &descriptor);
        if (status != STATUS_OK) {
            return status;
        }
        entry_write(s2, &path, path.level, descriptor);
        s2_descend(s2, ipa, &path);
    }
    *full |= entry_write(s2, &path, level, leaf);
    s2->mapped += s2_level_size(level);
    return STATUS_OK;
}

enum status s2_map(struct s2 *s2, ipa_t ipa, pa_t pa, uint64_t size, enum s2_attr attr)
{
    uint64_t end = ipa.ipa + size, offset = pa.pa - ipa.ipa, at = ipa.ipa;
    uint64_t bits = s2_attr_encode(&s2->config, attr);
    bool full = false;

    if (!range_is_sane(ipa.ipa, size, s2->config.ipa_bits) ||
        !range_is_sane(pa.pa, size, s2->config.pa_bits)) {
        return STATUS_INVALID;
    }
    while (at < end) {
        unsigned level = leaf_level(at, at + offset, end - at);
        uint64_t leaf = (at + offset) | bits | leaf_type(level), next = at + s2_level_size(level);
        enum status status = STATUS_EXISTS;
        /* The first leaf is the only one most of the time, and looks for itself. */
        if (at != ipa.ipa || range_is_free(s2, next, end)) {
            status = leaf_map(s2, at, leaf, level, &full);
        }
        if (status != STATUS_OK) {
            clear(s2, ipa.ipa, at);
            return status;
        }
        at = next;
    }
    dsb_ishst();
    if (full) {
        coalesce(s2, ipa.ipa, end);
    }
    return STATUS_OK;
}

enum status s2_unmap(struct s2 *s2, ipa_t ipa, uint64_t size)
{
    enum status status;

    if (!range_is_sane(ipa.ipa, size, s2->config.ipa_bits)) {
        return STATUS_INVALID;
    }
    status = split_edges(s2, ipa.ipa, ipa.ipa + size);
    if (status == STATUS_OK) {
        clear(s2, ipa.ipa, ipa.ipa + size);
    }
    return status;
}

/* Break all leaves that differ: their new contents, but invalid. The smallest one, or ~0. */
static uint64_t attr_break(struct s2 *s2, uint64_t ipa, uint64_t end, uint64_t bits)
{
    const uint64_t keep = S2_PTE_OA | S2_PTE_TABLE;
    uint64_t step = UINT64_MAX;
    struct s2_path path;

    for (uint64_t at = ipa; at < end; at = s2_path_end(&path, at)) {
        s2_descend(s2, at, &path);
        uint64_t value = pte_read(path.entry[path.level]);
        uint64_t wanted = (value & keep) | bits;
        if (s2_is_valid(value) && value != (wanted | S2_PTE_VALID)) {
            pte_write(path.entry[path.level], wanted);
            step = MIN(step, s2_level_size(path.level));
        }
    }
    return step;
}

/* Make them valid again. */
static void attr_make(struct s2 *s2, uint64_t ipa, uint64_t end)
{
    struct s2_path path;

    for (uint64_t at = ipa; at < end; at = s2_path_end(&path, at)) {
        s2_descend(s2, at, &path);
        uint64_t value = pte_read(path.entry[path.level]);
        if (value != 0 && !s2_is_valid(value)) {
            pte_write(path.entry[path.level], value | S2_PTE_VALID);
        }
    }
    dsb_ishst();
}

enum status s2_protect(struct s2 *s2, ipa_t ipa, uint64_t size, enum s2_attr attr)
{
    uint64_t end = ipa.ipa + size, step;
    enum status status;

    if (!range_is_sane(ipa.ipa, size, s2->config.ipa_bits)) {
        return STATUS_INVALID;
    }
    status = split_edges(s2, ipa.ipa, end);
    if (status != STATUS_OK) {
        return status;
    }
    step = attr_break(s2, ipa.ipa, end, s2_attr_encode(&s2->config, attr));
    if (step != UINT64_MAX) {
        s2_flush(s2, ipa.ipa, size, step);
        attr_make(s2, ipa.ipa, end);
    }
    coalesce(s2, ipa.ipa, end);
    return STATUS_OK;
}
