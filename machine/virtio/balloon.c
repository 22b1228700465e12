/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon. One request is served at a time, and of it a bounded number of pages: releasing
 * memory is slow, and others wait.
 *
 * Invariant: only pages that are wholly the guest's RAM are released, and each by the address that
 * memory_at() or the queue gave for it.
 */
#include "machine/virtio/balloon.h"
#include "bothy/bits.h"
#include "bothy/string.h"

#define STATS_MAX 32u /* entries that are looked at */
#define PFN_SHIFT 12

struct __attribute__((packed)) stats_entry {
    uint16_t tag;
    uint64_t value;
};
_Static_assert(sizeof(struct stats_entry) == 10, "section 5.5.6.3");

enum queue_role { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT };

/* A run of neighbouring pages that is about to be released. */
struct run {
    uint8_t *at;
    uint64_t size;
};

static struct virtio_balloon *to_balloon(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct virtio_balloon, device);
}

static enum queue_role queue_role(const struct virtio_balloon *balloon, uint16_t queue)
{
    if (queue <= 1) {
        return queue == 0 ? ROLE_INFLATE : ROLE_DEFLATE;
    }
    return queue == 2 && (balloon->device.features & VIRTIO_BALLOON_F_STATS_VQ) ? ROLE_STATS
                                                                                : ROLE_REPORT;
}

static void release_run(struct virtio_balloon *balloon, struct run *run)
{
    if (run->size != 0) {
        balloon->inflated += run->size;
        balloon->backend_ops->release(balloon->backend, run->at, run->size);
    }
    run->size = 0;
}

/* Shell's, with the gaps of 3x + 1: short, and no order of the guest's makes it slow. */
static void sort(uint32_t *numbers, uint32_t count)
{
    uint32_t gap = 1;

    while (gap < count / 3) {
        gap = 3 * gap + 1;
    }
    for (; gap > 0; gap /= 3) {
        for (uint32_t i = gap; i < count; i++) {
            uint32_t number = numbers[i];
            uint32_t at = i;

            for (; at >= gap && numbers[at - gap] > number; at -= gap) {
                numbers[at] = numbers[at - gap];
            }
            numbers[at] = number;
        }
    }
}

static void add_page(struct virtio_balloon *balloon, struct run *run, uint8_t *page)
{
    if (run->size != 0 && page == run->at + run->size) {
        run->size += BALLOON_PAGE;
    } else {
        release_run(balloon, run);
        *run = (struct run){page, BALLOON_PAGE};
    }
}

/* Sorted first, because each call to the back end is dear and Linux gives a few pages from here
 * and a few from there by turns, upwards or downwards. */
static void inflate(struct virtio_balloon *balloon, const struct virtio_chain *chain)
{
    const struct virtio_device *device = &balloon->device;
    uint32_t count = MIN(chain->out_size / 4u, BALLOON_CHAIN_PAGES);
    uint32_t *pfns = balloon->pfns;
    struct run run = {NULL, 0};

    virtio_chain_read(chain, 0, pfns, count * sizeof(pfns[0]));
    sort(pfns, count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *page = device->vm_ops->memory_at(device->vm, (uint64_t)pfns[i] << PFN_SHIFT,
                                                  BALLOON_PAGE);

        if (page != NULL && (i == 0 || pfns[i] != pfns[i - 1])) {
            add_page(balloon, &run, page);
        }
    }
    release_run(balloon, &run);
}

/* Each writable segment is free memory; whole pages only. The contents matter to a driver that
 * poisons free pages with something else than zeroes. */
static void report(struct virtio_balloon *balloon, const struct virtio_chain *chain)
{
    if ((balloon->device.features & VIRTIO_BALLOON_F_PAGE_REPORTING) == 0 ||
        ((balloon->device.features & VIRTIO_BALLOON_F_PAGE_POISON) != 0 &&
         balloon->config.poison_val != 0)) {
        return;
    }
    for (uint32_t i = 0; i < chain->nr_in; i++) {
        const struct virtio_segment *segment = &chain->segments[chain->nr_out + i];
        uintptr_t start = ALIGN_UP((uintptr_t)segment->base, (uintptr_t)BALLOON_PAGE);
        uintptr_t end = ALIGN_DOWN((uintptr_t)segment->base + segment->size,
                                   (uintptr_t)BALLOON_PAGE);

        if (start < end) {
            balloon->reported += end - start;
            balloon->backend_ops->release(balloon->backend,
                                          segment->base + (start - (uintptr_t)segment->base),
                                          end - start);
        }
    }
}

static void updated(struct virtio_balloon *balloon)
{
    if (balloon->backend_ops->updated != NULL) {
        balloon->backend_ops->updated(balloon->backend);
    }
}

