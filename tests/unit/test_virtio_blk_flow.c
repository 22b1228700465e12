/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk: what is malformed, what is under way, limits, resets, changes. */
#include "tests/unit/virtio_blk_fixture.h"

/* The last one first: a back end may finish in any order. */
static void release(struct fixture *f)
{
    spin_lock(&f->blk.device.lock);
    while (f->nr_held > 0) {
        carry_out(f, f->held[--f->nr_held]);
    }
    virtio_blk_signal(&f->blk);
    spin_unlock(&f->blk.device.lock);
}

static void test_short_header(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[15] = {0};
    struct vring_buffer buffers[2];
    struct vring_used used;

    start(f);
    buffers[0] = vring_out(f->driver, bytes, sizeof(bytes));
    buffers[1] = vring_in(f->driver, 1);
    vring_add(f->driver, 0, buffers, 2, false);
    vring_add(f->driver, 0, &buffers[1], 1, false);
    vring_kick(f->driver, 0);
    assert_true(vring_collect(f->driver, 0, &used));
    assert_true(vring_collect(f->driver, 0, &used));
    assert_int_equal(*(uint8_t *)vring_at(f->driver, buffers[1].ipa), BLK_IOERR);
    assert_int_equal(vring_read(f->driver, VRING_STATUS), 15);
}

static void test_no_place_for_status(void **state)
{
    struct fixture *f = *state;
    struct header header = {T_FLUSH, 0, 0};
    struct vring_buffer buffer;
    struct vring_used used;

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        buffer = vring_out(f->driver, &header, sizeof(header));
        vring_add(f->driver, 0, &buffer, 1, false);
        vring_kick(f->driver, 0);
        assert_false(vring_collect(f->driver, 0, &used));
        assert_true(vring_read(f->driver, VRING_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
        /* Nothing happens until a reset, and all is well after it. */
        vring_notify(f->driver, 0);
        assert_int_equal(f->nr_submitted, format);
        start(f);
        assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_OK);
    }
}

static int add(struct fixture *f, uint16_t queue, uint32_t type, uint64_t sector,
                      uint32_t in_size)
{
    const struct request request = {.type = type, .sector = sector, .in_size = in_size};
    struct vring_buffer buffers[4];
    unsigned int count = lay_out(f, &request, buffers);

    return vring_add(f->driver, queue, buffers, count, true);
}

static void test_many_under_way(void **state)
{
    struct fixture *f = *state;
    unsigned int collected = 0;
    struct vring_used used;

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        unsigned int interrupts;

        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        f->hold = true;
        interrupts = f->driver->interrupts;
        for (uint32_t i = 0; i < QUEUE_SIZE; i++) {
            assert_true(add(f, 0, T_IN, i, 512) >= 0);
            assert_true(add(f, 1, T_IN, i, 512) >= 0);
            vring_kick(f->driver, 0);
            vring_kick(f->driver, 1);
        }
        assert_int_equal(f->nr_held, 2 * QUEUE_SIZE);
        assert_int_equal(f->blk.in_flight, 2 * QUEUE_SIZE);
        assert_false(vring_collect(f->driver, 0, &used));
        release(f);
        assert_int_equal(f->driver->interrupts, interrupts + 2); /* one for each queue */
        for (collected = 0; vring_collect(f->driver, 0, &used); collected++) {
            assert_true(used.token >= 0);
        }
        assert_int_equal(collected, QUEUE_SIZE);
        assert_int_equal(f->blk.in_flight, 0);
    }
}

static void test_limit_stalls_the_queue(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        f->refuse = true;
        for (uint32_t i = 0; i < 3; i++) {
            add(f, 0, T_IN, i, 512);
            vring_notify(f->driver, 0);
        }
        assert_int_equal(f->nr_got, 0);
        assert_int_equal(f->blk.in_flight, 0);
        assert_false(vring_collect(f->driver, 0, &used));
        f->refuse = false;
        vring_notify(f->driver, 0); /* it still rests */
        assert_false(vring_collect(f->driver, 0, &used));
        spin_lock(&f->blk.device.lock);
        virtio_blk_resume(&f->blk);
        spin_unlock(&f->blk.device.lock);
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(vring_collect(f->driver, 0, &used));
        }
        add(f, 0, T_IN, 0, 512);
        assert_true(vring_kick(f->driver, 0)); /* notifications are wanted again */
        assert_true(vring_collect(f->driver, 0, &used));
    }
}

