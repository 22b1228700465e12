/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's timers: what is saved and in which order, which level a line has, when to wake up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/fake.h"
#include "arch/sysreg.h"
#include "core/cpu.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "core/vtimer.h"

#define OFFSET 1000u
#define ENABLE 1u
#define IMASK 2u
#define ISTATUS 4u

static struct vm vm;
static struct vcpu vcpu;
static struct cpu cpu;
static unsigned int timer_changes;

/* In place of the vGIC: it only keeps the lines. */
void vgic_set_ppi_level(struct vcpu *to, uint32_t intid, bool level)
{
    to->vgic.irqs[intid].line = level;
}

static void timer_changed(struct vcpu *changed)
{
    assert_ptr_equal(changed, &vcpu);
    timer_changes++;
}

static const struct vm_hooks hooks = {.timer_changed = timer_changed};

static void set_count(uint64_t physical)
{
    fake_sysreg_set(SYSREG_CNTPCT_EL0, physical);
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    fake_cpu_select(0);
    memset(&vm, 0, sizeof(vm));
    memset(&vcpu, 0, sizeof(vcpu));
    memset(&cpu, 0, sizeof(cpu));
    vm.cntvoff = OFFSET;
    vm.hooks = &hooks;
    vcpu.vm = &vm;
    fake_sysreg_set(SYSREG_TPIDR_EL2, (uint64_t)(uintptr_t)&cpu);
    fake_sysreg_set(SYSREG_CNTV_CTL_EL0, 0);
    fake_sysreg_set(SYSREG_CNTV_CVAL_EL0, 0);
    set_count(OFFSET);
    timer_changes = 0;
    return 0;
}

static bool line(uint32_t intid)
{
    return vcpu.vgic.irqs[intid].line;
}

static void it_is_enabled_last_and_silenced_when_taken_out(void **state)
{
    (void)state;
    vcpu.timer.cntv_ctl = ENABLE;
    vcpu.timer.cntv_cval = 77;
    fake_log_clear();
    vtimer_load(&vcpu);
    fake_log_expect("msr cntvoff_el2 0x3e8", "msr cntv_cval_el0 0x4d", "isb",
                    "msr cntv_ctl_el0 0x1", NULL);

    fake_sysreg_set(SYSREG_CNTV_CTL_EL0, ENABLE | ISTATUS);
    fake_sysreg_set(SYSREG_CNTV_CVAL_EL0, 99);
    fake_log_clear();
    vtimer_put(&vcpu);
    fake_log_expect("msr cntv_ctl_el0 0x0", "isb", NULL);
    assert_int_equal(vcpu.timer.cntv_ctl, ENABLE); /* ISTATUS is no state */
    assert_int_equal(vcpu.timer.cntv_cval, 99);
}

static void a_loaded_timer_tells_its_own_level(void **state)
{
    (void)state;
    cpu.loaded = &vcpu;
    fake_sysreg_set(SYSREG_CNTV_CTL_EL0, ENABLE | ISTATUS);
    vtimer_resample(&vcpu);
    assert_true(line(VTIMER_PPI_VIRT));
    fake_sysreg_set(SYSREG_CNTV_CTL_EL0, ENABLE | IMASK | ISTATUS);
    vtimer_resample(&vcpu);
    assert_false(line(VTIMER_PPI_VIRT));
    assert_false(line(VTIMER_PPI_PHYS));
}

static void a_saved_timer_is_compared_with_the_guests_count(void **state)
{
    (void)state;
    vcpu.timer.cntv_ctl = ENABLE;
    vcpu.timer.cntv_cval = 50;
    set_count(OFFSET + 49);
    vtimer_resample(&vcpu);
    assert_false(line(VTIMER_PPI_VIRT));
    set_count(OFFSET + 50);
    vtimer_resample(&vcpu);
    assert_true(line(VTIMER_PPI_VIRT));
}

