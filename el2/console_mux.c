/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output side of the console multiplexer: queues of finished lines, whose turn it is, and
 * what the terminal has to be sent. console_mux_filter.c turns a guest's bytes into
 * lines, console_mux_keys.c reads the keyboard.
 *
 * Invariants: a queue holds whole lines only; the line on the screen is always the oldest one of
 * its source; and whatever a guest sends, all that reaches the terminal between two line ends
 * starts with that guest's own name.
 */
#include "el2/console_mux.h"

#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/console_mux_internal.h"

#define SGR_RESET "\033[0m"
#define DIGITS_MAX 10U

/* Line end and reset of the line before, repaint, name, text, reset and line end, cursor. */
_Static_assert(MUX_STAGE >= 6 + 8 + (5 + MUX_NAME_MAX + 8) + MUX_OWN_LINE + 6 + 3 + DIGITS_MAX,
               "a decorated line fits");

/* Not inlined: many short constant texts would each become a row of byte stores. */
static __attribute__((noinline)) void put(struct mux *mux, const char *text, size_t size)
{
    memcpy(&mux->stage[mux->stage_length], text, size);
    mux->stage_length += (uint32_t)size;
}

static void put_text(struct mux *mux, const char *text)
{
    put(mux, text, strlen(text));
}

static size_t number(char *buffer, uint32_t value)
{
    char digits[DIGITS_MAX];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < count; i++) {
        buffer[i] = digits[count - 1 - i];
    }
    return count;
}

static void put_prefix(struct mux *mux, unsigned int source)
{
    char colour[] = "\033[32m[";

    if (source == MUX_GUEST_MAX) {
        put_text(mux, "\033[1m[");
    } else {
        colour[2] = (source / 6) % 2 == 0 ? '3' : '9'; /* normal, bright */
        colour[3] = "234561"[source % 6];
        put_text(mux, colour);
    }
    put_text(mux, mux->source[source].name);
    put_text(mux, "]" SGR_RESET " ");
}

static bool queue_is_empty(const struct mux_source *source)
{
    return source->head == source->tail;
}

uint32_t mux_queue_room(const struct mux_source *source)
{
    return source->queue_size - (source->head - source->tail);
}

void mux_queue_put(struct mux_source *source, const char *text, uint32_t size)
{
    uint32_t mask = source->queue_size - 1;

    for (uint32_t i = 0; i < size; i++) {
        source->queue[(source->head + i) & mask] = text[i];
    }
    source->head += size;
}

static uint64_t deadline_of_all(const struct mux *mux)
{
    uint64_t first = UINT64_MAX;

    for (unsigned int i = 0; i < MUX_GUEST_MAX; i++) {
        first = MIN(first, mux->source[i].show_at);
    }
    return first;
}

void mux_show_at(struct mux *mux, unsigned int guest, uint64_t when)
{
    struct mux_source *source = &mux->source[guest];
    uint64_t before = source->show_at;

    source->show_at = when;
    if (when < mux->deadline) {
        mux->deadline = when;
    } else if (before == mux->deadline) {
        mux->deadline = deadline_of_all(mux);
    }
}

/* The cursor is to leave a line that is not finished: it will have to be shown again, soon if
 * somebody is typing there. */
static void leave_line(struct mux *mux, uint64_t now)
{
    struct mux_source *owner = &mux->source[mux->owner];

    if (mux->coloured) {
        put_text(mux, SGR_RESET);
    }
    put_text(mux, "\r\n");
    if (mux->owner == mux->focus && queue_is_empty(owner) && owner->length != 0) {
        mux_show_at(mux, mux->owner, MIN(owner->show_at, now + mux->partial_delay));
    }
    mux->owner = MUX_SOURCE_MAX;
}

/* Get the cursor to where the rest of the source's oldest line belongs; returns how much of it is
 * there already. */
static uint16_t enter_line(struct mux *mux, unsigned int source, uint64_t now)
{
    if (mux->owner == source && !mux->repaint) {
        return mux->shown;
    }
    if (mux->owner == source) {
        put_text(mux, "\r" SGR_RESET "\033[K");
    } else if (mux->owner != MUX_SOURCE_MAX) {
        leave_line(mux, now);
    }
    put_prefix(mux, source);
    mux->owner = source;
    mux->repaint = false;
    mux->coloured = false;
    return 0;
}

static void note_colour(struct mux *mux, char byte)
{
    if (byte == '\033') {
        mux->coloured = true;
    }
}

/* Put the oldest finished line of a source on the stage. */
static void stage_line(struct mux *mux, unsigned int index, uint64_t now)
{
    struct mux_source *source = &mux->source[index];
    uint32_t mask = source->queue_size - 1;
    uint32_t at = source->tail + enter_line(mux, index, now);
    char byte;

    while ((byte = source->queue[at++ & mask]) != '\n') {
        note_colour(mux, byte);
        mux->stage[mux->stage_length++] = byte;
    }
    source->tail = at;
    put_text(mux, mux->coloured ? SGR_RESET "\r\n" : "\r\n");
    mux->owner = MUX_SOURCE_MAX;
    mux->turn = index;
    if (source->refused && mux_queue_room(source) >= source->queue_size / 2) {
        source->refused = false;
        mux->ready |= (uint32_t)BIT(index);
    }
}

