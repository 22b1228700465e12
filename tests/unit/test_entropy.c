/* SPDX-License-Identifier: Apache-2.0 */
/* The block function against RFC 8439's example; the generator's promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "el2/entropy.h"

/* RFC 8439, 2.3.2. */
static void block_is_chacha20(void **state)
{
    static const uint32_t nonce[3] = {0x09000000, 0x4a000000, 0x00000000};
    static const uint32_t want[16] = {
        0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
        0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
        0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
    };
    uint32_t key[8];
    uint32_t block[16];
    unsigned char bytes[32];

    (void)state;
    for (unsigned int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    memcpy(key, bytes, sizeof(key));
    entropy_block(key, 1, nonce, block);
    assert_memory_equal(block, want, sizeof(want));
}

static void nothing_without_a_seed(void **state)
{
    struct entropy entropy;
    unsigned char out[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const unsigned char before[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    unsigned char seed[32] = {7};

    (void)state;
    entropy_init(&entropy);
    assert_false(entropy_fill(&entropy, out, sizeof(out)));
    entropy_add(&entropy, seed, 31);
    assert_false(entropy_fill(&entropy, out, sizeof(out)));
    assert_memory_equal(out, before, sizeof(out));
    entropy_add(&entropy, seed, 32);
    assert_true(entropy_fill(&entropy, out, sizeof(out)));
    assert_memory_not_equal(out, before, sizeof(out));
}

static void output_never_repeats_and_depends_on_the_seed(void **state)
{
    struct entropy a, b;
    unsigned char seed[40] = {1};
    unsigned char out[64][24];
    unsigned char other[24];

    (void)state;
    entropy_init(&a);
    entropy_init(&b);
    entropy_add(&a, seed, sizeof(seed));
    seed[39] = 1; /* the last byte counts as much as the first */
    entropy_add(&b, seed, sizeof(seed));
    assert_true(entropy_fill(&b, other, sizeof(other)));
    for (unsigned int i = 0; i < 64; i++) {
        assert_true(entropy_fill(&a, out[i], sizeof(out[i])));
        assert_memory_not_equal(out[i], other, sizeof(other));
        for (unsigned int j = 0; j < i; j++)
            assert_memory_not_equal(out[i], out[j], sizeof(out[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_is_chacha20),
        cmocka_unit_test(nothing_without_a_seed),
        cmocka_unit_test(output_never_repeats_and_depends_on_the_seed),
    };

    return cmocka_run_group_tests_name("entropy", tests, NULL, NULL);
}
