/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SMC Calling Convention (DEN0028), TRNG (DEN0098) and PV time (DEN0057) from the guest's side.
 * Boot arguments: calls=N random unknown functions to try (default 2000).
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_smccc";

#define TRNG_INVALID (-2)

static uint64_t call2(uint64_t function, uint64_t a1)
{
    return (uint64_t)smccc_call(function, a1, 0, 0);
}

static void fill(struct smccc_regs *regs, uint64_t function)
{
    regs->x[0] = function;
    for (unsigned i = 1; i < ARRAY_SIZE(regs->x); i++) {
        regs->x[i] = UINT64_C(0x1111111111111111) * (i % 16u) ^ function << 32;
    }
}

/* x4..x17 are the caller's (SMCCC 1.1 and later; x1..x3 may be results). */
static bool kept(const struct smccc_regs *before, const struct smccc_regs *after)
{
    return memcmp(&before->x[4], &after->x[4], sizeof(before->x) - 4 * sizeof(uint64_t)) == 0;
}

/* One function that nobody has, by one conduit. */
static bool is_denied(uint64_t function, bool smc)
{
    struct smccc_regs before;
    struct smccc_regs after;

    fill(&before, function);
    after = before;
    if (smc) {
        smccc_smc(&after);
    } else {
        smccc_hvc(&after);
    }
    if (after.x[0] == (uint64_t)PSCI_NOT_SUPPORTED && kept(&before, &after)) {
        return true;
    }
    tap_note("0x%lx by %s: x0 0x%lx", function, smc ? "SMC" : "HVC", after.x[0]);
    return false;
}

/* Owners 6 (vendor hypervisor) to 63, except the standard ones with real functions. */
static void test_unknown(bool smc)
{
    uint64_t seed = smc ? 7 : 5;
    uint64_t calls = bootarg_number("calls", 2000);
    uint64_t denied = 0;

    if (smc && machine_is_bare()) {
        tap_skip("bare", "unknown functions by SMC");
        return;
    }
    for (uint64_t i = 0; i < calls; i++) {
        uint64_t random = random_next(&seed);
        uint32_t owner = 7u + (uint32_t)(random % 57u);
        uint32_t function = owner << 24 | (uint32_t)(random >> 32 & 0xc000ffffu);

        denied += is_denied(function, smc);
    }
    tap_equal(denied, calls, "unknown functions by %s: NOT_SUPPORTED, x4 and up kept",
              smc ? "SMC" : "HVC");
}

static void test_known_numbers_denied(void)
{
    static const uint32_t numbers[] = {
        0x80000004u, 0x8000ffffu, 0xc000ff00u, 0x84000200u, 0x8400ff01u, 0xc4000200u, 0x82000000u,
        0xc2000000u, 0x83000001u, 0xc5000099u, 0x00000000u, 0x04000000u, 0xffffffffu, 0x7fffffffu};
    bool all = true;

    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        all = is_denied(numbers[i], false) && all;
    }
    tap_ok(all, "unknown functions of the standard services: NOT_SUPPORTED");
}

static void test_upper_halves(void)
{
    uint64_t junk = UINT64_C(0xdeadbeef) << 32;
    uint64_t version = call2(PSCI_VERSION, 0);

    if (machine_is_bare()) {
        tap_skip("bare", "the upper half of x0 is ignored");
    } else {
        tap_equal(call2(junk | PSCI_VERSION, 0), version, "the upper half of x0 is ignored");
    }
    tap_equal(
        (uint64_t)smccc_call(PSCI_32BIT(PSCI_AFFINITY_INFO), junk | machine.mpidr[0], junk, junk),
        PSCI_STATE_ON, "the upper halves of a 32-bit call's arguments are ignored");
}

static void test_arch(void)
{
    static const uint32_t workarounds[] = {SMCCC_ARCH_WORKAROUND_1, SMCCC_ARCH_WORKAROUND_2,
                                           SMCCC_ARCH_WORKAROUND_3};
    uint64_t version = call2(SMCCC_VERSION, 0);

    tap_ok(version >= 0x10002 && version < 0x20000, "SMCCC_VERSION is 1.2 or a later 1.x (0x%lx)",
           version);
    tap_equal(call2(SMCCC_ARCH_FEATURES, SMCCC_VERSION), 0, "ARCH_FEATURES knows SMCCC_VERSION");
    tap_equal(call2(SMCCC_ARCH_FEATURES, SMCCC_ARCH_FEATURES), 0, "ARCH_FEATURES knows itself");
    tap_equal(call2(SMCCC_ARCH_FEATURES, 0x80001234u), (uint64_t)PSCI_NOT_SUPPORTED,
              "ARCH_FEATURES denies what isn't there");
    for (unsigned i = 0; i < ARRAY_SIZE(workarounds); i++) {
        int64_t answer = smccc_call(SMCCC_ARCH_FEATURES, workarounds[i], 0, 0);
        bool fine = answer >= -2 && answer <= 1;

        if (answer >= 0) {
            smccc_call(workarounds[i], 0, 0, 0);
        }
        tap_ok(fine, "ARCH_WORKAROUND_%u: %ld, and can be called if it is there", i + 1, answer);
    }
}

