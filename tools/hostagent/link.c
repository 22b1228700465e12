/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over the port. What is to be sent waits in one buffer, which is bounded: output of
 * processes is only read while there is room, so that a slow reader outside slows them down. The
 * reserve is for answers to frames from outside (a start that failed), which can't wait.
 */
#define _GNU_SOURCE
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "semihost.h"

enum {
    HEADER = 12,
    RESERVE = 64 << 10,
    OUT_SIZE = 4 * (LINK_CHUNK + HEADER) + RESERVE,
    IN_SIZE = HEADER + LINK_PAYLOAD_MAX
};

uint32_t link_number(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void store_number(uint8_t *bytes, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
}

/* The device of the virtio-serial port with that name. */
static int open_port(const char *name)
{
    for (unsigned port = 0; port < 32; port++) {
        char path[64], found[64] = "";

        snprintf(path, sizeof(path), "/sys/class/virtio-ports/vport0p%u/name", port);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        int items = fscanf(file, "%63s", found);
        fclose(file);
        if (items != 1 || strcmp(found, name) != 0)
            continue;
        snprintf(path, sizeof(path), "/dev/vport0p%u", port);
        return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    errno = ENODEV;
    return -1;
}

static bool open_pipes(struct link *link, const char *name)
{
    char path[256];

    link->takes_turns = true;
    snprintf(path, sizeof(path), "%s.in", name);
    link->from = semihost_open(path, false);
    snprintf(path, sizeof(path), "%s.out", name);
    link->to = semihost_open(path, true);
    errno = EIO;
    return link->from >= 0 && link->to >= 0;
}

bool link_open(struct link *link, const char *name)
{
    const char *pipes = "semihosting:";

    *link = (struct link){.fd = -1};
    link->in = malloc(IN_SIZE);
    link->out = malloc(OUT_SIZE);
    if (!link->in || !link->out)
        return false;
    if (strncmp(name, pipes, strlen(pipes)) == 0)
        return open_pipes(link, name + strlen(pipes));
    link->fd = open_port(name);
    return link->fd >= 0;
}

static size_t room(const struct link *link)
{
    return OUT_SIZE - (link->out_end - link->out_start);
}

bool link_has_room(const struct link *link)
{
    return room(link) >= RESERVE + HEADER + LINK_CHUNK;
}

void link_send(struct link *link, uint32_t process, enum link_type type, const void *payload,
               size_t size)
{
    if (room(link) < HEADER + size)
        abort(); /* The reserve is a bound of this program's own. */
    if (OUT_SIZE - link->out_end < HEADER + size) {
        memmove(link->out, link->out + link->out_start, link->out_end - link->out_start);
        link->out_end -= link->out_start;
        link->out_start = 0;
    }
    uint8_t *at = link->out + link->out_end;
    store_number(at, (uint32_t)size);
    store_number(at + 4, process);
    store_number(at + 8, type);
    if (size)
        memcpy(at + HEADER, payload, size);
    link->out_end += HEADER + size;
}

void link_send_number(struct link *link, uint32_t process, enum link_type type, uint32_t number)
{
    uint8_t bytes[4];

    store_number(bytes, number);
    link_send(link, process, type, bytes, sizeof(bytes));
}

bool link_wants_write(const struct link *link)
{
    return link->out_end != link->out_start;
}

bool link_write(struct link *link)
{
    while (link_wants_write(link)) {
        const uint8_t *at = link->out + link->out_start;
        size_t size = link->out_end - link->out_start;
        ssize_t done = link->takes_turns ? semihost_write(link->to, at, size)
                                         : write(link->fd, at, size);
        if (done < 0)
            return errno == EAGAIN || errno == EINTR;
        link->out_start += (size_t)done;
    }
    return true;
}

/* Hands on the whole frames at the start of the buffer; returns how many bytes they took, or
 * SIZE_MAX for a frame that can't be. */
static size_t take_frames(struct link *link,
                          void (*take)(void *context, const struct link_frame *frame),
                          void *context)
{
    size_t at = 0;

    while (link->in_used - at >= HEADER) {
        const uint8_t *header = link->in + at;
        struct link_frame frame = {.size = link_number(header),
                                   .process = link_number(header + 4),
                                   .type = link_number(header + 8),
                                   .payload = header + HEADER};

        if (frame.size > LINK_PAYLOAD_MAX)
            return SIZE_MAX;
        if (link->in_used - at < HEADER + frame.size)
            break;
        take(context, &frame);
        at += HEADER + frame.size;
    }
    return at;
}

bool link_read(struct link *link, void (*take)(void *context, const struct link_frame *frame),
               void *context)
{
    uint8_t *at = link->in + link->in_used;
    size_t size = IN_SIZE - link->in_used;
    ssize_t got = link->takes_turns ? semihost_read(link->from, at, size)
                                    : read(link->fd, at, size);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    link->in_used += (size_t)got;
    size_t taken = take_frames(link, take, context);
    if (taken == SIZE_MAX)
        return false;
    memmove(link->in, link->in + taken, link->in_used - taken);
    link->in_used -= taken;
    return true;
}

/* What the outside's turn is made of, up to its LINK_TURN. */
struct turn {
    void (*take)(void *context, const struct link_frame *frame);
    void *context;
    bool over;
};

static void take_of_turn(void *context, const struct link_frame *frame)
{
    struct turn *turn = context;

    if (frame->type == LINK_TURN)
        turn->over = true;
    else
        turn->take(turn->context, frame);
}

bool link_take_turns(struct link *link,
                     void (*take)(void *context, const struct link_frame *frame), void *context)
{
    struct turn turn = {.take = take, .context = context};

    link_send(link, 0, LINK_TURN, NULL, 0);
    if (!link_write(link))
        return false;
    while (!turn.over) {
        if (!link_read(link, take_of_turn, &turn))
            return false;
    }
    return true;
}
