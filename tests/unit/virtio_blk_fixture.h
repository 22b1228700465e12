/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk over a disk in memory, whose requests may be kept, refused or left without memory. */
#ifndef TESTS_UNIT_VIRTIO_BLK_FIXTURE_H
#define TESTS_UNIT_VIRTIO_BLK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/virtio/blk.h"
#include "tests/support/vring_driver.h"

#define SECTORS 4096u
#define QUEUES 2u
#define QUEUE_SIZE 16u

#define T_IN 0u
#define T_OUT 1u
#define T_FLUSH 4u
#define T_GET_ID 8u
#define T_DISCARD 11u
#define T_WRITE_ZEROES 13u

struct header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

struct fixture {
    struct virtio_blk blk;
    struct virtqueue queues[QUEUES];
    struct vring_driver *driver;
    uint8_t *disk;
    bool hold;       /* requests are kept until release() */
    bool refuse;     /* submit() returns false */
    bool no_memory;  /* get() returns NULL */
    bool elsewhere;  /* may_serve() returns false */
    struct blk_request *held[QUEUES * QUEUE_SIZE + 1];
    uint32_t nr_held;
    uint32_t nr_got; /* requests that were not put back */
    uint32_t nr_submitted;
    uint32_t nr_again;
    uint16_t entries; /* of the last request */
    bool durable;
    uint32_t random;
};

static inline struct blk_request *get(void *backend, uint16_t entries)
{
    struct fixture *f = backend;
    struct blk_request *request;

    if (f->no_memory) {
        return NULL;
    }
    f->nr_got++;
    /* Exactly as large as was asked for: a byte more is AddressSanitizer's. */
    request = malloc(sizeof(*request) + entries * sizeof(struct blk_segment));
    memset(request, 0xa5, sizeof(*request) + entries * sizeof(struct blk_segment));
    return request;
}

static inline void put(void *backend, struct blk_request *request)
{
    struct fixture *f = backend;

    f->nr_got--;
    free(request);
}

static inline void carry_out(struct fixture *f, struct blk_request *request)
{
    uint64_t at = request->sector * BLK_SECTOR;

    for (uint32_t i = 0; i < request->entries; i++) {
        const struct blk_segment *segment = &request->segments[i];
        const struct blk_range *range = &blk_ranges(request)[i];

        if (request->kind == BLK_READ) {
            memcpy(segment->base, f->disk + at, segment->size);
            at += segment->size;
        } else if (request->kind == BLK_WRITE) {
            memcpy(f->disk + at, segment->base, segment->size);
            at += segment->size;
        } else {
            memset(f->disk + range->sector * BLK_SECTOR, 0, range->sectors * BLK_SECTOR);
        }
    }
    virtio_blk_complete(&f->blk, request, BLK_OK);
}

static inline bool submit(void *backend, struct blk_request *request)
{
    struct fixture *f = backend;

    if (f->refuse) {
        return false;
    }
    f->nr_submitted++;
    f->entries = request->entries;
    f->durable = request->durable;
    if (f->hold) {
        assert_true(f->nr_held < QUEUES * QUEUE_SIZE);
        f->held[f->nr_held++] = request;
    } else {
        carry_out(f, request);
    }
    return true;
}

static inline bool may_serve(void *backend, uint16_t queue)
{
    return !((struct fixture *)backend)->elsewhere;
}

static inline void serve_again(void *backend, uint16_t queue)
{
    ((struct fixture *)backend)->nr_again++;
}

static const struct blk_backend_ops backend_ops = {get, put, submit, may_serve, serve_again};

static inline void make(struct fixture *f, bool readonly)
{
    struct blk_setup setup = {
        .sectors = SECTORS,
        .block_size = 512,
        .physical_size = 4096,
        .readonly = readonly,
        .id = "serial-0123456789abc",
        .nr_queues = QUEUES,
        .queue_size = QUEUE_SIZE,
    };

    memset(f->queues, 0, sizeof(f->queues));
    virtio_blk_init(&f->blk, &setup, f->queues, &backend_ops, f);
    f->driver = vring_driver_create(&f->blk.device, MIB(2));
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->random = 20260101;
    f->disk = malloc(SECTORS * BLK_SECTOR);
    for (uint32_t i = 0; i < SECTORS * BLK_SECTOR; i++) {
        f->disk[i] = (uint8_t)(i / BLK_SECTOR * 7 + i);
    }
    make(f, false);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    int left = (int)f->nr_got;

    vring_driver_destroy(f->driver);
    free(f->disk);
    free(f);
    return left;
}

