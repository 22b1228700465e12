/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: what it offers, its life, and sending. net_rx.c receives, net_control.c
 * carries out commands.
 *
 * Invariant: a frame is sent or dropped before its chain is given back, so no chain is outstanding
 * when a call returns; a reset or a pause has nothing to wait for.
 */
#include "machine/virtio/net.h"
#include "bothy/bits.h"
#include "bothy/string.h"

#define CONFIG_STATUS 6
#define CONFIG_PAIRS 8
#define CONFIG_MTU 10

static struct virtio_net *net_of(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct virtio_net, device);
}

static void put_config16(struct virtio_net *net, uint32_t offset, uint32_t value)
{
    net->config[offset] = (uint8_t)value;
    net->config[offset + 1] = (uint8_t)(value >> 8);
}

/* What needs what, 5.1.3.1. */
static bool features_ok(struct virtio_device *device, uint64_t features)
{
    static const struct {
        uint64_t any, need;
    } rules[] = {
        {VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_UFO,
         VIRTIO_NET_F_GUEST_CSUM},
        {VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_UFO,
         VIRTIO_NET_F_CSUM},
        {VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_VLAN | VIRTIO_NET_F_GUEST_ANNOUNCE |
             VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_MAC_ADDR | VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
         VIRTIO_NET_F_CTRL_VQ},
    };
    const uint64_t guest_tso = VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6;
    const uint64_t host_tso = VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6;

    (void)device;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if ((features & rules[i].any) != 0 && !(features & rules[i].need)) {
            return false;
        }
    }
    return (!(features & VIRTIO_NET_F_GUEST_ECN) || (features & guest_tso) != 0) &&
           (!(features & VIRTIO_NET_F_HOST_ECN) || (features & host_tso) != 0);
}

static void forget_frames(struct virtio_net *net)
{
    for (uint16_t i = 0; i < net->pairs_max; i++) {
        net->receivers[i].stashed = 0;
        net->receivers[i].expected = 0;
        net->receivers[i].notified = true;
    }
}

/* One pair until the driver asks for more, 5.1.6.5.5. */
static void activate(struct virtio_device *device)
{
    struct virtio_net *net = net_of(device);

    forget_frames(net);
    net->pairs = 1;
    net->offloads = device->features & VIRTIO_NET_GUEST_OFFLOADS;
    net->backend_ops->set_offloads(net->backend, net->offloads);
    net->backend_ops->set_pairs(net->backend, net->pairs);
    net->backend_ops->running(net->backend, true);
}

static bool reset(struct virtio_device *device)
{
    struct virtio_net *net = net_of(device);

    uint8_t status = net->link_up ? VIRTIO_NET_S_LINK_UP : 0;

    net->backend_ops->running(net->backend, false);
    forget_frames(net);
    if (memcmp(net->config, net->mac, VIRTIO_NET_MAC_SIZE) != 0 ||
        net->config[CONFIG_STATUS] != status) {
        memcpy(net->config, net->mac, VIRTIO_NET_MAC_SIZE);
        put_config16(net, CONFIG_STATUS, status);
        virtio_net_config_set(net);
    }
    return true;
}

static void notify(struct virtio_device *device, uint16_t queue)
{
    struct virtio_net *net = net_of(device);

    net->backend_ops->kicked(net->backend, queue);
}

static const struct virtio_device_ops net_ops = {
    .features_ok = features_ok,
    .activate = activate,
    .reset = reset,
    .notify = notify,
};

static uint64_t offered(const struct virtio_net_setup *setup)
{
    uint64_t features = VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MRG_RXBUF |
                        VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_VLAN |
                        VIRTIO_NET_F_GUEST_ANNOUNCE | VIRTIO_NET_F_CTRL_MAC_ADDR;

    features |= setup->features & (VIRTIO_NET_HOST_OFFLOADS | VIRTIO_NET_GUEST_OFFLOADS);
    if (features & VIRTIO_NET_F_GUEST_CSUM) {
        features |= VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
    }
    if (setup->pairs > 1) {
        features |= VIRTIO_NET_F_MQ;
    }
    return setup->mtu != 0 ? features | VIRTIO_NET_F_MTU : features;
}