/* The buffer is kept: giving it back is how the next statistics are asked for, 5.5.6.3. */
static void take_stats(struct virtio_balloon *balloon, uint16_t queue,
                       const struct virtio_chain *chain)
{
    struct stats_entry entries[STATS_MAX];
    size_t size = virtio_chain_read(chain, 0, entries, sizeof(entries));

    for (size_t i = 0; i < size / sizeof(entries[0]); i++) {
        if (entries[i].tag < BALLOON_STATS) {
            balloon->stats[entries[i].tag] = entries[i].value;
        }
    }
    balloon->stats_held = true;
    balloon->stats_queue = queue;
    balloon->stats_id = chain->id;
    balloon->stats_slots = chain->slots;
    updated(balloon);
}

static void serve_chain(struct virtio_balloon *balloon, uint16_t queue,
                        const struct virtio_chain *chain)
{
    switch (queue_role(balloon, queue)) {
    case ROLE_INFLATE:
        inflate(balloon, chain);
        break;
    case ROLE_DEFLATE: /* the pages come back when they are touched */
        break;
    case ROLE_STATS:
        take_stats(balloon, queue, chain);
        return;
    case ROLE_REPORT:
        report(balloon, chain);
        break;
    }
    virtqueue_push(&balloon->queues[queue], chain->id, chain->slots, 0);
    virtio_device_used(&balloon->device, queue);
}

void virtio_balloon_serve(struct virtio_balloon *balloon, uint16_t index)
{
    struct virtqueue *queue = &balloon->queues[index];
    struct virtio_chain chain;

    if (!virtio_device_is_running(&balloon->device) || !queue->running ||
        (balloon->stats_held && index == balloon->stats_queue)) {
        return;
    }
    virtqueue_notifications(queue, false);
    switch (virtqueue_pop(queue, &chain)) {
    case VIRTQUEUE_OK:
        serve_chain(balloon, index, &chain);
        balloon->backend_ops->serve_again(balloon->backend, index);
        break;
    case VIRTQUEUE_EMPTY:
        if (virtqueue_notifications(queue, true)) {
            balloon->backend_ops->serve_again(balloon->backend, index);
        }
        break;
    case VIRTQUEUE_BROKEN:
        virtio_device_broken(&balloon->device);
        break;
    }
}

void virtio_balloon_set_target(struct virtio_balloon *balloon, uint32_t num_pages)
{
    if (num_pages != balloon->config.num_pages) {
        balloon->config.num_pages = num_pages;
        virtio_device_config_changed(&balloon->device);
    }
}

bool virtio_balloon_ask(struct virtio_balloon *balloon)
{
    if (!balloon->stats_held || !virtio_device_is_running(&balloon->device)) {
        return false;
    }
    balloon->stats_held = false;
    virtqueue_push(&balloon->queues[balloon->stats_queue], balloon->stats_id,
                   balloon->stats_slots, 0);
    virtio_device_used(&balloon->device, balloon->stats_queue);
    balloon->backend_ops->serve_again(balloon->backend, balloon->stats_queue);
    return true;
}

static void forget_stats(struct virtio_balloon *balloon)
{
    balloon->stats_held = false;
    memset(balloon->stats, 0xff, sizeof(balloon->stats));
}

static bool reset(struct virtio_device *device)
{
    struct virtio_balloon *balloon = to_balloon(device);

    forget_stats(balloon);
    balloon->config.actual = 0;
    balloon->config.poison_val = 0;
    return true;
}

static void notify(struct virtio_device *device, uint16_t queue)
{
    struct virtio_balloon *balloon = to_balloon(device);

    if (balloon->backend_ops->may_serve(balloon->backend, queue)) {
        virtio_balloon_serve(balloon, queue);
    }
}

/* Linux makes its first buffer for statistics available, and tells so, before DRIVER_OK. */
static void activate(struct virtio_device *device)
{
    for (uint16_t i = 0; i < device->nr_queues; i++) {
        if (device->queues[i].running) {
            notify(device, i);
        }
    }
}

static void config_write(struct virtio_device *device, uint32_t offset, uint32_t size,
                         uint64_t value)
{
    struct virtio_balloon *balloon = to_balloon(device);

    if (size != 4) {
        return;
    }
    if (offset == offsetof(struct balloon_config, actual)) {
        balloon->config.actual = (uint32_t)value;
        updated(balloon);
    } else if (offset == offsetof(struct balloon_config, poison_val) &&
               (device->features & VIRTIO_BALLOON_F_PAGE_POISON) != 0) {
        balloon->config.poison_val = (uint32_t)value;
    }
}

static const struct virtio_device_ops balloon_ops = {
    .activate = activate,
    .reset = reset,
    .notify = notify,
    .config_write = config_write,
};

void virtio_balloon_init(struct virtio_balloon *balloon, uint64_t features, uint32_t num_pages,
                         const struct balloon_backend_ops *ops, void *backend)
{
    memset(balloon, 0, sizeof(*balloon));
    balloon->backend_ops = ops;
    balloon->backend = backend;
    balloon->config.num_pages = num_pages;
    forget_stats(balloon);
    virtio_device_init(&balloon->device, VIRTIO_ID_BALLOON, &balloon_ops, balloon->queues,
                       BALLOON_QUEUES, BALLOON_QUEUE_SIZE, features);
    balloon->device.config = &balloon->config;
    balloon->device.config_size = sizeof(balloon->config);
}
