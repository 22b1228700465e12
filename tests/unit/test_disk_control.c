/* SPDX-License-Identifier: Apache-2.0 */
/* Disks: what is refused and how it is said, locks, limits, pauses, changes while they run. */
#include "tests/unit/disk_fixture.h"

#include <pthread.h>
#include <sys/wait.h>

static void assert_refused(struct fixture *f, const struct config_disk *config, const char *why)
{
    struct error error = ERROR_NONE;

    assert_null(create(f, config, &error));
    assert_int_equal(error.code, EXIT_CODE_INPUT);
    if (strstr(error.text, why) == NULL || strstr(error.text, config->path) == NULL) {
        fail_msg("\"%s\" doesn't say \"%s\"", error.text, why);
    }
}

static void test_bad_files(void **state)
{
    struct fixture *f = *state;
    struct config_disk config = f->config;
    char nowhere[] = "/nowhere/disk.img";
    char folder[] = "/tmp";
    char device[] = "/dev/null";
    char proc[] = "/proc/self/cmdline"; /* a file system that knows no O_DIRECT */
    char fifo[300];

    config.path = nowhere;
    assert_refused(f, &config, "No such file or directory");
    config.path = folder;
    assert_refused(f, &config, "is a directory");
    config.path = device;
    assert_refused(f, &config, "neither file nor disk");
    snprintf(fifo, sizeof(fifo), "%s.fifo", f->path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    config.path = fifo;
    assert_refused(f, &config, "neither file nor disk");
    unlink(fifo);
    config.path = f->path;
    assert_int_equal(ftruncate(f->fd, 511), 0);
    assert_refused(f, &config, "511 bytes, less than a sector");
    config.direct = true;
    config.path = proc;
    config.readonly = true;
    assert_refused(f, &config, "leave out direct=on");
}

static void test_odd_size(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512];

    log_init("test", LOG_LEVEL_ERROR);
    assert_int_equal(ftruncate(f->fd, 3 * 512 + 100), 0);
    loop_hook_add(f->vm.loop, &f->hook);
    start(f);
    assert_int_equal(vring_config(f->driver, 0, 8), 3);
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(request(f, T_OUT, 2, bytes, 512), BLK_OK);
    assert_int_equal(request(f, T_OUT, 3, bytes, 512), BLK_IOERR);
    assert_int_equal(pread(f->fd, bytes, 100, 3 * 512), 100);
    assert_int_equal(bytes[0], 0);
}

static void test_locks(void **state)
{
    struct fixture *f = *state;
    struct config_disk config = f->config;
    struct error error = ERROR_NONE;
    struct vmm_device *first;
    struct vmm_device *second;

    first = create(f, &config, &error);
    assert_non_null(first);
    assert_refused(f, &config, "this VM has");
    config.readonly = true;
    assert_refused(f, &config, "for writing");
    destroy(f, first);
    first = create(f, &config, &error);
    second = create(f, &config, &error);
    assert_non_null(first);
    assert_non_null(second);
    config.readonly = false;
    assert_refused(f, &config, "this VM has");
    destroy(f, first);
    destroy(f, second);
    first = create(f, &config, &error);
    assert_non_null(first);
    destroy(f, first);
}

static void hold_lock(const char *path, int ready_fd)
{
    struct error error = ERROR_NONE;
    int fd = open(path, O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd >= 0 && disk_lock_take(fd, false, path, "other", &error)) {
        dprintf(ready_fd, "x");
        pause();
    }
    _exit(1);
}

/* The sentence names who has it. */
static void test_owner_of_lock(void **state)
{
    struct fixture *f = *state;
    char expected[64];
    int ends[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        hold_lock(f->path, ends[1]);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    snprintf(expected, sizeof(expected), "process %d (test_disk", child);
    assert_refused(f, &f->config, expected);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

/* 4 operations at once, then 20 a second. */
static void test_rate_limit(void **state)
{
    struct fixture *f = *state;
    struct config_rate none = {{0}, {0}};
    struct error error = ERROR_NONE;
    uint64_t before;
    uint64_t taken;

    f->config.rate.ops = (struct config_bucket){.size = 4, .refill_ms = 200};
    loop_hook_add(f->vm.loop, &f->hook);
    start(f);
    before = loop_now_ns();
    for (uint32_t i = 0; i < 10; i++) {
        add(f, (uint16_t)(i & 1), T_IN, i, vring_in(f->driver, 512));
    }
    kick_and_run(f, 10);
    taken = loop_now_ns() - before;
    assert_true(taken >= 300000000); /* (10 - 4) / 4 * 200 ms */
    assert_true(the_disk(f)->throttled >= 6);

    /* Who waits when the limit goes doesn't have to wait on. */
    for (uint32_t i = 0; i < 10; i++) {
        add(f, 0, T_FLUSH, 0, (struct vring_buffer){0});
    }
    kick_and_run(f, 1);
    assert_true(disk_set_rate(f->device, &none, &error));
    run_until(f, 10 - f->collected);
    assert_false(the_disk(f)->rate.limited);
}

static void test_pause(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 64; i++) {
        add(f, 0, i & 1 ? T_IN : T_FLUSH, i, i & 1 ? vring_in(f->driver, 512)
                                                    : (struct vring_buffer){0});
    }
    loop_post(f->vm.loop, &f->kick);
    run_until(f, 1);
    f->device->pause(f->device, true);
    assert_int_equal(the_disk(f)->under_way, 0);
    add(f, 0, T_IN, 0, vring_in(f->driver, 512));
    kick_run(&f->kick);
    assert_int_equal(the_disk(f)->under_way, 0);
    assert_int_not_equal(the_disk(f)->kicked, 0);
    f->device->pause(f->device, false);
    assert_int_equal(the_disk(f)->kicked, 0);
    f->wanted = 65; /* those that the pause has waited for are collected now */
    loop_stop(f->vm.loop);
    loop_run(f->vm.loop);
    if (f->collected < 65) {
        loop_run(f->vm.loop);
    }
    assert_int_equal(f->collected, 65);
}

static void *kick_thread(void *argument)
{
    struct fixture *f = argument;

    vring_notify(f->driver, 0);
    vring_notify(f->driver, 1);
    return NULL;
}

/* As a vCPU does where notifications have no descriptors. */
static void test_kick_from_another_thread(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 50; i++) {
        uint64_t ram_used = f->driver->ram_used;
        uint8_t *status = add(f, 0, T_IN, 0, vring_in(f->driver, 512));
        uint8_t *other = add(f, 1, T_FLUSH, 0, (struct vring_buffer){0});
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, kick_thread, f), 0);
        run_until(f, 2);
        pthread_join(thread, NULL);
        assert_int_equal(*status, BLK_OK);
        assert_int_equal(*other, BLK_OK);
        f->driver->ram_used = ram_used;
    }
}

