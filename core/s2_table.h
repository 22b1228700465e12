/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside stage 2: the entries of its tables, and the way from the root to one. Only for s2*.c.
 *
 * A table descriptor's bits 11:2 are ignored by the hardware. They hold the number of valid
 * entries in that table, so that an empty table is noticed when it empties and a full one when
 * it fills, without a look at all its entries. The root has no count and needs none.
 */
#ifndef CORE_S2_TABLE_H
#define CORE_S2_TABLE_H

#include "arch/pte.h"
#include "arch/sysreg.h"
#include "core/s2.h"

#define S2_LEVELS 4U
#define S2_LAST_LEVEL (S2_LEVELS - 1U)
#define S2_TABLE_ENTRIES 512U

/* The entries that translate an address, from the start level to the one where the walk ends. */
struct s2_path {
    uint64_t *entry[S2_LEVELS];
    unsigned level; /* of the last */
};

static inline unsigned s2_level_shift(unsigned level)
{
    return 12U + 9U * (S2_LAST_LEVEL - level);
}

/* Bytes that one entry of this level translates. */
static inline uint64_t s2_level_size(unsigned level)
{
    return UINT64_C(1) << s2_level_shift(level);
}

static inline unsigned s2_table_index(uint64_t ipa, unsigned level)
{
    return (unsigned)(ipa >> s2_level_shift(level)) % S2_TABLE_ENTRIES;
}

static inline uint64_t s2_ipa_limit(const struct s2 *s2)
{
    return UINT64_C(1) << s2->config.ipa_bits;
}

static inline bool s2_is_valid(uint64_t value)
{
    return (value & S2_PTE_VALID) != 0;
}

static inline bool s2_is_table(uint64_t value, unsigned level)
{
    return s2_is_valid(value) && (value & S2_PTE_TABLE) != 0 && level < S2_LAST_LEVEL;
}

static inline bool s2_is_leaf(uint64_t value, unsigned level)
{
    return s2_is_valid(value) && !s2_is_table(value, level);
}

static inline uint64_t *s2_table_of(const struct s2 *s2, uint64_t value)
{
    return (uint64_t *)s2->pages.to_va(s2->pages.ctx, value & S2_PTE_OA);
}

/* The way to the entry for ipa, which is below the limit. */
static inline void s2_descend(const struct s2 *s2, uint64_t ipa, struct s2_path *path)
{
    unsigned level = s2->config.start_level;
    uint64_t *entry = s2->root + (ipa >> s2_level_shift(level)); /* concatenated: no modulus */
    uint64_t value;

    path->entry[level] = entry;
    while (s2_is_table(value = pte_read(entry), level)) {
        level++;
        entry = s2_table_of(s2, value) + s2_table_index(ipa, level);
        path->entry[level] = entry;
    }
    path->level = level;
}

/* The start of what the last entry of a path translates, and the end. */
static inline uint64_t s2_path_base(const struct s2_path *path, uint64_t ipa)
{
    return ALIGN_DOWN(ipa, s2_level_size(path->level));
}

static inline uint64_t s2_path_end(const struct s2_path *path, uint64_t ipa)
{
    return s2_path_base(path, ipa) + s2_level_size(path->level);
}

/* Bits of a leaf for the attributes, without address and type; and back. */
uint64_t s2_attr_encode(const struct s2_config *config, enum s2_attr attr);
enum s2_attr s2_attr_decode(uint64_t value);

/*
 * The entries that translated [ipa, ipa + size) by leaves of at least `step` bytes have been made
 * invalid: wait until no CPU, walker or device uses what it remembers of them.
 */
void s2_flush(const struct s2 *s2, uint64_t ipa, uint64_t size, uint64_t step);

#endif
