/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-mmio transport, register by register; configuration and interrupts. */
#include "virtio_mmio_fixture.h"

static void test_identity(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    assert_int_equal(rd(&rig, VRING_MAGIC), 0x74726976);
    assert_int_equal(rd(&rig, VRING_VERSION), 2);
    assert_int_equal(rd(&rig, VRING_DEVICE_ID), 42);
    assert_int_not_equal(rd(&rig, VRING_VENDOR_ID), 0);
    for (uint32_t offset = 0; offset < 16; offset += 4) { /* read-only */
        uint32_t before = rd(&rig, offset);

        wr(&rig, offset, ~before);
        assert_int_equal(rd(&rig, offset), before);
    }
    end(&rig);
}

static void test_features(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    assert_int_equal(rd(&rig, VRING_DEVICE_FEATURES), LOOP_FEATURE | BIT(28) | BIT(29));
    wr(&rig, VRING_DEVICE_FEATURES_SEL, 1);
    assert_int_equal(rd(&rig, VRING_DEVICE_FEATURES), BIT(0) | BIT(2));
    for (uint32_t i = 2; i < 40; i++) {
        wr(&rig, VRING_DEVICE_FEATURES_SEL, i);
        assert_int_equal(rd(&rig, VRING_DEVICE_FEATURES), 0);
    }
    wr(&rig, VRING_DEVICE_FEATURES_SEL, UINT32_MAX);
    assert_int_equal(rd(&rig, VRING_DEVICE_FEATURES), 0);
    /* Two words of the driver's, any other ignored. */
    wr(&rig, VRING_DRIVER_FEATURES, 0x10);
    wr(&rig, VRING_DRIVER_FEATURES_SEL, 1);
    wr(&rig, VRING_DRIVER_FEATURES, 0x20);
    wr(&rig, VRING_DRIVER_FEATURES_SEL, 2);
    wr(&rig, VRING_DRIVER_FEATURES, 0x40);
    assert_true(rig.loop.device.features == (0x10 | 0x20ull << 32));
    assert_int_equal(rd(&rig, VRING_DRIVER_FEATURES), 0); /* write-only */
    end(&rig);
}

static void test_features_ok(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    /* Without VERSION_1; with what wasn't offered; with what the device refuses. */
    wr(&rig, VRING_STATUS, ACK | DRIVER);
    wr(&rig, VRING_STATUS, ACK | DRIVER | FEATURES_OK);
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER);
    wr(&rig, VRING_DRIVER_FEATURES_SEL, 1);
    wr(&rig, VRING_DRIVER_FEATURES, 1 | 2);
    wr(&rig, VRING_STATUS, ACK | DRIVER | FEATURES_OK);
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER);
    wr(&rig, VRING_DRIVER_FEATURES, 1);
    rig.loop.refuse_feature = true;
    wr(&rig, VRING_DRIVER_FEATURES_SEL, 0);
    wr(&rig, VRING_DRIVER_FEATURES, LOOP_FEATURE);
    wr(&rig, VRING_STATUS, ACK | DRIVER | FEATURES_OK);
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER);
    rig.loop.refuse_feature = false;
    wr(&rig, VRING_STATUS, ACK | DRIVER | FEATURES_OK);
    assert_int_equal(rd(&rig, VRING_STATUS), ACK | DRIVER | FEATURES_OK);
    /* From now on they stay. */
    wr(&rig, VRING_DRIVER_FEATURES, 0);
    assert_true(rig.loop.device.features == (LOOP_FEATURE | VIRTIO_F_VERSION_1));
    end(&rig);
}

