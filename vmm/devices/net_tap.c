/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap interface: one that exists, one that is made and vanishes with us, or a descriptor that
 * was inherited. Each queue is a descriptor; frames go between it and guest memory by one readv()
 * or writev(), with the virtio header before them, which the kernel understands.
 */
#include "vmm/base/log.h"
#include "vmm/devices/net.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUN_PATH "/dev/net/tun"

struct net_tap {
    struct net_link link; /* first: the ops get this */
    uint16_t attached;    /* queues that the kernel gives frames to */
};

static struct net_tap *tap_of(struct net_link *link)
{
    return (struct net_tap *)(void *)link;
}

static enum virtio_net_result failed(struct net_link *link)
{
    switch (errno) {
    case EAGAIN:
    case EINTR:
        return VIRTIO_NET_WAIT;
    case EBADFD: /* the interface was deleted */
    case ENODEV:
        link->gone = true;
        strcpy(link->reason, "its tap interface was deleted");
        return VIRTIO_NET_DROPPED;
    default: /* a header that makes no sense, or the interface is down */
        return VIRTIO_NET_DROPPED;
    }
}

static enum virtio_net_result tap_send(struct net_link *link, uint16_t pair,
                                       const struct virtio_segment *segments, uint32_t count,
                                       uint32_t size)
{
    struct iovec iovec[VIRTIO_NET_SEGMENTS];

    (void)size;
    net_to_iovec(segments, count, iovec);
    return writev(link->fds[pair], iovec, (int)count) < 0 ? failed(link) : VIRTIO_NET_OK;
}

static enum virtio_net_result tap_receive(struct net_link *link, uint16_t pair,
                                          const struct virtio_segment *segments, uint32_t count,
                                          uint32_t *ret_size)
{
    struct iovec iovec[VIRTIO_NET_SEGMENTS];
    ssize_t size;

    net_to_iovec(segments, count, iovec);
    size = readv(link->fds[pair], iovec, (int)count);
    if (size <= 0) {
        enum virtio_net_result result = size < 0 ? failed(link) : VIRTIO_NET_WAIT;

        /* EIO while it is down, and the like: there is nothing to lose. */
        return link->gone ? VIRTIO_NET_DROPPED : result == VIRTIO_NET_DROPPED ? VIRTIO_NET_WAIT
                                                                              : result;
    }
    *ret_size = (uint32_t)size;
    return VIRTIO_NET_OK;
}

static void tap_set_offloads(struct net_link *link, uint64_t offloads)
{
    static const struct {
        uint64_t feature;
        unsigned long flag;
    } map[] = {
        {VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM},    {VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
        {VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6},    {VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
        {VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO},
    };
    unsigned long flags = 0;

    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        flags |= offloads & map[i].feature ? map[i].flag : 0;
    }
    if (!(flags & TUN_F_CSUM)) {
        flags = 0; /* a driver may switch off checksums alone; a segment is nothing without them */
    }
    if (link->has_header) {
        ioctl(link->fds[0], TUNSETOFFLOAD, flags);
    }
}

static void tap_set_pairs(struct net_link *link, uint16_t pairs)
{
    struct net_tap *tap = tap_of(link);

    for (uint16_t i = 0; link->pairs > 1 && i < link->pairs; i++) {
        bool wanted = i < pairs;
        struct ifreq request = {
            .ifr_flags = wanted ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE,
        };

        if (wanted != ((tap->attached >> i) & 1) &&
            ioctl(link->fds[i], TUNSETQUEUE, &request) == 0) {
            tap->attached = (uint16_t)(tap->attached ^ (1u << i));
        }
    }
}

static void tap_destroy(struct net_link *link)
{
    for (uint16_t i = 0; i < link->pairs; i++) {
        close(link->fds[i]);
    }
    free(tap_of(link));
}

static const struct net_link_ops tap_ops = {
    .send = tap_send,
    .receive = tap_receive,
    .set_offloads = tap_set_offloads,
    .set_pairs = tap_set_pairs,
    .destroy = tap_destroy,
};

/* ---- Opening ---- */

static const char *tap_name(const struct config_net *config)
{
    return config->tap != NULL ? config->tap : "(new)";
}

static int open_tun(struct error *error)
{
    int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0) {
        return fd;
    }
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
        error_set(error, EXIT_CODE_HOST,
                  TUN_PATH ": this host has no tap interfaces; load the module (modprobe tun)");
    } else if (errno == EACCES || errno == EPERM) {
        error_set(error, EXIT_CODE_HOST,
                  TUN_PATH ": no permission; it should be open for all (chmod 666 " TUN_PATH ")");
    } else {
        error_set_errno(error, EXIT_CODE_HOST, errno, TUN_PATH);
    }
    return -1;
}

