/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's view of the distributor and the redistributors, register by register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "tests/support/vgic_rig.h"

static struct rig rig;

#define GICD(offset) (RIG_DIST + (offset))
#define GICR(vcpu, offset) (RIG_REDIST_OF(vcpu) + (offset))
#define SGI(vcpu, offset) (RIG_SGI_OF(vcpu) + (offset))

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2, 3, 4, 5);
    rig_load(&rig.vcpus[0]);
    return 0;
}

static bool answers(uint64_t address)
{
    struct mmio_access access = {.ipa = ipa(address), .size = 4};

    return vgic_mmio(&rig.vcpus[0], &access) == TRAP_NEXT;
}

static void answers_in_its_windows_only(void **state)
{
    (void)state;
    assert_true(answers(RIG_DIST));
    assert_true(answers(RIG_DIST + 0xffff));
    assert_false(answers(RIG_DIST - 1));
    assert_false(answers(RIG_DIST + 0x10000));
    assert_true(answers(RIG_REDIST));
    assert_true(answers(RIG_REDIST + 3 * 0x20000 - 1));
    assert_false(answers(RIG_REDIST + 3 * 0x20000));
    assert_false(answers(~0UL));
}

static void distributor_control(void **state)
{
    (void)state;
    assert_int_equal(rig_read32(&rig, GICD(0)), 0x50); /* DS, ARE */
    rig_write32(&rig, GICD(0), ~0U);
    assert_int_equal(rig_read32(&rig, GICD(0)), 0x53);
    rig_write32(&rig, GICD(0), 0);
    assert_int_equal(rig_read32(&rig, GICD(0)), 0x50);
    rig_write(&rig, GICD(0), 1, 3); /* no byte access */
    rig_write(&rig, GICD(0), 8, 3);
    assert_int_equal(rig_read32(&rig, GICD(0)), 0x50);
}

static void identification(void **state)
{
    uint32_t typer = rig_read32(&rig, GICD(4));

    (void)state;
    assert_int_equal(typer & 31, 8);                                     /* 288 INTIDs */
    assert_int_equal((typer >> 19) & 31, 9);                             /* of 10 bits */
    assert_int_equal(typer & BIT(10), 0);                                /* one security state */
    assert_int_equal(typer & (BIT(16) | BIT(17) | BIT(8) | BIT(26)), 0); /* MBIS LPIS ESPI RSS */
    assert_int_equal(rig_read32(&rig, GICD(8)), rig_read32(&rig, GICR(0, 4)));
    assert_int_equal(rig_read32(&rig, GICD(0xc)), 0);  /* TYPER2 */
    assert_int_equal(rig_read32(&rig, GICD(0x10)), 0); /* STATUSR */
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t frames[4] = {GICD(0), GICR(0, 0), SGI(0, 0), SGI(2, 0)};

        assert_int_equal(rig_read32(&rig, frames[i] + 0xffe8) >> 4, 3);
        assert_int_equal(rig_read32(&rig, frames[i] + 0xfff0), 0x0d);
        assert_int_equal(rig_read32(&rig, frames[i] + 0xfff4), 0xf0);
        assert_int_equal(rig_read32(&rig, frames[i] + 0xfff8), 0x05);
        assert_int_equal(rig_read32(&rig, frames[i] + 0xfffc), 0xb1);
        assert_int_equal(rig_read(&rig, frames[i] + 0xffe8, 8), 0);
    }
    rig_write32(&rig, GICD(4), 0);
    assert_int_equal(rig_read32(&rig, GICD(4)), typer);
}

static void redistributor_typer(void **state)
{
    (void)state;
    for (uint64_t v = 0; v < 3; v++) {
        uint64_t typer = rig_read(&rig, GICR(v, 8), 8);

        assert_int_equal(typer >> 32, v);
        assert_int_equal((typer >> 8) & 0xffff, v);
        assert_int_equal((typer >> 4) & 1, v == 2);
        assert_int_equal(typer & 0xf, 0); /* no LPIs */
        assert_int_equal(rig_read32(&rig, GICR(v, 8)), (uint32_t)typer);
        assert_int_equal(rig_read32(&rig, GICR(v, 12)), typer >> 32);
    }
    assert_int_equal(rig_read(&rig, GICR(1, 12), 8), 0);
    assert_int_equal(rig_read(&rig, GICR(1, 8), 2), 0);
    assert_int_equal(rig_read(&rig, GICR(1, 10), 4), 0);
}

