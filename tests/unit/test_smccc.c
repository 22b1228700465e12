/* SPDX-License-Identifier: Apache-2.0 */
/* SMCCC dispatch, TRNG's neighbours and PV time: identifiers, widths, results. */
#include "tests/support/core_guest.h"

#include "arch/smc.h"
#include "core/pv_time.h"
#include "core/smccc.h"
#include "core/vpsci.h"

#define HVC(imm) (FIELD_PREP(ESR_EL2_EC, EC_HVC64) | ESR_EL2_IL | FIELD_PREP(ISS_HVC_IMM16, imm))
#define SMC(imm) (FIELD_PREP(ESR_EL2_EC, EC_SMC64) | ESR_EL2_IL | FIELD_PREP(ISS_HVC_IMM16, imm))

static int64_t hvc(struct vcpu *vcpu, uint64_t x0, uint64_t x1)
{
    vcpu->regs.x[0] = x0;
    vcpu->regs.x[1] = x1;
    assert_int_equal(smccc_hvc(vcpu, HVC(0)), TRAP_RESUME);
    return (int64_t)vcpu->regs.x[0];
}

static void versions(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    assert_int_equal(hvc(vcpu, SMCCC_VERSION, 0), 0x10002);
    assert_int_equal(hvc(vcpu, PSCI_VERSION, 0), 0x10001);
}

static void upper_half_of_x0_is_ignored(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    assert_int_equal(hvc(vcpu, UINT64_C(0xdeadbeef84000000), 0), 0x10001);
    assert_int_equal(hvc(vcpu, UINT64_C(0xffffffff80000000), 0), 0x10002);
}

static void other_immediates_are_not_supported(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    for (unsigned imm = 1; imm <= 0xffff; imm++) {
        vcpu->regs.x[0] = PSCI_VERSION;
        assert_int_equal(smccc_hvc(vcpu, HVC(imm)), TRAP_RESUME);
        assert_int_equal((int64_t)vcpu->regs.x[0], SMCCC_NOT_SUPPORTED);
        vcpu->regs.x[0] = PSCI_VERSION;
        assert_int_equal(smccc_smc(vcpu, SMC(imm)), TRAP_NEXT);
        assert_int_equal((int64_t)vcpu->regs.x[0], SMCCC_NOT_SUPPORTED);
    }
}

static void smc_moves_on(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    vcpu->regs.x[0] = PSCI_VERSION;
    assert_int_equal(smccc_smc(vcpu, SMC(0)), TRAP_NEXT);
    assert_int_equal(vcpu->regs.x[0], 0x10001);
    assert_int_equal(vcpu->regs.pc, GUEST_PC);
}

static void unknown_functions_touch_only_x0(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    /* Yielding, SiP, OEM, trusted application, trusted OS, vendor hypervisor, 64-bit forms of
     * calls that have none, reserved bits, the SVE hint. */
    static const uint32_t unknown[] = {
        0,          1,          0x04000000, 0x82000000, 0x83000000, 0xb0000000,
        0xb2000000, 0xbf00ff01, 0x8600ff01, 0xc6000000, 0xc0000000, 0xc0000001,
        0xc0008000, 0xc4000000, 0xc4000002, 0xc4000008, 0xc4000009, 0x84010000,
        0x84000020, 0x8400004f, 0x84000060, 0x84ff0000, 0x85000020, 0x85000021,
        0xc5000022, 0x80000002, 0x80000003, 0x8400ffff, 0x84000050, 0xc4000050,
    };

    guest_of(state)->hooks.entropy = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        struct vcpu_regs before;

        for (unsigned n = 0; n < 31; n++)
            vcpu->regs.x[n] = 0x1111 * (n + 1);
        vcpu->regs.x[0] = unknown[i];
        before = vcpu->regs;
        before.x[0] = (uint64_t)-1;
        assert_int_equal(smccc_hvc(vcpu, HVC(0)), TRAP_RESUME);
        assert_memory_equal(&vcpu->regs, &before, sizeof(before));
    }
}

static void features(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, SMCCC_VERSION), 0);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, SMCCC_ARCH_FEATURES), 0);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, SMCCC_ARCH_SOC_ID), -1);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, 0x8000ffff), -1);
    /* x1 is a 32-bit argument of a 32-bit call. */
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, UINT64_C(0x780000000)), 0);
}

static void workarounds_as_the_firmware_says(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    guest->smccc = (struct smccc_host){SMCCC_WA_NOT_NEEDED, SMCCC_WA_NOT_NEEDED, SMCCC_WA_ABSENT};
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, SMCCC_ARCH_WORKAROUND_1), 1);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, SMCCC_ARCH_WORKAROUND_2), 1);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, SMCCC_ARCH_WORKAROUND_3), -1);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_WORKAROUND_1, 0), 0);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_WORKAROUND_2, 1), 0);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_WORKAROUND_3, 0), -1);
}

static unsigned firmware_calls;
static uint64_t firmware_function;
static int64_t firmware_answer[3];

static void firmware(bool hvc, const struct smc_args *args, struct smc_result *ret_result)
{
    int64_t answer = SMCCC_NOT_SUPPORTED;

    assert_false(hvc);
    firmware_calls++;
    firmware_function = args->fn;
    if (args->fn == SMCCC_ARCH_FEATURES) {
        answer = args->a1 == SMCCC_ARCH_WORKAROUND_1   ? firmware_answer[0]
                 : args->a1 == SMCCC_ARCH_WORKAROUND_2 ? firmware_answer[1]
                 : args->a1 == SMCCC_ARCH_WORKAROUND_3 ? firmware_answer[2]
                                                       : SMCCC_NOT_SUPPORTED;
    }
    *ret_result = (struct smc_result){.x0 = (uint64_t)answer};
}

