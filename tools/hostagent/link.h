/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link of the host agent to the outside: frames over one byte stream.
 *
 * The stream is a virtio-serial port; or, where instructions are counted, two pipes that the
 * emulator reads and writes itself (semihosting). Input that comes at some time of the outside's
 * would make each run another one, so with the pipes the two sides take turns: the agent says
 * LINK_TURN when it has nothing more to say, the machine stands still, the outside sends what it
 * has and LINK_TURN too, and the machine goes on.
 *
 * A frame is a header of three little-endian 32-bit words (payload bytes, process, type) and the
 * payload. tools/bothylab/hostlink.py is the other end, and names the same types.
 */
#ifndef HOSTAGENT_LINK_H
#define HOSTAGENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum link_type {
    /* From outside. */
    LINK_START = 1,  /* flags, number of arguments; then strings: cwd, arguments, environment */
    LINK_INPUT = 2,  /* bytes for its standard input, at most what LINK_TOOK has given back */
    LINK_EOF = 3,    /* no more input */
    LINK_SIGNAL = 4, /* number: to the process and all of its session's first group */
    LINK_SIZE = 5,   /* rows, columns of its terminal */
    LINK_TURN = 6,   /* in both directions, only where the sides take turns */
    /* To the outside. */
    LINK_HELLO = 16,  /* version; the agent is there */
    LINK_OUTPUT = 17, /* bytes of its standard output, or of its terminal */
    LINK_ERROR = 18,  /* bytes of its standard error */
    LINK_TOOK = 19,   /* so many bytes of input were passed on */
    LINK_EXIT = 20,   /* status as of a shell's $?, or 256 + signal */
    LINK_CLOSED = 21, /* after LINK_EXIT: nobody has its outputs open any more */
};

enum {
    LINK_VERSION = 1,
    LINK_CHUNK = 65536,           /* the most payload that the agent sends in a frame */
    LINK_PAYLOAD_MAX = 1 << 20,   /* the most that it takes */
    LINK_INPUT_WINDOW = 256 << 10 /* input of one process that may be under way */
};

struct link_frame {
    uint32_t size;
    uint32_t process;
    uint32_t type;
    const uint8_t *payload;
};

struct link {
    int fd;          /* the port, or -1 */
    bool takes_turns;
    long from, to;   /* the emulator's handles of the pipes */
    uint8_t *in;
    size_t in_used;
    uint8_t *out;
    size_t out_start;
    size_t out_end;
};

/* Opens the virtio-serial port with that name, or the pipes NAME.in and NAME.out for
 * "semihosting:NAME". False: errno says why. */
bool link_open(struct link *link, const char *name);

/* True if a frame with a whole LINK_CHUNK fits: only then is output of processes read. */
bool link_has_room(const struct link *link);

/* Appends a frame to what is to be sent. `size` is at most LINK_CHUNK. */
void link_send(struct link *link, uint32_t process, enum link_type type, const void *payload,
               size_t size);
void link_send_number(struct link *link, uint32_t process, enum link_type type, uint32_t number);

bool link_wants_write(const struct link *link);

/* Writes what the port takes. False: the other side is gone. */
bool link_write(struct link *link);

/* Reads what there is and calls `take` for each whole frame. False: the other side is gone, or it
 * breaks the protocol. */
bool link_read(struct link *link, void (*take)(void *context, const struct link_frame *frame),
               void *context);

/* Says that it is the outside's turn, and takes its frames. False: it is gone. */
bool link_take_turns(struct link *link,
                     void (*take)(void *context, const struct link_frame *frame), void *context);

uint32_t link_number(const uint8_t *bytes);

#endif
