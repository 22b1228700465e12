/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading. The files are read straight into guest memory: one copy by the host's kernel into pages
 * that are huge where they can be, so a 30 MiB kernel costs about as many instructions as it has
 * 8-byte words. Mapping the file in place of the memory would cost none at first, and was not done:
 * who overwrites the file of a running guest would change the guest or, by truncating it, kill
 * it; and the guest's kernel, its hottest code, would sit on 4 KiB pages at stage 2 for good.
 */
#include "vmm/vm/kernel.h"
#include "bothy/bits.h"
#include "machine/fdt_guest.h"
#include "machine/layout.h"
#include "vmm/vm/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DTB_ROOM 4096u /* for what is added to a device tree of the user's */

static int open_file(const char *path, const char *what, uint64_t *ret_size, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0) {
        error_set_errno(error, EXIT_CODE_INPUT, errno, "can't open the %s %s", what, path);
    } else if (!S_ISREG(info.st_mode)) {
        error_set(error, EXIT_CODE_INPUT, "the %s %s is no regular file", what, path);
    } else if (info.st_size == 0) {
        error_set(error, EXIT_CODE_INPUT, "the %s %s is empty", what, path);
    } else {
        *ret_size = (uint64_t)info.st_size;
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static bool read_all(int fd, void *to, uint64_t size, const char *what, struct error *error)
{
    uint64_t done = 0;

    while (done < size) {
        struct iovec rest = {(char *)to + done, size - done};
        ssize_t count = preadv(fd, &rest, 1, (off_t)done); /* the jail has this one anyway */

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return error_set_errno(error, EXIT_CODE_INPUT, errno, "can't read the %s", what);
        }
        if (count == 0) {
            return error_set(error, EXIT_CODE_INPUT,
                             "the %s has become shorter since this VM was started", what);
        }
        done += (uint64_t)count;
    }
    return true;
}

static bool look_at_kernel(struct kernel *kernel, const char *path, uint64_t size,
                           struct error *error)
{
    uint8_t head[IMAGE_HEADER_SIZE];
    size_t head_size = MIN(size, (uint64_t)sizeof(head));
    enum image_result result;

    if (!read_all(kernel->kernel_fd, head, head_size, "kernel", error)) {
        return false;
    }
    result = image_parse(head, head_size, size, &kernel->image);
    if (result != IMAGE_OK) {
        return error_set(error, EXIT_CODE_INPUT, "the kernel %s %s", path, image_explain(result));
    }
    return true;
}

static bool open_dtb(struct kernel *kernel, const char *path, struct error *error)
{
    uint64_t size;
    int fd = open_file(path, "device tree", &size, error);
    bool done = false;

    if (fd < 0) {
        return false;
    }
    if (size > IMAGE_FDT_SIZE - DTB_ROOM) {
        error_set(error, EXIT_CODE_INPUT, "the device tree %s is larger than %u KiB", path,
                  (unsigned int)((IMAGE_FDT_SIZE - DTB_ROOM) >> 10));
    } else if ((kernel->dtb = malloc(size)) == NULL) {
        error_set(error, EXIT_CODE_HOST, "no memory for the device tree");
    } else if (read_all(fd, kernel->dtb, size, "device tree", error)) {
        done = size >= sizeof(struct fdt_header) && fdt_check_header(kernel->dtb) == 0 &&
               fdt_totalsize(kernel->dtb) <= size;
        kernel->dtb_size = size;
        if (!done) {
            error_set(error, EXIT_CODE_INPUT, "%s is no flattened device tree (.dtb)", path);
        }
    }
    close(fd);
    return done;
}

static bool place(struct kernel *kernel, const struct vm_config *config, struct error *error)
{
    enum image_result result = image_place(&kernel->image, LAYOUT_RAM_BASE, config->memory.size,
                                           kernel->initrd_size, &kernel->place);

    if (result != IMAGE_OK) {
        return error_set(error, EXIT_CODE_INPUT,
                         "%llu MiB of memory are too few: the kernel %s %s",
                         (unsigned long long)(config->memory.size >> 20), config->kernel,
                         image_explain(result));
    }
    return true;
}

