/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images. The header is read byte by byte: a module has no alignment that one may trust.
 */
#include "machine/image.h"
#include "bothy/bits.h"
#include "bothy/string.h"

#define HEADER_TEXT_OFFSET 8u
#define HEADER_IMAGE_SIZE 16u
#define HEADER_FLAGS 24u
#define HEADER_MAGIC 56u
#define FLAG_BIG_ENDIAN BIT(0)

/* QEMU puts the ramdisk at half of RAM or here, whichever is less. */
#define RAMDISK_AT MIB(128)
#define IMAGE_SIZE_MAX GIB(64)

struct signature {
    uint32_t at;
    uint32_t size;
    char bytes[8];
    enum image_result result;
};

/* In this order: zboot before PE, and all before "it must be a raw binary". */
static const struct signature signatures[] = {
    {0, 2, "\x1f\x8b", IMAGE_GZIP},         {0, 4, "\x28\xb5\x2f\xfd", IMAGE_ZSTD},
    {0, 5, "\xfd""7zXZ", IMAGE_XZ},         {0, 4, "\x02\x21\x4c\x18", IMAGE_LZ4},
    {0, 4, "\x04\x22\x4d\x18", IMAGE_LZ4},  {0, 3, "BZh", IMAGE_BZIP2},
    {4, 4, "zimg", IMAGE_ZBOOT},            {0, 2, "MZ", IMAGE_PE},
    {0, 4, "\x7f""ELF", IMAGE_ELF},         {36, 4, "\x18\x28\x6f\x01", IMAGE_ARM32},
    {0, 4, "\x27\x05\x19\x56", IMAGE_UIMAGE}, {0, 4, "\xd0\x0d\xfe\xed", IMAGE_FIT},
};

static uint64_t read_le64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (unsigned int i = 8; i > 0; i--) {
        value = value << 8 | bytes[i - 1];
    }
    return value;
}

/* A binary without an Image header is raw, unless it is known to be something else. */
static enum image_result parse_other(const uint8_t *head, size_t head_size, uint64_t file_size,
                                     struct image *ret_image)
{
    for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
        const struct signature *s = &signatures[i];

        if (head_size >= s->at + s->size && memcmp(head + s->at, s->bytes, s->size) == 0) {
            return s->result;
        }
    }
    *ret_image = (struct image){IMAGE_RAW, IMAGE_RAW_OFFSET, file_size, file_size};
    return IMAGE_OK;
}

enum image_result image_parse(const void *start, size_t head_size, uint64_t file_size,
                              struct image *ret_image)
{
    const uint8_t *head = start;
    uint64_t offset;
    uint64_t span;

    if (file_size == 0 || head_size == 0) {
        return IMAGE_EMPTY;
    }
    if (head_size < IMAGE_HEADER_SIZE || memcmp(head + HEADER_MAGIC, "ARM\x64", 4) != 0) {
        return parse_other(head, head_size, file_size, ret_image);
    }
    offset = read_le64(head + HEADER_TEXT_OFFSET);
    span = read_le64(head + HEADER_IMAGE_SIZE);
    if (read_le64(head + HEADER_FLAGS) & FLAG_BIG_ENDIAN) {
        return IMAGE_BIG_ENDIAN;
    }
    if (span == 0) { /* before Linux 3.17: neither field was filled in reliably */
        offset = IMAGE_RAW_OFFSET;
    }
    if (!IS_ALIGNED(offset, KIB(4)) || offset >= MIB(2)) {
        return IMAGE_BAD_OFFSET;
    }
    if (span > IMAGE_SIZE_MAX) {
        return IMAGE_BAD_SIZE;
    }
    /* A signed kernel has its signature behind image_size. */
    *ret_image = (struct image){IMAGE_LINUX, offset, file_size, MAX(span, file_size)};
    return IMAGE_OK;
}

