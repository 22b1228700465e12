/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over a stream socket. What arrives is read in bulk and cut into frames; a frame of which
 * the socket took only a part is kept here until it takes the rest, because the guest has its
 * buffer back by then.
 *
 * Invariants: begin <= end <= size of `in`; while link.unsent, that is unsent_size != 0, nothing
 * else is written.
 */
#include "bothy/bits.h"
#include "vmm/devices/net_user.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_SIZE 4u
#define STREAM_FRAME_MAX (LENGTH_SIZE + VIRTIO_NET_FRAME_MAX)

struct net_stream {
    struct net_link link; /* first: the ops get this */
    const char *peer;
    bool drained; /* the last read has emptied the socket: epoll will tell of more */
    uint32_t begin, end;           /* in `in`: received and not delivered */
    uint32_t unsent_at, unsent_size; /* in `out` */
    uint8_t in[STREAM_FRAME_MAX];  /* both are touched only as far as there is traffic */
    uint8_t out[STREAM_FRAME_MAX];
};

static struct net_stream *stream_of(struct net_link *link)
{
    return (struct net_stream *)(void *)link;
}

static enum virtio_net_result lose(struct net_stream *stream, const char *what)
{
    stream->link.gone = true;
    snprintf(stream->link.reason, sizeof(stream->link.reason), "%s %s", stream->peer, what);
    return VIRTIO_NET_DROPPED;
}

static bool is_temporary(int errno_value)
{
    return errno_value == EAGAIN || errno_value == EINTR || errno_value == ENOBUFS;
}

/* ---- Sending ---- */

/* Keep what the socket didn't take of the length and the segments: bytes from `sent` on. */
static void keep_rest(struct net_stream *stream, const struct iovec *iovec, uint32_t count,
                      uint32_t sent)
{
    stream->unsent_at = 0;
    stream->unsent_size = 0;
    stream->link.unsent = true;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = (uint32_t)iovec[i].iov_len;
        uint32_t skip = MIN(size, sent);

        memcpy(stream->out + stream->unsent_size, (const uint8_t *)iovec[i].iov_base + skip,
               size - skip);
        stream->unsent_size += size - skip;
        sent -= skip;
    }
}

static void stream_flush(struct net_link *link)
{
    struct net_stream *stream = stream_of(link);
    ssize_t sent = send(link->fds[0], stream->out + stream->unsent_at, stream->unsent_size,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent >= 0) {
        stream->unsent_at += (uint32_t)sent;
        stream->unsent_size -= (uint32_t)sent;
        link->unsent = stream->unsent_size != 0;
    } else if (!is_temporary(errno)) {
        lose(stream, "has ended");
    }
}

static enum virtio_net_result stream_send(struct net_link *link, uint16_t pair,
                                          const struct virtio_segment *segments, uint32_t count,
                                          uint32_t size)
{
    struct net_stream *stream = stream_of(link);
    struct iovec iovec[1 + VIRTIO_NET_SEGMENTS];
    struct msghdr message = {.msg_iov = iovec, .msg_iovlen = count + 1};
    uint8_t length[LENGTH_SIZE] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16),
                                   (uint8_t)(size >> 8), (uint8_t)size};
    ssize_t sent;

    (void)pair;
    if (link->unsent) {
        return link->gone ? VIRTIO_NET_DROPPED : VIRTIO_NET_WAIT;
    }
    iovec[0] = (struct iovec){length, sizeof(length)};
    net_to_iovec(segments, count, iovec + 1);
    sent = sendmsg(link->fds[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        return is_temporary(errno) ? VIRTIO_NET_WAIT : lose(stream, "has ended");
    }
    if ((uint32_t)sent < LENGTH_SIZE + size) {
        keep_rest(stream, iovec, count + 1, (uint32_t)sent);
    }
    return VIRTIO_NET_OK;
}

/* ---- Receiving ---- */

