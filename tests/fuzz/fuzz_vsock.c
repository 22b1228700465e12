/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device with host sockets that are counters. Whatever both sides do: credit is kept,
 * each socket is closed exactly once, a free place has none.
 */
#include "bothy/bits.h"
#include "machine/virtio/vsock.h"
#include "virtio_program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKETS 256u

struct host_socket {
    struct virtio_vsock_connection *connection; /* NULL: closed, or not in use */
    uint32_t kept;                              /* of the guest's bytes */
    uint32_t data;                              /* for the guest */
    bool ended, blocked;
};

struct rig {
    struct virtio_vsock vsock;
    struct host_socket sockets[SOCKETS];
    uint32_t next_port;
    bool refuse, elsewhere, awake;
};

static void require(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_vsock: %s\n", what);
        abort();
    }
}

static struct host_socket *new_socket(struct rig *rig)
{
    for (uint32_t i = 0; i < SOCKETS; i++) {
        if (rig->sockets[i].connection == NULL) {
            rig->sockets[i] = (struct host_socket){.kept = 0};
            return &rig->sockets[i];
        }
    }
    abort(); /* there are more than connections */
}

static bool here(void *backend)
{
    return !((struct rig *)backend)->elsewhere;
}

static void wake(void *backend)
{
    ((struct rig *)backend)->awake = true;
}

static bool open_socket(void *backend, struct virtio_vsock_connection *connection)
{
    struct rig *rig = backend;
    struct host_socket *socket;

    if (rig->refuse) {
        return false;
    }
    socket = new_socket(rig);
    socket->connection = connection;
    connection->socket = socket;
    return true;
}

static void check_socket(const struct virtio_vsock_connection *connection)
{
    const struct host_socket *socket = connection->socket;

    require(socket != NULL && socket->connection == connection, "a socket that isn't this one's");
}

static void opened(void *backend, struct virtio_vsock_connection *connection)
{
    (void)backend;
    check_socket(connection);
}

static uint32_t send_data(void *backend, struct virtio_vsock_connection *connection,
                          const struct virtio_segment *segments, uint32_t count)
{
    struct host_socket *socket = connection->socket;
    volatile uint8_t sum = 0;
    uint32_t size = 0;

    (void)backend;
    check_socket(connection);
    require(count > 0 && count <= VIRTIO_VSOCK_SEGMENTS, "a number of segments");
    for (uint32_t i = 0; i < count; i++) {
        sum = (uint8_t)(sum + segments[i].base[0] + segments[i].base[segments[i].size - 1]);
        size += segments[i].size;
    }
    if (!socket->blocked) {
        return size;
    }
    socket->kept += size;
    require(socket->kept <= VIRTIO_VSOCK_BUFFER, "more than was promised");
    return 0;
}

static int64_t receive(void *backend, struct virtio_vsock_connection *connection,
                       const struct virtio_segment *segments, uint32_t count)
{
    struct host_socket *socket = connection->socket;
    uint32_t got = 0;

    (void)backend;
    check_socket(connection);
    require(count > 0 && count <= VIRTIO_VSOCK_SEGMENTS, "a number of segments");
    for (uint32_t i = 0; i < count && socket->data > 0; i++) {
        uint32_t part = MIN(segments[i].size, socket->data);

        memset(segments[i].base, 0x77, part);
        socket->data -= part;
        got += part;
    }
    return got > 0 ? (int64_t)got : socket->ended ? VIRTIO_VSOCK_END : VIRTIO_VSOCK_NOTHING;
}

static void end_output(void *backend, struct virtio_vsock_connection *connection)
{
    (void)backend;
    check_socket(connection);
}

static void close_socket(void *backend, struct virtio_vsock_connection *connection)
{
    struct host_socket *socket = connection->socket;

    (void)backend;
    check_socket(connection);
    socket->connection = NULL;
}

static const struct virtio_vsock_backend backend_ops = {
    here, wake, open_socket, opened, send_data, receive, end_output, close_socket};

static void host_connects(struct rig *rig, uint8_t port)
{
    struct host_socket *socket = new_socket(rig);

    socket->connection = virtio_vsock_connect(&rig->vsock, port & 7, rig->next_port++, socket);
}

