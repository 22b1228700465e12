/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a virtio device: status, features, configuration. A driver that takes its steps in
 * another order than section 3.1 gets nothing for them: status bits that are not due stay clear,
 * and what was frozen stays as it was.
 *
 * Invariant: queues run only while the status has DRIVER_OK, not NEEDS_RESET, and no reset is under
 * way; the transport is told of each beginning and end of that.
 */
#include "machine/virtio/device.h"
#include "bothy/bits.h"
#include "bothy/string.h"

#define STATUS_DRIVERS /* what a driver may set */                                \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | \
     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

void virtio_device_init(struct virtio_device *device, uint32_t id,
                        const struct virtio_device_ops *ops, struct virtqueue *queues,
                        uint16_t nr_queues, uint16_t queue_size, uint64_t features)
{
    memset(device, 0, sizeof(*device));
    spin_init(&device->lock);
    device->id = id;
    device->ops = ops;
    device->queues = queues;
    device->nr_queues = nr_queues;
    device->features_offered = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
                               VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED;
    for (uint16_t i = 0; i < nr_queues; i++) {
        queues[i].size_max = queue_size;
    }
}

void virtio_device_attach(struct virtio_device *device, const struct vm_ops *vm_ops, void *vm,
                          const struct virtio_transport_ops *transport_ops, void *transport)
{
    device->vm_ops = vm_ops;
    device->vm = vm;
    device->transport_ops = transport_ops;
    device->transport = transport;
}

static void tell_running(struct virtio_device *device, bool running)
{
    if (device->transport_ops->running != NULL) {
        device->transport_ops->running(device->transport, running);
    }
}

static void clear(struct virtio_device *device)
{
    device->resetting = false;
    device->status = 0;
    device->features = 0;
    for (uint16_t i = 0; i < device->nr_queues; i++) {
        virtqueue_reset(&device->queues[i]);
    }
}

void virtio_device_reset_done(struct virtio_device *device)
{
    if (device->resetting) {
        clear(device);
        device->transport_ops->changed(device->transport);
    }
}

static void reset(struct virtio_device *device)
{
    bool was_running = virtio_device_is_running(device);

    if (device->resetting) {
        return;
    }
    device->resetting = true; /* the device isn't running any more, also for who looks now */
    if (was_running) {
        tell_running(device, false);
    }
    if (device->ops->reset == NULL || device->ops->reset(device)) {
        clear(device);
    }
}

static bool features_acceptable(struct virtio_device *device)
{
    return (device->features & ~device->features_offered) == 0 &&
           (device->features & VIRTIO_F_VERSION_1) != 0 &&
           (device->ops->features_ok == NULL || device->ops->features_ok(device, device->features));
}

static bool start_queues(struct virtio_device *device)
{
    bool good = true;

    for (uint16_t i = 0; i < device->nr_queues; i++) {
        struct virtqueue *queue = &device->queues[i];

        if (queue->enabled) {
            good = virtqueue_start(queue, device->vm_ops, device->vm, device->features) && good;
        }
    }
    return good;
}

static void start(struct virtio_device *device)
{
    bool good = start_queues(device);

    device->status |= VIRTIO_STATUS_DRIVER_OK;
    if (!good) {
        virtio_device_broken(device);
        return;
    }
    tell_running(device, true);
    if (device->ops->activate != NULL) {
        device->ops->activate(device);
    }
}

void virtio_device_set_status(struct virtio_device *device, uint32_t status)
{
    uint32_t fresh = status & STATUS_DRIVERS & ~device->status;

    if (status == 0) {
        reset(device);
        return;
    }
    if (device->resetting) {
        return;
    }
    /* A driver clears nothing but by 0, 2.1.1; bits that it leaves out stay. */
    device->status |= fresh & ~(VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
    if ((fresh & VIRTIO_STATUS_FEATURES_OK) && features_acceptable(device)) {
        device->status |= VIRTIO_STATUS_FEATURES_OK;
    }
    if ((fresh & VIRTIO_STATUS_DRIVER_OK) && (device->status & VIRTIO_STATUS_FEATURES_OK) &&
        !(device->status & VIRTIO_STATUS_NEEDS_RESET)) {
        start(device);
    }
}

void virtio_device_set_features(struct virtio_device *device, unsigned int word, uint32_t bits)
{
    uint32_t shift = word * 32;

    if (word > 1 || device->resetting || (device->status & VIRTIO_STATUS_FEATURES_OK)) {
        return;
    }
    device->features =
        (device->features & ~((uint64_t)UINT32_MAX << shift)) | ((uint64_t)bits << shift);
}

uint64_t virtio_device_config_read(const struct virtio_device *device, uint32_t offset,
                                   uint32_t size)
{
    uint32_t there = offset < device->config_size ? device->config_size - offset : 0;
    uint64_t value = 0;

    if (there != 0) {
        memcpy(&value, (const uint8_t *)device->config + offset, MIN(size, there));
    }
    return value;
}

void virtio_device_kick(struct virtio_device *device, uint32_t queue)
{
    if (queue < device->nr_queues && device->queues[queue].running &&
        virtio_device_is_running(device) && device->ops->notify != NULL) {
        device->ops->notify(device, (uint16_t)queue);
    }
}

void virtio_device_notify(struct virtio_device *device, uint16_t queue)
{
    spin_lock(&device->lock);
    virtio_device_kick(device, queue);
    spin_unlock(&device->lock);
}

void virtio_device_power_on(struct virtio_device *device)
{
    spin_lock(&device->lock);
    device->resetting = false; /* the back end is idle: nothing is being waited for */
    reset(device);
    clear(device);
    device->generation = 0;
    spin_unlock(&device->lock);
}

void virtio_device_used(struct virtio_device *device, uint16_t queue)
{
    if (virtqueue_wants_interrupt(&device->queues[queue])) {
        device->transport_ops->interrupt(device->transport, queue);
    }
}

/* The status or the configuration is another one: show it, and say so to a driver that runs. */
static void tell_change(struct virtio_device *device)
{
    device->transport_ops->changed(device->transport);
    if (device->status & VIRTIO_STATUS_DRIVER_OK) {
        device->transport_ops->interrupt(device->transport, VIRTIO_CONFIG_CHANGED);
    }
}

void virtio_device_broken(struct virtio_device *device)
{
    bool was_running = virtio_device_is_running(device);

    if (device->resetting || (device->status & VIRTIO_STATUS_NEEDS_RESET)) {
        return;
    }
    device->status |= VIRTIO_STATUS_NEEDS_RESET;
    for (uint16_t i = 0; i < device->nr_queues; i++) {
        device->queues[i].broken |= device->queues[i].running;
        device->queues[i].running = false;
    }
    if (was_running) {
        tell_running(device, false);
    }
    tell_change(device);
}

void virtio_device_config_changed(struct virtio_device *device)
{
    /* By two, so that a transport can show an odd one while the bytes change. */
    device->generation += 2;
    tell_change(device);
}
