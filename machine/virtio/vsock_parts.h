/* SPDX-License-Identifier: Apache-2.0 */
/* What vsock.c (the guest's packets, the queues) and vsock_rx.c (ours) share. */
#ifndef MACHINE_VIRTIO_VSOCK_PARTS_H
#define MACHINE_VIRTIO_VSOCK_PARTS_H

#include "machine/virtio/vsock.h"

#define OP_REQUEST 1u
#define OP_RESPONSE 2u
#define OP_RST 3u
#define OP_SHUTDOWN 4u
#define OP_RW 5u
#define OP_CREDIT_UPDATE 6u
#define OP_CREDIT_REQUEST 7u

#define TYPE_STREAM 1u
#define SHUTDOWN_RECEIVE 1u
#define SHUTDOWN_SEND 2u
#define SHUTDOWN_BOTH 3u

struct vsock_header { /* section 5.10.6; little-endian, as the machine */
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

_Static_assert(sizeof(struct vsock_header) == 44, "virtio_vsock_hdr");

/* Close the socket, once. */
void virtio_vsock_close_socket(struct virtio_vsock *vsock,
                               struct virtio_vsock_connection *connection);
/* The connection is no more, for both sides. */
void virtio_vsock_drop(struct virtio_vsock *vsock, struct virtio_vsock_connection *connection);
/* End it from our side: a reset to the guest, which keeps the place until it is sent. */
void virtio_vsock_reset_connection(struct virtio_vsock *vsock,
                                   struct virtio_vsock_connection *connection);
/* Bytes skip to skip + size of these segments, as far as VIRTIO_VSOCK_SEGMENTS reach. */
uint32_t virtio_vsock_slice(const struct virtio_segment *from, uint32_t count, uint32_t skip,
                            uint32_t size, struct virtio_segment *ret_to);

/* The host sends no more. If it doesn't read either nothing is left for a socket to do, but the
 * guest may still read what it has: the place is its until it answers by a reset. */
void virtio_vsock_host_ended(struct virtio_vsock *vsock,
                             struct virtio_vsock_connection *connection);

/* Whether a receive buffer could be filled, as far as is known. */
bool virtio_vsock_wants_to_speak(struct virtio_vsock *vsock);
/* Fill this one and give it back. False: there was nothing, and it is still ours. */
bool virtio_vsock_speak(struct virtio_vsock *vsock, const struct virtio_chain *chain);

#endif