static void step_socket(struct rig *rig, struct host_socket *socket, uint8_t argument, size_t size)
{
    uint32_t kept = socket->kept;

    if (socket->connection == NULL) {
        return;
    }
    switch (argument % 8) {
    case 0:
        socket->data += (uint32_t)size * 64;
        virtio_vsock_readable(&rig->vsock, socket->connection);
        break;
    case 1:
        socket->ended = true;
        virtio_vsock_readable(&rig->vsock, socket->connection);
        break;
    case 2:
        socket->ended = true;
        virtio_vsock_hung_up(&rig->vsock, socket->connection);
        break;
    case 3:
        virtio_vsock_failed(&rig->vsock, socket->connection);
        break;
    case 4:
        socket->blocked = true;
        break;
    case 5:
        socket->blocked = false;
        socket->kept = 0;
        if (kept > 0) {
            virtio_vsock_forwarded(&rig->vsock, socket->connection, kept, true);
        }
        break;
    default:
        kept = MIN(kept, (uint32_t)size * 16);
        socket->kept -= kept;
        if (kept > 0) {
            virtio_vsock_forwarded(&rig->vsock, socket->connection, kept, socket->kept == 0);
        }
        break;
    }
}

static void step(void *context, uint8_t argument, const uint8_t *data, size_t size)
{
    struct rig *rig = context;

    spin_lock(&rig->vsock.device.lock);
    if (argument >= 0xf0) {
        host_connects(rig, argument);
    } else if (argument >= 0xe0) {
        rig->refuse = argument & 1;
        rig->elsewhere = argument & 2;
    } else {
        step_socket(rig, &rig->sockets[argument / 8 % 16], argument, size);
    }
    rig->awake = false;
    virtio_vsock_run(&rig->vsock);
    spin_unlock(&rig->vsock.device.lock);
}

static void check(void *context)
{
    struct rig *rig = context;

    for (uint32_t i = 0; i < VIRTIO_VSOCK_CONNECTIONS; i++) {
        const struct virtio_vsock_connection *connection = &rig->vsock.connections[i];
        const struct host_socket *socket = connection->socket;

        require(connection->state != VIRTIO_VSOCK_FREE || socket == NULL, "a lost socket");
        if (connection->state == VIRTIO_VSOCK_FREE) {
            continue;
        }
        require(connection->received - connection->forwarded <= VIRTIO_VSOCK_BUFFER, "credit");
        if (socket != NULL) {
            check_socket(connection);
            require(connection->received - connection->forwarded == socket->kept, "bytes got lost");
        }
    }
    for (uint32_t i = 0; i < SOCKETS; i++) {
        require(rig->sockets[i].connection == NULL ||
                    rig->sockets[i].connection->socket == &rig->sockets[i],
                "a socket of no connection");
    }
}

/* A packet, mostly of a connection that there is, else with few ports. Offsets of section 5.10.6.
 */
static uint32_t header(void *context, uint16_t queue, const uint8_t *data, size_t size,
                       uint8_t *header, uint32_t room)
{
    uint8_t bytes[8] = {0};
    uint32_t guest_port, host_port, length, credit;
    const struct rig *rig = context;

    (void)room;
    if (queue != VIRTIO_VSOCK_TX) {
        return 0;
    }
    memcpy(bytes, data, MIN(size, sizeof(bytes)));
    guest_port = bytes[0] & 7;
    host_port = bytes[1] < 0x80 ? bytes[1] & 7u : 0x40000000u + (bytes[1] & 15);
    if (bytes[1] >= 0x20 && bytes[1] < 0xf0 && rig->vsock.used > 0) {
        guest_port = rig->vsock.connections[bytes[0] % rig->vsock.used].guest_port;
        host_port = rig->vsock.connections[bytes[0] % rig->vsock.used].host_port;
    }
    length = (uint32_t)bytes[2] << (bytes[3] & 7);
    credit = (uint32_t)bytes[5] << (bytes[6] & 15);
    header[0] = bytes[7] == 1 ? 1 : 3; /* CIDs, mostly right */
    header[8] = bytes[7] == 2 ? 1 : 2;
    memcpy(header + 16, &guest_port, 4);
    memcpy(header + 20, &host_port, 4);
    memcpy(header + 24, &length, 4);
    header[28] = bytes[7] == 3 ? 2 : 1;                          /* type */
    header[30] = MIN(bytes[4] & 15, 8) == 8 ? 5 : bytes[4] & 15; /* op, often RW */
    header[32] = bytes[4] >> 4;                                  /* flags */
    memcpy(header + 36, &credit, 4);
    header[40] = bytes[6] >> 4;
    return 44;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig;
    const struct virtio_program program = {.device = &rig.vsock.device,
                                           .step = step,
                                           .check = check,
                                           .header = header,
                                           .context = &rig};

    memset(&rig, 0, sizeof(rig));
    rig.next_port = 0x40000000;
    virtio_vsock_init(&rig.vsock, 3, &backend_ops, &rig);
    return virtio_program_run(&program, data, size);
}
