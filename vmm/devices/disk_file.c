/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and measuring media: see disk_file.h. */
#include "vmm/devices/disk_file.h"
#include "bothy/bits.h"
#include "machine/virtio/blk.h"
#include "vmm/base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_MAX 4096u /* what guests can be expected to take */

static bool set_open_error(struct error *error, const char *path, const char *id, int errno_value,
                           bool readonly, bool direct)
{
    const char *remedy = "";

    switch (errno_value) {
    case ENOENT:
        remedy = " (make one with `truncate -s 8G FILE`)";
        break;
    case EACCES:
    case EPERM:
    case EROFS:
        remedy = readonly ? "" : " (to only read it, say readonly=on)";
        break;
    case EBUSY:
        remedy = " (it is mounted, or has another user)";
        break;
    case EINVAL:
        remedy = direct ? " (its file system has no O_DIRECT: leave out direct=on)" : "";
        break;
    default:
        break;
    }
    return error_set(error, EXIT_CODE_INPUT, "disk %s: can't open %s: %s%s", id, path,
                     strerror(errno_value), remedy);
}

static void warn_of_format(int fd, const char *path, const char *id)
{
    char magic[4];

    if (pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
        memcmp(magic, "QFI\xfb", sizeof(magic)) == 0) {
        log_warning("disk %s: %s looks like a qcow2 image and is served as raw bytes all the same; "
                    "`qemu-img convert -O raw` makes a raw one",
                    id, path);
    }
}

/* Of a block device: what it is made of. */
static void read_block_sizes(struct disk_file *file)
{
    unsigned int physical = 0;
    int logical = 0;

    if (ioctl(file->fd, BLKSSZGET, &logical) == 0 && logical >= (int)BLK_SECTOR) {
        file->block_size = (uint32_t)logical;
        file->offset_align = (uint32_t)logical;
    }
    if (ioctl(file->fd, BLKPBSZGET, &physical) == 0 && physical >= file->block_size) {
        file->physical_size = physical;
    }
}

/* What direct I/O asks for: the kernel says it from 6.1 on, else a sector is assumed. */
static void read_direct_sizes(struct disk_file *file)
{
    struct statx status;

    if (statx(file->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        (status.stx_mask & STATX_DIOALIGN) != 0 && status.stx_dio_offset_align != 0) {
        file->memory_align = status.stx_dio_mem_align;
        file->offset_align = status.stx_dio_offset_align;
    }
    if (file->offset_align > BLK_SECTOR && file->offset_align <= BLOCK_MAX) {
        file->block_size = file->offset_align;
    }
}

/* In bytes; negative with errno. With calls that the jail allows. */
static int64_t measure_bytes(int fd)
{
    struct stat status;
    uint64_t size = 0;

    if (fstat(fd, &status) < 0) {
        return -1;
    }
    if (!S_ISBLK(status.st_mode)) {
        return (int64_t)status.st_size;
    }
    return ioctl(fd, BLKGETSIZE64, &size) < 0 ? -1 : (int64_t)size;
}

uint64_t disk_file_measure(const struct disk_file *file)
{
    int64_t size = measure_bytes(file->fd);

    return size < 0 ? 0 : (uint64_t)size / BLK_SECTOR;
}

static bool check_kind(const struct stat *status, const char *path, const char *id,
                       struct error *error)
{
    if (!S_ISREG(status->st_mode) && !S_ISBLK(status->st_mode)) {
        return error_set(error, EXIT_CODE_INPUT,
                         "disk %s: %s is %s; a disk is a file or a block device", id, path,
                         S_ISDIR(status->st_mode) ? "a directory" : "neither file nor disk");
    }
    return true;
}

static bool measure(struct disk_file *file, const char *path, const char *id, struct error *error)
{
    int64_t end = measure_bytes(file->fd);

    if (end < 0) {
        return error_set_errno(error, EXIT_CODE_INPUT, errno, "disk %s: can't measure %s", id,
                               path);
    }
    file->sectors = (uint64_t)end / BLK_SECTOR;
    if (file->sectors == 0) {
        return error_set(error, EXIT_CODE_INPUT,
                         "disk %s: %s has %lld bytes, less than a sector of 512", id, path,
                         (long long)end);
    }
    if (end % BLK_SECTOR != 0) {
        log_warning("disk %s: the size of %s isn't a multiple of 512: the last %lld bytes are out "
                    "of the guest's reach",
                    id, path, (long long)end % BLK_SECTOR);
    }
    return true;
}

static void read_sizes(struct disk_file *file, const struct stat *status)
{
    uint32_t st_block = (uint32_t)status->st_blksize;

    file->block_size = BLK_SECTOR;
    file->physical_size = IS_POWER_OF_2(st_block) ? MIN(st_block, BLOCK_MAX) : BLK_SECTOR;
    file->memory_align = file->offset_align = BLK_SECTOR;
    if (file->is_device) {
        read_block_sizes(file);
    }
    if (file->direct_fd >= 0) {
        read_direct_sizes(file);
    }
    file->physical_size = MAX(file->physical_size, file->block_size);
}

bool disk_file_adopt(int fd, int direct_fd, const char *path, const struct disk_file *like,
                     const char *id, struct disk_file *ret_file, struct error *error)
{
    struct disk_file file = *like;
    struct stat status;

    file.fd = fd;
    file.direct_fd = direct_fd;
    if (fstat(fd, &status) < 0) {
        error_set_errno(error, EXIT_CODE_INPUT, errno, "disk %s: can't measure %s", id, path);
    } else if (check_kind(&status, path, id, error) && measure(&file, path, id, error)) {
        file.is_device = S_ISBLK(status.st_mode);
        *ret_file = file;
        return true;
    }
    disk_file_close(&file);
    return false;
}

static bool set_up(struct disk_file *file, const struct stat *status, const char *path,
                   const char *id, struct error *error)
{
    if (!disk_lock_take(file->fd, file->readonly, path, id, error) ||
        !measure(file, path, id, error)) {
        return false;
    }
    read_sizes(file, status);
    warn_of_format(file->fd, path, id);
    return true;
}

bool disk_file_open(const char *path, bool readonly, bool direct, const char *id,
                    struct disk_file *ret_file, struct error *error)
{
    int flags = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    struct disk_file file = DISK_FILE_NONE;
    struct stat status;

    /* Not with O_NONBLOCK, which io_uring would heed: so look before what open() may wait for. */
    if (stat(path, &status) < 0) {
        return set_open_error(error, path, id, errno, readonly, false);
    }
    if (!check_kind(&status, path, id, error)) {
        return false;
    }
    file.readonly = readonly;
    file.is_device = S_ISBLK(status.st_mode);
    /* A block device that is written to must have no other user in this system. */
    file.fd = open(path, flags | (file.is_device && !readonly ? O_EXCL : 0));
    if (file.fd >= 0 && direct) {
        file.direct_fd = open(path, flags | O_DIRECT);
    }
    if (file.fd < 0 || (direct && file.direct_fd < 0)) {
        set_open_error(error, path, id, errno, readonly, file.fd >= 0);
    } else if (set_up(&file, &status, path, id, error)) {
        *ret_file = file;
        return true;
    }
    disk_file_close(&file);
    return false;
}

void disk_file_close(struct disk_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
    }
    if (file->direct_fd >= 0) {
        close(file->direct_fd);
    }
    *file = (struct disk_file)DISK_FILE_NONE;
}
