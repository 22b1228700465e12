/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device. Requests are served in place, in the thread that notifies, straight into the
 * guest's buffers; what a notification may cost has a bound, and the rest is put off.
 */
#include "machine/virtio/rng.h"
#include "bothy/bits.h"

static uint32_t fill(struct virtio_rng *rng, const struct virtio_chain *chain)
{
    uint32_t most = MIN(chain->in_size, VIRTIO_RNG_BYTES_MAX);
    uint32_t done = 0;

    for (uint32_t i = 0; i < chain->nr_in && done < most; i++) {
        const struct virtio_segment *segment = &chain->segments[chain->nr_out + i];
        size_t want = MIN(segment->size, most - done);
        size_t got = rng->backend_ops->fill(rng->backend, segment->base, want);

        done += (uint32_t)got;
        if (got < want) {
            break;
        }
    }
    return done;
}

static void notify(struct virtio_device *device, uint16_t index)
{
    struct virtio_rng *rng = CONTAINER_OF(device, struct virtio_rng, device);
    enum virtqueue_result result;
    struct virtio_chain chain;
    uint32_t chains = 0;
    uint32_t bytes = 0;

    do {
        virtqueue_notifications(&rng->queue, false);
        while ((result = virtqueue_pop(&rng->queue, &chain)) == VIRTQUEUE_OK) {
            uint32_t written = fill(rng, &chain);

            virtqueue_push(&rng->queue, chain.id, chain.slots, written);
            bytes += written;
            rng->requests++;
            if (++chains == VIRTIO_RNG_QUEUE_SIZE || bytes >= VIRTIO_RNG_BYTES_MAX) {
                break;
            }
        }
        if (result == VIRTQUEUE_BROKEN) {
            virtio_device_broken(device);
            return;
        }
    } while (virtqueue_notifications(&rng->queue, true) && result == VIRTQUEUE_EMPTY);
    rng->bytes += bytes;
    virtio_device_used(device, index);
    if (result == VIRTQUEUE_OK) { /* the budget is used up */
        rng->backend_ops->again(rng->backend);
    }
}

static const struct virtio_device_ops device_ops = {.notify = notify};

void virtio_rng_init(struct virtio_rng *rng, const struct virtio_rng_backend *backend_ops,
                     void *backend)
{
    *rng = (struct virtio_rng){.backend_ops = backend_ops, .backend = backend};
    virtio_device_init(&rng->device, VIRTIO_ID_RNG, &device_ops, &rng->queue, 1,
                       VIRTIO_RNG_QUEUE_SIZE, 0);
}
