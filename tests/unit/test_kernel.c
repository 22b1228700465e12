/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels, initrds and device trees of a guest: what gets where, and each sentence of refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "machine/fdt_guest.h"
#include "machine/layout.h"
#include "vmm/vm/kernel.h"
#include "vmm/vm/memory.h"
#include <fcntl.h>
#include <libfdt.h>
#include <unistd.h>

#define SIZE MIB(32)

static char kernel_path[] = "/tmp/bothy-test-kernel-XXXXXX";
static char other_path[] = "/tmp/bothy-test-other-XXXXXX";
static char kernel_text[KIB(20)];

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    close(mkstemp(kernel_path));
    close(mkstemp(other_path));
    for (size_t i = 0; i < sizeof(kernel_text); i++) {
        kernel_text[i] = (char)(i % 251 + 1);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(kernel_path);
    unlink(other_path);
    return 0;
}

static struct vm_config make_config(void)
{
    struct vm_config config;

    vm_config_init(&config);
    config.memory.size = SIZE;
    config.kernel = kernel_path;
    config.cmdline = strdup("console=ttyAMA0");
    write_file(kernel_path, kernel_text, sizeof(kernel_text));
    return config;
}

static void refuse(struct vm_config *config, enum exit_code code, const char *words)
{
    struct error error = ERROR_NONE;
    struct kernel kernel;

    assert_false(kernel_open(&kernel, config, &error));
    kernel_close(&kernel);
    assert_int_equal(error.code, code);
    if (strstr(error.text, words) == NULL) {
        fail_msg("\"%s\" without \"%s\"", error.text, words);
    }
    free(config->cmdline);
}

static const void *property(const void *fdt, const char *name, int *length)
{
    return fdt_getprop(fdt, fdt_path_offset(fdt, "/chosen"), name, length);
}

static void load(struct kernel *kernel, struct vm_config *config, struct vm_memory *memory)
{
    struct fdt_guest_config fdt = {.nr_cpus = 1, .ram_size = SIZE, .uart = true};
    struct error error = ERROR_NONE;

    if (!memory_create(memory, &config->memory, &error) ||
        !kernel_open(kernel, config, &error) ||
        !kernel_load(kernel, config, memory, &fdt, &error)) {
        fail_msg("%s", error.text);
    }
}

static void release(struct kernel *kernel, struct vm_config *config, struct vm_memory *memory)
{
    kernel_close(kernel);
    memory_destroy(memory);
    free(config->cmdline);
}

static void test_raw(void **state)
{
    struct vm_config config = make_config();
    struct vm_memory memory;
    struct kernel kernel;
    const void *fdt;
    int length;

    (void)state;
    config.initrd = other_path;
    write_file(other_path, "the initrd", 10);
    load(&kernel, &config, &memory);
    assert_int_equal(kernel.place.kernel, LAYOUT_RAM_BASE + IMAGE_RAW_OFFSET);
    assert_memory_equal(memory.base + IMAGE_RAW_OFFSET, kernel_text, sizeof(kernel_text));
    assert_memory_equal(memory.base + (kernel.place.ramdisk - LAYOUT_RAM_BASE), "the initrd", 10);
    assert_int_equal(kernel.place.fdt, LAYOUT_RAM_BASE);
    fdt = memory.base;
    assert_int_equal(fdt_check_header(fdt), 0);
    assert_int_equal(fdt_totalsize(fdt), kernel.fdt_size);
    assert_string_equal(property(fdt, "bootargs", &length), "console=ttyAMA0");
    assert_int_equal(fdt64_ld(property(fdt, "linux,initrd-start", &length)), kernel.place.ramdisk);
    assert_int_equal(fdt64_ld(property(fdt, "linux,initrd-end", &length)),
                     kernel.place.ramdisk + 10);
    assert_non_null(property(fdt, "rng-seed", &length));
    release(&kernel, &config, &memory);
}

