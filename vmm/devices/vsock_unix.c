/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock by Unix sockets. Each host socket is watched for edges; what it has is asked for when the
 * guest has room, so no event is ever switched off and on. What the guest sends goes out at once;
 * only what a socket doesn't take is kept, in a buffer that exists only then.
 *
 * A connection may be closed by a vCPU's thread (a reset of the device), but only the main thread
 * may touch the loop: a closed socket loses its connection and waits in `dead` for the main thread.
 *
 * Invariants, under the device's lock: socket->connection == NULL or connection->socket == socket;
 * a socket is in exactly one of the lists `alive` and `dead`; nr_sockets counts both.
 */
#include "bothy/bits.h"
#include "machine/virtio/vsock.h"
#include "vmm/api/metrics.h"
#include "vmm/base/log.h"
#include "vmm/base/unix_socket.h"
#include "vmm/devices/vsock.h"
#include "vmm/jail/supervisor.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINE_MAX_SIZE 32u /* "CONNECT 4294967295\n" has 19 */
#define FIRST_HOST_PORT 0x40000000u
#define BACKLOG 64
#define PATH_SIZE 128 /* more than a socket's path may have */

enum socket_state {
    SOCKET_GREETING, /* a host program hasn't sent its CONNECT yet */
    SOCKET_WAITING,  /* for the guest to accept */
    SOCKET_OPEN,
};

struct vsock_unix;

struct vsock_socket {
    struct loop_source source;
    struct vsock_unix *owner;
    struct vsock_socket *next; /* in `alive` or `dead` */
    enum socket_state state;
    struct virtio_vsock_connection *connection;
    bool end_output; /* the guest sends no more: after the kept bytes shut down */
    uint8_t *kept;   /* VIRTIO_VSOCK_BUFFER bytes, a ring, or NULL */
    uint32_t kept_at, nr_kept;
};

struct vsock_unix {
    struct vmm_device base;
    struct virtio_vsock virtio;
    struct loop *loop;
    struct loop_work work;
    struct loop_source listener;
    const char *path;
    pthread_t main_thread;
    bool paused;
    bool connect_directly; /* there is no supervisor: we aren't jailed */
    uint32_t next_host_port;
    uint32_t nr_sockets;
    struct vsock_socket *alive, *dead;
};

static struct vsock_unix *of_base(struct vmm_device *base)
{
    return CONTAINER_OF(base, struct vsock_unix, base);
}

/* ---- Sockets ---- */

static void bury(struct vsock_socket *socket)
{
    struct vsock_unix *vsock = socket->owner;
    struct vsock_socket **link = &vsock->alive;

    while (*link != socket) {
        link = &(*link)->next;
    }
    *link = socket->next;
    socket->next = vsock->dead;
    vsock->dead = socket;
    socket->connection = NULL;
    loop_post(vsock->loop, &vsock->work);
}

/* Main thread. */
static void reap(struct vsock_unix *vsock)
{
    while (vsock->dead != NULL) {
        struct vsock_socket *socket = vsock->dead;

        vsock->dead = socket->next;
        vsock->nr_sockets--;
        loop_remove(vsock->loop, &socket->source);
        close(socket->source.fd);
        free(socket->kept);
        free(socket);
    }
}

static void socket_ready(struct loop_source *source, uint32_t events);

/* Owns fd, also on failure. */
static struct vsock_socket *adopt(struct vsock_unix *vsock, int fd, enum socket_state state)
{
    struct vsock_socket *socket = NULL;

    if (vsock->nr_sockets < 2 * VIRTIO_VSOCK_CONNECTIONS) {
        socket = calloc(1, sizeof(*socket));
    }
    if (socket == NULL) {
        close(fd);
        return NULL;
    }
    socket->source =
        (struct loop_source){fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, socket_ready};
    socket->owner = vsock;
    socket->state = state;
    if (!loop_add(vsock->loop, &socket->source)) {
        close(fd);
        free(socket);
        return NULL;
    }
    socket->next = vsock->alive;
    vsock->alive = socket;
    vsock->nr_sockets++;
    return socket;
}

static bool is_temporary(int error)
{
    return error == EAGAIN || error == EINTR;
}

/* ---- From the guest to the host ---- */

/* To the socket what it takes; a socket that is broken takes everything: an event tells of it. */
static uint32_t write_out(const struct vsock_socket *socket, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)count};
    size_t all = 0;
    ssize_t sent;

    do {
        sent = sendmsg(socket->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return (uint32_t)sent;
    }
    if (errno == EAGAIN) {
        return 0;
    }
    for (int i = 0; i < count; i++) {
        all += parts[i].iov_len;
    }
    return (uint32_t)all;
}

