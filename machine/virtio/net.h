/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device, VIRTIO 1.2 section 5.1: pairs of a receive and a transmit queue, and a control
 * queue. Frames go straight between the back end and guest memory; only one that needs more
 * receive buffers than the one before is copied in part.
 *
 * Nothing is filtered: MAC tables, receive modes and VLAN filters are taken and are, as the
 * specification allows, best effort of the weakest kind.
 *
 * Locking: whatever is here but init is called with device.lock held. Data queues are served only
 * through virtio_net_transmit(), _receive() and _control(), which the back end calls in its own
 * thread after it was told by `kicked`.
 */
#ifndef MACHINE_VIRTIO_NET_H
#define MACHINE_VIRTIO_NET_H

#include "machine/virtio/device.h"

/* Feature bits, 5.1.3. */
#define VIRTIO_NET_F_CSUM BIT(0)
#define VIRTIO_NET_F_GUEST_CSUM BIT(1)
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS BIT(2)
#define VIRTIO_NET_F_MTU BIT(3)
#define VIRTIO_NET_F_MAC BIT(5)
#define VIRTIO_NET_F_GUEST_TSO4 BIT(7)
#define VIRTIO_NET_F_GUEST_TSO6 BIT(8)
#define VIRTIO_NET_F_GUEST_ECN BIT(9)
#define VIRTIO_NET_F_GUEST_UFO BIT(10)
#define VIRTIO_NET_F_HOST_TSO4 BIT(11)
#define VIRTIO_NET_F_HOST_TSO6 BIT(12)
#define VIRTIO_NET_F_HOST_ECN BIT(13)
#define VIRTIO_NET_F_HOST_UFO BIT(14)
#define VIRTIO_NET_F_MRG_RXBUF BIT(15)
#define VIRTIO_NET_F_STATUS BIT(16)
#define VIRTIO_NET_F_CTRL_VQ BIT(17)
#define VIRTIO_NET_F_CTRL_RX BIT(18)
#define VIRTIO_NET_F_CTRL_VLAN BIT(19)
#define VIRTIO_NET_F_GUEST_ANNOUNCE BIT(21)
#define VIRTIO_NET_F_MQ BIT(22)
#define VIRTIO_NET_F_CTRL_MAC_ADDR BIT(23)

/* What a back end must be able to do itself: receive frames without checksums or larger than the
 * MTU from the guest (HOST), and give it such (GUEST). */
#define VIRTIO_NET_HOST_OFFLOADS \
    (VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | \
     VIRTIO_NET_F_HOST_ECN | VIRTIO_NET_F_HOST_UFO)
#define VIRTIO_NET_GUEST_OFFLOADS \
    (VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | \
     VIRTIO_NET_F_GUEST_ECN | VIRTIO_NET_F_GUEST_UFO)

/* config.status, 5.1.4 */
#define VIRTIO_NET_S_LINK_UP 1u
#define VIRTIO_NET_S_ANNOUNCE 2u

#define VIRTIO_NET_HEADER 12u /* struct virtio_net_hdr with num_buffers, 5.1.6 */
#define VIRTIO_NET_FRAME_MIN 14u
#define VIRTIO_NET_FRAME_MAX (65535u + 18u) /* the largest IP packet, Ethernet, a VLAN tag */
#define VIRTIO_NET_MTU_MIN 68u
#define VIRTIO_NET_PAIRS_MAX 16u
#define VIRTIO_NET_MAC_SIZE 6u

/* Queues of a pair, 5.1.2; the control queue comes behind the pairs. */
#define VIRTIO_NET_RX(pair) ((uint16_t)(2 * (pair)))
#define VIRTIO_NET_TX(pair) ((uint16_t)(2 * (pair) + 1))
#define VIRTIO_NET_QUEUES(pairs) ((uint16_t)(2 * (pairs) + 1))

/* A receive takes at most a chain's segments, and what doesn't fit into them. */
#define VIRTIO_NET_SEGMENTS (VIRTQUEUE_SEGMENTS + 1)

enum virtio_net_result {
    VIRTIO_NET_OK,
    VIRTIO_NET_WAIT,    /* nothing there, or no room: later */
    VIRTIO_NET_DROPPED, /* the frame could not be sent, or there is none for a worse reason */
};

