/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces and vsock. */
#include "bothy/bits.h"
#include "vmm/api/body.h"
#include "vmm/api/routes.h"
#include "vmm/devices/device.h"
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_QUEUES 1
#define DEFAULT_QUEUE_SIZE 256
#define MAC_FORM "%02x:%02x:%02x:%02x:%02x:%02x"
#define GUEST_CID_MIN 3

struct net {
    const char *id, *tap, *mac;
    uint64_t mtu;
    const json_t *rx, *tx;
};

static bool check_id(const struct call *call, const char *id, struct error *error)
{
    return strcmp(call->id, id) == 0 ||
           call_refuse(error, "The id from the path does not match the id from the body!");
}

static struct config_net *find_net(struct vm_config *config, const char *id)
{
    for (uint32_t i = 0; i < config->nr_nets; i++) {
        if (strcmp(config->nets[i].id, id) == 0) {
            return &config->nets[i];
        }
    }
    return NULL;
}

/* "06:00:ac:10:00:02", of one station: the lowest bit of the first byte is clear. */
static bool parse_mac(const char *text, uint8_t mac[6], struct error *error)
{
    static const char digits[] = "0123456789abcdef";
    bool good = strlen(text) == 17;

    for (size_t i = 0; good && i < 17; i++) {
        const char *digit = strchr(digits, text[i] | 0x20);

        if (i % 3 == 2) {
            good = text[i] == ':';
        } else {
            good = digit != NULL && *digit != '\0';
            mac[i / 3] = (uint8_t)(good ? mac[i / 3] << 4 | (digit - digits) : 0);
        }
    }
    return (good && (mac[0] & 1) == 0) ||
           call_refuse(error, "Network config error: guest_mac is %.40s, must be the address of "
                              "one station like 06:00:ac:10:00:02.", text);
}

/* No other interface may have its tap or its address. */
static bool check_others(const struct vm_config *config, const struct config_net *net,
                         const char *tap, struct error *error)
{
    for (uint32_t i = 0; i < config->nr_nets; i++) {
        const struct config_net *other = &config->nets[i];

        if (strcmp(other->id, net->id) == 0) {
            continue;
        }
        if (net->mac_given && other->mac_given &&
            memcmp(other->mac, net->mac, sizeof(net->mac)) == 0) {
            return call_refuse(error, "Network config error: The MAC address is already in use by "
                                      "%s.", other->id);
        }
        if (other->tap != NULL && strcmp(other->tap, tap) == 0) {
            return call_refuse(error, "Network config error: The device %s is already in use by "
                                      "%s.", tap, other->id);
        }
    }
    return true;
}

static bool convert(const struct net *read, struct config_net *net, struct error *error)
{
    if (read->tap[0] == '\0' || strlen(read->tap) >= IFNAMSIZ) {
        return call_refuse(error, "Network config error: host_dev_name must have 1 to %d bytes.",
                           IFNAMSIZ - 1);
    }
    strcpy(net->id, read->id);
    net->kind = CONFIG_NET_TAP;
    net->tap_fd = -1;
    net->queues = DEFAULT_QUEUES;
    net->queue_size = DEFAULT_QUEUE_SIZE;
    net->mtu = (uint16_t)read->mtu;
    net->mac_given = read->mac != NULL;
    return (read->mac == NULL || parse_mac(read->mac, net->mac, error)) &&
           body_read_rate(read->rx, &net->rx_rate, error) &&
           body_read_rate(read->tx, &net->tx_rate, error);
}

bool route_put_net(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {
        {"iface_id", BODY_STRING, true, offsetof(struct net, id), 0, 0},
        {"host_dev_name", BODY_STRING, true, offsetof(struct net, tap), 0, 0},
        {"guest_mac", BODY_STRING, false, offsetof(struct net, mac), 0, 0},
        {"mtu", BODY_NUMBER, false, offsetof(struct net, mtu), 68, 65535},
        {"rx_rate_limiter", BODY_OBJECT, false, offsetof(struct net, rx), 0, 0},
        {"tx_rate_limiter", BODY_OBJECT, false, offsetof(struct net, tx), 0, 0},
    };
    struct vm_config *config = call->config;
    struct config_net *at = find_net(config, call->id);
    struct config_net net = {0};
    struct net read = {0};
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error) ||
        !check_id(call, read.id, error) || !convert(&read, &net, error) ||
        !check_others(config, &net, read.tap, error)) {
        return false;
    }
    if (at == NULL && config->nr_nets == CONFIG_NETS_MAX) {
        return call_refuse(error, "Network config error: There are %u interfaces, which is all "
                                  "there can be.", CONFIG_NETS_MAX);
    }
    net.tap = strdup(read.tap);
    if (net.tap == NULL) {
        return call_refuse(error, "There is no memory for the interface.");
    }
    if (at == NULL) {
        at = &config->nets[config->nr_nets++];
    } else {
        free(at->tap);
        free(at->forward);
    }
    *at = net;
    return true;
}

