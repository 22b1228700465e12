/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving. The size of a frame isn't known before it is there. So as many buffers are offered to
 * the back end as the last frame took, and behind them the bounce buffer: what ends up there is
 * copied into further buffers of the guest. Without MRG_RXBUF a frame has one chain, and if that
 * is too small, none.
 *
 * A frame is never lost because the guest has no buffers at the moment: nothing is asked of the
 * back end then, and a frame of which a part has no place is stashed until it has.
 *
 * Invariant: chains that were popped are pushed or put back before a function returns.
 */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "machine/virtio/net.h"

#define HEADER_NUM_BUFFERS 10u /* offset of the little-endian 16 bits in the header */

struct buffer {
    uint16_t id;
    uint16_t slots;
    uint32_t size;
};

/* Popped chains, in order, and their segments one behind the other. */
struct buffers {
    uint32_t size; /* bytes in all */
    uint32_t nr_chains;
    uint32_t nr_segments;
    struct buffer chains[VIRTQUEUE_SEGMENTS];
    struct virtio_segment segments[VIRTQUEUE_SEGMENTS];
};

static void put_back(struct virtqueue *queue, struct buffers *buffers, uint32_t keep)
{
    struct virtio_chain chain;

    while (buffers->nr_chains > keep) {
        chain.slots = buffers->chains[--buffers->nr_chains].slots;
        virtqueue_unpop(queue, &chain);
    }
}

enum added { ADDED, ADDED_NONE, ADDED_FULL, ADDED_BROKEN };

static enum added add_chain(struct virtqueue *queue, struct buffers *buffers)
{
    struct virtio_chain chain;
    enum virtqueue_result result;
    uint32_t size;

    if (buffers->nr_chains == VIRTQUEUE_SEGMENTS) {
        return ADDED_FULL;
    }
    result = virtqueue_pop(queue, &chain);
    if (result != VIRTQUEUE_OK) {
        return result == VIRTQUEUE_EMPTY ? ADDED_NONE : ADDED_BROKEN;
    }
    if (chain.in_size == 0 ||
        (buffers->nr_chains == 0 && chain.in_size < VIRTIO_NET_HEADER)) {
        return ADDED_BROKEN;
    }
    if (buffers->nr_segments + chain.nr_in > VIRTQUEUE_SEGMENTS) {
        virtqueue_unpop(queue, &chain);
        return ADDED_FULL;
    }
    memcpy(&buffers->segments[buffers->nr_segments], &chain.segments[chain.nr_out],
           chain.nr_in * sizeof(chain.segments[0]));
    /* No more than any frame needs is counted: a guest's 4 GiB would make a 32-bit sum small. */
    size = MIN(chain.in_size, VIRTIO_NET_BOUNCE);
    buffers->nr_segments += chain.nr_in;
    buffers->chains[buffers->nr_chains++] = (struct buffer){chain.id, chain.slots, size};
    buffers->size += size;
    return ADDED;
}

/* Pop until there is room for `want` bytes. `must`: if the queue ends before, the driver is asked
 * to tell of more; this is done while all are popped, because a driver with EVENT_IDX is asked to
 * tell of the first one behind these. */
static enum added gather(struct virtqueue *queue, struct buffers *buffers, uint32_t want, bool must)
{
    enum added added = ADDED;

    while (buffers->size < want && added == ADDED) {
        added = add_chain(queue, buffers);
        if (added == ADDED_NONE && must && virtqueue_notifications(queue, true)) {
            added = ADDED;
        }
    }
    return added;
}

/* Copy into (to_guest) or out of the segments, from byte `offset` on. */
static void copy(const struct buffers *buffers, bool to_guest, uint32_t offset, uint8_t *bytes,
                 uint32_t size)
{
    for (uint32_t i = 0; i < buffers->nr_segments && size > 0; i++) {
        const struct virtio_segment *segment = &buffers->segments[i];
        uint32_t part;

        if (offset >= segment->size) {
            offset -= segment->size;
            continue;
        }
        part = MIN(segment->size - offset, size);
        if (to_guest) {
            memcpy(segment->base + offset, bytes, part);
        } else {
            memcpy(bytes, segment->base + offset, part);
        }
        bytes += part;
        size -= part;
        offset = 0;
    }
}

