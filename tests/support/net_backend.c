/* SPDX-License-Identifier: Apache-2.0 */
/* Each frame is a malloc of its own, so that AddressSanitizer sees who reads beyond it. */
#include "tests/support/net_backend.h"
#include <stdlib.h>
#include <string.h>

const uint8_t net_backend_mac[VIRTIO_NET_MAC_SIZE] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static struct net_frame *next_slot(struct net_frame *frames, uint32_t *count)
{
    struct net_frame *slot = &frames[(*count)++ % NET_BACKEND_FRAMES];

    free(slot->bytes);
    return slot;
}

static enum virtio_net_result send(void *context, uint16_t pair,
                                   const struct virtio_segment *segments, uint32_t count,
                                   uint32_t size)
{
    struct net_backend *backend = context;
    struct net_frame *frame;
    uint32_t at = 0;

    if (backend->block || backend->drop) {
        return backend->block ? VIRTIO_NET_WAIT : VIRTIO_NET_DROPPED;
    }
    frame = next_slot(backend->sent, &backend->nr_sent);
    frame->bytes = malloc(size);
    frame->size = size;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(frame->bytes + at, segments[i].base, segments[i].size);
        at += segments[i].size;
    }
    if (at != size) {
        abort();
    }
    return VIRTIO_NET_OK;
}

static enum virtio_net_result receive(void *context, uint16_t pair,
                                      const struct virtio_segment *segments, uint32_t count,
                                      uint32_t *ret_size)
{
    struct net_backend *backend = context;
    const struct net_frame *frame;
    uint32_t done = 0;

    backend->asked++;
    if (backend->next_waiting == backend->nr_waiting) {
        return VIRTIO_NET_WAIT;
    }
    frame = &backend->waiting[backend->next_waiting++ % NET_BACKEND_FRAMES];
    for (uint32_t i = 0; i < count && done < frame->size; i++) {
        uint32_t part = frame->size - done;

        part = part < segments[i].size ? part : segments[i].size;
        memcpy(segments[i].base, frame->bytes + done, part);
        done += part;
    }
    *ret_size = done;
    return VIRTIO_NET_OK;
}

static void set_offloads(void *context, uint64_t offloads)
{
    ((struct net_backend *)context)->offloads = offloads;
}

static void set_pairs(void *context, uint16_t pairs)
{
    ((struct net_backend *)context)->pairs_set = pairs;
}

static void running(void *context, bool is_running)
{
    struct net_backend *backend = context;

    backend->runs += is_running;
    backend->running = is_running;
}

static void kicked(void *context, uint16_t queue)
{
    struct net_backend *backend = context;
    struct virtio_net *net = &backend->net;

    backend->kicks++;
    if (backend->by_hand) {
        return;
    }
    if (queue == virtio_net_control_queue(net)) {
        virtio_net_control(net);
    } else if (queue & 1) {
        virtio_net_transmit(net, queue / 2, backend->limit);
    } else {
        virtio_net_receive(net, queue / 2, backend->limit);
    }
}

static const struct virtio_net_backend ops = {
    .send = send,
    .receive = receive,
    .set_offloads = set_offloads,
    .set_pairs = set_pairs,
    .kicked = kicked,
    .running = running,
};

struct net_backend *net_backend_create(uint16_t pairs, uint16_t queue_size, bool has_header,
                                       uint64_t features, uint16_t mtu)
{
    struct net_backend *backend = calloc(1, sizeof(*backend));
    struct virtio_net_setup setup = {
        .backend_ops = &ops,
        .backend = backend,
        .has_header = has_header,
        .features = features,
        .pairs = pairs,
        .queue_size = queue_size,
        .mtu = mtu,
        .mac = net_backend_mac,
    };

    backend->pairs = pairs;
    backend->limit = 16;
    backend->queues = calloc(VIRTIO_NET_QUEUES(pairs), sizeof(*backend->queues));
    backend->receivers = calloc(pairs, sizeof(*backend->receivers));
    for (uint16_t i = 0; i < pairs; i++) {
        backend->receivers[i].bounce = malloc(VIRTIO_NET_BOUNCE);
    }
    setup.queues = backend->queues;
    setup.receivers = backend->receivers;
    virtio_net_init(&backend->net, &setup);
    return backend;
}

void net_backend_destroy(struct net_backend *backend)
{
    for (uint32_t i = 0; i < NET_BACKEND_FRAMES; i++) {
        free(backend->sent[i].bytes);
        free(backend->waiting[i].bytes);
    }
    for (uint16_t i = 0; i < backend->pairs; i++) {
        free(backend->receivers[i].bounce);
    }
    free(backend->receivers);
    free(backend->queues);
    free(backend);
}

void net_backend_put(struct net_backend *backend, const void *bytes, uint32_t size)
{
    struct net_frame *frame = next_slot(backend->waiting, &backend->nr_waiting);

    frame->bytes = malloc(size);
    frame->size = size;
    memcpy(frame->bytes, bytes, size);
}

enum virtio_net_progress net_backend_poll(struct net_backend *backend, uint16_t pair)
{
    enum virtio_net_progress progress;

    spin_lock(&backend->net.device.lock);
    progress = virtio_net_receive(&backend->net, pair, backend->limit);
    spin_unlock(&backend->net.device.lock);
    return progress;
}
