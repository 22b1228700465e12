/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device, VIRTIO 1.2 section 5.10: stream connections between the guest and the host
 * (CID 2). Here are packets, credit and the table of connections; a back end has the sockets.
 *
 * Connections have a bound, and so has what is kept for each: the guest gets credit for
 * VIRTIO_VSOCK_BUFFER bytes that the back end can't pass on yet, and of host data nothing is kept
 * at all, it goes straight from the socket into the guest's buffers.
 *
 * Everything but the notification runs in one thread, the back end's; it is woken for it.
 */
#ifndef MACHINE_VIRTIO_VSOCK_H
#define MACHINE_VIRTIO_VSOCK_H

#include "machine/virtio/device.h"

#define VIRTIO_VSOCK_RX 0u
#define VIRTIO_VSOCK_TX 1u
#define VIRTIO_VSOCK_EVENT 2u
#define VIRTIO_VSOCK_QUEUES 3u
#define VIRTIO_VSOCK_QUEUE_SIZE 128u

#define VIRTIO_VSOCK_CONNECTIONS 128u
#define VIRTIO_VSOCK_RESETS 32u        /* answers to packets of no connection, waiting for room */
#define VIRTIO_VSOCK_BUFFER 65536u     /* what we promise to take, per connection */
#define VIRTIO_VSOCK_SEGMENTS 16u      /* of one packet's data */
#define VIRTIO_VSOCK_PACKET_MAX 65536u /* of the host's data in one packet */
#define VIRTIO_VSOCK_HOST_CID 2u

enum virtio_vsock_state {
    VIRTIO_VSOCK_FREE,
    VIRTIO_VSOCK_REQUESTED, /* by the host; the guest hasn't answered */
    VIRTIO_VSOCK_OPEN,
    VIRTIO_VSOCK_ENDING,    /* the guest has closed it; the back end still sends what it has */
    VIRTIO_VSOCK_HOST_GONE, /* the host's side is closed; the guest may still read */
};

struct virtio_vsock_connection {
    enum virtio_vsock_state state;
    uint32_t guest_port, host_port;
    void *socket; /* the back end's; NULL once closed */
    /* The guest's buffer, for what we send. */
    uint32_t peer_buffer, peer_forwarded, sent;
    /* Ours: received, passed on, and what the guest knows of that. */
    uint32_t received, forwarded, told;
    uint32_t pending;        /* control packets to send: a bit for each op */
    uint32_t shutdown_flags; /* of a pending SHUTDOWN */
    bool readable;           /* the socket may have data, or its end */
    bool host_ended;         /* no more data from the host */
    bool host_closed;        /* and it doesn't read either */
    bool guest_reads_no_more;
    bool asked_credit;
};

/* Called with the device's lock held; but for close() and wake() only from virtio_vsock_run(). */
struct virtio_vsock_backend {
    /* Whether this thread may call virtio_vsock_run(). */
    bool (*here)(void *backend);
    /* Have virtio_vsock_run() called soon. From any thread. */
    void (*wake)(void *backend);
    /* The guest connects to connection->host_port: set connection->socket. False: refused. */
    bool (*open)(void *backend, struct virtio_vsock_connection *connection);
    /* The guest has taken a connection of virtio_vsock_connect(). */
    void (*opened)(void *backend, struct virtio_vsock_connection *connection);
    /* Data of the guest, all of which has to be taken: no more is outstanding than
     * VIRTIO_VSOCK_BUFFER. Returns how many bytes are gone to the host already; for the rest
     * virtio_vsock_forwarded() is called later. */
    uint32_t (*send)(void *backend, struct virtio_vsock_connection *connection,
                     const struct virtio_segment *segments, uint32_t count);
    /* Data for the guest, at most what the segments hold: a number of bytes, or one of the enum. */
    int64_t (*receive)(void *backend, struct virtio_vsock_connection *connection,
                       const struct virtio_segment *segments, uint32_t count);
    /* The guest sends no more: tell the host, after the data. */
    void (*end_output)(void *backend, struct virtio_vsock_connection *connection);
    /* The connection is no more: forget connection->socket's connection. From any thread. What was
     * not sent yet may be dropped. */
    void (*close)(void *backend, struct virtio_vsock_connection *connection);
};

enum virtio_vsock_receive {
    VIRTIO_VSOCK_END = 0,
    VIRTIO_VSOCK_NOTHING = -1, /* now: virtio_vsock_readable() is called when there is */
    VIRTIO_VSOCK_FAILED = -2,
};

struct virtio_vsock_counters { /* packets and bytes; rx is what the guest receives */
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, connections, refused;
};

struct virtio_vsock_reset {
    uint32_t guest_port, host_port;
    uint16_t type;
};

struct virtio_vsock {
    struct virtio_device device;
    struct virtqueue queues[VIRTIO_VSOCK_QUEUES];
    uint64_t config_cid; /* the configuration space: guest_cid */
    const struct virtio_vsock_backend *backend_ops;
    void *backend;
    struct virtio_vsock_counters counters;
    uint32_t next_turn; /* the connection that may send first */
    uint32_t nr_resets;
    struct virtio_vsock_reset resets[VIRTIO_VSOCK_RESETS];
    uint32_t used; /* connections from here on have never been used */
    struct virtio_vsock_connection connections[VIRTIO_VSOCK_CONNECTIONS];
};

/* cid: the guest's, from 3. */
void virtio_vsock_init(struct virtio_vsock *vsock, uint32_t cid,
                       const struct virtio_vsock_backend *backend_ops, void *backend);

/* Serve both queues, within a bound; wakes the back end if there is more. Lock held, as for all
 * that follow; these only note what happened, virtio_vsock_run() then does it. */
void virtio_vsock_run(struct virtio_vsock *vsock);

/* The host connects to the guest's port. NULL: no device driver, or no room. host_port: any that
 * no other connection with this guest_port has. */
struct virtio_vsock_connection *virtio_vsock_connect(struct virtio_vsock *vsock,
                                                     uint32_t guest_port, uint32_t host_port,
                                                     void *socket);
void virtio_vsock_readable(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection);
/* The host neither sends nor receives any more; what it sent is still to be read. */
void virtio_vsock_hung_up(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection);
/* So many more bytes of the guest have gone to the host; `idle`: and none are left. */
void virtio_vsock_forwarded(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection,
                            uint32_t bytes, bool idle);
/* The socket failed: the guest is told, and the connection closed. */
void virtio_vsock_failed(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection);

#endif
