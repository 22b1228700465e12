/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk over a disk in memory: requests of any layout, limits, errors, resets. */
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
#define RANDOM_SEED 20260101u

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

static struct blk_request *get(void *backend, uint16_t entries)
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

static void put(void *backend, struct blk_request *request)
{
    struct fixture *f = backend;

    f->nr_got--;
    free(request);
}

static void carry_out(struct fixture *f, struct blk_request *request)
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

static bool submit(void *backend, struct blk_request *request)
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

static bool may_serve(void *backend, uint16_t queue)
{
    return !((struct fixture *)backend)->elsewhere;
}

static void serve_again(void *backend, uint16_t queue)
{
    ((struct fixture *)backend)->nr_again++;
}

static const struct blk_backend_ops backend_ops = {get, put, submit, may_serve, serve_again};

/* The last one first: a back end may finish in any order. */
static void release(struct fixture *f)
{
    spin_lock(&f->blk.device.lock);
    while (f->nr_held > 0) {
        carry_out(f, f->held[--f->nr_held]);
    }
    virtio_blk_signal(&f->blk);
    spin_unlock(&f->blk.device.lock);
}

static void make(struct fixture *f, bool readonly)
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

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->random = RANDOM_SEED;
    f->disk = malloc(SECTORS * BLK_SECTOR);
    for (uint32_t i = 0; i < SECTORS * BLK_SECTOR; i++) {
        f->disk[i] = (uint8_t)(i / BLK_SECTOR * 7 + i);
    }
    make(f, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int left = (int)f->nr_got;

    vring_driver_destroy(f->driver);
    free(f->disk);
    free(f);
    return left;
}

static uint32_t draw(struct fixture *f, uint32_t below)
{
    f->random = f->random * 1664525u + 1013904223u;
    return (f->random >> 8) % below;
}

