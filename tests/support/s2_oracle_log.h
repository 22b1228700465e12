/* SPDX-License-Identifier: Apache-2.0 */
/* How the tests of stage 2 and VMIDs read the fake's event log, and how they fail. */
#ifndef TESTS_S2_ORACLE_LOG_H
#define TESTS_S2_ORACLE_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ORACLE_CHECK(condition, ...) \
    do {                             \
        if (!(condition)) {          \
            fail_msg(__VA_ARGS__);   \
        }                            \
    } while (0)

enum oracle_event_kind {
    ORACLE_STORE, /* to a table entry: slot, value */
    ORACLE_DSB_ISHST,
    ORACLE_DSB_ISH,
    ORACLE_TLBI_IPA,      /* value: the operand */
    ORACLE_TLBI_RANGE,    /* value: the operand */
    ORACLE_TLBI_COMBINED, /* VMALLE1IS */
    ORACLE_TLBI_ALL,      /* VMALLS12E1IS */
    ORACLE_TLBI_ALLE1IS,
    ORACLE_IC_IALLUIS,
    ORACLE_ISB,
    ORACLE_VTTBR, /* written: value */
    ORACLE_OTHER,
};

struct oracle_event {
    enum oracle_event_kind kind;
    uint64_t *slot;
    uint64_t value;
};

/* The i-th event since the log was cleared; false behind the last one. */
bool oracle_log_at(size_t i, struct oracle_event *ret_event);
void oracle_log_clear(void);

/* The fake as it is after power-on, with VTTBR_EL2 and an empty log. */
void oracle_log_reset(void);

/* The ID registers that decide about stage 2: ID_AA64MMFR0_EL1.. and ID_AA64ISAR0_EL1. */
void oracle_log_cpu(uint64_t mmfr0, uint64_t mmfr1, uint64_t mmfr2, uint64_t isar0);

void oracle_log_ctr(uint64_t ctr); /* CTR_EL0 */

#endif
