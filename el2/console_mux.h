/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several guests on one terminal. Portable and without a lock, a clock or a device: the owner
 * (console.c, or a test) serialises the calls, passes the time, carries away what mux_peek()
 * offers and acts upon the events of mux_input().
 *
 * Output: a guest's text appears line by line as `ESC[3Nm[name]ESC[0m text CR LF`. A line that is
 * longer than MUX_LINE bytes is split. An unfinished line (a prompt, an echo) is shown after a
 * while: when its time has come, mux_deadline(). If another line must be printed while an
 * unfinished one is on the screen, the cursor goes to a new line and the unfinished one is shown
 * again later. Of the control codes only those pass that can't touch another line: colours
 * (SGR); backspace, carriage return, erase-to-end and cursor left/right are carried out on the
 * guest's own unfinished line; all others are dropped, and a character outside ASCII becomes `?`.
 *
 * Each guest, and the hypervisor itself, has a bounded queue of finished lines. The queues take
 * turns line by line, so that a flood slows down only the guest that causes it.
 */
#ifndef EL2_CONSOLE_MUX_H
#define EL2_CONSOLE_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_GUEST_MAX 16U
#define MUX_SOURCE_MAX (MUX_GUEST_MAX + 1U) /* the last one is the hypervisor */
#define MUX_NAME_MAX 32U
#define MUX_LINE 256U       /* bytes of a guest's line, colour sequences included */
#define MUX_OWN_LINE 512U   /* bytes of a line of the hypervisor */
#define MUX_QUEUE 2048U     /* bytes of finished lines per guest; a power of two */
#define MUX_OWN_QUEUE 8192U /* the same for the hypervisor */
#define MUX_INPUT 128U      /* typed bytes that the guest has not taken yet; a power of two */
#define MUX_STAGE 640U      /* one decorated line */

enum mux_event_kind {
    MUX_EVENT_NONE,
    MUX_EVENT_INPUT, /* a guest's input queue is not empty any more: see mux_rx_peek() */
    MUX_EVENT_STATS,
    MUX_EVENT_QUIT,
};

struct mux_event {
    enum mux_event_kind kind;
    unsigned int guest; /* MUX_EVENT_INPUT only */
};

/* A guest, or the hypervisor: who prints lines. */
struct mux_source {
    char name[MUX_NAME_MAX];
    bool present;
    bool refused;  /* a byte was turned away, and the owner has not been told of room since */
    bool cr;       /* the cursor is at the start of the line by a carriage return */
    uint8_t parse; /* where in an escape sequence the guest is */

    char line[MUX_LINE]; /* the unfinished line */
    uint16_t length;
    uint16_t back;      /* how far left of its end the guest's cursor is */
    uint16_t fixed;     /* bytes at its start which the guest's cursor can't reach any more ... */
    uint16_t invisible; /* ... and how many of those have no width */
    uint64_t show_at;   /* when to show it, UINT64_MAX if there is nothing new to show */

    char escape[16]; /* parameters of the control sequence that is being parsed */
    uint8_t escape_length;

    char *queue; /* finished lines, each ends with LF */
    uint32_t queue_size;
    uint32_t head, tail; /* written at head, read at tail; they run freely */

    uint8_t input[MUX_INPUT];
    uint32_t input_head, input_tail;
};

struct mux {
    struct mux_source source[MUX_SOURCE_MAX];
    uint64_t partial_delay; /* ticks until an unfinished line is shown ... */
    uint64_t focus_delay;   /* ... if it is the focused guest's */
    uint64_t deadline;
    unsigned int focus; /* who gets the input, MUX_GUEST_MAX if nobody */
    unsigned int turn;  /* whose line was printed last */
    uint32_t lost;      /* hypervisor lines that found no room */
    uint32_t ready;     /* bit per guest: was refused, has room again */
    bool command;       /* Ctrl-A was typed */

    /* The screen: whose line the cursor is in, and how much of it is there. It is that source's
     * oldest line, be it finished by now or not. */
    unsigned int owner; /* MUX_SOURCE_MAX: the cursor is at the start of an empty line */
    uint16_t shown;
    bool repaint;  /* the source changed what is shown, or moved its cursor */
    bool coloured; /* an SGR sequence is in effect or may be */

    char stage[MUX_STAGE]; /* decorated text on its way to the port */
    uint32_t stage_at, stage_length;

    char guest_queue[MUX_GUEST_MAX][MUX_QUEUE];
    char own_queue[MUX_OWN_QUEUE];
};

/* Start with no guests; delays are in the ticks of the `now` arguments. */
void mux_init(struct mux *mux, uint64_t partial_delay, uint64_t focus_delay);

void mux_add_guest(struct mux *mux, unsigned int guest, const char *name);

/* A byte that a guest sends; false if it must be offered again later (see mux_take_ready). */
bool mux_guest_tx(struct mux *mux, unsigned int guest, uint8_t byte, uint64_t now);

/* Show the guest's unfinished line at once: it seems to wait for input. */
void mux_guest_show(struct mux *mux, unsigned int guest);

/* Finish the guest's line and forget its input. */
void mux_guest_reset(struct mux *mux, unsigned int guest);

/* A line of the hypervisor's own, without line end; control codes become `?`. */
void mux_print(struct mux *mux, const char *text);

/* A byte from the keyboard. Ctrl-A is the command key; other bytes are queued for the focused
 * guest, or dropped if its queue is full. */
struct mux_event mux_input(struct mux *mux, uint8_t byte);

/* The next byte typed for this guest, or -1; pop removes it. */
int mux_rx_peek(const struct mux *mux, unsigned int guest);
void mux_rx_pop(struct mux *mux, unsigned int guest);

/* Bytes for the port, at most `*ret_size` of them valid; NULL if there are none at this time. The
 * owner reports with mux_consume() how many it got rid of. */
const char *mux_peek(struct mux *mux, uint64_t now, size_t *ret_size);
void mux_consume(struct mux *mux, size_t size);

/* Guests (bit each) that were refused and have room again; reported once. */
uint32_t mux_take_ready(struct mux *mux);

/* When mux_peek() will have something to show if nothing else happens, or UINT64_MAX. */
uint64_t mux_deadline(const struct mux *mux);

#endif