static void test_reset_waits_for_requests(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;

    start(f);
    f->hold = true;
    add(f, 0, T_IN, 0, 512);
    add(f, 0, T_IN, 1, 512);
    vring_kick(f->driver, 0);
    assert_int_equal(f->nr_held, 2);
    assert_false(vring_driver_reset(f->driver));
    assert_int_equal(vring_read(f->driver, VRING_STATUS), 15);
    release(f);
    assert_false(vring_collect(f->driver, 0, &used)); /* too late: nothing is written */
    assert_int_equal(vring_read(f->driver, VRING_STATUS), 0);
    f->hold = false;
    start(f);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
}

static void test_broken_with_requests_under_way(void **state)
{
    struct fixture *f = *state;
    struct vring_buffer buffer;
    struct vring_used used;
    struct header header = {T_IN, 0, 0};

    start(f);
    f->hold = true;
    add(f, 0, T_IN, 0, 512);
    buffer = vring_out(f->driver, &header, sizeof(header));
    vring_add(f->driver, 0, &buffer, 1, false);
    vring_kick(f->driver, 0);
    assert_true(vring_read(f->driver, VRING_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(f->nr_held, 1);
    release(f);
    assert_false(vring_collect(f->driver, 0, &used));
    assert_true(vring_driver_reset(f->driver));
    assert_int_equal(f->blk.in_flight, 0);
}

static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512] = {0};

    start(f);
    f->no_memory = true;
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_IOERR);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, 0}, 1), BLK_IOERR);
    f->no_memory = false;
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
}

/* A thread that may not serve leaves the queue to another one. */
static void test_served_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;

    start(f);
    f->elsewhere = true;
    add(f, 0, T_IN, 0, 512);
    vring_kick(f->driver, 0);
    assert_false(vring_collect(f->driver, 0, &used));
    spin_lock(&f->blk.device.lock);
    virtio_blk_serve(&f->blk, 0);
    spin_unlock(&f->blk.device.lock);
    assert_true(vring_collect(f->driver, 0, &used));
}

/* Not more than a ring full in one go: who adds faster than we serve must wait for the others. */
static void test_serving_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct vring_used used;
    uint32_t collected = 0;

    start(f);
    for (uint32_t i = 0; i < QUEUE_SIZE; i++) {
        add(f, 0, T_GET_ID, 0, 20);
    }
    vring_kick(f->driver, 0);
    assert_int_equal(f->nr_again, 1);
    while (vring_collect(f->driver, 0, &used)) {
        collected++;
    }
    assert_int_equal(collected, QUEUE_SIZE);
    add(f, 0, T_GET_ID, 0, 20);
    spin_lock(&f->blk.device.lock);
    virtio_blk_serve(&f->blk, 0);
    spin_unlock(&f->blk.device.lock);
    assert_true(vring_collect(f->driver, 0, &used));
    assert_int_equal(f->nr_again, 1);
}

static void test_capacity_changes(void **state)
{
    struct fixture *f = *state;
    uint32_t generation;

    start(f);
    generation = vring_read(f->driver, VRING_CONFIG_GENERATION);
    spin_lock(&f->blk.device.lock);
    virtio_blk_set_capacity(&f->blk, 100);
    spin_unlock(&f->blk.device.lock);
    assert_true(vring_handle_interrupt(f->driver) & VIRTIO_MMIO_INT_CONFIG);
    assert_int_not_equal(vring_read(f->driver, VRING_CONFIG_GENERATION), generation);
    assert_int_equal(vring_config(f->driver, 0, 8), 100);
    assert_int_equal(simple(f, T_IN, 100, NULL, 0, 512), BLK_IOERR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_short_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_place_for_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_stalls_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_waits_for_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_with_requests_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_served_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_serving_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_capacity_changes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
