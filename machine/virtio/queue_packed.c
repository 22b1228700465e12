/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed virtqueues, section 2.8. next_avail and next_used are places in the ring, each with its
 * wrap counter. The places between the two are with the device, at most ring_size of them: a driver
 * that reuses them early breaks the queue instead of making the device hold more.
 */
#include "machine/virtio/queue_ring.h"

#define DESC_F_AVAIL 0x0080u
#define DESC_F_USED 0x8000u

/* Event suppression structure, section 2.8.10: read and written as one word. */
#define EVENT_FLAGS_SHIFT 16u
#define EVENT_ENABLE 0u
#define EVENT_DISABLE 1u
#define EVENT_DESC 2u
#define EVENT_WRAP 0x8000u

struct packed_descriptor { /* what is written for a used one; the address stays the driver's */
    uint64_t address;
    uint32_t len;
    uint16_t id;
    uint16_t flags;
};

static struct packed_descriptor *descriptor_at(const struct virtqueue *queue, uint32_t at)
{
    return (struct packed_descriptor *)queue->ring_descriptors + at;
}

static bool is_available(const struct virtqueue *queue, uint16_t flags)
{
    bool avail = flags & DESC_F_AVAIL;
    bool used = flags & DESC_F_USED;

    return avail == queue->avail_wrap && used != avail;
}

static uint32_t in_flight(const struct virtqueue *queue)
{
    uint32_t lap = queue->avail_wrap != queue->used_wrap ? queue->ring_size : 0;

    return lap + queue->next_avail - queue->next_used;
}

static void advance(const struct virtqueue *queue, uint16_t *place, bool *wrap, uint32_t slots)
{
    uint32_t to = *place + slots;

    if (to >= queue->ring_size) {
        to -= queue->ring_size;
        *wrap = !*wrap;
    }
    *place = (uint16_t)to;
}

/* All entries of an indirect table, in their order; only WRITE counts among their flags, 2.8.7 */
static bool walk_indirect(const struct virtqueue *queue, const struct ring_descriptor *from,
                          struct virtio_chain *to, struct ring_chain *chain)
{
    uint32_t entries;
    const uint8_t *table = ring_indirect_table(queue, from, &entries);

    if (table == NULL || entries > VIRTQUEUE_SEGMENTS) {
        return false;
    }
    for (uint32_t i = 0; i < entries; i++) {
        struct ring_descriptor descriptor =
            ring_descriptor_read(table + (uint64_t)i * RING_DESCRIPTOR_SIZE);

        if ((descriptor.fourth & RING_F_INDIRECT) ||
            !ring_chain_add(queue, to, chain, &descriptor, descriptor.fourth & RING_F_WRITE)) {
            return false;
        }
    }
    return true;
}

/* The buffer's ID is that of its last descriptor, 2.8.6. Slots that are with the device already
 * end the walk, so it makes at most ring_size steps. */
static bool walk(const struct virtqueue *queue, struct virtio_chain *ret_chain)
{
    struct ring_chain chain = ring_chain_begin(ret_chain);
    uint32_t room = MIN(queue->ring_size - in_flight(queue), VIRTQUEUE_SEGMENTS);
    uint32_t at = queue->next_avail;
    uint32_t slots = 0;

    while (slots < room) {
        struct ring_descriptor descriptor = ring_descriptor_read(descriptor_at(queue, at));
        uint32_t flags = descriptor.fourth;
        bool last = !(flags & RING_F_NEXT);

        slots++;
        at = at + 1 == queue->ring_size ? 0 : at + 1;
        if (flags & RING_F_INDIRECT) {
            if (!last || !walk_indirect(queue, &descriptor, ret_chain, &chain)) {
                return false;
            }
        } else if (!ring_chain_add(queue, ret_chain, &chain, &descriptor, flags & RING_F_WRITE)) {
            return false;
        }
        if (last) {
            ret_chain->id = descriptor.third;
            ret_chain->slots = (uint16_t)slots;
            return ring_chain_end(&chain, ret_chain);
        }
    }
    return false;
}

enum virtqueue_result virtqueue_packed_pop(struct virtqueue *queue, struct virtio_chain *ret_chain)
{
    /* Acquire: the driver wrote the rest of the chain before the first descriptor's flags. */
    uint16_t flags = ring_load16_acquire(&descriptor_at(queue, queue->next_avail)->flags);

