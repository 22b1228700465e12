/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 2: the exact sequence of barriers and TLB maintenance for each kind of change, and the
 * operands, worked out by hand from the Arm ARM (C5.5, D8.14). */
#include "tests/support/s2_oracle.h"
#include "tests/support/s2_oracle_log.h"
#include <string.h>

#include "arch/sysreg.h"

#define GIB_(n) ((uint64_t)(n) << 30)
#define MIB_(n) ((uint64_t)(n) << 20)
#define PAGE UINT64_C(4096)

#define STORE                 \
    {                         \
        ORACLE_STORE, NULL, 0 \
    }
#define ISHST                     \
    {                             \
        ORACLE_DSB_ISHST, NULL, 0 \
    }
#define ISH                     \
    {                           \
        ORACLE_DSB_ISH, NULL, 0 \
    }
#define ISB_                \
    {                       \
        ORACLE_ISB, NULL, 0 \
    }
#define IPA(at)                                     \
    {                                               \
        ORACLE_TLBI_IPA, NULL, (uint64_t)(at) >> 12 \
    }
#define RIPA(at, num, scale)                                                      \
    {                                                                             \
        ORACLE_TLBI_RANGE, NULL,                                                  \
            (uint64_t)1 << 46 | (uint64_t)(scale) << 44 | (uint64_t)(num) << 39 | \
                (uint64_t)(at) >> 12                                              \
    }
#define VM_S1                         \
    {                                 \
        ORACLE_TLBI_COMBINED, NULL, 0 \
    }
#define VM_ALL                   \
    {                            \
        ORACLE_TLBI_ALL, NULL, 0 \
    }
#define VTTBR(value)              \
    {                             \
        ORACLE_VTTBR, NULL, value \
    }
#define REST ISH, VM_S1, ISH, ISB_ /* what follows the TLBI by IPA */

static struct s2 s2;

static const struct s2_config plain = {39, 1, 40, false, false, false, false};
static const struct s2_config ranges = {44, 0, 44, false, true, true, false};

/* A VM that runs on this CPU with VMID 9. */
static void start(const struct s2_config *config)
{
    oracle_log_reset();
    oracle_reset();
    assert_int_equal(s2_init(&s2, config, oracle_pages()), STATUS_OK);
    write_vttbr_el2(s2_enter(&s2, 9));
    oracle_watch(&s2, true);
    oracle_end();
}

static void map(uint64_t at, uint64_t size)
{
    assert_int_equal(s2_map(&s2, ipa(at), pa(at), size, S2_RAM), STATUS_OK);
    oracle_end();
}

static void unmap(uint64_t at, uint64_t size)
{
    assert_int_equal(s2_unmap(&s2, ipa(at), size), STATUS_OK);
}

/* The log, with runs of stores as one. */
static void expect(const struct oracle_event *wanted, size_t count)
{
    struct oracle_event got;
    enum oracle_event_kind last = ORACLE_OTHER;
    size_t n = 0;

    for (size_t i = 0; oracle_log_at(i, &got); i++) {
        bool repeated = got.kind == ORACLE_STORE && last == ORACLE_STORE;
        last = got.kind;
        if (repeated) {
            continue;
        }
        if (n >= count || got.kind != wanted[n].kind ||
            (got.kind != ORACLE_STORE && got.value != wanted[n].value)) {
            fail_msg("event %zu: kind %d, value %lx", n, (int)got.kind, got.value);
        }
        n++;
    }
    assert_int_equal(n, count);
    oracle_end();
}

#define EXPECT(...)                                                 \
    do {                                                            \
        static const struct oracle_event wanted_[] = {__VA_ARGS__}; \
        expect(wanted_, ARRAY_SIZE(wanted_));                       \
    } while (0)

static void test_fresh_map(void **state)
{
    start(&plain);
    assert_int_equal(s2_map(&s2, ipa(MIB_(2)), pa(0), MIB_(2), S2_RAM), STATUS_OK);
    EXPECT(ISHST, STORE, ISHST); /* a table, complete before its link */
    assert_int_equal(s2_map(&s2, ipa(MIB_(4)), pa(0), MIB_(2), S2_RAM), STATUS_OK);
    EXPECT(STORE, ISHST);
    s2_destroy(&s2);
}