/* Cut `size` bytes in up to `most` buffers of guest memory; the first one holds `bytes`. */
static unsigned int cut(struct fixture *f, struct vring_buffer *buffers, const uint8_t *bytes,
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

static unsigned int lay_out(struct fixture *f, const struct request *request,
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

static void read_reply(struct fixture *f, const struct vring_buffer *buffers, unsigned int count,
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
static uint8_t run(struct fixture *f, const struct request *request, struct reply *ret_reply)
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

static uint8_t simple(struct fixture *f, uint32_t type, uint64_t sector, const void *out,
                      uint32_t out_size, uint32_t in_size)
{
    const struct request request = {type, sector, out, out_size, in_size, 0, false};

    return run(f, &request, NULL);
}

static void start(struct fixture *f)
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

static void test_configuration(void **state)
{
    struct fixture *f = *state;
    struct vring_driver *driver = f->driver;

    start(f);
    assert_int_equal(vring_read(driver, VRING_DEVICE_ID), 2);
    assert_int_equal(vring_config(driver, 0, 8), SECTORS);
    assert_int_equal(vring_config(driver, 12, 4), QUEUE_SIZE - 2); /* seg_max */
    assert_int_equal(vring_config(driver, 20, 4), 512);
    assert_int_equal(vring_config(driver, 24, 1), 3); /* 8 logical blocks in a physical one */
    assert_int_equal(vring_config(driver, 26, 2), 8);
    assert_int_equal(vring_config(driver, 32, 1), 1); /* write-back */
    assert_int_equal(vring_config(driver, 34, 2), QUEUES);
    assert_int_equal(vring_config(driver, 36, 4), BLK_DISCARD_SECTORS_MAX);
    assert_int_equal(vring_config(driver, 40, 4), BLK_RANGES_MAX);
    assert_int_equal(vring_config(driver, 44, 4), 8);
    assert_int_equal(vring_config(driver, 48, 4), BLK_ZEROES_SECTORS_MAX);
    assert_int_equal(vring_config(driver, 56, 1), 1);
    assert_int_equal(vring_config(driver, 60, 4), 0);
    assert_int_equal(f->blk.device.features & 0xffffff,
                     VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH |
                         VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_MQ |
                         VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES);
}

/* Random writes and reads, cut at random places, in each format, against a model. */
static void test_any_layout(void **state)
{
    struct fixture *f = *state;
    uint8_t *model = malloc(SECTORS * BLK_SECTOR);
    struct reply *reply = malloc(sizeof(*reply));

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        memcpy(model, f->disk, SECTORS * BLK_SECTOR);
        for (uint32_t i = 0; i < 1000; i++) {
            uint32_t sectors = 1 + draw(f, 8);
            uint64_t sector = draw(f, SECTORS - 8);
            struct request request = {.sector = sector, .cuts = draw(f, 6), .indirect = i & 1};

            if (draw(f, 2) != 0) {
                for (uint32_t b = 0; b < sectors * BLK_SECTOR; b++) {
                    model[sector * BLK_SECTOR + b] = (uint8_t)(b * i);
                }
                request.type = T_OUT;
                request.out = model + sector * BLK_SECTOR;
                request.out_size = sectors * BLK_SECTOR;
                assert_int_equal(run(f, &request, reply), BLK_OK);
                assert_int_equal(reply->written, 1);
            } else {
                request.type = T_IN;
                request.in_size = sectors * BLK_SECTOR;
                assert_int_equal(run(f, &request, reply), BLK_OK);
                assert_int_equal(reply->written, sectors * BLK_SECTOR + 1);
                assert_memory_equal(reply->bytes, model + sector * BLK_SECTOR,
                                    sectors * BLK_SECTOR);
            }
        }
        assert_memory_equal(model, f->disk, SECTORS * BLK_SECTOR);
    }
    free(model);
    free(reply);
}

static void test_neighbours_become_one_segment(void **state)
{
    struct fixture *f = *state;
    struct header header = {T_IN, 0, 8};
    struct vring_buffer buffers[5];
    struct vring_used used;

    start(f);
    buffers[0] = vring_out(f->driver, &header, sizeof(header));
    buffers[1] = vring_in(f->driver, 4096);
    buffers[2] = vring_in(f->driver, 4096);
    buffers[4] = vring_in(f->driver, 512); /* lies before the next, but comes after it */
    buffers[3] = vring_in(f->driver, 512);
    buffers[4].size = 1;
    assert_int_equal(buffers[1].ipa + 4096, buffers[2].ipa);
    assert_true(vring_add(f->driver, 0, buffers, 5, false) >= 0);
    vring_kick(f->driver, 0);
    assert_true(vring_collect(f->driver, 0, &used));
    assert_int_equal(f->entries, 2);
    assert_memory_equal(vring_at(f->driver, buffers[2].ipa), f->disk + 16 * BLK_SECTOR, 4096);
    assert_memory_equal(vring_at(f->driver, buffers[3].ipa), f->disk + 24 * BLK_SECTOR, 512);
}

static void test_bounds(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[1024] = {0};

    start(f);
    assert_int_equal(simple(f, T_IN, SECTORS - 1, NULL, 0, 512), BLK_OK);
    assert_int_equal(simple(f, T_OUT, SECTORS - 1, bytes, 512, 0), BLK_OK);
    assert_int_equal(f->nr_submitted, 2);
    assert_int_equal(simple(f, T_IN, SECTORS - 1, NULL, 0, 1024), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, SECTORS - 1, bytes, 1024, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_IN, SECTORS, NULL, 0, 512), BLK_IOERR);
    assert_int_equal(simple(f, T_IN, UINT64_MAX, NULL, 0, 512), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, 1ull << 55, bytes, 512, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 511), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 513, 0), BLK_IOERR);
    assert_int_equal(f->nr_submitted, 2);
    assert_int_equal(f->blk.nr_refused, 7);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 0), BLK_OK);
    assert_int_equal(simple(f, T_OUT, SECTORS, NULL, 0, 0), BLK_OK);
    assert_int_equal(simple(f, 0x1234, 0, NULL, 0, 0), BLK_UNSUPP);
    assert_int_equal(simple(f, 2, 0, bytes, 512, 512), BLK_UNSUPP);
    assert_int_equal(f->nr_submitted, 2);
}

