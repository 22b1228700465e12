/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images: headers good and bad, what is refused and by which name, and placement, which
 * for random sizes either says that there is no room or overlaps nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "machine/image.h"

#define RAM 0x40000000ull

static void put64(uint8_t *at, uint64_t value)
{
    for (unsigned int i = 0; i < 8; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static void make_header(uint8_t *head, uint64_t offset, uint64_t size, uint64_t flags)
{
    memset(head, 0, IMAGE_HEADER_SIZE);
    memcpy(head, "MZ", 2); /* an arm64 Image may be an EFI program too */
    put64(head + 8, offset);
    put64(head + 16, size);
    put64(head + 24, flags);
    memcpy(head + 56, "ARM\x64", 4);
}

static void test_linux(void **state)
{
    uint8_t head[IMAGE_HEADER_SIZE];
    struct image image;

    (void)state;
    make_header(head, 0, 0x2000000, 0xa);
    assert_int_equal(image_parse(head, sizeof(head), 0x1f00000, &image), IMAGE_OK);
    assert_int_equal(image.kind, IMAGE_LINUX);
    assert_int_equal(image.offset, 0);
    assert_int_equal(image.file_size, 0x1f00000);
    assert_int_equal(image.span, 0x2000000);
    make_header(head, 0x80000, 0x1000, 0);
    assert_int_equal(image_parse(head, sizeof(head), 0x1200, &image), IMAGE_OK);
    assert_int_equal(image.offset, 0x80000);
    assert_int_equal(image.span, 0x1200); /* signed: longer than image_size */
    make_header(head, 0x1234, 0, 0); /* as before Linux 3.17 */
    assert_int_equal(image_parse(head, sizeof(head), 0x1200, &image), IMAGE_OK);
    assert_int_equal(image.offset, 0x80000);
}

static void test_raw(void **state)
{
    uint8_t head[IMAGE_HEADER_SIZE] = {0x1f, 0x20, 0x03, 0xd5};
    struct image image;

    (void)state;
    assert_int_equal(image_parse(head, sizeof(head), 5000, &image), IMAGE_OK);
    assert_int_equal(image.kind, IMAGE_RAW);
    assert_int_equal(image.offset, 0x80000);
    assert_int_equal(image.span, 5000);
    assert_int_equal(image_parse(head, 4, 4, &image), IMAGE_OK);
    assert_int_equal(image.kind, IMAGE_RAW);
}

static void test_bad_headers(void **state)
{
    uint8_t head[IMAGE_HEADER_SIZE];
    struct image image = {.offset = 77};

    (void)state;
    make_header(head, 0, 0x10000, 1);
    assert_int_equal(image_parse(head, sizeof(head), 0x1000, &image), IMAGE_BIG_ENDIAN);
    make_header(head, 0x800, 0x10000, 0);
    assert_int_equal(image_parse(head, sizeof(head), 0x1000, &image), IMAGE_BAD_OFFSET);
    make_header(head, 0x200000, 0x10000, 0);
    assert_int_equal(image_parse(head, sizeof(head), 0x1000, &image), IMAGE_BAD_OFFSET);
    make_header(head, 0, UINT64_MAX, 0);
    assert_int_equal(image_parse(head, sizeof(head), 0x1000, &image), IMAGE_BAD_SIZE);
    assert_int_equal(image_parse(head, 0, 0, &image), IMAGE_EMPTY);
    assert_int_equal(image.offset, 77);
}

static void test_refused(void **state)
{
    static const struct {
        size_t at, size;
        const char *bytes;
        enum image_result result;
        const char *word;
    } cases[] = {
        {0, 3, "\x1f\x8b\x08", IMAGE_GZIP, "gzip"},
        {0, 4, "\x28\xb5\x2f\xfd", IMAGE_ZSTD, "zstd"},
        {0, 6, "\xfd" "7zXZ\0", IMAGE_XZ, "xz"},
        {0, 4, "\x02\x21\x4c\x18", IMAGE_LZ4, "lz4"},
        {0, 4, "\x04\x22\x4d\x18", IMAGE_LZ4, "lz4"},
        {0, 4, "BZh9", IMAGE_BZIP2, "bzip2"},
        {0, 8, "MZ\0\0zimg", IMAGE_ZBOOT, "zboot"},
        {0, 4, "MZ\x90\0", IMAGE_PE, "EFI program"},
        {0, 4, "\x7f" "ELF", IMAGE_ELF, "ELF"},
        {36, 4, "\x18\x28\x6f\x01", IMAGE_ARM32, "32-bit"},
        {0, 4, "\x27\x05\x19\x56", IMAGE_UIMAGE, "legacy"},
        {0, 4, "\xd0\x0d\xfe\xed", IMAGE_FIT, "FIT"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t head[IMAGE_HEADER_SIZE] = {0};
        struct image image;

        memcpy(head + cases[i].at, cases[i].bytes, cases[i].size);
        assert_int_equal(image_parse(head, sizeof(head), 4096, &image), cases[i].result);
        assert_non_null(strstr(image_explain(cases[i].result), cases[i].word));
    }
    for (int i = 0; i < IMAGE_RESULT_COUNT; i++) {
        assert_non_null(image_explain((enum image_result)i));
    }
    assert_string_equal(image_explain(IMAGE_RESULT_COUNT), "is unknown");
}

static void test_place_as_qemu(void **state)
{
    struct image image = {IMAGE_LINUX, 0, MIB(30), MIB(32)};
    struct image_placement place;

    (void)state;
    assert_int_equal(image_place(&image, RAM, MIB(512), MIB(20), &place), IMAGE_OK);
    assert_int_equal(place.kernel, RAM);
    assert_int_equal(place.ramdisk, RAM + MIB(128));
    assert_int_equal(place.fdt, RAM + MIB(148));
    assert_int_equal(image_place(&image, RAM, MIB(128), 0x123457, &place), IMAGE_OK);
    assert_int_equal(place.ramdisk, RAM + MIB(64));
    assert_int_equal(place.fdt, RAM + MIB(66));
    assert_int_equal(image_place(&image, RAM, MIB(512), 0, &place), IMAGE_OK);
    assert_int_equal(place.ramdisk, 0);
    assert_int_equal(place.fdt, RAM + MIB(128));
}

static void test_place_small(void **state)
{
    struct image raw = {IMAGE_RAW, 0x80000, 0x20000, 0x20000};
    struct image image = {IMAGE_LINUX, 0, MIB(1), MIB(1)};
    struct image_placement place;

    (void)state;
    assert_int_equal(image_place(&raw, RAM, MIB(2), 0, &place), IMAGE_OK);
    assert_int_equal(place.kernel, RAM + 0x80000);
    assert_int_equal(place.fdt, RAM);
    assert_int_equal(image_place(&raw, RAM, MIB(2), KIB(100), &place), IMAGE_OK);
    assert_int_equal(place.ramdisk, RAM + 0xa0000);
    assert_int_equal(image_place(&image, RAM, MIB(2), KIB(960), &place), IMAGE_OK);
    assert_int_equal(place.ramdisk, RAM + MIB(1));
    assert_int_equal(place.fdt, RAM + MIB(2) - KIB(64));
    assert_int_equal(image_place(&image, RAM, MIB(2), KIB(961), &place), IMAGE_NO_ROOM_FDT);
    assert_int_equal(image_place(&image, RAM, MIB(2), KIB(1025), &place), IMAGE_NO_ROOM_RAMDISK);
    assert_int_equal(image_place(&image, RAM, MIB(2), UINT64_MAX, &place),
                     IMAGE_NO_ROOM_RAMDISK);
    image.span = MIB(2) + 1;
    assert_int_equal(image_place(&image, RAM, MIB(2), 0, &place), IMAGE_NO_ROOM_KERNEL);
    image.span = MIB(2);
    assert_int_equal(image_place(&image, RAM, MIB(2), 0, &place), IMAGE_NO_ROOM_FDT);
    raw.span = MIB(2);
    assert_int_equal(image_place(&raw, RAM, MIB(2), 0, &place), IMAGE_NO_ROOM_KERNEL);
}

static bool apart(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a + a_size <= b || b + b_size <= a;
}

static void test_place_random(void **state)
{
    unsigned int placed = 0;

    (void)state;
    srand(3);
    for (unsigned int i = 0; i < 100000; i++) {
        bool raw = rand() % 2;
        uint64_t span = 1 + (uint64_t)rand() % MIB(80);
        uint64_t ramdisk = rand() % 3 == 0 ? 0 : (uint64_t)rand() % MIB(80);
        uint64_t ram = MIB(2) * (1 + (uint64_t)rand() % 200);
        uint64_t offset = (uint64_t)rand() % 512 * 4096;
        struct image image = {raw ? IMAGE_RAW : IMAGE_LINUX, raw ? IMAGE_RAW_OFFSET : offset,
                              span, span};
        struct image_placement p;

        if (image_place(&image, RAM, ram, ramdisk, &p) != IMAGE_OK) {
            /* Then it really is tight. */
            assert_true(span + ramdisk + image.offset + KIB(64) * 2 > ram);
            continue;
        }
        placed++;
        assert_true(p.kernel >= RAM && p.kernel + span <= RAM + ram);
        assert_true(p.fdt >= RAM && p.fdt + IMAGE_FDT_SIZE <= RAM + ram);
        assert_true(IS_ALIGNED(p.fdt, (uint64_t)IMAGE_FDT_SIZE));
        assert_true(apart(p.kernel, span, p.fdt, IMAGE_FDT_SIZE));
        if (ramdisk != 0) {
            assert_true(p.ramdisk >= RAM && p.ramdisk + ramdisk <= RAM + ram);
            assert_true(IS_ALIGNED(p.ramdisk, KIB(4)));
            assert_true(apart(p.kernel, span, p.ramdisk, ramdisk));
            assert_true(apart(p.fdt, IMAGE_FDT_SIZE, p.ramdisk, ramdisk));
        }
    }
    assert_true(placed > 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linux),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_place_as_qemu),
        cmocka_unit_test(test_place_small),
        cmocka_unit_test(test_place_random),
    };

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