static bool refuse_interface(const struct config_net *config, int errno_value, struct error *error)
{
    const char *name = tap_name(config);

    switch (errno_value) {
    case EPERM:
        return config->make_tap
                   ? error_set(error, EXIT_CODE_HOST,
                               "tap %s: no permission to make an interface; it takes "
                               "CAP_NET_ADMIN, or one that root made for you (ip tuntap add dev "
                               "NAME mode tap user USER) and tap=NAME", name)
                   : error_set(error, EXIT_CODE_HOST,
                               "tap %s: no permission; it belongs to another user (ip tuntap add "
                               "dev %s mode tap user USER)", name, name);
    case EBUSY:
        return error_set(error, EXIT_CODE_HOST,
                         "tap %s: in use; each VM needs one of its own (ip tuntap add dev NAME "
                         "mode tap user USER)", name);
    case EINVAL:
        return error_set(error, EXIT_CODE_INPUT,
                         "tap %s: not a tap interface, or not one for %u queue(s) (ip tuntap add "
                         "dev NAME mode tap user USER%s)", name, config->queues,
                         config->queues > 1 ? " multi_queue" : "");
    default:
        return error_set_errno(error, EXIT_CODE_HOST, errno_value, "tap %s", name);
    }
}

/* IFF_UP and others of an interface, or -1 and errno. */
static int interface_flags(int socket_fd, struct ifreq *request)
{
    return ioctl(socket_fd, SIOCGIFFLAGS, request) < 0 ? -1
                                                       : (uint16_t)request->ifr_flags;
}

static bool check_name(const struct config_net *config, struct ifreq *request, struct error *error)
{
    if (config->tap == NULL) {
        strcpy(request->ifr_name, "tap%d"); /* the kernel puts in the next free number */
        return true;
    }
    if (strlen(config->tap) >= IFNAMSIZ || config->tap[0] == '\0') {
        return error_set(error, EXIT_CODE_USAGE,
                         "tap %s: an interface's name has 1 to %d characters", config->tap,
                         IFNAMSIZ - 1);
    }
    strcpy(request->ifr_name, config->tap);
    return true;
}

/* TUNSETIFF would make what doesn't exist. */
static bool check_exists(const struct config_net *config, int socket_fd, struct ifreq *request,
                         struct error *error)
{
    if (!config->make_tap && interface_flags(socket_fd, request) < 0) {
        return error_set(error, EXIT_CODE_INPUT,
                         "tap %s: there is no such interface (ip tuntap add dev %s mode tap user "
                         "USER, or tap=new)", config->tap, config->tap);
    }
    return true;
}

/* One queue of the interface. The second and later find the name in request. */
static bool open_queue(struct net_tap *tap, const struct config_net *config,
                       struct ifreq *request, struct error *error)
{
    short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int fd = open_tun(error);

    if (fd < 0) {
        return false;
    }
    tap->link.fds[tap->link.pairs++] = fd;
    if (config->queues > 1) {
        flags |= IFF_MULTI_QUEUE;
    }
    if (config->make_tap && tap->link.pairs == 1) {
        flags |= (short)IFF_TUN_EXCL;
    }
    request->ifr_flags = flags;
    if (ioctl(fd, TUNSETIFF, request) == 0) {
        return true;
    }
    if (errno == EINVAL && config->queues <= 1) { /* made for several queues: one will do */
        request->ifr_flags = (short)(flags | IFF_MULTI_QUEUE);
        if (ioctl(fd, TUNSETIFF, request) == 0) {
            return true;
        }
    }
    return refuse_interface(config, errno, error);
}

/* Ours is brought up; another's is its owner's business. */
static void check_up(const struct config_net *config, int socket_fd, struct ifreq *request)
{
    int flags = interface_flags(socket_fd, request);

    if (flags < 0 || (flags & IFF_UP)) {
        return;
    }
    request->ifr_flags = (short)(flags | IFF_UP);
    if (config->make_tap && ioctl(socket_fd, SIOCSIFFLAGS, request) == 0) {
        return;
    }
    log_warning("%s: tap %s is down (ip link set %s up)", config->id, request->ifr_name,
                request->ifr_name);
}

