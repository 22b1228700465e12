/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings that break each rule, in both formats: the device is broken and says so, or serves what the
 * specification allows, and works again after a reset.
 */
#include "virtqueue_fixture.h"

#define NEXT 1u
#define WRITE 2u
#define INDIRECT 4u

struct raw {
    uint64_t address;
    uint32_t size;
    uint16_t flags, next; /* as in a split ring; translated for a packed one */
};

/* Write descriptors to `to`, in the format in use; available if they are a packed ring's own. */
static void put(struct rig *rig, uint64_t to, const struct raw *raw, unsigned int count, bool ring)
{
    bool packed = rig->driver->features & VIRTIO_F_RING_PACKED;
    uint8_t *at = vring_at(rig->driver, to);

    for (unsigned int i = 0; i < count; i++, at += 16) {
        uint16_t words[2] = {raw[i].flags, raw[i].next};

        if (packed) {
            words[0] = 1; /* ID */
            words[1] = (uint16_t)(raw[i].flags | (ring ? 0x80u : 0));
        }
        memcpy(at, &raw[i].address, 8);
        memcpy(at + 8, &raw[i].size, 4);
        memcpy(at + 12, words, 4);
    }
}

static void offer(struct rig *rig, uint16_t head, uint16_t idx)
{
    uint16_t *avail = vring_at(rig->driver, rig->driver->queues[0].driver);

    if (!(rig->driver->features & VIRTIO_F_RING_PACKED)) {
        avail[2] = head;
        avail[1] = idx;
    }
    vring_notify(rig->driver, 0);
}

enum outcome { SERVED, BROKEN };

static void check_raw(uint64_t features, const struct raw *raw, unsigned int count,
                      const struct raw *table, unsigned int table_count, enum outcome outcome)
{
    struct rig rig;
    struct raw copy[VIRTQUEUE_SEGMENTS];

    begin(&rig, features);
    memcpy(copy, raw, count * sizeof(*raw));
    for (unsigned int i = 0; i < count; i++) {
        if (copy[i].flags & INDIRECT && copy[i].address == 0) {
            copy[i].address = VRING_RAM_BASE + 0x80000 + 8; /* any address does */
        }
    }
    if (table != NULL) {
        put(&rig, VRING_RAM_BASE + 0x80000 + 8, table, table_count, false);
    }
    put(&rig, rig.driver->queues[0].descriptors, copy, count, true);
    offer(&rig, 0, 1);
    assert_int_equal(is_broken(&rig), outcome == BROKEN);
    assert_int_equal(rig.loop.pushed, outcome == SERVED);
    if (outcome == BROKEN) { /* told, for good, until reset */
        assert_int_equal(vring_handle_interrupt(rig.driver), VIRTIO_MMIO_INT_CONFIG);
        offer(&rig, 0, 1);
        assert_int_equal(rig.loop.notified[0], 1);
        assert_true(vring_driver_start(rig.driver, features, SIZE));
        echo(&rig, false, 1);
    }
    end(&rig);
}

#define RAM VRING_RAM_BASE + 0x40000

static void check_both(const struct raw *raw, unsigned int count, const struct raw *table,
                       unsigned int table_count, enum outcome outcome)
{
    check_raw(VIRTIO_F_INDIRECT_DESC, raw, count, table, table_count, outcome);
    check_raw(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_RING_PACKED, raw, count, table, table_count,
              outcome);
}

static void test_bad_descriptors(void **state)
{
    (void)state;
    /* Writable before readable, also if the readable one is empty. */
    check_both((struct raw[]){{RAM, 4, WRITE | NEXT, 1}, {RAM, 4, 0, 0}}, 2, NULL, 0, BROKEN);
    check_both((struct raw[]){{RAM, 4, WRITE | NEXT, 1}, {RAM, 0, 0, 0}}, 2, NULL, 0, BROKEN);
    /* Empty ones are no fault, wherever they point. */
    check_both((struct raw[]){{0, 0, NEXT, 1}, {RAM, 4, WRITE, 0}}, 2, NULL, 0, SERVED);
    check_both((struct raw[]){{0, 0, WRITE, 0}}, 1, NULL, 0, SERVED);
    /* Not RAM: in front, behind, across the end, around zero. */
    check_both((struct raw[]){{VRING_RAM_BASE - 1, 2, 0, 0}}, 1, NULL, 0, BROKEN);
    check_both((struct raw[]){{VRING_RAM_BASE + MIB(1) - 1, 2, 0, 0}}, 1, NULL, 0, BROKEN);
    check_both((struct raw[]){{VRING_RAM_BASE + MIB(1) - 1, 1, 0, 0}}, 1, NULL, 0, SERVED);
    check_both((struct raw[]){{UINT64_MAX, 0xffffffff, WRITE, 0}}, 1, NULL, 0, BROKEN);
    check_both((struct raw[]){{0, 1, WRITE, 0}}, 1, NULL, 0, BROKEN);
}