/* Bytes of the next frame with its length; 0: not even that is there; above STREAM_FRAME_MAX: the
 * other end speaks something else. */
static uint32_t next_size(const struct net_stream *stream)
{
    const uint8_t *at = stream->in + stream->begin;
    uint32_t size;

    if (stream->end - stream->begin < LENGTH_SIZE) {
        return 0;
    }
    size = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    return size == 0 || size > VIRTIO_NET_FRAME_MAX ? UINT32_MAX : LENGTH_SIZE + size;
}

static bool is_whole(const struct net_stream *stream, uint32_t size)
{
    return size != 0 && size <= stream->end - stream->begin;
}

/* More bytes from the socket. False: none, and if the link isn't gone, none yet. */
static bool fill(struct net_stream *stream)
{
    uint32_t left = stream->end - stream->begin;
    ssize_t size;

    /* A partial frame moves to the front, where there is room for any. */
    memmove(stream->in, stream->in + stream->begin, left);
    stream->begin = 0;
    stream->end = left;
    size = recv(stream->link.fds[0], stream->in + left, sizeof(stream->in) - left, MSG_DONTWAIT);
    if (size <= 0) {
        if (size == 0 || !is_temporary(errno)) {
            lose(stream, "has ended");
        }
        return false;
    }
    stream->end += (uint32_t)size;
    stream->drained = stream->end < sizeof(stream->in);
    return true;
}

static enum virtio_net_result stream_receive(struct net_link *link, uint16_t pair,
                                             const struct virtio_segment *segments,
                                             uint32_t count, uint32_t *ret_size)
{
    struct net_stream *stream = stream_of(link);
    uint32_t size = next_size(stream);
    const uint8_t *from;
    uint32_t left;

    (void)pair;
    link->buffered = false;
    if (size <= STREAM_FRAME_MAX && !is_whole(stream, size)) {
        if (stream->drained) {
            stream->drained = false;
            return VIRTIO_NET_WAIT;
        }
        if (!fill(stream)) {
            return link->gone ? VIRTIO_NET_DROPPED : VIRTIO_NET_WAIT;
        }
        size = next_size(stream);
    }
    if (size > STREAM_FRAME_MAX) {
        return lose(stream, "sends frames of an impossible size; it is no longer listened to");
    }
    if (!is_whole(stream, size)) {
        return VIRTIO_NET_WAIT; /* the rest raises another event */
    }
    from = stream->in + stream->begin + LENGTH_SIZE;
    left = size - LENGTH_SIZE;
    for (uint32_t i = 0; i < count && left > 0; i++) {
        uint32_t part = MIN(segments[i].size, left);

        memcpy(segments[i].base, from, part);
        from += part;
        left -= part;
    }
    *ret_size = size - LENGTH_SIZE - left;
    stream->begin += size;
    link->buffered = stream->begin < stream->end;
    return VIRTIO_NET_OK;
}

static void stream_destroy(struct net_link *link)
{
    close(link->fds[0]); /* passt ends when it sees this */
    free(stream_of(link));
}

static void ignore_offloads(struct net_link *link, uint64_t offloads)
{
    (void)link;
    (void)offloads; /* none are offered */
}

static void ignore_pairs(struct net_link *link, uint16_t pairs)
{
    (void)link;
    (void)pairs;
}

static const struct net_link_ops stream_ops = {
    .send = stream_send,
    .receive = stream_receive,
    .flush = stream_flush,
    .set_offloads = ignore_offloads,
    .set_pairs = ignore_pairs,
    .destroy = stream_destroy,
};

struct net_link *net_stream_create(int fd, const char *peer)
{
    struct net_stream *stream = malloc(sizeof(*stream));

    if (stream == NULL) {
        return NULL;
    }
    memset(stream, 0, offsetof(struct net_stream, in));
    stream->link.ops = &stream_ops;
    stream->link.pairs = 1;
    stream->link.bulk = true;
    stream->link.fds[0] = fd;
    stream->peer = peer;
    return &stream->link;
}
