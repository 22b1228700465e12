/* SPDX-License-Identifier: Apache-2.0 */
/* The input side of the console multiplexer: the command key, and what was typed for each guest. */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/console_mux_internal.h"

#define COMMAND_KEY 0x01U /* Ctrl-A */

_Static_assert(IS_POWER_OF_2(MUX_INPUT), "the input indexes run freely");

static void message(struct mux *mux, const char *before, const char *name, const char *after)
{
    char text[MUX_NAME_MAX + 64];
    const char *parts[] = {before, name, after};
    size_t length = 0;

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        size_t size = MIN(strlen(parts[i]), sizeof(text) - 1 - length);

        memcpy(&text[length], parts[i], size);
        length += size;
    }
    text[length] = '\0';
    mux_print(mux, text);
}

static void focus_set(struct mux *mux, unsigned int guest)
{
    if (guest >= MUX_GUEST_MAX || !mux->source[guest].present) {
        mux_print(mux, "there is no such guest; Ctrl-A h lists them");
        return;
    }
    mux->focus = guest;
    message(mux, "typing to ", mux->source[guest].name, " (Ctrl-A h for help)");
    if (mux->source[guest].length != 0) {
        mux_show_at(mux, guest, 0); /* behind the message */
    }
}

static unsigned int focus_next(const struct mux *mux)
{
    for (unsigned int i = 1; i <= MUX_GUEST_MAX; i++) {
        unsigned int guest = (mux->focus + i) % MUX_GUEST_MAX;

        if (mux->source[guest].present) {
            return guest;
        }
    }
    return MUX_GUEST_MAX;
}

static void help(struct mux *mux)
{
    char key[] = "  Ctrl-A 1  type to ";

    mux_print(mux, "  Ctrl-A h  this help\n"
                   "  Ctrl-A x  leave: switch the machine off\n"
                   "  Ctrl-A s  statistics\n"
                   "  Ctrl-A n  type to the next guest\n"
                   "  Ctrl-A Ctrl-A  send a Ctrl-A");
    for (unsigned int i = 0; i < MIN(MUX_GUEST_MAX, 10U); i++) {
        if (mux->source[i].present) {
            key[9] = (char)('0' + (i + 1) % 10);
            message(mux, key, mux->source[i].name, i == mux->focus ? "  <- now" : "");
        }
    }
}

static struct mux_event type(struct mux *mux, uint8_t byte)
{
    struct mux_source *source;

    if (mux->focus == MUX_GUEST_MAX) {
        return (struct mux_event){MUX_EVENT_NONE, 0};
    }
    source = &mux->source[mux->focus];
    if (source->input_head - source->input_tail < MUX_INPUT) {
        source->input[source->input_head++ % MUX_INPUT] = byte;
    }
    return (struct mux_event){MUX_EVENT_INPUT, mux->focus};
}

static struct mux_event command(struct mux *mux, uint8_t byte)
{
    struct mux_event event = {MUX_EVENT_NONE, 0};

    switch (byte) {
    case COMMAND_KEY:
        return type(mux, byte);
    case 'x':
        event.kind = MUX_EVENT_QUIT;
        break;
    case 's':
        event.kind = MUX_EVENT_STATS;
        break;
    case 'n':
        focus_set(mux, focus_next(mux));
        break;
    default:
        if (byte >= '0' && byte <= '9') {
            focus_set(mux, (unsigned int)(byte - '0' + 9) % 10);
        } else {
            help(mux);
        }
        break;
    }
    return event;
}

struct mux_event mux_input(struct mux *mux, uint8_t byte)
{
    if (mux->command) {
        mux->command = false;
        return command(mux, byte);
    }
    if (byte == COMMAND_KEY) {
        mux->command = true;
        return (struct mux_event){MUX_EVENT_NONE, 0};
    }
    return type(mux, byte);
}

int mux_rx_peek(const struct mux *mux, unsigned int guest)
{
    const struct mux_source *source = &mux->source[guest];

    if (source->input_head == source->input_tail) {
        return -1;
    }
    return source->input[source->input_tail % MUX_INPUT];
}

void mux_rx_pop(struct mux *mux, unsigned int guest)
{
    struct mux_source *source = &mux->source[guest];

    if (source->input_head != source->input_tail) {
        source->input_tail++;
    }
}
