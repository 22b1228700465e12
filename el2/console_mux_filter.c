/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a guest's bytes to lines. This is where a hostile guest is kept to its own lines: what gets
 * into a line is printable ASCII and complete SGR sequences (ECMA-48, 8.3.117) with nothing but
 * digits, `;` and `:` in them.
 *
 * Invariants: length <= MUX_LINE; fixed + back <= length; no SGR sequence lies behind `fixed`, so
 * behind it one byte is one column. A byte finishes at most one line, so a byte is taken only
 * while the queue has room for the longest one.
 */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/console_mux_internal.h"

#define ESC 0x1bU
#define BEL 0x07U
#define CAN 0x18U
#define SUB 0x1aU
#define TAB_WIDTH 8U

enum parse {
    PARSE_TEXT,
    PARSE_ESCAPE,        /* ESC */
    PARSE_INTERMEDIATE,  /* ESC, and an intermediate byte: one more comes */
    PARSE_CONTROL,       /* ESC [ */
    PARSE_STRING,        /* ESC ] and such: text for the terminal, up to BEL or ESC \ */
    PARSE_STRING_ESCAPE, /* ESC inside of it */
};

/* A guest's line, and where it is. */
struct filter {
    struct mux *mux;
    struct mux_source *source;
    unsigned int guest;
    uint64_t now;
};

/* The line has changed at `at`, or the cursor has moved: does the screen show it? */
static void changed(const struct filter *filter, unsigned int at)
{
    struct mux *mux = filter->mux;
    const struct mux_source *source = filter->source;

    if (mux->owner == filter->guest && source->head == source->tail && at < mux->shown) {
        mux->repaint = true;
    }
    if (source->length == 0 && mux->owner != filter->guest) {
        mux_show_at(mux, filter->guest, UINT64_MAX);
    } else if (source->show_at == UINT64_MAX) {
        uint64_t delay = filter->guest == mux->focus ? mux->focus_delay : mux->partial_delay;

        mux_show_at(mux, filter->guest, filter->now + delay);
    }
}

static void line_clear(const struct filter *filter)
{
    struct mux_source *source = filter->source;

    source->length = 0;
    source->back = 0;
    source->fixed = 0;
    source->invisible = 0;
    source->cr = false;
}

static void line_finish(const struct filter *filter)
{
    struct mux_source *source = filter->source;

    mux_queue_put(source, source->line, source->length);
    mux_queue_put(source, "\n", 1);
    line_clear(filter);
    mux_show_at(filter->mux, filter->guest, UINT64_MAX);
}

/* A carriage return followed by text: the line is written anew. */
static void line_restart(const struct filter *filter)
{
    if (filter->source->cr) {
        line_clear(filter);
        changed(filter, 0);
    }
}

static void line_put(const struct filter *filter, char byte)
{
    struct mux_source *source = filter->source;
    unsigned int at = (unsigned int)(source->length - source->back);

    if (source->back != 0) {
        source->line[at] = byte;
        source->back--;
        changed(filter, at);
        return;
    }
    if (source->length == MUX_LINE) {
        line_finish(filter);
        at = 0;
    }
    source->line[at] = byte;
    source->length++;
    changed(filter, at);
}

static void line_tab(const struct filter *filter)
{
    const struct mux_source *source = filter->source;
    unsigned int column = (unsigned int)(source->length - source->back - source->invisible);
    unsigned int width = TAB_WIDTH - column % TAB_WIDTH;

    while (width-- != 0) {
        line_put(filter, ' ');
    }
}

/* Add an SGR sequence. In the middle of a line there is no place for it: it is dropped. */
static void line_colour(const struct filter *filter)
{
    struct mux_source *source = filter->source;
    unsigned int size = source->escape_length + 3U;

    line_restart(filter);
    if (source->back != 0) {
        return;
    }
    if (source->length + size > MUX_LINE) {
        line_finish(filter);
    }
    source->line[source->length] = (char)ESC;
    source->line[source->length + 1] = '[';
    memcpy(&source->line[source->length + 2], source->escape, source->escape_length);
    source->line[source->length + size - 1] = 'm';
    source->length = (uint16_t)(source->length + size);
    source->fixed = source->length;
    source->invisible = (uint16_t)(source->invisible + size);
    changed(filter, source->length - size);
}

static void line_erase(const struct filter *filter)
{
    struct mux_source *source = filter->source;

    line_restart(filter);
    source->length = (uint16_t)(source->length - source->back);
    source->back = 0;
    changed(filter, source->length);
}

static void cursor_move(const struct filter *filter, bool right, unsigned int by)
{
    struct mux_source *source = filter->source;
    unsigned int span = (unsigned int)(source->length - source->fixed);
    unsigned int at = span - source->back; /* counted from `fixed` */

    if (source->cr) {
        unsigned int columns = (unsigned int)(source->fixed - source->invisible);

        at = 0; /* the start of the line is `columns` further left */
        by = right && by > columns ? by - columns : 0;
        source->cr = false;
    }
    at = right ? MIN(at + by, span) : at - MIN(by, at);
    source->back = (uint16_t)(span - at);
    changed(filter, 0);
}

/* The first parameter of the control sequence, or 0. False if there are other bytes than
 * parameters in it, or more than were kept. */
