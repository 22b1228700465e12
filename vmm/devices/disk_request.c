/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's requests. Each is a sequence of steps of asynchronous I/O: mostly one; another one for
 * what a short transfer left, for each range of a discard, for a sync that makes it durable. A
 * step's outcome chooses the next.
 *
 * Discarding is punching a hole. Writing zeroes: by a hole if the guest allows it, else by zeroing
 * the range, else by writing; what the medium refuses once isn't tried again.
 */
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/devices/disk.h"
#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 16u
#define ZEROES_SIZE 65536u
#define REPORTS_MAX 8u

_Static_assert(sizeof(struct blk_segment) == sizeof(struct iovec) &&
                   offsetof(struct blk_segment, base) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct blk_segment, size) == offsetof(struct iovec, iov_len),
               "segments are handed to the kernel as they are");

enum disk_way { WAY_PUNCH, WAY_ZERO_RANGE, WAY_WRITE, WAY_SYNC };

/* What zeroes are written from. Never written to, so it is the kernel's one page of zeroes. */
static uint8_t zeroes[ZEROES_SIZE] __attribute__((aligned(4096)));

static struct disk_request *to_request(struct blk_request *request)
{
    return CONTAINER_OF(request, struct disk_request, blk);
}

static struct blk_request *get(void *backend, uint16_t entries)
{
    struct disk *disk = backend;
    bool is_small = entries <= DISK_SMALL_ENTRIES;
    struct disk_request *request = is_small ? disk->free : NULL;

    if (request != NULL) {
        disk->free = request->next_free;
        return &request->blk;
    }
    request = malloc(sizeof(*request) +
                     (is_small ? DISK_SMALL_ENTRIES : entries) * sizeof(struct blk_segment));
    if (request == NULL) {
        return NULL;
    }
    request->disk = disk;
    request->is_small = is_small;
    return &request->blk;
}

static void put(void *backend, struct blk_request *blk)
{
    struct disk_request *request = to_request(blk);
    struct disk *disk = backend;

    if (request->is_small) {
        request->next_free = disk->free;
        disk->free = request;
    } else {
        free(request);
    }
}

void disk_free_requests(struct disk *disk)
{
    struct disk_request *request;

    while ((request = disk->free) != NULL) {
        disk->free = request->next_free;
        free(request);
    }
}

/* Whether O_DIRECT can do this transfer as the guest has laid it out. */
static bool is_aligned(const struct disk *disk, const struct blk_request *blk)
{
    uint64_t all = blk->sector * BLK_SECTOR | blk->size;
    uint64_t memory = 0;

    for (uint32_t i = 0; i < blk->entries; i++) {
        memory |= (uintptr_t)blk->segments[i].base;
        all |= blk->segments[i].size;
    }
    return IS_ALIGNED(all, disk->file.offset_align) && IS_ALIGNED(memory, disk->file.memory_align);
}

static int choose_file(const struct disk *disk, const struct disk_request *request)
{
    return disk->file.direct_fd < 0 || request->buffered ? disk->file.fd : disk->file.direct_fd;
}

/* What the guest has put or wants at `done` bytes from the beginning. Segments that were done are
 * cut off for good. */
static void begin_transfer(struct disk_request *request, uint64_t just_done)
{
    struct disk *disk = request->disk;
    struct blk_request *blk = &request->blk;
    struct aio_request *aio = &request->aio;
    struct iovec *segment = aio->segments;

    for (request->done += just_done; just_done > 0; segment++) {
        size_t part = MIN(just_done, segment->iov_len);

        segment->iov_base = (uint8_t *)segment->iov_base + part;
        segment->iov_len -= part;
        just_done -= part;
        if (segment->iov_len != 0) {
            break;
        }
        aio->nr_segments--;
    }
    aio->segments = segment;
    aio->kind = blk->kind == BLK_READ ? AIO_READ : AIO_WRITE;
    aio->durable = blk->durable && !disk->config->unsafe;
    aio->fd = choose_file(disk, request);
    aio->offset = blk->sector * BLK_SECTOR + request->done;
    aio_submit(disk->aio, aio);
}

static void begin_sync(struct disk_request *request)
{
    request->way = WAY_SYNC;
    request->aio.kind = AIO_SYNC;
    request->aio.nr_segments = 0;
    request->aio.fd = request->disk->file.fd;
    aio_submit(request->disk->aio, &request->aio);
}

static void begin_allocate(struct disk_request *request, const struct blk_range *range, int mode)
{
    struct aio_request *aio = &request->aio;

    aio->kind = AIO_ALLOCATE;
    aio->nr_segments = 0;
    aio->fd = request->disk->file.fd;
    aio->mode = mode | FALLOC_FL_KEEP_SIZE;
    aio->offset = range->sector * BLK_SECTOR;
    aio->size = (uint64_t)range->sectors * BLK_SECTOR;
    aio_submit(request->disk->aio, aio);
}