static void test_trng_rnd64(void)
{
    struct smccc_regs first = {.x = {TRNG_RND64, 192}};
    struct smccc_regs second = first;

    smccc_hvc(&first);
    smccc_hvc(&second);
    tap_ok(first.x[0] == 0 && second.x[0] == 0, "TRNG_RND64 gives 192 bits");
    tap_ok(memcmp(&first.x[1], &second.x[1], 24) != 0 && (first.x[1] | first.x[2] | first.x[3]),
           "not the same ones twice");
    second = (struct smccc_regs){.x = {TRNG_RND64, 5, 1, 1}};
    smccc_hvc(&second);
    tap_ok(second.x[0] == 0 && second.x[1] == 0 && second.x[2] == 0 && second.x[3] < 32,
           "5 bits are in the low bits of x3, the rest is 0");
    tap_equal(call2(TRNG_RND64, 0), (uint64_t)TRNG_INVALID, "TRNG_RND64 of 0 bits");
    tap_equal(call2(TRNG_RND64, 193), (uint64_t)TRNG_INVALID, "TRNG_RND64 of 193 bits");
    tap_equal(call2(TRNG_RND32, 97), (uint64_t)TRNG_INVALID, "TRNG_RND32 of 97 bits");
    second = (struct smccc_regs){.x = {TRNG_RND32, 96}};
    smccc_hvc(&second);
    tap_ok(second.x[0] == 0 && (second.x[1] | second.x[2] | second.x[3]) <= UINT32_MAX,
           "TRNG_RND32 gives 96 bits in the lower halves");
}

static void test_trng(void)
{
    int64_t version = smccc_call(TRNG_VERSION, 0, 0, 0);

    if (version < 0) {
        tap_skip("not offered", "TRNG");
        return;
    }
    tap_ok(version >= 0x10000 && version < 0x20000, "TRNG_VERSION is 1.x (0x%lx)",
           (uint64_t)version);
    tap_ok(smccc_call(TRNG_FEATURES, TRNG_RND64, 0, 0) >= 0 &&
               smccc_call(TRNG_FEATURES, TRNG_RND32, 0, 0) >= 0 &&
               smccc_call(TRNG_FEATURES, TRNG_GET_UUID, 0, 0) >= 0,
           "TRNG_FEATURES knows the calls");
    tap_equal(call2(TRNG_FEATURES, 0x8400005fu), (uint64_t)PSCI_NOT_SUPPORTED,
              "TRNG_FEATURES denies what isn't there");
    tap_ok(smccc_call(TRNG_GET_UUID, 0, 0, 0) != PSCI_NOT_SUPPORTED, "TRNG_GET_UUID");
    test_trng_rnd64();
}

static void test_pv_time(void)
{
    int64_t base;
    uint64_t stolen;

    if (smccc_call(SMCCC_ARCH_FEATURES, PV_TIME_FEATURES, 0, 0) < 0) {
        tap_skip("not offered", "PV time");
        return;
    }
    tap_equal(call2(PV_TIME_FEATURES, PV_TIME_ST), 0, "PV_TIME_FEATURES knows PV_TIME_ST");
    base = smccc_call(PV_TIME_ST, 0, 0, 0);
    if (!tap_ok(base > 0 && base % 64 == 0, "PV_TIME_ST gives an address (0x%lx)",
                (uint64_t)base)) {
        return;
    }
    tap_equal(read32((uint64_t)base), 0, "revision 0");
    tap_equal(read32((uint64_t)base + 4), 0, "attributes 0");
    stolen = read64((uint64_t)base + 8);
    timer_spin_us(20000);
    tap_ok(read64((uint64_t)base + 8) >= stolen && stolen < UINT64_C(1) << 62,
           "stolen time does not go back");
    tap_equal((uint64_t)smccc_call(PV_TIME_ST, 0, 0, 0), (uint64_t)base, "the address stays");
}

void payload_main(void)
{
    if (machine_is_bare()) {
        tap_skip("bare", "SMCCC_VERSION, ARCH_FEATURES");
    } else {
        test_arch();
        test_known_numbers_denied();
    }
    test_unknown(false);
    test_unknown(true);
    test_upper_halves();
    test_trng();
    test_pv_time();
    tap_done();
}
