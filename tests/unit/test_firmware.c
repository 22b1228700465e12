/* SPDX-License-Identifier: Apache-2.0 */
/* The PSCI client against a firmware of this test's, by SMC and HVC, of several versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/fake.h"
#include "arch/smc.h"
#include "arch/sysreg.h"
#include "el2/firmware.h"

#define NOT_SUPPORTED UINT64_MAX

/* The firmware: what it answers, and what it was asked last. */
static struct {
    bool hvc;
    uint64_t psci_version;
    bool has_features;
    uint64_t smccc_version;
    uint64_t cpu_on_result;
    struct smc_args last;
} machine;

static uint64_t answer(const struct smc_args *args)
{
    switch (args->fn) {
    case 0x84000000: /* PSCI_VERSION */
        return machine.psci_version;
    case 0x8400000a: /* PSCI_FEATURES */
        assert_int_equal(args->a1, 0x80000000);
        return machine.has_features ? 0 : NOT_SUPPORTED;
    case 0x80000000: /* SMCCC_VERSION */
        assert_true(machine.has_features);
        return machine.smccc_version;
    case 0xc4000003: /* CPU_ON */
    case 0x95c1ba60: /* the same in PSCI 0.1 */
        return machine.cpu_on_result;
    case 0x84000002: /* CPU_OFF */
    case 0x84000008: /* SYSTEM_OFF */
    case 0x84000009: /* SYSTEM_RESET */
        return NOT_SUPPORTED;
    default:
        fail_msg("call of %#lx", args->fn);
        return 0;
    }
}

static void handler(bool hvc, const struct smc_args *args, struct smc_result *ret_result)
{
    assert_int_equal(hvc, machine.hvc);
    machine.last = *args;
    /* Only the lower half is defined for 32-bit functions. */
    *ret_result = (struct smc_result){.x0 = answer(args)};
    if ((args->fn & 0x40000000) == 0) {
        ret_result->x0 = (ret_result->x0 & UINT32_MAX) | UINT64_C(0xdead) << 48;
    }
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    fake_sysreg_set(SYSREG_CTR_EL0, 0x84448004);
    fake_smc_handler(handler);
    machine.hvc = false;
    machine.psci_version = 0x10001;
    machine.has_features = true;
    machine.smccc_version = 0x10002;
    machine.cpu_on_result = 0;
    return 0;
}

static const struct boot_psci by_smc = {.conduit = BOOT_CONDUIT_SMC, .v0_2 = true};
static const struct boot_psci by_hvc = {.conduit = BOOT_CONDUIT_HVC, .v0_2 = true};
static const struct boot_psci by_none = {.conduit = BOOT_CONDUIT_NONE};
static const struct boot_psci old = {
    .conduit = BOOT_CONDUIT_SMC, .cpu_on = 0x95c1ba60, .cpu_off = 0x95c1ba5f};

static void test_versions(void **state)
{
    struct firmware fw;

    (void)state;
    firmware_init(&fw, &by_smc);
    assert_int_equal(fw.psci_version, 0x10001);
    assert_int_equal(fw.smccc_version, 0x10002);
    assert_true(fw.has_smccc);
}

static void test_the_other_conduit(void **state)
{
    struct firmware fw;

    (void)state;
    machine.hvc = true;
    firmware_init(&fw, &by_hvc);
    assert_int_equal(fw.psci_version, 0x10001);
    assert_int_equal(fw.smccc_version, 0x10002);
    assert_false(fw.has_smccc); /* not by SMC */
}

static void test_smccc_is_asked_only_if_psci_knows_it(void **state)
{
    struct firmware fw;

    (void)state;
    machine.has_features = false;
    firmware_init(&fw, &by_smc);
    assert_int_equal(fw.smccc_version, 0x10000);
    assert_false(fw.has_smccc);
    machine.psci_version = 2;
    machine.has_features = true;
    firmware_init(&fw, &by_smc);
    assert_int_equal(fw.smccc_version, 0x10000);
    assert_int_equal(machine.last.fn, 0x84000000); /* and nothing after it */
}