static void begin_zeroes(struct disk_request *request, const struct blk_range *range)
{
    struct aio_request *aio = &request->aio;
    uint64_t left = (uint64_t)range->sectors * BLK_SECTOR - request->done;

    request->zeroes = (struct iovec){zeroes, MIN(left, (uint64_t)ZEROES_SIZE)};
    aio->kind = AIO_WRITE;
    aio->durable = false;
    aio->fd = request->disk->file.fd;
    aio->segments = &request->zeroes;
    aio->nr_segments = 1;
    aio->offset = range->sector * BLK_SECTOR + request->done;
    aio_submit(request->disk->aio, aio);
}

static void finish(struct disk_request *request, enum blk_status status)
{
    struct disk *disk = request->disk;
    enum blk_kind kind = request->blk.kind;
    struct disk_counters *counters = &disk->counters[kind];

    counters->operations++;
    if (status == BLK_OK) {
        counters->bytes += request->blk.size;
    } else {
        counters->errors++;
    }
    if (kind < ARRAY_SIZE(disk->latency)) {
        metrics_observe(&disk->latency[kind], aio_now_ns(disk->aio) - request->start_ns);
    }
    disk->under_way--;
    virtio_blk_complete(&disk->blk, &request->blk, status);
}

/* The host couldn't. A guest has no part in that, so a few lines can't become many. */
static void fail(struct disk_request *request, int32_t result)
{
    static const char *const names[] = {"read", "write", "flush", "discard", "write of zeroes"};
    struct disk *disk = request->disk;

    if (disk->reported < REPORTS_MAX) {
        disk->reported++;
        log_error("disk %s: %s at sector %llu of %s failed: %s%s", disk->config->id,
                  names[request->blk.kind], (unsigned long long)request->blk.sector,
                  disk->config->path, result == 0 ? "the file is shorter now" : strerror(-result),
                  disk->reported == REPORTS_MAX ? " (further errors are only counted)" : "");
    }
    finish(request, BLK_IOERR);
}

static enum disk_way first_way(const struct disk *disk, enum blk_kind kind,
                               const struct blk_range *range)
{
    if (kind == BLK_DISCARD || ((range->flags & BLK_RANGE_UNMAP) != 0 && !disk->no_punch)) {
        return WAY_PUNCH;
    }
    return disk->no_zero_range ? WAY_WRITE : WAY_ZERO_RANGE;
}

static void begin_way(struct disk_request *request, enum disk_way way)
{
    const struct blk_range *range = &blk_ranges(&request->blk)[request->range];

    request->way = (uint8_t)way;
    request->done = 0;
    switch (way) {
    case WAY_PUNCH:
        begin_allocate(request, range, FALLOC_FL_PUNCH_HOLE);
        break;
    case WAY_ZERO_RANGE:
        begin_allocate(request, range, FALLOC_FL_ZERO_RANGE);
        break;
    case WAY_WRITE:
        begin_zeroes(request, range);
        break;
    case WAY_SYNC:
        begin_sync(request);
        break;
    }
}

/* The range that request->range says, or the first after it that isn't empty; then the end. */
static void begin_range(struct disk_request *request)
{
    struct blk_request *blk = &request->blk;
    struct disk *disk = request->disk;

    while (request->range < blk->entries && blk_ranges(blk)[request->range].sectors == 0) {
        request->range++;
    }
    if (request->range < blk->entries) {
        begin_way(request, first_way(disk, blk->kind, &blk_ranges(blk)[request->range]));
    } else if (blk->durable && !disk->config->unsafe) {
        begin_sync(request);
    } else {
        finish(request, BLK_OK);
    }
}

static void begin(struct disk_request *request)
{
    struct disk *disk = request->disk;
    struct blk_request *blk = &request->blk;

    request->aio.client = &disk->client;
    request->aio.segments = (struct iovec *)(void *)blk->segments;
    request->aio.nr_segments = blk->entries;
    request->done = 0;
    request->range = 0;
    request->tries = 0;
    request->buffered = false;
    switch (blk->kind) {
    case BLK_READ:
    case BLK_WRITE:
        request->buffered = disk->file.direct_fd >= 0 && !is_aligned(disk, blk);
        begin_transfer(request, 0);
        break;
    case BLK_FLUSH:
        if (disk->config->unsafe) {
            finish(request, BLK_OK);
        } else {
            begin_sync(request);
        }
        break;
    case BLK_DISCARD:
    case BLK_WRITE_ZEROES:
        begin_range(request);
        break;
    }
}

/* What the limit on bandwidth counts: bytes that may have to move. */
static bool is_allowed(struct disk *disk, const struct blk_request *blk)
{
    uint64_t bytes = blk->kind == BLK_DISCARD ? 0 : blk->size;
    uint64_t now;

    if (!disk->rate.limited) {
        return true;
    }
    now = loop_now_ns();
    if (rate_take(&disk->rate, bytes, now)) {
        return true;
    }
    disk->throttled++;
    loop_timer_set(disk->loop, &disk->rate_timer, now + rate_wait_ns(&disk->rate, bytes, now));
    return false;
}

