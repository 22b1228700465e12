/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the network device share. net.c joins the portable device to a link, which is
 * how frames leave the host (net_tap.c, net_user.c), or hands the queues to the kernel
 * (net_vhost.c).
 *
 * Threads: links and everything on the loop are the main thread's, with the device's lock held.
 * A vCPU thread gets here only by the driver's writes to the status register (running(),
 * set_offloads(), set_pairs()) and, where kicks are exits, by kicked().
 */
#ifndef VMM_DEVICES_NET_H
#define VMM_DEVICES_NET_H

#include "machine/virtio/net.h"
#include "vmm/devices/device.h"
#include "vmm/devices/rate.h"
#include <pthread.h>
#include <sys/uio.h>

#define NET_REASON_MAX 160

struct net_link;
struct net_vhost;

struct net_link_ops {
    /* As in struct virtio_net_backend. A link that came to its end sets `gone` and says why. */
    enum virtio_net_result (*send)(struct net_link *link, uint16_t pair,
                                   const struct virtio_segment *segments, uint32_t count,
                                   uint32_t size);
    enum virtio_net_result (*receive)(struct net_link *link, uint16_t pair,
                                      const struct virtio_segment *segments, uint32_t count,
                                      uint32_t *ret_size);
    void (*flush)(struct net_link *link); /* where `unsent` may be set: send the rest of a frame */
    void (*set_offloads)(struct net_link *link, uint64_t offloads);
    void (*set_pairs)(struct net_link *link, uint16_t pairs);
    /* Everything else has been built; whatever may be waited for is waited for here. */
    bool (*ready)(struct net_link *link, struct error *error);
    void (*destroy)(struct net_link *link);
};

struct net_link {
    const struct net_link_ops *ops;
    uint64_t features; /* HOST_ and GUEST_OFFLOADS that it can */
    bool has_header;   /* frames begin with VIRTIO_NET_HEADER */
    bool bulk;         /* it reads several frames at once; asking it once more is cheap */
    bool buffered;     /* frames may be here already, of which epoll knows nothing */
    bool unsent;       /* it has a part of a frame, and waits for room */
    bool gone;
    char reason[NET_REASON_MAX]; /* of `gone`: the rest of the sentence that begins with the id */
    uint16_t pairs;
    int fds[VIRTIO_NET_PAIRS_MAX]; /* one of each pair, non-blocking, for epoll */
};

struct net_pair {
    struct net *net;
    struct loop_source source;
    uint32_t armed; /* events it is in the loop for; 0: it isn't */
    uint16_t index;
    bool starved; /* the guest has no buffers */
    bool blocked; /* the link has no room */
    uint8_t streak, patience;
};

struct net {
    struct vmm_device device;
    struct virtio_net virtio;
    struct vm *vm;
    struct loop *loop;
    pthread_t main_thread;
    struct net_link *link;
    struct net_vhost *vhost; /* or NULL */
    bool running;            /* between the driver's DRIVER_OK and reset */
    bool paused;
    bool link_lost;
    uint64_t pending; /* atomic: a bit for each queue to be served, and NET_UPDATE */
    struct loop_work work;
    struct rate rx_rate, tx_rate;
    struct loop_timer timer;
    uint32_t rx_debt;      /* bytes received that rx_rate hasn't been charged with yet */
    bool rx_held, tx_held; /* by a rate limit */
    struct net_pair *pairs;
};

/* For net.c's tables: a link's segments as the kernel wants them. */
static inline void net_to_iovec(const struct virtio_segment *segments, uint32_t count,
                                struct iovec *iovec)
{
    for (uint32_t i = 0; i < count; i++) {
        iovec[i].iov_base = segments[i].base;
        iovec[i].iov_len = segments[i].size;
    }
}

/* Each opens its link, or says why not. netns: NULL, a name below /run/netns, or a path. */
struct net_link *net_tap_create(const struct config_net *config, const char *netns,
                                struct error *error);
struct net_link *net_user_create(const struct config_net *config, const char *netns,
                                 struct error *error);

/* Be in a network namespace until net_ns_leave(). *ret_saved: -1 if netns is NULL. */
bool net_ns_enter(const char *netns, int *ret_saved, struct error *error);
void net_ns_leave(int saved);

/* net.c, with the lock held, by the main thread. */
extern const struct virtio_net_backend net_backend; /* `backend` is the struct net */
/* Source, timer and work; before anything happens. Needs `link`. */
void net_init_events(struct net *net);
/* Whatever stood still may go on: look at each queue. */
void net_serve_all(struct net *net);
/* The loop's sources for what is wanted now. */
void net_rearm(struct net *net);

/* net_vhost.c. With the lock held but for the first three. */
bool net_vhost_create(struct net *net, struct error *error);
bool net_vhost_attach(struct net *net, struct error *error);
void net_vhost_destroy(struct net *net);
/* The queues of the pairs in use go to the kernel, all others come back. */
void net_vhost_start(struct net *net);
/* The driver's notification has come as an exit: pass it on. */
void net_vhost_kick(struct net *net, uint16_t queue);
void net_vhost_stop(struct net *net);

/* A MAC address, locally administered, that is the same for the same names. */
void net_derive_mac(const char *vm_name, const char *id, uint8_t *ret_mac);

#endif
