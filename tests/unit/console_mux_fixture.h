/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of the console multiplexer: two guests, a clock and a screen. */
#ifndef TESTS_CONSOLE_MUX_FIXTURE_H
#define TESTS_CONSOLE_MUX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "el2/console_mux.h"

#define DELAY 200
#define FOCUS_DELAY 10

#define A "\033[32m[a]\033[0m "
#define B "\033[33m[b]\033[0m "
#define OWN "\033[1m[bothy]\033[0m "
#define REPAINT "\r\033[0m\033[K"

struct fixture {
    struct mux mux;
    uint64_t now;
    char screen[1 << 16];
    size_t length;
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    mux_init(&f->mux, DELAY, FOCUS_DELAY);
    mux_add_guest(&f->mux, 0, "a");
    mux_add_guest(&f->mux, 1, "b");
    f->now = 1000;
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    free(*state);
    return 0;
}

/* Send a text; every byte must be taken. */
static inline void send(struct fixture *f, unsigned int guest, const char *text)
{
    for (; *text != '\0'; text++) {
        assert_true(mux_guest_tx(&f->mux, guest, (uint8_t)*text, f->now));
    }
}

/* What comes out, `step` bytes at a time. */
static inline const char *drain_by(struct fixture *f, size_t step)
{
    const char *text;
    size_t size;

    f->length = 0;
    while ((text = mux_peek(&f->mux, f->now, &size)) != NULL) {
        assert_in_range(size, 1, MUX_STAGE);
        size = size < step ? size : step;
        assert_true(f->length + size < sizeof(f->screen));
        memcpy(&f->screen[f->length], text, size);
        f->length += size;
        mux_consume(&f->mux, size);
    }
    f->screen[f->length] = '\0';
    return f->screen;
}

static inline const char *drain(struct fixture *f)
{
    return drain_by(f, SIZE_MAX);
}

static inline const char *drain_at_deadline(struct fixture *f)
{
    uint64_t deadline = mux_deadline(&f->mux);

    assert_true(deadline != UINT64_MAX);
    if (f->now < deadline) {
        f->now = deadline - 1;
        assert_string_equal(drain(f), "");
        f->now = deadline;
    }
    return drain(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