bool route_patch_net(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {
        {"iface_id", BODY_STRING, true, offsetof(struct net, id), 0, 0},
        {"rx_rate_limiter", BODY_OBJECT, false, offsetof(struct net, rx), 0, 0},
        {"tx_rate_limiter", BODY_OBJECT, false, offsetof(struct net, tx), 0, 0},
    };
    struct config_net *net = find_net(call->config, call->id);
    struct vmm_device *device = vm_device_find(call->vm, call->id);
    struct error cause = ERROR_NONE;
    struct config_rate rx, tx;
    struct net read = {0};
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error) ||
        !check_id(call, read.id, error)) {
        return false;
    }
    if (net == NULL || device == NULL) {
        return call_refuse(error, "Network config error: There is no interface %s.", call->id);
    }
    rx = net->rx_rate;
    tx = net->tx_rate;
    if (!body_read_rate(read.rx, &rx, error) || !body_read_rate(read.tx, &tx, error)) {
        return false;
    }
    if (!net_set_rate(device, &rx, &tx, &cause)) {
        return call_refuse(error, "Network config error: %.480s", cause.text);
    }
    net->rx_rate = rx;
    net->tx_rate = tx;
    return true;
}

static json_t *show_net(const struct config_net *net)
{
    const uint8_t *mac = net->mac;
    char text[18] = "";

    if (net->mac_given) {
        snprintf(text, sizeof(text), MAC_FORM, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    }
    return json_pack("{s:s,s:o*,s:s*,s:o*,s:o*,s:o*}", "iface_id", net->id, "host_dev_name",
                     net->kind == CONFIG_NET_USER ? json_string("user")
                                                  : body_show_string(net->tap),
                     "guest_mac", net->mac_given ? text : NULL, "mtu",
                     net->mtu != 0 ? json_integer(net->mtu) : NULL, "rx_rate_limiter",
                     body_show_rate(&net->rx_rate), "tx_rate_limiter",
                     body_show_rate(&net->tx_rate));
}

json_t *route_show_nets(const struct api *api)
{
    json_t *nets = json_array();

    for (uint32_t i = 0; i < api->config->nr_nets; i++) {
        if (json_array_append_new(nets, show_net(&api->config->nets[i])) != 0) {
            json_decref(nets);
            return NULL;
        }
    }
    return nets;
}

bool route_put_vsock(struct call *call, struct error *error)
{
    struct vsock {
        uint64_t cid;
        const char *path, *id;
    } read = {0};
    static const struct body_field fields[] = {
        {"guest_cid", BODY_NUMBER, true, offsetof(struct vsock, cid), GUEST_CID_MIN,
         UINT32_MAX - 1},
        {"uds_path", BODY_STRING, true, offsetof(struct vsock, path), 0, 0},
        {"vsock_id", BODY_STRING, false, offsetof(struct vsock, id), 0, 0}, /* of old: ignored */
    };
    struct config_vsock *vsock = &call->config->vsock;
    uint32_t given;
    char *path;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error)) {
        return false;
    }
    path = strdup(read.path);
    if (path == NULL) {
        return call_refuse(error, "There is no memory for the path.");
    }
    free(vsock->path);
    *vsock = (struct config_vsock){CONFIG_VSOCK_UNIX, (uint32_t)read.cid, path};
    return true;
}

json_t *route_show_vsock(const struct api *api)
{
    const struct config_vsock *vsock = &api->config->vsock;

    return vsock->kind == CONFIG_VSOCK_NONE
               ? NULL
               : json_pack("{s:I,s:o*}", "guest_cid", (json_int_t)vsock->cid, "uds_path",
                           body_show_string(vsock->path));
}
