/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk. The header (16 bytes) is the beginning of what the driver wrote, the status the last
 * byte of what it lets be written, and data is what lies between, however the driver cut it
 * (VIRTIO 1.2 section 2.7.4.1, any layout).
 *
 * Invariants: in_flight is the sum of queue_in_flight[]; a request that was submitted is completed
 * once; nothing is written to the guest after a reset was answered or the device broke.
 */
#include "machine/virtio/blk.h"
#include "bothy/bits.h"
#include "bothy/string.h"

#define BLK_T_IN 0u
#define BLK_T_OUT 1u
#define BLK_T_FLUSH 4u
#define BLK_T_GET_ID 8u
#define BLK_T_DISCARD 11u
#define BLK_T_WRITE_ZEROES 13u

#define CONFIG_WRITEBACK offsetof(struct blk_config, writeback)

struct blk_header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

/* What became of a chain. */
enum outcome {
    OUTCOME_SERVED,
    OUTCOME_EMPTY,
    OUTCOME_STALLED,
    OUTCOME_BROKEN,
};

static struct virtio_blk *to_blk(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct virtio_blk, device);
}

/* The last byte that may be written; NULL if there is none. */
static uint8_t *status_of(const struct virtio_chain *chain)
{
    for (uint32_t i = chain->nr_in; i > 0; i--) {
        const struct virtio_segment *segment = &chain->segments[chain->nr_out + i - 1];

        if (segment->size != 0) {
            return segment->base + segment->size - 1;
        }
    }
    return NULL;
}

/* The guest may look at the byte at any time, but rightly only once the chain is used. */
static void write_status(uint8_t *where, enum blk_status status)
{
    *(volatile uint8_t *)where = (uint8_t)status;
}

/* A request that needs no back end. */
static enum outcome answer(struct virtio_blk *blk, uint16_t index,
                           const struct virtio_chain *chain, enum blk_status status)
{
    if (status != BLK_OK) {
        blk->nr_refused++;
    }
    write_status(status_of(chain), status);
    virtqueue_push(&blk->device.queues[index], chain->id, chain->slots, chain->in_size);
    blk->used |= 1u << index;
    return OUTCOME_SERVED;
}

/* Section 5.2.5.2: a driver that can't flush must not need to. */
static bool writes_through(const struct virtio_blk *blk)
{
    if (blk->device.features & VIRTIO_BLK_F_CONFIG_WCE) {
        return blk->config.writeback == 0;
    }
    return (blk->device.features & VIRTIO_BLK_F_FLUSH) == 0;
}

static struct blk_request *prepare(struct virtio_blk *blk, uint16_t index,
                                   const struct virtio_chain *chain, enum blk_kind kind,
                                   uint16_t entries)
{
    struct blk_request *request = blk->backend_ops->get(blk->backend, entries);

    if (request != NULL) {
        request->kind = kind;
        request->durable = kind != BLK_READ && kind != BLK_FLUSH && writes_through(blk);
        request->queue = index;
        request->id = chain->id;
        request->slots = chain->slots;
        request->entries = 0;
        request->written = chain->in_size;
        request->status = status_of(chain);
        request->sector = 0;
        request->size = 0;
    }
    return request;
}

static enum outcome submit(struct virtio_blk *blk, const struct virtio_chain *chain,
                           struct blk_request *request)
{
    uint16_t index = request->queue;

    blk->in_flight++;
    blk->queue_in_flight[index]++;
    if (!blk->backend_ops->submit(blk->backend, request)) {
        blk->in_flight--;
        blk->queue_in_flight[index]--;
        blk->backend_ops->put(blk->backend, request);
        virtqueue_unpop(&blk->device.queues[index], chain);
        blk->stalled |= 1u << index;
        return OUTCOME_STALLED;
    }
    return OUTCOME_SERVED;
}

