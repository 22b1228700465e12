/* SPDX-License-Identifier: Apache-2.0 */
/* How interrupts get to a guest and end: list registers, routing, EOI modes. */
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
#define SGI(vcpu, offset) (RIG_SGI_OF(vcpu) + (offset))
#define SPI 40U
#define SPI_BIT BIT32(SPI)
#define BIT32(n) (1U << ((n) % 32U))
#define SPI_WORD(offset) GICD((offset) + 4U * (SPI / 32U))
#define SGI_TO(intid, list) (FIELD_PREP(ICC_SGI1R_EL1_INTID, intid) | (list))

static void on_cpu(uint32_t cpu)
{
    sim_enter(&rig.cpus[cpu]);
}

/* vCPU n on CPU n, for two of them; vCPU 2 is not loaded. All enabled, group 1, priority 0xa0. */
static int setup_lrs(uint32_t nr_lrs)
{
    rig_init(&rig, 2, 3, nr_lrs, 5);
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

static int setup(void **state)
{
    (void)state;
    return setup_lrs(4);
}

static void edge(uint32_t intid)
{
    uint64_t at = GICD(0xc00 + 4 * (intid / 16));

    rig_write32(&rig, at, rig_read32(&rig, at) | 2U << (2 * (intid % 16)));
}

static void priority(uint32_t intid, uint8_t value)
{
    rig_write(&rig, GICD(0x400 + intid), 1, value);
}

static uint32_t ack(void)
{
    rig_settle(&rig);
    return sim_ack(1);
}

static void self_sgi_reuses_its_list_register(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(3, 1)), TRAP_NEXT);
        assert_int_equal(FIELD_GET(ICH_LR_EL2_STATE, sim_here()->lr[0]), 1);
        assert_int_equal(sim_ack(1), 3);
        sim_eoi(1, 3);
    }
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
}

static void sgi_while_active_comes_after_the_end(void **state)
{
    (void)state;
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(3, 1));
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(3, 1)); /* merges */
    assert_int_equal(ack(), 3);
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(3, 1));
    assert_int_equal(ack(), SIM_SPURIOUS);
    assert_int_equal(rig_read32(&rig, SGI(0, 0x200)), 8);
    assert_int_equal(rig_read32(&rig, SGI(0, 0x300)), 8);
    sim_eoi(1, 3);
    assert_int_equal(ack(), 3);
    sim_eoi(1, 3);
    assert_int_equal(ack(), SIM_SPURIOUS);
}

static void sgi_targets(void **state)
{
    (void)state;
    rig.kicks[1] = rig.kicks[2] = 0;
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(5, 6));
    assert_int_not_equal(rig.kicks[1], 0);
    assert_int_not_equal(rig.kicks[2], 0);
    assert_int_equal(rig.kicks[0], 0);
    assert_int_equal(ack(), SIM_SPURIOUS);
    assert_true(vgic_has_work(&rig.vcpus[1].vgic));
    assert_true(vgic_deliverable(&rig.vcpus[2]));
    on_cpu(1);
    assert_int_equal(ack(), 5);
    sim_eoi(1, 5);
    rig_put();
    rig_load(&rig.vcpus[2]);
    assert_int_equal(ack(), 5);
    sim_eoi(1, 5);
    /* All but self. */
    vgic_write_sgi1r(&rig.vcpus[2], SGI_TO(6, 0) | ICC_SGI1R_EL1_IRM);
    assert_int_equal(ack(), SIM_SPURIOUS);
    on_cpu(0);
    assert_int_equal(ack(), 6);
    /* Another cluster, another range. */
    sim_eoi(1, 6);
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(6, 1) | FIELD_PREP(ICC_SGI1R_EL1_AFF1, 1));
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(6, 1) | FIELD_PREP(ICC_SGI1R_EL1_AFF2, 1));
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(6, 1) | FIELD_PREP(ICC_SGI1R_EL1_AFF3, 1));
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(6, 1) | FIELD_PREP(ICC_SGI1R_EL1_RS, 1));
    assert_int_equal(ack(), SIM_SPURIOUS);
}