void virtio_net_init(struct virtio_net *net, const struct virtio_net_setup *setup)
{
    virtio_device_init(&net->device, VIRTIO_ID_NET, &net_ops, setup->queues,
                       VIRTIO_NET_QUEUES(setup->pairs), setup->queue_size, offered(setup));
    net->backend_ops = setup->backend_ops;
    net->backend = setup->backend;
    net->has_header = setup->has_header;
    net->pairs_max = setup->pairs;
    net->pairs = 1;
    net->offloads = 0;
    net->link_up = true;
    net->receivers = setup->receivers;
    net->rx = (struct virtio_net_counters){.frames = 0};
    net->tx = (struct virtio_net_counters){.frames = 0};
    memcpy(net->mac, setup->mac, VIRTIO_NET_MAC_SIZE);
    memcpy(net->config, setup->mac, VIRTIO_NET_MAC_SIZE);
    put_config16(net, CONFIG_STATUS, VIRTIO_NET_S_LINK_UP);
    put_config16(net, CONFIG_PAIRS, setup->pairs);
    put_config16(net, CONFIG_MTU, setup->mtu);
    net->device.config = net->config;
    net->device.config_size = sizeof(net->config);
    forget_frames(net);
}

uint16_t virtio_net_control_queue(const struct virtio_net *net)
{
    return net->device.features & VIRTIO_NET_F_MQ ? VIRTIO_NET_RX(net->pairs_max) : 2;
}

void virtio_net_set_link(struct virtio_net *net, bool up)
{
    uint32_t status = up ? VIRTIO_NET_S_LINK_UP : 0;

    if (up == net->link_up) {
        return;
    }
    if (up && (net->device.features & VIRTIO_NET_F_GUEST_ANNOUNCE)) {
        status |= VIRTIO_NET_S_ANNOUNCE; /* the network behind it may be another one now */
    }
    net->link_up = up;
    put_config16(net, CONFIG_STATUS, status);
    virtio_device_config_changed(&net->device);
}

void virtio_net_config_set(struct virtio_net *net)
{
    net->device.generation += 2;
    net->device.transport_ops->changed(net->device.transport);
}

void virtio_net_broken(struct virtio_net *net)
{
    net->backend_ops->running(net->backend, false);
    virtio_device_broken(&net->device);
}

uint32_t virtio_net_skip(struct virtio_segment **segments, uint32_t count, uint32_t skip)
{
    struct virtio_segment *at = *segments;

    while (count > 0 && skip >= at->size) {
        skip -= at->size;
        at++;
        count--;
    }
    if (count > 0) {
        at->base += skip;
        at->size -= skip;
    }
    *segments = at;
    return count;
}

/* False: the back end has no room for it. */
static bool send(struct virtio_net *net, uint16_t pair, struct virtio_chain *chain)
{
    struct virtio_segment *segments = chain->segments;
    uint32_t count = chain->nr_out;
    uint32_t size = chain->out_size;
    uint32_t frame = size - VIRTIO_NET_HEADER;

    if (frame < VIRTIO_NET_FRAME_MIN || frame > VIRTIO_NET_FRAME_MAX) {
        net->tx.errors++;
        return true;
    }
    if (!net->has_header) {
        count = virtio_net_skip(&segments, count, VIRTIO_NET_HEADER);
        size = frame;
    }
    switch (net->backend_ops->send(net->backend, pair, segments, count, size)) {
    case VIRTIO_NET_OK:
        net->tx.frames++;
        net->tx.bytes += frame;
        return true;
    case VIRTIO_NET_WAIT:
        return false;
    default:
        net->tx.dropped++;
        return true;
    }
}

/* What the queue holds, up to the limit; how it ended. */
static enum virtio_net_progress transmit_queue(struct virtio_net *net, uint16_t pair,
                                               uint32_t limit)
{
    struct virtqueue *queue = &net->device.queues[VIRTIO_NET_TX(pair)];
    struct virtio_chain chain;

    while (limit > 0) {
        enum virtqueue_result result = virtqueue_pop(queue, &chain);

        if (result == VIRTQUEUE_EMPTY) {
            if (!virtqueue_notifications(queue, true)) {
                return VIRTIO_NET_IDLE;
            }
            continue;
        }
        if (result == VIRTQUEUE_BROKEN || chain.out_size < VIRTIO_NET_HEADER) {
            virtio_net_broken(net);
            return VIRTIO_NET_IDLE;
        }
        if (!send(net, pair, &chain)) {
            virtqueue_unpop(queue, &chain);
            return VIRTIO_NET_BLOCKED;
        }
        virtqueue_push(queue, chain.id, chain.slots, 0);
        limit--;
    }
    return VIRTIO_NET_MORE;
}

enum virtio_net_progress virtio_net_transmit(struct virtio_net *net, uint16_t pair, uint32_t limit)
{
    enum virtio_net_progress progress;

    if (!virtio_device_is_running(&net->device) || pair >= net->pairs_max) {
        return VIRTIO_NET_IDLE;
    }
    virtqueue_notifications(&net->device.queues[VIRTIO_NET_TX(pair)], false);
    progress = transmit_queue(net, pair, limit);
    virtio_device_used(&net->device, VIRTIO_NET_TX(pair));
    return progress;
}