static void waker(void **state)
{
    (void)state;
    assert_int_equal(rig_read32(&rig, GICR(1, 0x14)), 6);
    rig_write32(&rig, GICR(1, 0x14), 0);
    assert_int_equal(rig_read32(&rig, GICR(1, 0x14)), 0);
    assert_int_equal(rig_read32(&rig, GICR(0, 0x14)), 6);
    rig_write32(&rig, GICR(1, 0x14), ~0U);
    assert_int_equal(rig_read32(&rig, GICR(1, 0x14)), 6);
    assert_int_equal(rig_read32(&rig, GICR(1, 0)), 0); /* CTLR: no LPIs */
    rig_write32(&rig, GICR(1, 0), 1);
    assert_int_equal(rig_read32(&rig, GICR(1, 0)), 0);
}

/* Write-1-to-set and -clear pairs: set at `set`, cleared at `set + 0x80`. */
static void check_pair(uint64_t set, uint32_t mask)
{
    rig_write32(&rig, set, 0xa5a5a5a5);
    assert_int_equal(rig_read32(&rig, set), 0xa5a5a5a5 & mask);
    assert_int_equal(rig_read32(&rig, set + 0x80), 0xa5a5a5a5 & mask);
    rig_write32(&rig, set, 0);
    rig_write32(&rig, set + 0x80, 0);
    assert_int_equal(rig_read32(&rig, set), 0xa5a5a5a5 & mask);
    rig_write32(&rig, set + 0x80, 0x0000ffff);
    assert_int_equal(rig_read32(&rig, set), 0xa5a50000 & mask);
    rig_write32(&rig, set + 0x80, ~0U);
    assert_int_equal(rig_read32(&rig, set), 0);
    /* 32-bit accesses only, aligned. */
    rig_write(&rig, set, 1, 0xff);
    rig_write(&rig, set, 2, 0xff);
    rig_write(&rig, set, 8, 0xff);
    rig_write(&rig, set + 2, 4, 0xff);
    assert_int_equal(rig_read32(&rig, set), 0);
}

static void set_and_clear_registers(void **state)
{
    static const uint32_t offsets[] = {0x100, 0x200, 0x300};

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        for (uint32_t word = 1; word < 9; word++) {
            check_pair(GICD(offsets[i] + 4 * word), ~0U);
        }
        check_pair(SGI(0, offsets[i]), ~0U);
        check_pair(SGI(2, offsets[i]), ~0U);
        /* Those of the redistributors, and beyond the last SPI. */
        check_pair(GICD(offsets[i]), 0);
        check_pair(GICD(offsets[i] + 4 * 9), 0);
        check_pair(GICD(offsets[i] + 4 * 31), 0);
        check_pair(SGI(1, offsets[i] + 4), 0);
    }
}

static void groups(void **state)
{
    (void)state;
    rig_write32(&rig, GICD(0x84), 0x12345678);
    assert_int_equal(rig_read32(&rig, GICD(0x84)), 0x12345678);
    rig_write32(&rig, GICD(0x84), 0); /* zeros count here */
    assert_int_equal(rig_read32(&rig, GICD(0x84)), 0);
    rig_write32(&rig, SGI(1, 0x80), 0xffff0000);
    assert_int_equal(rig_read32(&rig, SGI(1, 0x80)), 0xffff0000);
    assert_int_equal(rig_read32(&rig, SGI(0, 0x80)), 0);
    rig_write32(&rig, GICD(0x80), ~0U);
    assert_int_equal(rig_read32(&rig, GICD(0x80)), 0);
    rig_write32(&rig, GICD(0xd04), ~0U); /* IGRPMODR */
    rig_write32(&rig, GICD(0xe08), ~0U); /* NSACR */
    rig_write32(&rig, SGI(0, 0xd00), ~0U);
    assert_int_equal(rig_read32(&rig, GICD(0xd04)), 0);
    assert_int_equal(rig_read32(&rig, GICD(0xe08)), 0);
    assert_int_equal(rig_read32(&rig, SGI(0, 0xd00)), 0);
}

