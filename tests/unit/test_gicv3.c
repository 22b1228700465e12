/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical GIC driver against a small model of a GICv3, which fails at what the architecture
 * forbids: unknown registers, wrong sizes, changes at the wrong time, no wait for RWP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/fake.h"
#include "arch/sysreg.h"
#include "el2/gicv3.h"

#define LINES 96U /* INTIDs of the model */
#define CPUS 3U
#define FRAME 0x10000U
#define STRIDE (2 * FRAME)
#define ARE 0x10U
#define GROUP1 0x2U
#define RWP_READS 3U /* reads of CTLR that still say "register write pending" */

/* The 32 interrupts of a redistributor, or of one word of the distributor. */
struct bank {
    uint32_t group, enabled, pending, active;
    uint8_t priority[32];
    uint32_t config[2];
};

struct redist {
    struct bank bank;
    uint32_t waker;
    uint64_t typer;
    unsigned int waking, rwp;
    bool dead; /* never wakes */
};

struct model {
    uint32_t ctlr;
    unsigned int rwp;
    uint32_t revision;
    bool stuck; /* RWP never clears */
    struct bank spi[LINES / 32 - 1];
    uint64_t route[LINES];
    struct redist redist[CPUS];
};

static uint8_t gicd_space[FRAME];
static uint8_t gicr_space[CPUS * STRIDE];

static uint32_t *bank_bits(struct bank *bank, uint64_t offset, bool *ret_clear, bool *ret_plain)
{
    *ret_clear = (offset & 0x80) != 0;
    *ret_plain = false;
    switch (offset & ~UINT64_C(0x7f)) {
    case 0x080:
        *ret_plain = true;
        return &bank->group;
    case 0x100:
    case 0x180:
        return &bank->enabled;
    case 0x200:
    case 0x280:
        return &bank->pending;
    case 0x300:
    case 0x380:
        return &bank->active;
    default:
        return NULL;
    }
}

/* Returns true if the write needs RWP to be waited for. */
static bool bank_write(struct bank *bank, uint64_t offset, uint32_t word, unsigned int bytes,
                       uint64_t value)
{
    bool clear;
    bool plain;
    uint32_t *bits = bank_bits(bank, offset, &clear, &plain);

    if (bits != NULL) {
        assert_int_equal(bytes, 4);
        if (plain) {
            *bits = (uint32_t)value;
        } else if (clear) {
            *bits &= ~(uint32_t)value;
        } else {
            *bits |= (uint32_t)value;
        }
        return bits == &bank->enabled && clear;
    }
    if (offset >= 0x400 && offset < 0x800) {
        memcpy(&bank->priority[offset % 32], &value, bytes);
        assert_true(bytes == 1 || bytes == 4);
    } else if (offset >= 0xc00 && offset < 0xd00) {
        assert_int_equal(bytes, 4);
        /* The trigger of an enabled interrupt must not change. */
        uint32_t change = bank->config[offset / 4 % 2] ^ (uint32_t)value;

        for (uint32_t i = 0; i < 16; i++) {
            if ((change >> (2 * i) & 3) != 0) {
                assert_int_equal(bank->enabled >> (offset / 4 % 2 * 16 + i) & 1, 0);
            }
        }
        bank->config[offset / 4 % 2] = (uint32_t)value;
    } else {
        assert_int_equal(offset, 0xd00);
        assert_int_equal(value, 0);
        assert_int_equal(word, 0);
    }
    return false;
}

static uint64_t gicd_read(void *ctx, uint64_t offset, unsigned int bytes)
{
    struct model *model = ctx;

    assert_int_equal(bytes, 4);
    switch (offset) {
    case 0:
        if (model->rwp != 0 && !model->stuck) {
            model->rwp--;
        }
        return model->ctlr | (model->rwp != 0 ? UINT64_C(1) << 31 : 0);
    case 4:
        return LINES / 32 - 1;
    case 0xffe8:
        return model->revision << 4 | 0xb;
    default:
        break;
    }
    if (offset >= 0xc08 && offset < 0xc00 + LINES / 4) {
        return model->spi[(offset - 0xc08) / 8].config[offset / 4 % 2];
    }
    fail_msg("GICD read at %#lx", offset);
    return 0;
}

static void gicd_write_ctlr(struct model *model, uint32_t value)
{
    if (((model->ctlr ^ value) & ARE) != 0) {
        assert_int_equal(model->ctlr & GROUP1, 0);
        assert_int_equal(model->rwp, 0);
    }
    model->ctlr = value;
    model->rwp = RWP_READS;
}