static void test_queue_registers(void **state)
{
    struct rig rig;
    const struct virtqueue *queue;

    (void)state;
    begin(&rig);
    queue = &rig.loop.queues[1];
    assert_int_equal(rd(&rig, VRING_QUEUE_NUM_MAX), LOOP_QUEUE_SIZE);
    for (uint32_t i = 0; i < 2; i++) {
        wr(&rig, VRING_QUEUE_SEL, i == 0 ? LOOP_QUEUES : UINT32_MAX);
        assert_int_equal(rd(&rig, VRING_QUEUE_NUM_MAX), 0);
        wr(&rig, VRING_QUEUE_READY, 1);
        wr(&rig, VRING_QUEUE_NUM, 8);
        assert_int_equal(rd(&rig, VRING_QUEUE_READY), 0);
    }
    wr(&rig, VRING_QUEUE_SEL, 1);
    wr(&rig, VRING_QUEUE_NUM, 8);
    for (uint32_t i = 0; i < 6; i++) {
        static const uint32_t offsets[] = {0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4};

        wr(&rig, offsets[i], 0x11111111 * (i + 1));
        assert_int_equal(rd(&rig, offsets[i]), 0); /* write-only */
    }
    assert_true(queue->descriptors == 0x2222222211111111);
    assert_true(queue->driver == 0x4444444433333333);
    assert_true(queue->device == 0x6666666655555555);
    assert_int_equal(queue->size, 8);
    wr(&rig, VRING_QUEUE_READY, 1);
    assert_int_equal(rd(&rig, VRING_QUEUE_READY), 1);
    /* While it is ready nothing changes. */
    wr(&rig, VRING_QUEUE_NUM, 16);
    wr(&rig, VRING_QUEUE_DESC, 0);
    wr(&rig, VRING_QUEUE_DRIVER, 0);
    wr(&rig, VRING_QUEUE_DEVICE, 0);
    assert_int_equal(queue->size, 8);
    assert_true(queue->descriptors == 0x2222222211111111);
    wr(&rig, VRING_QUEUE_SEL, 0);
    assert_int_equal(rd(&rig, VRING_QUEUE_READY), 0);
    wr(&rig, VRING_QUEUE_SEL, 1);
    wr(&rig, VRING_QUEUE_READY, 0);
    assert_int_equal(rd(&rig, VRING_QUEUE_READY), 0);
    wr(&rig, VRING_QUEUE_NUM, 0x10010); /* not 16 */
    assert_int_equal(queue->size, 0);
    end(&rig);
}

static void test_shared_memory_and_holes(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        wr(&rig, VRING_SHM_SEL, i);
        for (uint32_t offset = VRING_SHM_LEN; offset < 0xc0; offset += 4) {
            assert_int_equal(rd(&rig, offset), UINT32_MAX);
        }
    }
    wr(&rig, VRING_QUEUE_RESET, 1);
    assert_int_equal(rd(&rig, VRING_QUEUE_RESET), 0);
    for (uint32_t offset = 0xc4; offset < 0xfc; offset += 4) {
        wr(&rig, offset, UINT32_MAX);
        assert_int_equal(rd(&rig, offset), 0);
    }
    end(&rig);
}

static void test_access_sizes(void **state)
{
    struct rig rig;
    static const unsigned int sizes[] = {1, 2, 8};

    (void)state;
    begin(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint64_t offset = 0; offset < VRING_CONFIG; offset++) {
            uint64_t value = 99;

            virtio_mmio_access(&rig.driver->mmio, offset, sizes[i], false, &value);
            assert_int_equal(value, 0);
            value = 3;
            virtio_mmio_access(&rig.driver->mmio, offset, sizes[i], true, &value);
            check_mirror(&rig);
        }
    }
    for (uint64_t offset = 1; offset < VRING_CONFIG; offset += offset % 4 == 3 ? 2 : 1) {
        uint64_t value = 99;

        virtio_mmio_access(&rig.driver->mmio, offset, 4, false, &value);
        assert_int_equal(value, 0);
        value = 3;
        virtio_mmio_access(&rig.driver->mmio, offset, 4, true, &value);
    }
    assert_int_equal(rd(&rig, VRING_STATUS), 0);
    assert_int_equal(rd(&rig, VRING_QUEUE_NUM_MAX), LOOP_QUEUE_SIZE);
    end(&rig);
}

static void test_config(void **state)
{
    struct rig rig;
    struct vring_driver *driver;

    (void)state;
    begin(&rig);
    driver = rig.driver;
    assert_int_equal(vring_config(driver, 0, 1), 0xa0);
    assert_int_equal(vring_config(driver, 1, 2), 0xa2a1);
    assert_int_equal(vring_config(driver, 2, 4), 0xa5a4a3a2);
    assert_true(vring_config(driver, 3, 8) == 0xaaa9a8a7a6a5a4a3);
    assert_true(vring_config(driver, 8, 8) == 0xabaaa9a8); /* the end, then nothing */
    assert_true(vring_config(driver, 12, 8) == 0);
    assert_true(vring_config(driver, 0xff, 1) == 0);
    vring_config_write(driver, 1, 2, 0x1234);
    check_mirror(&rig);
    assert_int_equal(vring_config(driver, 0, 4), 0xa31234a0);
    vring_config_write(driver, 4, 4, 0);
    vring_config_write(driver, 11, 2, 0);
    vring_config_write(driver, 12, 4, 0);
    check_mirror(&rig);
    assert_true(vring_config(driver, 4, 8) == 0xabaaa9a8a7a6a5a4);
    end(&rig);
}