static inline uint32_t draw(struct fixture *f, uint32_t below)
{
    f->random = f->random * 1664525u + 1013904223u;
    return (f->random >> 8) % below;
}

/* Cut `size` bytes in up to `most` buffers of guest memory; the first one holds `bytes`. */
static inline unsigned int cut(struct fixture *f, struct vring_buffer *buffers,
                               const uint8_t *bytes,
                        uint32_t size, unsigned int most)
{
    unsigned int count = 0;

    while (size > 0) {
        uint32_t part = count + 1 >= most ? size : 1 + draw(f, size);

        buffers[count++] = bytes != NULL ? vring_out(f->driver, bytes, part)
                                         : vring_in(f->driver, part);
        bytes = bytes != NULL ? bytes + part : NULL;
        size -= part;
    }
    return count;
}

struct request {
    uint32_t type;
    uint64_t sector;
    const void *out;
    uint32_t out_size;
    uint32_t in_size; /* without the status */
    unsigned int cuts; /* most buffers of each half; 0: header, data and status apart */
    bool indirect;
};

struct reply {
    uint8_t bytes[65536];
    uint8_t status;
    uint32_t written;
};

static inline unsigned int lay_out(struct fixture *f, const struct request *request,
                            struct vring_buffer *buffers)
{
    struct header header = {request->type, 0, request->sector};
    uint8_t out[sizeof(header) + 65536];
    unsigned int count = 0;

    memcpy(out, &header, sizeof(header));
    if (request->out_size != 0) {
        memcpy(out + sizeof(header), request->out, request->out_size);
    }
    if (request->cuts != 0) {
        count = cut(f, buffers, out, (uint32_t)sizeof(header) + request->out_size, request->cuts);
        return count + cut(f, buffers + count, NULL, request->in_size + 1, request->cuts);
    }
    buffers[count++] = vring_out(f->driver, &header, sizeof(header));
    if (request->out_size != 0) {
        buffers[count++] = vring_out(f->driver, request->out, request->out_size);
    }
    if (request->in_size != 0) {
        buffers[count++] = vring_in(f->driver, request->in_size);
    }
    buffers[count++] = vring_in(f->driver, 1);
    return count;
}

static inline void read_reply(struct fixture *f, const struct vring_buffer *buffers,
                              unsigned int count,
                       struct reply *ret_reply)
{
    uint32_t at = 0;

    for (unsigned int i = 0; i < count; i++) {
        if (buffers[i].writable) {
            memcpy(ret_reply->bytes + at, vring_at(f->driver, buffers[i].ipa), buffers[i].size);
            at += buffers[i].size;
        }
    }
    ret_reply->status = ret_reply->bytes[at - 1];
}

/* One request from end to end; all memory of the guest may be had again afterwards. */
static inline uint8_t run(struct fixture *f, const struct request *request, struct reply *ret_reply)
{
    struct vring_buffer buffers[12];
    uint64_t ram_used = f->driver->ram_used;
    unsigned int count = lay_out(f, request, buffers);
    struct reply scratch;
    struct reply *reply = ret_reply != NULL ? ret_reply : &scratch;
    struct vring_used used;
    int token = vring_add(f->driver, 0, buffers, count, request->indirect);

    assert_true(token >= 0);
    vring_kick(f->driver, 0);
    assert_true(vring_collect(f->driver, 0, &used));
    assert_int_equal(used.token, token);
    read_reply(f, buffers, count, reply);
    reply->written = used.written;
    f->driver->ram_used = ram_used;
    return reply->status;
}

static inline uint8_t simple(struct fixture *f, uint32_t type, uint64_t sector, const void *out,
                      uint32_t out_size, uint32_t in_size)
{
    const struct request request = {type, sector, out, out_size, in_size, 0, false};

    return run(f, &request, NULL);
}

static inline void start(struct fixture *f)
{
    assert_true(vring_driver_start(f->driver, ~0ull & ~VIRTIO_F_RING_PACKED, QUEUE_SIZE));
}

static const uint64_t formats[] = {
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX,
    VIRTIO_F_INDIRECT_DESC | VIRTIO_F_RING_PACKED,
    VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED,
};
#define DEVICE_FEATURES (~(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED))

static inline uint8_t ranges(struct fixture *f, uint32_t type, const struct blk_range *range,
                      uint32_t count)
{
    return simple(f, type, 0, range, count * (uint32_t)sizeof(*range), 0);
}

#endif
