/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device as the VM sees it: made, attached, paused, measured, destroyed. net.c has
 * what happens in between.
 */
#include "bothy/bits.h"
#include "vmm/api/metrics.h"
#include "vmm/devices/net.h"
#include <stdlib.h>
#include <string.h>

static struct net *net_of(struct vmm_device *device)
{
    return CONTAINER_OF(device, struct net, device);
}

/* ---- What the VM asks for ---- */

/* Asked before there is a driver: queue 2 is the control queue for one that takes a single pair, so
 * it is listened to in any case. */
static bool net_kicks_elsewhere(struct vmm_device *device, uint16_t queue)
{
    struct net *net = net_of(device);

    return net->vhost != NULL && queue != 2 && queue != VIRTIO_NET_RX(net->virtio.pairs_max);
}

static bool net_attached(struct vmm_device *device, struct error *error)
{
    struct net *net = net_of(device);

    if (net->vhost != NULL && !net_vhost_attach(net, error)) {
        return false;
    }
    return net->link->ops->ready == NULL || net->link->ops->ready(net->link, error);
}

static void net_pause(struct vmm_device *device, bool paused)
{
    struct net *net = net_of(device);

    spin_lock(&net->virtio.device.lock);
    net->paused = paused;
    if (net->vhost != NULL && paused) {
        net_vhost_stop(net);
    } else if (net->vhost != NULL && net->running) {
        net_vhost_start(net);
    }
    net_serve_all(net);
    spin_unlock(&net->virtio.device.lock);
}

/* Nothing is ever under way but in the kernel's queues. */
static void net_quiesce(struct vmm_device *device)
{
    struct net *net = net_of(device);

    spin_lock(&net->virtio.device.lock);
    net->running = false;
    net_vhost_stop(net);
    net_rearm(net);
    spin_unlock(&net->virtio.device.lock);
}

static void net_metrics(struct vmm_device *device, struct metrics *metrics)
{
    struct net *net = net_of(device);
    const struct virtio_net_counters *rx = &net->virtio.rx;
    const struct virtio_net_counters *tx = &net->virtio.tx;
    char labels[CONFIG_NAME_MAX + 16] = "";

    metrics_label(labels, sizeof(labels), "device", device->id);
    if (net->vhost == NULL) { /* the kernel doesn't count for us */
        metrics_counter(metrics, "bothy_net_rx_frames", "Frames that the guest received.", labels,
                        rx->frames);
        metrics_counter(metrics, "bothy_net_rx_bytes", "Bytes of frames that the guest received.",
                        labels, rx->bytes);
        metrics_counter(metrics, "bothy_net_rx_dropped",
                        "Frames that had no place in the guest's buffers.", labels, rx->dropped);
        metrics_counter(metrics, "bothy_net_rx_errors", "Frames of an impossible size received.",
                        labels, rx->errors);
        metrics_counter(metrics, "bothy_net_tx_frames", "Frames that the guest sent.", labels,
                        tx->frames);
        metrics_counter(metrics, "bothy_net_tx_bytes", "Bytes of frames that the guest sent.",
                        labels, tx->bytes);
        metrics_counter(metrics, "bothy_net_tx_dropped", "Frames that the host did not take.",
                        labels, tx->dropped);
        metrics_counter(metrics, "bothy_net_tx_errors", "Frames of an impossible size sent.",
                        labels, tx->errors);
    }
    metrics_gauge(metrics, "bothy_net_link_up", "Whether the guest's link is up.", labels,
                  net->virtio.link_up ? 1 : 0);
}

static void net_destroy(struct vmm_device *device)
{
    struct net *net = net_of(device);

    net->running = false;
    net_vhost_destroy(net);
    net_rearm(net);
    loop_timer_remove(net->loop, &net->timer);
    loop_cancel(net->loop, &net->work);
    net->link->ops->destroy(net->link);
    free(net);
}

/* ---- Creation ---- */

void net_derive_mac(const char *vm_name, const char *id, uint8_t *ret_mac)
{
    const char *parts[] = {vm_name, "/", id};
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        for (const char *at = parts[i]; *at != '\0'; at++) {
            hash = (hash ^ (uint8_t)*at) * 0x100000001b3;
        }
    }
    hash ^= hash >> 32; /* its low bits have seen less */
    memcpy(ret_mac, &hash, VIRTIO_NET_MAC_SIZE);
    ret_mac[0] = (uint8_t)((ret_mac[0] & 0xfc) | 0x02); /* of one station, chosen locally */
}

static bool has_rate(const struct config_rate *rate)
{
    return rate->bandwidth.size != 0 || rate->ops.size != 0;
}