static void keep(struct vsock_socket *socket, const uint8_t *bytes, uint32_t size)
{
    while (size > 0) {
        uint32_t end = (socket->kept_at + socket->nr_kept) % VIRTIO_VSOCK_BUFFER;
        uint32_t part = MIN(size, VIRTIO_VSOCK_BUFFER - end);

        memcpy(socket->kept + end, bytes, part);
        socket->nr_kept += part;
        bytes += part;
        size -= part;
    }
}

static uint32_t backend_send(void *backend, struct virtio_vsock_connection *connection,
                             const struct virtio_segment *segments, uint32_t count)
{
    struct vsock_socket *socket = connection->socket;
    struct iovec parts[VIRTIO_VSOCK_SEGMENTS] = {{NULL, 0}};
    uint32_t sent = 0;
    uint32_t skip;

    (void)backend;
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){segments[i].base, segments[i].size};
    }
    if (socket->nr_kept == 0) {
        sent = write_out(socket, parts, (int)count);
    }
    skip = sent;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t gone = MIN(skip, segments[i].size);

        skip -= gone;
        if (gone == segments[i].size) {
            continue;
        }
        if (socket->kept == NULL) {
            socket->kept = malloc(VIRTIO_VSOCK_BUFFER);
        }
        if (socket->kept == NULL) {
            shutdown(socket->source.fd, SHUT_RDWR); /* which an event tells, and ends all */
            return sent + segments[i].size - gone;
        }
        keep(socket, segments[i].base + gone, segments[i].size - gone);
    }
    return sent;
}

static void send_kept(struct vsock_socket *socket)
{
    uint32_t total = 0;

    while (socket->nr_kept > 0) {
        uint32_t first = MIN(socket->nr_kept, VIRTIO_VSOCK_BUFFER - socket->kept_at);
        struct iovec parts[2] = {{socket->kept + socket->kept_at, first},
                                 {socket->kept, socket->nr_kept - first}};
        uint32_t sent = write_out(socket, parts, parts[1].iov_len > 0 ? 2 : 1);

        if (sent == 0) {
            break;
        }
        socket->kept_at = (socket->kept_at + sent) % VIRTIO_VSOCK_BUFFER;
        socket->nr_kept -= sent;
        total += sent;
    }
    if (socket->nr_kept == 0) {
        free(socket->kept);
        socket->kept = NULL;
        socket->kept_at = 0;
        if (socket->end_output) {
            shutdown(socket->source.fd, SHUT_WR);
        }
    }
    if (total > 0) {
        virtio_vsock_forwarded(&socket->owner->virtio, socket->connection, total,
                               socket->nr_kept == 0);
    }
}

static void backend_end_output(void *backend, struct virtio_vsock_connection *connection)
{
    struct vsock_socket *socket = connection->socket;

    (void)backend;
    socket->end_output = true;
    if (socket->nr_kept == 0) {
        shutdown(socket->source.fd, SHUT_WR);
    }
}

/* ---- From the host to the guest ---- */

static int64_t backend_receive(void *backend, struct virtio_vsock_connection *connection,
                               const struct virtio_segment *segments, uint32_t count)
{
    struct vsock_socket *socket = connection->socket;
    struct iovec parts[VIRTIO_VSOCK_SEGMENTS];
    ssize_t got;

    (void)backend;
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){segments[i].base, segments[i].size};
    }
    do {
        got = readv(socket->source.fd, parts, (int)count);
    } while (got < 0 && errno == EINTR);
    if (got >= 0) {
        return got;
    }
    return errno == EAGAIN ? VIRTIO_VSOCK_NOTHING : VIRTIO_VSOCK_FAILED;
}

/* ---- Connections ---- */

static void backend_opened(void *backend, struct virtio_vsock_connection *connection)
{
    struct vsock_socket *socket = connection->socket;
    char line[LINE_MAX_SIZE];
    int size = snprintf(line, sizeof(line), "OK %u\n", connection->host_port);

    (void)backend;
    socket->state = SOCKET_OPEN;
    if (send(socket->source.fd, line, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) != size) {
        shutdown(socket->source.fd, SHUT_RDWR); /* it has gone: an event tells */
    }
}

