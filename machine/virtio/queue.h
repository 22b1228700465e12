/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues, VIRTIO 1.2 sections 2.6 to 2.8: split and packed behind one set of calls.
 *
 * The guest writes rings and descriptors while we read them. So: the ring's addresses and size are
 * taken once, at virtqueue_start(), and checked to be RAM then; each descriptor is copied once and
 * only the copy is looked at; a chain has at most VIRTQUEUE_SEGMENTS segments, the queue's size
 * bounds each walk, and what breaks a rule makes the queue VIRTQUEUE_BROKEN, for good, until
 * reset. Nobody here takes a lock: the device's lock is held by the caller.
 */
#ifndef MACHINE_VIRTIO_QUEUE_H
#define MACHINE_VIRTIO_QUEUE_H

#include "bothy/types.h"
#include "machine/vm_ops.h"

#define VIRTQUEUE_SIZE_MAX 1024u
#define VIRTQUEUE_SEGMENTS 130u /* a block request of 128 data segments, header and status */

struct virtio_segment {
    uint8_t *base; /* guest RAM; the guest may write to it at any time */
    uint32_t size;
};

/* A chain of descriptors: the driver's buffers to read (out), then those to write (in). */
struct virtio_chain {
    uint16_t id;    /* split: index of the head; packed: buffer ID */
    uint16_t slots; /* packed: ring entries that it takes */
    uint16_t nr_out;
    uint16_t nr_in;
    uint32_t out_size; /* bytes in all; a chain of 4 GiB or more breaks the queue */
    uint32_t in_size;
    struct virtio_segment segments[VIRTQUEUE_SEGMENTS]; /* nr_out, then nr_in */
};

enum virtqueue_result { VIRTQUEUE_OK, VIRTQUEUE_EMPTY, VIRTQUEUE_BROKEN };

struct virtqueue {
    /* What the driver set, through the transport; read only by virtqueue_start(). */
    uint64_t descriptors, driver, device; /* IPAs of the three areas */
    uint16_t size;
    bool enabled;

    /* The transport's: what the device can at most, and the descriptors that others wait on. */
    uint16_t size_max;

    /* From virtqueue_start() on. */
    bool running;
    bool broken;
    bool packed, event_idx, indirect;
    uint16_t ring_size;
    void *ring_descriptors, *ring_driver, *ring_device; /* in guest RAM, whole */
    uint16_t next_avail;                                /* what is read next */
    uint16_t avail_seen;                                /* split: avail->idx as last read */
    uint16_t next_used;                                 /* where the next used goes */
    bool avail_wrap, used_wrap;                         /* packed: wrap counters */
    uint32_t unsignalled;  /* pushed since virtqueue_wants_interrupt(): entries or packed slots */
    uint16_t staged_slots; /* packed: by virtqueue_push_at(), not published yet */
    uint16_t staged_flags; /* packed: of the first of them */

    const struct vm_ops *ops;
    void *vm;
};

/* Take the driver's set-up. features: as negotiated. False if an area isn't RAM, is misaligned, or
 * the size is 0, over size_max, or (split) no power of 2. */
bool virtqueue_start(struct virtqueue *queue, const struct vm_ops *ops, void *vm,
                     uint64_t features);

/* As after reset: nothing enabled, nothing running; size_max stays. */
void virtqueue_reset(struct virtqueue *queue);

/* The next chain that the driver made available; *ret_chain is good only with VIRTQUEUE_OK, and
 * its unused segments are not written. Empty descriptors are left out, so a chain may have no
 * segment. At most ring_size chains are popped and not pushed at any time, whatever the driver
 * does. After VIRTQUEUE_BROKEN the device calls virtio_device_broken(). */
enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtio_chain *ret_chain);

/* Undo the last virtqueue_pop(), or several from the last one backwards; nothing was pushed in
 * between. For a device without room. */
void virtqueue_unpop(struct virtqueue *queue, const struct virtio_chain *chain);

/* Give a chain back, in any order: `written` bytes of its in-segments were filled. Ignored when the
 * queue doesn't run (any more). */
void virtqueue_push(struct virtqueue *queue, uint16_t id, uint16_t slots, uint32_t written);

/* Several used chains at once (net's mergeable buffers): virtqueue_push_at() with `ahead` 0, 1, 2
 * and so on, in this order, fills the entries that come next, virtqueue_publish() shows all `count`
 * of them to the driver. `ahead` 0 begins anew and forgets what was not published. Packed: the
 * first entry's flags are written last. */
void virtqueue_push_at(struct virtqueue *queue, uint16_t ahead, uint16_t id, uint16_t slots,
                       uint32_t written);
void virtqueue_publish(struct virtqueue *queue, uint16_t count);

/* Whether the driver wants to be interrupted for what was pushed since the last call; false if
 * nothing was. */
bool virtqueue_wants_interrupt(struct virtqueue *queue);

/* Ask for (true) or do without (false) notifications. When asking, true is returned if chains
 * came in the meantime, for which no notification may arrive: look again. With EVENT_IDX only
 * asking does anything, and each drained queue must be asked for again:
 *     do {
 *         virtqueue_notifications(queue, false);
 *         while (virtqueue_pop(queue, &chain) == VIRTQUEUE_OK) ...
 *     } while (virtqueue_notifications(queue, true)); */
bool virtqueue_notifications(struct virtqueue *queue, bool enable);

/* Copy between a chain's segments and a buffer, from byte `offset` of the out- or in-part on;
 * returns the number of bytes, less than size at the end of the chain. */
size_t virtio_chain_read(const struct virtio_chain *chain, size_t offset, void *to, size_t size);
size_t virtio_chain_write(const struct virtio_chain *chain, size_t offset, const void *from,
                          size_t size);

#endif
