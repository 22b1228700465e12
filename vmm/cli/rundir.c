/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory itself, and claims in it. Whoever holds the lock of NAME.lock, and sees that the
 * file it locked is still the one of that name, owns all of NAME's files. Removing them comes
 * before letting go of the lock.
 */
#include "vmm/cli/rundir.h"
#include "vmm/base/unix_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME_MAX 80 /* of NAME.console */
#define RECORD_MAX 192
#define BACKLOG 4
#define CLAIM_TRIES 50 /* of 10 ms: someone else may just be tidying up the same name */

static bool join(char *ret_path, size_t size, const char *base, const char *rest,
                 struct error *error)
{
    if ((size_t)snprintf(ret_path, size, "%s%s", base, rest) < size) {
        return true;
    }
    return error_set(error, EXIT_CODE_HOST,
                     "the run directory's path, %.120s%s, is longer than %zu characters; set "
                     "BOTHY_RUN_DIR to a shorter one", base, rest, size - 1);
}

bool rundir_find_path(char *ret_path, size_t size, struct error *error)
{
    const char *chosen = getenv("BOTHY_RUN_DIR");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char own[32];

    if (chosen != NULL && chosen[0] != '\0') {
        return join(ret_path, size, chosen, "", error);
    }
    if (geteuid() == 0) {
        return join(ret_path, size, "/run/bothy", "", error);
    }
    if (runtime != NULL && runtime[0] == '/') {
        return join(ret_path, size, runtime, "/bothy", error);
    }
    snprintf(own, sizeof(own), "%u", (unsigned)geteuid());
    return join(ret_path, size, "/tmp/bothy-", own, error);
}

static bool check_directory(const struct rundir *dir, struct error *error)
{
    struct stat info;

    if (fstat(dir->fd, &info) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "the run directory %s", dir->path);
    }
    if (info.st_uid != geteuid()) {
        return error_set(error, EXIT_CODE_HOST,
                         "the run directory %s belongs to user %u, not to you; set BOTHY_RUN_DIR "
                         "to a directory of your own", dir->path, (unsigned)info.st_uid);
    }
    if ((info.st_mode & 022) != 0) {
        return error_set(error, EXIT_CODE_HOST,
                         "others may write to the run directory %s: chmod 700 %s", dir->path,
                         dir->path);
    }
    return true;
}

bool rundir_open(struct rundir *dir, bool create, struct error *error)
{
    dir->fd = -1;
    if (!rundir_find_path(dir->path, sizeof(dir->path), error)) {
        return false;
    }
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0 && errno == ENOENT) {
        if (!create) {
            return true;
        }
        if (mkdir(dir->path, 0700) != 0 && errno != EEXIST) {
            return error_set_errno(error, EXIT_CODE_HOST, errno,
                                   "can't make the run directory %s (BOTHY_RUN_DIR can name "
                                   "another)", dir->path);
        }
        dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (dir->fd < 0) {
        bool link = errno == ELOOP || errno == ENOTDIR;

        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "can't open the run directory %s%s (BOTHY_RUN_DIR can name another)",
                               dir->path, link ? ", which must be a directory, not a link" : "");
    }
    if (!check_directory(dir, error)) {
        rundir_close(dir);
        return false;
    }
    return true;
}

void rundir_close(struct rundir *dir)
{
    if (dir->fd >= 0) {
        close(dir->fd);
    }
    dir->fd = -1;
}

static void file_name(char ret_name[FILE_NAME_MAX], const char *name, const char *kind)
{
    snprintf(ret_name, FILE_NAME_MAX, "%.63s.%.8s", name, kind);
}

void rundir_socket_path(const struct rundir *dir, const char *name, const char *kind,
                        char *ret_path, size_t size)
{
    size_t length = (size_t)snprintf(ret_path, size, "%s/%s.%s", dir->path, name, kind);

    if (length >= size || length >= RUNDIR_PATH_MAX) {
        snprintf(ret_path, size, "/proc/self/fd/%d/%s.%s", dir->fd, name, kind);
    }
}

int rundir_listen(const struct rundir *dir, const char *name, const char *kind)
{
    char path[RUNDIR_PATH_MAX];

    rundir_socket_path(dir, name, kind, path, sizeof(path));
    return unix_listen(path, S_IRUSR | S_IWUSR, BACKLOG);
}

static void remove_files(const struct rundir *dir, const char *name)
{
    static const char *const kinds[] = {"api", "console", "lock"}; /* the lock last */
    char file[FILE_NAME_MAX];

    for (unsigned i = 0; i < 3; i++) {
        file_name(file, name, kinds[i]);
        unlinkat(dir->fd, file, 0);
    }
}

