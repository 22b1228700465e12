/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device, VIRTIO 1.2 section 5.4: one queue, random bytes into each buffer. */
#ifndef MACHINE_VIRTIO_RNG_H
#define MACHINE_VIRTIO_RNG_H

#include "machine/virtio/device.h"

#define VIRTIO_RNG_QUEUE_SIZE 8u
#define VIRTIO_RNG_BYTES_MAX 65536u /* for a chain, and for all that one notification brings */

struct virtio_rng_backend {
    /* Random bytes into `to`; returns how many, 0 if there are none. Doesn't block. */
    size_t (*fill)(void *backend, void *to, size_t size);
    /* More is wanted than one notification may cost: call virtio_device_notify() for queue 0 soon,
     * from a thread that has time for it. With the device's lock held. */
    void (*again)(void *backend);
};

struct virtio_rng {
    struct virtio_device device;
    struct virtqueue queue;
    const struct virtio_rng_backend *backend_ops;
    void *backend;
    uint64_t requests, bytes; /* GUARDED_BY(device.lock) */
};

void virtio_rng_init(struct virtio_rng *rng, const struct virtio_rng_backend *backend_ops,
                     void *backend);

#endif
