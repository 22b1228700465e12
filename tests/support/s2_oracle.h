/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second opinion on stage 2, from the Arm ARM and without any of core's code or constants.
 *
 * It owns the memory for tables and follows the fake's event log store by store in a shadow of
 * that memory. So it knows at each event what a walker could see, and fails the test when
 * - a valid entry becomes another valid one without an invalidation in between;
 * - something was removed and the full sequence (DSB, TLBI that covers it, DSB, TLBI of combined
 *   entries, DSB) did not follow;
 * - a table page is given back while a walker could still reach it;
 * - one of the sampled translations, which a hostile TLB caches whenever it may, is stale after
 *   the maintenance;
 * - a table is empty, miscounted, has stray bits, or could have been one block.
 */
#ifndef TESTS_S2_ORACLE_H
#define TESTS_S2_ORACLE_H

#include "core/s2.h"

#define ORACLE_SAMPLES 48U
#define ORACLE_POOL_PA UINT64_C(0xC000000000)

struct oracle_leaf {
    uint64_t ipa, size, pa;
    uint64_t bits; /* all of the descriptor but address and type */
};

/* Forget everything; the fake's log must be empty. */
void oracle_reset(void);

/* Table memory for s2_init(). */
const struct s2_pages *oracle_pages(void);

/* The n-th allocation from now fails, and all after it; negative: none does. */
void oracle_fail_after(int n);
unsigned oracle_pages_used(void);

/* Behind s2_init(): these tables, and whether their VM has a VMID (so that TLBs matter). */
void oracle_watch(const struct s2 *s2, bool running);

/* Take in what is new in the log. */
void oracle_catch_up(void);

/* Before an operation: cache these translations. After it: catch up and check maintenance. Both
 * leave the log empty; nobody else may clear it. */
void oracle_begin(const uint64_t ipas[ORACLE_SAMPLES]);
void oracle_end(void);

/* Visit all leaves in order of IPA; checks each table on the way. */
typedef void (*oracle_visit_fn)(void *ctx, const struct oracle_leaf *leaf);
void oracle_walk(oracle_visit_fn visit, void *ctx);

/* Translate one address; false if it is not mapped. */
bool oracle_translate(uint64_t ipa, struct oracle_leaf *ret_leaf);

#endif