static void priorities(void **state)
{
    (void)state;
    rig_write32(&rig, GICD(0x420), 0xffa0f811);
    assert_int_equal(rig_read32(&rig, GICD(0x420)), 0xf8a0f810); /* 5 bits */
    assert_int_equal(rig_read(&rig, GICD(0x421), 1), 0xf8);
    rig_write(&rig, GICD(0x423), 1, 0x27);
    assert_int_equal(rig_read32(&rig, GICD(0x420)), 0x20a0f810);
    rig_write(&rig, GICD(0x420), 2, 0);
    rig_write(&rig, GICD(0x420), 8, 0);
    rig_write(&rig, GICD(0x421), 4, 0);
    assert_int_equal(rig_read32(&rig, GICD(0x420)), 0x20a0f810);
    rig_write32(&rig, GICD(0x41c), ~0U); /* the redistributors' */
    assert_int_equal(rig_read32(&rig, GICD(0x41c)), 0);
    rig_write32(&rig, GICD(0x400 + 284), ~0U); /* the last word, and the one behind it */
    rig_write32(&rig, GICD(0x400 + 288), ~0U);
    assert_int_equal(rig_read32(&rig, GICD(0x400 + 284)), 0xf8f8f8f8);
    assert_int_equal(rig_read32(&rig, GICD(0x400 + 288)), 0);
    rig_write(&rig, SGI(1, 0x41f), 1, 0x80);
    assert_int_equal(rig_read32(&rig, SGI(1, 0x41c)), 0x80000000);
    assert_int_equal(rig_read32(&rig, SGI(0, 0x41c)), 0);
    rig_write32(&rig, SGI(1, 0x420), ~0U);
    assert_int_equal(rig_read32(&rig, SGI(1, 0x420)), 0);
    assert_int_equal(rig_read32(&rig, GICD(0x420)), 0x20a0f810);
}

static void priority_bits_follow_the_cpu(void **state)
{
    (void)state;
    rig_init(&rig, 1, 1, 4, 7);
    rig_load(&rig.vcpus[0]);
    rig_write(&rig, GICD(0x420), 1, 0xff);
    assert_int_equal(rig_read(&rig, GICD(0x420), 1), 0xfe);
}

static void configuration(void **state)
{
    (void)state;
    assert_int_equal(rig_read32(&rig, GICD(0xc08)), 0);
    rig_write32(&rig, GICD(0xc08), ~0U);
    assert_int_equal(rig_read32(&rig, GICD(0xc08)), 0xaaaaaaaa); /* even bits are reserved */
    rig_write32(&rig, GICD(0xc08), 0x80000002);
    assert_int_equal(rig_read32(&rig, GICD(0xc08)), 0x80000002);
    rig_write(&rig, GICD(0xc08), 1, 0);
    assert_int_equal(rig_read32(&rig, GICD(0xc08)), 0x80000002);
    assert_int_equal(rig_read32(&rig, GICD(0xc00)), 0);
    assert_int_equal(rig_read32(&rig, GICD(0xc48)), 0);
    /* SGIs are edge-triggered, PPIs level-sensitive. */
    rig_write32(&rig, SGI(0, 0xc00), 0);
    rig_write32(&rig, SGI(0, 0xc04), ~0U);
    assert_int_equal(rig_read32(&rig, SGI(0, 0xc00)), 0xaaaaaaaa);
    assert_int_equal(rig_read32(&rig, SGI(0, 0xc04)), 0);
    assert_int_equal(rig_read32(&rig, SGI(0, 0xc08)), 0);
}

static void routing(void **state)
{
    uint64_t at = GICD(0x6000 + 8 * 40);

    (void)state;
    rig_write(&rig, at, 8, ~0UL);
    assert_int_equal(rig_read(&rig, at, 8), 0xff80ffffff);
    rig_write32(&rig, at, 1);
    assert_int_equal(rig_read(&rig, at, 8), 0xff00000001);
    rig_write32(&rig, at + 4, 0);
    assert_int_equal(rig_read(&rig, at, 8), 1);
    assert_int_equal(rig_read32(&rig, at + 4), 0);
    rig_write(&rig, at, 1, 0);
    rig_write(&rig, at + 4, 8, 0);
    rig_write(&rig, at + 2, 4, 0);
    assert_int_equal(rig_read(&rig, at, 8), 1);
    rig_write(&rig, GICD(0x6000), 8, 1); /* SGIs and PPIs are not routed */
    assert_int_equal(rig_read(&rig, GICD(0x6000), 8), 0);
    rig_write(&rig, GICD(0x6000 + 8 * 288), 8, 1);
    assert_int_equal(rig_read(&rig, GICD(0x6000 + 8 * 288), 8), 0);
    assert_int_equal(rig_read(&rig, GICD(0x7ff8), 8), 0);
}

