/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all virtio devices share (VIRTIO 1.2 sections 2 and 3), between a device, which knows its
 * requests, and a transport, which knows registers. Neither knows where it lives.
 *
 * Locking: `lock` guards the status, the features, the queues and the device's own state. The
 * transport takes it for each register access and calls `ops` with it held; a device takes it
 * itself when it is woken by its back end. It is never held while anything may block.
 */
#ifndef MACHINE_VIRTIO_DEVICE_H
#define MACHINE_VIRTIO_DEVICE_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "machine/virtio/queue.h"
#include "machine/virtio/virtio.h"
#include "machine/vm_ops.h"

struct virtio_device;

/* All are called with the lock held; NULL where a device has nothing to do. */
struct virtio_device_ops {
    /* The driver set FEATURES_OK: false if the device can't work with this subset. */
    bool (*features_ok)(struct virtio_device *device, uint64_t features);
    /* DRIVER_OK: the queues are running. */
    void (*activate)(struct virtio_device *device);
    /* The driver wrote status 0, or the machine is reset; also called for a device that was never
     * activated. virtio_device_is_running() is false already. False: requests are still under way
     * in the back end; the status reads as before until the device calls
     * virtio_device_reset_done(). No queue is touched after true or that call. */
    bool (*reset)(struct virtio_device *device);
    /* The driver made buffers available. Must not be slow: also called from vCPU threads. */
    void (*notify)(struct virtio_device *device, uint16_t queue);
    /* A write to the device's configuration; without this it is ignored. */
    void (*config_write)(struct virtio_device *device, uint32_t offset, uint32_t size,
                         uint64_t value);
};

/* What a transport does for a device. */
struct virtio_transport_ops {
    /* Used buffers in this queue, or (queue VIRTIO_CONFIG_CHANGED) another configuration. */
    void (*interrupt)(void *transport, uint32_t queue);
    /* Status, generation or configuration changed not by the driver's own register access. */
    void (*changed)(void *transport);
    /* The device starts (true: queues run) or stops working; with the lock held. May be NULL. */
    void (*running)(void *transport, bool running);
};
#define VIRTIO_CONFIG_CHANGED UINT32_MAX

struct virtio_device {
    struct spinlock lock;
    const struct virtio_device_ops *ops;
    uint32_t id;               /* VIRTIO_ID_* */
    uint64_t features_offered; /* VIRTIO_F_VERSION_1 and the ring's are added by init */
    uint64_t features;         /* what the driver took; frozen at FEATURES_OK */
    uint32_t status;
    uint32_t generation; /* of the configuration; even */
    bool resetting;      /* reset() has returned false */
    /* Set by the device before it is attached: interrupts are made by someone who doesn't tell the
     * transport (vhost). While the device runs, InterruptStatus shows used buffers at all times. */
    bool external_interrupts;
    struct virtqueue *queues;
    uint16_t nr_queues;
    const void *config; /* little-endian, as the driver reads it; the device changes it under the
                           lock and calls virtio_device_config_changed() */
    uint32_t config_size;

    const struct vm_ops *vm_ops;
    void *vm;
    const struct virtio_transport_ops *transport_ops;
    void *transport;
};

/* The device's parts, filled in by its own init before it gets a transport. queues: nr_queues of
 * them, zeroed, with size_max set to `queue_size` here. features: the device's own. */
void virtio_device_init(struct virtio_device *device, uint32_t id,
                        const struct virtio_device_ops *ops, struct virtqueue *queues,
                        uint16_t nr_queues, uint16_t queue_size, uint64_t features);

/* Who gives it memory and interrupts. vm, ops and transport outlive the device. */
void virtio_device_attach(struct virtio_device *device, const struct vm_ops *vm_ops, void *vm,
                          const struct virtio_transport_ops *transport_ops, void *transport);

/* Transport side: the driver's steps. Called with the lock held. */
void virtio_device_set_status(struct virtio_device *device, uint32_t status);
void virtio_device_set_features(struct virtio_device *device, unsigned int word, uint32_t bits);
uint64_t virtio_device_config_read(const struct virtio_device *device, uint32_t offset,
                                   uint32_t size);

/* The driver's notification, with the lock held; ignored unless that queue runs. */
void virtio_device_kick(struct virtio_device *device, uint32_t queue);

/* Takes the lock: the driver's notification has come through a descriptor (ioeventfd). */
void virtio_device_notify(struct virtio_device *device, uint16_t queue);

/* As after power-on, without asking the driver; the back end is idle. Takes the lock. ops->reset is
 * called, and its answer taken for true. */
void virtio_device_power_on(struct virtio_device *device);

/* Device side, with the lock held. */
/* After virtqueue_push(): interrupt the driver if it wants that. */
void virtio_device_used(struct virtio_device *device, uint16_t queue);
/* The guest broke a rule: NEEDS_RESET, all queues stop, the driver is told. Nothing else. */
void virtio_device_broken(struct virtio_device *device);
void virtio_device_config_changed(struct virtio_device *device);
void virtio_device_reset_done(struct virtio_device *device);

static inline bool virtio_device_is_running(const struct virtio_device *device)
{
    return (device->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) ==
               VIRTIO_STATUS_DRIVER_OK &&
           !device->resetting;
}

#endif
