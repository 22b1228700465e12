/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 2 against a flat map: random map, unmap and protect over a window of 4 GiB, some of them
 * wrong or out of memory. After each the tables must say what an array of 4 KiB pages says, and
 * the oracle (tests/support/s2_oracle.h) must have seen nothing that the architecture forbids.
 * BOTHY_SEED and BOTHY_ITERATIONS override the defaults.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/s2.h"
#include "tests/support/s2_oracle.h"
#include "tests/support/s2_oracle_log.h"

#define PAGES (UINT64_C(1) << 20)
#define MAPPED UINT64_C(0x800) /* in a model entry: pa | MAPPED | attributes */
#define PA_BASE UINT64_C(0x1000000000)

static const struct shape {
    const char *name;
    struct s2_config config;
    uint64_t window; /* IPA where the 4 GiB begin */
    bool running;
} shapes[] = {
    {"33 bits, no FWB", {33, 1, 40, false, false, false, false}, UINT64_C(4) << 30, true},
    {"40 bits, two root tables", {40, 1, 40, true, false, true, true}, UINT64_C(510) << 30, true},
    {"44 bits, level 0, ranges", {44, 0, 44, true, true, true, true}, UINT64_C(510) << 30, true},
    {"39 bits, ranges", {39, 1, 40, false, true, false, true}, UINT64_C(508) << 30, true},
    {"39 bits, never run", {39, 1, 40, true, true, false, false}, 0, false},
};

static uint64_t model[PAGES];
static uint64_t mapped_pages;
static uint64_t hot[8]; /* 2 MiB regions that see most of the changes, so that tables fill up */
static const struct shape *shape;
static struct s2 s2;
static uint64_t random_state;

static uint64_t rnd(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

static uint64_t env_or(const char *name, uint64_t value)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 0) : value;
}

/* --- what a descriptor means (Arm ARM D8.3, D8.4, D8.5) --- */

static unsigned attr_of(uint64_t bits)
{
    uint64_t memattr = bits >> 2 & 15, xn = bits >> 53 & 3;
    unsigned attr = (unsigned)(bits >> 6 & 3); /* S2AP: read, write */

    assert_int_equal(bits & ~UINT64_C(0x00600000000007FC), 0);
    assert_int_equal(bits >> 8 & 3, 3);  /* inner shareable */
    assert_int_equal(bits >> 10 & 1, 1); /* access flag */
    if (xn == 0 || xn == 3) {
        attr |= S2_EXEC_EL1;
    }
    if (xn == 0 || xn == 1) {
        attr |= S2_EXEC_EL0;
    }
    assert_true(shape->config.xnx || (xn & 1) == 0);
    if (memattr == 1) {
        return attr | S2_DEVICE_MEMORY;
    }
    assert_int_equal(memattr, shape->config.fwb ? 6 : 15);
    return attr;
}

/* What is really mapped when these attributes are asked for. */
static unsigned attr_effective(unsigned attr)
{
    bool all = (attr & S2_EXEC) == S2_EXEC;

    return shape->config.xnx || all ? attr : attr & ~(unsigned)S2_EXEC;
}

/* --- the comparison --- */

struct comparison {
    uint64_t from, to; /* page indices to compare one by one */
    uint64_t cursor;   /* first page not compared yet */
    uint64_t pages;    /* in all leaves */
};

static void compare_leaf(void *ctx, const struct oracle_leaf *leaf)
{
    struct comparison *c = (struct comparison *)ctx;
    uint64_t first = (leaf->ipa - shape->window) / 4096, count = leaf->size / 4096;
    uint64_t wanted = leaf->pa | MAPPED | attr_of(leaf->bits);

    assert_true(leaf->ipa >= shape->window && first + count <= PAGES);
    c->pages += count;
    if (first + count <= c->from || first >= c->to) {
        return;
    }
    for (; c->cursor < first; c->cursor++) {
        assert_true(model[c->cursor] == 0);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (model[first + i] != wanted + i * 4096) {
            fail_msg("page %lx: tables %lx, model %lx", (first + i), (wanted + i * 4096),
                     model[first + i]);
        }
    }
    c->cursor = first + count;
}

/* `from` and `to` in pages. */
static void compare(uint64_t from, uint64_t to)
{
    struct comparison c = {.from = from, .to = to, .cursor = from};

    oracle_walk(compare_leaf, &c);
    for (; c.cursor < to; c.cursor++) {
        assert_true(model[c.cursor] == 0);
    }
    assert_int_equal(c.pages, mapped_pages);
    assert_int_equal(s2.mapped, mapped_pages * 4096);
    assert_int_equal(s2.table_pages, oracle_pages_used());
}

