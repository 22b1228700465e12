/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon with its real back end: pages that the guest gives are gone from the host, private
 * memory and a memory file; others are untouched; neighbours go in one call. The VM around it is
 * this file's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bothy/bits.h"
#include "machine/virtio/balloon.h"
#include "tests/support/vring_driver.h"
#include "vmm/api/metrics.h"
#include "vmm/devices/device.h"

#define RAM_SIZE MIB(16)
#define INFLATE 0
#define DEFLATE 1
#define STATS 2
#define ALL_FEATURES (~0ull & ~VIRTIO_F_RING_PACKED)

/* How often private memory was given back, since somebody set it to 0. */
static unsigned int drops;

/* Takes the place of the C library's. */
int madvise(void *at, size_t size, int advice)
{
    drops += advice == MADV_DONTNEED;
    return (int)syscall(SYS_madvise, at, size, advice);
}

struct vm {
    struct loop *loop;
    struct vm_config config;
    struct vm_memory_region region;
};

struct loop *vm_get_loop(struct vm *vm)
{
    return vm->loop;
}

struct vm_config *vm_get_config(struct vm *vm)
{
    return &vm->config;
}

void vm_memory_region(const struct vm *vm, struct vm_memory_region *ret_region)
{
    *ret_region = vm->region;
}

struct fixture {
    struct vm vm;
    struct vmm_device *device;
    struct vring_driver *driver;
    struct loop_hook hook;
    uint16_t queue;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->vm.loop = loop_create();
    f->vm.config.memory.size = RAM_SIZE;
    f->vm.config.memory.hugepages = CONFIG_HUGE_OFF;
    f->vm.config.balloon = (struct config_balloon){
        .present = true, .target_mib = 3, .free_page_reporting = true, .stats_interval_s = 1};
    *state = f;
    return f->vm.loop == NULL;
}

static void start(struct fixture *f, bool shared)
{
    struct error error = ERROR_NONE;

    f->device = balloon_create(&f->vm, &f->vm.config.balloon, &error);
    assert_non_null(f->device);
    f->driver = vring_driver_create(f->device->virtio, RAM_SIZE);
    f->vm.region = (struct vm_memory_region){VRING_RAM_BASE, RAM_SIZE, f->driver->ram, -1};
    if (shared) {
        f->vm.region.fd = memfd_create("test-balloon", MFD_CLOEXEC);
        assert_int_equal(ftruncate(f->vm.region.fd, RAM_SIZE), 0);
        assert_ptr_equal(mmap(f->driver->ram, RAM_SIZE, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_FIXED, f->vm.region.fd, 0),
                         f->driver->ram);
    }
    memset(f->driver->ram, 0x5a, RAM_SIZE);
    assert_true(vring_driver_start(f->driver, ALL_FEATURES, 16));
    memset(f->driver->ram + MIB(4), 0x5a, MIB(12)); /* what the rings don't need */
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->device != NULL) {
        f->device->destroy(f->device);
    }
    if (f->vm.region.fd > 0) {
        close(f->vm.region.fd);
    }
    vring_driver_destroy(f->driver);
    loop_destroy(f->vm.loop);
    free(f);
    return 0;
}

static void hook_run(struct loop_hook *hook)
{
    struct fixture *f = CONTAINER_OF(hook, struct fixture, hook);
    struct vring_used used;

    if (vring_collect(f->driver, f->queue, &used)) {
        loop_stop(f->vm.loop);
    }
}

static void run_until_used(struct fixture *f, uint16_t queue)
{
    f->queue = queue;
    f->hook.run = hook_run;
    loop_hook_add(f->vm.loop, &f->hook);
    loop_run(f->vm.loop);
    loop_hook_remove(f->vm.loop, &f->hook);
}

