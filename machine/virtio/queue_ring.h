/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two ring formats share: how guest memory is read, and how a chain is put together. Only
 * for queue.c, queue_split.c and queue_packed.c.
 *
 * The guest may change each word at any time. So a word is loaded by exactly one load, which the
 * compiler may neither repeat nor split, into a local; only that is checked and used.
 */
#ifndef MACHINE_VIRTIO_QUEUE_RING_H
#define MACHINE_VIRTIO_QUEUE_RING_H

#include "bothy/bits.h"
#include "machine/virtio/queue.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are read as they are");

#define RING_DESCRIPTOR_SIZE 16u
#define RING_F_NEXT 1u
#define RING_F_WRITE 2u
#define RING_F_INDIRECT 4u

/* A descriptor, copied. Sections 2.7.5 and 2.8.4: the last two words have other places. */
struct ring_descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t third;  /* split: flags; packed: buffer ID */
    uint16_t fourth; /* split: next; packed: flags */
};

/* An indirect table may lie at any address; these two loads are the only ones of a descriptor. */
typedef uint64_t __attribute__((aligned(1))) ring_word64;

static inline struct ring_descriptor ring_descriptor_read(const void *at)
{
    const volatile ring_word64 *words = at;
    uint64_t address = words[0];
    uint64_t rest = words[1];

    return (struct ring_descriptor){address, (uint32_t)rest, (uint16_t)(rest >> 32),
                                    (uint16_t)(rest >> 48)};
}

static inline uint16_t ring_load16(const uint16_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline uint16_t ring_load16_acquire(const uint16_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline void ring_store16(uint16_t *at, uint16_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static inline void ring_store16_release(uint16_t *at, uint16_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* Between a store that the driver looks at and a load of what it stored meanwhile: either it sees
 * ours or we see its. Only a full fence keeps a store before a later load. */
static inline void ring_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline enum virtqueue_result ring_broken(struct virtqueue *queue)
{
    queue->broken = true;
    queue->running = false;
    return VIRTQUEUE_BROKEN;
}

/* A chain that is being put together; all of it in registers. */
struct ring_chain {
    struct virtio_segment *next;
    struct virtio_segment *first_in; /* NULL: only buffers to read so far */
    uint64_t size;                   /* of all */
    uint64_t out_size;               /* once there is a first_in */
};

static inline struct ring_chain ring_chain_begin(struct virtio_chain *chain)
{
    return (struct ring_chain){.next = chain->segments};
}

/* Add a buffer to a chain. False if that breaks a rule: readable behind writable, not RAM, too
 * many. An empty one is allowed and leaves no trace. */
static inline bool ring_chain_add(const struct virtqueue *queue, struct virtio_chain *to,
                                  struct ring_chain *chain, const struct ring_descriptor *from,
                                  bool writable)
{
    struct virtio_segment *segment = chain->next;

    if (unlikely(!writable && chain->first_in != NULL)) {
        return false;
    }
    if (unlikely(from->size == 0)) {
        return true;
    }
    if (unlikely(segment == to->segments + VIRTQUEUE_SEGMENTS)) {
        return false;
    }
    segment->base = queue->ops->memory_at(queue->vm, from->address, from->size);
    segment->size = from->size;
    if (writable && chain->first_in == NULL) {
        chain->first_in = segment;
        chain->out_size = chain->size;
    }
    chain->size += from->size;
    chain->next++;
    return segment->base != NULL;
}

/* The counts. False if the chain has 4 GiB or more; VIRTQUEUE_SEGMENTS can't overflow 64 bits. */
static inline bool ring_chain_end(const struct ring_chain *chain, struct virtio_chain *to)
{
    bool has_in = chain->first_in != NULL;
    const struct virtio_segment *first_in = has_in ? chain->first_in : chain->next;
    uint64_t out_size = has_in ? chain->out_size : chain->size;

    to->nr_out = (uint16_t)(first_in - to->segments);
    to->nr_in = (uint16_t)(chain->next - first_in);
    to->out_size = (uint32_t)out_size;
    to->in_size = (uint32_t)(chain->size - out_size);
    return likely(chain->size <= UINT32_MAX);
}

/* The table that an indirect descriptor refers to and its number of entries; NULL if that isn't
 * whole descriptors in RAM, or is not negotiated. */
static inline const uint8_t *ring_indirect_table(const struct virtqueue *queue,
                                                 const struct ring_descriptor *from,
                                                 uint32_t *ret_entries)
{
    if (!queue->indirect || from->size == 0 || from->size % RING_DESCRIPTOR_SIZE != 0) {
        return NULL;
    }
    *ret_entries = from->size / RING_DESCRIPTOR_SIZE;
    return queue->ops->memory_at(queue->vm, from->address, from->size);
}

/* Whether `event` lies in (old, now], modulo 65536: section 2.7.10 */
static inline bool ring_event_passed(uint16_t event, uint16_t now, uint16_t old)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

enum virtqueue_result virtqueue_split_pop(struct virtqueue *queue, struct virtio_chain *ret_chain);
void virtqueue_split_push_at(struct virtqueue *queue, uint16_t ahead, uint16_t id,
                             uint32_t written);
void virtqueue_split_publish(struct virtqueue *queue, uint16_t count);
bool virtqueue_split_wants_interrupt(struct virtqueue *queue);
bool virtqueue_split_notifications(struct virtqueue *queue, bool enable);

enum virtqueue_result virtqueue_packed_pop(struct virtqueue *queue, struct virtio_chain *ret_chain);
void virtqueue_packed_unpop(struct virtqueue *queue, uint16_t slots);
void virtqueue_packed_push_at(struct virtqueue *queue, uint16_t ahead, uint16_t id, uint16_t slots,
                              uint32_t written);
void virtqueue_packed_publish(struct virtqueue *queue);
bool virtqueue_packed_wants_interrupt(struct virtqueue *queue);
bool virtqueue_packed_notifications(struct virtqueue *queue, bool enable);

#endif