static void deadlines(void **state)
{
    (void)state;
    assert_int_equal(vtimer_deadline(&vcpu, false), VTIMER_NEVER);
    vcpu.timer = (struct vcpu_vtimer){.cntv_ctl = ENABLE, .cntv_cval = 500};
    assert_int_equal(vtimer_deadline(&vcpu, false), OFFSET + 500);
    assert_int_equal(vtimer_deadline(&vcpu, true), VTIMER_NEVER);
    vcpu.timer.cntp_ctl = ENABLE;
    vcpu.timer.cntp_cval = 300;
    assert_int_equal(vtimer_deadline(&vcpu, false), OFFSET + 300);
    assert_int_equal(vtimer_deadline(&vcpu, true), OFFSET + 300);
    vcpu.timer.cntp_ctl = ENABLE | IMASK;
    assert_int_equal(vtimer_deadline(&vcpu, false), OFFSET + 500);
    /* A line that is up was told already: waiting for it again would never end. */
    vcpu.vgic.irqs[VTIMER_PPI_VIRT].line = true;
    assert_int_equal(vtimer_deadline(&vcpu, false), VTIMER_NEVER);
    /* Beyond the end of time. */
    vcpu.vgic.irqs[VTIMER_PPI_VIRT].line = false;
    vcpu.timer.cntv_cval = UINT64_MAX - 5;
    assert_int_equal(vtimer_deadline(&vcpu, false), VTIMER_NEVER);
}

static uint64_t rd(uint32_t reg)
{
    uint64_t value = 0;

    assert_int_equal(vtimer_sysreg(&vcpu, reg, false, &value), TRAP_NEXT);
    return value;
}

static void wr(uint32_t reg, uint64_t value)
{
    assert_int_equal(vtimer_sysreg(&vcpu, reg, true, &value), TRAP_NEXT);
}

static void the_physical_timer_counts_from_the_vms_start(void **state)
{
    (void)state;
    cpu.loaded = &vcpu;
    set_count(OFFSET + 100);
    assert_int_equal(rd(SYSREG_CNTPCT_EL0), 100);
    wr(SYSREG_CNTP_TVAL_EL0, 20);
    assert_int_equal(rd(SYSREG_CNTP_CVAL_EL0), 120);
    wr(SYSREG_CNTP_CTL_EL0, ENABLE | ISTATUS | 0xf0);
    assert_int_equal(rd(SYSREG_CNTP_CTL_EL0), ENABLE);
    assert_false(line(VTIMER_PPI_PHYS));
    assert_int_equal(timer_changes, 2);
    set_count(OFFSET + 121);
    assert_int_equal(rd(SYSREG_CNTP_CTL_EL0), ENABLE | ISTATUS);
    assert_int_equal(rd(SYSREG_CNTP_TVAL_EL0), 0xffffffff);
    vtimer_resample(&vcpu);
    assert_true(line(VTIMER_PPI_PHYS));
    wr(SYSREG_CNTP_TVAL_EL0, 0xfffffff0); /* 16 ago: still up */
    assert_true(line(VTIMER_PPI_PHYS));
    wr(SYSREG_CNTP_CVAL_EL0, 1000);
    assert_false(line(VTIMER_PPI_PHYS));
}

static void the_counter_cannot_be_written(void **state)
{
    uint64_t value = 1;

    (void)state;
    assert_int_equal(vtimer_sysreg(&vcpu, SYSREG_CNTPCT_EL0, true, &value), TRAP_UNDEF);
}

static void only_the_loaded_vcpus_interrupt_is_deactivated(void **state)
{
    (void)state;
    fake_log_clear();
    vtimer_deactivate(&vcpu, VTIMER_PPI_VIRT);
    assert_int_equal(fake_log_size(), 0);
    cpu.loaded = &vcpu;
    vtimer_deactivate(&vcpu, VTIMER_PPI_VIRT);
    fake_log_expect("msr icc_dir_el1 0x1b", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_is_enabled_last_and_silenced_when_taken_out, setup),
        cmocka_unit_test_setup(a_loaded_timer_tells_its_own_level, setup),
        cmocka_unit_test_setup(a_saved_timer_is_compared_with_the_guests_count, setup),
        cmocka_unit_test_setup(deadlines, setup),
        cmocka_unit_test_setup(the_physical_timer_counts_from_the_vms_start, setup),
        cmocka_unit_test_setup(the_counter_cannot_be_written, setup),
        cmocka_unit_test_setup(only_the_loaded_vcpus_interrupt_is_deactivated, setup),
    };

    return cmocka_run_group_tests_name("vtimer", tests, NULL, NULL);
}