static void check_lookup(uint64_t page)
{
    struct s2_mapping got;
    uint64_t ipa_value = shape->window + page * 4096 + (rnd(4096) & 0xFF8);
    bool found = s2_lookup(&s2, ipa(ipa_value), &got);

    assert_int_equal(found, model[page] != 0);
    if (found) {
        assert_int_equal(got.ipa.ipa, ipa_value);
        assert_int_equal(got.pa.pa, (model[page] & ~UINT64_C(0xFFF)) + ipa_value % 4096);
        assert_int_equal(got.attr, model[page] & 31);
        assert_int_equal((got.ipa.ipa + got.size) % 4096, 0);
    }
    found = s2_next_mapping(&s2, ipa(shape->window + page * 4096), &got);
    while (page < PAGES && model[page] == 0) {
        page++;
    }
    assert_int_equal(found, page < PAGES);
    if (found) {
        assert_int_equal(got.ipa.ipa, shape->window + page * 4096);
        assert_int_equal(got.pa.pa, model[page] & ~UINT64_C(0xFFF));
    }
}

/* --- operations --- */

enum kind { MAP, UNMAP, PROTECT };

struct op {
    enum kind kind;
    uint64_t page, pages, pa;
    unsigned attr;
};

static enum status model_expects(const struct op *op)
{
    for (uint64_t i = 0; i < op->pages && op->kind == MAP; i++) {
        if (model[op->page + i] != 0) {
            return STATUS_EXISTS;
        }
    }
    return STATUS_OK;
}

static void model_apply(const struct op *op)
{
    unsigned attr = attr_effective(op->attr);

    for (uint64_t i = 0; i < op->pages; i++) {
        uint64_t *entry = &model[op->page + i];
        mapped_pages -= *entry != 0 ? 1 : 0;
        if (op->kind == MAP) {
            *entry = (op->pa + i * 4096) | MAPPED | attr;
        } else if (op->kind == UNMAP) {
            *entry = 0;
        } else if (*entry != 0) {
            *entry = (*entry & ~UINT64_C(0xFFF)) | MAPPED | attr;
        }
        mapped_pages += *entry != 0 ? 1 : 0;
    }
}

static enum status op_execute(const struct op *op)
{
    ipa_t at = ipa(shape->window + op->page * 4096);
    enum s2_attr attr = (enum s2_attr)op->attr;

    switch (op->kind) {
    case MAP:
        return s2_map(&s2, at, pa(op->pa), op->pages * 4096, attr);
    case UNMAP:
        return s2_unmap(&s2, at, op->pages * 4096);
    case PROTECT:
        return s2_protect(&s2, at, op->pages * 4096, attr);
    }
    return STATUS_INVALID;
}

/* Addresses near the operation, and anywhere. */
static void begin(const struct op *op)
{
    uint64_t samples[ORACLE_SAMPLES];

    for (unsigned i = 0; i < ORACLE_SAMPLES; i++) {
        uint64_t page = i % 4 == 0 ? rnd(PAGES) : op->page + rnd(op->pages + 600) - 300;
        samples[i] = shape->window + page % PAGES * 4096;
    }
    oracle_begin(samples);
}

static void op_run(const struct op *op, int fail_after)
{
    enum status expected = model_expects(op), status;

    begin(op);
    oracle_fail_after(fail_after);
    status = op_execute(op);
    oracle_fail_after(-1);
    oracle_end();
    if (status == STATUS_NO_MEMORY) {
        assert_true(fail_after >= 0);
        return;
    }
    assert_int_equal(status, expected);
    if (status == STATUS_OK) {
        model_apply(op);
    }
}

static void pick_range(struct op *op)
{
    uint64_t dice = rnd(100);

    op->page = rnd(10) < 7 ? hot[rnd(8)] + rnd(512) : rnd(PAGES);
    if (dice < 45) {
        op->pages = 1 + rnd(16);
    } else if (dice < 80) {
        op->pages = 512 * (1 + rnd(6));
        op->page = ALIGN_DOWN(op->page, 512);
    } else if (dice < 84) {
        op->pages = 512 * 512;
        op->page = ALIGN_DOWN(op->page, 512 * 512);
    } else {
        op->pages = 1 + rnd(4096);
    }
    op->pages = MIN(op->pages, PAGES - op->page);
}

static unsigned pick_attr(void)
{
    static const unsigned usual[] = {S2_RAM, S2_RAM, S2_RAM, S2_RAM_RO, S2_RAM_NX, S2_DEVICE};

    return rnd(8) == 0 ? (unsigned)rnd(32) : usual[rnd(ARRAY_SIZE(usual))];
}

static struct op pick_op(void)
{
    static const enum kind kinds[] = {MAP, MAP, MAP, UNMAP, UNMAP, PROTECT, PROTECT};
    struct op op = {.kind = kinds[rnd(ARRAY_SIZE(kinds))], .attr = pick_attr()};