static bool open_interface(struct net_tap *tap, const struct config_net *config, int socket_fd,
                           struct error *error)
{
    struct ifreq request = {0};

    if (!check_name(config, &request, error) ||
        !check_exists(config, socket_fd, &request, error)) {
        return false;
    }
    for (uint16_t i = 0; i < config->queues; i++) {
        if (!open_queue(tap, config, &request, error)) {
            return false;
        }
    }
    check_up(config, socket_fd, &request);
    if (config->make_tap) {
        log_info("%s: made tap %s", config->id, request.ifr_name);
    }
    return true;
}

static bool open_by_name(struct net_tap *tap, const struct config_net *config, const char *netns,
                         struct error *error)
{
    int saved;
    int socket_fd;
    bool opened;

    if (!net_ns_enter(netns, &saved, error)) {
        return false;
    }
    socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    opened = socket_fd >= 0 && open_interface(tap, config, socket_fd, error);
    if (socket_fd < 0) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "tap %s: no socket", tap_name(config));
    } else {
        close(socket_fd);
    }
    net_ns_leave(saved);
    return opened;
}

/* The kind of what was inherited is whatever its opener chose. */
static bool take_descriptor(struct net_tap *tap, int fd, struct error *error)
{
    struct ifreq request = {0};
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || ioctl(fd, TUNGETIFF, &request) < 0 || !(request.ifr_flags & IFF_TAP)) {
        return error_set(error, EXIT_CODE_INPUT,
                         "tapfd %d: not an open tap interface (descriptor of %s after TUNSETIFF)",
                         fd, TUN_PATH);
    }
    if (!(request.ifr_flags & IFF_NO_PI)) {
        return error_set(error, EXIT_CODE_INPUT, "tapfd %d: was opened without IFF_NO_PI", fd);
    }
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "tapfd %d", fd);
    }
    tap->link.has_header = request.ifr_flags & IFF_VNET_HDR;
    tap->link.fds[tap->link.pairs++] = fd;
    return true;
}

/* What the kernel's tap can: all of it, or without UFO, which some have given up. */
static bool find_features(struct net_link *link, struct error *error)
{
    const unsigned long flags = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    const uint64_t ufo = VIRTIO_NET_F_HOST_UFO | VIRTIO_NET_F_GUEST_UFO;

    for (uint16_t i = 0; i < link->pairs; i++) {
        int size = VIRTIO_NET_HEADER;

        if (ioctl(link->fds[i], TUNSETVNETHDRSZ, &size) < 0) {
            return error_set_errno(error, EXIT_CODE_HOST, errno,
                                   "tap: the kernel doesn't take a header of %d bytes", size);
        }
    }
    if (ioctl(link->fds[0], TUNSETOFFLOAD, flags | TUN_F_UFO) == 0) {
        link->features = VIRTIO_NET_HOST_OFFLOADS | VIRTIO_NET_GUEST_OFFLOADS;
    } else if (ioctl(link->fds[0], TUNSETOFFLOAD, flags) == 0) {
        link->features = (VIRTIO_NET_HOST_OFFLOADS | VIRTIO_NET_GUEST_OFFLOADS) & ~ufo;
    }
    ioctl(link->fds[0], TUNSETOFFLOAD, 0ul); /* until a driver takes them */
    return true;
}

struct net_link *net_tap_create(const struct config_net *config, const char *netns,
                                struct error *error)
{
    struct net_tap *tap = calloc(1, sizeof(*tap));
    bool opened;

    if (tap == NULL) {
        error_set(error, EXIT_CODE_HOST, "%s: no memory", config->id);
        return NULL;
    }
    tap->link.ops = &tap_ops;
    tap->link.has_header = true;
    opened = config->tap_fd >= 0 ? take_descriptor(tap, config->tap_fd, error)
                                 : open_by_name(tap, config, netns, error);
    tap->attached = (uint16_t)((1u << tap->link.pairs) - 1);
    if (!opened || (tap->link.has_header && !find_features(&tap->link, error))) {
        tap_destroy(&tap->link);
        return NULL;
    }
    return &tap->link;
}
