/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting and listening by path. Invariant: only a socket is removed, and only after it refused
 * a connection.
 */
#include "vmm/base/unix_socket.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static bool address_of(const char *path, struct sockaddr_un *ret_address)
{
    size_t length = strlen(path);

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length >= sizeof(ret_address->sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(ret_address->sun_path, path, length);
    return true;
}

/* -1, with the errno of what failed. */
static int give_up(int fd)
{
    int saved = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = saved;
    return -1;
}

static bool set_patience(int fd, unsigned int seconds)
{
    struct timeval patience = {.tv_sec = seconds};

    return seconds == 0 ||
           (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0);
}

int unix_connect(const char *path, int flags, unsigned int patience_s)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd >= 0 && address_of(path, &address) && set_patience(fd, patience_s) &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        return fd;
    }
    return give_up(fd);
}

bool unix_remove_stale(const char *path)
{
    struct stat info;
    int fd;

    /* A connection to what isn't a socket is refused, too. */
    if (lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        errno = EEXIST;
        return false;
    }
    fd = unix_connect(path, SOCK_NONBLOCK, 0);
    if (fd >= 0 || errno != ECONNREFUSED) {
        give_up(fd);
        errno = EADDRINUSE;
        return false;
    }
    return unlink(path) == 0;
}

static bool bind_or_replace(int fd, const struct sockaddr_un *address)
{
    return bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
           (errno == EADDRINUSE && unix_remove_stale(address->sun_path) &&
            bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0);
}

int unix_listen(const char *path, mode_t mode, int backlog)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && address_of(path, &address) && fchmod(fd, mode) == 0 &&
        bind_or_replace(fd, &address) && listen(fd, backlog) == 0) {
        return fd;
    }
    return give_up(fd);
}