/* Send a buffer and let the device finish what it was given. */
static void send(struct fixture *f, uint16_t queue, const struct vring_buffer *buffers,
                 unsigned int count)
{
    assert_true(vring_add(f->driver, queue, buffers, count, true) >= 0);
    vring_notify(f->driver, queue);
    run_until_used(f, queue);
}

static uint32_t pfn(uint64_t offset)
{
    return (uint32_t)((VRING_RAM_BASE + offset) / BALLOON_PAGE);
}

static bool is_zero(const struct fixture *f, uint64_t offset)
{
    return f->driver->ram[offset] == 0 && f->driver->ram[offset + BALLOON_PAGE - 1] == 0;
}

static void inflate_and_check(struct fixture *f)
{
    uint32_t pfns[] = {pfn(MIB(5)), pfn(MIB(5) + 4096), pfn(MIB(6) + 8192), pfn(MIB(6) + 4096),
                       UINT32_MAX, 0, pfn(RAM_SIZE), pfn(RAM_SIZE - 4096)};
    struct vring_buffer buffer = vring_out(f->driver, pfns, sizeof(pfns));

    send(f, INFLATE, &buffer, 1);
    assert_true(is_zero(f, MIB(5)));
    assert_true(is_zero(f, MIB(5) + 4096));
    assert_true(is_zero(f, MIB(6) + 4096));
    assert_true(is_zero(f, MIB(6) + 8192));
    assert_true(is_zero(f, RAM_SIZE - 4096));
    assert_int_equal(f->driver->ram[MIB(5) - 1], 0x5a);
    assert_int_equal(f->driver->ram[MIB(5) + 8192], 0x5a);
    assert_int_equal(f->driver->ram[MIB(6) + 4095], 0x5a);
    assert_int_equal(f->driver->ram[MIB(6) + 12288], 0x5a);
    f->driver->ram[MIB(5)] = 1; /* it comes back by being touched */
    send(f, DEFLATE, &buffer, 1);
    assert_int_equal(f->driver->ram[MIB(5)], 1);
}

static void test_inflate_private(void **state)
{
    start(*state, false);
    inflate_and_check(*state);
}

static void test_inflate_shared(void **state)
{
    struct fixture *f = *state;
    struct vring_buffer buffer;
    struct stat before;
    struct stat after;
    uint32_t pfns[3];

    start(f, true);
    for (uint32_t i = 0; i < 3; i++) {
        pfns[i] = pfn(MIB(10) + i * 4096);
    }
    buffer = vring_out(f->driver, pfns, sizeof(pfns));
    assert_int_equal(fstat(f->vm.region.fd, &before), 0);
    send(f, INFLATE, &buffer, 1);
    assert_int_equal(fstat(f->vm.region.fd, &after), 0);
    assert_int_equal(before.st_blocks - after.st_blocks, 3 * 8);
    inflate_and_check(f);
}

/* Gives these pages (offsets in units of BALLOON_PAGE), and wants so many calls for them. */
static void give(struct fixture *f, const uint32_t *pages, uint32_t count, unsigned int calls)
{
    uint32_t pfns[512];
    struct vring_buffer buffer;

    memset(f->driver->ram + MIB(4), 0x5a, MIB(12));
    for (uint32_t i = 0; i < count; i++) {
        pfns[i] = pfn((uint64_t)pages[i] * BALLOON_PAGE);
    }
    buffer = vring_out(f->driver, pfns, count * sizeof(pfns[0]));
    drops = 0;
    send(f, INFLATE, &buffer, 1);
    assert_int_equal(drops, calls);
}

/* Of all pages from `first` on, those are gone that were given, and no other one. */
static void check_gone(const struct fixture *f, uint32_t first, const uint32_t *pages,
                       uint32_t count)
{
    for (uint32_t page = first; page < RAM_SIZE / BALLOON_PAGE; page++) {
        bool given = false;

        for (uint32_t i = 0; i < count; i++) {
            given |= pages[i] == page;
        }
        assert_int_equal(is_zero(f, (uint64_t)page * BALLOON_PAGE), given);
    }
}