static void test_bad_indirect(void **state)
{
    const struct raw two[2] = {{RAM, 4, NEXT, 1}, {RAM, 4, WRITE, 0}};
    const struct raw nested[1] = {{RAM, 16, INDIRECT, 0}};
    struct raw many[VIRTQUEUE_SEGMENTS + 1];

    (void)state;
    check_both((struct raw[]){{0, 32, INDIRECT, 0}}, 1, two, 2, SERVED);
    check_both((struct raw[]){{0, 32, INDIRECT | WRITE, 0}}, 1, two, 2, SERVED);
    check_both((struct raw[]){{RAM, 4, NEXT, 1}, {0, 32, INDIRECT, 0}}, 2, two, 2, SERVED);
    check_both((struct raw[]){{0, 16, INDIRECT, 0}}, 1, nested, 1, BROKEN);
    check_both((struct raw[]){{0, 0, INDIRECT, 0}}, 1, two, 2, BROKEN);
    check_both((struct raw[]){{0, 31, INDIRECT, 0}}, 1, two, 2, BROKEN);
    check_both((struct raw[]){{0, 40, INDIRECT, 0}}, 1, two, 2, BROKEN);
    check_both((struct raw[]){{0, 32, INDIRECT | NEXT, 1}, {RAM, 4, 0, 0}}, 2, two, 2, BROKEN);
    check_both((struct raw[]){{0x1000, 32, INDIRECT, 0}}, 1, NULL, 0, BROKEN);
    check_both((struct raw[]){{RAM, 0xfffffff0u, INDIRECT, 0}}, 1, NULL, 0, BROKEN);
    /* Split only: the next one is behind the table. */
    check_raw(VIRTIO_F_INDIRECT_DESC, (struct raw[]){{0, 16, INDIRECT, 0}}, 1, two, 2, BROKEN);
    /* Not negotiated. */
    check_raw(0, (struct raw[]){{0, 32, INDIRECT, 0}}, 1, two, 2, BROKEN);
    check_raw(VIRTIO_F_RING_PACKED, (struct raw[]){{0, 32, INDIRECT, 0}}, 1, two, 2, BROKEN);
    /* As many as a chain may have, more than the ring has, and one more. */
    for (unsigned int i = 0; i < ARRAY_SIZE(many); i++) {
        many[i] = (struct raw){RAM + 16 * i, 16, NEXT, (uint16_t)(i + 1)};
    }
    many[VIRTQUEUE_SEGMENTS - 1].flags = 0;
    check_both((struct raw[]){{0, 16 * VIRTQUEUE_SEGMENTS, INDIRECT, 0}}, 1, many,
               VIRTQUEUE_SEGMENTS, SERVED);
    many[VIRTQUEUE_SEGMENTS - 1].flags = NEXT;
    many[VIRTQUEUE_SEGMENTS].flags = 0;
    check_both((struct raw[]){{0, 16 * (VIRTQUEUE_SEGMENTS + 1), INDIRECT, 0}}, 1, many,
               VIRTQUEUE_SEGMENTS + 1, BROKEN);
}

static void test_loops(void **state)
{
    struct raw ring[SIZE], loop[2] = {{RAM, 4, NEXT, 1}, {RAM, 4, NEXT, 0}};

    (void)state;
    check_raw(0, loop, 2, NULL, 0, BROKEN);
    check_raw(0, (struct raw[]){{RAM, 0, NEXT, 0}}, 1, NULL, 0, BROKEN); /* an empty one too */
    check_raw(0, (struct raw[]){{RAM, 4, NEXT, SIZE}}, 1, NULL, 0, BROKEN);
    check_raw(VIRTIO_F_INDIRECT_DESC, (struct raw[]){{0, 32, INDIRECT, 0}}, 1, loop, 2, BROKEN);
    /* Packed: all descriptors of the ring, each with a next one; and as long as may be. */
    for (unsigned int i = 0; i < SIZE; i++) {
        ring[i] = (struct raw){RAM, 4, NEXT, (uint16_t)((i + 1) % SIZE)};
    }
    check_both(ring, SIZE, NULL, 0, BROKEN);
    ring[SIZE - 1].flags = 0;
    check_both(ring, SIZE, NULL, 0, SERVED);
}

