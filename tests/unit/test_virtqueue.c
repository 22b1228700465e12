/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues through a loop-back device, driven by the simulated driver: each test with both ring
 * formats, with and without EVENT_IDX. Rings that break rules: test_virtqueue_bad.c.
 */
#include "virtqueue_fixture.h"

static void test_echo(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;

        begin(&rig, kinds[kind]);
        for (uint32_t i = 0; i < 1000; i++) {
            unsigned int before = rig.driver->interrupts;

            echo(&rig, (i & 1) && (kinds[kind] & VIRTIO_F_INDIRECT_DESC), i);
            assert_int_equal(rig.driver->interrupts, before + 1);
            assert_int_equal(vring_handle_interrupt(rig.driver), VIRTIO_MMIO_INT_VRING);
        }
        assert_false(is_broken(&rig));
        end(&rig);
    }
}

/* The free-running 16-bit indices of a split ring, and the wrap counters of a packed one. */
static void test_indices_wrap(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;
        struct vring_buffer buffers[3];
        struct vring_used used;

        begin(&rig, kinds[kind]);
        buffers[0] = vring_out(rig.driver, "abc", 3);
        buffers[1] = vring_in(rig.driver, 2);
        buffers[2] = vring_in(rig.driver, 2);
        for (unsigned int i = 0; i < 70000; i++) {
            unsigned int before = rig.driver->interrupts;

            assert_true(vring_add(rig.driver, 0, buffers, 1 + i % 3, false) >= 0);
            assert_true(vring_kick(rig.driver, 0));
            assert_int_equal(rig.driver->interrupts, before + 1);
            assert_true(vring_collect(rig.driver, 0, &used));
            assert_int_equal(used.written, i % 3 == 0 ? 0 : i % 3 == 1 ? 2 : 3);
        }
        end(&rig);
    }
}

/* Queue 1 gives chains back in the opposite order, one by one or in one batch. */
static void hold_and_release(struct rig *rig, unsigned int count, bool batch)
{
    struct vring_driver *driver = rig->driver;
    struct vring_buffer buffers[2] = {vring_out(driver, "xyz", 3), vring_in(driver, 3)};
    struct vring_used used;
    int tokens[SIZE];

    for (unsigned int i = 0; i < count; i++) {
        tokens[i] = vring_add(driver, 1, buffers, 2 - i % 2, false);
        assert_true(tokens[i] >= 0);
    }
    vring_kick(driver, 1);
    assert_int_equal(rig->loop.nr_held, count);
    assert_false(vring_collect(driver, 1, &used));
    loop_device_release(&rig->loop, batch);
    while (count-- > 0) {
        assert_true(vring_collect(driver, 1, &used));
        assert_int_equal(used.token, tokens[count]);
        assert_int_equal(used.written, count % 2 ? 0 : 3);
    }
    assert_false(vring_collect(driver, 1, &used));
}

static void test_out_of_order(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;

        begin(&rig, kinds[kind]);
        for (unsigned int i = 0; i < 200; i++) {
            rig.driver->ram_used = 65536;
            hold_and_release(&rig, 1 + i % 10, i & 1);
        }
        assert_false(is_broken(&rig));
        end(&rig);
    }
}

/* A full ring, no more room, then all of it back. */
static void test_full_ring(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;
        struct vring_buffer buffer;
        struct vring_used used;

        begin(&rig, kinds[kind]);
        buffer = vring_in(rig.driver, 1);
        for (unsigned int lap = 0; lap < 5; lap++) {
            for (unsigned int i = 0; i < SIZE; i++) {
                assert_true(vring_add(rig.driver, 1, &buffer, 1, false) >= 0);
            }
            assert_int_equal(vring_add(rig.driver, 1, &buffer, 1, false), -1);
            assert_true(vring_kick(rig.driver, 1));
            assert_int_equal(rig.loop.nr_held, SIZE);
            loop_device_release(&rig.loop, lap & 1);
            for (unsigned int i = 0; i < SIZE; i++) {
                assert_true(vring_collect(rig.driver, 1, &used));
                assert_true(used.token >= 0);
            }
            assert_false(vring_collect(rig.driver, 1, &used));
        }
        end(&rig);
    }
}

