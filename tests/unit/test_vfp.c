/* SPDX-License-Identifier: Apache-2.0 */
/* FP registers are saved when their vCPU leaves and loaded when they are used, never otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/fake.h"
#include "arch/sysreg.h"
#include "core/cpu.h"
#include "core/vcpu.h"
#include "core/vfp.h"

#define TFP (UINT64_C(1) << 10)
#define CPTR (TFP | 0x100)
#define RESTORE 0u
#define SAVE 1u

static struct vcpu a, b;
static struct cpu cpus[2];

static void on(unsigned int cpu)
{
    fake_cpu_select(cpu);
    fake_sysreg_set(SYSREG_TPIDR_EL2, (uint64_t)(uintptr_t)&cpus[cpu]);
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    memset(cpus, 0, sizeof(cpus));
    on(0);
    return 0;
}

static bool trapped(void)
{
    return fake_sysreg_get(SYSREG_CPTR_EL2) & TFP;
}

/* Exactly one such event since the last look, for this vCPU; none if vcpu is NULL. */
static void expect_fp(unsigned int op, const struct vcpu *vcpu)
{
    size_t at = fake_log_find(0, FAKE_FP, op);

    assert_int_equal(fake_log_count(FAKE_FP), vcpu ? 1 : 0);
    if (vcpu)
        assert_int_equal(fake_log_at(at)->a, (uint64_t)(uintptr_t)&vcpu->fp);
    fake_log_clear();
}

static void first_use_traps_and_untraps_before_the_registers_are_touched(void **state)
{
    (void)state;
    vfp_load(&a, CPTR);
    assert_true(trapped());
    fake_log_clear();
    vfp_take(&a);
    assert_false(trapped());
    assert_true(fake_log_find(0, FAKE_ISB, 0) < fake_log_find(0, FAKE_FP, RESTORE));
    assert_int_equal(fake_sysreg_get(SYSREG_CPTR_EL2), CPTR & ~TFP);
    expect_fp(RESTORE, &a);
}

static void who_did_not_use_them_saves_nothing(void **state)
{
    (void)state;
    vfp_load(&a, CPTR);
    fake_log_clear();
    vfp_put(&a);
    expect_fp(SAVE, NULL);
}

static void they_stay_while_nobody_else_uses_them(void **state)
{
    (void)state;
    vfp_load(&a, CPTR);
    vfp_take(&a);
    fake_log_clear();
    vfp_put(&a);
    expect_fp(SAVE, &a);
    vfp_load(&b, CPTR); /* b does not touch them */
    vfp_put(&b);
    expect_fp(SAVE, NULL);
    vfp_load(&a, CPTR);
    assert_false(trapped());
    expect_fp(RESTORE, NULL);
}

static void another_user_takes_them_away(void **state)
{
    (void)state;
    vfp_load(&a, CPTR);
    vfp_take(&a);
    vfp_put(&a);
    vfp_load(&b, CPTR);
    vfp_take(&b);
    vfp_put(&b);
    vfp_load(&a, CPTR);
    assert_true(trapped());
}

static void what_was_left_on_another_cpu_is_stale(void **state)
{
    (void)state;
    vfp_load(&a, CPTR);
    vfp_take(&a);
    vfp_put(&a);
    on(1);
    vfp_load(&a, CPTR);
    assert_true(trapped());
    vfp_take(&a);
    vfp_put(&a);
    on(0); /* its owner is still a, but a's newest are on CPU 1 */
    vfp_load(&a, CPTR);
    assert_true(trapped());
}

static void after_reset_they_are_zero_and_not_here(void **state)
{
    (void)state;
    vfp_load(&a, CPTR);
    vfp_take(&a);
    vfp_put(&a);
    a.fp.fpcr = 5;
    vfp_reset(&a);
    assert_int_equal(a.fp.fpcr, 0);
    vfp_load(&a, CPTR);
    assert_true(trapped());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(first_use_traps_and_untraps_before_the_registers_are_touched, setup),
        cmocka_unit_test_setup(who_did_not_use_them_saves_nothing, setup),
        cmocka_unit_test_setup(they_stay_while_nobody_else_uses_them, setup),
        cmocka_unit_test_setup(another_user_takes_them_away, setup),
        cmocka_unit_test_setup(what_was_left_on_another_cpu_is_stale, setup),
        cmocka_unit_test_setup(after_reset_they_are_zero_and_not_here, setup),
    };

    return cmocka_run_group_tests_name("vfp", tests, NULL, NULL);
}