static void a_needed_workaround_goes_to_the_firmware(void **state)
{
    struct test_guest *guest = guest_of(state);

    fake_smc_handler(firmware);
    firmware_calls = 0;
    guest->smccc = (struct smccc_host){SMCCC_WA_NEEDED, SMCCC_WA_NOT_NEEDED, SMCCC_WA_NEEDED};
    assert_int_equal(hvc(guest->vcpu[0], SMCCC_ARCH_FEATURES, SMCCC_ARCH_WORKAROUND_1), 0);
    assert_int_equal(hvc(guest->vcpu[0], SMCCC_ARCH_WORKAROUND_1, 0), 0);
    assert_int_equal(firmware_function, SMCCC_ARCH_WORKAROUND_1);
    assert_int_equal(hvc(guest->vcpu[0], SMCCC_ARCH_WORKAROUND_3, 0), 0);
    assert_int_equal(firmware_function, SMCCC_ARCH_WORKAROUND_3);
    assert_int_equal(hvc(guest->vcpu[0], SMCCC_ARCH_WORKAROUND_2, 0), 0);
    assert_int_equal(firmware_calls, 2);
}

static void discovery(void **state)
{
    static const struct {
        int64_t firmware[3];
        int32_t guest[3];
    } cases[] = {
        {{-1, -1, -1}, {-1, -1, -1}},
        {{0, 0, 0}, {0, 1, 0}}, /* the one that can be switched is on for good */
        {{1, 1, 1}, {1, 1, 1}},
        {{-2, -2, -2}, {-1, 1, -1}},
        {{7, 7, 7}, {-1, -1, -1}},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX}, {-1, -1, -1}},
    };

    (void)state;
    fake_smc_handler(firmware);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct smccc_host host;

        memcpy(firmware_answer, cases[i].firmware, sizeof(firmware_answer));
        smccc_host_discover(&host, true);
        assert_int_equal(host.workaround_1, cases[i].guest[0]);
        assert_int_equal(host.workaround_2, cases[i].guest[1]);
        assert_int_equal(host.workaround_3, cases[i].guest[2]);
    }
}

static void merging_workarounds(void **state)
{
    (void)state;
    struct smccc_host a = {SMCCC_WA_NOT_NEEDED, SMCCC_WA_NOT_NEEDED, SMCCC_WA_NEEDED};
    const struct smccc_host b = {SMCCC_WA_NEEDED, SMCCC_WA_ABSENT, SMCCC_WA_NOT_NEEDED};

    smccc_host_merge(&a, &b);
    assert_int_equal(a.workaround_1, SMCCC_WA_NEEDED);
    assert_int_equal(a.workaround_2, SMCCC_WA_ABSENT);
    assert_int_equal(a.workaround_3, SMCCC_WA_NEEDED);
}

static void no_firmware_no_workaround(void **state)
{
    (void)state;
    struct smccc_host host;

    smccc_host_discover(&host, false);
    assert_int_equal(host.workaround_1, SMCCC_WA_ABSENT);
    assert_int_equal(host.workaround_2, SMCCC_WA_ABSENT);
    assert_int_equal(host.workaround_3, SMCCC_WA_ABSENT);
}

static void pv_time(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, PV_TIME_FEATURES), -1);
    assert_int_equal(hvc(vcpu, PV_TIME_FEATURES, PV_TIME_ST), -1);
    assert_int_equal(hvc(vcpu, PV_TIME_ST, 0), -1);

    vcpu->pv_time = ipa(0x090f0040);
    assert_int_equal(hvc(vcpu, SMCCC_ARCH_FEATURES, PV_TIME_FEATURES), 0);
    assert_int_equal(hvc(vcpu, PV_TIME_FEATURES, PV_TIME_ST), 0);
    assert_int_equal(hvc(vcpu, PV_TIME_FEATURES, PV_TIME_FEATURES), 0);
    assert_int_equal(hvc(vcpu, PV_TIME_FEATURES, PSCI_VERSION), -1);
    assert_int_equal(hvc(vcpu, PV_TIME_ST, 0), 0x090f0040);
    assert_int_equal(hvc(vcpu, 0x85000020, PV_TIME_ST), -1);
}

static void pv_time_record(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    struct pv_time_record record;

    vcpu->stolen_ticks = 62500000;
    pv_time_fill(vcpu, 62500000, &record);
    assert_int_equal(record.stolen_ns, 1000000000);
    assert_int_equal(record.revision, 0);
    assert_int_equal(record.attributes, 0);
    /* 500 years at 1 GHz do not overflow on the way; a small rest is not lost. */
    vcpu->stolen_ticks = UINT64_C(0xdfffffffffffffff);
    pv_time_fill(vcpu, 1000000000, &record);
    assert_int_equal(record.stolen_ns, UINT64_C(0xdfffffffffffffff));
    vcpu->stolen_ticks = 1;
    pv_time_fill(vcpu, 62500000, &record);
    assert_int_equal(record.stolen_ns, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(versions),
        GUEST_TEST(upper_half_of_x0_is_ignored),
        GUEST_TEST(other_immediates_are_not_supported),
        GUEST_TEST(smc_moves_on),
        GUEST_TEST(unknown_functions_touch_only_x0),
        GUEST_TEST(features),
        GUEST_TEST(workarounds_as_the_firmware_says),
        GUEST_TEST(a_needed_workaround_goes_to_the_firmware),
        GUEST_TEST(discovery),
        GUEST_TEST(merging_workarounds),
        GUEST_TEST(no_firmware_no_workaround),
        GUEST_TEST(pv_time),
        GUEST_TEST(pv_time_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
