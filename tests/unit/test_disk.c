/* SPDX-License-Identifier: Apache-2.0 */
/* Disks' data: what is written is read, in the file too, whatever the sizes and engines. */
#include "tests/unit/disk_fixture.h"

#include <sys/statfs.h>

static void fill(uint8_t *bytes, size_t size, uint32_t salt)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(i * 31 + (i >> 9) * 7 + salt);
    }
}

static void assert_file(const struct fixture *f, const uint8_t *model)
{
    uint8_t *bytes = malloc(FILE_SIZE);

    assert_int_equal(pread(f->fd, bytes, FILE_SIZE, 0), FILE_SIZE);
    assert_memory_equal(bytes, model, FILE_SIZE);
    free(bytes);
}

static void test_engine(void **state)
{
    struct fixture *f = *state;

    /* The second time, without io_uring, is not the same as the first. */
    assert_string_equal(the_disk(f)->aio->name,
                        prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER ? "thread" : "io_uring");
}

#define SLOTS 48u /* requests under way together, each in its own part of the disk */
#define SLOT_SECTORS (FILE_SIZE / BLK_SECTOR / SLOTS)

struct slot {
    uint8_t *status;
    struct vring_buffer data;
    uint32_t type;
    uint64_t at; /* in bytes */
    uint32_t size;
};

static void add_slot(struct fixture *f, struct slot *slot, uint32_t index, uint8_t *model)
{
    static const uint32_t types[] = {T_IN, T_IN, T_IN, T_OUT, T_OUT, T_OUT, T_FLUSH, T_DISCARD,
                                     T_WRITE_ZEROES};
    uint32_t sectors = 1 + draw(f, draw(f, 4) == 0 ? 128 : 16);
    uint64_t sector = index * SLOT_SECTORS + draw(f, (uint32_t)SLOT_SECTORS - sectors);
    struct blk_range range = {sector, sectors, 0};

    slot->type = types[draw(f, ARRAY_SIZE(types))];
    slot->at = sector * BLK_SECTOR;
    slot->size = sectors * BLK_SECTOR;
    slot->data = (struct vring_buffer){0};
    if (slot->type == T_IN) {
        slot->data = vring_in(f->driver, slot->size);
    } else if (slot->type == T_OUT) {
        fill(model + slot->at, slot->size, draw(f, 1000));
        slot->data = vring_out(f->driver, model + slot->at, slot->size);
    } else if (slot->type != T_FLUSH) {
        range.flags = slot->type == T_WRITE_ZEROES ? draw(f, 2) : 0;
        memset(model + slot->at, 0, slot->size);
        slot->data = vring_out(f->driver, &range, sizeof(range));
    }
    slot->status = add(f, (uint16_t)(index & 1), slot->type, sector, slot->data);
}

static void check_slot(struct fixture *f, const struct slot *slot, const uint8_t *model)
{
    assert_int_equal(*slot->status, BLK_OK);
    if (slot->type == T_IN) {
        assert_memory_equal(vring_at(f->driver, slot->data.ipa), model + slot->at, slot->size);
    }
}

static void check_against_model(struct fixture *f, uint32_t rounds)
{
    uint8_t *model = malloc(FILE_SIZE);
    struct slot slots[SLOTS];

    fill(model, FILE_SIZE, 1);
    assert_int_equal(pwrite(f->fd, model, FILE_SIZE, 0), FILE_SIZE);
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t ram_used = f->driver->ram_used;

        for (uint32_t i = 0; i < SLOTS; i++) {
            add_slot(f, &slots[i], i, model);
        }
        kick_and_run(f, SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++) {
            check_slot(f, &slots[i], model);
        }
        f->driver->ram_used = ram_used;
    }
    assert_file(f, model);
    assert_int_equal(the_disk(f)->under_way, 0);
    free(model);
}

static void test_model(void **state)
{
    check_against_model(*state, 200);
}

static void test_model_direct(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_NONE;
    int fd = open(f->path, O_RDWR | O_DIRECT);

    if (fd < 0) {
        skip(); /* a file system without O_DIRECT: the message is tested elsewhere */
    }
    close(fd);
    f->config.direct = true;
    loop_hook_add(f->vm.loop, &f->hook);
    start(f);
    assert_true(the_disk(f)->file.direct_fd >= 0);
    assert_string_equal(error.text, "");
    /* The driver's buffers are aligned to 16 bytes: both ways are taken. */
    check_against_model(f, 100);
}

