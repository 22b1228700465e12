/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device: data, its bounds, a source that runs dry, hostile requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/virtio/rng.h"
#include "tests/support/vring_driver.h"

struct rig {
    struct virtio_rng rng;
    struct vring_driver *driver;
    size_t supply, given;
    unsigned int again;
};

static size_t fill(void *backend, void *to, size_t size)
{
    struct rig *rig = backend;
    size_t got = size < rig->supply ? size : rig->supply;

    for (size_t i = 0; i < got; i++) {
        ((uint8_t *)to)[i] = (uint8_t)(1 + (rig->given + i) % 255);
    }
    rig->supply -= got;
    rig->given += got;
    return got;
}

static void again(void *backend)
{
    ((struct rig *)backend)->again++;
}

static const struct virtio_rng_backend backend_ops = {fill, again};

static void begin(struct rig *rig, uint64_t features)
{
    memset(rig, 0, sizeof(*rig));
    rig->supply = SIZE_MAX;
    virtio_rng_init(&rig->rng, &backend_ops, rig);
    rig->driver = vring_driver_create(&rig->rng.device, 4 << 20);
    assert_true(vring_driver_start(rig->driver, features, 8));
}

static uint32_t request(struct rig *rig, const struct vring_buffer *buffers, unsigned int count)
{
    struct vring_used used;
    int token = vring_add(rig->driver, 0, buffers, count, false);

    vring_kick(rig->driver, 0);
    assert_true(vring_collect(rig->driver, 0, &used));
    assert_int_equal(used.token, token);
    return used.written;
}

static void test_bytes(void **state)
{
    struct rig rig;
    struct vring_buffer buffers[2];

    (void)state;
    for (unsigned int packed = 0; packed < 2; packed++) {
        begin(&rig, packed ? VIRTIO_F_RING_PACKED : VIRTIO_F_EVENT_IDX);
        buffers[0] = vring_in(rig.driver, 5);
        buffers[1] = vring_in(rig.driver, 64);
        assert_int_equal(request(&rig, buffers, 2), 69);
        assert_int_equal(*(uint8_t *)vring_at(rig.driver, buffers[0].ipa + 4), 5);
        assert_int_equal(*(uint8_t *)vring_at(rig.driver, buffers[1].ipa), 6);
        assert_int_equal(*(uint8_t *)vring_at(rig.driver, buffers[1].ipa + 63), 69);
        assert_int_equal(rig.driver->interrupts, 1);
        assert_int_equal(rig.rng.bytes, 69);
        vring_driver_destroy(rig.driver);
    }
}

static void test_bounds(void **state)
{
    struct rig rig;
    struct vring_buffer big, small;
    struct vring_used used;

    (void)state;
    begin(&rig, 0);
    big = vring_in(rig.driver, 200000);
    small = vring_in(rig.driver, 16);
    assert_int_equal(request(&rig, &big, 1), VIRTIO_RNG_BYTES_MAX);
    assert_int_equal(rig.again, 1);
    /* Two at once: the second one waits until somebody has time. */
    vring_add(rig.driver, 0, &big, 1, false);
    vring_add(rig.driver, 0, &small, 1, false);
    vring_kick(rig.driver, 0);
    assert_true(vring_collect(rig.driver, 0, &used));
    assert_false(vring_collect(rig.driver, 0, &used));
    assert_int_equal(rig.again, 2);
    virtio_device_notify(&rig.rng.device, 0);
    assert_true(vring_collect(rig.driver, 0, &used));
    assert_int_equal(used.written, 16);
    assert_int_equal(rig.again, 2);
    /* A source that runs dry gives what it has. */
    rig.supply = 10;
    assert_int_equal(request(&rig, &small, 1), 10);
    assert_int_equal(request(&rig, &small, 1), 0);
    vring_driver_destroy(rig.driver);
}

static void test_odd_requests(void **state)
{
    struct rig rig;
    struct vring_buffer out, bad;

    (void)state;
    begin(&rig, 0);
    out = vring_out(rig.driver, "abc", 3);
    assert_int_equal(request(&rig, &out, 1), 0);
    bad = (struct vring_buffer){0x1000, 16, true};
    vring_add(rig.driver, 0, &bad, 1, false);
    vring_kick(rig.driver, 0);
    assert_true(vring_read(rig.driver, VRING_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(rig.given, 0);
    vring_driver_destroy(rig.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_odd_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