/* Neighbours of one request go in one call, in whatever order they come. The
 * rings lie far below page 1900. */
static void test_neighbours_are_joined(void **state)
{
    static const uint32_t gaps[] = {2000, 2001, 2003, 2010, 2012, 2011, 2002, 2020};
    static const uint32_t again[] = {2000, 2001, 2001, 2000, 2002};
    struct fixture *f = *state;
    uint32_t pages[512];

    start(f, false);
    for (uint32_t i = 0; i < 512; i++) {
        pages[i] = 2000 + i;
    }
    give(f, pages, 512, 1);
    check_gone(f, 1900, pages, 512);
    for (uint32_t i = 0; i < 512; i++) {
        pages[i] = 2511 - i;
    }
    give(f, pages, 512, 1);
    check_gone(f, 1900, pages, 512);
    for (uint32_t i = 0; i < 512; i++) { /* five from here, five from there, as Linux does */
        pages[i] = (i / 5 % 2 == 0 ? 2000 : 3000) + i / 10 * 5 + i % 5;
    }
    give(f, pages, 512, 2);
    check_gone(f, 1900, pages, 512);
    for (uint32_t i = 0; i < 512; i++) { /* every page of 512, in no order; 173 is odd */
        pages[i] = 2000 + i * 173 % 512;
    }
    give(f, pages, 512, 1);
    check_gone(f, 1900, pages, 512);
    give(f, gaps, ARRAY_SIZE(gaps), 3);
    check_gone(f, 1900, gaps, ARRAY_SIZE(gaps));
    give(f, again, ARRAY_SIZE(again), 1);
    check_gone(f, 1900, again, ARRAY_SIZE(again));
    for (uint32_t i = 0; i < 256; i++) {
        pages[i] = 2000 + 2 * i;
    }
    give(f, pages, 256, 256);
    check_gone(f, 1900, pages, 256);
}

/* Pages of a larger one that come far from one another in a request still make it whole. */
static void test_huge_page_by_parts(void **state)
{
    struct fixture *f = *state;
    uint32_t pages[64];
    uint32_t first;

    f->vm.config.memory.hugepages = CONFIG_HUGE_64K;
    start(f, false);
    first = (uint32_t)((ALIGN_UP((uintptr_t)f->driver->ram + MIB(8), KIB(64)) -
                        (uintptr_t)f->driver->ram) / BALLOON_PAGE);
    for (uint32_t i = 0; i < 32; i++) { /* two of 16 pages, by turns and downwards */
        pages[i] = first + i % 2 * 64 + 15 - i / 2;
    }
    give(f, pages, 32, 2);
    check_gone(f, 1900, pages, 32);
    give(f, pages, 31, 1); /* of the second one misses a page */
    for (uint32_t i = 0; i < 16; i++) {
        pages[i] = first + i;
    }
    check_gone(f, 1900, pages, 16);
    for (uint32_t i = 0; i < 64; i++) { /* from the middle of one to the middle of another */
        pages[i] = first + 8 + i;
    }
    give(f, pages, 64, 1);
    check_gone(f, 1900, pages + 8, 48);
}

/* Only whole pages of the mapping are given back. */
static void test_huge_pages(void **state)
{
    struct fixture *f = *state;
    uint32_t pfns[512];
    struct vring_buffer buffer;

    f->vm.config.memory.hugepages = CONFIG_HUGE_64K;
    start(f, false);
    for (uint32_t i = 0; i < 512; i++) {
        pfns[i] = pfn(MIB(8) - 4096 * i);
    }
    buffer = vring_out(f->driver, pfns, sizeof(pfns));
    send(f, INFLATE, &buffer, 1);
    for (uint64_t at = MIB(6) + 4096; at <= MIB(8); at += 4096) {
        uintptr_t huge = ALIGN_DOWN((uintptr_t)f->driver->ram + at, KIB(64));
        bool whole = huge >= (uintptr_t)f->driver->ram + MIB(6) + 4096 &&
                     huge + KIB(64) <= (uintptr_t)f->driver->ram + MIB(8) + 4096;

        assert_int_equal(is_zero(f, at), whole);
    }
}

