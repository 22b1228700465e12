/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console multiplexer's output: whose line is where on the screen, what gets through of a
 * guest's control codes, and who waits for whom.
 */
#include "console_mux_fixture.h"

static void test_a_line_gets_name_and_colour(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "hello\r\n");
    send(f, 1, "world\n");
    mux_print(&f->mux, "text");
    assert_string_equal(drain_by(f, 3), B "world\r\n" OWN "text\r\n" A "hello\r\n");
    assert_int_equal(mux_deadline(&f->mux), UINT64_MAX);
}

static void test_an_empty_line_is_a_line(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "\n\r\n");
    assert_string_equal(drain(f), A "\r\n" A "\r\n");
}

static void test_a_long_line_is_split(void **state)
{
    struct fixture *f = *state;
    char expected[1024];
    char text[MUX_LINE + 6];

    memset(text, 'x', sizeof(text));
    memcpy(&text[MUX_LINE], "tail\n", 6);
    send(f, 0, text);
    snprintf(expected, sizeof(expected), A "%.*s\r\n" A "tail\r\n", (int)MUX_LINE, text);
    assert_string_equal(drain(f), expected);
}

static void test_a_line_of_exactly_the_limit_is_not_split(void **state)
{
    struct fixture *f = *state;
    char expected[1024];
    char text[MUX_LINE + 2];

    memset(text, 'x', sizeof(text));
    memcpy(&text[MUX_LINE], "\n", 2);
    send(f, 0, text);
    snprintf(expected, sizeof(expected), A "%.*s\r\n", (int)MUX_LINE, text);
    assert_string_equal(drain(f), expected);
}

static void test_a_prompt_is_shown_after_a_while(void **state)
{
    struct fixture *f = *state;

    send(f, 1, "login: ");
    assert_string_equal(drain(f), "");
    assert_int_equal(mux_deadline(&f->mux), f->now + DELAY);
    assert_string_equal(drain_at_deadline(f), B "login: ");
    assert_int_equal(mux_deadline(&f->mux), UINT64_MAX);
    send(f, 1, "root\n");
    assert_string_equal(drain(f), "root\r\n");
}

static void test_the_focused_guest_is_shown_sooner(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "# ");
    assert_int_equal(mux_deadline(&f->mux), f->now + FOCUS_DELAY);
    assert_string_equal(drain_at_deadline(f), A "# ");
    send(f, 0, "l");
    assert_string_equal(drain_at_deadline(f), "l");
    send(f, 0, "s");
    assert_string_equal(drain_at_deadline(f), "s");
    send(f, 0, "\r\n");
    assert_string_equal(drain(f), "\r\n");
}

static void test_a_prompt_can_be_asked_for(void **state)
{
    struct fixture *f = *state;

    mux_guest_show(&f->mux, 1);
    assert_string_equal(drain(f), "");
    send(f, 1, "? ");
    mux_guest_show(&f->mux, 1);
    assert_int_equal(mux_deadline(&f->mux), 0);
    assert_string_equal(drain(f), B "? ");
}

static void test_an_interrupted_prompt_comes_back(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "# ");
    (void)drain_at_deadline(f);
    send(f, 1, "news\n");
    assert_string_equal(drain(f), "\r\n" B "news\r\n");
    assert_int_equal(mux_deadline(&f->mux), f->now + DELAY);
    assert_string_equal(drain_at_deadline(f), A "# ");
    send(f, 0, "x\n");
    assert_string_equal(drain(f), "x\r\n");
}

static void test_an_interrupted_line_is_completed_as_a_whole(void **state)
{
    struct fixture *f = *state;

    send(f, 1, "half ");
    (void)drain_at_deadline(f);
    mux_print(&f->mux, "news");
    assert_string_equal(drain(f), "\r\n" OWN "news\r\n");
    assert_int_equal(mux_deadline(&f->mux), UINT64_MAX); /* nobody types there */
    send(f, 1, "whole\n");
    assert_string_equal(drain(f), B "half whole\r\n");
}

static void test_colours_pass_and_end_with_the_line(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "\033[1;31mred\nplain\n");
    assert_string_equal(drain(f), A "\033[1;31mred\033[0m\r\n" A "plain\r\n");
}

static void test_colours_end_when_a_prompt_is_interrupted(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "\033[31mred ");
    assert_string_equal(drain_at_deadline(f), A "\033[31mred ");
    mux_print(&f->mux, "x");
    assert_string_equal(drain(f), "\033[0m\r\n" OWN "x\r\n");
}

