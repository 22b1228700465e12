/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images: what they are (Linux' Documentation/arch/arm64/booting.rst for the Image header)
 * and where kernel, ramdisk and FDT go in a guest's RAM.
 */
#ifndef MACHINE_IMAGE_H
#define MACHINE_IMAGE_H

#include "bothy/types.h"

#define IMAGE_HEADER_SIZE 64u      /* bytes of a kernel that image_parse wants to see */
#define IMAGE_RAW_OFFSET 0x80000u  /* where a raw binary is loaded, from the start of RAM */
#define IMAGE_FDT_SIZE 0x10000u    /* room for the guest's FDT */

enum image_result {
    IMAGE_OK,
    IMAGE_EMPTY,
    IMAGE_GZIP,
    IMAGE_ZSTD,
    IMAGE_XZ,
    IMAGE_LZ4,
    IMAGE_BZIP2,
    IMAGE_ZBOOT, /* a compressed kernel in an EFI program */
    IMAGE_PE,    /* an EFI program that is no arm64 Image, or x86's bzImage */
    IMAGE_ELF,
    IMAGE_ARM32,  /* zImage of 32-bit Arm */
    IMAGE_UIMAGE, /* U-Boot's legacy image */
    IMAGE_FIT,    /* U-Boot's FIT, or a device tree */
    IMAGE_BIG_ENDIAN,
    IMAGE_BAD_SIZE,   /* image_size is absurd */
    IMAGE_BAD_OFFSET, /* text_offset isn't a multiple of 4 KiB below 2 MiB */
    IMAGE_NO_ROOM_KERNEL,
    IMAGE_NO_ROOM_RAMDISK,
    IMAGE_NO_ROOM_FDT,
    IMAGE_RESULT_COUNT,
};

enum image_kind { IMAGE_LINUX, IMAGE_RAW };

struct image {
    enum image_kind kind;
    uint64_t offset;    /* from the start of RAM */
    uint64_t file_size; /* bytes to copy */
    uint64_t span;      /* bytes it needs from there, file and bss */
};

/* Where things go; all are IPAs, none overlap. A raw binary finds its FDT also at the start of
 * RAM, where U-Boot looks for it. */
struct image_placement {
    uint64_t kernel;  /* also the entry point */
    uint64_t ramdisk; /* 0 if there is none */
    uint64_t fdt;     /* goes to x0; IMAGE_FDT_SIZE bytes and aligned to as much */
};

/* head: the first bytes of the file, IMAGE_HEADER_SIZE of them or the whole file if that is
 * shorter. IMAGE_OK, or what is wrong with it; ret_image is then untouched. */
enum image_result image_parse(const void *head, size_t head_size, uint64_t file_size,
                              struct image *ret_image);

/* Find room in [ram_base, ram_base + ram_size). ramdisk_size 0: none. IMAGE_OK or one of
 * IMAGE_NO_ROOM_*; ret_placement is then untouched. */
enum image_result image_place(const struct image *image, uint64_t ram_base, uint64_t ram_size,
                              uint64_t ramdisk_size, struct image_placement *ret_placement);

/* "is compressed with gzip: ...", the second half of a sentence that begins with "the kernel". */
const char *image_explain(enum image_result result);

#endif
