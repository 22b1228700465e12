/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real tap interfaces, in a network namespace that the test program makes; at the interface's
 * other end is a packet socket. Where namespaces or /dev/net/tun are not to be had, the tests say
 * that they were skipped. For test_net_tap*.c.
 */
#ifndef TESTS_UNIT_TAP_FIXTURE_H
#define TESTS_UNIT_TAP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/net_rig.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From <net/if.h>, which doesn't go together with <linux/if.h>. */
unsigned int if_nametoindex(const char *name);

#define ETHERTYPE 0x88b5 /* for local experiments: nobody else sends it */
#define PATIENCE_MS 20000u
#define ALL UINT64_MAX

static bool permitted;

static inline int setup(void **state)
{
    int fd;

    if (geteuid() != 0 && syscall(SYS_unshare, CLONE_NEWUSER) < 0) {
        return 0;
    }
    if (syscall(SYS_unshare, CLONE_NEWNET) < 0) {
        return 0;
    }
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    permitted = fd >= 0;
    close(fd);
    return 0;
}

static inline void need_permission(void)
{
    if (!permitted) {
        skip();
    }
}

/* ---- The host's side ---- */

static inline void persist(const char *name, short more_flags, bool keep)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | more_flags)};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    strcpy(request.ifr_name, name);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    assert_int_equal(ioctl(fd, TUNSETPERSIST, keep ? 1 : 0), 0);
    close(fd);
}

static inline void set_up(const char *name, bool up)
{
    struct ifreq request = {0};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(request.ifr_name, name);
    request.ifr_flags = up ? IFF_UP : 0;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
}

/* vnet: frames begin with a virtio header of 10 bytes. */
static inline int open_host(const char *name, bool vnet)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(0x0003), /* ETH_P_ALL */
        .sll_ifindex = (int)if_nametoindex(name),
    };
    int one = 1;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(0x0003));

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (vnet) {
        assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
    }
    return fd;
}

static inline uint32_t make_frame(uint8_t *frame, uint32_t size, uint32_t number)
{
    static const uint8_t head[14] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
                                     0,    0,    0,    0,    1,    0x88, 0xb5};

    for (uint32_t i = 0; i < size; i++) {
        frame[i] = (uint8_t)(number * 5 + i);
    }
    memcpy(frame, head, sizeof(head));
    return size;
}

static inline bool is_ours(const uint8_t *frame, uint32_t size)
{
    return size >= 14 && frame[12] == 0x88 && frame[13] == 0xb5;
}

/* The next frame of ours that the guest got; the kernel of its own accord sends others. */
static inline uint32_t guest_gets(struct net_rig *rig, uint16_t pair, uint8_t *to)
{
    uint32_t size;

    do {
        size = net_rig_receive(rig, pair, to, NULL);
    } while (size != 0 && !is_ours(to, size));
    return size;
}

static inline uint32_t host_gets(int fd, uint8_t *to, uint32_t room)
{
    ssize_t size;

    do {
        size = recv(fd, to, room, 0);
    } while (size > 0 && !is_ours(to, (uint32_t)size));
    return size > 0 ? (uint32_t)size : 0;
}

/* ---- Set-up ---- */

static inline struct net_rig *new_tap(uint16_t queues)
{
    struct net_rig *rig = net_rig_begin();
    struct config_net *config = &rig->vm.config.nets[0];

    config->make_tap = true;
    config->tap = strdup("bothytest0");
    config->queues = queues;
    return rig;
}

static inline void start(struct net_rig *rig, uint64_t features)
{
    struct error error = ERROR_NONE;

    if (!net_rig_build(rig, &error)) {
        fail_msg("%s", error.text);
    }
    assert_true(vring_driver_start(rig->driver, features, NET_RIG_QUEUE));
}

struct arrival {
    uint32_t wanted;
    uint32_t got;
    uint8_t *bytes;
    uint16_t pair;
};

/* Frames come whole, in order and unchanged. */
static inline bool all_arrived(struct net_rig *rig, void *argument)
{
    struct arrival *arrival = argument;
    uint8_t expected[VIRTIO_NET_FRAME_MAX];
    uint32_t size;

    while ((size = guest_gets(rig, arrival->pair, arrival->bytes)) != 0) {
        make_frame(expected, size, arrival->got++);
        assert_memory_equal(arrival->bytes, expected, size);
    }
    return arrival->got >= arrival->wanted;
}

#endif