static void gicd_write(void *ctx, uint64_t offset, unsigned int bytes, uint64_t value)
{
    struct model *model = ctx;
    uint32_t intid;

    if (offset == 0) {
        gicd_write_ctlr(model, (uint32_t)value);
        return;
    }
    assert_int_not_equal(model->ctlr & ARE, 0);
    if (offset >= 0x6000) {
        intid = (uint32_t)(offset - 0x6000) / 8;
        assert_int_equal(bytes, 8);
        assert_in_range(intid, 32, LINES - 1);
        model->route[intid] = value;
        return;
    }
    if (offset >= 0x400 && offset < 0x800) {
        intid = (uint32_t)offset - 0x400;
    } else if (offset >= 0xc00) {
        intid = (uint32_t)(offset - 0xc00) * 4;
    } else {
        intid = (uint32_t)(offset & 0x7f) * 8;
    }
    assert_in_range(intid, 32, LINES - 1);
    if (bank_write(&model->spi[intid / 32 - 1], offset, intid / 32, bytes, value)) {
        model->rwp = RWP_READS;
    }
}

static uint64_t gicr_read(void *ctx, uint64_t offset, unsigned int bytes)
{
    struct model *model = ctx;
    struct redist *redist = &model->redist[offset / STRIDE];

    switch (offset % STRIDE) {
    case 0:
        assert_int_equal(bytes, 4);
        redist->rwp -= redist->rwp != 0;
        return redist->rwp != 0 ? 8 : 0;
    case 8:
        assert_int_equal(bytes, 8);
        return redist->typer;
    case 0x14:
        assert_int_equal(bytes, 4);
        if (redist->waking != 0 && !redist->dead && --redist->waking == 0) {
            redist->waker = 0;
        }
        return redist->waker;
    case FRAME + 0x300:
        return redist->bank.active;
    default:
        fail_msg("GICR read at %#lx", offset);
        return 0;
    }
}

static void gicr_write(void *ctx, uint64_t offset, unsigned int bytes, uint64_t value)
{
    struct model *model = ctx;
    struct redist *redist = &model->redist[offset / STRIDE];

    if (offset % STRIDE == 0x14) {
        assert_int_equal(value & 2, 0);
        redist->waking = 5;
        redist->waker &= ~2U;
        return;
    }
    assert_true(offset % STRIDE >= FRAME);
    assert_int_equal(redist->waker & 4, 0);
    if (bank_write(&redist->bank, offset % FRAME, 0, bytes, value)) {
        redist->rwp = RWP_READS;
    }
}

static const struct fake_mmio_ops gicd_ops = {gicd_read, gicd_write};
static const struct fake_mmio_ops gicr_ops = {gicr_read, gicr_write};

struct fixture {
    struct model model;
    struct gicv3 gic;
};

static const uint32_t sysregs[] = {
    SYSREG_ICC_SRE_EL2,   SYSREG_ICC_IGRPEN1_EL1, SYSREG_ICC_AP1R0_EL1, SYSREG_ICC_PMR_EL1,
    SYSREG_ICC_BPR1_EL1,  SYSREG_ICC_CTLR_EL1,    SYSREG_ICC_SGI1R_EL1, SYSREG_ICC_IAR1_EL1,
    SYSREG_ICC_EOIR1_EL1, SYSREG_ICC_DIR_EL1,
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fake_reset();
    for (size_t i = 0; i < ARRAY_SIZE(sysregs); i++) {
        fake_sysreg_set(sysregs[i], 0);
    }
    f->model.revision = 3;
    for (uint32_t i = 0; i < CPUS; i++) {
        /* Affinities 1.0.0.0, 1.0.1.0, 1.0.2.0; everything is in disorder at first. */
        f->model.redist[i].typer = (uint64_t)(0x01000000U | i << 8) << 32;
        f->model.redist[i].waker = 6;
        f->model.redist[i].bank = (struct bank){0, ~0U, ~0U, ~0U, {0}, {0, 0xaaaaaaaa}};
    }
    f->model.redist[CPUS - 1].typer |= 1 << 4;
    for (uint32_t i = 0; i < LINES / 32 - 1; i++) {
        f->model.spi[i] = (struct bank){0, ~0U, ~0U, ~0U, {0}, {0xaaaaaaaa, 0xaaaaaaaa}};
    }
    f->model.ctlr = 3;
    fake_mmio_map(gicd_space, sizeof(gicd_space), &gicd_ops, &f->model);
    fake_mmio_map(gicr_space, sizeof(gicr_space), &gicr_ops, &f->model);
    f->gic.gicd = gicd_space;
    f->gic.gicr[0] = (struct gicv3_region){gicr_space, sizeof(gicr_space)};
    f->gic.nr_gicr = 1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fake_reset();
    free(*state);
    return 0;
}

/* The MPIDR_EL1 of the model's CPU, with its other bits. */
static uint64_t mpidr(uint32_t cpu)
{
    return UINT64_C(0x0181000000) | cpu << 8;
}

