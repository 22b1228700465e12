/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a virtio device: a driver's steps in right and wrong orders, breakage, resets. */
#include "virtio_mmio_fixture.h"

static void test_status_orders(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    wr(&rig, VRING_STATUS, DRIVER_OK); /* not without FEATURES_OK */
    assert_int_equal(rd(&rig, VRING_STATUS), 0);
    wr(&rig, VRING_STATUS, NEEDS_RESET | ACK); /* the device's bit */
    assert_int_equal(rd(&rig, VRING_STATUS), ACK);
    wr(&rig, VRING_STATUS, DRIVER); /* nothing is cleared but by 0 */
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER);
    wr(&rig, VRING_QUEUE_NOTIFY, 0); /* before DRIVER_OK */
    assert_int_equal(rig.loop.notified[0], 0);
    wr(&rig, VRING_DRIVER_FEATURES_SEL, 1);
    wr(&rig, VRING_DRIVER_FEATURES, 1);
    /* Both at once, and no queue at all: the device runs, and has nothing to do. */
    wr(&rig, VRING_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_int_equal(rig.loop.activated, 1);
    assert_int_equal(place.starts, 1);
    wr(&rig, VRING_QUEUE_NOTIFY, 0);
    assert_int_equal(rig.loop.notified[0], 0); /* it isn't ready */
    wr(&rig, VRING_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_int_equal(rig.loop.activated, 1);
    wr(&rig, VRING_STATUS, VIRTIO_STATUS_FAILED);
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER | FEATURES_OK | DRIVER_OK | 128);
    wr(&rig, VRING_STATUS, 0x100); /* as 0: the register's byte */
    assert_int_equal(rd(&rig, VRING_STATUS), 0);
    assert_int_equal(place.stops, 1);
    end(&rig);
}

static void test_frozen_after_driver_ok(void **state)
{
    struct rig rig;
    struct virtqueue before;

    (void)state;
    begin(&rig);
    assert_true(vring_driver_start(rig.driver, 0, 16));
    wr(&rig, VRING_QUEUE_SEL, 0);
    before = rig.loop.queues[0];
    wr(&rig, VRING_QUEUE_READY, 0);
    wr(&rig, VRING_QUEUE_NUM, 4);
    wr(&rig, VRING_QUEUE_DESC, 0);
    wr(&rig, VRING_QUEUE_DRIVER + 4, 7);
    wr(&rig, VRING_QUEUE_DEVICE, 1);
    wr(&rig, VRING_QUEUE_READY, 1);
    assert_int_equal(rd(&rig, VRING_QUEUE_READY), 1);
    assert_memory_equal(&before, &rig.loop.queues[0], sizeof(before));
    wr(&rig, VRING_QUEUE_NOTIFY, LOOP_QUEUES);
    wr(&rig, VRING_QUEUE_NOTIFY, 0x10000); /* not queue 0 */
    assert_int_equal(rig.loop.notified[0], 0);
    use_one(&rig, 0);
    assert_int_equal(rig.loop.pushed, 1);
    end(&rig);
}

/* A queue that is ready but can't be: DRIVER_OK ends in NEEDS_RESET, and the driver is told. */
static void test_bad_queue(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    assert_true(vring_negotiate(rig.driver, 0));
    assert_true(vring_setup_queue(rig.driver, 0, 16));
    wr(&rig, VRING_QUEUE_SEL, 1);
    wr(&rig, VRING_QUEUE_NUM, 16);
    wr(&rig, VRING_QUEUE_READY, 1); /* all its addresses are 0 */
    assert_false(vring_driver_ok(rig.driver));
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER | FEATURES_OK | DRIVER_OK | NEEDS_RESET);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(place.pulses, 1);
    assert_int_equal(rig.loop.activated, 0);
    assert_int_equal(place.starts, 0);
    use_one(&rig, 0);
    assert_int_equal(rig.loop.notified[0], 0);
    wr(&rig, VRING_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_int_equal(rig.loop.activated, 0);
    assert_true(vring_driver_start(rig.driver, 0, 16));
    check_mirror(&rig);
    use_one(&rig, 0);
    assert_int_equal(rig.loop.pushed, 1);
    end(&rig);
}

