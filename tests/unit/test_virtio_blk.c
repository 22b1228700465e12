/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk: the configuration, requests of any layout, each kind of request and its bounds. */
#include "tests/unit/virtio_blk_fixture.h"

static void test_configuration(void **state)
{
    struct fixture *f = *state;
    struct vring_driver *driver = f->driver;

    start(f);
    assert_int_equal(vring_read(driver, VRING_DEVICE_ID), 2);
    assert_int_equal(vring_config(driver, 0, 8), SECTORS);
    assert_int_equal(vring_config(driver, 12, 4), QUEUE_SIZE - 2); /* seg_max */
    assert_int_equal(vring_config(driver, 20, 4), 512);
    assert_int_equal(vring_config(driver, 24, 1), 3); /* 8 logical blocks in a physical one */
    assert_int_equal(vring_config(driver, 26, 2), 8);
    assert_int_equal(vring_config(driver, 32, 1), 1); /* write-back */
    assert_int_equal(vring_config(driver, 34, 2), QUEUES);
    assert_int_equal(vring_config(driver, 36, 4), BLK_DISCARD_SECTORS_MAX);
    assert_int_equal(vring_config(driver, 40, 4), BLK_RANGES_MAX);
    assert_int_equal(vring_config(driver, 44, 4), 8);
    assert_int_equal(vring_config(driver, 48, 4), BLK_ZEROES_SECTORS_MAX);
    assert_int_equal(vring_config(driver, 56, 1), 1);
    assert_int_equal(vring_config(driver, 60, 4), 0);
    assert_int_equal(f->blk.device.features & 0xffffff,
                     VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH |
                         VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_MQ |
                         VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES);
}

/* Random writes and reads, cut at random places, in each format, against a model. */
static void test_any_layout(void **state)
{
    struct fixture *f = *state;
    uint8_t *model = malloc(SECTORS * BLK_SECTOR);
    struct reply *reply = malloc(sizeof(*reply));

    for (uint32_t format = 0; format < ARRAY_SIZE(formats); format++) {
        assert_true(vring_driver_start(f->driver, DEVICE_FEATURES | formats[format], QUEUE_SIZE));
        memcpy(model, f->disk, SECTORS * BLK_SECTOR);
        for (uint32_t i = 0; i < 1000; i++) {
            uint32_t sectors = 1 + draw(f, 8);
            uint64_t sector = draw(f, SECTORS - 8);
            struct request request = {.sector = sector, .cuts = draw(f, 6), .indirect = i & 1};

            if (draw(f, 2) != 0) {
                for (uint32_t b = 0; b < sectors * BLK_SECTOR; b++) {
                    model[sector * BLK_SECTOR + b] = (uint8_t)(b * i);
                }
                request.type = T_OUT;
                request.out = model + sector * BLK_SECTOR;
                request.out_size = sectors * BLK_SECTOR;
                assert_int_equal(run(f, &request, reply), BLK_OK);
                assert_int_equal(reply->written, 1);
            } else {
                request.type = T_IN;
                request.in_size = sectors * BLK_SECTOR;
                assert_int_equal(run(f, &request, reply), BLK_OK);
                assert_int_equal(reply->written, sectors * BLK_SECTOR + 1);
                assert_memory_equal(reply->bytes, model + sector * BLK_SECTOR,
                                    sectors * BLK_SECTOR);
            }
        }
        assert_memory_equal(model, f->disk, SECTORS * BLK_SECTOR);
    }
    free(model);
    free(reply);
}