/* Aligned and not, through and past the page cache, on the same bytes. */
static void test_direct_and_buffered_agree(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->path, O_RDWR | O_DIRECT);
    uint8_t expected[8192];

    if (fd < 0) {
        skip();
    }
    close(fd);
    f->config.direct = true;
    loop_hook_add(f->vm.loop, &f->hook);
    start(f);
    for (uint32_t i = 0; i < 40; i++) {
        struct vring_buffer out = {vring_alloc_aligned(f->driver, 8192 + 16, 4096), 8192, false};
        struct vring_buffer in = {vring_alloc_aligned(f->driver, 8192 + 16, 4096), 8192, true};
        uint64_t ram_used = f->driver->ram_used;
        uint8_t *status;

        out.ipa += i & 1 ? 16 : 0;
        in.ipa += i & 2 ? 16 : 0;
        fill(expected, sizeof(expected), i);
        memcpy(vring_at(f->driver, out.ipa), expected, sizeof(expected));
        status = add(f, 0, T_OUT, 64 + (i & 4 ? 1 : 0), out);
        kick_and_run(f, 1);
        assert_int_equal(*status, BLK_OK);
        status = add(f, 0, T_IN, 64 + (i & 4 ? 1 : 0), in);
        kick_and_run(f, 1);
        assert_int_equal(*status, BLK_OK);
        assert_memory_equal(vring_at(f->driver, in.ipa), expected, sizeof(expected));
        f->driver->ram_used = ram_used;
    }
}

/* More requests than the kernel is given at a time, each of many segments. */
static void test_more_than_the_ring_holds(void **state)
{
    struct fixture *f = *state;
    uint8_t *model = malloc(FILE_SIZE);
    uint8_t *status[2 * QUEUE_SIZE];
    uint64_t data[2 * QUEUE_SIZE];

    fill(model, FILE_SIZE, 3);
    assert_int_equal(pwrite(f->fd, model, FILE_SIZE, 0), FILE_SIZE);
    for (uint32_t i = 0; i < 2 * QUEUE_SIZE; i++) {
        struct vring_buffer buffer = vring_in(f->driver, 4096);

        data[i] = buffer.ipa;
        status[i] = add(f, (uint16_t)(i & 1), T_IN, i * 8, buffer);
    }
    kick_and_run(f, 2 * QUEUE_SIZE);
    for (uint32_t i = 0; i < 2 * QUEUE_SIZE; i++) {
        assert_int_equal(*status[i], BLK_OK);
        assert_memory_equal(vring_at(f->driver, data[i]), model + i * 4096, 4096);
    }
    free(model);
}

static void test_many_segments(void **state)
{
    struct fixture *f = *state;
    struct header header = {T_OUT, 0, 100};
    struct vring_buffer buffers[BLK_SEGMENTS_MAX + 2];
    uint8_t *expected = malloc(BLK_SEGMENTS_MAX * BLK_SECTOR);
    uint8_t *bytes = malloc(BLK_SEGMENTS_MAX * BLK_SECTOR);

    fill(expected, BLK_SEGMENTS_MAX * BLK_SECTOR, 9);
    buffers[0] = vring_out(f->driver, &header, sizeof(header));
    for (uint32_t i = 0; i < BLK_SEGMENTS_MAX; i++) {
        buffers[1 + i] = vring_out(f->driver, expected + i * BLK_SECTOR, BLK_SECTOR);
        vring_alloc(f->driver, 32); /* so that they are no neighbours */
    }
    buffers[BLK_SEGMENTS_MAX + 1] = vring_in(f->driver, 1);
    assert_true(vring_add(f->driver, 0, buffers, BLK_SEGMENTS_MAX + 2, true) >= 0);
    kick_and_run(f, 1);
    assert_int_equal(pread(f->fd, bytes, BLK_SEGMENTS_MAX * BLK_SECTOR, 100 * BLK_SECTOR),
                     BLK_SEGMENTS_MAX * BLK_SECTOR);
    assert_memory_equal(bytes, expected, BLK_SEGMENTS_MAX * BLK_SECTOR);
    free(bytes);
    free(expected);
}