/* Put a guest's unfinished line, or what is new of it, on the stage. */
static void stage_partial(struct mux *mux, unsigned int index, uint64_t now)
{
    struct mux_source *source = &mux->source[index];
    uint16_t shown = enter_line(mux, index, now);

    for (uint16_t i = shown; i < source->length; i++) {
        note_colour(mux, source->line[i]);
    }
    put(mux, &source->line[shown], (size_t)(source->length - shown));
    if (source->back != 0) {
        put_text(mux, "\033[");
        mux->stage_length += (uint32_t)number(&mux->stage[mux->stage_length], source->back);
        put_text(mux, "D");
    }
    mux->shown = source->length;
    mux->turn = index;
    mux_show_at(mux, index, UINT64_MAX);
}

static void stage_next(struct mux *mux, uint64_t now)
{
    mux->stage_at = 0;
    mux->stage_length = 0;
    if (mux->owner != MUX_SOURCE_MAX && !queue_is_empty(&mux->source[mux->owner])) {
        stage_line(mux, mux->owner, now);
        return;
    }
    for (unsigned int i = 1; i <= MUX_SOURCE_MAX; i++) {
        unsigned int index = (mux->turn + i) % MUX_SOURCE_MAX;

        if (!queue_is_empty(&mux->source[index])) {
            stage_line(mux, index, now);
            return;
        }
        if (mux->source[index].show_at <= now) {
            stage_partial(mux, index, now);
        }
        if (mux->stage_length != 0) {
            return; /* it is possible that nothing of the unfinished line was new */
        }
    }
}

const char *mux_peek(struct mux *mux, uint64_t now, size_t *ret_size)
{
    if (mux->stage_at == mux->stage_length) {
        stage_next(mux, now);
        if (mux->stage_length == 0) {
            return NULL;
        }
    }
    *ret_size = mux->stage_length - mux->stage_at;
    return &mux->stage[mux->stage_at];
}

void mux_consume(struct mux *mux, size_t size)
{
    mux->stage_at += (uint32_t)size;
}

uint32_t mux_take_ready(struct mux *mux)
{
    uint32_t ready = mux->ready;

    mux->ready = 0;
    return ready;
}

uint64_t mux_deadline(const struct mux *mux)
{
    return mux->deadline;
}

/* One line into the hypervisor's own queue, if it fits. */
static bool print_line(struct mux_source *own, const char *text, uint32_t size)
{
    if (mux_queue_room(own) < size + 1) {
        return false;
    }
    for (uint32_t i = 0; i < size; i++) {
        char byte = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';

        mux_queue_put(own, &byte, 1);
    }
    mux_queue_put(own, "\n", 1);
    return true;
}

static bool print_lost(struct mux *mux)
{
    struct mux_source *own = &mux->source[MUX_GUEST_MAX];
    char digits[DIGITS_MAX];

    mux_queue_put(own, digits, (uint32_t)number(digits, mux->lost));
    return print_line(own, " lines lost", 11);
}

void mux_print(struct mux *mux, const char *text)
{
    struct mux_source *own = &mux->source[MUX_GUEST_MAX];
    uint32_t size;

    do {
        for (size = 0; size < MUX_OWN_LINE && text[size] != '\0' && text[size] != '\n'; size++) {
        }
        if (mux->lost != 0 && mux_queue_room(own) >= own->queue_size / 2 && print_lost(mux)) {
            mux->lost = 0;
        }
        if (mux->lost != 0 || !print_line(own, text, size)) {
            mux->lost++;
        }
        text += size;
        text += *text == '\n';
    } while (*text != '\0');
}

static void add_source(struct mux *mux, unsigned int index, const char *name)
{
    struct mux_source *source = &mux->source[index];
    size_t size = strnlen(name, MUX_NAME_MAX - 1);

    for (size_t i = 0; i < size; i++) {
        source->name[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
    }
    source->name[size] = '\0';
    source->present = true;
}

void mux_init(struct mux *mux, uint64_t partial_delay, uint64_t focus_delay)
{
    for (unsigned int i = 0; i < MUX_SOURCE_MAX; i++) {
        struct mux_source *source = &mux->source[i];

        memset(source, 0, sizeof(*source));
        source->show_at = UINT64_MAX;
        source->queue = i < MUX_GUEST_MAX ? mux->guest_queue[i] : mux->own_queue;
        source->queue_size = i < MUX_GUEST_MAX ? MUX_QUEUE : MUX_OWN_QUEUE;
    }
    mux->partial_delay = partial_delay;
    mux->focus_delay = focus_delay;
    mux->deadline = UINT64_MAX;
    mux->focus = MUX_GUEST_MAX;
    mux->turn = 0;
    mux->lost = 0;
    mux->ready = 0;
    mux->command = false;
    mux->owner = MUX_SOURCE_MAX;
    mux->shown = 0;
    mux->repaint = false;
    mux->coloured = false;
    mux->stage_at = 0;
    mux->stage_length = 0;
    add_source(mux, MUX_GUEST_MAX, "bothy");
}

void mux_add_guest(struct mux *mux, unsigned int guest, const char *name)
{
    if (guest >= MUX_GUEST_MAX) {
        return;
    }
    add_source(mux, guest, name);
    if (mux->focus == MUX_GUEST_MAX) {
        mux->focus = guest;
    }
}