static void test_unmap_by_ipa(void **state)
{
    start(&plain);
    map(MIB_(2) + 3 * PAGE, 3 * PAGE);
    map(GIB_(1), MIB_(6));
    unmap(MIB_(2) + 4 * PAGE, PAGE);
    EXPECT(STORE, ISHST, IPA(MIB_(2) + 4 * PAGE), REST);
    unmap(MIB_(2) + 3 * PAGE, 3 * PAGE);
    EXPECT(STORE, ISHST, IPA(MIB_(2) + 3 * PAGE), IPA(MIB_(2) + 4 * PAGE), IPA(MIB_(2) + 5 * PAGE),
           REST);
    unmap(GIB_(1), MIB_(6)); /* one for a block is enough */
    EXPECT(STORE, ISHST, IPA(GIB_(1)), IPA(GIB_(1) + MIB_(2)), IPA(GIB_(1) + MIB_(4)), REST);
    unmap(GIB_(1), MIB_(6)); /* nothing there */
    assert_false(oracle_log_at(0, &(struct oracle_event){ORACLE_OTHER, NULL, 0}));
    s2_destroy(&s2);
}

static void test_unmap_all(void **state)
{
    start(&plain);
    map(PAGE, 33 * PAGE);
    unmap(PAGE, 33 * PAGE); /* more than it pays to name */
    EXPECT(STORE, ISHST, VM_ALL, REST);
    s2_destroy(&s2);
}

/* NUM and SCALE: (NUM + 1) << (5 * SCALE + 1) pages. */
static void test_ranges(void **state)
{
    start(&ranges);
    map(PAGE, 600 * PAGE);
    unmap(PAGE, PAGE);
    EXPECT(STORE, ISHST, IPA(PAGE), REST);
    unmap(2 * PAGE, 2 * PAGE);
    EXPECT(STORE, ISHST, RIPA(2 * PAGE, 0, 0), REST);
    unmap(4 * PAGE, 3 * PAGE);
    EXPECT(STORE, ISHST, RIPA(4 * PAGE, 0, 0), IPA(6 * PAGE), REST);
    unmap(8 * PAGE, 63 * PAGE);
    EXPECT(STORE, ISHST, RIPA(8 * PAGE, 30, 0), IPA(70 * PAGE), REST);
    unmap(100 * PAGE, 64 * PAGE);
    EXPECT(STORE, ISHST, RIPA(100 * PAGE, 0, 1), REST);
    unmap(200 * PAGE, 71 * PAGE);
    EXPECT(STORE, ISHST, RIPA(200 * PAGE, 0, 1), RIPA(264 * PAGE, 2, 0), IPA(270 * PAGE), REST);
    s2_destroy(&s2);
}

static void test_large_ranges(void **state)
{
    start(&ranges);
    map(GIB_(8), GIB_(24));
    unmap(GIB_(8), GIB_(8));
    EXPECT(STORE, ISHST, RIPA(GIB_(8), 31, 3), REST);
    unmap(GIB_(16), MIB_(8)); /* splits a block first: break, make, then remove */
    EXPECT(STORE, ISHST, STORE, ISHST, RIPA(GIB_(16), 3, 3), REST, STORE, ISHST, /* 1 GiB */
           STORE, ISHST, RIPA(GIB_(16), 0, 2), REST);
    unmap(GIB_(16) + MIB_(8), GIB_(8)); /* 2^21 pages still fit */
    EXPECT(STORE, ISHST, STORE, ISHST, RIPA(GIB_(24), 3, 3), REST, STORE, ISHST, STORE, ISHST,
           RIPA(GIB_(16) + MIB_(8), 31, 3), REST);
    unmap(GIB_(16), GIB_(16));
    EXPECT(STORE, ISHST, VM_ALL, REST);
    s2_destroy(&s2);
}

static void test_split(void **state)
{
    start(&plain);
    map(GIB_(1), GIB_(1));
    unmap(GIB_(1) + MIB_(2), MIB_(2));
    EXPECT(STORE, ISHST, STORE, ISHST, IPA(GIB_(1)), REST, STORE, ISHST, /* 1 GiB to a table */
           STORE, ISHST, IPA(GIB_(1) + MIB_(2)), REST);
    s2_destroy(&s2);
}

