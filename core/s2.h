/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 2: a guest's IPA space in translation tables of the VMSAv8-64 format, 4 KiB granule
 * (Arm ARM D8). Ranges are mapped with the largest blocks (1 GiB, 2 MiB) that IPA and PA allow,
 * and blocks are split and put together again as ranges change, always by break-before-make.
 *
 * Who calls what: at boot s2_config_from_cpu(); on each CPU VTCR_EL2 = s2_vtcr(); for each VM
 * s2_init(); at each switch-in VTTBR_EL2 = s2_enter(s2, vmid_get(...)). The holder of s2->lock
 * may look at the tables and change them, from any CPU, while the VM runs on others.
 *
 * While an entry is being changed it is invalid for a moment. A guest that faults then finds its
 * address mapped once it gets the lock: it just tries its instruction again.
 */
#ifndef CORE_S2_H
#define CORE_S2_H

#include "bothy/bits.h"
#include "bothy/spinlock.h"
#include "bothy/status.h"
#include "bothy/types.h"

#define S2_PAGE_SIZE UINT64_C(4096)
#define S2_BLOCK_2M_SIZE (UINT64_C(1) << 21)
#define S2_BLOCK_1G_SIZE (UINT64_C(1) << 30)

#define S2_IPA_BITS_MIN 32U
#define S2_IPA_BITS_MAX 48U

/* The shape of the tables, the same for all VMs, as VTCR_EL2 is. */
struct s2_config {
    uint8_t ipa_bits;
    uint8_t start_level; /* 1, or 0 for more than 43 bits; never 2, which has no 1 GiB blocks */
    uint8_t pa_bits;     /* 32, 36, 40, 42, 44 or 48 */
    bool fwb;            /* FEAT_S2FWB: the guest's RAM is cacheable whatever the guest says */
    bool range_tlbi;     /* FEAT_TLBIRANGE */
    bool vmid16;         /* FEAT_VMID16 */
    bool xnx;            /* FEAT_XNX: EL1 and EL0 execute permissions are apart */
};

/* Where table pages come from. Not called for a lookup, nor by more than one CPU for one s2. */
struct s2_pages {
    /* `pages` (a power of two, at most 16) zeroed 4 KiB pages, contiguous and aligned to their
     * size, visible to the table walker (which is cacheable, inner shareable); NULL if none. */
    void *(*alloc)(void *ctx, unsigned pages);
    void (*free)(void *ctx, void *page, unsigned pages);
    uint64_t (*to_pa)(void *ctx, const void *page);
    void *(*to_va)(void *ctx, uint64_t pa);
    void *ctx;
};

struct s2 {
    struct spinlock lock;
    struct s2_config config;
    struct s2_pages pages;
    uint64_t *root;       /* one page, or up to 16 concatenated ones; NULL when destroyed */
    uint32_t vmid;        /* atomic: what the VM was entered with last; 0 before that */
    uint32_t table_pages; /* in use, the root's included */
    uint64_t mapped;      /* bytes */
};

/*
 * What a guest may do with an address, and what is there. Any combination can be mapped, but
 * without FEAT_XNX execution is for both or for none (none, if only one was asked for).
 */
enum s2_attr {
    S2_READ = 1,
    S2_WRITE = 2,
    S2_EXEC_EL1 = 4,
    S2_EXEC_EL0 = 8,
    S2_DEVICE_MEMORY = 16, /* Device-nGnRE; otherwise Normal write-back */

    S2_EXEC = S2_EXEC_EL1 | S2_EXEC_EL0,
    S2_RAM = S2_READ | S2_WRITE | S2_EXEC,
    S2_RAM_RO = S2_READ | S2_EXEC,
    S2_RAM_NX = S2_READ | S2_WRITE,
    S2_DEVICE = S2_READ | S2_WRITE | S2_DEVICE_MEMORY,
};

/* A piece of one leaf entry. */
struct s2_mapping {
    ipa_t ipa;
    pa_t pa;
    uint64_t size; /* bytes from ipa to the end of this page or block */
    enum s2_attr attr;
};

/*
 * The shape for this CPU (ID_AA64MMFR0_EL1.{PARange, TGran4_2}, ID_AA64MMFR1_EL1.{VMIDBits, XNX},
 * ID_AA64MMFR2_EL1.FWB, ID_AA64ISAR0_EL1.TLB) and at least `wanted_ipa_bits` of IPA if the CPU
 * has them, or else as many as it has. STATUS_UNSUPPORTED: no 4 KiB granule at stage 2.
 */
MUST_CHECK enum status s2_config_from_cpu(unsigned wanted_ipa_bits, struct s2_config *ret_config);

/* VTCR_EL2 (Arm ARM D19.2, "VTCR_EL2") for that shape. */
uint64_t s2_vtcr(const struct s2_config *config);

/* An empty IPA space; `pages` is copied. STATUS_INVALID: an impossible shape. STATUS_NO_MEMORY. */
MUST_CHECK enum status s2_init(struct s2 *s2, const struct s2_config *config,
                               const struct s2_pages *pages);

/* Give all table pages back, after TLB maintenance. No vCPU may run. Twice, or after s2_init()
 * failed, is harmless. */
void s2_destroy(struct s2 *s2);

/* VTTBR_EL2 for these tables and a VMID. */
uint64_t s2_vttbr(const struct s2 *s2, uint32_t vmid);

/*
 * A CPU is about to enter the VM with this VMID: the value for its VTTBR_EL2. Changes of the
 * tables, on whatever CPU, invalidate this VMID from now on. Takes no lock; costs a barrier only
 * if the VMID differs from last time, which vmid_get() never lets happen while a vCPU runs.
 */
uint64_t s2_enter(struct s2 *s2, uint32_t vmid);

/*
 * The three changes. Addresses and size are multiples of 4 KiB, size is not 0, and the range
 * lies below the IPA (and PA) limit: otherwise STATUS_INVALID. If one fails, for that reason or
 * with STATUS_NO_MEMORY, then every address is mapped just as it was before. When one returns, no
 * CPU uses an old translation any more. Whoever removes or changes memory cleans the caches.
 *
 * s2_map: nothing may be mapped in the range yet, not even identically (STATUS_EXISTS).
 * s2_unmap, s2_protect: holes in the range are skipped.
 */
MUST_CHECK enum status s2_map(struct s2 *s2, ipa_t ipa, pa_t pa, uint64_t size, enum s2_attr attr)
    REQUIRES(s2->lock);
MUST_CHECK enum status s2_unmap(struct s2 *s2, ipa_t ipa, uint64_t size) REQUIRES(s2->lock);
MUST_CHECK enum status s2_protect(struct s2 *s2, ipa_t ipa, uint64_t size, enum s2_attr attr)
    REQUIRES(s2->lock);

/* Where ipa is mapped, if it is: ret_mapping starts at ipa itself. */
MUST_CHECK bool s2_lookup(struct s2 *s2, ipa_t ipa, struct s2_mapping *ret_mapping)
    REQUIRES(s2->lock);

/* The first thing mapped at `from` or behind it. To walk: go on at ret->ipa + ret->size. */
MUST_CHECK bool s2_next_mapping(struct s2 *s2, ipa_t from, struct s2_mapping *ret_mapping)
    REQUIRES(s2->lock);

#endif