bool kernel_open(struct kernel *kernel, const struct vm_config *config, struct error *error)
{
    uint64_t size;

    *kernel = (struct kernel){.kernel_fd = -1, .initrd_fd = -1};
    if (config->kernel == NULL) {
        return error_set(error, EXIT_CODE_USAGE, "no kernel is given: use --kernel FILE");
    }
    kernel->kernel_fd = open_file(config->kernel, "kernel", &size, error);
    if (kernel->kernel_fd < 0 || !look_at_kernel(kernel, config->kernel, size, error)) {
        return false;
    }
    if (config->initrd != NULL) {
        kernel->initrd_fd = open_file(config->initrd, "initrd", &kernel->initrd_size, error);
        if (kernel->initrd_fd < 0) {
            return false;
        }
    }
    return (config->dtb == NULL || open_dtb(kernel, config->dtb, error)) &&
           place(kernel, config, error);
}

void kernel_close(struct kernel *kernel)
{
    if (kernel->kernel_fd >= 0) {
        close(kernel->kernel_fd);
    }
    if (kernel->initrd_fd >= 0) {
        close(kernel->initrd_fd);
    }
    free(kernel->dtb);
    *kernel = (struct kernel){.kernel_fd = -1, .initrd_fd = -1};
}

/* The user's tree keeps what it says about the machine; what this start is about is ours. */
static bool write_own_dtb(const struct kernel *kernel, const struct fdt_guest_config *fdt, void *to,
                          size_t *ret_size, struct error *error)
{
    int result = fdt_open_into(kernel->dtb, to, IMAGE_FDT_SIZE);
    int chosen;

    if (result != 0) {
        return error_set(error, EXIT_CODE_INPUT, "the device tree is broken: %s",
                         fdt_strerror(result));
    }
    chosen = fdt_path_offset(to, "/chosen");
    if (chosen == -FDT_ERR_NOTFOUND) {
        chosen = fdt_add_subnode(to, 0, "chosen");
    }
    result = chosen < 0 ? chosen : 0;
    if (result == 0 && fdt->bootargs != NULL) {
        result = fdt_setprop(to, chosen, "bootargs", fdt->bootargs,
                             (int)strlen(fdt->bootargs) + 1);
    }
    if (result == 0 && fdt->initrd_end != 0) {
        result = fdt_setprop_u64(to, chosen, "linux,initrd-start", fdt->initrd_start);
        result = result != 0 ? result
                             : fdt_setprop_u64(to, chosen, "linux,initrd-end", fdt->initrd_end);
    }
    if (result != 0) {
        return error_set(error, EXIT_CODE_INPUT, "the device tree's /chosen can't be written: %s",
                         fdt_strerror(result));
    }
    *ret_size = fdt_totalsize(to);
    return true;
}

static bool write_fdt(struct kernel *kernel, const struct vm_config *config,
                      const struct vm_memory *memory, struct fdt_guest_config *fdt,
                      struct error *error)
{
    void *to = memory_at(memory, kernel->place.fdt, IMAGE_FDT_SIZE);
    uint8_t entropy[FDT_GUEST_ENTROPY_SIZE];
    enum status status;

    fdt->bootargs = config->cmdline;
    fdt->entropy = getrandom(entropy, sizeof(entropy), 0) == sizeof(entropy) ? entropy : NULL;
    if (kernel->initrd_fd >= 0) {
        fdt->initrd_start = kernel->place.ramdisk;
        fdt->initrd_end = kernel->place.ramdisk + kernel->initrd_size;
    }
    if (kernel->dtb != NULL) {
        return write_own_dtb(kernel, fdt, to, &kernel->fdt_size, error);
    }
    status = fdt_guest_build(fdt, to, IMAGE_FDT_SIZE, &kernel->fdt_size);
    if (status != STATUS_OK) {
        return error_set(error, EXIT_CODE_USAGE,
                         "the guest's device tree can't be made (%s): is the command line longer "
                         "than %u bytes?", status_name(status), IMAGE_FDT_SIZE / 2);
    }
    return true;
}

bool kernel_load(struct kernel *kernel, const struct vm_config *config,
                 const struct vm_memory *memory, struct fdt_guest_config *fdt,
                 struct error *error)
{
    const struct image *image = &kernel->image;
    const struct image_placement *at = &kernel->place;

    return read_all(kernel->kernel_fd, memory_at(memory, at->kernel, image->file_size),
                    image->file_size, "kernel", error) &&
           (kernel->initrd_fd < 0 ||
            read_all(kernel->initrd_fd, memory_at(memory, at->ramdisk, kernel->initrd_size),
                     kernel->initrd_size, "initrd", error)) &&
           write_fdt(kernel, config, memory, fdt, error);
}