static void test_flush_and_id(void **state)
{
    struct fixture *f = *state;
    struct request request = {.type = T_GET_ID, .in_size = 20, .cuts = 5};
    struct reply *reply = malloc(sizeof(*reply));

    start(f);
    assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_OK);
    assert_int_equal(f->nr_submitted, 1);
    assert_false(f->durable);
    assert_int_equal(run(f, &request, reply), BLK_OK);
    assert_memory_equal(reply->bytes, "serial-0123456789abc", 20);
    request.in_size = 7;
    assert_int_equal(run(f, &request, reply), BLK_OK);
    assert_memory_equal(reply->bytes, "serial-", 7);
    request.in_size = 100;
    assert_int_equal(run(f, &request, reply), BLK_OK);
    assert_memory_equal(reply->bytes, "serial-0123456789abc\0\0", 22);
    free(reply);
}

static uint8_t ranges(struct fixture *f, uint32_t type, const struct blk_range *range,
                      uint32_t count)
{
    return simple(f, type, 0, range, count * (uint32_t)sizeof(*range), 0);
}

static void test_discard_and_zeroes(void **state)
{
    static const uint8_t zeroes[4 * BLK_SECTOR];
    struct fixture *f = *state;
    struct blk_range many[BLK_RANGES_MAX + 1] = {{0}};
    const struct blk_range good[] = {{16, 4, 0}, {40, 0, 0}, {SECTORS - 1, 1, 0}};

    start(f);
    assert_int_equal(ranges(f, T_DISCARD, good, 3), BLK_OK);
    assert_memory_equal(f->disk + 16 * BLK_SECTOR, zeroes, sizeof(zeroes));
    assert_int_equal(f->entries, 3);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){24, 4, BLK_RANGE_UNMAP}, 1),
                     BLK_OK);
    assert_memory_equal(f->disk + 24 * BLK_SECTOR, zeroes, sizeof(zeroes));
    assert_int_equal(ranges(f, T_DISCARD, many, BLK_RANGES_MAX), BLK_OK);
    assert_int_equal(f->nr_submitted, 3);

    assert_int_equal(ranges(f, T_DISCARD, many, BLK_RANGES_MAX + 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_DISCARD, many, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_DISCARD, 0, many, 17, 0), BLK_IOERR);
    /* 5.2.6.2: the unmap flag isn't for DISCARD, the others are for nobody. */
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, BLK_RANGE_UNMAP}, 1),
                     BLK_UNSUPP);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){0, 1, 2}, 1), BLK_UNSUPP);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){SECTORS, 1, 0}, 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){UINT64_MAX, 2, 0}, 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){1, SECTORS, 0}, 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){0, UINT32_MAX, 0}, 1),
                     BLK_IOERR);
    /* One that is wrong spoils all: nothing is done before all were looked at. */
    many[0] = (struct blk_range){100, 4, 0};
    many[1] = (struct blk_range){SECTORS, 1, 0};
    assert_int_equal(ranges(f, T_DISCARD, many, 2), BLK_IOERR);
    assert_int_equal(f->nr_submitted, 3);
    assert_int_equal(f->nr_got, 0);
}

static void test_features_not_taken(void **state)
{
    struct fixture *f = *state;
    const struct blk_range range = {0, 1, 0};
    uint8_t bytes[512] = {0};

    assert_true(vring_driver_start(f->driver, 0, QUEUE_SIZE));
    assert_int_equal(ranges(f, T_DISCARD, &range, 1), BLK_UNSUPP);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &range, 1), BLK_UNSUPP);
    assert_int_equal(f->nr_submitted, 0);
    /* Who can't flush doesn't have to: 5.2.6.2. */
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_true(f->durable);
    assert_true(vring_driver_start(f->driver, VIRTIO_BLK_F_FLUSH, QUEUE_SIZE));
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_false(f->durable);
    vring_config_write(f->driver, 32, 1, 0);
    assert_int_equal(vring_config(f->driver, 32, 1), 1);
}

static void test_write_through(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512] = {0};

    start(f);
    vring_config_write(f->driver, 32, 1, 0);
    assert_int_equal(vring_config(f->driver, 32, 1), 0);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_true(f->durable);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
    assert_false(f->durable);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, 0}, 1), BLK_OK);
    assert_true(f->durable);
    vring_config_write(f->driver, 32, 1, 2);   /* no such mode */
    vring_config_write(f->driver, 0, 8, 1);    /* not the driver's to write */
    vring_config_write(f->driver, 32, 4, ~0u); /* of another size */
    assert_int_equal(vring_config(f->driver, 32, 1), 0);
    assert_int_equal(vring_config(f->driver, 0, 8), SECTORS);
    vring_config_write(f->driver, 32, 1, 1);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_false(f->durable);
    vring_config_write(f->driver, 32, 1, 0);
    start(f); /* a reset brings write-back again */
    assert_int_equal(vring_config(f->driver, 32, 1), 1);
}