static void test_long_request_is_cut(void **state)
{
    struct fixture *f = *state;
    uint32_t size = (BALLOON_CHAIN_PAGES + 8) * 4;
    struct vring_buffer buffer;
    uint32_t *pfns;

    start(f, false);
    buffer = vring_in(f->driver, size);
    buffer.writable = false;
    pfns = vring_at(f->driver, buffer.ipa);
    for (uint32_t i = 0; i < BALLOON_CHAIN_PAGES; i++) {
        pfns[i] = pfn(MIB(8));
    }
    for (uint32_t i = 0; i < 8; i++) {
        pfns[BALLOON_CHAIN_PAGES + i] = pfn(MIB(9));
    }
    send(f, INFLATE, &buffer, 1);
    assert_true(is_zero(f, MIB(8)));
    assert_false(is_zero(f, MIB(9)));
}

static void report_and_check(struct fixture *f, uint16_t queue, bool expected)
{
    struct vring_buffer buffers[] = {
        {VRING_RAM_BASE + MIB(5), MIB(1), true},
        {VRING_RAM_BASE + MIB(7) + 100, 8192, true}, /* one whole page of it */
        {VRING_RAM_BASE + MIB(8), 4095, true},
    };

    memset(f->driver->ram + MIB(5), 0x5a, MIB(4));
    send(f, queue, buffers, 3);
    assert_int_equal(is_zero(f, MIB(5)), expected);
    assert_int_equal(is_zero(f, MIB(6) - 4096), expected);
    assert_false(is_zero(f, MIB(6)));
    assert_int_equal(is_zero(f, MIB(7) + 4096), expected);
    assert_int_equal(f->driver->ram[MIB(7) + 100], 0x5a);
    assert_int_equal(f->driver->ram[MIB(7) + 8192], 0x5a);
    assert_false(is_zero(f, MIB(8)));
}

/* Where the queue is: the fourth for Linux, which counts only those that exist, the fifth by the
 * standard; the third if there are no statistics. */
static void test_reporting(void **state)
{
    struct fixture *f = *state;

    start(f, false);
    report_and_check(f, 3, true);
    report_and_check(f, 4, true);
    assert_true(vring_driver_start(f->driver, ALL_FEATURES & ~VIRTIO_BALLOON_F_STATS_VQ, 16));
    report_and_check(f, 2, true);
    assert_true(
        vring_driver_start(f->driver, ALL_FEATURES & ~VIRTIO_BALLOON_F_PAGE_REPORTING, 16));
    report_and_check(f, 3, false);
}

/* 5.5.6.7.2: free pages must keep the driver's pattern, which a released page doesn't. */
static void test_poison(void **state)
{
    struct fixture *f = *state;

    start(f, false);
    vring_config_write(f->driver, offsetof(struct balloon_config, poison_val), 4, 0xaaaaaaaa);
    assert_int_equal(vring_config(f->driver, offsetof(struct balloon_config, poison_val), 4),
                     0xaaaaaaaa);
    report_and_check(f, 3, false);
    vring_config_write(f->driver, offsetof(struct balloon_config, poison_val), 4, 0);
    report_and_check(f, 3, true);
}

struct __attribute__((packed)) stat_entry {
    uint16_t tag;
    uint64_t value;
};

