/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device with nobody behind it: frames that the guest sends are kept, and what it shall
 * receive is put into a queue. For unit tests and fuzz targets.
 */
#ifndef TESTS_SUPPORT_NET_BACKEND_H
#define TESTS_SUPPORT_NET_BACKEND_H

#include "machine/virtio/net.h"

#define NET_BACKEND_FRAMES 64u

struct net_frame {
    uint32_t size; /* with the header, if the backend has one */
    uint8_t *bytes;
};

struct net_backend {
    struct virtio_net net;
    uint16_t pairs;
    struct virtqueue *queues;
    struct virtio_net_receiver *receivers;
    struct net_frame sent[NET_BACKEND_FRAMES]; /* the oldest fall out */
    uint32_t nr_sent;
    struct net_frame waiting[NET_BACKEND_FRAMES];
    uint32_t nr_waiting, next_waiting;

    bool block;     /* send() has no room */
    bool drop;      /* send() drops */
    bool by_hand;   /* kicked() only counts */
    uint32_t limit; /* frames for each kick */
    unsigned int kicks, asked;
    uint64_t offloads;
    uint16_t pairs_set;
    bool running;
    unsigned int runs; /* how often it began to run */
};

/* features: of the HOST_ and GUEST_OFFLOADS. */
struct net_backend *net_backend_create(uint16_t pairs, uint16_t queue_size, bool has_header,
                                       uint64_t features, uint16_t mtu);
void net_backend_destroy(struct net_backend *backend);

/* A frame to be received (a copy); not looked at before a kick or net_backend_poll(). */
void net_backend_put(struct net_backend *backend, const void *bytes, uint32_t size);
/* As if the link had become readable: take the lock, receive. */
enum virtio_net_progress net_backend_poll(struct net_backend *backend, uint16_t pair);

extern const uint8_t net_backend_mac[VIRTIO_NET_MAC_SIZE];

#endif