static void test_unpop(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;
        struct vring_buffer buffers[3];
        struct virtqueue *queue;
        struct virtio_chain first, second, again;

        begin(&rig, kinds[kind]);
        rig.loop.silent = true;
        queue = &rig.loop.queues[0];
        for (unsigned int i = 0; i < 3; i++) {
            buffers[i] = vring_out(rig.driver, "abcdefgh", i + 1);
        }
        for (unsigned int lap = 0; lap < 50; lap++) {
            struct vring_used used;

            vring_add(rig.driver, 0, buffers, 3, false);
            vring_add(rig.driver, 0, buffers + 1, 2, false);
            assert_int_equal(virtqueue_pop(queue, &first), VIRTQUEUE_OK);
            assert_int_equal(virtqueue_pop(queue, &second), VIRTQUEUE_OK);
            assert_int_equal(virtqueue_pop(queue, &again), VIRTQUEUE_EMPTY);
            virtqueue_unpop(queue, &second);
            virtqueue_unpop(queue, &first);
            assert_int_equal(virtqueue_pop(queue, &again), VIRTQUEUE_OK);
            assert_int_equal(again.id, first.id);
            assert_int_equal(again.out_size, 6);
            assert_int_equal(virtqueue_pop(queue, &again), VIRTQUEUE_OK);
            assert_int_equal(again.id, second.id);
            assert_int_equal(again.nr_out, 2);
            virtqueue_push(queue, first.id, first.slots, 0);
            virtqueue_push(queue, second.id, second.slots, 0);
            assert_true(vring_collect(rig.driver, 0, &used) && vring_collect(rig.driver, 0, &used));
        }
        end(&rig);
    }
}

static void test_no_interrupt_when_unwanted(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;
        struct vring_buffer buffer;
        struct vring_used used;

        begin(&rig, kinds[kind]);
        buffer = vring_in(rig.driver, 1);
        vring_set_interrupts(rig.driver, 0, false);
        for (unsigned int i = 0; i < 3 * SIZE; i++) {
            vring_add(rig.driver, 0, &buffer, 1, false);
            vring_kick(rig.driver, 0);
            assert_true(vring_collect(rig.driver, 0, &used));
            if (!(kinds[kind] & VIRTIO_F_EVENT_IDX)) {
                assert_int_equal(rig.driver->interrupts, 0);
            }
        }
        assert_int_equal(rig.driver->interrupts, 0);
        vring_set_interrupts(rig.driver, 0, true);
        vring_add(rig.driver, 0, &buffer, 1, false);
        vring_kick(rig.driver, 0);
        assert_int_equal(rig.driver->interrupts, 1);
        /* Nothing pushed since: nothing to tell. */
        loop_device_run(&rig.loop);
        assert_int_equal(rig.driver->interrupts, 1);
        end(&rig);
    }
}

/* EVENT_IDX: the interrupt comes with the chain that was asked for, not before, not twice. */
static void test_interrupt_at_event(void **state)
{
    (void)state;
    for (unsigned int packed = 0; packed < 2; packed++) {
        struct rig rig;
        struct vring_buffer buffer;
        struct vring_queue *queue;

        begin(&rig, VIRTIO_F_EVENT_IDX | (packed ? VIRTIO_F_RING_PACKED : 0));
        queue = &rig.driver->queues[0];
        buffer = vring_in(rig.driver, 1);
        if (packed) {
            *(uint32_t *)vring_at(rig.driver, queue->driver) = (2u << 16) | 0x8000u | 4;
        } else {
            ((uint16_t *)vring_at(rig.driver, queue->driver))[2 + SIZE] = 4;
        }
        for (unsigned int i = 0; i < 10; i++) {
            vring_add(rig.driver, 0, &buffer, 1, false);
            vring_kick(rig.driver, 0);
            assert_int_equal(rig.driver->interrupts, i >= 4 ? 1 : 0);
        }
        end(&rig);
    }
}

/* The driver does not notify while the device does without, and the device asks in time. */
static void test_notifications(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;
        struct vring_buffer buffer;
        struct virtqueue *queue;
        struct virtio_chain chain;

        begin(&rig, kinds[kind]);
        rig.loop.silent = true;
        queue = &rig.loop.queues[0];
        buffer = vring_in(rig.driver, 1);
        vring_add(rig.driver, 0, &buffer, 1, false);
        assert_true(vring_kick(rig.driver, 0));
        virtqueue_notifications(queue, false);
        vring_add(rig.driver, 0, &buffer, 1, false);
        assert_false(vring_kick(rig.driver, 0));
        assert_true(virtqueue_notifications(queue, true)); /* two came */
        assert_int_equal(virtqueue_pop(queue, &chain), VIRTQUEUE_OK);
        assert_true(virtqueue_notifications(queue, true));
        assert_int_equal(virtqueue_pop(queue, &chain), VIRTQUEUE_OK);
        assert_int_equal(virtqueue_pop(queue, &chain), VIRTQUEUE_EMPTY);
        assert_false(virtqueue_notifications(queue, true));
        vring_add(rig.driver, 0, &buffer, 1, false);
        assert_true(vring_kick(rig.driver, 0));
        end(&rig);
    }
}