static void legacy_registers_are_gone(void **state)
{
    static const uint32_t offsets[] = {0x800, 0x820, 0xbfc, 0xf00, 0xf10, 0xf20, 0x40, 0x48};

    (void)state;
    rig_enable_all(&rig, 0xa0);
    for (uint32_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        rig_write32(&rig, GICD(offsets[i]), 0x01010101);
        assert_int_equal(rig_read32(&rig, GICD(offsets[i])), 0);
        rig_write(&rig, GICD(offsets[i]), 1, 1);
        assert_int_equal(rig_read(&rig, GICD(offsets[i]), 1), 0);
    }
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
}

/* Every offset, size and alignment: never a crash, and reads give no more bits than asked for. */
static void any_access_is_survived(void **state)
{
    static const uint64_t values[] = {0, ~0UL, 0x0123456789abcdefUL};

    (void)state;
    for (uint64_t at = 0; at < 0x10000; at++) {
        for (uint32_t size = 1; size <= 8; size *= 2) {
            rig_write(&rig, GICD(at), size, values[(at + size) % 3]);
            rig_read(&rig, GICD(at), size);
        }
    }
    for (uint64_t at = 0; at < 0x60000; at++) {
        if ((at & 0xffff) > 0x1000 && (at & 0xffff) < 0xffc0) {
            continue;
        }
        for (uint32_t size = 1; size <= 8; size *= 2) {
            rig_write(&rig, RIG_REDIST + at, size, values[(at + size) % 3]);
            rig_read(&rig, RIG_REDIST + at, size);
        }
    }
    rig_settle(&rig);
}

static void reset_forgets_all(void **state)
{
    (void)state;
    rig_enable_all(&rig, 0xa0);
    rig_write32(&rig, GICD(0x204), ~0U);
    vgic_write_sgi1r(&rig.vcpus[0], BIT(40));
    rig_settle(&rig);
    assert_int_not_equal(sim_ack(1), SIM_SPURIOUS);
    rig_put();
    vgic_reset(&rig.vm);
    rig_load(&rig.vcpus[0]);
    assert_int_equal(sim_here()->vmcr & 0xff000003, 0);
    assert_int_equal(sim_here()->ap1r[0], 0);
    assert_int_equal(rig_read32(&rig, GICD(0)), 0x50);
    assert_int_equal(rig_read32(&rig, GICD(0x104)), 0);
    assert_int_equal(rig_read32(&rig, GICD(0x204)), 0);
    assert_int_equal(rig_read32(&rig, GICD(0x304)), 0);
    assert_int_equal(rig_read32(&rig, SGI(1, 0x200)), 0);
    rig_enable_all(&rig, 0xa0);
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
}

static void cpu_interface_reset_keeps_the_redistributor(void **state)
{
    (void)state;
    rig_enable_all(&rig, 0xa0);
    rig_write32(&rig, SGI(0, 0x200), 2);
    rig_put();
    vgic_vcpu_reset(&rig.vcpus[0]);
    assert_false(vgic_deliverable(&rig.vcpus[0]));
    rig_load(&rig.vcpus[0]);
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
    assert_int_equal(rig_read32(&rig, SGI(0, 0x200)), 2);
    sim_set_pmr(0xff);
    sim_set_enable(1, true);
    assert_int_equal(sim_ack(1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers_in_its_windows_only, setup),
        cmocka_unit_test_setup(distributor_control, setup),
        cmocka_unit_test_setup(identification, setup),
        cmocka_unit_test_setup(redistributor_typer, setup),
        cmocka_unit_test_setup(waker, setup),
        cmocka_unit_test_setup(set_and_clear_registers, setup),
        cmocka_unit_test_setup(groups, setup),
        cmocka_unit_test_setup(priorities, setup),
        cmocka_unit_test_setup(priority_bits_follow_the_cpu, setup),
        cmocka_unit_test_setup(configuration, setup),
        cmocka_unit_test_setup(routing, setup),
        cmocka_unit_test_setup(legacy_registers_are_gone, setup),
        cmocka_unit_test_setup(any_access_is_survived, setup),
        cmocka_unit_test_setup(reset_forgets_all, setup),
        cmocka_unit_test_setup(cpu_interface_reset_keeps_the_redistributor, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