static void test_neighbours_become_one_segment(void **state)
{
    struct fixture *f = *state;
    struct header header = {T_IN, 0, 8};
    struct vring_buffer buffers[5];
    struct vring_used used;

    start(f);
    buffers[0] = vring_out(f->driver, &header, sizeof(header));
    buffers[1] = vring_in(f->driver, 4096);
    buffers[2] = vring_in(f->driver, 4096);
    buffers[4] = vring_in(f->driver, 512); /* lies before the next, but comes after it */
    buffers[3] = vring_in(f->driver, 512);
    buffers[4].size = 1;
    assert_int_equal(buffers[1].ipa + 4096, buffers[2].ipa);
    assert_true(vring_add(f->driver, 0, buffers, 5, false) >= 0);
    vring_kick(f->driver, 0);
    assert_true(vring_collect(f->driver, 0, &used));
    assert_int_equal(f->entries, 2);
    assert_memory_equal(vring_at(f->driver, buffers[2].ipa), f->disk + 16 * BLK_SECTOR, 4096);
    assert_memory_equal(vring_at(f->driver, buffers[3].ipa), f->disk + 24 * BLK_SECTOR, 512);
}

static void test_bounds(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[1024] = {0};

    start(f);
    assert_int_equal(simple(f, T_IN, SECTORS - 1, NULL, 0, 512), BLK_OK);
    assert_int_equal(simple(f, T_OUT, SECTORS - 1, bytes, 512, 0), BLK_OK);
    assert_int_equal(f->nr_submitted, 2);
    assert_int_equal(simple(f, T_IN, SECTORS - 1, NULL, 0, 1024), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, SECTORS - 1, bytes, 1024, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_IN, SECTORS, NULL, 0, 512), BLK_IOERR);
    assert_int_equal(simple(f, T_IN, UINT64_MAX, NULL, 0, 512), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, 1ull << 55, bytes, 512, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 511), BLK_IOERR);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 513, 0), BLK_IOERR);
    assert_int_equal(f->nr_submitted, 2);
    assert_int_equal(f->blk.nr_refused, 7);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 0), BLK_OK);
    assert_int_equal(simple(f, T_OUT, SECTORS, NULL, 0, 0), BLK_OK);
    assert_int_equal(simple(f, 0x1234, 0, NULL, 0, 0), BLK_UNSUPP);
    assert_int_equal(simple(f, 2, 0, bytes, 512, 512), BLK_UNSUPP);
    assert_int_equal(f->nr_submitted, 2);
}

static void test_flush_and_id(void **state)
{
    struct fixture *f = *state;
    struct request request = {.type = T_GET_ID, .in_size = 20, .cuts = 5};
    struct reply *reply = malloc(sizeof(*reply));

    start(f);
    assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_OK);
    assert_int_equal(f->nr_submitted, 1);
    assert_false(f->durable);
    assert_int_equal(run(f, &request, reply), BLK_OK);
    assert_memory_equal(reply->bytes, "serial-0123456789abc", 20);
    request.in_size = 7;
    assert_int_equal(run(f, &request, reply), BLK_OK);
    assert_memory_equal(reply->bytes, "serial-", 7);
    request.in_size = 100;
    assert_int_equal(run(f, &request, reply), BLK_OK);
    assert_memory_equal(reply->bytes, "serial-0123456789abc\0\0", 22);
    free(reply);
}