/* Ramdisk at `from` or behind, FDT behind it; all numbers are offsets from the start of RAM. */
static enum image_result place_behind(uint64_t from, uint64_t ram_size, uint64_t ramdisk_size,
                                      bool fdt, struct image_placement *ret)
{
    uint64_t end = from;

    if (ramdisk_size > ram_size || from > ram_size - ramdisk_size) {
        return ramdisk_size != 0 ? IMAGE_NO_ROOM_RAMDISK : IMAGE_NO_ROOM_FDT;
    }
    if (ramdisk_size != 0) {
        ret->ramdisk = from;
        end = from + ramdisk_size;
    }
    if (fdt) {
        ret->fdt = ALIGN_UP(end, MIB(2));
        if (ret->fdt + IMAGE_FDT_SIZE > ram_size) {
            ret->fdt = ALIGN_UP(end, (uint64_t)IMAGE_FDT_SIZE);
        }
        if (ret->fdt + IMAGE_FDT_SIZE > ram_size) {
            return IMAGE_NO_ROOM_FDT;
        }
    }
    return IMAGE_OK;
}

enum image_result image_place(const struct image *image, uint64_t ram_base, uint64_t ram_size,
                              uint64_t ramdisk_size, struct image_placement *ret_placement)
{
    struct image_placement place = {image->offset, 0, 0};
    bool raw = image->kind == IMAGE_RAW;
    enum image_result result;
    uint64_t kernel_end;
    uint64_t wish;

    if (image->span > ram_size || image->offset > ram_size - image->span) {
        return IMAGE_NO_ROOM_KERNEL;
    }
    kernel_end = ALIGN_UP(image->offset + image->span, KIB(4));
    wish = ALIGN_UP(MAX(kernel_end, MIN(ram_size / 2, RAMDISK_AT)), MIB(2));

    /* As QEMU does; when that doesn't fit, right behind the kernel. A raw binary doesn't say how
     * large its bss is, so its FDT is below it. */
    result = place_behind(wish, ram_size, ramdisk_size, !raw, &place);
    if (result != IMAGE_OK) {
        result = place_behind(kernel_end, ram_size, ramdisk_size, !raw, &place);
    }
    if (result != IMAGE_OK) {
        return result;
    }
    place.kernel += ram_base;
    place.ramdisk += ramdisk_size != 0 ? ram_base : 0;
    place.fdt += ram_base;
    *ret_placement = place;
    return IMAGE_OK;
}

const char *image_explain(enum image_result result)
{
    static const char *const text[IMAGE_RESULT_COUNT] = {
        [IMAGE_OK] = "is sound",
        [IMAGE_EMPTY] = "is empty",
        [IMAGE_GZIP] = "is compressed with gzip: unpack it",
        [IMAGE_ZSTD] = "is compressed with zstd: unpack it",
        [IMAGE_XZ] = "is compressed with xz: unpack it",
        [IMAGE_LZ4] = "is compressed with lz4: unpack it",
        [IMAGE_BZIP2] = "is compressed with bzip2: unpack it",
        [IMAGE_ZBOOT] = "is an EFI zboot image: take the Image inside",
        [IMAGE_PE] = "is an EFI program without an arm64 Image header",
        [IMAGE_ELF] = "is an ELF file: make a binary of it with objcopy -O binary",
        [IMAGE_ARM32] = "is a zImage of 32-bit Arm",
        [IMAGE_UIMAGE] = "is a legacy image of U-Boot: take the Image inside",
        [IMAGE_FIT] = "is a FIT image or a device tree",
        [IMAGE_BIG_ENDIAN] = "is a big-endian arm64 Image",
        [IMAGE_BAD_SIZE] = "has an Image header whose image_size is more than 64 GiB",
        [IMAGE_BAD_OFFSET] = "has an Image header whose text_offset isn't n * 4 KiB below 2 MiB",
        [IMAGE_NO_ROOM_KERNEL] = "needs more memory than there is",
        [IMAGE_NO_ROOM_RAMDISK] = "leaves no room for the ramdisk",
        [IMAGE_NO_ROOM_FDT] = "and the ramdisk leave no room for the device tree",
    };

    return (unsigned int)result < IMAGE_RESULT_COUNT ? text[result] : "is unknown";
}