static void test_broken_while_running(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    assert_true(vring_driver_start(rig.driver, 0, 16));
    ((uint16_t *)vring_at(rig.driver, rig.driver->queues[0].driver))[1] = 99;
    wr(&rig, VRING_QUEUE_NOTIFY, 0);
    assert_true(rd(&rig, VRING_STATUS) & NEEDS_RESET);
    assert_int_equal(place.pulses, 1);
    assert_int_equal(place.stops, 1);
    spin_lock(&rig.loop.device.lock);
    virtio_device_broken(&rig.loop.device); /* again: nothing */
    spin_unlock(&rig.loop.device.lock);
    assert_int_equal(place.pulses, 1);
    use_one(&rig, 1); /* the other queue has stopped too */
    assert_int_equal(rig.loop.notified[1], 0);
    end(&rig);
}

static void test_reset_while_running(void **state)
{
    struct rig rig;

    (void)state;
    for (unsigned int packed = 0; packed < 2; packed++) {
        begin(&rig);
        for (unsigned int lap = 1; lap < 4; lap++) {
            assert_true(vring_driver_start(rig.driver, packed ? VIRTIO_F_RING_PACKED : 0, 16));
            check_mirror(&rig);
            use_one(&rig, 1);
            use_one(&rig, 0);
            wr(&rig, VRING_QUEUE_SEL, 1);
            wr(&rig, VRING_DEVICE_FEATURES_SEL, 1);
            wr(&rig, VRING_STATUS, 0);
            assert_int_equal(rd(&rig, VRING_STATUS), 0);
            assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), 0);
            assert_int_equal(rd(&rig, VRING_DEVICE_FEATURES) & LOOP_FEATURE, LOOP_FEATURE);
            assert_int_equal(rd(&rig, VRING_QUEUE_READY), 0);
            wr(&rig, VRING_QUEUE_SEL, 1);
            assert_int_equal(rd(&rig, VRING_QUEUE_READY), 0);
            assert_int_equal(place.stops, lap);
            assert_int_equal(rig.loop.device.features, 0);
        }
        end(&rig);
    }
}

static void test_slow_reset(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    assert_true(vring_driver_start(rig.driver, 0, 16));
    use_one(&rig, 0);
    rig.loop.slow_reset = true;
    assert_false(vring_driver_reset(rig.driver)); /* the place gives up waiting */
    check_mirror(&rig);
    assert_int_equal(place.waits, 1);
    assert_int_equal(place.stops, 1);
    wr(&rig, VRING_STATUS, ACK); /* ignored until it is done */
    wr(&rig, VRING_QUEUE_READY, 0);
    wr(&rig, VRING_QUEUE_NOTIFY, 0);
    vring_config_write(rig.driver, 0, 1, 9);
    assert_int_equal(rig.loop.notified[0], 1);
    assert_true(rd(&rig, VRING_STATUS) & DRIVER_OK);
    spin_lock(&rig.loop.device.lock);
    virtio_device_broken(&rig.loop.device);
    spin_unlock(&rig.loop.device.lock);
    assert_false(rd(&rig, VRING_STATUS) & NEEDS_RESET);
    assert_true(vring_driver_reset(rig.driver)); /* again; this time the place waits longer */
    check_mirror(&rig);
    assert_int_equal(rig.loop.resets, 2); /* at the very first start, and now: not twice */
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), 0);
    rig.loop.slow_reset = false;
    assert_true(vring_driver_start(rig.driver, 0, 16));
    end(&rig);
}

static void test_power_on(void **state)
{
    struct rig rig;
    uint8_t fresh[VIRTIO_MMIO_SIZE];

    (void)state;
    begin(&rig);
    memcpy(fresh, rig.driver->mirror, sizeof(fresh));
    assert_true(vring_driver_start(rig.driver, 0, 16));
    use_one(&rig, 0);
    change_config(&rig, 0xa5); /* its old value */
    wr(&rig, VRING_QUEUE_SEL, 5);
    rig.loop.slow_reset = true; /* power-on doesn't wait */
    virtio_mmio_power_on(&rig.driver->mmio);
    check_mirror(&rig);
    assert_memory_equal(fresh, rig.driver->mirror, sizeof(fresh));
    assert_int_equal(place.stops, 1);
    assert_true(vring_driver_start(rig.driver, 0, 16) || rig.loop.device.resetting);
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_orders),
        cmocka_unit_test(test_frozen_after_driver_ok),
        cmocka_unit_test(test_bad_queue),
        cmocka_unit_test(test_broken_while_running),
        cmocka_unit_test(test_reset_while_running),
        cmocka_unit_test(test_slow_reset),
        cmocka_unit_test(test_power_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
