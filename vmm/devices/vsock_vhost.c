/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-vsock: the host reaches the guest by AF_VSOCK sockets, and both data queues are the
 * kernel's. Only the event queue stays here, on which nothing ever happens.
 *
 * Invariant: `started` only while the device runs and isn't paused; both virtqueues are nobody
 * else's then. The device's lock guards it.
 */
#include "bothy/bits.h"
#include "machine/virtio/vsock.h"
#include "vmm/base/log.h"
#include "vmm/devices/vhost.h"
#include "vmm/devices/vsock.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VHOST_VSOCK "/dev/vhost-vsock"
#define DATA_QUEUES 2u /* RX and TX; the kernel's vrings have the same numbers */

struct vsock_vhost {
    struct vmm_device base;
    struct virtio_device virtio;
    struct virtqueue queues[VIRTIO_VSOCK_QUEUES];
    uint64_t cid; /* the configuration space */
    struct vm *vm;
    struct vhost vhost;
    struct loop_source broken; /* the kernel found that the guest broke a ring */
    bool started, paused;
};

static struct vsock_vhost *of_base(struct vmm_device *base)
{
    return CONTAINER_OF(base, struct vsock_vhost, base);
}

static struct vsock_vhost *of_virtio(struct virtio_device *virtio)
{
    return CONTAINER_OF(virtio, struct vsock_vhost, virtio);
}

static struct vhost_vring vring_of(struct vsock_vhost *vsock, uint16_t queue)
{
    return (struct vhost_vring){
        .index = queue,
        .queue = &vsock->queues[queue],
        .kick_fd = vm_queue_kick_fd(vsock->vm, &vsock->virtio, queue),
        .call_fd = vm_queue_call_fd(vsock->vm, &vsock->virtio, queue),
        .error_fd = vsock->broken.fd,
    };
}

static void stop(struct vsock_vhost *vsock)
{
    if (!vsock->started) {
        return;
    }
    vhost_vsock_set_running(&vsock->vhost, false); /* returns when the kernel's thread has let go */
    for (uint16_t i = 0; i < DATA_QUEUES; i++) {
        struct vhost_vring vring = vring_of(vsock, i);

        vhost_stop_vring(&vsock->vhost, &vring);
    }
    vsock->started = false;
}

static void start(struct vsock_vhost *vsock)
{
    bool good;

    if (vsock->started || vsock->paused || !vsock->queues[VIRTIO_VSOCK_RX].running ||
        !vsock->queues[VIRTIO_VSOCK_TX].running) {
        return;
    }
    vsock->started = true;
    good = vhost_set_features(&vsock->vhost, vsock->virtio.features);
    for (uint16_t i = 0; i < DATA_QUEUES && good; i++) {
        struct vhost_vring vring = vring_of(vsock, i);

        good = vhost_start_vring(&vsock->vhost, &vring);
    }
    if (!good || !vhost_vsock_set_running(&vsock->vhost, true)) {
        log_warning("vsock: vhost-vsock doesn't take the guest's queues: %s", strerror(errno));
        stop(vsock);
        virtio_device_broken(&vsock->virtio);
    }
}

static void activate(struct virtio_device *virtio)
{
    start(of_virtio(virtio));
}

static bool reset(struct virtio_device *virtio)
{
    stop(of_virtio(virtio));
    return true;
}

/* A notification that came as an exit: pass it on to the kernel. */
static void notify(struct virtio_device *virtio, uint16_t queue)
{
    struct vsock_vhost *vsock = of_virtio(virtio);
    const uint64_t one = 1;

    if (queue < DATA_QUEUES &&
        write(vm_queue_kick_fd(vsock->vm, virtio, queue), &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it has been signalled often enough */
    }
}

static const struct virtio_device_ops device_ops = {
    .activate = activate, .reset = reset, .notify = notify};

static void broken_ready(struct loop_source *source, uint32_t events)
{
    struct vsock_vhost *vsock = CONTAINER_OF(source, struct vsock_vhost, broken);
    uint64_t count;

    (void)events;
    if (read(source->fd, &count, sizeof(count)) != (ssize_t)sizeof(count)) {
        return;
    }
    spin_lock(&vsock->virtio.lock);
    if (vsock->started) {
        stop(vsock);
        virtio_device_broken(&vsock->virtio);
    }
    spin_unlock(&vsock->virtio.lock);
}

static bool kicks_elsewhere(struct vmm_device *base, uint16_t queue)
{
    (void)base;
    return queue < DATA_QUEUES;
}

static bool attached(struct vmm_device *base, struct error *error)
{
    struct vsock_vhost *vsock = of_base(base);
    /* Asking for them makes them, which has to be done before the process is jailed. */
    struct vhost_vring rx = vring_of(vsock, VIRTIO_VSOCK_RX);
    struct vhost_vring tx = vring_of(vsock, VIRTIO_VSOCK_TX);

    if (rx.kick_fd < 0 || rx.call_fd < 0 || tx.kick_fd < 0 || tx.call_fd < 0) {
        return error_set(error, EXIT_CODE_HOST,
                         "vsock: mode=vhost needs a KVM that notifies by descriptors; use "
                         "mode=unix");
    }
    if (!loop_add(vm_get_loop(vsock->vm), &vsock->broken)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "vsock: no event");
    }
    return vhost_set_memory(&vsock->vhost, vsock->vm, error);
}

