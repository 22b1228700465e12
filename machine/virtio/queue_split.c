/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues, section 2.7. next_avail and next_used run freely modulo 65536; what is popped
 * and not pushed yet is next_avail - next_used, at most ring_size, so a driver that offers one
 * descriptor twice can't make a device hold more chains than the ring has entries.
 */
#include "machine/virtio/queue_ring.h"

#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY 1u

struct split_avail {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[]; /* ring_size, then used_event */
};

struct split_used_element {
    uint32_t id;
    uint32_t len;
};

struct split_used {
    uint16_t flags;
    uint16_t idx;
    struct split_used_element ring[]; /* ring_size, then avail_event, 16 bits */
};

static uint16_t *avail_event(const struct virtqueue *queue)
{
    struct split_used *used = queue->ring_device;

    return (uint16_t *)(void *)&used->ring[queue->ring_size];
}

/* Follow a chain. Each table is followed for at most as many steps as it has entries, so a loop
 * ends, and for no more than VIRTQUEUE_SEGMENTS, so a huge table does too. */
static bool walk(const struct virtqueue *queue, uint32_t head, struct virtio_chain *ret_chain)
{
    struct ring_chain chain = ring_chain_begin(ret_chain);
    const uint8_t *table = queue->ring_descriptors;
    uint32_t entries = queue->ring_size;
    uint32_t left = MIN(entries, VIRTQUEUE_SEGMENTS);
    uint32_t at = head;
    bool in_indirect = false;

    while (at < entries && left-- > 0) {
        struct ring_descriptor descriptor =
            ring_descriptor_read(table + (uint64_t)at * RING_DESCRIPTOR_SIZE);
        uint32_t flags = descriptor.third;

        if (flags & RING_F_INDIRECT) { /* its WRITE flag means nothing, 2.7.5.3.2 */
            if (in_indirect || (flags & RING_F_NEXT)) {
                return false;
            }
            table = ring_indirect_table(queue, &descriptor, &entries);
            if (table == NULL) {
                return false;
            }
            left = MIN(entries, VIRTQUEUE_SEGMENTS);
            at = 0;
            in_indirect = true;
            continue;
        }
        if (!ring_chain_add(queue, ret_chain, &chain, &descriptor, flags & RING_F_WRITE)) {
            return false;
        }
        if (!(flags & RING_F_NEXT)) {
            return ring_chain_end(&chain, ret_chain);
        }
        at = descriptor.fourth;
    }
    return false;
}

enum virtqueue_result virtqueue_split_pop(struct virtqueue *queue, struct virtio_chain *ret_chain)
{
    const struct split_avail *avail = queue->ring_driver;

    if (queue->next_avail == queue->avail_seen) {
        /* Acquire: the ring's entries and the descriptors were written before this index. */
        queue->avail_seen = ring_load16_acquire(&avail->idx);
        if (queue->next_avail == queue->avail_seen) {
            return VIRTQUEUE_EMPTY;
        }
        /* Nor may it go back: next_avail would run all the way round to it, over the ring. */
        if ((uint16_t)(queue->avail_seen - queue->next_avail) >
            queue->ring_size - (uint16_t)(queue->next_avail - queue->next_used)) {
            return ring_broken(queue);
        }
    }
    ret_chain->id = ring_load16(&avail->ring[queue->next_avail & (queue->ring_size - 1u)]);
    ret_chain->slots = 1;
    if (!walk(queue, ret_chain->id, ret_chain)) {
        return ring_broken(queue);
    }
    queue->next_avail++;
    return VIRTQUEUE_OK;
}

void virtqueue_split_push_at(struct virtqueue *queue, uint16_t ahead, uint16_t id, uint32_t written)
{
    struct split_used *used = queue->ring_device;
    struct split_used_element *element =
        &used->ring[(uint16_t)(queue->next_used + ahead) & (queue->ring_size - 1u)];

    __atomic_store_n(&element->id, id, __ATOMIC_RELAXED);
    __atomic_store_n(&element->len, written, __ATOMIC_RELAXED);
}

void virtqueue_split_publish(struct virtqueue *queue, uint16_t count)
{
    struct split_used *used = queue->ring_device;

    queue->next_used = (uint16_t)(queue->next_used + count);
    queue->unsignalled += count;
    /* Release: the elements, and the data in the buffers, are there before the index says so. */
    ring_store16_release(&used->idx, queue->next_used);
}

bool virtqueue_split_wants_interrupt(struct virtqueue *queue)
{
    const struct split_avail *avail = queue->ring_driver;
    uint32_t count = queue->unsignalled;

    queue->unsignalled = 0;
    /* The used index is stored before the driver's wish is loaded: it enables interrupts, then
     * looks at the index once more. */
    ring_fence();
    if (!queue->event_idx) {
        return !(ring_load16(&avail->flags) & AVAIL_F_NO_INTERRUPT);
    }
    return count > UINT16_MAX ||
           ring_event_passed(ring_load16(&avail->ring[queue->ring_size]), queue->next_used,
                             (uint16_t)(queue->next_used - count));
}

bool virtqueue_split_notifications(struct virtqueue *queue, bool enable)
{
    const struct split_avail *avail = queue->ring_driver;
    struct split_used *used = queue->ring_device;

    if (!queue->event_idx) {
        ring_store16(&used->flags, (uint16_t)(enable ? 0 : USED_F_NO_NOTIFY));
    } else if (enable) { /* left alone, it falls behind and asks for nothing */
        ring_store16(avail_event(queue), queue->next_avail);
    }
    if (!enable) {
        return false;
    }
    ring_fence(); /* our wish is stored before the index is loaded; the driver does the reverse */
    return ring_load16(&avail->idx) != queue->next_avail;
}
