/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual timer's interrupt, linked to the physical one, which must never be left active. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "tests/support/vgic_rig.h"

static struct rig rig;

#define SGI(vcpu, offset) (RIG_SGI_OF(vcpu) + (offset))
#define BIT32(n) (1U << ((n) % 32U))

static void on_cpu(uint32_t cpu)
{
    sim_enter(&rig.cpus[cpu]);
}

/* vCPU n on CPU n, for two of them; vCPU 2 is not loaded. All enabled, group 1, priority 0xa0. */
static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2, 3, 4, 5);
    for (uint32_t v = 3; v-- > 0;) {
        on_cpu(v % 2);
        rig_load(&rig.vcpus[v]);
        rig_enable_all(&rig, 0xa0);
        if (v == 2) {
            rig_put();
        }
    }
    on_cpu(0);
    return 0;
}

static uint32_t ack(void)
{
    rig_settle(&rig);
    return sim_ack(1);
}

static void timer_is_linked(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig.timer_line[0] = true;
        rig_settle(&rig);
        assert_true(sim_here()->ppi27_active);
        assert_int_equal(FIELD_GET(ICH_LR_EL2_PINTID, sim_here()->lr[0]), 27);
        assert_int_equal(ack(), 27);
        rig.timer_line[0] = false; /* the handler set a later time */
        sim_eoi(1, 27);
        assert_false(sim_here()->ppi27_active);
        assert_int_equal(ack(), SIM_SPURIOUS);
    }
    assert_int_equal(rig_read32(&rig, SGI(0, 0x200)), 0);
    rig.timer_line[0] = true;
    assert_int_equal(rig_read32(&rig, SGI(0, 0x200)), BIT32(27));
}

static void timer_moves_with_its_vcpu(void **state)
{
    (void)state;
    rig.timer_line[0] = true;
    assert_int_equal(ack(), 27);
    rig_put();
    assert_true(vgic_hw_active(&rig.vcpus[0]));
    assert_false(sim_here()->ppi27_active);
    rig_load(&rig.vcpus[2]);
    assert_int_equal(ack(), SIM_SPURIOUS);
    on_cpu(1);
    rig_put();
    rig_load(&rig.vcpus[0]);
    assert_true(sim_here()->ppi27_active);
    rig.timer_line[0] = false;
    sim_eoi(1, 27);
    assert_false(sim_here()->ppi27_active);
    assert_int_equal(ack(), SIM_SPURIOUS);
    rig_put();
    assert_false(vgic_hw_active(&rig.vcpus[0]));
}

static void timer_is_withdrawn(void **state)
{
    (void)state;
    rig.timer_line[0] = true;
    rig_settle(&rig);
    assert_true(sim_irq_signalled(1));
    rig.timer_line[0] = false;
    rig_resample(&rig.vcpus[0]);
    assert_false(sim_irq_signalled(1));
    assert_false(sim_here()->ppi27_active);
    /* Disabled in the guest: stays where it is, once, and goes with the line. */
    rig_write32(&rig, SGI(0, 0x180), BIT32(27));
    rig.timer_line[0] = true;
    assert_int_equal(ack(), SIM_SPURIOUS);
    assert_true(sim_here()->ppi27_active);
    rig.timer_line[0] = false;
    rig_write32(&rig, SGI(0, 0x100), BIT32(27));
    assert_int_equal(ack(), SIM_SPURIOUS);
    assert_false(sim_here()->ppi27_active);
}

static void timer_deactivated_by_register(void **state)
{
    (void)state;
    rig.timer_line[0] = true;
    assert_int_equal(ack(), 27);
    rig.timer_line[0] = false;
    rig_write32(&rig, SGI(0, 0x380), BIT32(27));
    assert_false(sim_here()->ppi27_active);
    sim_eoi(1, 27);
    /* From another vCPU: its own CPU does it. */
    rig.timer_line[0] = true;
    assert_int_equal(ack(), 27);
    rig.timer_line[0] = false;
    on_cpu(1);
    rig_write32(&rig, SGI(0, 0x380), BIT32(27));
    on_cpu(0);
    rig_settle(&rig);
    assert_false(sim_here()->ppi27_active);
    sim_eoi(1, 27);
    assert_int_equal(ack(), SIM_SPURIOUS);
    /* Or when the vCPU is put away first: rig_put() looks. */
    rig.timer_line[0] = true;
    assert_int_equal(ack(), 27);
    on_cpu(1);
    rig_write32(&rig, SGI(0, 0x380), BIT32(27));
    on_cpu(0);
    rig_put();
    assert_false(vgic_hw_active(&rig.vcpus[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(timer_is_linked, setup),
        cmocka_unit_test_setup(timer_moves_with_its_vcpu, setup),
        cmocka_unit_test_setup(timer_is_withdrawn, setup),
        cmocka_unit_test_setup(timer_deactivated_by_register, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
