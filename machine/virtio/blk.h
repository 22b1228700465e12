/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk, VIRTIO 1.2 section 5.2: from chains to requests, and back with a status. Where the
 * sectors are is the back end's matter.
 *
 * A request is checked as a whole against the capacity before the back end sees it; its segments
 * point into guest RAM. The device's memory is the caller's; a request's is the back end's, asked
 * for when there is one, so that an idle disk costs nothing. At most as many requests of a queue
 * are under way as the queue has entries: a driver that makes more available is broken.
 */
#ifndef MACHINE_VIRTIO_BLK_H
#define MACHINE_VIRTIO_BLK_H

#include "bothy/types.h"
#include "machine/virtio/device.h"

#define BLK_SECTOR 512u
#define BLK_QUEUES_MAX 16u
#define BLK_SEGMENTS_MAX 128u /* of data, as offered to the driver in seg_max */
#define BLK_RANGES_MAX 16u    /* of one DISCARD or WRITE_ZEROES */
#define BLK_ID_SIZE 20u
#define BLK_DISCARD_SECTORS_MAX 0x400000u /* 2 GiB: one range */
#define BLK_ZEROES_SECTORS_MAX 0x20000u   /* 64 MiB, which may have to be written */

#define VIRTIO_BLK_F_SEG_MAX BIT(2)
#define VIRTIO_BLK_F_RO BIT(5)
#define VIRTIO_BLK_F_BLK_SIZE BIT(6)
#define VIRTIO_BLK_F_FLUSH BIT(9)
#define VIRTIO_BLK_F_TOPOLOGY BIT(10)
#define VIRTIO_BLK_F_CONFIG_WCE BIT(11)
#define VIRTIO_BLK_F_MQ BIT(12)
#define VIRTIO_BLK_F_DISCARD BIT(13)
#define VIRTIO_BLK_F_WRITE_ZEROES BIT(14)

enum blk_kind { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

/* VIRTIO_BLK_S_* */
enum blk_status { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2 };

/* Laid out as struct iovec is on LP64. */
struct blk_segment {
    uint8_t *base; /* guest RAM */
    uint64_t size; /* never 0 */
};

#define BLK_RANGE_UNMAP 1u /* WRITE_ZEROES: the range may be deallocated */
struct blk_range {
    uint64_t sector;
    uint32_t sectors;
    uint32_t flags;
};
_Static_assert(sizeof(struct blk_range) == sizeof(struct blk_segment), "they share an array");

struct blk_request {
    enum blk_kind kind;
    bool durable;      /* written through: on the medium before it completes */
    uint16_t queue;
    uint16_t id, slots;
    uint16_t entries;  /* used of segments[], or of the ranges in its place */
    uint32_t written;
    uint8_t *status;   /* guest RAM */
    uint64_t sector;   /* READ, WRITE */
    uint64_t size;     /* bytes in all; DISCARD, WRITE_ZEROES: of the ranges */
    struct blk_segment segments[];
};

static inline struct blk_range *blk_ranges(struct blk_request *request)
{
    return (struct blk_range *)(void *)request->segments;
}

/* Called with the device's lock held. */
struct blk_backend_ops {
    /* Memory for a request of up to `entries` segments or ranges, untouched; NULL: none, and the
     * request fails. Comes back by put(). */
    struct blk_request *(*get)(void *backend, uint16_t entries);
    void (*put)(void *backend, struct blk_request *request);
    /* Begin; it may complete within this call. False: not now (a limit); nothing was begun, and
     * the queue rests until virtio_blk_resume(). */
    bool (*submit)(void *backend, struct blk_request *request);
    /* Whether this thread may serve the queue. If not, the back end has it served soon, by
     * virtio_blk_serve() from one that may. */
    bool (*may_serve)(void *backend, uint16_t queue);
    /* More is waiting than is served at once: virtio_blk_serve() again, but after others. */
    void (*serve_again)(void *backend, uint16_t queue);
};

/* struct virtio_blk_config up to write_zeroes_may_unmap. */
struct blk_config {
    uint64_t capacity; /* sectors */
    uint32_t size_max;
    uint32_t seg_max;
    uint32_t geometry;
    uint32_t blk_size;
    uint8_t physical_block_exp;
    uint8_t alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback;
    uint8_t unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors;
    uint32_t max_discard_seg;
    uint32_t discard_sector_alignment;
    uint32_t max_write_zeroes_sectors;
    uint32_t max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap;
    uint8_t unused1[3];
};
#define BLK_CONFIG_SIZE 60u
_Static_assert(offsetof(struct blk_config, unused1) + 3 == BLK_CONFIG_SIZE, "section 5.2.4");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the configuration is little-endian");

/* What a disk is like. */
struct blk_setup {
    uint64_t sectors;
    uint32_t block_size;    /* the smallest that is efficient: 512, 4096 ...; power of 2 */
    uint32_t physical_size; /* of a block of the medium; at least block_size */
    bool readonly;
    uint8_t id[BLK_ID_SIZE]; /* the serial, padded with zeroes */
    uint16_t nr_queues;      /* 1 to BLK_QUEUES_MAX */
    uint16_t queue_size;
};

struct virtio_blk {
    struct virtio_device device;
    struct blk_config config;
    const struct blk_backend_ops *backend_ops;
    void *backend;
    bool readonly;
    uint8_t id[BLK_ID_SIZE];
    uint32_t used;    /* queues with used chains of which the driver wasn't told */
    uint32_t stalled; /* queues that wait for virtio_blk_resume() */
    uint32_t in_flight;
    uint16_t queue_in_flight[BLK_QUEUES_MAX];
    uint64_t nr_refused; /* requests that never reached the back end */
};

/* queues: setup->nr_queues of them, zeroed. All pointers but setup outlive the device. */
void virtio_blk_init(struct virtio_blk *blk, const struct blk_setup *setup,
                     struct virtqueue *queues, const struct blk_backend_ops *ops, void *backend);

/* All below: with the device's lock held. */

/* Take what the driver made available in this queue, as far as possible. */
void virtio_blk_serve(struct virtio_blk *blk, uint16_t queue);

/* The limit that made submit() return false is gone: serve the queues that rested. */
void virtio_blk_resume(struct virtio_blk *blk);

/* A request is done. The driver sees it at once, and is interrupted by virtio_blk_signal(), which
 * comes after the last of a batch. The request goes back by put(). */
void virtio_blk_complete(struct virtio_blk *blk, struct blk_request *request,
                         enum blk_status status);
void virtio_blk_signal(struct virtio_blk *blk);

void virtio_blk_set_capacity(struct virtio_blk *blk, uint64_t sectors);

#endif