static void init(struct fixture *f)
{
    assert_int_equal(gicv3_init(&f->gic), STATUS_OK);
}

static void test_the_distributor_is_put_in_order(void **state)
{
    struct fixture *f = *state;

    init(f);
    assert_int_equal(f->gic.nr_irqs, LINES);
    assert_int_equal(f->model.ctlr, ARE | GROUP1);
    assert_int_equal(f->model.rwp, 0);
    for (uint32_t i = 0; i < LINES / 32 - 1; i++) {
        assert_int_equal(f->model.spi[i].group, UINT32_MAX);
        assert_int_equal(f->model.spi[i].enabled, 0);
        assert_int_equal(f->model.spi[i].pending, 0);
        assert_int_equal(f->model.spi[i].active, 0);
    }
}

static void test_another_gic_is_refused(void **state)
{
    struct fixture *f = *state;

    f->model.revision = 2;
    assert_int_equal(gicv3_init(&f->gic), STATUS_UNSUPPORTED);
    assert_int_equal(f->model.ctlr, 3);
}

static void test_a_distributor_that_hangs_is_given_up(void **state)
{
    struct fixture *f = *state;

    fake_log_enable(false);
    f->model.stuck = true;
    assert_int_equal(gicv3_init(&f->gic), STATUS_TIMEOUT);
}

static void test_each_cpu_finds_its_redistributor(void **state)
{
    struct fixture *f = *state;

    init(f);
    for (uint32_t i = 0; i < CPUS; i++) {
        struct redist *redist = &f->model.redist[i];

        assert_int_equal(gicv3_cpu_init(&f->gic, i, mpidr(i), 0x0e000001), STATUS_OK);
        assert_ptr_equal(f->gic.cpu_gicr[i], &gicr_space[i * STRIDE]);
        assert_int_equal(redist->waker, 0);
        assert_int_equal(redist->bank.enabled, 0x0e000001);
        assert_int_equal(redist->bank.group, UINT32_MAX);
        assert_int_equal(redist->bank.pending, 0);
        assert_int_equal(redist->bank.active, 0);
        assert_int_equal(redist->bank.config[1], 0);
        assert_int_equal(redist->bank.priority[0], 0xa0);
        assert_int_equal(redist->bank.priority[31], 0xa0);
    }
}

static void test_redistributors_in_several_regions(void **state)
{
    struct fixture *f = *state;

    init(f);
    f->model.redist[0].typer |= 1 << 4; /* the last one of its region */
    f->gic.gicr[0].size = STRIDE;
    f->gic.gicr[1] = (struct gicv3_region){&gicr_space[STRIDE], 2 * STRIDE};
    f->gic.nr_gicr = 2;
    assert_int_equal(gicv3_cpu_init(&f->gic, 0, mpidr(2), 1), STATUS_OK);
    assert_ptr_equal(f->gic.cpu_gicr[0], &gicr_space[2 * STRIDE]);
}

static void test_virtual_lpis_double_the_stride(void **state)
{
    struct fixture *f = *state;

    init(f);
    f->model.redist[0].typer |= 2;
    /* The next one is four frames on, where the model has its third. */
    assert_int_equal(gicv3_cpu_init(&f->gic, 0, mpidr(1), 1), STATUS_NOT_FOUND);
    assert_int_equal(gicv3_cpu_init(&f->gic, 0, mpidr(2), 1), STATUS_OK);
    f->gic.gicr_stride = STRIDE; /* the device tree knows better */
    assert_int_equal(gicv3_cpu_init(&f->gic, 0, mpidr(1), 1), STATUS_OK);
}

static void test_a_cpu_without_redistributor(void **state)
{
    struct fixture *f = *state;

    init(f);
    assert_int_equal(gicv3_cpu_init(&f->gic, 0, mpidr(7), 1), STATUS_NOT_FOUND);
    assert_int_equal(gicv3_cpu_init(&f->gic, 0, 0x200, 1), STATUS_NOT_FOUND); /* other Aff3 */
    assert_int_equal(gicv3_cpu_init(&f->gic, CPU_MAX, mpidr(0), 1), STATUS_NOT_FOUND);
    assert_null(f->gic.cpu_gicr[0]);
}

static void test_a_redistributor_that_does_not_wake(void **state)
{
    struct fixture *f = *state;

    init(f);
    fake_log_enable(false);
    f->model.redist[1].dead = true;
    assert_int_equal(gicv3_cpu_init(&f->gic, 1, mpidr(1), 1), STATUS_TIMEOUT);
    assert_null(f->gic.cpu_gicr[1]);
}