/* The request's data: `size` bytes of the segments, after `skip` bytes. Neighbours become one. */
static void fill_segments(struct blk_request *request, const struct virtio_segment *segments,
                          uint64_t skip, uint64_t size)
{
    struct blk_segment *last = NULL;

    request->size = size;
    for (; size > 0; segments++) {
        uint64_t here = segments->size;
        uint8_t *base = segments->base;

        if (here <= skip) {
            skip -= here;
            continue;
        }
        base += skip;
        here = MIN(here - skip, size);
        skip = 0;
        size -= here;
        if (last != NULL && last->base + last->size == base) {
            last->size += here;
        } else {
            last = &request->segments[request->entries++];
            *last = (struct blk_segment){base, here};
        }
    }
}

static enum outcome transfer(struct virtio_blk *blk, uint16_t index,
                             const struct virtio_chain *chain, enum blk_kind kind, uint64_t sector)
{
    bool read = kind == BLK_READ;
    uint64_t skip = read ? 0 : sizeof(struct blk_header);
    uint64_t size = read ? chain->in_size - 1u : chain->out_size - skip;
    uint64_t capacity = blk->config.capacity;
    struct blk_request *request;

    if (size % BLK_SECTOR != 0 || sector > capacity || size / BLK_SECTOR > capacity - sector ||
        (!read && blk->readonly)) {
        return answer(blk, index, chain, BLK_IOERR);
    }
    if (size == 0) {
        return answer(blk, index, chain, BLK_OK);
    }
    request = prepare(blk, index, chain, kind, read ? chain->nr_in : chain->nr_out);
    if (request == NULL) {
        return answer(blk, index, chain, BLK_IOERR);
    }
    fill_segments(request, read ? &chain->segments[chain->nr_out] : chain->segments, skip, size);
    request->sector = sector;
    return submit(blk, chain, request);
}

static enum outcome flush(struct virtio_blk *blk, uint16_t index,
                          const struct virtio_chain *chain)
{
    struct blk_request *request;

    if (blk->readonly) {
        return answer(blk, index, chain, BLK_OK);
    }
    request = prepare(blk, index, chain, BLK_FLUSH, 0);
    return request == NULL ? answer(blk, index, chain, BLK_IOERR) : submit(blk, chain, request);
}

static enum outcome get_id(struct virtio_blk *blk, uint16_t index,
                           const struct virtio_chain *chain)
{
    size_t size = MIN(chain->in_size - 1u, (uint32_t)BLK_ID_SIZE);

    virtio_chain_write(chain, 0, blk->id, size);
    return answer(blk, index, chain, BLK_OK);
}

/* Sections 5.2.6.1 and 5.2.6.2 on one range. */
static enum blk_status check_range(const struct virtio_blk *blk, enum blk_kind kind,
                                   const struct blk_range *range)
{
    uint32_t allowed = kind == BLK_WRITE_ZEROES ? BLK_RANGE_UNMAP : 0;
    uint32_t most = kind == BLK_WRITE_ZEROES ? blk->config.max_write_zeroes_sectors
                                             : blk->config.max_discard_sectors;

    if ((range->flags & ~allowed) != 0) {
        return BLK_UNSUPP;
    }
    if (range->sectors > most || range->sector > blk->config.capacity ||
        range->sectors > blk->config.capacity - range->sector) {
        return BLK_IOERR;
    }
    return BLK_OK;
}

static enum blk_status read_ranges(const struct virtio_blk *blk, const struct virtio_chain *chain,
                                   struct blk_request *request, uint16_t count)
{
    struct blk_range *ranges = blk_ranges(request);
    size_t size = count * sizeof(*ranges);
    enum blk_status status = BLK_OK;

    if (virtio_chain_read(chain, sizeof(struct blk_header), ranges, size) != size) {
        return BLK_IOERR;
    }
    request->entries = count;
    for (uint32_t i = 0; i < count && status == BLK_OK; i++) {
        status = check_range(blk, request->kind, &ranges[i]);
        request->size += (uint64_t)ranges[i].sectors * BLK_SECTOR;
    }
    return status;
}