static void test_disk_grows(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_NONE;
    uint8_t bytes[512] = {0};

    assert_int_equal(request(f, T_OUT, FILE_SIZE / 512, bytes, 512), BLK_IOERR);
    vring_handle_interrupt(f->driver);
    assert_int_equal(ftruncate(f->fd, 2 * FILE_SIZE), 0);
    assert_true(disk_replace(f->device, f->path, &error));
    assert_true(vring_handle_interrupt(f->driver) & VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(vring_config(f->driver, 0, 8), 2 * FILE_SIZE / 512);
    assert_int_equal(request(f, T_OUT, FILE_SIZE / 512, bytes, 512), BLK_OK);
}

static void test_other_medium(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_NONE;
    struct fixture other = {0};
    char bytes[512] = "the second medium";

    assert_false(disk_replace(f->device, "/nowhere/disk.img", &error));
    make_file(&other, MIB(1));
    assert_int_equal(pwrite(other.fd, bytes, sizeof(bytes), 512), sizeof(bytes));
    memset(bytes, 0, sizeof(bytes));
    for (uint32_t i = 0; i < 80; i++) { /* nothing is used up */
        error.code = EXIT_CODE_OK;
        assert_true(disk_replace(f->device, i & 1 ? f->path : other.path, &error));
        if (i == 0) {
            assert_int_equal(vring_config(f->driver, 0, 8), MIB(1) / 512);
            assert_int_equal(request(f, T_IN, 1, bytes, 512), BLK_OK);
            assert_string_equal(bytes, "the second medium");
        }
        /* `f->path` is what the configuration says: it would only be measured again. */
        f->config.path = i & 1 ? f->path : (char[]){"x"};
    }
    f->config.path = f->path;
    unlink(other.path);
    close(other.fd);
}

static void test_cache_unsafe(void **state)
{
    struct fixture *f = *state;

    f->config.unsafe = true;
    loop_hook_add(f->vm.loop, &f->hook);
    start(f);
    assert_int_equal(request(f, T_FLUSH, 0, NULL, 0), BLK_OK);
    assert_int_equal(the_disk(f)->counters[BLK_FLUSH].operations, 1);
}

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    struct metrics *metrics = metrics_create();
    uint8_t bytes[4096] = {0};
    size_t size;
    char *text;

    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(request(f, T_OUT, i * 8, bytes, 4096), BLK_OK);
    }
    assert_int_equal(request(f, T_IN, 1, bytes, 512), BLK_OK);
    assert_int_equal(request(f, T_FLUSH, 0, NULL, 0), BLK_OK);
    assert_int_equal(request(f, T_IN, 1ull << 40, bytes, 512), BLK_IOERR);
    f->device->metrics(f->device, metrics);
    text = metrics_text(metrics, &size);
    assert_non_null(text);
    assert_non_null(strstr(text, "bothy_block_write_bytes_total{device=\"disk0\"} 12288\n"));
    assert_non_null(strstr(text, "bothy_block_writes_total{device=\"disk0\"} 3\n"));
    assert_non_null(strstr(text, "bothy_block_read_bytes_total{device=\"disk0\"} 512\n"));
    assert_non_null(strstr(text, "bothy_block_flushes_total{device=\"disk0\"} 1\n"));
    assert_non_null(strstr(text, "bothy_block_errors_total{device=\"disk0\"} 1\n"));
    assert_non_null(strstr(text, "bothy_block_write_latency_seconds_count{device=\"disk0\"} 3\n"));
    free(text);
    metrics_destroy(metrics);
}

/* Several disks, one engine. */
static void test_engine_is_shared(void **state)
{
    struct fixture *f = *state;
    struct config_disk config = f->config;
    struct error error = ERROR_NONE;
    struct fixture other = {0};
    struct vmm_device *second;

    make_file(&other, MIB(1));
    config.path = other.path;
    second = create(f, &config, &error);
    assert_non_null(second);
    assert_ptr_equal(CONTAINER_OF(second, struct disk, device)->aio, the_disk(f)->aio);
    assert_int_equal(the_disk(f)->aio->references, 2);
    destroy(f, second);
    assert_int_equal(request(f, T_FLUSH, 0, NULL, 0), BLK_OK);
    unlink(other.path);
    close(other.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_of_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rate_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_kick_from_another_thread, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_disk_grows, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_other_medium, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_cache_unsafe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_engine_is_shared, setup_started, teardown),
    };
    int failed = cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);

    return failed + cmocka_run_group_tests_name("thread", tests, forbid_uring, NULL);
}
