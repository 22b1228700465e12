/* SPDX-License-Identifier: Apache-2.0 */
/* CPU profiles against fake hosts: what is lowered, what is lacking, what can't be hidden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/backend/backend_fake.h"
#include "vmm/backend/profile.h"

/* CRm << 3 | op2 */
#define PFR0 0x20
#define ISAR0 0x30
#define ISAR1 0x31
#define MMFR1 0x39
#define MMFR2 0x3a

static struct fake_plan plan;

/* A Neoverse N1, all of whose fields can be changed, but not FP and AdvSIMD. */
static void make_n1(void)
{
    memset(&plan, 0, sizeof(plan));
    plan.caps.id_registers = true;
    plan.id[PFR0] = UINT64_C(0x0000000000110000);
    plan.id[ISAR0] = UINT64_C(0x0000100010211120);
    plan.id[ISAR1] = UINT64_C(0x0000000000100001);
    plan.id[MMFR1] = UINT64_C(0x0000000000202002);
    plan.id[MMFR2] = UINT64_C(0x0000000000001011);
    memset(plan.id_writable, 0xff, sizeof(plan.id_writable));
    plan.id_writable[PFR0] = ~UINT64_C(0x0000000000ff0000);
}

static bool apply(const char *name, struct error *error)
{
    const struct backend_vm_config config = {.ipa_bits = 40, .nr_vcpus = 1};
    struct backend_vm *vm;
    struct backend_vcpu *vcpu;
    struct backend *backend;
    bool done;

    *error = (struct error)ERROR_NONE;
    fake_set_plan(&plan);
    backend = backend_open(error);
    vm = backend->ops->vm_create(backend, &config, error);
    vcpu = backend->ops->vcpu_create(vm, 0, error);
    done = profile_apply(backend, vm, vcpu, name, error);
    backend->ops->vm_destroy(vm);
    backend->ops->close(backend);
    fake_set_plan(NULL);
    return done;
}

static void test_host(void **state)
{
    struct error error;

    (void)state;
    make_n1();
    plan.caps.id_registers = false;
    assert_true(apply(NULL, &error));
    assert_true(apply("host", &error));
}

static void test_same(void **state)
{
    struct error error;

    (void)state;
    make_n1();
    assert_true(apply("neoverse-n1", &error));
    assert_int_equal(plan.id_after[ISAR0], 0); /* nothing had to be written */
}

static void test_lowered(void **state)
{
    struct error error;

    (void)state;
    make_n1();
    assert_true(apply("v8.2", &error)); /* FP can't be hidden: a warning */
    assert_int_equal(plan.id_after[ISAR0], UINT64_C(0x0000000010210000));
    assert_int_equal(plan.id_after[ISAR1], UINT64_C(0x1));
    assert_int_equal(plan.id_after[MMFR1], UINT64_C(0x201000));
    assert_int_equal(plan.id_after[MMFR2], UINT64_C(0x10));
    make_n1();
    assert_true(apply("v8.0", &error));
    assert_int_equal(plan.id_after[ISAR0], UINT64_C(0x10000));
    assert_int_equal(plan.id_after[ISAR1], 0);
}

/* What the host lacks is named, all of it. */
static void test_lacking(void **state)
{
    struct error error;

    (void)state;
    make_n1();
    plan.id[ISAR0] = UINT64_C(0x10000); /* a Raspberry Pi 4 */
    plan.id[ISAR1] = 0;
    assert_false(apply("v8.2", &error));
    assert_int_equal(error.code, EXIT_CODE_HOST);
    assert_non_null(strstr(error.text, "ID_AA64ISAR0.Atomic 0 instead of 2"));
    assert_non_null(strstr(error.text, "ID_AA64ISAR0.RDM 0 instead of 1"));
    assert_non_null(strstr(error.text, "ID_AA64ISAR1.DPB 0 instead of 1"));
    assert_null(strstr(error.text, "CRC32"));
}

/* FP is signed: 15 is less than 0. */
static void test_no_fp(void **state)
{
    struct error error;

    (void)state;
    make_n1();
    plan.id[PFR0] = UINT64_C(0xff0000);
    assert_false(apply("v8.0", &error));
    assert_non_null(strstr(error.text, "ID_AA64PFR0.FP 15 instead of 0"));
}

static void test_refused(void **state)
{
    struct error error;

    (void)state;
    make_n1();
    assert_false(apply("v8.1", &error));
    assert_int_equal(error.code, EXIT_CODE_USAGE);
    assert_non_null(strstr(error.text, "no CPU profile \"v8.1\""));
    for (uint32_t i = 0; profile_name(i) != NULL; i++) {
        assert_non_null(strstr(error.text, profile_name(i)));
    }
    plan.caps.id_registers = false;
    assert_false(apply("v8.0", &error));
    assert_int_equal(error.code, EXIT_CODE_HOST);
    assert_non_null(strstr(error.text, "can't change ID registers"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_lowered),
        cmocka_unit_test(test_lacking),
        cmocka_unit_test(test_no_fp),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
