/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 2: shape, register values and descriptors against numbers worked out by hand from the
 * Arm ARM, the error paths, and running out of memory at every allocation. */
#include "tests/support/s2_oracle.h"
#include "tests/support/s2_oracle_log.h"
#include <string.h>

#include "arch/sysreg.h"

#define GIB_(n) ((uint64_t)(n) << 30)
#define MIB_(n) ((uint64_t)(n) << 20)

static struct s2 s2;

static const struct s2_config plain = {39, 1, 40, false, false, false, false};
static const struct s2_config modern = {39, 1, 40, true, true, true, true};

static void start(const struct s2_config *config)
{
    oracle_log_reset();
    oracle_reset();
    assert_int_equal(s2_init(&s2, config, oracle_pages()), STATUS_OK);
    oracle_watch(&s2, false);
}

/* --- shape and registers --- */

static void test_config(void **state)
{
    static const struct {
        unsigned pa_range, wanted, pa_bits, ipa_bits, level;
        uint64_t vtcr; /* with VS = 0 */
    } rows[] = {
        {0, 32, 32, 32, 1, 0x80003560}, {0, 39, 32, 32, 1, 0x80003560},
        {0, 48, 32, 32, 1, 0x80003560}, {1, 32, 36, 32, 1, 0x80013560},
        {1, 36, 36, 36, 1, 0x8001355C}, {1, 40, 36, 36, 1, 0x8001355C},
        {2, 16, 40, 32, 1, 0x80023560}, {2, 39, 40, 39, 1, 0x80023559},
        {2, 40, 40, 40, 1, 0x80023558}, {2, 44, 40, 40, 1, 0x80023558},
        {3, 41, 42, 41, 1, 0x80033557}, {3, 42, 42, 42, 1, 0x80033556},
        {3, 48, 42, 42, 1, 0x80033556}, {4, 39, 44, 39, 1, 0x80043559},
        {4, 43, 44, 43, 1, 0x80043555}, {4, 44, 44, 44, 0, 0x80043594},
        {4, 48, 44, 44, 0, 0x80043594}, {5, 32, 48, 32, 1, 0x80053560},
        {5, 40, 48, 40, 1, 0x80053558}, {5, 45, 48, 45, 0, 0x80053593},
        {5, 48, 48, 48, 0, 0x80053590}, {5, 64, 48, 48, 0, 0x80053590},
        {6, 48, 48, 48, 0, 0x80053590}, {7, 39, 48, 39, 1, 0x80053559},
    };

    oracle_log_reset();
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct s2_config config;
        oracle_log_cpu(rows[i].pa_range, 0, 0, 0);
        assert_int_equal(s2_config_from_cpu(rows[i].wanted, &config), STATUS_OK);
        assert_int_equal(config.pa_bits, rows[i].pa_bits);
        assert_int_equal(config.ipa_bits, rows[i].ipa_bits);
        assert_int_equal(config.start_level, rows[i].level);
        assert_int_equal(s2_vtcr(&config), rows[i].vtcr);
        assert_false(config.fwb || config.range_tlbi || config.vmid16 || config.xnx);
        config.vmid16 = true;
        assert_int_equal(s2_vtcr(&config), rows[i].vtcr | 0x80000);
    }
}

static void test_features(void **state)
{
    struct s2_config c;

    oracle_log_reset();
    oracle_log_cpu(2, UINT64_C(1) << 28, UINT64_C(1) << 40, UINT64_C(2) << 56);
    assert_int_equal(s2_config_from_cpu(40, &c), STATUS_OK);
    assert_true(c.xnx && c.fwb && c.range_tlbi && !c.vmid16);
    oracle_log_cpu(2, 0x20, 0, UINT64_C(1) << 56); /* 16-bit VMIDs; outer shareable TLBI only */
    assert_int_equal(s2_config_from_cpu(40, &c), STATUS_OK);
    assert_true(!c.xnx && !c.fwb && !c.range_tlbi && c.vmid16);
}

