/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's vhost interface (linux/vhost.h), which net and vsock share: a data path that takes
 * a queue's kicks and makes its interrupts without us.
 *
 * Split rings only: a device over vhost clears VIRTIO_F_RING_PACKED, and whatever else
 * vhost_features() lacks, out of virtio_device.features_offered after virtio_device_init(). It
 * also sets virtio_device.external_interrupts, because nobody tells the transport of an interrupt.
 *
 * linux/vhost.h gives VIRTIO_F_ names other values (numbers of bits): a file that includes it must
 * not use those of machine/virtio/virtio.h.
 *
 * All calls are ioctl(2) on a descriptor opened by vhost_open(): they work after the process has
 * been jailed, and from vCPU threads.
 */
#ifndef VMM_DEVICES_VHOST_H
#define VMM_DEVICES_VHOST_H

#include "machine/virtio/queue.h"
#include "vmm/base/error.h"
#include "vmm/vm/vm.h"

struct vhost {
    int fd;            /* -1: closed */
    const char *path;  /* for messages; kept, not copied */
    uint64_t features; /* what the kernel can */
};

#define VHOST_CLOSED {-1, "", 0}

/* Open e.g. /dev/vhost-net, own it, and ask for its features. */
bool vhost_open(struct vhost *vhost, const char *path, struct error *error);
void vhost_close(struct vhost *vhost);

/* Tell it where guest memory is; once, before a vring starts. */
bool vhost_set_memory(struct vhost *vhost, const struct vm *vm, struct error *error);

/* The features that the driver took, of which the kernel gets those that it knows; before the
 * first vring starts. False and errno. */
bool vhost_set_features(struct vhost *vhost, uint64_t features);

struct vhost_vring {
    uint16_t index;          /* the kernel's, from 0 */
    struct virtqueue *queue; /* running, split */
    int kick_fd, call_fd;    /* vm_queue_kick_fd(), vm_queue_call_fd() */
    int error_fd;            /* an eventfd that is signalled when the guest broke the ring, or -1 */
};

/* Hand over a queue from where it is. The device's own call (VHOST_NET_SET_BACKEND,
 * VHOST_VSOCK_SET_RUNNING) makes it run. False and errno. */
bool vhost_start_vring(struct vhost *vhost, const struct vhost_vring *vring);

/* Take it back, after the device's own call has stopped it: the queue goes on from where the
 * kernel left it. */
void vhost_stop_vring(struct vhost *vhost, const struct vhost_vring *vring);

/* VHOST_NET_SET_BACKEND: the kernel takes the vring's frames from, or gives them to, this tap; -1
 * stops it, and returns when it has let go. False and errno. */
bool vhost_net_set_backend(struct vhost *vhost, uint16_t index, int tap_fd);

/* VHOST_VSOCK_SET_GUEST_CID and VHOST_VSOCK_SET_RUNNING, which stops only when the kernel has let
 * go. False and errno. */
bool vhost_vsock_set_cid(struct vhost *vhost, uint64_t cid);
bool vhost_vsock_set_running(struct vhost *vhost, bool running);

/* ioctl(2) that is tried again when a signal interrupts it. */
int vhost_ioctl(const struct vhost *vhost, unsigned long request, void *argument);

#endif
