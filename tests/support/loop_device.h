/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simplest virtio device, to test queues and transports with. Queue 0 copies what it reads to
 * what it may write, at once. Queue 1 keeps its chains until loop_device_release() gives them back
 * with the same copy, the last one first.
 */
#ifndef TESTS_SUPPORT_LOOP_DEVICE_H
#define TESTS_SUPPORT_LOOP_DEVICE_H

#include "machine/virtio/device.h"

#define LOOP_QUEUES 2u
#define LOOP_QUEUE_SIZE 256u
#define LOOP_FEATURE BIT(5)

struct loop_device {
    struct virtio_device device;
    struct virtqueue queues[LOOP_QUEUES];
    uint8_t config[12]; /* the driver may write the first four */
    struct virtio_chain held[LOOP_QUEUE_SIZE];
    uint32_t nr_held;
    unsigned int activated, notified[LOOP_QUEUES], resets;
    bool slow_reset;     /* reset() says that there is more to do */
    bool refuse_feature; /* features_ok() refuses LOOP_FEATURE */
    bool silent;         /* leaves notifications on and doesn't drain its queues */
    uint64_t popped, pushed;
};

void loop_device_init(struct loop_device *loop);

/* Serve queue 0 until it is empty; also what a notification does. */
void loop_device_run(struct loop_device *loop);

/* Give back what queue 1 kept, with the lock taken; all in one batch if asked. */
void loop_device_release(struct loop_device *loop, bool batch);

#endif