static void test_coalesce(void **state)
{
    start(&plain);
    map(MIB_(2), 511 * PAGE);
    assert_int_equal(s2_map(&s2, ipa(MIB_(4) - PAGE), pa(MIB_(4) - PAGE), PAGE, S2_RAM), STATUS_OK);
    EXPECT(STORE, ISHST, /* the last page, then table to block */
           STORE, ISHST, VM_ALL, REST, STORE, ISHST);
    assert_int_equal(s2.table_pages, 2);
    s2_destroy(&s2);

    start(&ranges);
    map(MIB_(2), 511 * PAGE);
    assert_int_equal(s2_map(&s2, ipa(MIB_(4) - PAGE), pa(MIB_(4) - PAGE), PAGE, S2_RAM), STATUS_OK);
    EXPECT(STORE, ISHST, STORE, ISHST, RIPA(MIB_(2), 7, 1), REST, STORE, ISHST);
    s2_destroy(&s2);
}

static void test_protect(void **state)
{
    start(&plain);
    map(MIB_(2), MIB_(4));
    assert_int_equal(s2_protect(&s2, ipa(0), MIB_(8), S2_RAM_RO), STATUS_OK);
    EXPECT(STORE, ISHST, IPA(0), IPA(MIB_(2)), IPA(MIB_(4)), IPA(MIB_(6)), REST, STORE, ISHST);
    assert_int_equal(s2_protect(&s2, ipa(MIB_(2)), MIB_(2), S2_RAM_RO), STATUS_OK);
    assert_false(oracle_log_at(0, &(struct oracle_event){ORACLE_OTHER, NULL, 0}));
    s2_destroy(&s2);
}

/* A VM that is not on this CPU: its VTTBR_EL2 is loaded around the maintenance. */
static void test_other_vm_loaded(void **state)
{
    const uint64_t other = 0x0005000012345000;
    struct oracle_event event;
    size_t switches = 0;

    start(&plain);
    map(PAGE, PAGE);
    write_vttbr_el2(other);
    oracle_end();
    unmap(PAGE, PAGE);
    for (size_t i = 0; oracle_log_at(i, &event); i++) {
        if (event.kind == ORACLE_VTTBR) {
            struct oracle_event next;
            uint64_t wanted = switches == 0 ? s2_vttbr(&s2, 9) : other;
            assert_int_equal(event.value, wanted);
            assert_true(oracle_log_at(i + 1, &next));
            assert_int_equal(next.kind, ORACLE_ISB);
            switches++;
        } else if (event.kind == ORACLE_TLBI_IPA || event.kind == ORACLE_TLBI_COMBINED) {
            assert_int_equal(switches, 1);
        }
    }
    assert_int_equal(switches, 2);
    assert_int_equal(read_vttbr_el2(), other);
    s2_destroy(&s2);
}

static void test_never_run(void **state)
{
    start(&plain);
    s2.vmid = 0;
    oracle_watch(&s2, false);
    map(GIB_(1), GIB_(1));
    unmap(GIB_(1), PAGE);
    EXPECT(STORE, ISHST, STORE, ISHST, /* two tables */
           STORE, ISHST, STORE, ISHST, STORE, ISHST);
    s2_destroy(&s2);
}

static void test_enter(void **state)
{
    start(&plain);
    assert_int_equal(s2_enter(&s2, 9), s2_vttbr(&s2, 9));
    assert_false(oracle_log_at(0, &(struct oracle_event){ORACLE_OTHER, NULL, 0}));
    assert_int_equal(s2_enter(&s2, 10), s2_vttbr(&s2, 10));
    EXPECT(ISH);
    s2_destroy(&s2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fresh_map),       cmocka_unit_test(test_unmap_by_ipa),
        cmocka_unit_test(test_unmap_all),       cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_large_ranges),    cmocka_unit_test(test_split),
        cmocka_unit_test(test_coalesce),        cmocka_unit_test(test_protect),
        cmocka_unit_test(test_other_vm_loaded), cmocka_unit_test(test_never_run),
        cmocka_unit_test(test_enter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