static bool check(const struct config_net *config, struct error *error)
{
    bool one_queue = config->kind == CONFIG_NET_USER || config->tap_fd >= 0;

    if (config->vhost && config->kind == CONFIG_NET_USER) {
        return error_set(error, EXIT_CODE_USAGE, "%s: vhost=on needs a tap, not user", config->id);
    }
    if (config->vhost && (has_rate(&config->rx_rate) || has_rate(&config->tx_rate))) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%s: a rate can't be limited with vhost=on; use one of them", config->id);
    }
    if (config->queues == 0 || config->queues > (one_queue ? 1 : VIRTIO_NET_PAIRS_MAX)) {
        return error_set(error, EXIT_CODE_USAGE, "%s: queues=%u; %s", config->id, config->queues,
                         one_queue ? "user and tapfd have one" : "a tap has 1 to 16");
    }
    if (config->mac_given && (config->mac[0] & 1)) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%s: mac begins with %02x, which is a group; the first byte is even",
                         config->id, config->mac[0]);
    }
    return config->mtu == 0 || config->mtu >= VIRTIO_NET_MTU_MIN ||
           error_set(error, EXIT_CODE_USAGE, "%s: mtu=%u; the least is %u", config->id,
                     config->mtu, VIRTIO_NET_MTU_MIN);
}

/* The device, its queues and pairs in one piece. The bounce buffers at its end stay untouched, and
 * so take no memory, until there are frames for them. */
static struct net *allocate(uint16_t pairs, struct virtio_net_setup *setup)
{
    size_t queues = VIRTIO_NET_QUEUES(pairs) * sizeof(struct virtqueue);
    size_t own = sizeof(struct net) + pairs * sizeof(struct net_pair);
    size_t receivers = pairs * sizeof(struct virtio_net_receiver);
    uint8_t *block = malloc(own + queues + receivers + pairs * (size_t)VIRTIO_NET_BOUNCE);
    struct net *net = (struct net *)(void *)block;

    if (net == NULL) {
        return NULL;
    }
    memset(block, 0, own + queues + receivers);
    net->pairs = (struct net_pair *)(void *)(block + sizeof(*net));
    setup->queues = (struct virtqueue *)(void *)(block + own);
    setup->receivers = (struct virtio_net_receiver *)(void *)(block + own + queues);
    for (uint16_t i = 0; i < pairs; i++) {
        setup->receivers[i].bounce =
            block + own + queues + receivers + i * (size_t)VIRTIO_NET_BOUNCE;
    }
    return net;
}

static void fill(struct net *net, struct vm *vm, const struct config_net *config,
                 struct net_link *link)
{
    uint64_t now = has_rate(&config->rx_rate) || has_rate(&config->tx_rate) ? loop_now_ns() : 0;

    net->device = (struct vmm_device){
        .id = config->id,
        .kind = "net",
        .virtio = &net->virtio.device,
        .kicks_elsewhere = net_kicks_elsewhere,
        .attached = net_attached,
        .pause = net_pause,
        .quiesce = net_quiesce,
        .metrics = net_metrics,
        .destroy = net_destroy,
    };
    net->vm = vm;
    net->loop = vm_get_loop(vm);
    net->main_thread = pthread_self();
    net->link = link;
    rate_init(&net->rx_rate, &config->rx_rate, now);
    rate_init(&net->tx_rate, &config->tx_rate, now);
    net_init_events(net);
}

static struct net *make(struct vm *vm, const struct config_net *config, struct net_link *link,
                        struct error *error)
{
    uint8_t mac[VIRTIO_NET_MAC_SIZE];
    struct virtio_net_setup setup = {
        .backend_ops = &net_backend,
        .has_header = link->has_header,
        .features = link->features,
        .pairs = link->pairs,
        .queue_size = config->queue_size,
        .mtu = config->mtu,
        .mac = config->mac_given ? config->mac : mac,
    };
    struct net *net = allocate(link->pairs, &setup);

    if (net == NULL) {
        error_set(error, EXIT_CODE_HOST, "%s: no memory", config->id);
        link->ops->destroy(link);
        return NULL;
    }
    net_derive_mac(vm_get_config(vm)->name, config->id, mac);
    setup.backend = net;
    virtio_net_init(&net->virtio, &setup);
    fill(net, vm, config, link);
    return net;
}

struct vmm_device *net_create(struct vm *vm, const struct config_net *config, struct error *error)
{
    const char *netns = vm_get_config(vm)->netns;
    struct net_link *link;
    struct net *net;

    if (!check(config, error)) {
        return NULL;
    }
    link = config->kind == CONFIG_NET_TAP ? net_tap_create(config, netns, error)
                                          : net_user_create(config, netns, error);
    net = link != NULL ? make(vm, config, link, error) : NULL;
    if (net == NULL) {
        return NULL;
    }
    if (config->vhost && !net_vhost_create(net, error)) {
        net_destroy(&net->device);
        return NULL;
    }
    return &net->device;
}

bool net_set_rate(struct vmm_device *device, const struct config_rate *rx,
                  const struct config_rate *tx, struct error *error)
{
    struct net *net = net_of(device);
    uint64_t now = loop_now_ns();

    if (net->vhost != NULL) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%s: a rate can't be limited with vhost=on, whose frames don't come by "
                         "here", device->id);
    }
    spin_lock(&net->virtio.device.lock);
    if (rx != NULL) {
        rate_init(&net->rx_rate, rx, now);
    }
    if (tx != NULL) {
        rate_init(&net->tx_rate, tx, now);
    }
    net->rx_held = net->tx_held = false;
    net->rx_debt = 0;
    net_serve_all(net);
    spin_unlock(&net->virtio.device.lock);
    return true;
}
