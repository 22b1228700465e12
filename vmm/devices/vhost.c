/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost: ioctls, and the one rule that a queue belongs either to the kernel or to us. While it is
 * the kernel's, nobody here looks at its indices; vhost_stop_vring() brings them back.
 */
#include "vmm/devices/vhost.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int vhost_ioctl(const struct vhost *vhost, unsigned long request, void *argument)
{
    int result;

    do {
        result = ioctl(vhost->fd, request, argument);
    } while (result < 0 && errno == EINTR);
    return result;
}

static bool refuse_open(const char *path, int errno_value, struct error *error)
{
    switch (errno_value) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return error_set(error, EXIT_CODE_HOST,
                         "%s: this host has no such device; load its module (modprobe %s)", path,
                         strcmp(path, "/dev/vhost-net") == 0 ? "vhost_net" : "vhost_vsock");
    case EACCES:
    case EPERM:
        return error_set(error, EXIT_CODE_HOST,
                         "%s: no permission; become a member of its group (often kvm)", path);
    default:
        return error_set_errno(error, EXIT_CODE_HOST, errno_value, "%s", path);
    }
}

bool vhost_open(struct vhost *vhost, const char *path, struct error *error)
{
    __u64 features = 0;

    vhost->path = path;
    vhost->fd = open(path, O_RDWR | O_CLOEXEC);
    if (vhost->fd < 0) {
        return refuse_open(path, errno, error);
    }
    if (vhost_ioctl(vhost, VHOST_SET_OWNER, NULL) < 0 ||
        vhost_ioctl(vhost, VHOST_GET_FEATURES, &features) < 0) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "%s: the kernel refuses to serve it", path);
        vhost_close(vhost);
        return false;
    }
    vhost->features = features;
    return true;
}

void vhost_close(struct vhost *vhost)
{
    if (vhost->fd >= 0) {
        close(vhost->fd);
        vhost->fd = -1;
    }
}

bool vhost_set_memory(struct vhost *vhost, const struct vm *vm, struct error *error)
{
    struct vm_memory_region region;
    uint64_t words[(sizeof(struct vhost_memory) + sizeof(struct vhost_memory_region)) / 8] = {0};
    struct vhost_memory *table = (struct vhost_memory *)(void *)words;

    vm_memory_region(vm, &region);
    table->nregions = 1;
    table->regions[0].guest_phys_addr = region.ipa;
    table->regions[0].memory_size = region.size;
    table->regions[0].userspace_addr = (uintptr_t)region.base;
    if (vhost_ioctl(vhost, VHOST_SET_MEM_TABLE, table) < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "%s: the kernel doesn't take the guest's memory", vhost->path);
    }
    return true;
}

bool vhost_set_features(struct vhost *vhost, uint64_t features)
{
    __u64 known = features & vhost->features;

    return vhost_ioctl(vhost, VHOST_SET_FEATURES, &known) == 0;
}

/* The rings are user addresses here: virtqueue_start() has found and checked them. */
static bool set_addresses(struct vhost *vhost, uint16_t index, const struct virtqueue *queue)
{
    struct vhost_vring_addr address = {
        .index = index,
        .desc_user_addr = (uintptr_t)queue->ring_descriptors,
        .avail_user_addr = (uintptr_t)queue->ring_driver,
        .used_user_addr = (uintptr_t)queue->ring_device,
    };

    return vhost_ioctl(vhost, VHOST_SET_VRING_ADDR, &address) == 0;
}

static bool set_number(struct vhost *vhost, unsigned long request, uint16_t index, uint32_t value)
{
    struct vhost_vring_state state = {.index = index, .num = value};

    return vhost_ioctl(vhost, request, &state) == 0;
}

static bool set_file(struct vhost *vhost, unsigned long request, uint16_t index, int fd)
{
    struct vhost_vring_file file = {.index = index, .fd = fd};

    return vhost_ioctl(vhost, request, &file) == 0;
}

bool vhost_start_vring(struct vhost *vhost, const struct vhost_vring *vring)
{
    const struct virtqueue *queue = vring->queue;
    uint16_t index = vring->index;

    /* The kick comes last: the kernel looks at it at once, and finds what the guest has signalled
     * before now. */
    return set_number(vhost, VHOST_SET_VRING_NUM, index, queue->ring_size) &&
           set_number(vhost, VHOST_SET_VRING_BASE, index, queue->next_avail) &&
           set_addresses(vhost, index, queue) &&
           set_file(vhost, VHOST_SET_VRING_ERR, index, vring->error_fd) &&
           set_file(vhost, VHOST_SET_VRING_CALL, index, vring->call_fd) &&
           set_file(vhost, VHOST_SET_VRING_KICK, index, vring->kick_fd);
}

bool vhost_net_set_backend(struct vhost *vhost, uint16_t index, int tap_fd)
{
    return set_file(vhost, VHOST_NET_SET_BACKEND, index, tap_fd);
}

bool vhost_vsock_set_cid(struct vhost *vhost, uint64_t cid)
{
    __u64 value = cid;

    return vhost_ioctl(vhost, VHOST_VSOCK_SET_GUEST_CID, &value) == 0;
}

bool vhost_vsock_set_running(struct vhost *vhost, bool running)
{
    int value = running;

    return vhost_ioctl(vhost, VHOST_VSOCK_SET_RUNNING, &value) == 0;
}

void vhost_stop_vring(struct vhost *vhost, const struct vhost_vring *vring)
{
    struct vhost_vring_state state = {.index = vring->index};

    set_file(vhost, VHOST_SET_VRING_KICK, vring->index, -1);
    set_file(vhost, VHOST_SET_VRING_CALL, vring->index, -1);
    if (vhost_ioctl(vhost, VHOST_GET_VRING_BASE, &state) == 0) {
        /* Stopped, the kernel has given back all that it took. */
        vring->queue->next_avail = (uint16_t)state.num;
        vring->queue->next_used = (uint16_t)state.num;
        vring->queue->avail_seen = (uint16_t)state.num;
    }
}
