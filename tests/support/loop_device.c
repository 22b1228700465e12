/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/loop_device.h"
#include <stdlib.h>
#include <string.h>

static uint32_t copy_through(const struct virtio_chain *chain)
{
    uint8_t part[256];
    size_t done = 0;
    size_t got;

    do {
        got = virtio_chain_read(chain, done, part, sizeof(part));
        got = virtio_chain_write(chain, done, part, got);
        done += got;
    } while (got != 0);
    return (uint32_t)done;
}

static struct loop_device *loop_of(struct virtio_device *device)
{
    return (struct loop_device *)(void *)device; /* its first member */
}

static void serve(struct loop_device *loop)
{
    struct virtqueue *queue = &loop->queues[0];
    struct virtio_chain chain;
    enum virtqueue_result result;

    do {
        virtqueue_notifications(queue, false);
        while ((result = virtqueue_pop(queue, &chain)) == VIRTQUEUE_OK) {
            loop->popped++;
            virtqueue_push(queue, chain.id, chain.slots, copy_through(&chain));
            loop->pushed++;
        }
        if (result == VIRTQUEUE_BROKEN) {
            virtio_device_broken(&loop->device);
            return;
        }
    } while (virtqueue_notifications(queue, true));
    virtio_device_used(&loop->device, 0);
}

static void keep(struct loop_device *loop)
{
    struct virtqueue *queue = &loop->queues[1];
    enum virtqueue_result result = VIRTQUEUE_OK;

    do {
        virtqueue_notifications(queue, false);
        while (result == VIRTQUEUE_OK) {
            /* No room is kept for one more than the ring has: the queue must not give it. */
            struct virtio_chain chain;

            result = virtqueue_pop(queue, &chain);
            if (result == VIRTQUEUE_OK && loop->nr_held >= queue->ring_size) {
                abort();
            }
            if (result == VIRTQUEUE_OK) {
                loop->held[loop->nr_held++] = chain;
            }
        }
        if (result == VIRTQUEUE_BROKEN) {
            virtio_device_broken(&loop->device);
            return;
        }
        result = VIRTQUEUE_OK;
    } while (virtqueue_notifications(queue, true));
}

static void notify(struct virtio_device *device, uint16_t queue)
{
    struct loop_device *loop = loop_of(device);

    loop->notified[queue]++;
    if (loop->silent) {
        return;
    }
    if (queue == 0) {
        serve(loop);
    } else {
        keep(loop);
    }
}

void loop_device_run(struct loop_device *loop)
{
    spin_lock(&loop->device.lock);
    serve(loop);
    spin_unlock(&loop->device.lock);
}

void loop_device_release(struct loop_device *loop, bool batch)
{
    struct virtqueue *queue = &loop->queues[1];
    uint16_t count = 0;

    spin_lock(&loop->device.lock);
    while (loop->nr_held > 0) {
        const struct virtio_chain *chain = &loop->held[--loop->nr_held];
        uint32_t written = copy_through(chain);

        if (batch) {
            virtqueue_push_at(queue, count++, chain->id, chain->slots, written);
        } else {
            virtqueue_push(queue, chain->id, chain->slots, written);
        }
    }
    virtqueue_publish(queue, count);
    virtio_device_used(&loop->device, 1);
    spin_unlock(&loop->device.lock);
}

static bool features_ok(struct virtio_device *device, uint64_t features)
{
    return !(loop_of(device)->refuse_feature && (features & LOOP_FEATURE));
}

static void activate(struct virtio_device *device)
{
    loop_of(device)->activated++;
}

static bool reset(struct virtio_device *device)
{
    struct loop_device *loop = loop_of(device);

    loop->resets++;
    loop->nr_held = 0;
    return !loop->slow_reset;
}

static void config_write(struct virtio_device *device, uint32_t offset, uint32_t size,
                         uint64_t value)
{
    struct loop_device *loop = loop_of(device);

    if (offset < 4 && size <= 4 - offset) {
        memcpy(loop->config + offset, &value, size);
    }
}

static const struct virtio_device_ops ops = {features_ok, activate, reset, notify, config_write};

void loop_device_init(struct loop_device *loop)
{
    memset(loop, 0, sizeof(*loop));
    virtio_device_init(&loop->device, 42, &ops, loop->queues, LOOP_QUEUES, LOOP_QUEUE_SIZE,
                       LOOP_FEATURE);
    for (uint8_t i = 0; i < sizeof(loop->config); i++) {
        loop->config[i] = (uint8_t)(0xa0 + i);
    }
    loop->device.config = loop->config;
    loop->device.config_size = sizeof(loop->config);
}
