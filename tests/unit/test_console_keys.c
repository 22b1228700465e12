/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console multiplexer's input: where typed bytes go, and the command keys. And a property of
 * its output: random bytes of two guests never get into each other's lines.
 */
#include "console_mux_fixture.h"

static void test_typed_bytes_reach_the_focused_guest(void **state)
{
    struct fixture *f = *state;
    struct mux_event event = mux_input(&f->mux, 'x');

    assert_int_equal(event.kind, MUX_EVENT_INPUT);
    assert_int_equal(event.guest, 0);
    (void)mux_input(&f->mux, 'y');
    assert_int_equal(mux_rx_peek(&f->mux, 0), 'x');
    assert_int_equal(mux_rx_peek(&f->mux, 0), 'x');
    mux_rx_pop(&f->mux, 0);
    assert_int_equal(mux_rx_peek(&f->mux, 0), 'y');
    mux_rx_pop(&f->mux, 0);
    assert_int_equal(mux_rx_peek(&f->mux, 0), -1);
    mux_rx_pop(&f->mux, 0);
    assert_int_equal(mux_rx_peek(&f->mux, 1), -1);
}

static void test_typed_bytes_are_bounded(void **state)
{
    struct fixture *f = *state;
    unsigned int count = 0;

    for (unsigned int i = 0; i < 1000; i++) {
        (void)mux_input(&f->mux, (uint8_t)('0' + i % 10));
    }
    for (; mux_rx_peek(&f->mux, 0) >= 0; count++) {
        assert_int_equal(mux_rx_peek(&f->mux, 0), '0' + count % 10);
        mux_rx_pop(&f->mux, 0);
    }
    assert_int_equal(count, MUX_INPUT);
}

static void test_command_keys(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mux_input(&f->mux, 1).kind, MUX_EVENT_NONE);
    assert_int_equal(mux_input(&f->mux, 'x').kind, MUX_EVENT_QUIT);
    (void)mux_input(&f->mux, 1);
    assert_int_equal(mux_input(&f->mux, 's').kind, MUX_EVENT_STATS);
    (void)mux_input(&f->mux, 1);
    assert_int_equal(mux_input(&f->mux, 1).kind, MUX_EVENT_INPUT);
    assert_int_equal(mux_rx_peek(&f->mux, 0), 1);
    (void)mux_input(&f->mux, 1);
    (void)mux_input(&f->mux, 'h');
    assert_non_null(strstr(drain(f), "Ctrl-A 2  type to b\r\n"));
    assert_non_null(strstr(f->screen, "Ctrl-A 1  type to a  <- now\r\n"));
}

static void test_focus_follows_the_digit(void **state)
{
    struct fixture *f = *state;

    send(f, 1, "b> ");
    (void)drain_at_deadline(f);
    (void)mux_input(&f->mux, 1);
    (void)mux_input(&f->mux, '2');
    assert_int_equal(f->mux.focus, 1);
    assert_string_equal(drain(f), "\r\n" OWN "typing to b (Ctrl-A h for help)\r\n" B "b> ");
    (void)mux_input(&f->mux, 'z');
    assert_int_equal(mux_rx_peek(&f->mux, 1), 'z');
    (void)mux_input(&f->mux, 1);
    (void)mux_input(&f->mux, '9');
    assert_int_equal(f->mux.focus, 1);
    assert_non_null(strstr(drain(f), "no such guest"));
    (void)mux_input(&f->mux, 1);
    (void)mux_input(&f->mux, 'n');
    assert_int_equal(f->mux.focus, 0);
}

static void test_reset_finishes_the_line_and_forgets_input(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "cut \033[3");
    (void)mux_input(&f->mux, 'x');
    mux_guest_reset(&f->mux, 0);
    assert_int_equal(mux_rx_peek(&f->mux, 0), -1);
    send(f, 0, "1mnew\n");
    assert_string_equal(drain(f), A "cut\x20\r\n" A "1mnew\r\n");
    mux_guest_reset(&f->mux, 0);
    assert_string_equal(drain(f), "");
}