static void test_readonly(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512] = {0};

    vring_driver_destroy(f->driver);
    make(f, true);
    start(f);
    assert_true(f->blk.device.features & VIRTIO_BLK_F_RO);
    assert_false(f->blk.device.features & (VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES));
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
    assert_int_equal(f->nr_submitted, 1);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_OK);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, 0}, 1), BLK_UNSUPP);
    assert_int_equal(f->nr_submitted, 1);
}

static void test_short_header(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[15] = {0};
    struct vring_buffer buffers[2];
    struct vring_used used;

    start(f);
    buffers[0] = vring_out(f->driver, bytes, sizeof(bytes));
    buffers[1] = vring_in(f->driver, 1);
    vring_add(f->driver, 0, buffers, 2, false);
    vring_add(f->driver, 0, &buffers[1], 1, false);
    vring_kick(f->driver, 0);
    assert_true(vring_collect(f->driver, 0, &used));
    assert_true(vring_collect(f->driver, 0, &used));
    assert_int_equal(*(uint8_t *)vring_at(f->driver, buffers[1].ipa), BLK_IOERR);
    assert_int_equal(vring_read(f->driver, VRING_STATUS), 15);
}

static void test_no_place_for_status(void **state)
{
    struct fixture *f = *state;
    struct header header = {T_FLUSH, 0, 0};
    struct vring_buffer buffer;
    struct vring_used used;

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        buffer = vring_out(f->driver, &header, sizeof(header));
        vring_add(f->driver, 0, &buffer, 1, false);
        vring_kick(f->driver, 0);
        assert_false(vring_collect(f->driver, 0, &used));
        assert_true(vring_read(f->driver, VRING_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
        /* Nothing happens until a reset, and all is well after it. */
        vring_notify(f->driver, 0);
        assert_int_equal(f->nr_submitted, format);
        start(f);
        assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_OK);
    }
}

static int add(struct fixture *f, uint16_t queue, uint32_t type, uint64_t sector, uint32_t in_size)
{
    const struct request request = {.type = type, .sector = sector, .in_size = in_size};
    struct vring_buffer buffers[4];
    unsigned int count = lay_out(f, &request, buffers);

    return vring_add(f->driver, queue, buffers, count, true);
}

static void test_many_under_way(void **state)
{
    struct fixture *f = *state;
    unsigned int collected = 0;
    struct vring_used used;

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        unsigned int interrupts;

        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        f->hold = true;
        interrupts = f->driver->interrupts;
        for (uint32_t i = 0; i < QUEUE_SIZE; i++) {
            assert_true(add(f, 0, T_IN, i, 512) >= 0);
            assert_true(add(f, 1, T_IN, i, 512) >= 0);
            vring_kick(f->driver, 0);
            vring_kick(f->driver, 1);
        }
        assert_int_equal(f->nr_held, 2 * QUEUE_SIZE);
        assert_int_equal(f->blk.in_flight, 2 * QUEUE_SIZE);
        assert_false(vring_collect(f->driver, 0, &used));
        release(f);
        assert_int_equal(f->driver->interrupts, interrupts + 2); /* one for each queue */
        for (collected = 0; vring_collect(f->driver, 0, &used); collected++) {
            assert_true(used.token >= 0);
        }
        assert_int_equal(collected, QUEUE_SIZE);
        assert_int_equal(f->blk.in_flight, 0);
    }
}

static void test_limit_stalls_the_queue(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        f->refuse = true;
        for (uint32_t i = 0; i < 3; i++) {
            add(f, 0, T_IN, i, 512);
            vring_notify(f->driver, 0);
        }
        assert_int_equal(f->nr_got, 0);
        assert_int_equal(f->blk.in_flight, 0);
        assert_false(vring_collect(f->driver, 0, &used));
        f->refuse = false;
        vring_notify(f->driver, 0); /* it still rests */
        assert_false(vring_collect(f->driver, 0, &used));
        spin_lock(&f->blk.device.lock);
        virtio_blk_resume(&f->blk);
        spin_unlock(&f->blk.device.lock);
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(vring_collect(f->driver, 0, &used));
        }
        add(f, 0, T_IN, 0, 512);
        assert_true(vring_kick(f->driver, 0)); /* notifications are wanted again */
        assert_true(vring_collect(f->driver, 0, &used));
    }
}