static void test_discard_and_zeroes(void **state)
{
    static const uint8_t zeroes[4 * BLK_SECTOR];
    struct fixture *f = *state;
    struct blk_range many[BLK_RANGES_MAX + 1] = {{0}};
    const struct blk_range good[] = {{16, 4, 0}, {40, 0, 0}, {SECTORS - 1, 1, 0}};

    start(f);
    assert_int_equal(ranges(f, T_DISCARD, good, 3), BLK_OK);
    assert_memory_equal(f->disk + 16 * BLK_SECTOR, zeroes, sizeof(zeroes));
    assert_int_equal(f->entries, 3);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){24, 4, BLK_RANGE_UNMAP}, 1),
                     BLK_OK);
    assert_memory_equal(f->disk + 24 * BLK_SECTOR, zeroes, sizeof(zeroes));
    assert_int_equal(ranges(f, T_DISCARD, many, BLK_RANGES_MAX), BLK_OK);
    assert_int_equal(f->nr_submitted, 3);

    assert_int_equal(ranges(f, T_DISCARD, many, BLK_RANGES_MAX + 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_DISCARD, many, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_DISCARD, 0, many, 17, 0), BLK_IOERR);
    /* 5.2.6.2: the unmap flag isn't for DISCARD, the others are for nobody. */
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, BLK_RANGE_UNMAP}, 1),
                     BLK_UNSUPP);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){0, 1, 2}, 1), BLK_UNSUPP);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){SECTORS, 1, 0}, 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){UINT64_MAX, 2, 0}, 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){1, SECTORS, 0}, 1), BLK_IOERR);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &(struct blk_range){0, UINT32_MAX, 0}, 1),
                     BLK_IOERR);
    /* One that is wrong spoils all: nothing is done before all were looked at. */
    many[0] = (struct blk_range){100, 4, 0};
    many[1] = (struct blk_range){SECTORS, 1, 0};
    assert_int_equal(ranges(f, T_DISCARD, many, 2), BLK_IOERR);
    assert_int_equal(f->nr_submitted, 3);
    assert_int_equal(f->nr_got, 0);
}

static void test_features_not_taken(void **state)
{
    struct fixture *f = *state;
    const struct blk_range range = {0, 1, 0};
    uint8_t bytes[512] = {0};

    assert_true(vring_driver_start(f->driver, 0, QUEUE_SIZE));
    assert_int_equal(ranges(f, T_DISCARD, &range, 1), BLK_UNSUPP);
    assert_int_equal(ranges(f, T_WRITE_ZEROES, &range, 1), BLK_UNSUPP);
    assert_int_equal(f->nr_submitted, 0);
    /* Who can't flush doesn't have to: 5.2.6.2. */
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_true(f->durable);
    assert_true(vring_driver_start(f->driver, VIRTIO_BLK_F_FLUSH, QUEUE_SIZE));
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_false(f->durable);
    vring_config_write(f->driver, 32, 1, 0);
    assert_int_equal(vring_config(f->driver, 32, 1), 1);
}

static void test_write_through(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512] = {0};

    start(f);
    vring_config_write(f->driver, 32, 1, 0);
    assert_int_equal(vring_config(f->driver, 32, 1), 0);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_true(f->durable);
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
    assert_false(f->durable);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, 0}, 1), BLK_OK);
    assert_true(f->durable);
    vring_config_write(f->driver, 32, 1, 2);   /* no such mode */
    vring_config_write(f->driver, 0, 8, 1);    /* not the driver's to write */
    vring_config_write(f->driver, 32, 4, ~0u); /* of another size */
    assert_int_equal(vring_config(f->driver, 32, 1), 0);
    assert_int_equal(vring_config(f->driver, 0, 8), SECTORS);
    vring_config_write(f->driver, 32, 1, 1);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_OK);
    assert_false(f->durable);
    vring_config_write(f->driver, 32, 1, 0);
    start(f); /* a reset brings write-back again */
    assert_int_equal(vring_config(f->driver, 32, 1), 1);
}

static void test_readonly(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512] = {0};

    vring_driver_destroy(f->driver);
    make(f, true);
    start(f);
    assert_true(f->blk.device.features & VIRTIO_BLK_F_RO);
    assert_false(f->blk.device.features & (VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES));
    assert_int_equal(simple(f, T_IN, 0, NULL, 0, 512), BLK_OK);
    assert_int_equal(f->nr_submitted, 1);
    assert_int_equal(simple(f, T_OUT, 0, bytes, 512, 0), BLK_IOERR);
    assert_int_equal(simple(f, T_FLUSH, 0, NULL, 0, 0), BLK_OK);
    assert_int_equal(ranges(f, T_DISCARD, &(struct blk_range){0, 1, 0}, 1), BLK_UNSUPP);
    assert_int_equal(f->nr_submitted, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_neighbours_become_one_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_and_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discard_and_zeroes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_features_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readonly, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