/* Whether the locked file is still the one of that name. */
static bool still_there(const struct rundir *dir, const char *file, int fd)
{
    struct stat mine;
    struct stat there;

    return fstat(fd, &mine) == 0 && fstatat(dir->fd, file, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

static void read_record(int fd, struct rundir_vm *vm)
{
    char text[RECORD_MAX];
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    int pid = 0;
    int vm_pid = 0;

    vm->api[0] = '\0';
    if (size > 0) {
        text[size] = '\0';
        if (sscanf(text, "%d %d %107[^\n]", &pid, &vm_pid, vm->api) < 2) {
            pid = 0;
        }
    }
    vm->pid = pid;
    vm->vm_pid = vm_pid;
}

enum claim_result { CLAIM_TAKEN, CLAIM_FREE, CLAIM_AGAIN, CLAIM_FAILED };

static enum claim_result try_claim(const struct rundir *dir, const char *file, int flags,
                                   int *ret_fd)
{
    int fd = openat(dir->fd, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);

    if (fd < 0) {
        return CLAIM_FAILED;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        *ret_fd = fd;
        return CLAIM_TAKEN;
    }
    if (!still_there(dir, file, fd)) {
        close(fd);
        return CLAIM_AGAIN;
    }
    *ret_fd = fd;
    return CLAIM_FREE;
}

/* The name is taken. A process that only tidies up lets go of it at once. */
static bool refuse_taken(const char *name, int fd, bool last, struct error *error)
{
    struct rundir_vm vm;

    read_record(fd, &vm);
    close(fd);
    if (!last && (vm.pid <= 0 || kill(vm.pid, 0) != 0)) {
        usleep(10000);
        return true;
    }
    return error_set(error, EXIT_CODE_NO_VM,
                     "a VM called %s runs already, as process %d; give this one another --name, or "
                     "end that one: bothy stop %s", name, (int)vm.pid, name);
}

bool rundir_claim(struct rundir *dir, const char *name, struct rundir_claim *ret_claim,
                  struct error *error)
{
    char file[FILE_NAME_MAX];
    int fd = -1;

    file_name(file, name, "lock");
    for (unsigned i = 0; i < CLAIM_TRIES; i++) {
        switch (try_claim(dir, file, O_CREAT, &fd)) {
        case CLAIM_FREE:
            *ret_claim = (struct rundir_claim){dir, fd, ""};
            snprintf(ret_claim->name, sizeof(ret_claim->name), "%s", name);
            /* Of an earlier VM of this name. */
            file_name(file, name, "api");
            unlinkat(dir->fd, file, 0);
            file_name(file, name, "console");
            unlinkat(dir->fd, file, 0);
            return true;
        case CLAIM_TAKEN:
            if (!refuse_taken(name, fd, i + 1 == CLAIM_TRIES, error)) {
                return false;
            }
            break;
        case CLAIM_AGAIN:
            break;
        case CLAIM_FAILED:
            return error_set_errno(error, EXIT_CODE_HOST, errno, "can't make %s/%s", dir->path,
                                   file);
        }
    }
    return error_set(error, EXIT_CODE_HOST, "%s/%s is made and removed again by others", dir->path,
                     file);
}

bool rundir_record(struct rundir_claim *claim, pid_t pid, pid_t vm_pid, const char *api)
{
    char text[RECORD_MAX];
    int length = snprintf(text, sizeof(text), "%d %d %s\n", (int)pid, (int)vm_pid,
                          api != NULL ? api : "");

    return ftruncate(claim->lock_fd, 0) == 0 &&
           pwrite(claim->lock_fd, text, (size_t)length, 0) == length;
}

void rundir_release(struct rundir_claim *claim)
{
    if (claim->lock_fd < 0) {
        return;
    }
    remove_files(claim->dir, claim->name);
    close(claim->lock_fd);
    claim->lock_fd = -1;
}

bool rundir_probe(const struct rundir *dir, const char *name, struct rundir_vm *ret_vm)
{
    char file[FILE_NAME_MAX];
    int fd = -1;

    file_name(file, name, "lock");
    switch (try_claim(dir, file, 0, &fd)) {
    case CLAIM_TAKEN:
        snprintf(ret_vm->name, sizeof(ret_vm->name), "%s", name);
        read_record(fd, ret_vm);
        close(fd);
        if (ret_vm->api[0] == '\0') {
            rundir_socket_path(dir, name, "api", ret_vm->api, sizeof(ret_vm->api));
        }
        /* Without a record it has only begun, or someone tidies up. */
        return ret_vm->pid > 0 && kill(ret_vm->pid, 0) == 0;
    case CLAIM_FREE:
        remove_files(dir, name);
        close(fd);
        return false;
    default:
        return false;
    }
}
