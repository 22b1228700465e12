/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop-back device behind a transport with a mirror, and the place in which that lives. rd() and
 * wr() compare the whole mirror with what the registers read as.
 */
#ifndef TESTS_UNIT_VIRTIO_MMIO_FIXTURE_H
#define TESTS_UNIT_VIRTIO_MMIO_FIXTURE_H

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

#define ACK VIRTIO_STATUS_ACKNOWLEDGE
#define DRIVER VIRTIO_STATUS_DRIVER
#define FEATURES_OK VIRTIO_STATUS_FEATURES_OK
#define DRIVER_OK VIRTIO_STATUS_DRIVER_OK
#define NEEDS_RESET VIRTIO_STATUS_NEEDS_RESET

/* The place in which the transport lives here; there is one at a time. */
static struct {
    unsigned int pulses, starts, stops, waits, flushes;
    size_t mirrored;
    struct virtio_mmio *late_ack; /* acknowledged by the guest, not yet arrived */
    uint32_t late_bits;
} place;

static inline void pulse(void *context, uint32_t spi)
{
    (void)context;
    assert_int_equal(spi, VRING_SPI);
    place.pulses++;
}

static inline void running(void *context, struct virtio_device *device, bool is_running)
{
    (void)context;
    assert_true(spin_is_locked(&device->lock));
    place.starts += is_running;
    place.stops += !is_running;
}

static inline void mirror_changed(void *context, void *from, size_t size)
{
    const struct vring_driver *driver = context;

    assert_true((uint8_t *)from >= driver->mmio.mirror &&
                (uint8_t *)from + size <= driver->mmio.mirror + VIRTIO_MMIO_SIZE);
    place.mirrored += size;
}

static inline void flush_acks(void *context)
{
    (void)context;
    place.flushes++;
    if (place.late_ack != NULL) {
        virtio_mmio_ack(place.late_ack, place.late_bits);
        place.late_ack = NULL;
    }
}

static inline void wait_reset(void *context, struct virtio_device *device)
{
    (void)context;
    place.waits++;
    spin_lock(&device->lock); /* which must be free */
    if (place.waits == 2) {
        virtio_device_reset_done(device);
    }
    spin_unlock(&device->lock);
}

static const struct virtio_mmio_place prompt_place = {
    .pulse = pulse, .running = running, .mirror_changed = mirror_changed, .wait_reset = wait_reset};
static const struct virtio_mmio_place late_place = {
    .pulse = pulse, .mirror_changed = mirror_changed, .flush_acks = flush_acks};

struct rig {
    struct loop_device loop;
    struct vring_driver *driver;
};

static inline void begin_at(struct rig *rig, const struct virtio_mmio_place *ops)
{
    memset(&place, 0, sizeof(place));
    loop_device_init(&rig->loop);
    rig->driver = vring_driver_create_at(&rig->loop.device, MIB(1), ops, true);
}

static inline void begin(struct rig *rig)
{
    begin_at(rig, &prompt_place);
}

static inline void end(struct rig *rig)
{
    vring_driver_destroy(rig->driver);
}

static inline void check_mirror(struct rig *rig)
{
    for (uint32_t offset = 0; offset < VIRTIO_MMIO_SIZE; offset += 4) {
        uint32_t word;

        memcpy(&word, rig->driver->mirror + offset, 4);
        if (vring_read(rig->driver, offset) != word) {
            fail_msg("register 0x%x reads 0x%x, mirrored as 0x%x", offset,
                     vring_read(rig->driver, offset), word);
        }
    }
}

static inline uint32_t rd(struct rig *rig, uint32_t offset)
{
    check_mirror(rig);
    return vring_read(rig->driver, offset);
}

static inline void wr(struct rig *rig, uint32_t offset, uint32_t value)
{
    vring_write(rig->driver, offset, value);
    check_mirror(rig);
}

static inline void change_config(struct rig *rig, uint8_t value)
{
    spin_lock(&rig->loop.device.lock);
    rig->loop.config[5] = value;
    virtio_device_config_changed(&rig->loop.device);
    spin_unlock(&rig->loop.device.lock);
}

static inline void use_one(struct rig *rig, uint16_t queue)
{
    struct vring_buffer buffer = vring_in(rig->driver, 4);

    assert_true(vring_add(rig->driver, queue, &buffer, 1, false) >= 0);
    vring_notify(rig->driver, queue);
}

#endif