static void test_granule(void **state)
{
    static const struct {
        uint64_t tgran4, tgran4_2;
        bool ok;
    } rows[] = {{0, 0, true},  {15, 0, false}, {1, 0, true}, {0, 1, false},
                {15, 2, true}, {0, 2, true},   {1, 3, true}, {15, 1, false}};

    oracle_log_reset();
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct s2_config config = {.ipa_bits = 77};
        oracle_log_cpu(2 | rows[i].tgran4 << 28 | rows[i].tgran4_2 << 40, 0, 0, 0);
        assert_int_equal(s2_config_from_cpu(40, &config),
                         rows[i].ok ? STATUS_OK : STATUS_UNSUPPORTED);
        assert_int_equal(config.ipa_bits, rows[i].ok ? 40 : 77);
    }
}

static void test_root(void **state)
{
    static const struct {
        uint8_t ipa_bits, level;
        unsigned pages;
    } rows[] = {{32, 1, 1}, {39, 1, 1},  {40, 1, 2}, {41, 1, 4},
                {42, 1, 8}, {43, 1, 16}, {44, 0, 1}, {48, 0, 1}};

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct s2_config config = {rows[i].ipa_bits, rows[i].level, 48, 0, 0, 0, 0};
        uint64_t top = (UINT64_C(1) << rows[i].ipa_bits) - 4096, root;
        start(&config);
        assert_int_equal(s2.table_pages, rows[i].pages);
        root = oracle_pages()->to_pa(NULL, s2.root);
        assert_int_equal(root % (rows[i].pages * 4096), 0);
        assert_int_equal(s2_vttbr(&s2, 0xABCD), UINT64_C(0xABCD) << 48 | root);
        assert_int_equal(s2_map(&s2, ipa(top), pa(0), 4096, S2_RAM), STATUS_OK);
        assert_true(oracle_translate(0, &(struct oracle_leaf){0}) == false);
        oracle_catch_up();
        assert_true(oracle_translate(top + 4095, &(struct oracle_leaf){0}));
        s2_destroy(&s2);
        s2_destroy(&s2);
        assert_int_equal(oracle_pages_used(), 0);
    }
}

static void test_init_errors(void **state)
{
    static const struct s2_config bad[] = {
        {31, 1, 40, 0, 0, 0, 0}, {49, 0, 48, 0, 0, 0, 0}, {40, 0, 40, 0, 0, 0, 0},
        {44, 1, 44, 0, 0, 0, 0}, {39, 2, 40, 0, 0, 0, 0}, {39, 1, 39, 0, 0, 0, 0},
        {39, 1, 52, 0, 0, 0, 0},
    };

    oracle_log_reset();
    oracle_reset();
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(s2_init(&s2, &bad[i], oracle_pages()), STATUS_INVALID);
        s2_destroy(&s2);
    }
    oracle_fail_after(0);
    assert_int_equal(s2_init(&s2, &plain, oracle_pages()), STATUS_NO_MEMORY);
    s2_destroy(&s2);
    assert_int_equal(oracle_pages_used(), 0);
}

/* --- descriptors --- */

/* The raw entry that translates an address. */
static uint64_t raw(uint64_t at, unsigned *ret_level)
{
    const uint64_t *table = s2.root;
    unsigned shift = 30, level = 1;
    uint64_t value = table[at >> shift];

    while (level < 3 && (value & 3) == 3) {
        table = (const uint64_t *)oracle_pages()->to_va(NULL, value & 0xFFFFFFFFF000);
        shift -= 9;
        level++;
        value = table[at >> shift & 511];
    }
    *ret_level = level;
    return value;
}

