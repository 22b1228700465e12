/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory balloon, VIRTIO 1.2 section 5.5: pages that the driver gives back on request
 * (inflate), free pages that it reports of its own accord, and its statistics.
 *
 * Pages come back by being touched, so there is no MUST_TELL_HOST. Queues: the standard numbers
 * them from 0 to 4, Linux counts only those that the negotiated features have; without a
 * free_page_vq both can be had (queue_role() in balloon.c).
 */
#ifndef MACHINE_VIRTIO_BALLOON_H
#define MACHINE_VIRTIO_BALLOON_H

#include "bothy/types.h"
#include "machine/virtio/device.h"

#define BALLOON_QUEUES 5u
#define BALLOON_QUEUE_SIZE 128u
#define BALLOON_PAGE 4096u
#define BALLOON_CHAIN_PAGES 4096u /* of one inflate request; what is beyond stays the guest's */
#define BALLOON_STATS 10u

#define VIRTIO_BALLOON_F_STATS_VQ BIT(1)
#define VIRTIO_BALLOON_F_DEFLATE_ON_OOM BIT(2)
#define VIRTIO_BALLOON_F_PAGE_POISON BIT(4)
#define VIRTIO_BALLOON_F_PAGE_REPORTING BIT(5)

struct balloon_config {
    uint32_t num_pages; /* what the device asks for */
    uint32_t actual;    /* what the driver has given */
    uint32_t free_page_hint_cmd_id;
    uint32_t poison_val;
};

/* Called with the device's lock held. */
struct balloon_backend_ops {
    /* The guest doesn't need these bytes any more; they may read as zero from now on. Pages of 4
     * KiB, whole. */
    void (*release)(void *backend, void *at, uint64_t size);
    /* Whether this thread may serve the queue. If not, the back end has it served soon, by
     * virtio_balloon_serve() from one that may. */
    bool (*may_serve)(void *backend, uint16_t queue);
    /* More is waiting than is served at once: virtio_balloon_serve() again, but after others. */
    void (*serve_again)(void *backend, uint16_t queue);
    /* The driver's statistics, or `actual`, have been brought up to date. May be NULL. */
    void (*updated)(void *backend);
};

struct virtio_balloon {
    struct virtio_device device;
    struct virtqueue queues[BALLOON_QUEUES];
    struct balloon_config config;
    const struct balloon_backend_ops *backend_ops;
    void *backend;
    bool stats_held; /* a buffer of the driver's, to be given back for new ones */
    uint16_t stats_queue, stats_id, stats_slots;
    uint64_t stats[BALLOON_STATS];      /* by tag, section 5.5.6.4; UINT64_MAX: not told */
    uint64_t inflated, reported;        /* bytes so far */
    uint32_t pfns[BALLOON_CHAIN_PAGES]; /* of the request that is served */
};

/* features: of the four above. */
void virtio_balloon_init(struct virtio_balloon *balloon, uint64_t features, uint32_t num_pages,
                         const struct balloon_backend_ops *ops, void *backend);

/* All below: with the device's lock held. */

/* Serve one request of this queue; serve_again() if there may be more. */
void virtio_balloon_serve(struct virtio_balloon *balloon, uint16_t queue);

/* Ask the driver for this many pages. */
void virtio_balloon_set_target(struct virtio_balloon *balloon, uint32_t num_pages);

/* Ask the driver for statistics; false if it hasn't taken the last question back yet. */
bool virtio_balloon_ask(struct virtio_balloon *balloon);

#endif
