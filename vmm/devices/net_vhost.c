/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-net: each pair of queues has a descriptor of /dev/vhost-net, which gets the pair's tap as
 * its back end. The control queue stays with us.
 *
 * Invariant: a pair is the kernel's (bit in `started`) only while the device runs, isn't paused
 * and both of its queues run; its virtqueues are nobody else's then.
 */
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/devices/net.h"
#include "vmm/devices/vhost.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VHOST_NET "/dev/vhost-net"

/* Indices of the kernel's vrings. */
enum { VRING_RX, VRING_TX, VRINGS };

struct net_vhost {
    struct net *net;
    struct loop_source broken; /* the kernel found that the guest broke a ring */
    uint32_t started;          /* a bit for each pair */
    uint16_t pairs;
    struct vhost vhosts[];
};

static struct vhost_vring vring_of(struct net *net, uint16_t pair, uint16_t index)
{
    uint16_t queue = index == VRING_RX ? VIRTIO_NET_RX(pair) : VIRTIO_NET_TX(pair);

    return (struct vhost_vring){
        .index = index,
        .queue = &net->virtio.device.queues[queue],
        .kick_fd = vm_queue_kick_fd(net->vm, &net->virtio.device, queue),
        .call_fd = vm_queue_call_fd(net->vm, &net->virtio.device, queue),
        .error_fd = net->vhost->broken.fd,
    };
}

static void broken_ready(struct loop_source *source, uint32_t events)
{
    struct net_vhost *vhost = CONTAINER_OF(source, struct net_vhost, broken);
    struct net *net = vhost->net;
    uint64_t count;

    (void)events;
    if (read(source->fd, &count, sizeof(count)) != (ssize_t)sizeof(count)) {
        return;
    }
    spin_lock(&net->virtio.device.lock);
    if (vhost->started != 0) {
        virtio_net_broken(&net->virtio);
    }
    spin_unlock(&net->virtio.device.lock);
}

/* Features of the rings and of how frames lie in them are the kernel's here; the others are the
 * tap's. */
static void limit_features(struct virtio_device *device, uint64_t can)
{
    const uint64_t of_rings = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED |
                              VIRTIO_NET_F_MRG_RXBUF;

    device->features_offered &= ~(of_rings & ~can) & ~VIRTIO_F_RING_PACKED;
}

bool net_vhost_create(struct net *net, struct error *error)
{
    uint16_t pairs = net->link->pairs;
    struct net_vhost *vhost = calloc(1, sizeof(*vhost) + pairs * sizeof(vhost->vhosts[0]));

    if (vhost == NULL) {
        return error_set(error, EXIT_CODE_HOST, "%s: no memory", net->device.id);
    }
    net->vhost = vhost;
    vhost->net = net;
    vhost->broken = (struct loop_source){eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), EPOLLIN,
                                         broken_ready};
    if (vhost->broken.fd < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "%s: no eventfd", net->device.id);
    }
    for (; vhost->pairs < pairs; vhost->pairs++) {
        if (!vhost_open(&vhost->vhosts[vhost->pairs], VHOST_NET, error)) {
            return false;
        }
        limit_features(&net->virtio.device, vhost->vhosts[vhost->pairs].features);
    }
    net->virtio.device.external_interrupts = true;
    return net->link->has_header ||
           error_set(error, EXIT_CODE_INPUT, "%s: vhost=on needs a tap with IFF_VNET_HDR",
                     net->device.id);
}

/* Asking for them makes them, which has to be done before the process is jailed. */
static bool has_descriptors(struct net *net, uint16_t pair, uint16_t index)
{
    struct vhost_vring vring = vring_of(net, pair, index);

    return vring.kick_fd >= 0 && vring.call_fd >= 0;
}

bool net_vhost_attach(struct net *net, struct error *error)
{
    struct net_vhost *vhost = net->vhost;

    for (uint16_t i = 0; i < vhost->pairs; i++) {
        if (!has_descriptors(net, i, VRING_RX) || !has_descriptors(net, i, VRING_TX)) {
            return error_set(error, EXIT_CODE_HOST,
                             "%s: vhost=on needs a KVM that notifies by descriptors",
                             net->device.id);
        }
        if (!vhost_set_memory(&vhost->vhosts[i], net->vm, error)) {
            return false;
        }
    }
    if (!loop_add(net->loop, &vhost->broken)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "%s: no event", net->device.id);
    }
    return true;
}

void net_vhost_destroy(struct net *net)
{
    struct net_vhost *vhost = net->vhost;

    if (vhost == NULL) {
        return;
    }
    net_vhost_stop(net);
    for (uint16_t i = 0; i < vhost->pairs; i++) {
        vhost_close(&vhost->vhosts[i]);
    }
    if (vhost->broken.fd >= 0) {
        loop_remove(net->loop, &vhost->broken);
        close(vhost->broken.fd);
    }
    free(vhost);
    net->vhost = NULL;
}

static void stop_pair(struct net *net, uint16_t pair)
{
    struct vhost *vhost = &net->vhost->vhosts[pair];

    for (uint16_t index = 0; index < VRINGS; index++) {
        struct vhost_vring vring = vring_of(net, pair, index);

        vhost_net_set_backend(vhost, index, -1); /* returns when the kernel's thread has let go */
        vhost_stop_vring(vhost, &vring);
    }
    net->vhost->started &= ~(1u << pair);
}

static bool start_pair(struct net *net, uint16_t pair)
{
    struct vhost *vhost = &net->vhost->vhosts[pair];
    bool good = vhost_set_features(vhost, net->virtio.device.features);

    net->vhost->started |= 1u << pair;
    for (uint16_t index = 0; index < VRINGS && good; index++) {
        struct vhost_vring vring = vring_of(net, pair, index);

        good = vhost_start_vring(vhost, &vring);
    }
    /* Only when both are complete: a frame that is received may be answered at once. */
    for (uint16_t index = 0; index < VRINGS && good; index++) {
        good = vhost_net_set_backend(vhost, index, net->link->fds[pair]);
    }
    return good;
}

static bool should_run(const struct net *net, uint16_t pair)
{
    const struct virtqueue *queues = net->virtio.device.queues;

    return pair < net->virtio.pairs && queues[VIRTIO_NET_RX(pair)].running &&
           queues[VIRTIO_NET_TX(pair)].running;
}

void net_vhost_kick(struct net *net, uint16_t queue)
{
    const uint64_t one = 1;
    int fd = vm_queue_kick_fd(net->vm, &net->virtio.device, queue);

    if (write(fd, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it has been signalled often enough */
    }
}

void net_vhost_start(struct net *net)
{
    bool good = true;

    for (uint16_t pair = 0; pair < net->vhost->pairs; pair++) {
        bool wanted = should_run(net, pair);
        bool started = (net->vhost->started >> pair) & 1;

        if (started && !wanted) {
            stop_pair(net, pair);
        } else if (wanted && !started) {
            good = start_pair(net, pair) && good;
        }
    }
    if (!good) {
        log_warning("%s: vhost-net doesn't take the guest's queues: %s", net->device.id,
                    strerror(errno));
        virtio_net_broken(&net->virtio);
    }
}

void net_vhost_stop(struct net *net)
{
    for (uint16_t pair = 0; net->vhost != NULL && pair < net->vhost->pairs; pair++) {
        if ((net->vhost->started >> pair) & 1) {
            stop_pair(net, pair);
        }
    }
}