static uint64_t allocated(const struct fixture *f)
{
    struct stat status;

    fsync(f->fd);
    assert_int_equal(fstat(f->fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void test_discard_gives_back(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = malloc(FILE_SIZE);
    struct blk_range range = {0, FILE_SIZE / BLK_SECTOR, 0};
    struct stat status;
    uint64_t before;

    fill(bytes, FILE_SIZE, 5);
    assert_int_equal(pwrite(f->fd, bytes, FILE_SIZE, 0), FILE_SIZE);
    before = allocated(f);
    assert_true(before >= FILE_SIZE);
    assert_int_equal(request(f, T_DISCARD, 0, &range, sizeof(range)), BLK_OK);
    assert_true(allocated(f) < before / 16);
    assert_int_equal(fstat(f->fd, &status), 0);
    assert_int_equal(status.st_size, FILE_SIZE);
    free(bytes);
}

/* Zeroes by each way that there is, those included that this file system has no need of. */
static void test_zeroes_each_way(void **state)
{
    struct fixture *f = *state;
    uint8_t *model = malloc(FILE_SIZE);

    for (uint32_t way = 0; way < 8; way++) {
        struct blk_range ranges[] = {{3, 1001, 0}, {2000, 0, 0}, {2001, 301, 0}};

        fill(model, FILE_SIZE, way);
        assert_int_equal(pwrite(f->fd, model, FILE_SIZE, 0), FILE_SIZE);
        the_disk(f)->no_punch = way & 1;
        the_disk(f)->no_zero_range = way & 2;
        ranges[0].flags = ranges[1].flags = ranges[2].flags = way & 4 ? BLK_RANGE_UNMAP : 0;
        assert_int_equal(request(f, T_WRITE_ZEROES, 0, ranges, sizeof(ranges)), BLK_OK);
        for (uint32_t i = 0; i < 3; i++) {
            memset(model + ranges[i].sector * BLK_SECTOR, 0, ranges[i].sectors * BLK_SECTOR);
        }
        assert_file(f, model);
    }
    free(model);
}

static void test_write_through(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512];
    uint8_t back[512];
    struct blk_range range = {8, 1, 0};

    vring_config_write(f->driver, offsetof(struct blk_config, writeback), 1, 0);
    fill(bytes, sizeof(bytes), 77);
    assert_int_equal(request(f, T_OUT, 7, bytes, sizeof(bytes)), BLK_OK);
    assert_int_equal(request(f, T_DISCARD, 0, &range, sizeof(range)), BLK_OK);
    assert_int_equal(request(f, T_IN, 7, back, sizeof(back)), BLK_OK);
    assert_memory_equal(bytes, back, sizeof(back));
}

/* A file that has become shorter behind our back. */
static void test_end_of_file(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[4096];

    assert_int_equal(ftruncate(f->fd, 6144), 0);
    assert_int_equal(request(f, T_IN, 0, bytes, 4096), BLK_OK);
    assert_int_equal(request(f, T_IN, 8, bytes, 4096), BLK_IOERR); /* the half of it is there */
    assert_int_equal(request(f, T_IN, 16, bytes, 4096), BLK_IOERR);
    assert_int_equal(the_disk(f)->counters[BLK_READ].errors, 2);
    assert_int_equal(the_disk(f)->counters[BLK_READ].operations, 3);
    assert_int_equal(the_disk(f)->counters[BLK_READ].bytes, 4096);
}

static void test_id(void **state)
{
    struct fixture *f = *state;
    char id[21] = "";

    strcpy(f->config.serial, "twenty-letters-of-it");
    loop_hook_add(f->vm.loop, &f->hook);
    start(f);
    assert_int_equal(request(f, T_GET_ID, 0, id, 20), BLK_OK);
    assert_string_equal(id, "twenty-letters-of-it");
}

static void test_reset_while_busy(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < 64; j++) {
            add(f, 0, j & 1 ? T_IN : T_FLUSH, j, j & 1 ? vring_in(f->driver, 512)
                                                        : (struct vring_buffer){0});
        }
        loop_post(f->vm.loop, &f->kick);
        run_until(f, 1);
        if (!vring_driver_reset(f->driver)) {
            f->device->quiesce(f->device);
            assert_int_equal(vring_read(f->driver, VRING_STATUS), 0);
        }
        assert_int_equal(the_disk(f)->under_way, 0);
        assert_true(vring_driver_start(f->driver, ~0ull, QUEUE_SIZE));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_engine, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_model_direct, setup, teardown),
        cmocka_unit_test_setup_teardown(test_direct_and_buffered_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_the_ring_holds, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_many_segments, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_discard_gives_back, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_zeroes_each_way, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_write_through, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_file, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_while_busy, setup_started, teardown),
    };
    int failed = cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);

    return failed + cmocka_run_group_tests_name("thread", tests, forbid_uring, NULL);
}