static bool parameters(const struct mux_source *source, unsigned int *ret_first)
{
    unsigned int first = 0;
    bool in_first = true;

    if (source->escape_length == sizeof(source->escape)) {
        return false;
    }
    for (unsigned int i = 0; i < source->escape_length; i++) {
        char byte = source->escape[i];
        bool digit = byte >= '0' && byte <= '9';

        if (!digit && byte != ';' && byte != ':') {
            return false;
        }
        in_first = in_first && digit;
        if (in_first && first < MUX_LINE) {
            first = first * 10 + (unsigned int)(byte - '0');
        }
    }
    *ret_first = first;
    return true;
}

static void control_sequence(const struct filter *filter, uint8_t final)
{
    unsigned int first;

    if (!parameters(filter->source, &first)) {
        return;
    }
    switch (final) {
    case 'm':
        line_colour(filter);
        break;
    case 'J':
    case 'K':
        if (first == 0) {
            line_erase(filter);
        }
        break;
    case 'C':
    case 'D':
        cursor_move(filter, final == 'C', MAX(first, 1U));
        break;
    default:
        break;
    }
}

/* The bytes of text and the control codes (C0). */
static void text_byte(const struct filter *filter, uint8_t byte)
{
    switch (byte) {
    case '\n':
        line_finish(filter);
        return;
    case '\r':
        filter->source->cr = true;
        return;
    case '\b':
        if (!filter->source->cr) {
            cursor_move(filter, false, 1);
        }
        return;
    case '\t':
        line_restart(filter);
        line_tab(filter);
        return;
    case ESC:
        filter->source->parse = PARSE_ESCAPE;
        return;
    default:
        break;
    }
    if (byte < ' ' || (byte >= 0x7f && byte < 0xc0)) {
        return; /* other controls; the continuation bytes of UTF-8 */
    }
    line_restart(filter);
    line_put(filter, byte < 0x7f ? (char)byte : '?');
}

/* The byte after ESC (ECMA-35, 13). */
static uint8_t parse_escape(struct mux_source *source, uint8_t byte)
{
    switch (byte) {
    case '[':
        source->escape_length = 0;
        return PARSE_CONTROL;
    case ']':
    case 'P':
    case 'X':
    case '^':
    case '_':
        return PARSE_STRING;
    default:
        return byte >= 0x20 && byte <= 0x2f ? PARSE_INTERMEDIATE : PARSE_TEXT;
    }
}

static void parse_control(const struct filter *filter, uint8_t byte)
{
    struct mux_source *source = filter->source;

    if (byte >= 0x40 && byte <= 0x7e) {
        source->parse = PARSE_TEXT;
        control_sequence(filter, byte);
    } else if (source->escape_length < sizeof(source->escape)) {
        source->escape[source->escape_length++] = (char)byte;
    }
}

static void parse_string(struct mux_source *source, uint8_t byte)
{
    if (byte == BEL || (source->parse == PARSE_STRING_ESCAPE && byte == '\\')) {
        source->parse = PARSE_TEXT;
    } else {
        source->parse = byte == ESC ? PARSE_STRING_ESCAPE : PARSE_STRING;
    }
}

static void filter_byte(const struct filter *filter, uint8_t byte)
{
    struct mux_source *source = filter->source;

    /* Whatever sequence it is in, a guest gets its lines back with the next line end. */
    if (byte == '\n' || byte == '\r' || byte == CAN || byte == SUB) {
        source->parse = PARSE_TEXT;
    }
    switch (source->parse) {
    case PARSE_TEXT:
        text_byte(filter, byte);
        break;
    case PARSE_ESCAPE:
        source->parse = parse_escape(source, byte);
        break;
    case PARSE_INTERMEDIATE:
        if (byte < 0x20 || byte > 0x2f) {
            source->parse = PARSE_TEXT;
        }
        break;
    case PARSE_CONTROL:
        parse_control(filter, byte);
        break;
    default:
        parse_string(source, byte);
        break;
    }
}

bool mux_guest_tx(struct mux *mux, unsigned int guest, uint8_t byte, uint64_t now)
{
    struct filter filter = {mux, NULL, guest, now};

    if (guest >= MUX_GUEST_MAX || !mux->source[guest].present) {
        return true;
    }
    filter.source = &mux->source[guest];
    if (mux_queue_room(filter.source) < MUX_LINE + 1) {
        filter.source->refused = true;
        return false;
    }
    filter_byte(&filter, byte);
    return true;
}

void mux_guest_show(struct mux *mux, unsigned int guest)
{
    if (guest < MUX_GUEST_MAX && mux->source[guest].show_at != UINT64_MAX) {
        mux_show_at(mux, guest, 0);
    }
}

void mux_guest_reset(struct mux *mux, unsigned int guest)
{
    struct mux_source *source;
    struct filter filter = {mux, NULL, guest, 0};

    if (guest >= MUX_GUEST_MAX) {
        return;
    }
    source = &mux->source[guest];
    filter.source = source;
    source->parse = PARSE_TEXT;
    source->input_tail = source->input_head;
    source->refused = false;
    if (source->length == 0) {
        line_clear(&filter);
    } else if (mux_queue_room(source) >= MUX_LINE + 1) {
        line_finish(&filter);
    } else {
        line_clear(&filter);
        changed(&filter, 0);
    }
}