static void test_a_version_that_is_an_error(void **state)
{
    struct firmware fw;

    (void)state;
    machine.psci_version = NOT_SUPPORTED;
    firmware_init(&fw, &by_smc);
    assert_int_equal(fw.psci_version, 0);
    machine.psci_version = 0x10000;
    machine.smccc_version = NOT_SUPPORTED;
    firmware_init(&fw, &by_smc);
    assert_int_equal(fw.smccc_version, 0x10000);
}

static void test_cpu_on(void **state)
{
    struct firmware fw;

    (void)state;
    firmware_init(&fw, &by_smc);
    fake_log_clear();
    assert_int_equal(firmware_cpu_on(&fw, 0x100000003, pa(0x40200000), 0x77), STATUS_OK);
    fake_log_expect("dsb sy", "smc 0xc4000003 0x100000003", NULL);
    assert_int_equal(machine.last.a2, 0x40200000);
    assert_int_equal(machine.last.a3, 0x77);
}

static void test_cpu_on_errors(void **state)
{
    static const struct {
        int64_t result;
        enum status status;
    } cases[] = {
        {-1, STATUS_UNSUPPORTED}, {-2, STATUS_NOT_FOUND}, {-3, STATUS_DENIED}, {-4, STATUS_EXISTS},
        {-5, STATUS_EXISTS},      {-6, STATUS_IO},        {-9, STATUS_IO},     {1, STATUS_IO},
    };
    struct firmware fw;

    (void)state;
    firmware_init(&fw, &by_smc);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        machine.cpu_on_result = (uint64_t)cases[i].result;
        assert_int_equal(firmware_cpu_on(&fw, 1, pa(0), 0), cases[i].status);
    }
}

static void test_psci_0_1_has_its_own_numbers(void **state)
{
    struct firmware fw;

    (void)state;
    firmware_init(&fw, &old);
    assert_int_equal(fw.psci_version, 1);
    assert_int_equal(firmware_cpu_on(&fw, 1, pa(0x1000), 0), STATUS_OK);
    assert_int_equal(machine.last.fn, 0x95c1ba60);
}

static void test_without_psci(void **state)
{
    struct firmware fw;

    (void)state;
    fake_smc_handler(NULL);
    firmware_init(&fw, &by_none);
    assert_int_equal(fw.psci_version, 0);
    assert_int_equal(firmware_cpu_on(&fw, 1, pa(0), 0), STATUS_UNSUPPORTED);
    firmware_cpu_off(&fw);
}

static void system_off(void *ctx)
{
    firmware_system_off(ctx);
}

static void system_reset(void *ctx)
{
    firmware_system_reset(ctx);
}

static void test_the_end(void **state)
{
    struct firmware fw;

    (void)state;
    firmware_init(&fw, &by_smc);
    firmware_cpu_off(&fw);
    assert_int_equal(machine.last.fn, 0x84000002);
    assert_true(fake_expect_fail(system_off, &fw)); /* the fake's CPU can't just stop */
    assert_int_equal(machine.last.fn, 0x84000008);
    assert_true(fake_expect_fail(system_reset, &fw));
    assert_int_equal(machine.last.fn, 0x84000009);
}

static void test_spin_table(void **state)
{
    volatile uint64_t release = 0;

    (void)state;
    fake_log_clear();
    firmware_spin_table_release(&release, pa(0x40200080));
    assert_int_equal(release, 0x40200080);
    fake_log_expect_order("dc cvac", "dsb", "sev", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_versions, setup),
        cmocka_unit_test_setup(test_the_other_conduit, setup),
        cmocka_unit_test_setup(test_smccc_is_asked_only_if_psci_knows_it, setup),
        cmocka_unit_test_setup(test_a_version_that_is_an_error, setup),
        cmocka_unit_test_setup(test_cpu_on, setup),
        cmocka_unit_test_setup(test_cpu_on_errors, setup),
        cmocka_unit_test_setup(test_psci_0_1_has_its_own_numbers, setup),
        cmocka_unit_test_setup(test_without_psci, setup),
        cmocka_unit_test_setup(test_the_end, setup),
        cmocka_unit_test_setup(test_spin_table, setup),
    };

    return cmocka_run_group_tests_name("firmware", tests, NULL, NULL);
}