static bool submit(void *backend, struct blk_request *blk)
{
    struct disk *disk = backend;
    struct disk_request *request = to_request(blk);

    if (!is_allowed(disk, blk)) {
        return false;
    }
    request->start_ns = aio_now_ns(disk->aio);
    disk->under_way++;
    disk->begun++;
    begin(request);
    return true;
}

static void transfer_done(struct disk_request *request, int32_t result)
{
    if (result == -EINVAL && !request->buffered && request->disk->file.direct_fd >= 0) {
        /* The medium wants more alignment than it has told. */
        request->buffered = true;
        begin_transfer(request, 0);
    } else if (result <= 0) {
        fail(request, result);
    } else if (request->done + (uint32_t)result >= request->blk.size) {
        finish(request, BLK_OK);
    } else {
        begin_transfer(request, (uint32_t)result);
    }
}

static bool is_unsupported(int32_t result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV;
}

static void punch_done(struct disk_request *request, int32_t result)
{
    struct disk *disk = request->disk;

    if (result == 0) {
        request->range++;
        begin_range(request);
    } else if (!is_unsupported(result)) {
        fail(request, result);
    } else if (request->blk.kind == BLK_DISCARD) {
        finish(request, BLK_UNSUPP);
    } else {
        disk->no_punch = true;
        begin_range(request);
    }
}

static void zero_range_done(struct disk_request *request, int32_t result)
{
    if (result == 0) {
        request->range++;
        begin_range(request);
    } else if (is_unsupported(result)) {
        request->disk->no_zero_range = true;
        begin_range(request);
    } else {
        fail(request, result);
    }
}

static void zeroes_done(struct disk_request *request, int32_t result)
{
    const struct blk_range *range = &blk_ranges(&request->blk)[request->range];

    if (result <= 0) {
        fail(request, result);
        return;
    }
    request->done += (uint32_t)result;
    if (request->done < (uint64_t)range->sectors * BLK_SECTOR) {
        begin_zeroes(request, range);
    } else {
        request->range++;
        begin_range(request);
    }
}

static void step_done(struct disk_request *request, int32_t result)
{
    if (request->blk.kind == BLK_READ || request->blk.kind == BLK_WRITE) {
        transfer_done(request, result);
        return;
    }
    switch ((enum disk_way)request->way) {
    case WAY_PUNCH:
        punch_done(request, result);
        break;
    case WAY_ZERO_RANGE:
        zero_range_done(request, result);
        break;
    case WAY_WRITE:
        zeroes_done(request, result);
        break;
    case WAY_SYNC:
        if (result == 0) {
            finish(request, BLK_OK);
        } else {
            fail(request, result);
        }
        break;
    }
}

void disk_request_done(struct aio_request *aio, int32_t result)
{
    struct disk_request *request = CONTAINER_OF(aio, struct disk_request, aio);
    struct disk *disk = request->disk;

    spin_lock(&disk->blk.device.lock);
    if ((result == -EINTR || result == -EAGAIN) && request->tries < TRIES_MAX) {
        request->tries++;
        aio_submit(disk->aio, aio);
    } else {
        step_done(request, result);
    }
    spin_unlock(&disk->blk.device.lock);
}

void disk_batch_done(struct aio_client *client)
{
    struct disk *disk = CONTAINER_OF(client, struct disk, client);

    spin_lock(&disk->blk.device.lock);
    virtio_blk_signal(&disk->blk);
    spin_unlock(&disk->blk.device.lock);
}

static void note_kick(struct disk *disk, uint16_t queue)
{
    __atomic_fetch_or(&disk->kicked, 1u << queue, __ATOMIC_RELEASE);
}

static bool may_serve(void *backend, uint16_t queue)
{
    struct disk *disk = backend;

    if (!pthread_equal(pthread_self(), disk->owner)) {
        note_kick(disk, queue);
        loop_post(disk->loop, &disk->work);
        return false;
    }
    if (disk->paused) {
        note_kick(disk, queue);
        return false;
    }
    return true;
}

static void serve_again(void *backend, uint16_t queue)
{
    struct disk *disk = backend;

    note_kick(disk, queue);
    loop_post(disk->loop, &disk->work);
}

void disk_serve_kicked(struct disk *disk)
{
    uint32_t kicked;

    if (disk->paused) {
        return;
    }
    spin_lock(&disk->blk.device.lock);
    kicked = __atomic_exchange_n(&disk->kicked, 0, __ATOMIC_ACQUIRE);
    for (; kicked != 0; kicked &= kicked - 1) {
        virtio_blk_serve(&disk->blk, (uint16_t)bits_first(kicked));
    }
    spin_unlock(&disk->blk.device.lock);
}

const struct blk_backend_ops disk_backend_ops = {
    .get = get,
    .put = put,
    .submit = submit,
    .may_serve = may_serve,
    .serve_again = serve_again,
};
