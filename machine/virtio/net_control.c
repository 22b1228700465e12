/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue, VIRTIO 1.2 section 5.1.6.5. A command's data are copied before they are
 * checked; what isn't understood, or wasn't negotiated, is answered with VIRTIO_NET_ERR. Only a
 * chain without room for class, command and answer breaks the device.
 */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "machine/virtio/net.h"

#define ACK_OK 0u
#define ACK_ERROR 1u

#define CLASS_RX 0u
#define CLASS_MAC 1u
#define CLASS_VLAN 2u
#define CLASS_ANNOUNCE 3u
#define CLASS_MQ 4u
#define CLASS_GUEST_OFFLOADS 5u

#define RX_ALLMULTI 1u /* the last without CTRL_RX_EXTRA */
#define MAC_TABLE_SET 0u
#define MAC_ADDR_SET 1u
#define VLAN_DEL 1u
#define ANNOUNCE_ACK 0u
#define MQ_PAIRS_SET 0u
#define GUEST_OFFLOADS_SET 0u

#define HEADER_SIZE 2u /* class and command */
#define LIMIT 16u      /* commands in one go */
#define CONFIG_STATUS 6u

/* The data behind class and command: exactly as many bytes as the command has. */
static bool read_data(const struct virtio_chain *chain, void *to, uint32_t size)
{
    return chain->out_size == HEADER_SIZE + size &&
           virtio_chain_read(chain, HEADER_SIZE, to, size) == size;
}

static bool has(const struct virtio_net *net, uint64_t feature)
{
    return net->device.features & feature;
}

static uint64_t get_little(const uint8_t *bytes, uint32_t size)
{
    uint64_t value = 0;

    while (size-- > 0) {
        value = value << 8 | bytes[size];
    }
    return value;
}

/* Two tables, unicast and multicast: a count of 32 bits each, and the addresses. */
static bool check_tables(const struct virtio_chain *chain)
{
    uint64_t offset = HEADER_SIZE;

    for (int i = 0; i < 2; i++) {
        uint8_t count[4];

        if (virtio_chain_read(chain, offset, count, sizeof(count)) != sizeof(count)) {
            return false;
        }
        offset += sizeof(count) + get_little(count, sizeof(count)) * VIRTIO_NET_MAC_SIZE;
        if (offset > chain->out_size) {
            return false;
        }
    }
    return true;
}

static bool set_mac(struct virtio_net *net, const struct virtio_chain *chain, uint32_t command)
{
    uint8_t mac[VIRTIO_NET_MAC_SIZE];

    if (command == MAC_TABLE_SET && has(net, VIRTIO_NET_F_CTRL_RX)) {
        return check_tables(chain);
    }
    if (command != MAC_ADDR_SET || !has(net, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
        !read_data(chain, mac, sizeof(mac))) {
        return false;
    }
    memcpy(net->config, mac, sizeof(mac));
    virtio_net_config_set(net);
    return true;
}

static bool set_pairs(struct virtio_net *net, const struct virtio_chain *chain, uint32_t command)
{
    uint8_t data[2];
    uint32_t pairs;

    if (command != MQ_PAIRS_SET || !has(net, VIRTIO_NET_F_MQ) ||
        !read_data(chain, data, sizeof(data))) {
        return false;
    }
    pairs = (uint32_t)get_little(data, sizeof(data));
    if (pairs == 0 || pairs > net->pairs_max) {
        return false;
    }
    net->pairs = (uint16_t)pairs;
    net->backend_ops->set_pairs(net->backend, net->pairs);
    return true;
}

static bool set_offloads(struct virtio_net *net, const struct virtio_chain *chain,
                         uint32_t command)
{
    uint8_t data[8];
    uint64_t offloads;

    if (command != GUEST_OFFLOADS_SET || !has(net, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
        !read_data(chain, data, sizeof(data))) {
        return false;
    }
    offloads = get_little(data, sizeof(data));
    if ((offloads & ~(net->device.features & VIRTIO_NET_GUEST_OFFLOADS)) != 0) {
        return false;
    }
    net->offloads = offloads;
    net->backend_ops->set_offloads(net->backend, offloads);
    return true;
}

static bool acknowledge(struct virtio_net *net, uint32_t command)
{
    if (command != ANNOUNCE_ACK || !has(net, VIRTIO_NET_F_GUEST_ANNOUNCE)) {
        return false;
    }
    net->config[CONFIG_STATUS] &= (uint8_t)~VIRTIO_NET_S_ANNOUNCE;
    virtio_net_config_set(net);
    return true;
}

static bool carry_out(struct virtio_net *net, const struct virtio_chain *chain)
{
    uint8_t header[HEADER_SIZE];
    uint8_t data[2];

    virtio_chain_read(chain, 0, header, sizeof(header));
    switch (header[0]) {
    case CLASS_RX: /* everything is received in any case */
        return header[1] <= RX_ALLMULTI && has(net, VIRTIO_NET_F_CTRL_RX) &&
               read_data(chain, data, 1);
    case CLASS_MAC:
        return set_mac(net, chain, header[1]);
    case CLASS_VLAN: /* likewise */
        return header[1] <= VLAN_DEL && has(net, VIRTIO_NET_F_CTRL_VLAN) &&
               read_data(chain, data, 2);
    case CLASS_ANNOUNCE:
        return acknowledge(net, header[1]);
    case CLASS_MQ:
        return set_pairs(net, chain, header[1]);
    case CLASS_GUEST_OFFLOADS:
        return set_offloads(net, chain, header[1]);
    default:
        return false;
    }
}

static enum virtio_net_progress serve(struct virtio_net *net, struct virtqueue *queue)
{
    struct virtio_chain chain;

    for (uint32_t i = 0; i < LIMIT; i++) {
        enum virtqueue_result result = virtqueue_pop(queue, &chain);
        uint8_t answer = ACK_OK;

        if (result == VIRTQUEUE_EMPTY) {
            if (!virtqueue_notifications(queue, true)) {
                return VIRTIO_NET_IDLE;
            }
            continue;
        }
        if (result == VIRTQUEUE_BROKEN || chain.out_size < HEADER_SIZE || chain.in_size == 0) {
            virtio_net_broken(net);
            return VIRTIO_NET_IDLE;
        }
        if (!carry_out(net, &chain)) {
            answer = ACK_ERROR;
        }
        virtio_chain_write(&chain, 0, &answer, sizeof(answer));
        virtqueue_push(queue, chain.id, chain.slots, sizeof(answer));
    }
    return VIRTIO_NET_MORE;
}

enum virtio_net_progress virtio_net_control(struct virtio_net *net)
{
    uint16_t index = virtio_net_control_queue(net);
    enum virtio_net_progress progress;

    if (!virtio_device_is_running(&net->device) || !has(net, VIRTIO_NET_F_CTRL_VQ)) {
        return VIRTIO_NET_IDLE;
    }
    progress = serve(net, &net->device.queues[index]);
    virtio_device_used(&net->device, index);
    return progress;
}
