/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device over a disk in memory that finishes requests when and as the input says, in any
 * order, refuses some and runs out of memory. Each request that it is given lies within the disk
 * and the guest's memory, and each is put back once.
 */
#include "bothy/bits.h"
#include "machine/virtio/blk.h"
#include "virtio_program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS 64u
#define QUEUES 3u
#define QUEUE_SIZE 16u
#define HELD_MAX (QUEUES * QUEUE_SIZE)

struct rig {
    struct virtio_blk blk;
    struct virtqueue queues[QUEUES];
    uint8_t disk[SECTORS * BLK_SECTOR];
    struct blk_request *held[HELD_MAX];
    uint32_t nr_held;
    uint32_t nr_got;
    uint32_t again;
    uint8_t mood; /* what step() made of the back end */
};

#define MOOD_AT_ONCE 1u
#define MOOD_REFUSES 2u
#define MOOD_NO_MEMORY 4u
#define MOOD_ELSEWHERE 8u

static void require(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_blk: %s\n", what);
        abort();
    }
}

static struct blk_request *get(void *backend, uint16_t entries)
{
    struct rig *rig = backend;

    if (rig->mood & MOOD_NO_MEMORY) {
        return NULL;
    }
    rig->nr_got++;
    return malloc(sizeof(struct blk_request) + entries * sizeof(struct blk_segment));
}

static void put(void *backend, struct blk_request *request)
{
    struct rig *rig = backend;

    require(rig->nr_got-- > 0, "a request is put twice");
    free(request);
}

static void transfer(struct rig *rig, struct blk_request *request)
{
    uint64_t at = request->sector * BLK_SECTOR;
    uint64_t all = 0;

    for (uint32_t i = 0; i < request->entries; i++) {
        struct blk_segment *segment = &request->segments[i];

        require(segment->size != 0, "an empty segment");
        require(at + segment->size <= sizeof(rig->disk), "a transfer beyond the disk");
        if (request->kind == BLK_READ) {
            memcpy(segment->base, rig->disk + at, segment->size);
        } else {
            memcpy(rig->disk + at, segment->base, segment->size);
        }
        at += segment->size;
        all += segment->size;
    }
    require(all == request->size && all % BLK_SECTOR == 0 && all != 0, "a size that isn't right");
}

static void deallocate(struct rig *rig, struct blk_request *request)
{
    require(request->entries > 0 && request->entries <= BLK_RANGES_MAX, "how many ranges");
    for (uint32_t i = 0; i < request->entries; i++) {
        const struct blk_range *range = &blk_ranges(request)[i];

        require(range->sector + range->sectors <= SECTORS, "a range beyond the disk");
        require((range->flags & ~(request->kind == BLK_DISCARD ? 0 : BLK_RANGE_UNMAP)) == 0,
                "flags of a range");
        memset(rig->disk + range->sector * BLK_SECTOR, 0, range->sectors * BLK_SECTOR);
    }
}

static void finish(struct rig *rig, struct blk_request *request, enum blk_status status)
{
    switch (request->kind) {
    case BLK_READ:
    case BLK_WRITE:
        transfer(rig, request);
        break;
    case BLK_FLUSH:
        require(request->entries == 0, "a flush with data");
        break;
    case BLK_DISCARD:
    case BLK_WRITE_ZEROES:
        deallocate(rig, request);
        break;
    }
    virtio_blk_complete(&rig->blk, request, status);
}

static bool submit(void *backend, struct blk_request *request)
{
    struct rig *rig = backend;

    if (rig->mood & MOOD_REFUSES) {
        return false;
    }
    if (rig->mood & MOOD_AT_ONCE) {
        finish(rig, request, BLK_OK);
    } else {
        require(rig->nr_held < HELD_MAX, "more requests than the rings hold");
        rig->held[rig->nr_held++] = request;
    }
    return true;
}

static bool may_serve(void *backend, uint16_t queue)
{
    struct rig *rig = backend;

    rig->again |= rig->mood & MOOD_ELSEWHERE ? 1u << queue : 0;
    return !(rig->mood & MOOD_ELSEWHERE);
}

static void serve_again(void *backend, uint16_t queue)
{
    ((struct rig *)backend)->again |= 1u << queue;
}

static const struct blk_backend_ops backend_ops = {get, put, submit, may_serve, serve_again};

static void finish_one(struct rig *rig, uint8_t which)
{
    uint32_t index = rig->nr_held != 0 ? which % rig->nr_held : 0;

    if (rig->nr_held != 0) {
        struct blk_request *request = rig->held[index];

        rig->held[index] = rig->held[--rig->nr_held];
        finish(rig, request, which & 0x80 ? BLK_IOERR : BLK_OK);
    }
}

static void step(void *context, uint8_t argument, const uint8_t *data, size_t size)
{
    struct rig *rig = context;
    uint32_t again = rig->again;

    spin_lock(&rig->blk.device.lock);
    switch (argument & 7) {
    case 0:
        rig->mood = argument >> 3 & 15;
        break;
    case 1:
        rig->again = 0;
        for (uint16_t i = 0; i < QUEUES; i++) {
            if (again & 1u << i) {
                virtio_blk_serve(&rig->blk, i);
            }
        }
        break;
    case 2:
        virtio_blk_resume(&rig->blk);
        break;
    case 3:
        virtio_blk_set_capacity(&rig->blk, argument >> 3 & 1 ? SECTORS : SECTORS / 2);
        break;
    default:
        finish_one(rig, size > 0 ? data[0] : argument);
        virtio_blk_signal(&rig->blk);
        break;
    }
    spin_unlock(&rig->blk.device.lock);
}

static void check(void *context)
{
    struct rig *rig = context;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < QUEUES; i++) {
        sum += rig->blk.queue_in_flight[i];
    }
    require(sum == rig->blk.in_flight && sum == rig->nr_held, "the count of requests under way");
    require(rig->nr_got == rig->nr_held, "a request was lost");
}

/* Mostly good headers: a known type, a sector on the disk. */
static uint32_t header(void *context, uint16_t queue, const uint8_t *data, size_t size,
                       uint8_t *bytes, uint32_t room)
{
    static const uint32_t types[] = {0, 1, 4, 8, 11, 13, 0, 1};
    struct {
        uint32_t type, reserved;
        uint64_t sector;
        struct blk_range ranges[2];
    } good = {0};
    uint32_t length = 16;

    if (size >= 4) {
        good.type = types[data[0] & 7];
        good.sector = data[1] % (SECTORS + 2);
        good.ranges[0] = (struct blk_range){data[2] % SECTORS, data[3] % 8, data[0] >> 7};
        good.ranges[1] = good.ranges[0];
        length += good.type >= 11 ? 16u * (1 + (data[0] >> 6 & 1)) : 0;
    }
    length = MIN(length, room);
    memcpy(bytes, &good, length);
    return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig;
    struct virtio_program program = {.device = &rig.blk.device,
                                     .step = step,
                                     .check = check,
                                     .header = header,
                                     .context = &rig};
    struct blk_setup setup = {.sectors = SECTORS,
                              .block_size = 512,
                              .physical_size = 4096,
                              .readonly = size > 0 && data[0] == 0xff,
                              .nr_queues = QUEUES,
                              .queue_size = QUEUE_SIZE};

    memset(&rig, 0, sizeof(rig));
    virtio_blk_init(&rig.blk, &setup, rig.queues, &backend_ops, &rig);
    virtio_program_run(&program, data, size);
    for (uint32_t i = 0; i < rig.nr_held; i++) {
        free(rig.held[i]);
    }
    return 0;
}
