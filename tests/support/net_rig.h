/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM's network device with a real back end and a test's driver as its guest: net_create() on
 * a loop of its own, in a VM that has nothing else.
 */
#ifndef TESTS_SUPPORT_NET_RIG_H
#define TESTS_SUPPORT_NET_RIG_H

#include "tests/support/vring_driver.h"
#include "vmm/devices/net.h"

#define NET_RIG_QUEUE 128u
#define NET_RIG_HEADER VIRTIO_NET_HEADER

struct vm {
    struct vm_config config;
    struct loop *loop;
};

struct net_rig {
    struct vm vm;
    struct vmm_device *device;
    struct net *net; /* the same */
    struct vring_driver *driver;
    uint64_t rx_ipas[2 * CONFIG_QUEUES_MAX][NET_RIG_QUEUE]; /* by queue and token */
    unsigned int rounds; /* of the loop */
    struct loop_hook hook;
    struct loop_timer timer;
    bool (*done)(struct net_rig *rig, void *argument);
    void *argument;
    bool timed_out;
};

/* A VM with one net (config.nets[0]) of defaults: a tap, one queue. */
struct net_rig *net_rig_begin(void);
/* NULL-safe parts: what was made is unmade. */
void net_rig_end(struct net_rig *rig);

/* As vm_build() does. False and a sentence. */
bool net_rig_build(struct net_rig *rig, struct error *error);

/* Serve events until done() says so. False: it took longer. done NULL: just that long. */
bool net_rig_run(struct net_rig *rig, bool (*done)(struct net_rig *rig, void *argument),
                 void *argument, unsigned int ms);

/* The guest: `count` more receive buffers; a frame to send, behind a header of zeros. */
void net_rig_refill(struct net_rig *rig, uint16_t pair, unsigned int count, uint32_t size);
void net_rig_send(struct net_rig *rig, uint16_t pair, const void *frame, uint32_t size);
/* The next frame that the guest has received, without the header; its size, or 0. `to` has room for
 * VIRTIO_NET_FRAME_MAX. header: NULL, or takes VIRTIO_NET_HEADER bytes. */
uint32_t net_rig_receive(struct net_rig *rig, uint16_t pair, uint8_t *to, uint8_t *header);

#endif
