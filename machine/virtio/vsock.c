/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock. Transmit packets are taken one by one and change a connection; what we have to say
 * waits as bits in the connections (and in a short list of resets for what has none) until the
 * guest gives receive buffers. Transmission stops while that list is full, so a guest that gives no
 * buffers stops itself.
 *
 * Invariants: received - forwarded <= VIRTIO_VSOCK_BUFFER; sent - peer_forwarded <= peer_buffer at
 * the time of sending; a connection with state FREE has no socket.
 */
#include "bothy/bits.h"
#include "machine/virtio/vsock_parts.h"

#define PACKETS_PER_RUN 256u /* of each queue */

static struct virtio_vsock *vsock_of(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct virtio_vsock, device);
}

/* ---- The table ---- */

static struct virtio_vsock_connection *find(struct virtio_vsock *vsock, uint32_t guest_port,
                                            uint32_t host_port)
{
    for (uint32_t i = 0; i < vsock->used; i++) {
        struct virtio_vsock_connection *connection = &vsock->connections[i];

        if (connection->state != VIRTIO_VSOCK_FREE && connection->guest_port == guest_port &&
            connection->host_port == host_port) {
            return connection;
        }
    }
    return NULL;
}

static struct virtio_vsock_connection *create(struct virtio_vsock *vsock, uint32_t guest_port,
                                              uint32_t host_port)
{
    struct virtio_vsock_connection *connection = vsock->connections;
    const struct virtio_vsock_connection *end = connection + VIRTIO_VSOCK_CONNECTIONS;

    while (connection < end && connection->state != VIRTIO_VSOCK_FREE) {
        connection++;
    }
    if (connection == end) {
        return NULL;
    }
    *connection =
        (struct virtio_vsock_connection){.guest_port = guest_port, .host_port = host_port};
    vsock->used = MAX(vsock->used, (uint32_t)(connection - vsock->connections) + 1);
    return connection;
}

void virtio_vsock_close_socket(struct virtio_vsock *vsock,
                               struct virtio_vsock_connection *connection)
{
    if (connection->socket != NULL) {
        vsock->backend_ops->close(vsock->backend, connection);
        connection->socket = NULL;
    }
}

void virtio_vsock_drop(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection)
{
    virtio_vsock_close_socket(vsock, connection);
    connection->state = VIRTIO_VSOCK_FREE;
}

static void answer_reset(struct virtio_vsock *vsock, uint32_t guest_port, uint32_t host_port,
                         uint16_t type)
{
    /* virtio_vsock_run() takes no packet without room for this. */
    vsock->resets[vsock->nr_resets++] = (struct virtio_vsock_reset){guest_port, host_port, type};
}

void virtio_vsock_reset_connection(struct virtio_vsock *vsock,
                                   struct virtio_vsock_connection *connection)
{
    virtio_vsock_close_socket(vsock, connection);
    connection->state = VIRTIO_VSOCK_ENDING;
    connection->pending = BIT(OP_RST);
}

/* ---- What the guest sends ---- */

uint32_t virtio_vsock_slice(const struct virtio_segment *from, uint32_t count, uint32_t skip,
                            uint32_t size, struct virtio_segment *ret_to)
{
    uint32_t parts = 0;

    for (uint32_t i = 0; i < count && size > 0 && parts < VIRTIO_VSOCK_SEGMENTS; i++) {
        uint32_t part;

        if (skip >= from[i].size) {
            skip -= from[i].size;
            continue;
        }
        part = MIN(from[i].size - skip, size);
        ret_to[parts++] = (struct virtio_segment){from[i].base + skip, part};
        size -= part;
        skip = 0;
    }
    return parts;
}

static void take_request(struct virtio_vsock *vsock, const struct vsock_header *header)
{
    struct virtio_vsock_connection *connection = create(vsock, header->src_port, header->dst_port);

    if (connection == NULL) {
        vsock->counters.refused++;
        answer_reset(vsock, header->src_port, header->dst_port, TYPE_STREAM);
        return;
    }
    connection->state = VIRTIO_VSOCK_OPEN;
    connection->peer_buffer = header->buf_alloc;
    connection->peer_forwarded = header->fwd_cnt;
    if (!vsock->backend_ops->open(vsock->backend, connection)) {
        vsock->counters.refused++;
        virtio_vsock_reset_connection(vsock, connection);
        return;
    }
    vsock->counters.connections++;
    connection->pending = BIT(OP_RESPONSE);
    connection->readable = true;
}

/* The guest hears of room again before it has used up what it knows of. */
static void forwarded(struct virtio_vsock_connection *connection, uint32_t bytes)
{
    connection->forwarded += bytes;
    if (connection->forwarded - connection->told >= VIRTIO_VSOCK_BUFFER / 4) {
        connection->pending |= BIT(OP_CREDIT_UPDATE);
    }
}