static void sgi_groups(void **state)
{
    (void)state;
    /* In group 1: only SGI1R sends it. */
    vgic_write_sgi0r(&rig.vcpus[0], SGI_TO(4, 1));
    assert_int_equal(rig_read32(&rig, SGI(0, 0x200)), 0);
    rig_write32(&rig, SGI(0, 0x80), ~BIT32(4));
    vgic_write_sgi0r(&rig.vcpus[0], SGI_TO(4, 1));
    rig_settle(&rig);
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
    assert_int_equal(sim_ack(0), 4);
    sim_eoi(0, 4);
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(4, 1));
    rig_settle(&rig);
    assert_int_equal(sim_ack(0), 4);
}

static void level_comes_again_while_its_wire_is_high(void **state)
{
    (void)state;
    vgic_set_spi_level(&rig.vm, SPI, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ack(), SPI);
        assert_int_equal(ack(), SIM_SPURIOUS);
        sim_eoi(1, SPI);
        assert_int_not_equal(sim_misr(), 0);
    }
    assert_int_equal(ack(), SPI);
    vgic_set_spi_level(&rig.vm, SPI, false);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SIM_SPURIOUS);
    assert_int_equal(sim_misr(), 0);
}

static void level_is_withdrawn_with_its_wire(void **state)
{
    (void)state;
    vgic_set_spi_level(&rig.vm, SPI, true);
    rig_settle(&rig);
    assert_true(sim_irq_signalled(1));
    vgic_set_spi_level(&rig.vm, SPI, false);
    assert_false(sim_irq_signalled(1));
    /* Also from another CPU, once this one looked. */
    vgic_set_spi_level(&rig.vm, SPI, true);
    rig_settle(&rig);
    on_cpu(1);
    rig.kicks[0] = 0;
    vgic_set_spi_level(&rig.vm, SPI, false);
    assert_int_not_equal(rig.kicks[0], 0);
    on_cpu(0);
    assert_int_equal(ack(), SIM_SPURIOUS);
}

static void level_and_latch(void **state)
{
    (void)state;
    vgic_set_spi_level(&rig.vm, SPI, true);
    rig_write32(&rig, SPI_WORD(0x280), SPI_BIT); /* the wire is high: stays pending */
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x200)), SPI_BIT);
    rig_write32(&rig, SPI_WORD(0x200), SPI_BIT);
    vgic_set_spi_level(&rig.vm, SPI, false); /* latched: stays pending */
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x200)), SPI_BIT);
    rig_write32(&rig, SPI_WORD(0x280), SPI_BIT);
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x200)), 0);
    assert_int_equal(ack(), SIM_SPURIOUS);
    rig_write32(&rig, SPI_WORD(0x200), SPI_BIT);
    assert_int_equal(ack(), SPI);
    rig_write32(&rig, SPI_WORD(0x200), SPI_BIT);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SPI); /* latched while it was active */
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SIM_SPURIOUS);
}

static void edges_latch(void **state)
{
    (void)state;
    edge(SPI);
    vgic_set_spi_level(&rig.vm, SPI, true);
    vgic_set_spi_level(&rig.vm, SPI, false);
    assert_int_equal(ack(), SPI);
    vgic_pulse_spi(&rig.vm, SPI);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SPI);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SIM_SPURIOUS);
    vgic_pulse_spi(&rig.vm, 31);
    vgic_pulse_spi(&rig.vm, 288);
    vgic_set_spi_level(&rig.vm, 0xffffffff, true);
    vgic_set_ppi_level(&rig.vcpus[0], 15, true);
    vgic_set_ppi_level(&rig.vcpus[0], 32, true);
    assert_int_equal(ack(), SIM_SPURIOUS);
}

static void disabling_takes_effect_at_once_elsewhere(void **state)
{
    (void)state;
    vgic_set_spi_level(&rig.vm, SPI, true);
    rig_settle(&rig);
    on_cpu(1);
    rig_write32(&rig, SPI_WORD(0x180), SPI_BIT);
    on_cpu(0);
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
    on_cpu(1);
    rig_write32(&rig, SPI_WORD(0x100), SPI_BIT);
    on_cpu(0);
    rig_settle(&rig);
    on_cpu(1);
    rig_write32(&rig, GICD(0), 1);
    on_cpu(0);
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
}