/* A second start finds the same, but another seed. */
static void test_again(void **state)
{
    struct fdt_guest_config fdt = {.nr_cpus = 1, .ram_size = SIZE};
    struct vm_config config = make_config();
    struct error error = ERROR_NONE;
    struct vm_memory memory;
    struct kernel kernel;
    uint8_t seed[32];
    int length;

    (void)state;
    load(&kernel, &config, &memory);
    memcpy(seed, property(memory.base, "rng-seed", &length), sizeof(seed));
    memset(memory.base, 0x5a, SIZE);
    assert_true(memory_clear(&memory, &error));
    assert_true(kernel_load(&kernel, &config, &memory, &fdt, &error));
    assert_memory_equal(memory.base + IMAGE_RAW_OFFSET, kernel_text, sizeof(kernel_text));
    assert_memory_not_equal(property(memory.base, "rng-seed", &length), seed, sizeof(seed));

    assert_int_equal(truncate(kernel_path, 100), 0);
    assert_false(kernel_load(&kernel, &config, &memory, &fdt, &error));
    assert_int_equal(error.code, EXIT_CODE_INPUT);
    assert_non_null(strstr(error.text, "kernel has become shorter"));
    release(&kernel, &config, &memory);
}

/* The user's device tree: its machine stays, /chosen is ours. */
static void test_own_dtb(void **state)
{
    struct fdt_guest_config theirs = {.nr_cpus = 3, .ram_size = MIB(16), .bootargs = "old"};
    struct vm_config config = make_config();
    static uint64_t tree[KIB(1)];
    struct vm_memory memory;
    struct kernel kernel;
    size_t size = 0;
    int length;

    (void)state;
    assert_int_equal(fdt_guest_build(&theirs, tree, sizeof(tree), &size), STATUS_OK);
    write_file(other_path, tree, size);
    config.dtb = other_path;
    load(&kernel, &config, &memory);
    assert_true(fdt_path_offset(memory.base, "/cpus/cpu@0") > 0);
    assert_true(fdt_path_offset(memory.base, "/pl011@9000000") < 0);
    assert_string_equal(property(memory.base, "bootargs", &length), "console=ttyAMA0");
    release(&kernel, &config, &memory);
}

static void test_refused_kernels(void **state)
{
    struct vm_config config = make_config();

    (void)state;
    config.kernel = NULL;
    refuse(&config, EXIT_CODE_USAGE, "no kernel is given");
    config = make_config();
    write_file(kernel_path, "\x1f\x8b\x08\0", 4);
    refuse(&config, EXIT_CODE_INPUT, "is compressed with gzip: unpack it");
    config = make_config();
    write_file(kernel_path, "", 0);
    refuse(&config, EXIT_CODE_INPUT, "is empty");
    config = make_config();
    config.kernel = (char[]){"/nonexistent/Image"};
    refuse(&config, EXIT_CODE_INPUT,
           "can't open the kernel /nonexistent/Image: No such file or directory");
    config = make_config();
    config.kernel = (char[]){"/tmp"};
    refuse(&config, EXIT_CODE_INPUT, "the kernel /tmp is no regular file");
    config = make_config();
    assert_int_equal(truncate(kernel_path, SIZE), 0);
    refuse(&config, EXIT_CODE_INPUT, "32 MiB of memory are too few");
}

static void test_refused_others(void **state)
{
    struct vm_config config = make_config();
    static char zeros[KIB(70)];

    (void)state;
    config.initrd = (char[]){"/nonexistent/initrd"};
    refuse(&config, EXIT_CODE_INPUT, "can't open the initrd /nonexistent/initrd");
    config = make_config();
    config.initrd = other_path;
    write_file(other_path, "", 0);
    refuse(&config, EXIT_CODE_INPUT, "is empty");
    config = make_config();
    config.initrd = other_path;
    assert_int_equal(truncate(other_path, SIZE), 0);
    refuse(&config, EXIT_CODE_INPUT, "no room for the ramdisk");
    config = make_config();
    config.dtb = other_path;
    write_file(other_path, zeros, 100);
    refuse(&config, EXIT_CODE_INPUT, "is no flattened device tree (.dtb)");
    config = make_config();
    config.dtb = other_path;
    write_file(other_path, zeros, sizeof(zeros));
    refuse(&config, EXIT_CODE_INPUT, "is larger than 60 KiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_own_dtb),
        cmocka_unit_test(test_refused_kernels),
        cmocka_unit_test(test_refused_others),
    };

    return cmocka_run_group_tests_name("kernel", tests, set_up, tear_down);
}
