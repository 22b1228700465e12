/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 2: its shape and registers, its beginning and end, the encoding of attributes, lookups.
 * s2_map.c changes the tables, s2_tlb.c is the TLB maintenance.
 */
#include "core/s2.h"
#include "arch/barrier.h"
#include "bothy/atomic.h"
#include "bothy/panic.h"
#include "core/s2_table.h"

#define MAX_START_LEVEL1_BITS 43U /* 16 concatenated tables */
#define LEVEL1_TABLE_BITS 39U     /* what one table translates */

/* Encodings of ID_AA64MMFR0_EL1.PARange and VTCR_EL2.PS; larger ones need 52-bit tables. */
static const uint8_t pa_sizes[] = {32, 36, 40, 42, 44, 48};

static uint8_t start_level_for(unsigned ipa_bits)
{
    return ipa_bits > MAX_START_LEVEL1_BITS ? 0 : 1;
}

static unsigned root_pages(const struct s2_config *config)
{
    bool concatenated = config->start_level == 1 && config->ipa_bits > LEVEL1_TABLE_BITS;

    return concatenated ? 1U << (config->ipa_bits - LEVEL1_TABLE_BITS) : 1U;
}

/* TGran4_2: 1 is "no", 0 "as stage 1 has it"; TGran4, signed: negative is "no". */
static bool has_4k_granule(uint64_t mmfr0)
{
    uint64_t stage2 = FIELD_GET(ID_AA64MMFR0_EL1_TGRAN4_2, mmfr0);
    uint64_t stage1 = FIELD_GET(ID_AA64MMFR0_EL1_TGRAN4, mmfr0);

    return stage2 == 0 ? stage1 < 8 : stage2 > 1;
}

enum status s2_config_from_cpu(unsigned wanted_ipa_bits, struct s2_config *ret_config)
{
    uint64_t mmfr0 = read_id_aa64mmfr0_el1();
    uint64_t mmfr1 = read_id_aa64mmfr1_el1();
    uint64_t pa_range = FIELD_GET(ID_AA64MMFR0_EL1_PARANGE, mmfr0);
    unsigned pa_bits = pa_sizes[MIN(pa_range, ARRAY_SIZE(pa_sizes) - 1)];
    unsigned ipa_bits = MIN(MAX(wanted_ipa_bits, S2_IPA_BITS_MIN), pa_bits);

    if (!has_4k_granule(mmfr0)) {
        return STATUS_UNSUPPORTED;
    }
    *ret_config = (struct s2_config){
        .ipa_bits = (uint8_t)ipa_bits,
        .start_level = start_level_for(ipa_bits),
        .pa_bits = (uint8_t)pa_bits,
        .fwb = FIELD_GET(ID_AA64MMFR2_EL1_FWB, read_id_aa64mmfr2_el1()) != 0,
        .range_tlbi = FIELD_GET(ID_AA64ISAR0_EL1_TLB, read_id_aa64isar0_el1()) >= 2,
        .vmid16 = FIELD_GET(ID_AA64MMFR1_EL1_VMIDBITS, mmfr1) == 2,
        .xnx = FIELD_GET(ID_AA64MMFR1_EL1_XNX, mmfr1) != 0,
    };
    return STATUS_OK;
}

static unsigned pa_size_encoding(unsigned pa_bits)
{
    unsigned i = 0;

    while (i < ARRAY_SIZE(pa_sizes) && pa_sizes[i] != pa_bits) {
        i++;
    }
    return i;
}

uint64_t s2_vtcr(const struct s2_config *config)
{
    return VTCR_EL2_RES1 | FIELD_PREP(VTCR_EL2_T0SZ, 64U - config->ipa_bits) |
           FIELD_PREP(VTCR_EL2_SL0, 2U - config->start_level) |
           FIELD_PREP(VTCR_EL2_IRGN0, VTCR_EL2_IRGN0_WBWA) |
           FIELD_PREP(VTCR_EL2_ORGN0, VTCR_EL2_ORGN0_WBWA) |
           FIELD_PREP(VTCR_EL2_SH0, VTCR_EL2_SH0_INNER) |
           FIELD_PREP(VTCR_EL2_PS, pa_size_encoding(config->pa_bits)) |
           FIELD_PREP(VTCR_EL2_VS, config->vmid16);
}

enum status s2_init(struct s2 *s2, const struct s2_config *config, const struct s2_pages *pages)
{
    *s2 = (struct s2){.config = *config, .pages = *pages};
    spin_init(&s2->lock);
    if (config->ipa_bits < S2_IPA_BITS_MIN || config->ipa_bits > S2_IPA_BITS_MAX ||
        config->start_level != start_level_for(config->ipa_bits) ||
        pa_size_encoding(config->pa_bits) == ARRAY_SIZE(pa_sizes)) {
        return STATUS_INVALID;
    }
    s2->root = (uint64_t *)pages->alloc(pages->ctx, root_pages(config));
    if (s2->root == NULL) {
        return STATUS_NO_MEMORY;
    }
    s2->table_pages = root_pages(config);
    return STATUS_OK;
}