/* Give the driver a frame of `size` bytes that lies in the buffers, and put back the others. */
static void deliver(struct virtio_net *net, struct virtqueue *queue, struct buffers *buffers,
                    uint32_t size)
{
    uint32_t left = size;
    uint16_t used = 0;
    uint8_t count[2];

    while (left > 0 && used < buffers->nr_chains) {
        const struct buffer *buffer = &buffers->chains[used];
        uint32_t written = MIN(buffer->size, left);

        virtqueue_push_at(queue, used++, buffer->id, buffer->slots, written);
        left -= written;
    }
    count[0] = (uint8_t)used;
    count[1] = 0; /* VIRTQUEUE_SEGMENTS at most */
    copy(buffers, true, HEADER_NUM_BUFFERS, count, sizeof(count));
    put_back(queue, buffers, used);
    virtqueue_publish(queue, used);
    net->rx.frames++;
    net->rx.bytes += size - VIRTIO_NET_HEADER;
}

enum step { STEP_DONE, STEP_NOTHING, STEP_STARVED, STEP_BROKEN };

/* There is no room for a whole frame. Will there ever be? If the guest has given all that the ring
 * can hold, or more pieces than one frame may have, no. */
static enum step no_room(struct virtqueue *queue, struct buffers *buffers, enum added added)
{
    bool hopeless = added == ADDED_FULL || buffers->nr_chains >= queue->ring_size ||
                    buffers->nr_segments >= queue->ring_size;

    put_back(queue, buffers, 0);
    return added == ADDED_BROKEN ? STEP_BROKEN : hopeless ? STEP_DONE : STEP_STARVED;
}

static enum step deliver_stash(struct virtio_net *net, struct virtqueue *queue,
                               struct virtio_net_receiver *receiver)
{
    struct buffers buffers;
    enum added added;

    buffers.size = buffers.nr_chains = buffers.nr_segments = 0;
    added = gather(queue, &buffers, receiver->stashed, true);
    if (buffers.size < receiver->stashed) {
        enum step step = no_room(queue, &buffers, added);

        if (step == STEP_DONE) {
            receiver->stashed = 0;
            net->rx.dropped++;
        }
        return step;
    }
    copy(&buffers, true, 0, receiver->bounce, receiver->stashed);
    deliver(net, queue, &buffers, receiver->stashed);
    receiver->stashed = 0;
    return STEP_DONE;
}

/* The frame has `size` bytes, of which those from `capacity` on are in the bounce buffer. */
static enum step deliver_rest(struct virtio_net *net, struct virtqueue *queue,
                              struct virtio_net_receiver *receiver, struct buffers *buffers,
                              uint32_t size)
{
    uint32_t capacity = buffers->size;
    enum added added = ADDED_FULL;
    enum step step;

    if (net->device.features & VIRTIO_NET_F_MRG_RXBUF) {
        added = gather(queue, buffers, size, true);
    }
    if (buffers->size >= size) {
        copy(buffers, true, capacity, receiver->bounce + capacity, size - capacity);
        deliver(net, queue, buffers, size);
        return STEP_DONE;
    }
    copy(buffers, false, 0, receiver->bounce, capacity);
    step = no_room(queue, buffers, added);
    if (step == STEP_DONE) {
        net->rx.dropped++;
    } else if (step == STEP_STARVED) {
        receiver->stashed = size;
    }
    return step;
}

/* Ask the back end for a frame: into the buffers, and what doesn't fit behind where it would begin
 * in the bounce buffer. */