static enum outcome deallocate(struct virtio_blk *blk, uint16_t index,
                               const struct virtio_chain *chain, enum blk_kind kind)
{
    uint64_t feature = kind == BLK_DISCARD ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;
    uint32_t size = chain->out_size - (uint32_t)sizeof(struct blk_header);
    uint32_t count = size / (uint32_t)sizeof(struct blk_range);
    struct blk_request *request;
    enum blk_status status;

    if ((blk->device.features & feature) == 0) {
        return answer(blk, index, chain, BLK_UNSUPP);
    }
    if (size % sizeof(struct blk_range) != 0 || count == 0 || count > BLK_RANGES_MAX) {
        return answer(blk, index, chain, BLK_IOERR);
    }
    request = prepare(blk, index, chain, kind, (uint16_t)count);
    if (request == NULL) {
        return answer(blk, index, chain, BLK_IOERR);
    }
    status = read_ranges(blk, chain, request, (uint16_t)count);
    if (status != BLK_OK) {
        blk->backend_ops->put(blk->backend, request);
        return answer(blk, index, chain, status);
    }
    return submit(blk, chain, request);
}

static enum outcome serve_chain(struct virtio_blk *blk, uint16_t index,
                                const struct virtio_chain *chain)
{
    struct blk_header header;

    if (virtio_chain_read(chain, 0, &header, sizeof(header)) != sizeof(header)) {
        return answer(blk, index, chain, BLK_IOERR);
    }
    switch (header.type) {
    case BLK_T_IN:
        return transfer(blk, index, chain, BLK_READ, header.sector);
    case BLK_T_OUT:
        return transfer(blk, index, chain, BLK_WRITE, header.sector);
    case BLK_T_FLUSH:
        return flush(blk, index, chain);
    case BLK_T_GET_ID:
        return get_id(blk, index, chain);
    case BLK_T_DISCARD:
        return deallocate(blk, index, chain, BLK_DISCARD);
    case BLK_T_WRITE_ZEROES:
        return deallocate(blk, index, chain, BLK_WRITE_ZEROES);
    default:
        return answer(blk, index, chain, BLK_UNSUPP);
    }
}

static enum outcome serve_next(struct virtio_blk *blk, uint16_t index)
{
    struct virtqueue *queue = &blk->device.queues[index];
    struct virtio_chain chain;

    switch (virtqueue_pop(queue, &chain)) {
    case VIRTQUEUE_EMPTY:
        return OUTCOME_EMPTY;
    case VIRTQUEUE_BROKEN:
        return OUTCOME_BROKEN;
    case VIRTQUEUE_OK:
        break;
    }
    if (chain.in_size == 0 || blk->queue_in_flight[index] >= queue->ring_size) {
        return OUTCOME_BROKEN;
    }
    return serve_chain(blk, index, &chain);
}

void virtio_blk_serve(struct virtio_blk *blk, uint16_t index)
{
    struct virtqueue *queue = &blk->device.queues[index];
    uint32_t left = queue->ring_size; /* what a guest can add meanwhile has to wait its turn */
    enum outcome outcome;

    if (!virtio_device_is_running(&blk->device) || !queue->running ||
        (blk->stalled & (1u << index)) != 0) {
        return;
    }
    do {
        virtqueue_notifications(queue, false);
        do {
            outcome = serve_next(blk, index);
        } while (outcome == OUTCOME_SERVED && --left > 0);
    } while (outcome == OUTCOME_EMPTY && virtqueue_notifications(queue, true) && left > 0);

    if (outcome == OUTCOME_BROKEN) {
        blk->used = 0;
        virtio_device_broken(&blk->device);
        return;
    }
    if (left == 0) {
        blk->backend_ops->serve_again(blk->backend, index);
    }
    virtio_blk_signal(blk);
}

void virtio_blk_resume(struct virtio_blk *blk)
{
    uint32_t stalled = blk->stalled;

    blk->stalled = 0;
    for (; stalled != 0; stalled &= stalled - 1) {
        virtio_blk_serve(blk, (uint16_t)bits_first(stalled));
    }
}

void virtio_blk_complete(struct virtio_blk *blk, struct blk_request *request,
                         enum blk_status status)
{
    uint16_t index = request->queue;