static void test_too_large(void **state)
{
    struct rig rig;

    (void)state;
    /* 4 GiB in all takes buffers that overlap and RAM of that size: overlap a 1 MiB RAM often
     * enough through an indirect table, and each of two directions counts. */
    for (unsigned int packed = 0; packed < 2; packed++) {
        struct raw table[100];

        for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
            table[i] = (struct raw){VRING_RAM_BASE, (uint32_t)MIB(64), i < 50 ? NEXT : NEXT | WRITE,
                                    (uint16_t)(i + 1)};
        }
        table[63].flags = WRITE;
        loop_device_init(&rig.loop);
        rig.loop.silent = true;
        rig.driver = vring_driver_create(&rig.loop.device, MIB(64));
        for (uint32_t count = 63; count <= 64; count++) {
            uint64_t features = VIRTIO_F_INDIRECT_DESC | (packed ? VIRTIO_F_RING_PACKED : 0);
            struct raw head = {VRING_RAM_BASE + MIB(1), 16 * count, INDIRECT, 0};
            struct virtio_chain chain;

            assert_true(vring_driver_start(rig.driver, features, SIZE));
            table[count - 1].flags = WRITE;
            put(&rig, VRING_RAM_BASE + MIB(1), table, count, false);
            table[count - 1].flags = WRITE | NEXT;
            put(&rig, rig.driver->queues[0].descriptors, &head, 1, true);
            offer(&rig, 0, 1);
            assert_int_equal(virtqueue_pop(&rig.loop.queues[0], &chain),
                             count == 63 ? VIRTQUEUE_OK : VIRTQUEUE_BROKEN);
            if (count == 63) {
                assert_int_equal(chain.out_size, 50 * MIB(64));
                assert_int_equal(chain.in_size, 13 * MIB(64));
            }
        }
        end(&rig);
    }
}

static void test_bad_split_indices(void **state)
{
    struct rig rig;
    struct raw good = {RAM, 4, 0, 0};
    struct vring_buffer buffer;
    uint16_t *avail;

    (void)state;
    begin(&rig, 0);
    offer(&rig, SIZE, 1); /* a head that isn't there */
    assert_true(is_broken(&rig));
    end(&rig);
    begin(&rig, 0);
    put(&rig, rig.driver->queues[0].descriptors, &good, 1, true);
    offer(&rig, 0, SIZE + 1); /* more than the ring has */
    assert_true(is_broken(&rig));
    assert_int_equal(rig.loop.popped, 0);
    end(&rig);
    begin(&rig, 0);
    put(&rig, rig.driver->queues[0].descriptors, &good, 1, true);
    offer(&rig, 0, 0xffff); /* backwards */
    assert_true(is_broken(&rig));
    end(&rig);
    begin(&rig, 0); /* backwards, but not behind what is used: the device would hold 65534 */
    buffer = vring_in(rig.driver, 4);
    vring_add(rig.driver, 1, &buffer, 1, false);
    avail = vring_at(rig.driver, rig.driver->queues[1].driver);
    avail[1] = 4;
    vring_notify(rig.driver, 1);
    assert_int_equal(rig.loop.nr_held, 4);
    avail[1] = 2;
    vring_notify(rig.driver, 1);
    assert_true(is_broken(&rig));
    assert_int_equal(rig.loop.nr_held, 4);
    end(&rig);
}

/* A device never holds more chains than the ring has, however often a driver offers one. */
static void test_offered_twice(void **state)
{
    struct rig rig;
    struct vring_buffer buffer;
    uint16_t *avail;

    (void)state;
    begin(&rig, 0);
    buffer = vring_in(rig.driver, 4);
    vring_add(rig.driver, 1, &buffer, 1, false);
    avail = vring_at(rig.driver, rig.driver->queues[1].driver);
    for (unsigned int i = 2; i <= SIZE; i++) { /* all entries are 0 */
        avail[1] = (uint16_t)i;
        vring_notify(rig.driver, 1);
        assert_false(is_broken(&rig));
    }
    assert_int_equal(rig.loop.nr_held, SIZE);
    avail[1]++;
    vring_notify(rig.driver, 1);
    assert_true(is_broken(&rig));
    end(&rig);

    begin(&rig, VIRTIO_F_RING_PACKED);
    buffer = vring_in(rig.driver, 4);
    for (unsigned int i = 0; i < SIZE; i++) {
        vring_add(rig.driver, 1, &buffer, 1, false);
    }
    vring_kick(rig.driver, 1);
    assert_int_equal(rig.loop.nr_held, SIZE);
    /* The first descriptor again, as of the next lap. */
    ((uint16_t *)vring_at(rig.driver, rig.driver->queues[1].descriptors))[7] = 0x8000;
    vring_notify(rig.driver, 1);
    assert_true(is_broken(&rig));
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_descriptors),
        cmocka_unit_test(test_bad_indirect),
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_bad_split_indices),
        cmocka_unit_test(test_offered_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