static void take_data(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection,
                      const struct virtio_chain *chain, uint32_t size)
{
    struct virtio_segment segments[VIRTIO_VSOCK_SEGMENTS];
    uint32_t done = 0;

    if (connection->state != VIRTIO_VSOCK_OPEN || connection->host_closed ||
        size > VIRTIO_VSOCK_BUFFER - (connection->received - connection->forwarded)) {
        virtio_vsock_reset_connection(
            vsock, connection); /* nobody reads it, or it was sent without credit */
        return;
    }
    connection->received += size;
    vsock->counters.tx_bytes += size;
    while (done < size) {
        uint32_t parts =
            virtio_vsock_slice(chain->segments, chain->nr_out,
                               (uint32_t)sizeof(struct vsock_header) + done, size - done, segments);

        forwarded(connection,
                  vsock->backend_ops->send(vsock->backend, connection, segments, parts));
        for (uint32_t i = 0; i < parts; i++) {
            done += segments[i].size;
        }
    }
}

static void take_shutdown(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection,
                          uint32_t flags)
{
    if (flags & SHUTDOWN_RECEIVE) {
        connection->guest_reads_no_more = true;
    }
    if ((flags & SHUTDOWN_SEND) && connection->socket != NULL) {
        vsock->backend_ops->end_output(vsock->backend, connection);
    }
    if ((flags & SHUTDOWN_BOTH) != SHUTDOWN_BOTH) {
        return;
    }
    /* Closed. The reset says that all was passed on; it waits for what the back end still has. */
    if (connection->socket == NULL || connection->received == connection->forwarded) {
        virtio_vsock_reset_connection(vsock, connection);
    } else {
        connection->state = VIRTIO_VSOCK_ENDING;
        connection->pending = 0;
    }
}

static void take_for_connection(struct virtio_vsock *vsock,
                                struct virtio_vsock_connection *connection,
                                const struct vsock_header *header, const struct virtio_chain *chain)
{
    /* What the guest can take: with each packet. Freed more than was sent: it is lying, and the
     * subtraction in credit() makes of that only that it gets more data than it has room for. */
    connection->peer_buffer = header->buf_alloc;
    connection->peer_forwarded = header->fwd_cnt;
    connection->asked_credit = false;
    switch (header->op) {
    case OP_RESPONSE:
        if (connection->state == VIRTIO_VSOCK_REQUESTED) {
            connection->state = VIRTIO_VSOCK_OPEN;
            connection->readable = true;
            vsock->counters.connections++;
            vsock->backend_ops->opened(vsock->backend, connection);
        } else {
            virtio_vsock_reset_connection(vsock, connection);
        }
        break;
    case OP_RST:
        virtio_vsock_drop(vsock, connection);
        break;
    case OP_SHUTDOWN:
        take_shutdown(vsock, connection, header->flags);
        break;
    case OP_RW:
        take_data(vsock, connection, chain, header->len);
        break;
    case OP_CREDIT_UPDATE:
        break;
    case OP_CREDIT_REQUEST:
        connection->pending |= BIT(OP_CREDIT_UPDATE);
        break;
    default: /* a second REQUEST too */
        virtio_vsock_reset_connection(vsock, connection);
        break;
    }
}

static void take_packet(struct virtio_vsock *vsock, const struct virtio_chain *chain)
{
    struct vsock_header header;
    struct virtio_vsock_connection *connection;

    if (virtio_chain_read(chain, 0, &header, sizeof(header)) != sizeof(header) ||
        header.len > chain->out_size - sizeof(header) || header.src_cid != vsock->config_cid ||
        header.dst_cid != VIRTIO_VSOCK_HOST_CID) {
        return; /* from nobody, or to nobody: dropped */
    }
    vsock->counters.tx_packets++;
    connection = find(vsock, header.src_port, header.dst_port);
    if (header.type != TYPE_STREAM || (connection == NULL && header.op != OP_REQUEST)) {
        if (header.op != OP_RST) {
            answer_reset(vsock, header.src_port, header.dst_port, header.type);
        }
    } else if (connection == NULL) {
        take_request(vsock, &header);
    } else {
        take_for_connection(vsock, connection, &header, chain);
    }
}

/* ---- The queues ---- */

enum progress { DONE, MORE, BROKE };

static enum progress run_tx(struct virtio_vsock *vsock)
{
    struct virtqueue *queue = &vsock->queues[VIRTIO_VSOCK_TX];
    struct virtio_chain chain;
    uint32_t left = PACKETS_PER_RUN;

    do {
        virtqueue_notifications(queue, false);
        for (;;) {
            enum virtqueue_result result;

            if (left == 0 || vsock->nr_resets == VIRTIO_VSOCK_RESETS) {
                return MORE; /* which run_rx() finds room for, or the guest's next notification */
            }
            result = virtqueue_pop(queue, &chain);
            if (result != VIRTQUEUE_OK) {
                if (result == VIRTQUEUE_BROKEN) {
                    return BROKE;
                }
                break;
            }
            left--;
            take_packet(vsock, &chain);
            virtqueue_push(queue, chain.id, chain.slots, 0);
        }
    } while (virtqueue_notifications(queue, true));
    return DONE;
}

