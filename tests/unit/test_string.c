/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The freestanding image's memory and string functions, under other names beside the C library's,
 * which they are compared with: all small sizes and alignments, and every overlap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define memcpy our_memcpy
#define memmove our_memmove
#define memset our_memset
#define memcmp our_memcmp
#define memchr our_memchr
#define strlen our_strlen
#define strnlen our_strnlen
#define strcmp our_strcmp
#define strncmp our_strncmp
#define strchr our_strchr
#define strrchr our_strrchr
#include "el2/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr

#define ROOM 256
#define SIZE_TESTED 150

static void fill(uint8_t *bytes, size_t size, unsigned int seed)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(i * 7 + seed);
    }
}

static void test_memcpy(void **state)
{
    uint8_t from[ROOM] __attribute__((aligned(16)));
    uint8_t to[ROOM] __attribute__((aligned(16)));
    uint8_t expected[ROOM];

    for (size_t a = 0; a < 9; a++) {
        for (size_t b = 0; b < 9; b++) {
            for (size_t size = 0; size < SIZE_TESTED; size++) {
                fill(from, ROOM, 1);
                fill(to, ROOM, 99);
                memcpy(expected, to, ROOM);
                memcpy(&expected[a], &from[b], size);
                assert_ptr_equal(our_memcpy(&to[a], &from[b], size), &to[a]);
                assert_memory_equal(to, expected, ROOM);
            }
        }
    }
}

static void test_memmove(void **state)
{
    uint8_t bytes[ROOM] __attribute__((aligned(16)));
    uint8_t expected[ROOM] __attribute__((aligned(16)));

    for (size_t from = 0; from < 100; from++) {
        for (size_t to = 0; to < 100; to++) {
            for (size_t size = 0; size < SIZE_TESTED; size += size < 20 ? 1 : 13) {
                fill(bytes, ROOM, 5);
                fill(expected, ROOM, 5);
                memmove(&expected[to], &expected[from], size);
                assert_ptr_equal(our_memmove(&bytes[to], &bytes[from], size), &bytes[to]);
                assert_memory_equal(bytes, expected, ROOM);
            }
        }
    }
}

static void test_memset(void **state)
{
    uint8_t bytes[ROOM] __attribute__((aligned(16)));
    uint8_t expected[ROOM];

    for (size_t at = 0; at < 17; at++) {
        for (size_t size = 0; size < SIZE_TESTED; size++) {
            fill(bytes, ROOM, 3);
            fill(expected, ROOM, 3);
            memset(&expected[at], 0xa5, size);
            assert_ptr_equal(our_memset(&bytes[at], 0x3a5, size), &bytes[at]);
            assert_memory_equal(bytes, expected, ROOM);
        }
    }
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void test_comparisons(void **state)
{
    static const char *const words[] = {"", "a", "ab", "abc", "abd", "b", "\xff", "a\xff"};

    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < 8; j++) {
            assert_int_equal(sign(our_strcmp(words[i], words[j])),
                             sign(strcmp(words[i], words[j])));
            for (size_t size = 0; size < 4; size++) {
                assert_int_equal(sign(our_strncmp(words[i], words[j], size)),
                                 sign(strncmp(words[i], words[j], size)));
            }
        }
    }
    assert_int_equal(our_memcmp("a\0b", "a\0c", 2), 0);
    assert_true(our_memcmp("a\0b", "a\0c", 3) < 0);
    assert_true(our_memcmp("\xff", "\x01", 1) > 0);
    assert_int_equal(our_memcmp("x", "y", 0), 0);
}

static void test_searches(void **state)
{
    const char *text = "find the d";

    assert_int_equal(our_strlen(""), 0);
    assert_int_equal(our_strlen(text), 10);
    assert_int_equal(our_strnlen(text, 4), 4);
    assert_int_equal(our_strnlen(text, 40), 10);
    assert_ptr_equal(our_strchr(text, 'd'), text + 3);
    assert_ptr_equal(our_strrchr(text, 'd'), text + 9);
    assert_ptr_equal(our_strchr(text, '\0'), text + 10);
    assert_ptr_equal(our_strrchr(text, '\0'), text + 10);
    assert_null(our_strchr(text, 'z'));
    assert_null(our_strrchr(text, 'z'));
    assert_ptr_equal(our_memchr(text, 'd', 10), text + 3);
    assert_null(our_memchr(text, 'd', 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memcpy),   cmocka_unit_test(test_memmove),
        cmocka_unit_test(test_memset),   cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_searches),
    };

    return cmocka_run_group_tests_name("string", tests, NULL, NULL);
}