    if (!is_available(queue, flags)) {
        return VIRTQUEUE_EMPTY;
    }
    if (!walk(queue, ret_chain)) {
        return ring_broken(queue);
    }
    advance(queue, &queue->next_avail, &queue->avail_wrap, ret_chain->slots);
    return VIRTQUEUE_OK;
}

void virtqueue_packed_unpop(struct virtqueue *queue, uint16_t slots)
{
    if (queue->next_avail < slots) {
        queue->next_avail = (uint16_t)(queue->next_avail + queue->ring_size);
        queue->avail_wrap = !queue->avail_wrap;
    }
    queue->next_avail = (uint16_t)(queue->next_avail - slots);
}

void virtqueue_packed_push_at(struct virtqueue *queue, uint16_t ahead, uint16_t id, uint16_t slots,
                              uint32_t written)
{
    uint16_t at = queue->next_used;
    bool wrap = queue->used_wrap;
    struct packed_descriptor *descriptor;
    uint32_t flags;

    if (ahead == 0) {
        queue->staged_slots = 0;
    }
    advance(queue, &at, &wrap, queue->staged_slots);
    queue->staged_slots = (uint16_t)(queue->staged_slots + slots);
    descriptor = descriptor_at(queue, at);
    flags = (wrap ? DESC_F_AVAIL | DESC_F_USED : 0) | (written != 0 ? RING_F_WRITE : 0);
    __atomic_store_n(&descriptor->len, written, __ATOMIC_RELAXED);
    ring_store16(&descriptor->id, id);
    if (ahead == 0) {
        queue->staged_flags = (uint16_t)flags;
    } else {
        /* Release: the driver that sees these flags sees this ID and length. */
        ring_store16_release(&descriptor->flags, (uint16_t)flags);
    }
}

void virtqueue_packed_publish(struct virtqueue *queue)
{
    /* Release: all that was staged, and the data in the buffers, is there before the driver finds
     * the first of them used. */
    ring_store16_release(&descriptor_at(queue, queue->next_used)->flags, queue->staged_flags);
    advance(queue, &queue->next_used, &queue->used_wrap, queue->staged_slots);
    queue->unsignalled += queue->staged_slots;
    queue->staged_slots = 0;
}

bool virtqueue_packed_wants_interrupt(struct virtqueue *queue)
{
    uint32_t slots = queue->unsignalled;
    uint32_t event, kind;
    uint16_t place;

    queue->unsignalled = 0;
    /* The used flags are stored before the driver's wish is loaded: it enables interrupts, then
     * looks at the ring once more. */
    ring_fence();
    event = __atomic_load_n((const uint32_t *)queue->ring_driver, __ATOMIC_RELAXED);
    kind = (event >> EVENT_FLAGS_SHIFT) & 3;
    if (kind != EVENT_DESC || !queue->event_idx) {
        return kind != EVENT_DISABLE;
    }
    place = event & (EVENT_WRAP - 1);
    if (((event & EVENT_WRAP) != 0) != queue->used_wrap) {
        place = (uint16_t)(place - queue->ring_size); /* in the lap before */
    }
    return slots >= queue->ring_size ||
           ring_event_passed(place, queue->next_used, (uint16_t)(queue->next_used - slots));
}

bool virtqueue_packed_notifications(struct virtqueue *queue, bool enable)
{
    uint32_t event = EVENT_DISABLE << EVENT_FLAGS_SHIFT;

    if (enable && queue->event_idx) {
        event = (EVENT_DESC << EVENT_FLAGS_SHIFT) | queue->next_avail |
                (queue->avail_wrap ? EVENT_WRAP : 0);
    } else if (enable) {
        event = EVENT_ENABLE << EVENT_FLAGS_SHIFT;
    }
    __atomic_store_n((uint32_t *)queue->ring_device, event, __ATOMIC_RELAXED);
    if (!enable) {
        return false;
    }
    ring_fence(); /* our wish is stored before the flags are loaded; the driver does the reverse */
    return is_available(queue, ring_load16(&descriptor_at(queue, queue->next_avail)->flags));
}