static void check_raw(const struct s2_config *config, uint64_t size, unsigned attr,
                      uint64_t expected, unsigned level)
{
    unsigned got_level;
    struct s2_mapping got;

    start(config);
    assert_int_equal(s2_map(&s2, ipa(GIB_(3)), pa(GIB_(5)), size, (enum s2_attr)attr), STATUS_OK);
    assert_int_equal(raw(GIB_(3), &got_level), GIB_(5) | expected);
    assert_int_equal(got_level, level);
    assert_true(s2_lookup(&s2, ipa(GIB_(3) + 8), &got));
    assert_int_equal(got.size, size - 8);
    assert_int_equal(got.pa.pa, GIB_(5) + 8);
    s2_destroy(&s2);
}

static void test_descriptors(void **state)
{
    check_raw(&plain, 4096, S2_RAM, 0x7FF, 3);
    check_raw(&plain, MIB_(2), S2_RAM, 0x7FD, 2);
    check_raw(&plain, GIB_(1), S2_RAM, 0x7FD, 1);
    check_raw(&plain, 4096, S2_RAM_RO, 0x77F, 3);
    check_raw(&plain, 4096, S2_RAM_NX, 0x00400000000007FF, 3);
    check_raw(&plain, 4096, S2_DEVICE, 0x00400000000007C7, 3);
    check_raw(&plain, 4096, S2_READ | S2_EXEC_EL0, 0x004000000000077F, 3);
    check_raw(&plain, 4096, 0, 0x004000000000073F, 3);
    check_raw(&modern, 4096, S2_RAM, 0x7DB, 3);
    check_raw(&modern, MIB_(2), S2_RAM, 0x7D9, 2);
    check_raw(&modern, GIB_(1), S2_RAM_RO, 0x759, 1);
    check_raw(&modern, 4096, S2_DEVICE, 0x00400000000007C7, 3);
    check_raw(&modern, 4096, S2_WRITE | S2_EXEC_EL0, 0x002000000000079B, 3);
    check_raw(&modern, 4096, S2_READ | S2_EXEC_EL1, 0x006000000000075B, 3);
}

/* A table descriptor: address, type, and the number of valid entries in bits 11:2. */
static void test_table_descriptor(void **state)
{
    start(&plain);
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t descriptor;
        assert_int_equal(s2_map(&s2, ipa(i * 4096), pa(GIB_(1) - i * 4096), 4096, S2_RAM),
                         STATUS_OK);
        descriptor = s2.root[0];
        assert_int_equal(descriptor & 0xFFF, 3 | 1 << 2);
        descriptor = *(const uint64_t *)oracle_pages()->to_va(NULL, descriptor & ~UINT64_C(0xFFF));
        assert_int_equal(descriptor & 0xFFF, 3 | (i + 1) << 2);
    }
    assert_int_equal(s2.table_pages, 3);
    assert_int_equal(s2_unmap(&s2, ipa(0), MIB_(2)), STATUS_OK);
    assert_int_equal(s2.root[0], 0);
    assert_int_equal(s2.table_pages, 1);
    assert_int_equal(s2.mapped, 0);
    s2_destroy(&s2);
}

/* --- refusals --- */

static void test_exists(void **state)
{
    static const struct {
        uint64_t ipa, size;
    } rows[] = {{0, GIB_(1)},           {MIB_(2), MIB_(2)},     {MIB_(2) + 4096, 4096},
                {MIB_(4) - 4096, 8192}, {MIB_(2) - 4096, 8192}, {0, MIB_(16)}};
    struct s2_mapping got;

    start(&plain);
    assert_int_equal(s2_map(&s2, ipa(MIB_(2)), pa(MIB_(2)), MIB_(2), S2_RAM), STATUS_OK);
    oracle_end();
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(s2_map(&s2, ipa(rows[i].ipa), pa(rows[i].ipa), rows[i].size, S2_RAM),
                         STATUS_EXISTS);
        assert_false(oracle_log_at(0, &(struct oracle_event){ORACLE_OTHER, NULL, 0}));
        assert_int_equal(s2.mapped, MIB_(2));
        assert_int_equal(s2.table_pages, 2);
    }
    assert_true(s2_lookup(&s2, ipa(MIB_(2)), &got));
    assert_int_equal(got.size, MIB_(2));
    assert_false(s2_lookup(&s2, ipa(MIB_(4)), &got));
    assert_false(s2_lookup(&s2, ipa(UINT64_C(1) << 39), &got));
    assert_false(s2_lookup(&s2, ipa(UINT64_MAX), &got));
    assert_false(s2_next_mapping(&s2, ipa(MIB_(4)), &got));
    assert_false(s2_next_mapping(&s2, ipa(UINT64_MAX), &got));
    assert_true(s2_next_mapping(&s2, ipa(0), &got));
    assert_int_equal(got.ipa.ipa, MIB_(2));
    s2_destroy(&s2);
}