static void pause_device(struct vmm_device *base, bool paused)
{
    struct vsock_vhost *vsock = of_base(base);

    spin_lock(&vsock->virtio.lock);
    vsock->paused = paused;
    if (paused) {
        stop(vsock);
    } else if (virtio_device_is_running(&vsock->virtio)) {
        start(vsock);
    }
    spin_unlock(&vsock->virtio.lock);
}

static void quiesce(struct vmm_device *base)
{
    struct vsock_vhost *vsock = of_base(base);

    spin_lock(&vsock->virtio.lock);
    stop(vsock);
    spin_unlock(&vsock->virtio.lock);
}

static void destroy(struct vmm_device *base)
{
    struct vsock_vhost *vsock = of_base(base);

    quiesce(base);
    vhost_close(&vsock->vhost);
    if (vsock->broken.fd >= 0) {
        loop_remove(vm_get_loop(vsock->vm), &vsock->broken);
        close(vsock->broken.fd);
    }
    free(vsock);
}

static void init(struct vsock_vhost *vsock, struct vm *vm, uint32_t cid)
{
    vsock->vm = vm;
    vsock->cid = cid;
    vsock->vhost = (struct vhost)VHOST_CLOSED;
    vsock->broken =
        (struct loop_source){eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), EPOLLIN, broken_ready};
    virtio_device_init(&vsock->virtio, VIRTIO_ID_VSOCK, &device_ops, vsock->queues,
                       VIRTIO_VSOCK_QUEUES, VIRTIO_VSOCK_QUEUE_SIZE, 0);
    vsock->virtio.config = &vsock->cid;
    vsock->virtio.config_size = sizeof(vsock->cid);
    vsock->virtio.external_interrupts = true;
    vsock->base = (struct vmm_device){.id = "vsock",
                                      .kind = "vsock",
                                      .virtio = &vsock->virtio,
                                      .kicks_elsewhere = kicks_elsewhere,
                                      .attached = attached,
                                      .pause = pause_device,
                                      .quiesce = quiesce,
                                      .destroy = destroy};
}

static bool open_kernel(struct vsock_vhost *vsock, struct error *error)
{
    const uint64_t of_rings = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED;

    if (vsock->broken.fd < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "vsock: no eventfd");
    }
    if (!vhost_open(&vsock->vhost, VHOST_VSOCK, error)) {
        return false;
    }
    vsock->virtio.features_offered &= ~(of_rings & ~vsock->vhost.features);
    vsock->virtio.features_offered &= ~VIRTIO_F_RING_PACKED;
    if (!vhost_vsock_set_cid(&vsock->vhost, vsock->cid)) {
        return errno == EADDRINUSE
                   ? error_set(error, EXIT_CODE_USAGE,
                               "vsock: another VM of this host has the CID %llu; choose another "
                               "with cid=",
                               (unsigned long long)vsock->cid)
                   : error_set_errno(error, EXIT_CODE_HOST, errno, "vsock: CID %llu",
                                     (unsigned long long)vsock->cid);
    }
    return true;
}

struct vmm_device *vsock_vhost_create(struct vm *vm, const struct config_vsock *config,
                                      struct error *error)
{
    struct vsock_vhost *vsock = calloc(1, sizeof(*vsock));

    if (vsock == NULL) {
        error_set(error, EXIT_CODE_HOST, "vsock: no memory");
        return NULL;
    }
    init(vsock, vm, config->cid);
    if (!open_kernel(vsock, error)) {
        destroy(&vsock->base);
        return NULL;
    }
    return &vsock->base;
}
