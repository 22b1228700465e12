/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues: start and reset, the choice between the formats (one branch that is always taken the
 * same way), and copies in and out of chains.
 *
 * A queue that isn't running gives nothing and takes nothing: a back end that finishes late, after
 * the queue broke, does no harm.
 */
#include "machine/virtio/queue.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include "machine/virtio/queue_ring.h"
#include "machine/virtio/virtio.h"

struct area {
    uint64_t size;
    uint64_t align;
};

/* An area of a ring: where it is, or NULL if it isn't aligned or isn't all RAM. */
static void *find_area(const struct virtqueue *queue, uint64_t ipa, uint64_t size, uint64_t align)
{
    return IS_ALIGNED(ipa, align) ? queue->ops->memory_at(queue->vm, ipa, size) : NULL;
}

bool virtqueue_start(struct virtqueue *queue, const struct vm_ops *ops, void *vm, uint64_t features)
{
    /* Sections 2.7 and 2.8: descriptors, driver's and device's area. */
    const struct area split[3] = {
        {16ull * queue->size, 16}, {6 + 2ull * queue->size, 2}, {6 + 8ull * queue->size, 4}};
    const struct area packed[3] = {{16ull * queue->size, 16}, {4, 4}, {4, 4}};
    const struct area *areas = features & VIRTIO_F_RING_PACKED ? packed : split;

    queue->ops = ops;
    queue->vm = vm;
    queue->packed = features & VIRTIO_F_RING_PACKED;
    queue->event_idx = features & VIRTIO_F_EVENT_IDX;
    queue->indirect = features & VIRTIO_F_INDIRECT_DESC;
    queue->ring_size = queue->size;
    if (queue->size == 0 || queue->size > queue->size_max ||
        (!queue->packed && !IS_POWER_OF_2(queue->size))) {
        return false;
    }
    queue->ring_descriptors = find_area(queue, queue->descriptors, areas[0].size, areas[0].align);
    queue->ring_driver = find_area(queue, queue->driver, areas[1].size, areas[1].align);
    queue->ring_device = find_area(queue, queue->device, areas[2].size, areas[2].align);
    if (queue->ring_descriptors == NULL || queue->ring_driver == NULL ||
        queue->ring_device == NULL) {
        return false;
    }
    queue->next_avail = queue->next_used = queue->avail_seen = 0;
    queue->avail_wrap = queue->used_wrap = true;
    queue->unsignalled = 0;
    queue->staged_slots = 0;
    queue->broken = false;
    queue->running = true;
    virtqueue_notifications(queue, true);
    return true;
}

void virtqueue_reset(struct virtqueue *queue)
{
    uint16_t size_max = queue->size_max;

    memset(queue, 0, sizeof(*queue));
    queue->size_max = size_max;
}

enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtio_chain *ret_chain)
{
    if (unlikely(!queue->running)) {
        return queue->broken ? VIRTQUEUE_BROKEN : VIRTQUEUE_EMPTY;
    }
    return queue->packed ? virtqueue_packed_pop(queue, ret_chain)
                         : virtqueue_split_pop(queue, ret_chain);
}

void virtqueue_unpop(struct virtqueue *queue, const struct virtio_chain *chain)
{
    if (queue->packed) {
        virtqueue_packed_unpop(queue, chain->slots);
    } else {
        queue->next_avail--;
    }
}

void virtqueue_push(struct virtqueue *queue, uint16_t id, uint16_t slots, uint32_t written)
{
    virtqueue_push_at(queue, 0, id, slots, written);
    virtqueue_publish(queue, 1);
}

void virtqueue_push_at(struct virtqueue *queue, uint16_t ahead, uint16_t id, uint16_t slots,
                       uint32_t written)
{
    if (unlikely(!queue->running)) {
        return;
    }
    if (queue->packed) {
        virtqueue_packed_push_at(queue, ahead, id, slots, written);
    } else {
        virtqueue_split_push_at(queue, ahead, id, written);
    }
}

void virtqueue_publish(struct virtqueue *queue, uint16_t count)
{
    if (unlikely(!queue->running || count == 0)) {
        return;
    }
    if (queue->packed) {
        virtqueue_packed_publish(queue);
    } else {
        virtqueue_split_publish(queue, count);
    }
}

bool virtqueue_wants_interrupt(struct virtqueue *queue)
{
    if (!queue->running || queue->unsignalled == 0) {
        return false;
    }
    return queue->packed ? virtqueue_packed_wants_interrupt(queue)
                         : virtqueue_split_wants_interrupt(queue);
}

bool virtqueue_notifications(struct virtqueue *queue, bool enable)
{
    if (!queue->running) {
        return false;
    }
    return queue->packed ? virtqueue_packed_notifications(queue, enable)
                         : virtqueue_split_notifications(queue, enable);
}

/* One copy for both directions: `to_guest` chooses the segments and the way. */
static size_t copy(const struct virtio_chain *chain, bool to_guest, size_t offset, uint8_t *buffer,
                   size_t size)
{
    const struct virtio_segment *segment = chain->segments + (to_guest ? chain->nr_out : 0);
    const struct virtio_segment *end = segment + (to_guest ? chain->nr_in : chain->nr_out);
    size_t done = 0;

    for (; segment < end && done < size; segment++) {
        size_t part;

        if (offset >= segment->size) {
            offset -= segment->size;
            continue;
        }
        part = MIN(segment->size - offset, size - done);
        if (to_guest) {
            memcpy(segment->base + offset, buffer + done, part);
        } else {
            memcpy(buffer + done, segment->base + offset, part);
        }
        done += part;
        offset = 0;
    }
    return done;
}

size_t virtio_chain_read(const struct virtio_chain *chain, size_t offset, void *to, size_t size)
{
    return copy(chain, false, offset, to, size);
}

size_t virtio_chain_write(const struct virtio_chain *chain, size_t offset, const void *from,
                          size_t size)
{
    /* The cast drops const from what copy() only reads in this direction. */
    return copy(chain, true, offset, (uint8_t *)(uintptr_t)from, size);
}
