/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network without privileges: passt, a program beside us, is the guest's router and speaks to
 * the host through ordinary sockets. It gets one end of a socket pair.
 *
 * passt puts itself into the background once it is ready, so the exit status of what we start says
 * whether it is, and its messages until then say why not. From then on the socket is the bond: it
 * ends when we close it, however we end, and we see its end there. It leaves no files behind,
 * since it makes none.
 */
#include "vmm/devices/net_user.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASST "passt"
#define PASST_FD 3 /* its end of the socket pair; no other descriptor is inherited */
#define WORDS_MAX 2048
#define START_TIMEOUT_MS 10000

extern char **environ;

struct passt {
    const char *id;
    char path[PATH_MAX];
    pid_t pid;
    int said_fd; /* what it says on stderr, until it is ready */
};

/* The link is the stream's, plus the start that is still to be waited for. */
struct net_user {
    struct net_link_ops ops; /* first: user_of() */
    const struct net_link_ops *stream_ops;
    struct passt passt;
};

static bool find_program(char *path, struct error *error)
{
    const char *where = getenv("PATH");

    where = where != NULL ? where : "/usr/local/bin:/usr/bin:/bin";
    while (*where != '\0') {
        int length = (int)strcspn(where, ":");

        snprintf(path, PATH_MAX, "%.*s/" PASST, length, where);
        if (length > 0 && access(path, X_OK) == 0) {
            return true;
        }
        where += length + (where[length] == ':');
    }
    return error_set(error, EXIT_CODE_HOST,
                     "net user: the program passt is not on the PATH; install the package passt "
                     "(apt install passt), or use a tap");
}

static bool prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes,
                    int socket_fd, int said_fd)
{
    sigset_t all;
    sigset_t none;

    sigfillset(&all);
    sigemptyset(&none);
    /* A descriptor that is dup2()ed to itself would keep its CLOEXEC in older libraries: both are
     * above 3, see start(). */
    return posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0) == 0 &&
           posix_spawn_file_actions_adddup2(actions, 0, 1) == 0 &&
           posix_spawn_file_actions_adddup2(actions, said_fd, 2) == 0 &&
           posix_spawn_file_actions_adddup2(actions, socket_fd, PASST_FD) == 0 &&
           posix_spawn_file_actions_addclosefrom_np(actions, PASST_FD + 1) == 0 &&
           posix_spawnattr_setsigmask(attributes, &none) == 0 &&
           posix_spawnattr_setsigdefault(attributes, &all) == 0 &&
           posix_spawnattr_setflags(attributes,
                                    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0;
}

/* Option and value; passt doesn't take "--option=value" for all of them. */
static void make_arguments(const struct config_net *config, char *mtu, size_t mtu_size,
                           const char **arguments)
{
    uint32_t n = 0;

    arguments[n++] = PASST;
    arguments[n++] = "--quiet";
    arguments[n++] = "--fd";
    arguments[n++] = "3";
    if (config->mtu != 0) {
        snprintf(mtu, mtu_size, "%u", config->mtu);
        arguments[n++] = "--mtu";
        arguments[n++] = mtu;
    }
    if (config->forward != NULL) {
        arguments[n++] = "--tcp-ports";
        arguments[n++] = config->forward;
    }
    arguments[n] = NULL;
}

static bool spawn(struct passt *passt, const struct config_net *config, int socket_fd, int said_fd,
                  struct error *error)
{
    const char *arguments[10];
    char mtu[8];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result;

    make_arguments(config, mtu, sizeof(mtu), arguments);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    result = ENOMEM;
    if (prepare(&actions, &attributes, socket_fd, said_fd)) {
        result = posix_spawn(&passt->pid, passt->path, &actions, &attributes,
                             (char *const *)(uintptr_t)arguments, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result == 0 || error_set_errno(error, EXIT_CODE_HOST, result, "net user: %s can't be "
                                          "started", passt->path);
}

/* The same descriptor above those that passt has as 0 to 3. */
static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, PASST_FD + 1);

    close(fd);
    return moved;
}

static bool start(struct passt *passt, const struct config_net *config, const char *netns,
                  int socket_fd, struct error *error)
{
    int pipe_fds[2];
    int saved;
    bool started;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "net user: no pipe");
    }
    passt->said_fd = pipe_fds[0];
    pipe_fds[1] = move_up(pipe_fds[1]);
    started = net_ns_enter(netns, &saved, error);
    if (started) {
        started = spawn(passt, config, socket_fd, pipe_fds[1], error);
        net_ns_leave(saved);
    }
    close(pipe_fds[1]);
    if (!started) {
        close(passt->said_fd);
    }
    return started;
}

