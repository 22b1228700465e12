/* SPDX-License-Identifier: Apache-2.0 */
/* The network device: a driver that does anything, a link that brings frames of any size. */
#include "support/net_backend.h"
#include "virtio_program.h"
#include <stdlib.h>

/* Frames of this size and content, without minding what was chosen for them. */
static void put(struct net_backend *backend, uint8_t argument, const uint8_t *data, size_t size)
{
    static uint8_t frame[VIRTIO_NET_BOUNCE + 16];
    uint32_t length = 1;

    if (size >= 2) {
        length += (data[0] | (uint32_t)data[1] << 8) % sizeof(frame);
        frame[length / 2] = data[size - 1];
    }
    net_backend_put(backend, frame, argument & 0x80 ? length : 1 + length % 2048);
}

static void step(void *context, uint8_t argument, const uint8_t *data, size_t size)
{
    struct net_backend *backend = context;
    uint16_t pair = (argument >> 4) & 1;

    switch (argument & 7) {
    case 0:
    case 1:
        put(backend, argument, data, size);
        break;
    case 2:
    case 3:
        net_backend_poll(backend, pair);
        break;
    case 4:
        backend->block = argument & 0x20;
        backend->drop = argument & 0x40;
        break;
    case 5:
        backend->by_hand = argument & 0x20;
        backend->limit = 1 + (argument >> 6);
        break;
    default:
        spin_lock(&backend->net.device.lock);
        if (argument & 1) {
            virtio_net_set_link(&backend->net, argument & 0x20);
        } else if (argument & 0x20) {
            virtio_net_control(&backend->net);
        } else {
            virtio_net_transmit(&backend->net, pair, 8);
        }
        spin_unlock(&backend->net.device.lock);
        break;
    }
}

static void check(void *context)
{
    const struct net_backend *backend = context;
    const struct virtio_net *net = &backend->net;

    for (uint16_t i = 0; i < backend->pairs; i++) {
        if (backend->receivers[i].stashed >= VIRTIO_NET_BOUNCE ||
            backend->receivers[i].expected >= VIRTIO_NET_BOUNCE) {
            abort();
        }
    }
    if (net->pairs == 0 || net->pairs > backend->pairs) {
        abort();
    }
    if (virtio_device_is_running(&net->device) &&
        (!backend->running || (net->offloads & ~net->device.features) != 0 ||
         backend->offloads != net->offloads || backend->pairs_set != net->pairs)) {
        abort();
    }
}

/* A frame's header, or a control command. */
static uint32_t header(void *context, uint16_t queue, const uint8_t *data, size_t size,
                       uint8_t *to, uint32_t room)
{
    struct net_backend *backend = context;
    bool control = queue == virtio_net_control_queue(&backend->net);
    uint32_t wanted = control ? 10 : VIRTIO_NET_HEADER;

    for (uint32_t i = 0; i < wanted && i < room; i++) {
        to[i] = i < size ? data[i] : 0;
    }
    if (control && size > 0) {
        to[0] = data[0] % 6;
        to[1] &= 1;
        wanted = 2 + data[0] % 9;
    }
    return wanted < room ? wanted : room;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t kind = size > 0 ? data[0] : 0;
    struct net_backend *backend =
        net_backend_create(1 + (kind & 1), 16, kind & 2,
                           VIRTIO_NET_HOST_OFFLOADS | VIRTIO_NET_GUEST_OFFLOADS, 1500);
    const struct virtio_program program = {
        .device = &backend->net.device,
        .step = step,
        .check = check,
        .header = header,
        .context = backend,
    };
    int result = virtio_program_run(&program, data + (size > 0), size - (size > 0));

    net_backend_destroy(backend);
    return result;
}
