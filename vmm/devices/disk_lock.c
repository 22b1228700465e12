/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock on a disk's medium, and who has it if not we. The kernel doesn't tell the owner of an
 * open file description lock, but each process's fdinfo in /proc shows the locks of its
 * descriptors. That is looked through only after a refusal.
 */
#include "vmm/base/log.h"
#include "vmm/devices/disk_file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TRIES_MAX 25u
#define TRY_US 20000u

struct owner {
    long pid; /* 0: not known */
    char name[32];
};

/* Whether this fdinfo shows a lock on that file: "lock:\t1: OFDLCK ADVISORY WRITE -1 fe:01:1234 0
 * EOF", with device numbers in hexadecimal and the inode in decimal. */
static bool shows_lock(int directory, const char *name, const char *what)
{
    char text[1024];
    ssize_t size;
    char *line;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    line = strstr(text, "lock:");
    return line != NULL && strstr(line, what) != NULL;
}

static bool process_has_lock(const char *pid, const char *what)
{
    char path[64];
    struct dirent *entry;
    bool found = false;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
    directory = opendir(path);
    if (directory == NULL) {
        return false;
    }
    while (!found && (entry = readdir(directory)) != NULL) {
        found = entry->d_name[0] != '.' && shows_lock(dirfd(directory), entry->d_name, what);
    }
    closedir(directory);
    return found;
}

static void read_name(struct owner *owner)
{
    char path[64];
    ssize_t size;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/comm", owner->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    size = fd < 0 ? 0 : read(fd, owner->name, sizeof(owner->name) - 1);
    if (fd >= 0) {
        close(fd);
    }
    owner->name[size > 0 ? size : 0] = '\0';
    owner->name[strcspn(owner->name, "\n")] = '\0';
}

static void find_owner(int fd, struct owner *ret_owner)
{
    struct owner owner = {0, ""};
    struct stat status;
    char what[64];
    struct dirent *entry;
    DIR *processes;

    *ret_owner = owner;
    if (fstat(fd, &status) < 0 || (processes = opendir("/proc")) == NULL) {
        return;
    }
    snprintf(what, sizeof(what), " %02x:%02x:%llu ", major(status.st_dev), minor(status.st_dev),
             (unsigned long long)status.st_ino);
    while (owner.pid == 0 && (entry = readdir(processes)) != NULL) {
        long pid = atol(entry->d_name);

        if (pid > 0 && process_has_lock(entry->d_name, what)) {
            owner.pid = pid;
            read_name(&owner);
        }
    }
    closedir(processes);
    *ret_owner = owner;
}

static bool refuse(const struct owner *owner, bool readonly, const char *path, const char *id,
                   struct error *error)
{
    char who[80] = "another process, which can't be told from here,";

    if (owner->pid == getpid()) {
        snprintf(who, sizeof(who), "this VM");
    } else if (owner->pid != 0) {
        snprintf(who, sizeof(who), "process %ld (%s)", owner->pid, owner->name);
    }
    return error_set(error, EXIT_CODE_INPUT,
                     "disk %s: %s has %s open%s; one VM may write to an image, or several read it "
                     "with readonly=on",
                     id, who, path, readonly ? " for writing" : "");
}

bool disk_lock_take(int fd, bool readonly, const char *path, const char *id, struct error *error)
{
    struct flock lock = {
        .l_type = (short)(readonly ? F_RDLCK : F_WRLCK),
        .l_whence = SEEK_SET,
    };

    struct owner owner;
    int result = fcntl(fd, F_OFD_SETLK, &lock);

    /* What a killed process had under way may keep the file open a little longer than it lives. */
    for (uint32_t tries = 0; result != 0 && (errno == EAGAIN || errno == EACCES); tries++) {
        find_owner(fd, &owner);
        if (owner.pid != 0 || tries == TRIES_MAX) {
            return refuse(&owner, readonly, path, id, error);
        }
        usleep(TRY_US);
        result = fcntl(fd, F_OFD_SETLK, &lock);
    }
    if (result != 0) {
        log_warning("disk %s: %s can't be locked (%s): nothing keeps another VM from writing to it",
                    id, path, strerror(errno));
    }
    return true;
}