    pick_range(&op);
    op.pa = PA_BASE + op.page * 4096; /* congruent, so that blocks are possible... */
    if (rnd(5) == 0) {                /* ... mostly */
        op.pa += rnd(512) * (op.pages > 4096 ? S2_BLOCK_2M_SIZE : S2_PAGE_SIZE);
    }
    return op;
}

/* Make 2 MiB or 1 GiB whole, from whatever is there: ends in one block. */
static void heal(void)
{
    uint64_t pages = rnd(20) == 0 ? 512 * 512 : 512;
    uint64_t first = ALIGN_DOWN(hot[rnd(8)], pages), step;

    for (uint64_t page = first; page < first + pages; page += step) {
        struct op op = {UNMAP, page, 1, PA_BASE + page * 4096, S2_RAM};
        for (step = 0; page + step < first + pages; step++) {
            uint64_t entry = model[page + step];
            if (entry != 0 && (entry & ~UINT64_C(0xFFF)) == PA_BASE + (page + step) * 4096) {
                break;
            }
        }
        op.pages = step;
        if (step != 0) {
            op_run(&op, -1);
            op.kind = MAP;
            op_run(&op, -1);
        } else {
            step = 1;
        }
    }
    compare(first, first + pages);
    op_run(&(struct op){PROTECT, first, pages, 0, S2_RAM}, -1);
    struct s2_mapping got;
    assert_true(s2_lookup(&s2, ipa(shape->window + first * 4096), &got));
    assert_true(got.size >= pages * 4096);
    compare(first, first + pages);
}

/* What must be refused without a change. */
static void run_invalid(void)
{
    uint64_t limit = UINT64_C(1) << shape->config.ipa_bits;
    const struct {
        uint64_t ipa, pa, size;
    } bad[] = {
        {limit, 0, 4096},
        {limit - 4096, 0, 8192},
        {0, 0, 0},
        {4096, 0, -4096ULL},
        {-4096ULL, 0, 8192},
        {1, 0, 4096},
        {0, 0, 4097},
        {-4096ULL, 0, 4096},
        {0, 0, limit + 4096},
        {0, 1, 4096},
        {0, UINT64_C(1) << 44, 4096},
        {0, -4096ULL, 8192},
        {0, -(1ULL << 30), 1ULL << 30},
    };
    unsigned i = (unsigned)rnd(ARRAY_SIZE(bad));

    assert_int_equal(s2_map(&s2, ipa(bad[i].ipa), pa(bad[i].pa), bad[i].size, S2_RAM),
                     STATUS_INVALID);
    if (i < 9) {
        assert_int_equal(s2_unmap(&s2, ipa(bad[i].ipa), bad[i].size), STATUS_INVALID);
        assert_int_equal(s2_protect(&s2, ipa(bad[i].ipa), bad[i].size, S2_RAM), STATUS_INVALID);
    }
}

static void step(unsigned i)
{
    struct op op = pick_op();
    uint64_t from = ALIGN_DOWN(op.page, 512), to = ALIGN_UP(op.page + op.pages, 512);

    if (i % 16 == 15) {
        heal();
    }
    if (i % 8 == 7) {
        run_invalid();
    }
    op_run(&op, rnd(8) == 0 ? (int)rnd(5) : -1);
    check_lookup(op.page);
    compare(i % 64 == 0 ? 0 : from, i % 64 == 0 ? PAGES : to);
}

static void run_shape(void **state)
{
    uint64_t seed = env_or("BOTHY_SEED", 20260), steps = env_or("BOTHY_ITERATIONS", 1000);

    shape = (const struct shape *)*state;
    print_message("%s: seed %lu\n", shape->name, seed);
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    memset(model, 0, sizeof(model));
    mapped_pages = 0;
    oracle_log_reset();
    oracle_reset();
    for (unsigned i = 0; i < ARRAY_SIZE(hot); i++) {
        hot[i] = ALIGN_DOWN(rnd(PAGES), 512);
    }
    assert_int_equal(s2_init(&s2, &shape->config, oracle_pages()), STATUS_OK);
    if (shape->running) {
        s2_enter(&s2, 7);
    }
    oracle_watch(&s2, shape->running);
    for (unsigned i = 0; i < steps; i++) {
        step(i);
    }
    compare(0, PAGES);
    s2_destroy(&s2);
    oracle_end();
    assert_int_equal(oracle_pages_used(), 0);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_SIZE(shapes)];

    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        tests[i] = (struct CMUnitTest){shapes[i].name, run_shape, NULL, NULL,
                                       (void *)(uintptr_t)&shapes[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