static void clearing_pending_takes_effect_at_once_elsewhere(void **state)
{
    (void)state;
    edge(SPI);
    vgic_pulse_spi(&rig.vm, SPI);
    rig_settle(&rig);
    on_cpu(1);
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x200)), SPI_BIT);
    rig_write32(&rig, SPI_WORD(0x280), SPI_BIT);
    on_cpu(0);
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
    assert_int_equal(ack(), SIM_SPURIOUS);
}

static void routing_moves_a_pending_interrupt(void **state)
{
    (void)state;
    vgic_set_spi_level(&rig.vm, SPI, true);
    rig_settle(&rig);
    on_cpu(1);
    rig_write(&rig, GICD(0x6000 + 8 * SPI), 8, 1);
    on_cpu(0);
    assert_int_equal(sim_ack(1), SIM_SPURIOUS);
    on_cpu(1);
    assert_int_equal(ack(), SPI);
    /* An active one stays until its end. */
    rig_write(&rig, GICD(0x6000 + 8 * SPI), 8, 0);
    on_cpu(0);
    assert_int_equal(ack(), SIM_SPURIOUS);
    on_cpu(1);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SIM_SPURIOUS);
    on_cpu(0);
    assert_int_equal(ack(), SPI);
    sim_eoi(1, SPI);
    /* Nobody's, and back. */
    rig_write(&rig, GICD(0x6000 + 8 * SPI), 8, 0x700);
    assert_int_equal(ack(), SIM_SPURIOUS);
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x200)), SPI_BIT);
    rig_write(&rig, GICD(0x6000 + 8 * SPI), 8, 0);
    assert_int_equal(ack(), SPI);
}

static void one_of_n_goes_to_one_that_is_awake(void **state)
{
    (void)state;
    rig_write32(&rig, RIG_REDIST_OF(1) + 0x14, 0);
    rig_write(&rig, GICD(0x6000 + 8 * SPI), 8, BIT(31));
    vgic_set_spi_level(&rig.vm, SPI, true);
    assert_int_equal(ack(), SIM_SPURIOUS);
    on_cpu(1);
    rig_settle(&rig);
    assert_true(sim_irq_signalled(1));
    rig_write32(&rig, RIG_REDIST_OF(0) + 0x14, 0);
    rig_write32(&rig, RIG_REDIST_OF(1) + 0x14, 2);
    assert_int_equal(ack(), SIM_SPURIOUS);
    on_cpu(0);
    assert_int_equal(ack(), SPI);
}

static void preemption(void **state)
{
    (void)state;
    priority(SPI, 0x80);
    priority(SPI + 1, 0x40);
    vgic_set_spi_level(&rig.vm, SPI, true);
    assert_int_equal(ack(), SPI);
    vgic_set_spi_level(&rig.vm, SPI + 2, true); /* 0xa0 */
    assert_int_equal(ack(), SIM_SPURIOUS);
    assert_false(vgic_deliverable(&rig.vcpus[0]));
    vgic_set_spi_level(&rig.vm, SPI + 1, true);
    assert_true(vgic_deliverable(&rig.vcpus[0]));
    assert_int_equal(ack(), SPI + 1);
    vgic_set_spi_level(&rig.vm, SPI, false);
    vgic_set_spi_level(&rig.vm, SPI + 1, false);
    sim_eoi(1, SPI + 1);
    assert_int_equal(ack(), SIM_SPURIOUS);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SPI + 2);
}

static void deliverable_follows_mask_and_enables(void **state)
{
    (void)state;
    vgic_set_spi_level(&rig.vm, SPI, true);
    assert_true(vgic_deliverable(&rig.vcpus[0]));
    sim_set_pmr(0xa0); /* not higher than the mask */
    assert_false(vgic_deliverable(&rig.vcpus[0]));
    sim_set_pmr(0xa8);
    assert_true(vgic_deliverable(&rig.vcpus[0]));
    sim_set_enable(1, false);
    assert_false(vgic_deliverable(&rig.vcpus[0]));
    rig_put();
    assert_false(vgic_deliverable(&rig.vcpus[0]));
    rig_load(&rig.vcpus[0]);
    sim_set_enable(1, true);
    rig_put();
    assert_true(vgic_deliverable(&rig.vcpus[0]));
    vgic_set_spi_level(&rig.vm, SPI, false);
    assert_false(vgic_deliverable(&rig.vcpus[0]));
    /* Of a vCPU on another CPU it says whether there is work. */
    assert_false(vgic_deliverable(&rig.vcpus[1]));
    vgic_set_ppi_level(&rig.vcpus[1], 20, true);
    assert_true(vgic_deliverable(&rig.vcpus[1]));
}