static int connect_directly(const char *prefix, uint32_t port)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof(path), "%s_%u", prefix, port);
    return unix_connect(path, SOCK_NONBLOCK, 0);
}

static bool backend_open(void *backend, struct virtio_vsock_connection *connection)
{
    struct vsock_unix *vsock = backend;
    struct vsock_socket *socket;
    int fd = vsock->connect_directly ? connect_directly(vsock->path, connection->host_port)
                                     : supervisor_connect(vsock->path, connection->host_port);

    socket = fd >= 0 ? adopt(vsock, fd, SOCKET_OPEN) : NULL;
    if (socket == NULL) {
        return false;
    }
    socket->connection = connection;
    connection->socket = socket;
    return true;
}

static void backend_close(void *backend, struct virtio_vsock_connection *connection)
{
    (void)backend;
    bury(connection->socket);
}

static bool backend_here(void *backend)
{
    struct vsock_unix *vsock = backend;

    return pthread_equal(pthread_self(), vsock->main_thread) && !vsock->paused;
}

static void backend_wake(void *backend)
{
    struct vsock_unix *vsock = backend;

    loop_post(vsock->loop, &vsock->work);
}

static const struct virtio_vsock_backend backend_ops = {
    .here = backend_here,
    .wake = backend_wake,
    .open = backend_open,
    .opened = backend_opened,
    .send = backend_send,
    .receive = backend_receive,
    .end_output = backend_end_output,
    .close = backend_close,
};

/* "CONNECT <port>\n" and nothing else. */
static bool parse_connect(const char *line, size_t size, uint32_t *ret_port)
{
    static const char word[] = "CONNECT ";
    uint64_t port = 0;
    size_t at = sizeof(word) - 1;

    if (size <= sizeof(word) || memcmp(line, word, at) != 0 || line[size - 1] != '\n') {
        return false;
    }
    for (; at < size - 1; at++) {
        if (line[at] < '0' || line[at] > '9') {
            return false;
        }
        port = port * 10 + (uint64_t)(line[at] - '0');
    }
    *ret_port = (uint32_t)port;
    return port <= UINT32_MAX;
}

/* Read as far as the end of the line; what follows is the guest's. */
static void greet(struct vsock_socket *socket)
{
    struct vsock_unix *vsock = socket->owner;
    char line[LINE_MAX_SIZE];
    uint32_t port;
    ssize_t got = recv(socket->source.fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
    const char *end = got > 0 ? memchr(line, '\n', (size_t)got) : NULL;

    if (end == NULL) {
        if (got == 0 || got == (ssize_t)sizeof(line) || (got < 0 && !is_temporary(errno))) {
            bury(socket);
        }
        return;
    }
    got = recv(socket->source.fd, line, (size_t)(end - line) + 1, MSG_DONTWAIT);
    if (got > 0 && parse_connect(line, (size_t)got, &port)) {
        vsock->next_host_port = MAX(vsock->next_host_port + 1, FIRST_HOST_PORT);
        socket->connection =
            virtio_vsock_connect(&vsock->virtio, port, vsock->next_host_port, socket);
    }
    if (socket->connection == NULL) {
        bury(socket);
        return;
    }
    socket->state = SOCKET_WAITING;
}

static void socket_event(struct vsock_socket *socket, uint32_t events)
{
    struct virtio_vsock *virtio = &socket->owner->virtio;

    if (socket->state == SOCKET_GREETING) {
        greet(socket);
    }
    /* Each step may end the connection. */
    if (socket->connection != NULL && (events & (EPOLLIN | EPOLLRDHUP))) {
        virtio_vsock_readable(virtio, socket->connection);
    }
    if (socket->connection != NULL && (events & EPOLLOUT)) {
        send_kept(socket);
    }
    if (socket->connection != NULL && (events & EPOLLERR)) {
        virtio_vsock_failed(virtio, socket->connection);
    }
    if (socket->connection != NULL && (events & EPOLLHUP)) {
        virtio_vsock_hung_up(virtio, socket->connection);
    }
}

static void run(struct vsock_unix *vsock)
{
    if (!vsock->paused) {
        virtio_vsock_run(&vsock->virtio);
    }
    reap(vsock);
}

static void socket_ready(struct loop_source *source, uint32_t events)
{
    struct vsock_socket *socket = CONTAINER_OF(source, struct vsock_socket, source);
    struct vsock_unix *vsock = socket->owner;

    spin_lock(&vsock->virtio.device.lock);
    if (socket->state == SOCKET_GREETING || socket->connection != NULL) {
        socket_event(socket, events);
    }
    run(vsock);
    spin_unlock(&vsock->virtio.device.lock);
}

static void woken(struct loop_work *work)
{
    struct vsock_unix *vsock = CONTAINER_OF(work, struct vsock_unix, work);

    spin_lock(&vsock->virtio.device.lock);
    run(vsock);
    spin_unlock(&vsock->virtio.device.lock);
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
    struct vsock_unix *vsock = CONTAINER_OF(source, struct vsock_unix, listener);
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0) {
        return;
    }
    spin_lock(&vsock->virtio.device.lock);
    adopt(vsock, fd, SOCKET_GREETING); /* an edge comes at once if it has sent something */
    spin_unlock(&vsock->virtio.device.lock);
}

