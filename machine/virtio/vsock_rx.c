/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest receives: control packets first, then data, connection by connection in turn. Data
 * goes from the socket straight into the guest's buffer, so nothing is read that can't be given.
 */
#include "bothy/bits.h"
#include "machine/virtio/vsock_parts.h"

static uint32_t credit(const struct virtio_vsock_connection *connection)
{
    uint32_t outstanding = connection->sent - connection->peer_forwarded;

    return outstanding < connection->peer_buffer ? connection->peer_buffer - outstanding : 0;
}

/* Whether there is data to ask the socket for, as far as we know. Without credit the guest is asked
 * for some, once. */
static bool has_data(struct virtio_vsock_connection *connection)
{
    if (connection->state != VIRTIO_VSOCK_OPEN || !connection->readable) {
        return false;
    }
    if (credit(connection) > 0) {
        return true;
    }
    if (!connection->asked_credit) {
        connection->asked_credit = true;
        connection->pending |= BIT(OP_CREDIT_REQUEST);
    }
    return false;
}

static void fill_header(const struct virtio_vsock *vsock, struct vsock_header *header, uint32_t op,
                        uint32_t guest_port, uint32_t host_port)
{
    *header = (struct vsock_header){.src_cid = VIRTIO_VSOCK_HOST_CID,
                                    .dst_cid = vsock->config_cid,
                                    .src_port = host_port,
                                    .dst_port = guest_port,
                                    .type = TYPE_STREAM,
                                    .op = (uint16_t)op};
}

/* The header at the chain's beginning, and the chain to the guest. */
static void give(struct virtio_vsock *vsock, const struct virtio_chain *chain,
                 const struct vsock_header *header)
{
    virtio_chain_write(chain, 0, header, sizeof(*header));
    virtqueue_push(&vsock->queues[VIRTIO_VSOCK_RX], chain->id, chain->slots,
                   (uint32_t)sizeof(*header) + header->len);
    vsock->counters.rx_packets++;
    vsock->counters.rx_bytes += header->len;
}

static void give_for_connection(struct virtio_vsock *vsock,
                                struct virtio_vsock_connection *connection,
                                const struct virtio_chain *chain, struct vsock_header *header)
{
    header->buf_alloc = VIRTIO_VSOCK_BUFFER;
    header->fwd_cnt = connection->forwarded;
    connection->told = connection->forwarded;
    connection->pending &= ~(uint32_t)BIT(OP_CREDIT_UPDATE); /* each packet is one */
    give(vsock, chain, header);
}

static void give_control(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection,
                         const struct virtio_chain *chain)
{
    uint32_t op = bits_first(connection->pending); /* RESPONSE comes before what follows it */
    struct vsock_header header;

    fill_header(vsock, &header, op, connection->guest_port, connection->host_port);
    header.flags = op == OP_SHUTDOWN ? connection->shutdown_flags : 0;
    connection->pending &= ~(uint32_t)BIT(op);
    give_for_connection(vsock, connection, chain, &header);
    if (op == OP_RST) {
        virtio_vsock_drop(vsock, connection);
    }
}

void virtio_vsock_host_ended(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection)
{
    connection->readable = false;
    connection->host_ended = true;
    connection->pending |= BIT(OP_SHUTDOWN);
    connection->shutdown_flags = SHUTDOWN_SEND;
    if (connection->host_closed) {
        connection->shutdown_flags = SHUTDOWN_BOTH;
        connection->state = VIRTIO_VSOCK_HOST_GONE;
        virtio_vsock_close_socket(vsock, connection);
    }
}

/* Data from the socket into the chain; false if there is none and the chain isn't used. */
static bool give_data(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection,
                      const struct virtio_chain *chain)
{
    struct virtio_segment segments[VIRTIO_VSOCK_SEGMENTS];
    uint32_t most = chain->in_size - (uint32_t)sizeof(struct vsock_header);
    struct vsock_header header;
    uint32_t parts;
    int64_t got;

    most = MIN(most, VIRTIO_VSOCK_PACKET_MAX);
    most = MIN(most, credit(connection));
    parts = virtio_vsock_slice(chain->segments + chain->nr_out, chain->nr_in, sizeof(header), most,
                               segments);
    got = vsock->backend_ops->receive(vsock->backend, connection, segments, parts);
    if (got == VIRTIO_VSOCK_NOTHING) {
        connection->readable = false;
    } else if (got == VIRTIO_VSOCK_END) {
        virtio_vsock_host_ended(vsock, connection);
    } else if (got < 0) {
        virtio_vsock_reset_connection(vsock, connection);
    } else if (connection->guest_reads_no_more) {
        virtio_vsock_reset_connection(vsock, connection); /* as TCP does: data for a closed end */
    } else {
        fill_header(vsock, &header, OP_RW, connection->guest_port, connection->host_port);
        header.len = (uint32_t)got;
        connection->sent += (uint32_t)got;
        give_for_connection(vsock, connection, chain, &header);
        return true;
    }
    return false;
}

/* The next connection that has something to say, in turn; NULL if none. */
static struct virtio_vsock_connection *next_speaker(struct virtio_vsock *vsock)
{
    for (uint32_t i = 0; i < vsock->used; i++) {
        uint32_t at = (vsock->next_turn + i) % vsock->used;
        struct virtio_vsock_connection *connection = &vsock->connections[at];

        if (connection->state != VIRTIO_VSOCK_FREE &&
            (has_data(connection) || connection->pending != 0)) {
            return connection;
        }
    }
    return NULL;
}

bool virtio_vsock_speak(struct virtio_vsock *vsock, const struct virtio_chain *chain)
{
    struct virtio_vsock_connection *connection;

    if (vsock->nr_resets > 0) {
        const struct virtio_vsock_reset *reset = &vsock->resets[--vsock->nr_resets];
        struct vsock_header header;

        fill_header(vsock, &header, OP_RST, reset->guest_port, reset->host_port);
        header.type = reset->type;
        give(vsock, chain, &header);
        return true;
    }
    while ((connection = next_speaker(vsock)) != NULL) {
        vsock->next_turn = (uint32_t)(connection - vsock->connections) + 1;
        if (connection->pending != 0) {
            give_control(vsock, connection, chain);
            return true;
        }
        if (give_data(vsock, connection, chain)) {
            return true;
        }
    }
    return false;
}

bool virtio_vsock_wants_to_speak(struct virtio_vsock *vsock)
{
    return vsock->nr_resets > 0 || next_speaker(vsock) != NULL;
}