static void test_other_control_sequences_are_dropped(void **state)
{
    struct fixture *f = *state;

    send(f, 0,
         "a\033[2Jb\033[5;5Hc\033[?25ld\033]0;title\007e\033]0;t\033\\f\033Pq\033\\g\033(Bh"
         "\033ci\033[6nj\a\v\f\177k\033[>1ml\033[ mm\n");
    assert_string_equal(drain(f), A "abcdefghijklm\r\n");
}

static void test_characters_outside_ascii_become_one_mark(void **state)
{
    struct fixture *f = *state;

    send(f, 0,
         "a\xc3\xa9"
         "b\xe2\x97\x8f"
         "c\xc2\x9b"
         "1Ad\x9b"
         "5Ae\n");
    assert_string_equal(drain(f), A "a?b?c?1Ad5Ae\r\n");
}

static void test_a_line_end_ends_any_sequence(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "a\033]never\nb\033[31\nc\033\nd\n");
    assert_string_equal(drain(f), A "a\r\n" A "b\r\n" A "c\r\n" A "d\r\n");
}

static void test_endless_parameters_are_not_kept(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "\033[");
    for (int i = 0; i < 1000; i++) {
        send(f, 0, "1;");
    }
    send(f, 0, "mok\n");
    assert_string_equal(drain(f), A "ok\r\n");
}

static void test_tabs_become_spaces(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "a\t\033[1mb\tc\n");
    assert_string_equal(drain(f), A "a       \033[1mb       c\033[0m\r\n");
}

static void test_backspace_edits_what_is_shown(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "# lx");
    (void)drain_at_deadline(f);
    send(f, 0, "\b \b");
    assert_string_equal(drain_at_deadline(f), REPAINT A "# l \033[1D");
    send(f, 0, "s\n");
    assert_string_equal(drain(f), REPAINT A "# ls\r\n");
}

static void test_erase_to_end_shortens_the_line(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "# long");
    (void)drain_at_deadline(f);
    send(f, 0, "\b\b\b\033[J");
    assert_string_equal(drain_at_deadline(f), REPAINT A "# l");
    send(f, 0, "\b\b\b\b\b\b\b\033[K!\n");
    assert_string_equal(drain(f), REPAINT A "!\r\n");
}

static void test_the_cursor_does_not_leave_the_line(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "ab\033[99DX\033[99CY\n");
    assert_string_equal(drain(f), A "XbY\r\n");
    send(f, 0, "\033[1mab\033[99DX\n");
    assert_string_equal(drain(f), A "\033[1mXb\033[0m\r\n");
}

static void test_carriage_return_writes_the_line_anew(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "10%\r50%\r\r\n");
    assert_string_equal(drain(f), A "50%\r\n");
    send(f, 0, "old");
    (void)drain_at_deadline(f);
    send(f, 0, "\r\033[K");
    assert_string_equal(drain_at_deadline(f), REPAINT A);
    send(f, 0, "new");
    assert_string_equal(drain_at_deadline(f), "new");
}

static void test_carriage_return_and_cursor_right(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "\033[1m#\033[0m abc\r\033[3CX\n");
    assert_string_equal(drain(f), A "\033[1m#\033[0m aXc\033[0m\r\n");
}

static void test_an_empty_line_is_not_shown_as_a_prompt(void **state)
{
    struct fixture *f = *state;

    send(f, 0, "\r\033[K");
    assert_int_equal(mux_deadline(&f->mux), UINT64_MAX);
    send(f, 0, "x\r\033[K");
    assert_int_equal(mux_deadline(&f->mux), UINT64_MAX);
}

static void test_a_full_queue_refuses_and_reports_room_once(void **state)
{
    struct fixture *f = *state;
    unsigned int taken = 0;

    while (mux_guest_tx(&f->mux, 0, taken % 64 == 63 ? '\n' : 'x', f->now)) {
        taken++;
        assert_true(taken <= MUX_QUEUE);
    }
    assert_in_range(taken, MUX_QUEUE / 2, MUX_QUEUE);
    assert_int_equal(mux_take_ready(&f->mux), 0);
    send(f, 1, "not affected\n");
    assert_non_null(strstr(drain(f), "not affected"));
    assert_int_equal(mux_take_ready(&f->mux), 1);
    assert_int_equal(mux_take_ready(&f->mux), 0);
    assert_true(mux_guest_tx(&f->mux, 0, 'y', f->now));
}