/* ---- The device ---- */

static void pause_device(struct vmm_device *base, bool paused)
{
    struct vsock_unix *vsock = of_base(base);

    spin_lock(&vsock->virtio.device.lock);
    vsock->paused = paused;
    run(vsock);
    spin_unlock(&vsock->virtio.device.lock);
}

static void metrics(struct vmm_device *base, struct metrics *metrics)
{
    struct vsock_unix *vsock = of_base(base);
    struct virtio_vsock_counters counters;

    spin_lock(&vsock->virtio.device.lock);
    counters = vsock->virtio.counters;
    spin_unlock(&vsock->virtio.device.lock);
    metrics_counter(metrics, "bothy_vsock_rx_packets", "Packets to the guest.", "",
                    counters.rx_packets);
    metrics_counter(metrics, "bothy_vsock_rx_bytes", "Bytes of data to the guest.", "",
                    counters.rx_bytes);
    metrics_counter(metrics, "bothy_vsock_tx_packets", "Packets from the guest.", "",
                    counters.tx_packets);
    metrics_counter(metrics, "bothy_vsock_tx_bytes", "Bytes of data from the guest.", "",
                    counters.tx_bytes);
    metrics_counter(metrics, "bothy_vsock_connections", "Connections that were established.", "",
                    counters.connections);
    metrics_counter(metrics, "bothy_vsock_refused",
                    "Connections of the guest that nobody in the host took.", "", counters.refused);
}

static void destroy(struct vmm_device *base)
{
    struct vsock_unix *vsock = of_base(base);

    while (vsock->alive != NULL) {
        bury(vsock->alive);
    }
    reap(vsock);
    loop_cancel(vsock->loop, &vsock->work);
    if (vsock->listener.fd >= 0) {
        loop_remove(vsock->loop, &vsock->listener);
        close(vsock->listener.fd);
        if (vsock->connect_directly) { /* else the supervisor does it */
            unlink(vsock->path);
        }
    }
    free(vsock);
}

static bool open_listener(struct vsock_unix *vsock, struct error *error)
{
    int fd = unix_listen(vsock->path, ACCESSPERMS, BACKLOG);

    vsock->listener = (struct loop_source){fd, EPOLLIN, listener_ready};
    if (fd >= 0 && loop_add(vsock->loop, &vsock->listener)) {
        return true;
    }
    error_set_errno(error, EXIT_CODE_INPUT, errno, "vsock: can't listen on '%s'%s", vsock->path,
                    errno == EEXIST ? ", which isn't a socket" : "");
    if (fd >= 0) {
        close(fd);
    }
    vsock->listener.fd = -1; /* what isn't ours isn't removed */
    return false;
}

struct vmm_device *vsock_unix_create(struct vm *vm, const struct config_vsock *config,
                                     struct error *error)
{
    struct vsock_unix *vsock = calloc(1, sizeof(*vsock));

    if (vsock == NULL) {
        error_set(error, EXIT_CODE_HOST, "vsock: no memory");
        return NULL;
    }
    vsock->loop = vm_get_loop(vm);
    vsock->work.run = woken;
    vsock->path = config->path;
    vsock->main_thread = pthread_self();
    virtio_vsock_init(&vsock->virtio, config->cid, &backend_ops, vsock);
    vsock->base = (struct vmm_device){.id = "vsock",
                                      .kind = "vsock",
                                      .virtio = &vsock->virtio.device,
                                      .pause = pause_device,
                                      .metrics = metrics,
                                      .destroy = destroy};
    vsock->listener.fd = -1;
    vsock->connect_directly = !supervisor_allow_connect(config->path);
    if (!open_listener(vsock, error)) {
        destroy(&vsock->base);
        return NULL;
    }
    return &vsock->base;
}
