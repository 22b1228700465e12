/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side waits in one poll for three things: signals (a signalfd, with everything
 * it passes on or waits for blocked), requests of the VM, and nothing else. A request is one
 * datagram with a path that was allowed before the seal, the answer is one with a descriptor.
 *
 * A VM that was taken over may ask, but only for what its owner named: sockets PREFIX_<number> and
 * plain files beside its disks that are called like them. Not any file there: an image often lies
 * in a home directory or in /dev, and .bashrc or the host's own disk would be a way out.
 */
#include "vmm/jail/supervisor.h"
#include "vmm/base/log.h"
#include "vmm/base/program.h"
#include "vmm/base/unix_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_MS 1000
#define ALLOWED_MAX 24
#define PATH_SIZE 256
#define PORT_DIGITS 11 /* "_4294967295" */

enum request_kind { ALLOW_CONNECT, ALLOW_OPEN, SEAL, CONNECT, OPEN };

struct request {
    uint32_t kind;
    uint32_t port;
    uint8_t readonly, direct; /* no bool: whoever took the VM over sends what he likes */
    char path[PATH_SIZE];
};

struct answer {
    int32_t error; /* errno, or 0 and, for CONNECT and OPEN, a descriptor with it */
};

struct allowed {
    uint32_t kind; /* ALLOW_CONNECT or ALLOW_OPEN */
    bool readonly;
    char path[PATH_SIZE];
};

struct supervisor {
    pid_t child;
    int socket;
    int signals;
    bool sealed;
    uint32_t nr_allowed;
    struct allowed allowed[ALLOWED_MAX];
};

/* The VM's end of the socket; a process runs one VM. */
static int vm_socket = -1;