static void test_config_change(void **state)
{
    struct rig rig;
    uint32_t generation;

    (void)state;
    begin(&rig);
    wr(&rig, VRING_QUEUE_SEL, 1);
    generation = rd(&rig, VRING_CONFIG_GENERATION);
    change_config(&rig, 1);
    assert_int_not_equal(rd(&rig, VRING_CONFIG_GENERATION), generation);
    assert_int_equal(rig.driver->mmio.queue_sel, 1); /* no reset, though the status is 0 */
    assert_int_equal(place.pulses, 0);               /* nobody drives it yet */
    assert_true(vring_driver_start(rig.driver, 0, 16));
    check_mirror(&rig);
    change_config(&rig, 2);
    assert_int_equal(place.pulses, 1);
    assert_int_equal(rd(&rig, VRING_CONFIG + 4), 0xa7a602a4);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    wr(&rig, VRING_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING); /* another bit */
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    wr(&rig, VRING_INTERRUPT_ACK, UINT32_MAX);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), 0);
    end(&rig);
}

static void test_interrupts(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    assert_true(vring_driver_start(rig.driver, 0, 16));
    use_one(&rig, 0);
    assert_int_equal(place.pulses, 1);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    use_one(&rig, 0); /* an edge for each, also when the bit is set */
    assert_int_equal(place.pulses, 2);
    place.mirrored = 0;
    use_one(&rig, 0);
    assert_int_equal(place.mirrored, 4);
    wr(&rig, VRING_INTERRUPT_STATUS, UINT32_MAX); /* read-only */
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    assert_int_equal(vring_handle_interrupt(rig.driver), VIRTIO_MMIO_INT_VRING);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), 0);
    end(&rig);
}

/* Without a place and a mirror: the line goes up and down. */
static void test_interrupts_without_place(void **state)
{
    struct loop_device loop;
    struct vring_driver *driver;
    struct vring_buffer buffer;

    (void)state;
    loop_device_init(&loop);
    driver = vring_driver_create(&loop.device, MIB(1));
    assert_true(vring_driver_start(driver, 0, 16));
    buffer = vring_in(driver, 4);
    for (unsigned int i = 1; i < 5; i++) {
        vring_add(driver, 0, &buffer, 1, false);
        vring_kick(driver, 0);
        assert_int_equal(driver->interrupts, i);
        assert_false(driver->level);
        assert_int_equal(vring_handle_interrupt(driver), VIRTIO_MMIO_INT_VRING);
        assert_int_equal(vring_handle_interrupt(driver), 0);
    }
    vring_driver_destroy(driver);
}

/* An acknowledgement that arrives late must not hide an interrupt that came after it. */
static void test_late_acks(void **state)
{
    struct rig rig;

    (void)state;
    begin_at(&rig, &late_place);
    assert_true(vring_driver_start(rig.driver, 0, 16));
    use_one(&rig, 0);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    use_one(&rig, 0);
    assert_int_equal(place.pulses, 2);
    virtio_mmio_ack(&rig.driver->mmio, VIRTIO_MMIO_INT_VRING); /* the first one's */
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    change_config(&rig, 1);
    place.late_ack = &rig.driver->mmio;
    place.late_bits = VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG;
    change_config(&rig, 2);
    assert_int_equal(place.flushes, 2);
    assert_null(place.late_ack);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS),
                     VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
    virtio_mmio_ack(&rig.driver->mmio, 3);
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    assert_true(vring_driver_reset(rig.driver));
    assert_int_equal(rd(&rig, VRING_INTERRUPT_STATUS), 0);
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_features_ok),
        cmocka_unit_test(test_queue_registers),
        cmocka_unit_test(test_shared_memory_and_holes),
        cmocka_unit_test(test_access_sizes),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_change),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_interrupts_without_place),
        cmocka_unit_test(test_late_acks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