void s2_destroy(struct s2 *s2) NO_THREAD_SAFETY
{
    if (s2->root == NULL) {
        return;
    }
    /* Blocks are never split by this, so it can't run out of memory. */
    BUG_ON(s2_unmap(s2, ipa(0), s2_ipa_limit(s2)) != STATUS_OK);
    s2->pages.free(s2->pages.ctx, s2->root, root_pages(&s2->config));
    s2->root = NULL;
    s2->table_pages = 0;
}

uint64_t s2_vttbr(const struct s2 *s2, uint32_t vmid)
{
    return FIELD_PREP(VTTBR_EL2_VMID, vmid) | s2->pages.to_pa(s2->pages.ctx, s2->root);
}

uint64_t s2_enter(struct s2 *s2, uint32_t vmid)
{
    if (atomic_load32_relaxed(&s2->vmid) != vmid) {
        atomic_store32_relaxed(&s2->vmid, vmid);
        /*
         * Whoever changes the tables writes an entry, waits, and reads vmid; we write vmid, wait,
         * and let the guest's walks read entries. So either they flush this VMID or our walks
         * see their entry.
         */
        dsb_ish();
    }
    return s2_vttbr(s2, vmid);
}

/* XN (Arm ARM D8.4.2) names who may not execute; without FEAT_XNX, all or none. */
static uint64_t xn_encode(bool xnx, bool el1, bool el0)
{
    if (el1 && el0) {
        return S2_PTE_XN_NONE;
    }
    if (!xnx || el1 == el0) {
        return S2_PTE_XN_ALL;
    }
    return el1 ? S2_PTE_XN_EL0 : S2_PTE_XN_EL1;
}

/* With FEAT_S2FWB a MemAttr overrides what the guest's stage 1 says; without, both combine. */
static uint64_t memattr_encode(bool fwb, bool device)
{
    if (device) {
        return fwb ? S2_PTE_MEMATTR_FWB_DEV_NGNRE : S2_PTE_MEMATTR_DEV_NGNRE;
    }
    return fwb ? S2_PTE_MEMATTR_FWB_WB : S2_PTE_MEMATTR_WB;
}

uint64_t s2_attr_encode(const struct s2_config *config, enum s2_attr attr)
{
    uint64_t access = ((attr & S2_READ) != 0 ? S2_PTE_S2AP_RO : 0) |
                      ((attr & S2_WRITE) != 0 ? S2_PTE_S2AP_WO : 0);
    uint64_t xn = xn_encode(config->xnx, (attr & S2_EXEC_EL1) != 0, (attr & S2_EXEC_EL0) != 0);
    uint64_t memattr = memattr_encode(config->fwb, (attr & S2_DEVICE_MEMORY) != 0);

    return FIELD_PREP(S2_PTE_MEMATTR, memattr) | FIELD_PREP(S2_PTE_S2AP, access) |
           FIELD_PREP(S2_PTE_SH, S2_PTE_SH_INNER) | S2_PTE_AF | FIELD_PREP(S2_PTE_XN, xn);
}

enum s2_attr s2_attr_decode(uint64_t value)
{
    static const uint8_t executable[] = {
        [S2_PTE_XN_NONE] = S2_EXEC,
        [S2_PTE_XN_EL1] = S2_EXEC_EL0,
        [S2_PTE_XN_EL0] = S2_EXEC_EL1,
        [S2_PTE_XN_ALL] = 0,
    };
    uint64_t access = FIELD_GET(S2_PTE_S2AP, value);
    unsigned attr = executable[FIELD_GET(S2_PTE_XN, value)];

    attr |= (access & S2_PTE_S2AP_RO) != 0 ? S2_READ : 0U;
    attr |= (access & S2_PTE_S2AP_WO) != 0 ? S2_WRITE : 0U;
    if (FIELD_GET(S2_PTE_MEMATTR, value) == S2_PTE_MEMATTR_DEV_NGNRE) {
        attr |= S2_DEVICE_MEMORY; /* the same number with FEAT_S2FWB */
    }
    return (enum s2_attr)attr;
}

/* What the path's last entry maps from `at` on; false if it is invalid. */
static bool path_mapping(const struct s2_path *path, uint64_t at, struct s2_mapping *ret_mapping)
{
    uint64_t value = pte_read(path->entry[path->level]);
    uint64_t offset = at - s2_path_base(path, at);

    if (!s2_is_valid(value)) {
        return false;
    }
    ret_mapping->ipa = ipa(at);
    ret_mapping->pa = pa((value & S2_PTE_OA) + offset);
    ret_mapping->size = s2_level_size(path->level) - offset;
    ret_mapping->attr = s2_attr_decode(value);
    return true;
}

bool s2_lookup(struct s2 *s2, ipa_t ipa, struct s2_mapping *ret_mapping)
{
    struct s2_path path;

    if (ipa.ipa >= s2_ipa_limit(s2)) {
        return false;
    }
    s2_descend(s2, ipa.ipa, &path);
    return path_mapping(&path, ipa.ipa, ret_mapping);
}

bool s2_next_mapping(struct s2 *s2, ipa_t from, struct s2_mapping *ret_mapping)
{
    struct s2_path path;

    for (uint64_t at = from.ipa; at < s2_ipa_limit(s2); at = s2_path_end(&path, at)) {
        s2_descend(s2, at, &path);
        if (path_mapping(&path, at, ret_mapping)) {
            return true;
        }
    }
    return false;
}