static void count_leaf(void *ctx, const struct oracle_leaf *leaf)
{
    uint64_t *sum = (uint64_t *)ctx; /* tells any two sets of leaves apart, in practice */

    *sum = *sum * 31 + leaf->ipa + leaf->size * 7 + leaf->pa * 3 + leaf->bits;
}

static uint64_t fingerprint(void)
{
    uint64_t sum = 0;

    oracle_walk(count_leaf, &sum);
    return sum;
}

enum change { MAP, UNMAP, PROTECT };

static enum status do_change(enum change change, uint64_t at, uint64_t size)
{
    switch (change) {
    case MAP:
        return s2_map(&s2, ipa(at), pa(at + 4096), size, S2_RAM);
    case UNMAP:
        return s2_unmap(&s2, ipa(at), size);
    case PROTECT:
        return s2_protect(&s2, ipa(at), size, S2_RAM_RO);
    }
    return STATUS_OK;
}

static void test_out_of_memory(void **state)
{
    static const struct {
        enum change change;
        uint64_t at, size;
        int allocations;
    } rows[] = {
        {MAP, GIB_(1024), 4096, 3},           /* levels 1, 2 and 3 */
        {MAP, GIB_(8) + MIB_(1), MIB_(4), 4}, /* three tables of the last level */
        {UNMAP, GIB_(1) + 4096, 4096, 2},     /* both edges in one page-sized hole */
        {UNMAP, GIB_(1) + 4096, MIB_(8), 3},  /* edges in two blocks of 2 MiB */
        {PROTECT, GIB_(2) - MIB_(5), MIB_(9), 3},
        {PROTECT, GIB_(1) + 4096, GIB_(1), 4}, /* edges in two blocks of 1 GiB */
    };
    static const struct s2_config config = {44, 0, 44, 0, 0, 0, 0};

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        int n = 0;
        uint64_t before;
        unsigned pages;
        enum status status = STATUS_NO_MEMORY;
        start(&config);
        s2_enter(&s2, 1);
        oracle_watch(&s2, true);
        assert_int_equal(s2_map(&s2, ipa(GIB_(1)), pa(GIB_(1)), GIB_(2), S2_RAM), STATUS_OK);
        assert_int_equal(s2_map(&s2, ipa(GIB_(700)), pa(GIB_(1)), 4096, S2_RAM), STATUS_OK);
        before = fingerprint();
        pages = s2.table_pages;
        for (; status == STATUS_NO_MEMORY && n < 10; n++) {
            assert_int_equal(fingerprint(), before);
            assert_int_equal(s2.table_pages, pages);
            oracle_fail_after(n);
            status = do_change(rows[i].change, rows[i].at, rows[i].size);
            oracle_fail_after(-1);
            oracle_end();
        }
        assert_int_equal(status, STATUS_OK);
        assert_int_not_equal(fingerprint(), before);
        if (n - 1 != rows[i].allocations) {
            fail_msg("row %u: %d allocations", i, n - 1);
        }
        s2_destroy(&s2);
        oracle_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),           cmocka_unit_test(test_features),
        cmocka_unit_test(test_granule),          cmocka_unit_test(test_root),
        cmocka_unit_test(test_init_errors),      cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_table_descriptor), cmocka_unit_test(test_exists),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
