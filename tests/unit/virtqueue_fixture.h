/* SPDX-License-Identifier: Apache-2.0 */
/* A loop-back device and its driver, for the tests of virtqueues. */
#ifndef TESTS_UNIT_VIRTQUEUE_FIXTURE_H
#define TESTS_UNIT_VIRTQUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "tests/support/loop_device.h"
#include "tests/support/vring_driver.h"

#define SIZE 16u

struct rig {
    struct loop_device loop;
    struct vring_driver *driver;
};

static const uint64_t kinds[] = {
    0,
    VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC,
};

static inline void begin(struct rig *rig, uint64_t features)
{
    loop_device_init(&rig->loop);
    rig->driver = vring_driver_create(&rig->loop.device, MIB(1));
    assert_true(vring_driver_start(rig->driver, features, SIZE));
}

static inline void end(struct rig *rig)
{
    vring_driver_destroy(rig->driver);
}

static inline bool is_broken(struct rig *rig)
{
    return vring_read(rig->driver, VRING_STATUS) & VIRTIO_STATUS_NEEDS_RESET;
}

static inline void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

/* One chain there and back: three out, three in, with sizes that don't match. */
static inline void echo(struct rig *rig, bool indirect, uint32_t seed)
{
    struct vring_driver *driver = rig->driver;
    uint8_t bytes[1000], back[1000];
    struct vring_buffer buffers[6];
    struct vring_used used;
    int token;

    driver->ram_used = 65536; /* the rings are below: use the memory again */
    fill(bytes, sizeof(bytes), seed);
    buffers[0] = vring_out(driver, bytes, 100);
    buffers[1] = vring_out(driver, bytes + 100, 899);
    buffers[2] = vring_out(driver, bytes + 999, 1);
    buffers[3] = vring_in(driver, 7);
    buffers[4] = vring_in(driver, 993);
    buffers[5] = vring_in(driver, 50);
    token = vring_add(driver, 0, buffers, 6, indirect);
    assert_true(token >= 0);
    assert_false(vring_collect(driver, 0, &used));
    assert_true(vring_kick(driver, 0));
    assert_true(vring_collect(driver, 0, &used));
    assert_int_equal(used.token, token);
    assert_int_equal(used.written, 1000);
    memcpy(back, vring_at(driver, buffers[3].ipa), 7);
    memcpy(back + 7, vring_at(driver, buffers[4].ipa), 993);
    assert_memory_equal(back, bytes, 1000);
    assert_false(vring_collect(driver, 0, &used));
}

#endif