/* The world behind the device. Called with device.lock held; none may block. */
struct virtio_net_backend {
    /* Send a frame of `size` bytes, the header first if has_header. The segments are guest RAM. */
    enum virtio_net_result (*send)(void *backend, uint16_t pair,
                                   const struct virtio_segment *segments, uint32_t count,
                                   uint32_t size);
    /* Take a frame, the header first if has_header (num_buffers is written by the device); what
     * doesn't fit is lost. *ret_size: bytes written. */
    enum virtio_net_result (*receive)(void *backend, uint16_t pair,
                                      const struct virtio_segment *segments, uint32_t count,
                                      uint32_t *ret_size);
    /* Which of VIRTIO_NET_GUEST_OFFLOADS received frames may make use of from now on. */
    void (*set_offloads)(void *backend, uint64_t offloads);
    /* Frames shall come through the first `pairs` queues only. */
    void (*set_pairs)(void *backend, uint16_t pairs);
    /* There may be something to do for this queue; also for the control queue. */
    void (*kicked)(void *backend, uint16_t queue);
    /* The device has begun (true) or ceased to work; no queue is touched after false. */
    void (*running)(void *backend, bool running);
};

struct virtio_net_counters {
    uint64_t frames;
    uint64_t bytes;   /* without the header */
    uint64_t dropped; /* by the back end, or because the guest's buffer is too small for it */
    uint64_t errors;  /* frames that no network could carry: too short or too long */
};

/* The receiving side of a pair. */
struct virtio_net_receiver {
    uint8_t *bounce;   /* VIRTIO_NET_BOUNCE bytes; touched where a frame didn't fit */
    uint32_t stashed;  /* bytes of a frame that waits there for more buffers of the guest */
    uint32_t expected; /* size of the last frame: buffers for as much are offered */
    bool notified;     /* the driver was asked to tell of more buffers */
};

struct virtio_net {
    struct virtio_device device;
    const struct virtio_net_backend *backend_ops;
    void *backend;
    bool has_header;
    uint16_t pairs_max;
    uint16_t pairs;    /* in use */
    uint64_t offloads; /* GUEST_OFFLOADS in force */
    bool link_up;
    uint8_t mac[VIRTIO_NET_MAC_SIZE]; /* after reset */
    uint8_t config[12];               /* 5.1.4: mac, status, max_virtqueue_pairs, mtu */
    struct virtio_net_receiver *receivers;
    struct virtio_net_counters rx, tx;
};
#define VIRTIO_NET_BOUNCE (VIRTIO_NET_HEADER + VIRTIO_NET_FRAME_MAX + 1)

struct virtio_net_setup {
    const struct virtio_net_backend *backend_ops;
    void *backend;
    bool has_header;   /* frames of the back end begin with VIRTIO_NET_HEADER */
    uint64_t features; /* of HOST_ and GUEST_OFFLOADS: what the back end can; others are ignored */
    uint16_t pairs;    /* 1 to VIRTIO_NET_PAIRS_MAX */
    uint16_t queue_size;
    uint16_t mtu; /* 0: not told to the driver */
    const uint8_t *mac;
    struct virtqueue *queues; /* VIRTIO_NET_QUEUES(pairs), zeroed */
    struct virtio_net_receiver *receivers; /* `pairs` of them, with their bounce set */
};

void virtio_net_init(struct virtio_net *net, const struct virtio_net_setup *setup);

enum virtio_net_progress {
    VIRTIO_NET_IDLE,    /* nothing left; `kicked` tells of more (transmit, control) */
    VIRTIO_NET_BLOCKED, /* transmit: the back end has no room */
    VIRTIO_NET_STARVED, /* receive: no buffers; `kicked` tells of more */
    VIRTIO_NET_MORE,    /* the limit was reached: call again */
};

/* Send what the driver made available, at most `limit` frames. */
enum virtio_net_progress virtio_net_transmit(struct virtio_net *net, uint16_t pair,
                                             uint32_t limit);
/* Receive what the back end has, at most `limit` frames. */
enum virtio_net_progress virtio_net_receive(struct virtio_net *net, uint16_t pair,
                                            uint32_t limit);
/* Carry out control commands. IDLE or MORE. */
enum virtio_net_progress virtio_net_control(struct virtio_net *net);

/* The control queue's index depends on what the driver took (5.1.2). */
uint16_t virtio_net_control_queue(const struct virtio_net *net);

/* Told to the driver by the configuration's status. */
void virtio_net_set_link(struct virtio_net *net, bool up);

/* For net_rx.c and net_control.c. */
/* The guest broke a rule: virtio_device_broken(), and the back end stops. */
void virtio_net_broken(struct virtio_net *net);
/* The configuration is another one, by the driver's own doing: it is not interrupted. */
void virtio_net_config_set(struct virtio_net *net);
/* Segments without their first `skip` bytes; returns how many are left of `count`, to which
 * *segments points. Changes the first of them. */
uint32_t virtio_net_skip(struct virtio_segment **segments, uint32_t count, uint32_t skip);

#endif
