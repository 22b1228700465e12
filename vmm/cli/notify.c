/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager's protocol; see notify.h. */
#include "vmm/cli/notify.h"
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_US 1000u

void notify_send(struct notify *notify, const char *state)
{
    size_t size = strlen(state);

    if (notify->fd >= 0 && write(notify->fd, state, size) != (ssize_t)size) {
        log_debug("the service manager doesn't listen: %s", strerror(errno));
    }
}

static void still_alive(struct loop_timer *timer)
{
    struct notify *notify = CONTAINER_OF(timer, struct notify, timer);

    notify_send(notify, "WATCHDOG=1");
    loop_timer_set(notify->loop, timer, loop_now_ns() + notify->interval_ns);
}

/* The manager knows the supervisor, our parent. */
static bool is_for_us(const char *pid)
{
    long wanted = pid != NULL ? strtol(pid, NULL, 10) : 0;

    return pid == NULL || wanted == (long)getppid() || wanted == (long)getpid();
}

static void start_watchdog(struct notify *notify)
{
    const char *text = getenv("WATCHDOG_USEC");
    unsigned long long period_us = text != NULL ? strtoull(text, NULL, 10) : 0;

    if (period_us == 0 || period_us > UINT64_MAX / NS_PER_US ||
        !is_for_us(getenv("WATCHDOG_PID"))) {
        return;
    }
    notify->interval_ns = period_us * NS_PER_US / 2;
    notify->timer = (struct loop_timer){LOOP_TIMER_OFF, still_alive, NULL};
    loop_timer_set(notify->loop, &notify->timer, loop_now_ns() + notify->interval_ns);
}

void notify_open(struct notify *notify, struct loop *loop)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path != NULL ? strlen(path) : 0;

    *notify = (struct notify){.fd = -1, .loop = loop};
    if (length == 0) {
        return;
    }
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(address.sun_path)) {
        log_warning("NOTIFY_SOCKET is \"%.120s\", neither a path nor an abstract name", path);
        return;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->fd < 0 ||
        connect(notify->fd, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0) {
        log_warning("can't reach the service manager at %s: %s", path, strerror(errno));
        notify_close(notify);
        return;
    }
    start_watchdog(notify);
}

void notify_close(struct notify *notify)
{
    if (notify->interval_ns != 0) {
        loop_timer_remove(notify->loop, &notify->timer);
        notify->interval_ns = 0;
    }
    if (notify->fd >= 0) {
        close(notify->fd);
    }
    notify->fd = -1;
}