static void test_nothing_is_lost_or_reordered_under_backpressure(void **state)
{
    struct fixture *f = *state;
    char seen[1 << 15] = "";
    unsigned int next = 0;
    char line[16];

    for (unsigned int i = 0; i < 1000; i++) {
        int size = snprintf(line, sizeof(line), "%u\n", i);

        for (int at = 0; at < size; at++) {
            while (!mux_guest_tx(&f->mux, 0, (uint8_t)line[at], f->now)) {
                strcat(seen, drain(f));
            }
        }
    }
    strcat(seen, drain(f));
    for (char *at = seen; (at = strstr(at, A)) != NULL; next++) {
        at += strlen(A);
        assert_int_equal(strtoul(at, NULL, 10), next);
    }
    assert_int_equal(next, 1000);
}

static void test_a_flood_does_not_delay_others(void **state)
{
    struct fixture *f = *state;
    const char *screen;
    const char *lines = f->screen;

    while (mux_guest_tx(&f->mux, 0, '\n', f->now)) {
    }
    send(f, 1, "quiet\n");
    mux_print(&f->mux, "own");
    screen = drain(f);
    assert_true(strstr(screen, "quiet") - lines < 200);
    assert_true(strstr(screen, "own") - lines < 200);
}

static void test_a_flood_does_not_hide_the_prompt(void **state)
{
    struct fixture *f = *state;
    size_t size;

    send(f, 0, "# ");
    f->now += FOCUS_DELAY;
    for (unsigned int i = 0; i < 3; i++) {
        while (mux_guest_tx(&f->mux, 1, '\n', f->now)) {
        }
        const char *text = mux_peek(&f->mux, f->now, &size);

        assert_non_null(text);
        memcpy(f->screen, text, size);
        f->screen[size] = '\0';
        if (strstr(f->screen, "# ") != NULL) {
            return;
        }
        mux_consume(&f->mux, size);
    }
    fail();
}

static void test_own_lines_are_cleaned_split_and_counted(void **state)
{
    struct fixture *f = *state;
    unsigned int lines = 0;

    mux_print(&f->mux, "one\ntwo\033[2J\n");
    mux_print(&f->mux, "");
    assert_string_equal(drain(f), OWN "one\r\n" OWN "two?[2J\r\n" OWN "\r\n");
    for (unsigned int i = 0; i < MUX_OWN_QUEUE; i++) {
        mux_print(&f->mux, "abc");
    }
    for (const char *at = drain(f); (at = strstr(at, "abc")) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, MUX_OWN_QUEUE / 4);
    mux_print(&f->mux, "after");
    assert_string_equal(drain(f), OWN "6144 lines lost\r\n" OWN "after\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_line_gets_name_and_colour),
        TEST(test_an_empty_line_is_a_line),
        TEST(test_a_long_line_is_split),
        TEST(test_a_line_of_exactly_the_limit_is_not_split),
        TEST(test_a_prompt_is_shown_after_a_while),
        TEST(test_the_focused_guest_is_shown_sooner),
        TEST(test_a_prompt_can_be_asked_for),
        TEST(test_an_interrupted_prompt_comes_back),
        TEST(test_an_interrupted_line_is_completed_as_a_whole),
        TEST(test_colours_pass_and_end_with_the_line),
        TEST(test_colours_end_when_a_prompt_is_interrupted),
        TEST(test_other_control_sequences_are_dropped),
        TEST(test_characters_outside_ascii_become_one_mark),
        TEST(test_a_line_end_ends_any_sequence),
        TEST(test_endless_parameters_are_not_kept),
        TEST(test_tabs_become_spaces),
        TEST(test_backspace_edits_what_is_shown),
        TEST(test_erase_to_end_shortens_the_line),
        TEST(test_the_cursor_does_not_leave_the_line),
        TEST(test_carriage_return_writes_the_line_anew),
        TEST(test_carriage_return_and_cursor_right),
        TEST(test_an_empty_line_is_not_shown_as_a_prompt),
        TEST(test_a_full_queue_refuses_and_reports_room_once),
        TEST(test_nothing_is_lost_or_reordered_under_backpressure),
        TEST(test_a_flood_does_not_delay_others),
        TEST(test_a_flood_does_not_hide_the_prompt),
        TEST(test_own_lines_are_cleaned_split_and_counted),
    };

    return cmocka_run_group_tests_name("console_mux", tests, NULL, NULL);
}