static void test_statistics(void **state)
{
    struct fixture *f = *state;
    struct stat_entry entries[] = {{4, 1000}, {5, 2000}, {6, 1500}, {99, 7}, {3, 12}};
    struct vring_buffer buffer;
    struct balloon_stats stats;

    start(f, false);
    assert_true(balloon_get_stats(f->device, &stats));
    assert_int_equal(stats.free, UINT64_MAX);
    assert_int_equal(stats.target, MIB(3));
    assert_int_equal(stats.actual, 0);
    vring_config_write(f->driver, offsetof(struct balloon_config, actual), 4, 512);
    buffer = vring_out(f->driver, entries, sizeof(entries));
    assert_true(vring_add(f->driver, STATS, &buffer, 1, false) >= 0);
    vring_notify(f->driver, STATS);
    run_until_used(f, STATS); /* it comes back when the timer asks for new ones */
    assert_true(balloon_get_stats(f->device, &stats));
    assert_int_equal(stats.free, 1000);
    assert_int_equal(stats.total, 2000);
    assert_int_equal(stats.available, 1500);
    assert_int_equal(stats.minor_faults, 12);
    assert_int_equal(stats.swap_in, UINT64_MAX);
    assert_int_equal(stats.actual, MIB(2));
    assert_true(vring_driver_reset(f->driver));
    assert_true(balloon_get_stats(f->device, &stats));
    assert_int_equal(stats.free, UINT64_MAX);
    assert_int_equal(stats.actual, 0);
}

/* Linux adds its buffer and notifies before DRIVER_OK, and never again. */
static void test_statistics_before_driver_ok(void **state)
{
    struct fixture *f = *state;
    struct stat_entry entry = {4, 1000};
    struct virtio_device *virtio;
    struct vring_buffer buffer;
    struct balloon_stats stats;

    start(f, false);
    virtio = f->device->virtio;
    buffer = vring_out(f->driver, &entry, sizeof(entry));
    assert_true(vring_add(f->driver, STATS, &buffer, 1, false) >= 0);
    spin_lock(&virtio->lock);
    virtio->ops->activate(virtio); /* as DRIVER_OK does */
    spin_unlock(&virtio->lock);
    run_until_used(f, STATS);
    assert_true(balloon_get_stats(f->device, &stats));
    assert_int_equal(stats.free, 1000);
}

static void test_target(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_NONE;

    start(f, false);
    assert_int_equal(vring_config(f->driver, 0, 4), MIB(3) / BALLOON_PAGE);
    assert_true(balloon_set_target(f->device, 5, &error));
    assert_true(vring_handle_interrupt(f->driver) & VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(vring_config(f->driver, 0, 4), MIB(5) / BALLOON_PAGE);
    assert_false(balloon_set_target(f->device, 16, &error));
    assert_non_null(strstr(error.text, "leaves nothing of the guest's 16 MiB"));
    error.code = EXIT_CODE_OK;
    assert_false(balloon_set_interval(f->device, 0, &error));
    assert_true(balloon_set_interval(f->device, 5, &error));
    vring_config_write(f->driver, 0, 4, 1); /* not the driver's to write */
    assert_int_equal(vring_config(f->driver, 0, 4), MIB(5) / BALLOON_PAGE);
}

static void test_pause(void **state)
{
    struct fixture *f = *state;
    uint32_t number;
    struct vring_buffer buffer;
    struct vring_used used;

    start(f, false);
    number = pfn(MIB(5));
    buffer = vring_out(f->driver, &number, sizeof(number));
    f->device->pause(f->device, true);
    vring_add(f->driver, INFLATE, &buffer, 1, false);
    vring_notify(f->driver, INFLATE);
    assert_false(vring_collect(f->driver, INFLATE, &used));
    assert_false(is_zero(f, MIB(5)));
    f->device->pause(f->device, false);
    run_until_used(f, INFLATE);
    assert_true(is_zero(f, MIB(5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_inflate_private, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inflate_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_neighbours_are_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge_page_by_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_request_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reporting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poison, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statistics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statistics_before_driver_ok, setup, teardown),
        cmocka_unit_test_setup_teardown(test_target, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