    blk->in_flight--;
    blk->queue_in_flight[index]--;
    if (virtio_device_is_running(&blk->device)) {
        write_status(request->status, status);
        virtqueue_push(&blk->device.queues[index], request->id, request->slots, request->written);
        blk->used |= 1u << index;
    }
    blk->backend_ops->put(blk->backend, request);
    if (blk->in_flight == 0 && blk->device.resetting) {
        virtio_device_reset_done(&blk->device);
    }
}

void virtio_blk_signal(struct virtio_blk *blk)
{
    uint32_t used = blk->used;

    blk->used = 0;
    for (; used != 0; used &= used - 1) {
        virtio_device_used(&blk->device, (uint16_t)bits_first(used));
    }
}

static bool reset(struct virtio_device *device)
{
    struct virtio_blk *blk = to_blk(device);

    blk->stalled = 0;
    blk->used = 0;
    blk->config.writeback = 1;
    return blk->in_flight == 0;
}

static void notify(struct virtio_device *device, uint16_t queue)
{
    struct virtio_blk *blk = to_blk(device);

    if (blk->backend_ops->may_serve(blk->backend, queue)) {
        virtio_blk_serve(blk, queue);
    }
}

/* The write-back switch is all that a driver can write. */
static void config_write(struct virtio_device *device, uint32_t offset, uint32_t size,
                         uint64_t value)
{
    struct virtio_blk *blk = to_blk(device);

    if (offset == CONFIG_WRITEBACK && size == 1 && value <= 1 &&
        (device->features & VIRTIO_BLK_F_CONFIG_WCE) != 0) {
        blk->config.writeback = (uint8_t)value;
    }
}

static const struct virtio_device_ops blk_ops = {
    .reset = reset,
    .notify = notify,
    .config_write = config_write,
};

static void init_config(struct virtio_blk *blk, const struct blk_setup *setup)
{
    uint32_t physical = MAX(setup->physical_size, setup->block_size);
    uint32_t segments = setup->queue_size > 2 ? setup->queue_size - 2u : 1u;

    blk->config = (struct blk_config){
        .capacity = setup->sectors,
        .seg_max = MIN(segments, BLK_SEGMENTS_MAX),
        .blk_size = setup->block_size,
        .physical_block_exp = (uint8_t)bits_last(physical / setup->block_size),
        .min_io_size = (uint16_t)(physical / setup->block_size),
        .writeback = 1,
        .num_queues = setup->nr_queues,
    };
    if (!setup->readonly) {
        blk->config.max_discard_sectors = BLK_DISCARD_SECTORS_MAX;
        blk->config.max_discard_seg = BLK_RANGES_MAX;
        blk->config.discard_sector_alignment = physical / BLK_SECTOR;
        blk->config.max_write_zeroes_sectors = BLK_ZEROES_SECTORS_MAX;
        blk->config.max_write_zeroes_seg = BLK_RANGES_MAX;
        blk->config.write_zeroes_may_unmap = 1;
    }
}

void virtio_blk_init(struct virtio_blk *blk, const struct blk_setup *setup,
                     struct virtqueue *queues, const struct blk_backend_ops *ops, void *backend)
{
    uint64_t features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY |
                        VIRTIO_BLK_F_FLUSH;

    memset(blk, 0, sizeof(*blk));
    blk->backend_ops = ops;
    blk->backend = backend;
    blk->readonly = setup->readonly;
    memcpy(blk->id, setup->id, sizeof(blk->id));
    init_config(blk, setup);

    features |= setup->readonly ? VIRTIO_BLK_F_RO
                                : VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_DISCARD |
                                      VIRTIO_BLK_F_WRITE_ZEROES;
    features |= setup->nr_queues > 1 ? VIRTIO_BLK_F_MQ : 0;
    virtio_device_init(&blk->device, VIRTIO_ID_BLOCK, &blk_ops, queues, setup->nr_queues,
                       setup->queue_size, features);
    blk->device.config = &blk->config;
    blk->device.config_size = BLK_CONFIG_SIZE;
}

void virtio_blk_set_capacity(struct virtio_blk *blk, uint64_t sectors)
{
    blk->config.capacity = sectors;
    virtio_device_config_changed(&blk->device);
}