static enum progress run_rx(struct virtio_vsock *vsock)
{
    struct virtqueue *queue = &vsock->queues[VIRTIO_VSOCK_RX];
    struct virtio_chain chain;

    for (uint32_t left = PACKETS_PER_RUN; virtio_vsock_wants_to_speak(vsock); left--) {
        enum virtqueue_result result;

        if (left == 0) {
            return MORE;
        }
        result = virtqueue_pop(queue, &chain);
        if (result == VIRTQUEUE_EMPTY && virtqueue_notifications(queue, true)) {
            continue; /* one came while we asked to be told */
        }
        if (result == VIRTQUEUE_EMPTY) {
            return DONE;
        }
        if (result == VIRTQUEUE_BROKEN || chain.in_size <= sizeof(struct vsock_header)) {
            return BROKE;
        }
        if (!virtio_vsock_speak(vsock, &chain)) {
            virtqueue_unpop(queue, &chain);
        }
    }
    virtqueue_notifications(queue, false);
    return DONE;
}

void virtio_vsock_run(struct virtio_vsock *vsock)
{
    struct virtio_device *device = &vsock->device;
    enum progress tx, rx;
    uint32_t resets;

    if (!virtio_device_is_running(device)) {
        return;
    }
    tx = run_tx(vsock);
    resets = vsock->nr_resets;
    rx = tx == BROKE ? BROKE : run_rx(vsock);
    if (rx == BROKE) {
        virtio_device_broken(device);
        return;
    }
    virtio_device_used(device, VIRTIO_VSOCK_TX);
    virtio_device_used(device, VIRTIO_VSOCK_RX);
    /* Without receive buffers there is nothing to do until the guest notifies that queue. */
    if (rx == MORE ||
        (tx == MORE && (resets < VIRTIO_VSOCK_RESETS || vsock->nr_resets < VIRTIO_VSOCK_RESETS))) {
        vsock->backend_ops->wake(vsock->backend);
    }
}

static void notify(struct virtio_device *device, uint16_t queue)
{
    struct virtio_vsock *vsock = vsock_of(device);

    if (queue == VIRTIO_VSOCK_EVENT) {
        return; /* buffers for events that we never have */
    }
    if (vsock->backend_ops->here(vsock->backend)) {
        virtio_vsock_run(vsock);
    } else {
        vsock->backend_ops->wake(vsock->backend);
    }
}

static bool reset(struct virtio_device *device)
{
    struct virtio_vsock *vsock = vsock_of(device);

    for (uint32_t i = 0; i < vsock->used; i++) {
        virtio_vsock_drop(vsock, &vsock->connections[i]);
    }
    vsock->used = vsock->next_turn = vsock->nr_resets = 0;
    return true;
}

/* ---- The back end's side ---- */

struct virtio_vsock_connection *virtio_vsock_connect(struct virtio_vsock *vsock,
                                                     uint32_t guest_port, uint32_t host_port,
                                                     void *socket)
{
    struct virtio_vsock_connection *connection;

    if (!virtio_device_is_running(&vsock->device) || find(vsock, guest_port, host_port) != NULL) {
        return NULL;
    }
    connection = create(vsock, guest_port, host_port);
    if (connection != NULL) {
        connection->state = VIRTIO_VSOCK_REQUESTED;
        connection->socket = socket;
        connection->pending = BIT(OP_REQUEST);
    }
    return connection;
}

void virtio_vsock_readable(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection)
{
    (void)vsock;
    connection->readable = !connection->host_ended;
}

void virtio_vsock_hung_up(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection)
{
    connection->host_closed = true;
    if (connection->state == VIRTIO_VSOCK_REQUESTED || connection->state == VIRTIO_VSOCK_ENDING) {
        virtio_vsock_reset_connection(vsock, connection);
    } else if (connection->host_ended) {
        virtio_vsock_host_ended(vsock, connection); /* it had half-closed before */
    } else {
        connection->readable = true; /* up to the end, which says the rest */
    }
}

void virtio_vsock_forwarded(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection,
                            uint32_t bytes, bool idle)
{
    forwarded(connection, bytes);
    if (connection->state == VIRTIO_VSOCK_ENDING && idle) {
        virtio_vsock_reset_connection(vsock, connection);
    }
}

void virtio_vsock_failed(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection)
{
    virtio_vsock_reset_connection(vsock, connection);
}

static const struct virtio_device_ops device_ops = {.reset = reset, .notify = notify};

void virtio_vsock_init(struct virtio_vsock *vsock, uint32_t cid,
                       const struct virtio_vsock_backend *backend_ops, void *backend)
{
    vsock->backend_ops = backend_ops;
    vsock->backend = backend;
    vsock->config_cid = cid;
    virtio_device_init(&vsock->device, VIRTIO_ID_VSOCK, &device_ops, vsock->queues,
                       VIRTIO_VSOCK_QUEUES, VIRTIO_VSOCK_QUEUE_SIZE, 0);
    vsock->device.config = &vsock->config_cid;
    vsock->device.config_size = sizeof(vsock->config_cid);
}
