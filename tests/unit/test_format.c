/* SPDX-License-Identifier: Apache-2.0 */
/* The small printf against the C library's, and what happens when there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "el2/format.h"

#define SAME(...) \
    do { \
        char ours[128]; \
        char theirs[128]; \
        size_t length = format(ours, sizeof(ours), __VA_ARGS__); \
        snprintf(theirs, sizeof(theirs), __VA_ARGS__); \
        assert_string_equal(ours, theirs); \
        assert_int_equal(length, strlen(theirs)); \
    } while (0)

static void test_same(void **state)
{
    (void)state;
    SAME("plain %% %s|%10s|%-10s|%.3s|%*s|%.*s", "text", "right", "left", "cut off", 7, "star",
         2, "abc");
    SAME("%c%5c%-5c|", 'x', 'y', 'z');
    SAME("%d %i %5d %-5d| %05d %d %d", 0, -1, 42, 42, -42, INT32_MAX, INT32_MIN);
    SAME("%u %lu %llu %zu", 7u, 8ul, 9ull, (size_t)10);
    SAME("%ld %lld %lld", -5l, (long long)INT64_MAX, (long long)INT64_MIN);
    SAME("%x %X %08x %-8x| %lx %016llx", 0xabcu, 0xabcu, 0x12u, 0x12u, UINT64_MAX, 0x55ull);
    SAME("%lu", UINT64_MAX);
}

static void test_own(void **state)
{
    const char *volatile nothing = NULL; /* the compiler would know better */
    char text[64];

    (void)state;
    format(text, sizeof(text), "%p", (void *)(uintptr_t)0x40080000);
    assert_string_equal(text, "0x0000000040080000");
    format(text, sizeof(text), "%s", nothing);
    assert_string_equal(text, "(null)");
}

static void test_room(void **state)
{
    char text[8] = "zzzzzzz";

    (void)state;
    assert_int_equal(format(text, 0, "%s", "long"), 4);
    assert_int_equal(text[0], 'z');
    assert_int_equal(format(text, 1, "%s", "long"), 4);
    assert_string_equal(text, "");
    assert_int_equal(format(text, 5, "%d-%d", 1000, 2000), 9);
    assert_string_equal(text, "1000");
    assert_int_equal(text[5], 'z');
}

static void keep(void *context, const char *sentence)
{
    snprintf(context, 1024, "%s", sentence);
}

static void test_report(void **state)
{
    char long_text[1024];
    char said[1024] = "";
    struct report report = {keep, said};

    (void)state;
    report_say(&report, "%s: %u", "a", 1u);
    assert_string_equal(said, "a: 1");
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    report_say(&report, "%s", long_text);
    assert_int_equal(strlen(said), REPORT_SENTENCE_MAX - 1);
    assert_string_equal(said + REPORT_SENTENCE_MAX - 4, "...");
    report.say = NULL;
    report_say(&report, "nobody listens");
    report_say(NULL, "nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_report),
    };

    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
