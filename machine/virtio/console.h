/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio console, VIRTIO 1.2 section 5.3: one port, no multiport, emergency write.
 */
#ifndef MACHINE_VIRTIO_CONSOLE_H
#define MACHINE_VIRTIO_CONSOLE_H

#include "machine/virtio/device.h"

#define VIRTIO_CONSOLE_F_SIZE BIT(0)
#define VIRTIO_CONSOLE_F_MULTIPORT BIT(1)
#define VIRTIO_CONSOLE_F_EMERG_WRITE BIT(2)

#define VIRTIO_CONSOLE_RX 0u
#define VIRTIO_CONSOLE_TX 1u
#define VIRTIO_CONSOLE_QUEUES 2u

/* Called with the device's lock held; none may call back into the device. */
struct virtio_console_backend {
    void (*output)(void *backend, const uint8_t *bytes, size_t count);
    /* The guest has given buffers for input again. */
    void (*input_room)(void *backend);
    /* More output waits than one call should take: call virtio_device_notify() soon. */
    void (*again)(void *backend);
};

struct virtio_console_config {
    uint16_t cols;
    uint16_t rows;
    uint32_t max_nr_ports;
    uint32_t emerg_wr;
};

struct virtio_console {
    struct virtio_device device;
    struct virtqueue queues[VIRTIO_CONSOLE_QUEUES];
    struct virtio_console_config config;
    const struct virtio_console_backend *backend_ops;
    void *backend;
};

void virtio_console_init(struct virtio_console *console,
                         const struct virtio_console_backend *backend_ops, void *backend);

/* Bytes that were typed; returns how many the guest had room for. Takes the lock. */
size_t virtio_console_input(struct virtio_console *console, const uint8_t *bytes, size_t count);

#endif