static bool may_connect(const struct supervisor *s, const char *path)
{
    for (uint32_t i = 0; i < s->nr_allowed; i++) {
        if (s->allowed[i].kind == ALLOW_CONNECT && strcmp(s->allowed[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* The part of a path behind its directory. */
static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* In the directory of this disk, by the same words, and with the end of its name; one without an
 * end (.img, .raw) begins like it. */
static bool is_beside(const char *disk, const char *path)
{
    const char *old = name_in(disk);
    const char *new = name_in(path);
    const char *end = strrchr(old, '.');
    const char *new_end = strrchr(new, '.');

    if (old - disk != new - path || memcmp(disk, path, (size_t)(old - disk)) != 0 ||
        new[0] == '.' || new[0] == '\0') {
        return false;
    }
    return end != NULL ? new_end != NULL && strcmp(end, new_end) == 0
                       : strncmp(old, new, strlen(old)) == 0;
}

static bool may_open(const struct supervisor *s, const char *path, bool readonly)
{
    for (uint32_t i = 0; i < s->nr_allowed; i++) {
        const struct allowed *entry = &s->allowed[i];

        if (entry->kind == ALLOW_OPEN && (readonly || !entry->readonly) &&
            is_beside(entry->path, path)) {
            return true;
        }
    }
    return false;
}

static int do_connect(const struct supervisor *s, const struct request *request, int *ret_fd)
{
    char path[sizeof(request->path) + PORT_DIGITS];

    if (!may_connect(s, request->path)) {
        return EACCES;
    }
    snprintf(path, sizeof(path), "%s_%u", request->path, request->port);
    /* Non-blocking: a listener with a full backlog is refused instead of waited for. */
    *ret_fd = unix_connect(path, SOCK_NONBLOCK, 0);
    return *ret_fd >= 0 ? 0 : errno;
}

static int do_open(const struct supervisor *s, const struct request *request, int *ret_fd)
{
    bool readonly = request->readonly != 0;
    struct flock lock = {.l_type = (short)(readonly ? F_RDLCK : F_WRLCK)};
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    struct stat info;
    int fd;

    if (!may_open(s, request->path, readonly)) {
        return EACCES;
    }
    flags |= (readonly ? O_RDONLY : O_RDWR) | (request->direct != 0 ? O_DIRECT : 0);
    fd = open(request->path, flags);
    if (fd < 0) {
        return errno;
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return EINVAL;
    }
    /* The lock goes with the descriptor; the VM itself could not take it: disk_lock.c. */
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES)) {
        close(fd);
        return EBUSY;
    }
    *ret_fd = fd;
    return 0;
}

static int do_allow(struct supervisor *s, const struct request *request)
{
    struct allowed *entry = &s->allowed[s->nr_allowed];

    if (s->sealed) {
        return EPERM;
    }
    for (uint32_t i = 0; i < s->nr_allowed; i++) { /* a start that failed is made again */
        if (s->allowed[i].kind == request->kind &&
            s->allowed[i].readonly == (request->readonly != 0) &&
            strcmp(s->allowed[i].path, request->path) == 0) {
            return 0;
        }
    }
    if (s->nr_allowed == ALLOWED_MAX) {
        return ENOSPC;
    }
    entry->kind = request->kind;
    entry->readonly = request->readonly != 0;
    memcpy(entry->path, request->path, PATH_SIZE);
    s->nr_allowed++;
    return 0;
}

static void send_answer(int socket, int error, int fd)
{
    struct answer answer = {error};
    struct iovec part = {&answer, sizeof(answer)};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    }
    /* If the VM is gone its end is noticed elsewhere. */
    if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        log_debug("supervisor: answer: %s", strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void serve_request(struct supervisor *s)
{
    struct request request;
    ssize_t size = recv(s->socket, &request, sizeof(request), MSG_DONTWAIT);
    int fd = -1;
    int error = EINVAL;

    if (size <= 0) {
        if (size == 0) { /* the VM's end is closed: SIGCHLD comes */
            close(s->socket);
            s->socket = -1;
        }
        return;
    }
    request.path[PATH_SIZE - 1] = '\0';
    if ((size_t)size != sizeof(request)) {
        error = EINVAL;
    } else if (request.kind == CONNECT) {
        error = do_connect(s, &request, &fd);
    } else if (request.kind == OPEN) {
        error = do_open(s, &request, &fd);
    } else if (request.kind == SEAL) {
        s->sealed = true;
        error = 0;
    } else if (request.kind == ALLOW_CONNECT || request.kind == ALLOW_OPEN) {
        error = do_allow(s, &request);
    }
    send_answer(s->socket, error, fd);
}

/* What a terminal's keys send goes to the VM as well, it is in the same process group: only what
 * was sent to the supervisor itself is passed on. Returns true when the VM has ended. */
static bool serve_signal(struct supervisor *s, int *ret_status)
{
    struct signalfd_siginfo info;

    if (read(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return false;
    }
    if (info.ssi_signo == SIGCHLD) {
        return waitpid(s->child, ret_status, WNOHANG) == s->child;
    }
    if (info.ssi_code <= 0) {
        kill(s->child, (int)info.ssi_signo);
    }
    return false;
}

static int wait_for_end(struct supervisor *s)
{
    int status = 0;
    bool ended = false;
    int patience_ms = IDLE_MS;

    while (!ended) {
        struct pollfd fds[2] = {{s->signals, POLLIN, 0}, {s->socket, POLLIN, 0}};
        int count = poll(fds, 2, patience_ms);

        if (count == 0) {
            program_forget(); /* most of it was for the start */
            patience_ms = -1;
        }
        if (count <= 0) {
            continue;
        }
        if (fds[1].revents != 0) {
            serve_request(s);
        }
        if (fds[0].revents != 0) {
            ended = serve_signal(s, &status);
        }
    }
    return status;
}

/* The vsock's own socket, which lies at the prefix itself and whose name the VM couldn't remove.
 * One on which somebody listens is another VM's. */
static void remove_sockets(const struct supervisor *s)
{
    for (uint32_t i = 0; i < s->nr_allowed; i++) {
        if (s->allowed[i].kind == ALLOW_CONNECT) {
            unix_remove_stale(s->allowed[i].path);
        }
    }
}

static int explain_status(int status)
{
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    if (WTERMSIG(status) == SIGSYS) {
        log_error("the jail ended this VM");
        return EXIT_CODE_VMM;
    }
    log_error("the VM was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return EXIT_CODE_SIGNAL + WTERMSIG(status);
}

static void passed_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGCHLD);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    sigaddset(ret_set, SIGQUIT);
    sigaddset(ret_set, SIGUSR1);
    sigaddset(ret_set, SIGUSR2);
}

static bool become_vm(pid_t parent, int sockets[2], const sigset_t *before)
{
    /* Without its supervisor a VM would leave things behind. The parent may be gone already. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent) {
        _exit(EXIT_CODE_SIGNAL + SIGKILL);
    }
    sigprocmask(SIG_SETMASK, before, NULL);
    close(sockets[0]);
    vm_socket = sockets[1];
    return true;
}

bool supervisor_fork(const struct supervisor_hooks *hooks, int *ret_code, struct error *error)
{
    struct supervisor s = {.sealed = false};
    int sockets[2];
    sigset_t set;
    sigset_t before;
    pid_t parent = getpid();

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "can't make a socket");
    }
    passed_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    s.child = fork();
    if (s.child == 0) {
        return become_vm(parent, sockets, &before);
    }
    close(sockets[1]);
    s.socket = sockets[0];
    s.signals = s.child > 0 ? signalfd(-1, &set, SFD_CLOEXEC) : -1;
    if (s.child < 0 || s.signals < 0) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "can't make a process for the VM");
        if (s.child > 0) {
            kill(s.child, SIGKILL);
        }
        close(s.socket);
        return false;
    }
    *ret_code = explain_status(wait_for_end(&s));
    remove_sockets(&s);
    if (s.socket >= 0) {
        close(s.socket);
    }
    close(s.signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    hooks->cleanup(hooks->argument, *ret_code);
    return false;
}

/* Returns 0 or errno; with an answer that has a descriptor, *ret_fd. */
static int ask(enum request_kind kind, const char *path, uint32_t port, bool readonly, bool direct,
               int *ret_fd)
{
    struct request request = {kind, port, readonly, direct, ""};
    struct answer answer = {EIO};
    struct iovec part = {&answer, sizeof(answer)};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    size_t length = strlen(path);

    if (vm_socket < 0) {
        return ENOTCONN;
    }
    if (length >= PATH_SIZE) {
        return ENAMETOOLONG;
    }
    memcpy(request.path, path, length + 1);
    if (send(vm_socket, &request, sizeof(request), MSG_NOSIGNAL) < 0 ||
        recvmsg(vm_socket, &message, MSG_CMSG_CLOEXEC) < 0) {
        return errno;
    }
    if (answer.error == 0 && ret_fd != NULL) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        if (header == NULL || header->cmsg_type != SCM_RIGHTS) {
            return EIO;
        }
        memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
    }
    return answer.error;
}

bool supervisor_allow_connect(const char *prefix)
{
    return ask(ALLOW_CONNECT, prefix, 0, false, false, NULL) == 0;
}

bool supervisor_allow_open(const char *disk, bool readonly)
{
    return ask(ALLOW_OPEN, disk, 0, readonly, false, NULL) == 0;
}

void supervisor_seal(void)
{
    (void)ask(SEAL, "", 0, false, false, NULL);
}

int supervisor_connect(const char *prefix, uint32_t port)
{
    int fd = -1;

    errno = ask(CONNECT, prefix, port, false, false, &fd);
    return fd;
}

int supervisor_open(const char *path, bool readonly, bool direct)
{
    int fd = -1;

    errno = ask(OPEN, path, 0, readonly, direct, &fd);
    return fd;
}