static void more_than_the_list_registers(void **state)
{
    (void)state;
    for (uint32_t lrs = 1; lrs <= 16; lrs *= 2) {
        uint8_t last = 0;

        setup_lrs(lrs);
        for (uint32_t i = 0; i < 25; i++) {
            edge(SPI + i);
            priority(SPI + i, (uint8_t)(((i * 11) % 25) << 3));
            vgic_pulse_spi(&rig.vm, SPI + i);
        }
        for (uint32_t i = 0; i < 25; i++) {
            uint32_t intid = ack();

            assert_in_range(intid, SPI, SPI + 24);
            assert_true(i == 0 || rig.vm.vgic.spis[intid - 32].priority > last);
            last = rig.vm.vgic.spis[intid - 32].priority;
            sim_eoi(1, intid);
        }
        assert_int_equal(ack(), SIM_SPURIOUS);
        assert_int_equal(sim_misr(), 0);
    }
}

/* An active one that is pending again must not, at its end, pass a more urgent one that waits. */
static void pending_again_does_not_overtake(void **state)
{
    (void)state;
    setup_lrs(2);
    for (uint32_t i = 0; i < 3; i++) {
        edge(SPI + i);
    }
    priority(SPI, 0x40);
    priority(SPI + 1, 0x08);
    priority(SPI + 2, 0x10);
    vgic_pulse_spi(&rig.vm, SPI);
    assert_int_equal(ack(), SPI);
    for (uint32_t i = 0; i < 3; i++) {
        vgic_pulse_spi(&rig.vm, SPI + i);
    }
    rig_settle(&rig);
    sim_eoi(1, SPI);
    for (uint32_t i = 1; i < 4; i++) {
        assert_int_equal(ack(), SPI + i % 3);
        sim_eoi(1, SPI + i % 3);
    }
    assert_int_equal(ack(), SIM_SPURIOUS);
}

/* More nested active interrupts than list registers: their ends are counted. */
static void nested_beyond_the_list_registers(void **state)
{
    (void)state;
    for (uint32_t lrs = 1; lrs <= 4; lrs++) {
        setup_lrs(lrs);
        for (uint32_t i = 0; i < 20; i++) {
            edge(SPI + i);
            priority(SPI + i, (uint8_t)(0xa0 - (i << 3)));
            vgic_pulse_spi(&rig.vm, SPI + i);
            assert_int_equal(ack(), SPI + i);
        }
        for (uint32_t i = 20; i-- > 0;) {
            vgic_pulse_spi(&rig.vm, SPI + i); /* once more, while it is active */
        }
        for (uint32_t i = 20; i-- > 0;) {
            sim_eoi(1, SPI + i);
            assert_int_equal(ack(), SPI + i);
            sim_eoi(1, SPI + i);
        }
        assert_int_equal(ack(), SIM_SPURIOUS);
        assert_int_equal(rig_read32(&rig, SPI_WORD(0x300)), 0);
    }
}

static void split_end(void **state)
{
    (void)state;
    sim_set_eoimode(true);
    vgic_set_spi_level(&rig.vm, SPI, true);
    assert_int_equal(ack(), SPI);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SIM_SPURIOUS); /* dropped, but still active */
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x300)), SPI_BIT);
    rig_dir(SPI);
    assert_int_equal(ack(), SPI);
    sim_eoi(1, SPI);
    vgic_set_spi_level(&rig.vm, SPI, false);
    on_cpu(1); /* an SPI may be ended by another vCPU, in the same mode */
    rig_dir(SPI);
    on_cpu(0);
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x300)), SPI_BIT);
    on_cpu(1);
    sim_set_eoimode(true);
    rig_dir(SPI);
    on_cpu(0);
    assert_int_equal(rig_read32(&rig, SPI_WORD(0x300)), 0);
    rig_dir(1023);
    rig_dir(288);
    rig_dir(SPI + 1);
}