static void test_chain_copy(void **state)
{
    struct virtio_chain chain = {.nr_out = 2, .nr_in = 2, .out_size = 5, .in_size = 5};
    uint8_t out[5] = {1, 2, 3, 4, 5}, in[5] = {0}, buffer[8];

    (void)state;
    chain.segments[0] = (struct virtio_segment){out, 2};
    chain.segments[1] = (struct virtio_segment){out + 2, 3};
    chain.segments[2] = (struct virtio_segment){in, 4};
    chain.segments[3] = (struct virtio_segment){in + 4, 1};
    assert_int_equal(virtio_chain_read(&chain, 0, buffer, 8), 5);
    assert_memory_equal(buffer, out, 5);
    assert_int_equal(virtio_chain_read(&chain, 1, buffer, 2), 2);
    assert_memory_equal(buffer, out + 1, 2);
    assert_int_equal(virtio_chain_read(&chain, 2, buffer, 1), 1);
    assert_int_equal(buffer[0], 3);
    assert_int_equal(virtio_chain_read(&chain, 5, buffer, 1), 0);
    assert_int_equal(virtio_chain_read(&chain, SIZE_MAX, buffer, 1), 0);
    assert_int_equal(virtio_chain_write(&chain, 3, out, 5), 2);
    assert_int_equal(in[3], 1);
    assert_int_equal(in[4], 2);
    assert_int_equal(virtio_chain_write(&chain, 0, out, 5), 5);
    assert_memory_equal(in, out, 5);
}

/* A back end that is late does not write to the rings of a queue that is broken or reset. */
static void test_late_push(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct rig rig;
        struct vring_buffer buffer;
        struct vring_used used;
        struct virtio_chain chain;

        begin(&rig, kinds[kind]);
        rig.loop.silent = true;
        buffer = vring_in(rig.driver, 4);
        vring_add(rig.driver, 0, &buffer, 1, false);
        assert_int_equal(virtqueue_pop(&rig.loop.queues[0], &chain), VIRTQUEUE_OK);
        spin_lock(&rig.loop.device.lock);
        virtio_device_broken(&rig.loop.device);
        spin_unlock(&rig.loop.device.lock);
        virtqueue_push(&rig.loop.queues[0], chain.id, chain.slots, 4);
        assert_false(virtqueue_wants_interrupt(&rig.loop.queues[0]));
        assert_false(vring_collect(rig.driver, 0, &used));
        assert_int_equal(virtqueue_pop(&rig.loop.queues[0], &chain), VIRTQUEUE_BROKEN);
        vring_driver_reset(rig.driver);
        virtqueue_push(&rig.loop.queues[0], chain.id, chain.slots, 4);
        assert_int_equal(virtqueue_pop(&rig.loop.queues[0], &chain), VIRTQUEUE_EMPTY);
        end(&rig);
    }
}

static bool start_with(uint64_t features, uint16_t size, uint64_t descriptors, uint64_t driver,
                       uint64_t device)
{
    struct loop_device loop;
    struct vring_driver *machine;
    struct virtqueue *queue = &loop.queues[0];
    bool good;

    loop_device_init(&loop);
    machine = vring_driver_create(&loop.device, MIB(1));
    queue->size = size;
    queue->descriptors = descriptors;
    queue->driver = driver;
    queue->device = device;
    good = virtqueue_start(queue, &vring_vm_ops, machine, features);
    assert_int_equal(good, queue->running);
    vring_driver_destroy(machine);
    return good;
}

static void test_start(void **state)
{
    const uint64_t at = VRING_RAM_BASE, last = VRING_RAM_BASE + MIB(1), packed = BIT(34);

    (void)state;
    assert_true(start_with(0, 256, at, at + 0x2000, at + 0x3000));
    assert_false(start_with(0, 0, at, at, at));
    assert_false(start_with(0, 512, at, at, at));
    assert_false(start_with(0, 48, at, at, at));
    assert_true(start_with(packed, 48, at, at, at));
    assert_false(start_with(packed, 257, at, at, at));
    assert_false(start_with(0, 256, at + 8, at, at));
    assert_false(start_with(0, 256, at, at + 1, at));
    assert_false(start_with(0, 256, at, at, at + 2));
    assert_true(start_with(0, 256, at, at + 2, at + 4));
    assert_false(start_with(packed, 256, at, at + 2, at));
    assert_true(start_with(0, 256, last - 4096, last - 518, last - 2056));
    assert_false(start_with(0, 256, last - 4080, at, at));
    assert_false(start_with(0, 256, at, last - 516, at));
    assert_false(start_with(0, 256, at, at, last - 2052));
    assert_false(start_with(0, 256, at - 16, at, at));
    assert_false(start_with(0, 256, UINT64_MAX - 15, at, at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_indices_wrap),
        cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_full_ring),
        cmocka_unit_test(test_unpop),
        cmocka_unit_test(test_no_interrupt_when_unwanted),
        cmocka_unit_test(test_interrupt_at_event),
        cmocka_unit_test(test_notifications),
        cmocka_unit_test(test_chain_copy),
        cmocka_unit_test(test_late_push),
        cmocka_unit_test(test_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
