/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's medium: a raw file or a block device, opened, measured and locked. A format is never
 * guessed: the guest gets the bytes that are there.
 *
 * Size: what doesn't fill a sector of 512 bytes at the end of a file is out of the guest's reach,
 * with a warning; it isn't touched either. A file of less than a sector is refused.
 *
 * Locks (open file description locks, over the whole file): one writer, or any number of readers.
 * QEMU's locks conflict with them as they should. A file system without locks is warned of.
 *
 * With O_DIRECT there is a second descriptor without it, for those requests whose place or memory
 * isn't aligned as the medium wants it: the kernel keeps both coherent.
 */
#ifndef VMM_DEVICES_DISK_FILE_H
#define VMM_DEVICES_DISK_FILE_H

#include "vmm/base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct disk_file {
    int fd;        /* through the page cache; -1: none */
    int direct_fd; /* with O_DIRECT, or -1 */
    bool readonly;
    bool is_device;
    uint64_t sectors;
    uint32_t block_size;    /* for the guest */
    uint32_t physical_size; /* of the medium's blocks */
    uint32_t memory_align;  /* of direct I/O */
    uint32_t offset_align;
};

#define DISK_FILE_NONE {.fd = -1, .direct_fd = -1}

/* path is opened, id names the disk in sentences. *ret_file is untouched on failure. */
bool disk_file_open(const char *path, bool readonly, bool direct, const char *id,
                    struct disk_file *ret_file, struct error *error);

/* The same in the jail, on descriptors that somebody outside has opened and locked; they are taken
 * over (closed on failure); direct_fd may be -1. Blocks and alignment are taken to be those of
 * `like`, as a guest can't be told of others. */
bool disk_file_adopt(int fd, int direct_fd, const char *path, const struct disk_file *like,
                     const char *id, struct disk_file *ret_file, struct error *error);

/* The size as it is now, in sectors; 0 if it can't be told. */
uint64_t disk_file_measure(const struct disk_file *file);

/* Leaves DISK_FILE_NONE. */
void disk_file_close(struct disk_file *file);

/* Lock for writing or reading; false with a sentence that names the owner if somebody else has a
 * lock that conflicts. */
bool disk_lock_take(int fd, bool readonly, const char *path, const char *id, struct error *error);

#endif