static void test_reset_waits_for_requests(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;

    start(f);
    f->hold = true;
    add(f, 0, T_IN, 0, 512);
    add(f, 0, T_IN, 1, 512);
    vring_kick(f->driver, 0);
    assert_int_equal(f->nr_held, 2);
    assert_false(vring_driver_reset(f->driver));
    assert_int_equal(vring_read(f->driver, VRING_STATUS), 15);
    release(f);
    assert_false(vring_collect(f->driver, 0, &used)); /* too late: nothing is written */
    assert_int_equal(vring_read(f->driver, VRING_STATUS), 0);
    f->hold = false;
    start(f);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
}

static void test_broken_with_requests_under_way(void **state)
{
    struct fixture *f = *state;
    struct vring_buffer buffer;
    struct vring_used used;
    struct header header = {T_IN, 0, 0};

    start(f);
    f->hold = true;
    add(f, 0, T_IN, 0, 512);
    buffer = vring_out(f->driver, &header, sizeof(header));
    vring_add(f->driver, 0, &buffer, 1, false);
    vring_kick(f->driver, 0);
    assert_true(vring_read(f->driver, VRING_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(f->nr_held, 1);
    release(f);
    assert_false(vring_collect(f->driver, 0, &used));
    assert_true(vring_driver_reset(f->driver));
    assert_int_equal(f->blk.in_flight, 0);
}

static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512] = {0};

    start(f);
    f->no_memory = true;
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_IOERR);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, 0}, 1), BLK_IOERR);
    f->no_memory = false;
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
}

/* A thread that may not serve leaves the queue to another one. */
static void test_served_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;

    start(f);
    f->elsewhere = true;
    add(f, 0, T_IN, 0, 512);
    vring_kick(f->driver, 0);
    assert_false(vring_collect(f->driver, 0, &used));
    spin_lock(&f->blk.device.lock);
    virtio_blk_serve(&f->blk, 0);
    spin_unlock(&f->blk.device.lock);
    assert_true(vring_collect(f->driver, 0, &used));
}

/* Not more than a ring full in one go: who adds faster than we serve must wait for the others. */
static void test_serving_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;
    uint32_t collected = 0;

    start(f);
    for (uint32_t i = 0; i < QUEUE_SIZE; i++) {
        add(f, 0, T_GET_ID, 0, 20);
    }
    vring_kick(f->driver, 0);
    assert_int_equal(f->nr_again, 1);
    while (vring_collect(f->driver, 0, &used)) {
        collected++;
    }
    assert_int_equal(collected, QUEUE_SIZE);
    add(f, 0, T_GET_ID, 0, 20);
    spin_lock(&f->blk.device.lock);
    virtio_blk_serve(&f->blk, 0);
    spin_unlock(&f->blk.device.lock);
    assert_true(vring_collect(f->driver, 0, &used));
    assert_int_equal(f->nr_again, 1);
}

static void test_capacity_changes(void **state)
{
    struct fixture *f = *state;
    uint32_t generation;

    start(f);
    generation = vring_read(f->driver, VRING_CONFIG_GENERATION);
    spin_lock(&f->blk.device.lock);
    virtio_blk_set_capacity(&f->blk, 100);
    spin_unlock(&f->blk.device.lock);
    assert_true(vring_handle_interrupt(f->driver) & VIRTIO_MMIO_INT_CONFIG);
    assert_int_not_equal(vring_read(f->driver, VRING_CONFIG_GENERATION), generation);
    assert_int_equal(vring_config(f->driver, 0, 8), 100);
    assert_int_equal(simple(f, T_IN, 100, NULL, 0, 512), BLK_IOERR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_neighbours_become_one_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_and_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discard_and_zeroes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_features_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readonly, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_place_for_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_stalls_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_waits_for_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_with_requests_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_served_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_serving_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_capacity_changes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