static void test_unknown_guests_are_ignored(void **state)
{
    struct fixture *f = *state;

    assert_true(mux_guest_tx(&f->mux, 2, 'x', f->now));
    assert_true(mux_guest_tx(&f->mux, MUX_GUEST_MAX, '\n', f->now));
    mux_guest_reset(&f->mux, MUX_GUEST_MAX);
    mux_guest_show(&f->mux, MUX_GUEST_MAX);
    mux_add_guest(&f->mux, MUX_GUEST_MAX, "no");
    assert_string_equal(drain(f), "");
}

/* The property behind all of it: replay what comes out on a small terminal; every line starts with
 * the name of the guest that wrote it, and no guest's text is in another's line. */
static void check_screen(const char *text, size_t size)
{
    char line[4096] = "";
    size_t at = 0;

    for (size_t i = 0; i < size; i++) {
        char byte = text[i];

        if (byte == '\r') {
            at = 0;
        } else if (byte == '\n') {
            bool is_a = strncmp(line, "[a] ", 4) == 0;

            assert_true(is_a || strncmp(line, "[b] ", 4) == 0);
            assert_null(strpbrk(line + 4, is_a ? "BYZ" : "AXW"));
            memset(line, 0, sizeof(line));
            at = 0;
        } else if (byte == '\033') {
            unsigned long count = strtoul(&text[i + 2], NULL, 10);

            assert_int_equal(text[i + 1], '[');
            i += 2;
            i += strspn(&text[i], "0123456789;:");
            assert_non_null(strchr("mKD", text[i]));
            if (text[i] == 'K') {
                memset(&line[at], 0, sizeof(line) - at);
            } else if (text[i] == 'D') {
                assert_true(at >= count + 4);
                at -= count;
            }
        } else {
            assert_in_range(byte, ' ', '~');
            assert_true(at < sizeof(line) - 1);
            line[at++] = byte;
        }
    }
}

static void test_random_bytes_stay_in_their_own_lines(void **state)
{
    struct fixture *f = *state;
    static const char tokens[] = "\033[[[]mKDCJHn01259;;::?\n\n\r\r\b\b\t\a\\P\x9b\xc2";
    char *all = calloc(1, 1 << 22);
    size_t length = 0;
    uint32_t seed = 12345;

    assert_non_null(all);
    for (unsigned int i = 0; i < 300000; i++) {
        unsigned int guest;
        uint8_t byte;

        seed = seed * 1664525 + 1013904223;
        guest = seed >> 31;
        byte = (uint8_t)tokens[(seed >> 16) % (sizeof(tokens) - 1)];
        if ((seed >> 8) % 3 == 0) {
            byte = (uint8_t)("AXWBYZ"[guest * 3 + (seed >> 12) % 3]);
        }
        /* The final bytes, D apart, are in neither guest's alphabet. */
        (void)mux_guest_tx(&f->mux, guest, byte, f->now++);
        if ((seed >> 24) % 8 == 0) {
            (void)drain_by(f, 7);
            memcpy(&all[length], f->screen, f->length);
            length += f->length;
            assert_true(length < (1 << 22) - sizeof(f->screen));
        }
        assert_true(f->mux.source[guest].length <= MUX_LINE);
        assert_true(f->mux.source[guest].fixed + f->mux.source[guest].back <=
                    f->mux.source[guest].length);
    }
    check_screen(all, length);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_typed_bytes_reach_the_focused_guest),
        TEST(test_typed_bytes_are_bounded),
        TEST(test_command_keys),
        TEST(test_focus_follows_the_digit),
        TEST(test_reset_finishes_the_line_and_forgets_input),
        TEST(test_unknown_guests_are_ignored),
        TEST(test_random_bytes_stay_in_their_own_lines),
    };

    return cmocka_run_group_tests_name("console_keys", tests, NULL, NULL);
}
