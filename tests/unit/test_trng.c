/* SPDX-License-Identifier: Apache-2.0 */
/* DEN0098: which bits of which result register, and every wrong argument. */
#include "tests/support/core_guest.h"

#include "core/smccc.h"
#include "core/trng.h"

#define ALL_BITS UINT64_C(0xfedcba9876543210)

static unsigned entropy_calls;
static unsigned entropy_left;

static bool entropy(struct vm *vm, uint64_t *ret_bits)
{
    (void)vm;
    if (entropy_left == 0)
        return false;
    entropy_left--;
    entropy_calls++;
    *ret_bits = ALL_BITS;
    return true;
}

static int64_t call(struct vcpu *vcpu, uint32_t function, uint64_t x1)
{
    for (unsigned n = 0; n < 31; n++)
        vcpu->regs.x[n] = 0x1111 * (n + 1);
    vcpu->regs.x[0] = function;
    vcpu->regs.x[1] = x1;
    entropy_calls = 0;
    assert_int_equal(smccc_hvc(vcpu, FIELD_PREP(ESR_EL2_EC, EC_HVC64) | ESR_EL2_IL), TRAP_RESUME);
    assert_int_equal(vcpu->regs.x[4], 0x5555);
    return (int64_t)vcpu->regs.x[0];
}

static struct vcpu *ready(void **state)
{
    guest_of(state)->hooks.entropy = entropy;
    entropy_left = 100;
    return guest_of(state)->vcpu[0];
}

static void version_features_uuid(void **state)
{
    struct vcpu *vcpu = ready(state);
    static const uint32_t known[] = {TRNG_VERSION, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND32,
                                     TRNG_RND64};

    assert_int_equal(call(vcpu, TRNG_VERSION, 0), 0x10000);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        assert_int_equal(call(vcpu, TRNG_FEATURES, known[i]), 0);
    assert_int_equal(call(vcpu, TRNG_FEATURES, 0x84000054), -1);
    assert_int_equal(call(vcpu, TRNG_FEATURES, 0xc4000050), -1);
    assert_int_not_equal(call(vcpu, TRNG_GET_UUID, 0), -1);
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(vcpu->regs.x[n] >> 32, 0);
}

static void absent_without_entropy_source(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    guest_of(state)->hooks.entropy = NULL;
    for (uint32_t f = 0x84000050; f <= 0x8400005f; f++) {
        assert_int_equal(call(vcpu, f, 64), -1);
        assert_int_equal(call(vcpu, f | 0x40000000, 64), -1);
    }
}

/* Every legal size, for both widths: exactly so many bits, from the lowest of x3 upwards. */
static void all_sizes(void **state)
{
    struct vcpu *vcpu = ready(state);

    for (unsigned wide = 0; wide < 2; wide++) {
        unsigned width = wide ? 64 : 32;

        for (unsigned bits = 1; bits <= 3 * width; bits++) {
            entropy_left = 3;
            assert_int_equal(call(vcpu, wide ? TRNG_RND64 : TRNG_RND32, bits), 0);
            assert_int_equal(entropy_calls, (bits + width - 1) / width);
            for (unsigned word = 0; word < 3; word++) {
                unsigned from = word * width;
                unsigned here = bits <= from ? 0 : bits - from > width ? width : bits - from;
                uint64_t mask = here == 0 ? 0 : UINT64_MAX >> (64 - here);

                assert_int_equal(vcpu->regs.x[3 - word], ALL_BITS & mask);
            }
        }
    }
}

static void wrong_sizes(void **state)
{
    struct vcpu *vcpu = ready(state);
    static const struct {
        uint32_t function;
        uint64_t bits;
    } wrong[] = {
        {TRNG_RND32, 0},
        {TRNG_RND32, 97},
        {TRNG_RND32, UINT32_MAX},
        {TRNG_RND64, 0},
        {TRNG_RND64, 193},
        {TRNG_RND64, UINT64_C(0x100000040)},
        {TRNG_RND32, UINT64_C(0x100000000)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(call(vcpu, wrong[i].function, wrong[i].bits), -2);
        for (unsigned n = 1; n < 4; n++)
            assert_int_equal(vcpu->regs.x[n], 0);
    }
    /* The upper half of a 32-bit call's argument does not count. */
    assert_int_equal(call(vcpu, TRNG_RND32, UINT64_C(0x100000020)), 0);
}

static void no_entropy_gives_no_bits_at_all(void **state)
{
    struct vcpu *vcpu = ready(state);

    for (entropy_left = 0; entropy_left < 3;) {
        unsigned had = entropy_left;

        assert_int_equal(call(vcpu, TRNG_RND64, 192), -3);
        for (unsigned n = 1; n < 4; n++)
            assert_int_equal(vcpu->regs.x[n], 0);
        entropy_left = had + 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(version_features_uuid),
        GUEST_TEST(absent_without_entropy_source),
        GUEST_TEST(all_sizes),
        GUEST_TEST(wrong_sizes),
        GUEST_TEST(no_entropy_gives_no_bits_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
