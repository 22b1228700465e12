/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces: what is opened in between, or started, is in the other one. Only the calling
 * thread moves.
 */
#include "vmm/devices/net.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool enter(const char *netns, int saved, struct error *error)
{
    char path[PATH_MAX];
    const char *where = netns;
    bool entered;
    int fd;

    if (strchr(netns, '/') == NULL) {
        snprintf(path, sizeof(path), "/run/netns/%s", netns);
        where = path;
    }
    fd = open(where, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(error, EXIT_CODE_INPUT, errno,
                               "netns %s: can't be opened (ip netns add NAME makes one)", netns);
    }
    entered = saved >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (!entered) {
        error_set_errno(error, errno == EPERM ? EXIT_CODE_HOST : EXIT_CODE_INPUT, errno,
                        "netns %s: can't be entered%s", netns,
                        errno == EPERM ? " (it takes CAP_SYS_ADMIN)" : "");
    }
    close(fd);
    return entered;
}

bool net_ns_enter(const char *netns, int *ret_saved, struct error *error)
{
    int saved;

    *ret_saved = -1;
    if (netns == NULL) {
        return true;
    }
    saved = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (!enter(netns, saved, error)) {
        net_ns_leave(saved);
        return false;
    }
    *ret_saved = saved;
    return true;
}

void net_ns_leave(int saved)
{
    if (saved >= 0) {
        if (setns(saved, CLONE_NEWNET) < 0) {
            _exit(EXIT_CODE_VMM); /* to go on in the wrong one would be worse */
        }
        close(saved);
    }
}