/* All list registers active with their priority dropped must not keep others out. */
static void dropped_do_not_block(void **state)
{
    (void)state;
    for (uint32_t lrs = 1; lrs <= 4; lrs++) {
        setup_lrs(lrs);
        sim_set_eoimode(true);
        for (uint32_t i = 0; i < 30; i++) {
            vgic_set_spi_level(&rig.vm, SPI + i, true);
            assert_int_equal(ack(), SPI + i);
            sim_eoi(1, SPI + i);
        }
        assert_int_equal(ack(), SIM_SPURIOUS);
        for (uint32_t i = 0; i < 30; i++) {
            vgic_set_spi_level(&rig.vm, SPI + i, false);
            rig_dir(SPI + (i * 7) % 30);
        }
        assert_int_equal(rig_read32(&rig, SPI_WORD(0x300)), 0);
        assert_int_equal(rig_read32(&rig, SPI_WORD(0x304)), 0);
        assert_int_equal(ack(), SIM_SPURIOUS);
    }
}

/* Group 0 may fill the list registers while the CPU interface has it off. */
static void disabled_group_does_not_block(void **state)
{
    (void)state;
    sim_set_enable(0, false);
    rig_write32(&rig, SPI_WORD(0x80), 0xf00fffff);
    for (uint32_t i = 52; i < 60; i++) {
        priority(i, 0x10);
        vgic_set_spi_level(&rig.vm, i, true);
    }
    vgic_set_spi_level(&rig.vm, SPI, true);
    assert_int_equal(ack(), SPI);
    vgic_set_spi_level(&rig.vm, SPI, false);
    sim_eoi(1, SPI);
    assert_int_equal(ack(), SIM_SPURIOUS);
    sim_set_enable(0, true);
    rig_settle(&rig);
    assert_int_not_equal(sim_ack(0), SIM_SPURIOUS);
}

static void waiting_vcpu_is_kicked_on_its_own_cpu(void **state)
{
    (void)state;
    rig.kicks[0] = 0;
    vgic_set_spi_level(&rig.vm, SPI, true);
    assert_int_equal(rig.kicks[0], 0);
    vgic_set_spi_level(&rig.vm, SPI, false);
    sim_here()->cpu.running = NULL;
    vgic_set_spi_level(&rig.vm, SPI, true);
    assert_int_not_equal(rig.kicks[0], 0);
    rig.kicks[0] = 0;
    vgic_write_sgi1r(&rig.vcpus[0], SGI_TO(1, 1));
    assert_int_not_equal(rig.kicks[0], 0);
    rig.kicks[0] = 0;
    rig.timer_line[0] = true;
    rig_take_timer(&rig);
    assert_int_not_equal(rig.kicks[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(self_sgi_reuses_its_list_register, setup),
        cmocka_unit_test_setup(sgi_while_active_comes_after_the_end, setup),
        cmocka_unit_test_setup(sgi_targets, setup),
        cmocka_unit_test_setup(sgi_groups, setup),
        cmocka_unit_test_setup(level_comes_again_while_its_wire_is_high, setup),
        cmocka_unit_test_setup(level_is_withdrawn_with_its_wire, setup),
        cmocka_unit_test_setup(level_and_latch, setup),
        cmocka_unit_test_setup(edges_latch, setup),
        cmocka_unit_test_setup(disabling_takes_effect_at_once_elsewhere, setup),
        cmocka_unit_test_setup(clearing_pending_takes_effect_at_once_elsewhere, setup),
        cmocka_unit_test_setup(routing_moves_a_pending_interrupt, setup),
        cmocka_unit_test_setup(one_of_n_goes_to_one_that_is_awake, setup),
        cmocka_unit_test_setup(preemption, setup),
        cmocka_unit_test_setup(deliverable_follows_mask_and_enables, setup),
        cmocka_unit_test(more_than_the_list_registers),
        cmocka_unit_test(pending_again_does_not_overtake),
        cmocka_unit_test(nested_beyond_the_list_registers),
        cmocka_unit_test_setup(split_end, setup),
        cmocka_unit_test(dropped_do_not_block),
        cmocka_unit_test_setup(disabled_group_does_not_block, setup),
        cmocka_unit_test_setup(waiting_vcpu_is_kicked_on_its_own_cpu, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