static void test_the_cpu_interface_starts_in_order(void **state)
{
    struct fixture *f = *state;

    init(f);
    fake_log_clear();
    assert_int_equal(gicv3_cpu_init(&f->gic, 0, mpidr(0), 1), STATUS_OK);
    fake_log_expect_order("msr icc_sre_el2 0xf", "isb", "msr icc_igrpen1_el1 0x0",
                          "msr icc_pmr_el1 0xff", "msr icc_ctlr_el1 0x2", "isb",
                          "msr icc_igrpen1_el1 0x1", "isb", NULL);
}

static void test_spis_are_routed_and_enabled(void **state)
{
    struct fixture *f = *state;

    init(f);
    assert_int_equal(gicv3_spi_enable(&f->gic, 33, mpidr(2), false), STATUS_OK);
    assert_int_equal(f->model.spi[0].enabled, 2);
    assert_int_equal(f->model.spi[0].priority[1], 0xa0);
    assert_int_equal(f->model.spi[0].config[0], 0xaaaaaaa2);
    assert_int_equal(f->model.route[33], UINT64_C(0x0100000200));
    assert_int_equal(gicv3_spi_enable(&f->gic, 95, mpidr(0), true), STATUS_OK);
    assert_int_equal(f->model.spi[1].enabled, UINT32_C(1) << 31);
    assert_int_equal(f->model.spi[1].config[1], 0xaaaaaaaa);
    gicv3_spi_disable(&f->gic, 33);
    assert_int_equal(f->model.spi[0].enabled, 0);
    assert_int_equal(f->model.rwp, 0);
    assert_int_equal(gicv3_spi_enable(&f->gic, 31, mpidr(0), false), STATUS_RANGE);
    assert_int_equal(gicv3_spi_enable(&f->gic, LINES, mpidr(0), false), STATUS_RANGE);
}

static void test_sgis_come_after_what_was_stored(void **state)
{
    (void)state;
    fake_log_clear();
    gicv3_send_sgi(mpidr(2), GICV3_SGI_KICK);
    fake_log_expect("dsb ishst", "msr icc_sgi1r_el1 0x1000000020001", "isb", NULL);
    fake_log_clear();
    gicv3_send_sgi(UINT64_C(0x0900070513), 5); /* Aff3 9, Aff2 7, Aff1 5, Aff0 19 */
    fake_log_expect("dsb ishst", "msr icc_sgi1r_el1 0x9100705050008", "isb", NULL);
}

static void test_acknowledge_drop_deactivate(void **state)
{
    (void)state;
    fake_sysreg_set(SYSREG_ICC_IAR1_EL1, 27);
    fake_log_clear();
    assert_int_equal(gicv3_ack(), 27);
    gicv3_drop(27);
    gicv3_deactivate(27);
    fake_log_expect("dsb sy", "msr icc_eoir1_el1 0x1b", "isb", "msr icc_dir_el1 0x1b", "isb", NULL);
}

static void test_ppi_state(void **state)
{
    struct fixture *f = *state;
    struct bank *bank = &f->model.redist[1].bank;

    init(f);
    assert_int_equal(gicv3_cpu_init(&f->gic, 1, mpidr(1), 1), STATUS_OK);
    gicv3_ppi_set_active(&f->gic, 1, 27, true);
    assert_int_equal(bank->active, 1 << 27);
    assert_true(gicv3_ppi_is_active(&f->gic, 1, 27));
    assert_false(gicv3_ppi_is_active(&f->gic, 1, 26));
    fake_log_clear();
    gicv3_ppi_set_active(&f->gic, 1, 27, false);
    assert_int_equal(bank->active, 0);
    fake_log_expect_order("mmio_write4", "dsb sy", NULL);
    gicv3_ppi_enable(&f->gic, 1, 30, true);
    assert_int_equal(bank->enabled, 1 << 30 | 1);
    gicv3_ppi_enable(&f->gic, 1, 30, false);
    assert_int_equal(bank->enabled, 1);
    assert_int_equal(f->model.redist[1].rwp, 0);
    gicv3_cpu_stop(&f->gic, 1);
    assert_int_equal(bank->enabled, 0);
    assert_int_equal(fake_sysreg_get(SYSREG_ICC_IGRPEN1_EL1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_distributor_is_put_in_order),
        TEST(test_another_gic_is_refused),
        TEST(test_a_distributor_that_hangs_is_given_up),
        TEST(test_each_cpu_finds_its_redistributor),
        TEST(test_redistributors_in_several_regions),
        TEST(test_virtual_lpis_double_the_stride),
        TEST(test_a_cpu_without_redistributor),
        TEST(test_a_redistributor_that_does_not_wake),
        TEST(test_the_cpu_interface_starts_in_order),
        TEST(test_spis_are_routed_and_enabled),
        TEST(test_sgis_come_after_what_was_stored),
        TEST(test_acknowledge_drop_deactivate),
        TEST(test_ppi_state),
    };

    return cmocka_run_group_tests_name("gicv3", tests, NULL, NULL);
}
