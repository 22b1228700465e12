/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: its bounds, its guards, that a reboot finds zeros, and what can't be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "machine/layout.h"
#include "vmm/vm/memory.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE MIB(32)

static struct config_memory plain(void)
{
    return (struct config_memory){.size = SIZE, .numa_node = -1};
}

static void create(struct vm_memory *memory, const struct config_memory *config)
{
    struct error error = ERROR_NONE;

    if (!memory_create(memory, config, &error)) {
        fail_msg("%s", error.text);
    }
}

static void test_bounds(void **state)
{
    struct config_memory config = plain();
    struct vm_memory memory;

    (void)state;
    create(&memory, &config);
    assert_true(IS_ALIGNED((uintptr_t)memory.base, MIB(2)));
    assert_ptr_equal(memory_at(&memory, LAYOUT_RAM_BASE, SIZE), memory.base);
    assert_ptr_equal(memory_at(&memory, LAYOUT_RAM_BASE + SIZE - 1, 1), memory.base + SIZE - 1);
    assert_non_null(memory_at(&memory, LAYOUT_RAM_BASE + SIZE, 0));
    assert_null(memory_at(&memory, LAYOUT_RAM_BASE + SIZE, 1));
    assert_null(memory_at(&memory, LAYOUT_RAM_BASE + SIZE - 1, 2));
    assert_null(memory_at(&memory, LAYOUT_RAM_BASE - 1, 1));
    assert_null(memory_at(&memory, LAYOUT_RAM_BASE - 1, 2));
    assert_null(memory_at(&memory, 0, 1));
    assert_null(memory_at(&memory, LAYOUT_RAM_BASE, SIZE + 1));
    assert_null(memory_at(&memory, LAYOUT_RAM_BASE + 8, UINT64_MAX - 4));
    assert_null(memory_at(&memory, UINT64_MAX, 1));
    memory_destroy(&memory);
    assert_null(memory.base);
}

/* What is behind the end and before the start can't be touched: write(2) says EFAULT. */
static void test_guards(void **state)
{
    struct config_memory config = plain();
    struct vm_memory memory;
    int pipes[2];

    (void)state;
    create(&memory, &config);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(write(pipes[1], memory.base, 1), 1);
    assert_int_equal(write(pipes[1], memory.base - 1, 1), -1);
    assert_int_equal(errno, EFAULT);
    assert_int_equal(write(pipes[1], memory.base + SIZE - 1, 1), 1);
    assert_int_equal(write(pipes[1], memory.base + SIZE, 1), -1);
    assert_int_equal(errno, EFAULT);
    close(pipes[0]);
    close(pipes[1]);
    memory_destroy(&memory);
}

static void check_clear(const struct config_memory *config)
{
    struct error error = ERROR_NONE;
    struct vm_memory memory;

    create(&memory, config);
    for (uint64_t at = 0; at < SIZE; at += KIB(4)) {
        assert_int_equal(memory.base[at], 0);
        memory.base[at] = 0xa5;
    }
    assert_true(memory_clear(&memory, &error));
    for (uint64_t at = 0; at < SIZE; at += KIB(4)) {
        assert_int_equal(memory.base[at], 0);
    }
    memory_destroy(&memory);
}

static void test_clear(void **state)
{
    struct config_memory config = plain();

    (void)state;
    check_clear(&config);
    config.hugepages = CONFIG_HUGE_OFF;
    check_clear(&config);
    config.shared = true;
    check_clear(&config);
}

/* Cleared memory takes no room: a memfd's blocks are gone. */
static void test_shared(void **state)
{
    struct config_memory config = plain();
    struct error error = ERROR_NONE;
    struct vm_memory memory;
    struct stat info;
    char byte = 0;

    (void)state;
    config.shared = true;
    create(&memory, &config);
    assert_true(memory.fd >= 0);
    memory.base[MIB(1)] = 7;
    assert_int_equal(pread(memory.fd, &byte, 1, MIB(1)), 1);
    assert_int_equal(byte, 7);
    assert_int_equal(fstat(memory.fd, &info), 0);
    assert_true(info.st_blocks > 0);
    assert_true(memory_clear(&memory, &error));
    assert_int_equal(fstat(memory.fd, &info), 0);
    assert_int_equal(info.st_blocks, 0);
    memory_destroy(&memory);
}

static void refuse(const struct config_memory *config, enum exit_code code, const char *words)
{
    struct error error = ERROR_NONE;
    struct vm_memory memory;

    assert_false(memory_create(&memory, config, &error));
    assert_int_equal(error.code, code);
    if (strstr(error.text, words) == NULL) {
        fail_msg("\"%s\" without \"%s\"", error.text, words);
    }
    assert_null(memory.base);
    assert_int_equal(memory.fd, -1);
}

static void test_refused(void **state)
{
    struct config_memory config = plain();

    (void)state;
    config.hugepages = CONFIG_HUGE_1G;
    refuse(&config, EXIT_CODE_USAGE, "no multiple of its pages of 1048576 KiB");
    config = plain();
    config.numa_node = 999;
    refuse(&config, EXIT_CODE_USAGE, "NUMA node 999");
    config.numa_node = 5000;
    refuse(&config, EXIT_CODE_USAGE, "NUMA node 5000");
    config = plain();
    config.size = UINT64_C(1) << 56;
    refuse(&config, EXIT_CODE_HOST, "no address space for 68719476736 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