static enum virtio_net_result ask(struct virtio_net *net, uint16_t pair,
                                  const struct buffers *buffers, uint32_t *ret_size)
{
    static const uint8_t no_header[VIRTIO_NET_HEADER];
    struct virtio_segment window[VIRTIO_NET_SEGMENTS];
    struct virtio_segment *segments = window;
    uint32_t count = buffers->nr_segments;
    enum virtio_net_result result;

    memcpy(window, buffers->segments, count * sizeof(window[0]));
    if (buffers->size < VIRTIO_NET_BOUNCE) {
        window[count++] = (struct virtio_segment){net->receivers[pair].bounce + buffers->size,
                                                  VIRTIO_NET_BOUNCE - buffers->size};
    }
    if (net->has_header) {
        return net->backend_ops->receive(net->backend, pair, segments, count, ret_size);
    }
    count = virtio_net_skip(&segments, count, VIRTIO_NET_HEADER);
    result = net->backend_ops->receive(net->backend, pair, segments, count, ret_size);
    if (result == VIRTIO_NET_OK) {
        *ret_size += VIRTIO_NET_HEADER;
        copy(buffers, true, 0, (uint8_t *)(uintptr_t)no_header, sizeof(no_header));
    }
    return result;
}

static enum step receive_one(struct virtio_net *net, struct virtqueue *queue, uint16_t pair)
{
    struct virtio_net_receiver *receiver = &net->receivers[pair];
    bool mergeable = net->device.features & VIRTIO_NET_F_MRG_RXBUF;
    struct buffers buffers;
    enum added added;
    uint32_t size = 0;

    if (receiver->stashed != 0) {
        return deliver_stash(net, queue, receiver);
    }
    buffers.size = buffers.nr_chains = buffers.nr_segments = 0;
    added = gather(queue, &buffers, 1, true);
    if (added != ADDED) {
        return added == ADDED_BROKEN ? STEP_BROKEN : STEP_STARVED;
    }
    if (mergeable && gather(queue, &buffers, receiver->expected, false) == ADDED_BROKEN) {
        return STEP_BROKEN;
    }
    switch (ask(net, pair, &buffers, &size)) {
    case VIRTIO_NET_OK:
        break;
    case VIRTIO_NET_WAIT:
        put_back(queue, &buffers, 0);
        return STEP_NOTHING;
    default:
        put_back(queue, &buffers, 0);
        net->rx.dropped++;
        return STEP_DONE;
    }
    if (size < VIRTIO_NET_HEADER + VIRTIO_NET_FRAME_MIN || size >= VIRTIO_NET_BOUNCE) {
        put_back(queue, &buffers, 0);
        net->rx.errors++;
        return STEP_DONE;
    }
    receiver->expected = size;
    if (size > buffers.size) {
        return deliver_rest(net, queue, receiver, &buffers, size);
    }
    deliver(net, queue, &buffers, size);
    return STEP_DONE;
}

enum virtio_net_progress virtio_net_receive(struct virtio_net *net, uint16_t pair, uint32_t limit)
{
    struct virtqueue *queue = &net->device.queues[VIRTIO_NET_RX(pair)];
    struct virtio_net_receiver *receiver = &net->receivers[pair];
    enum step step = STEP_DONE;

    if (!virtio_device_is_running(&net->device) || pair >= net->pairs) {
        return VIRTIO_NET_STARVED;
    }
    if (receiver->notified) {
        virtqueue_notifications(queue, false);
        receiver->notified = false;
    }
    while (limit > 0 && step == STEP_DONE) {
        step = receive_one(net, queue, pair);
        limit--;
    }
    if (step == STEP_BROKEN) {
        virtio_net_broken(net);
        return VIRTIO_NET_STARVED;
    }
    virtio_device_used(&net->device, VIRTIO_NET_RX(pair));
    receiver->notified = step == STEP_STARVED;
    return step == STEP_DONE      ? VIRTIO_NET_MORE
           : step == STEP_STARVED ? VIRTIO_NET_STARVED
                                  : VIRTIO_NET_IDLE;
}