/* Its last line is the reason, unless it explains its usage; what it says of the system's log
 * being out of reach isn't meant for us. */
static void pick_reason(char *words, char *reason, size_t size)
{
    char *line = words;

    reason[0] = '\0';
    while (line != NULL && strncmp(line, "Usage:", 6) != 0) {
        char *end = strchr(line, '\n');

        if (end != NULL) {
            *end = '\0';
        }
        if (line[0] != '\0' && strncmp(line, "Failed to send", 14) != 0 &&
            strncmp(line, "Don't run as root", 17) != 0) {
            snprintf(reason, size, ": %.*s", (int)size - 3, line);
        }
        line = end != NULL ? end + 1 : NULL;
    }
}

/* What it says until it has put itself into the background, or ended: both close its end. False:
 * it does neither for a long time. */
static bool listen_to(const struct passt *passt, char *words)
{
    struct pollfd poll_fd = {.fd = passt->said_fd, .events = POLLIN};
    size_t length = 0;
    ssize_t size;

    do {
        if (poll(&poll_fd, 1, START_TIMEOUT_MS) == 0) {
            return false;
        }
        size = read(passt->said_fd, words + length, WORDS_MAX - 1 - length);
        length += size > 0 ? (size_t)size : 0;
        words[length] = '\0';
    } while ((size > 0 && length < WORDS_MAX - 1) || (size < 0 && errno == EINTR));
    return true;
}

/* What to do about it, where passt's words don't tell. */
static const char *remedy(const char *reason)
{
    return strstr(reason, "xternal interface not usable") != NULL
               ? "; this version of it needs a default route on the host (ip route)"
               : "";
}

static bool wait_ready(struct passt *passt, struct error *error)
{
    char words[WORDS_MAX] = "";
    char reason[NET_REASON_MAX];
    int status = 0;

    if (!listen_to(passt, words)) {
        kill(passt->pid, SIGKILL);
        strcpy(words, "it isn't ready after 10 seconds");
    }
    close(passt->said_fd);
    while (waitpid(passt->pid, &status, 0) < 0 && errno == EINTR) {
        /* a signal of ours; it is still starting */
    }
    passt->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    pick_reason(words, reason, sizeof(reason));
    return error_set(error, EXIT_CODE_HOST, "%s: passt refuses%s%s", passt->id, reason,
                     remedy(reason));
}

static struct net_user *user_of(struct net_link *link)
{
    return (struct net_user *)(uintptr_t)link->ops;
}

static bool user_ready(struct net_link *link, struct error *error)
{
    return wait_ready(&user_of(link)->passt, error);
}

static void user_destroy(struct net_link *link)
{
    struct net_user *user = user_of(link);
    struct error ignored = ERROR_NONE;

    user->stream_ops->destroy(link);
    if (user->passt.pid != 0) {
        kill(user->passt.pid, SIGKILL);
        wait_ready(&user->passt, &ignored);
    }
    free(user);
}

static bool make_pair(int *ret_ours, int *ret_its, struct error *error)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "net user: no socket");
    }
    *ret_ours = pair[0];
    *ret_its = move_up(pair[1]);
    return true;
}

struct net_link *net_user_create(const struct config_net *config, const char *netns,
                                 struct error *error)
{
    struct net_user *user = calloc(1, sizeof(*user));
    struct net_link *link;
    int ours = -1;
    int its = -1;
    bool started;

    if (user == NULL || !find_program(user->passt.path, error) ||
        !make_pair(&ours, &its, error)) {
        error_set(error, EXIT_CODE_HOST, "%s: no memory", config->id);
        free(user);
        return NULL;
    }
    user->passt.id = config->id;
    started = start(&user->passt, config, netns, its, error);
    close(its);
    link = started ? net_stream_create(ours, PASST) : NULL;
    if (link == NULL) {
        close(ours);
        if (started) {
            error_set(error, EXIT_CODE_HOST, "%s: no memory", config->id);
            wait_ready(&user->passt, error);
        }
        free(user);
        return NULL;
    }
    user->stream_ops = link->ops;
    user->ops = *link->ops;
    user->ops.ready = user_ready;
    user->ops.destroy = user_destroy;
    link->ops = &user->ops;
    return link;
}
