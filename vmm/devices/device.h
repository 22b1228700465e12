/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of the VMM: the portable virtio device of machine/virtio and its back end in Linux. The
 * builder calls the create functions before the process is jailed: whatever has to be opened is
 * opened there. Afterwards a device lives on the main thread's loop.
 */
#ifndef VMM_DEVICES_DEVICE_H
#define VMM_DEVICES_DEVICE_H

#include "machine/virtio/device.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"

struct metrics;

struct vmm_device {
    const char *id;               /* unique in the VM; lives as long as the device */
    const char *kind;             /* "disk", "net", "console", "rng", "vsock", "balloon" */
    struct virtio_device *virtio; /* for the transport */
    /* Kicks are taken by someone else (vhost): the VM doesn't listen to the queue's descriptor.
     * NULL: to none. */
    bool (*kicks_elsewhere)(struct vmm_device *device, uint16_t queue);
    /* The driver has notified a queue, on the main thread: instead of virtio_device_notify(). May
     * be NULL. */
    void (*notified)(struct vmm_device *device, uint16_t queue);
    /* Guest memory, kick and call descriptors can be had from now on. May be NULL. */
    bool (*attached)(struct vmm_device *device, struct error *error);
    /* The process is jailed, and the main thread's system-call filter comes next: threads are made
     * here, or not at all. May be NULL. */
    bool (*start)(struct vmm_device *device, struct error *error);
    /* The VM was paused (true) or goes on; when it returns from pausing, nothing of the device
     * touches guest memory any more. May be NULL. */
    void (*pause)(struct vmm_device *device, bool paused);
    /* Wait until nothing of the device touches guest memory, before memory is cleared (reboot). */
    void (*quiesce)(struct vmm_device *device);
    /* May be NULL. */
    void (*metrics)(struct vmm_device *device, struct metrics *metrics);
    void (*destroy)(struct vmm_device *device);
    struct vmm_device *next;
};

/* Each opens its back end and returns a device, or NULL and a sentence. The configuration outlives
 * the device. */
struct vmm_device *disk_create(struct vm *vm, const struct config_disk *config,
                               struct error *error);
struct vmm_device *net_create(struct vm *vm, const struct config_net *config, struct error *error);
struct vmm_device *vsock_create(struct vm *vm, const struct config_vsock *config,
                                struct error *error);
struct vmm_device *balloon_create(struct vm *vm, const struct config_balloon *config,
                                  struct error *error);
struct vmm_device *rng_create(struct vm *vm, struct error *error);
struct vmm_device *virtio_console_create(struct vm *vm, struct error *error);

/* Run-time changes, for the API; main thread. False and a sentence. */
bool disk_set_rate(struct vmm_device *device, const struct config_rate *rate, struct error *error);
bool disk_replace(struct vmm_device *device, const char *path, struct error *error);
bool net_set_rate(struct vmm_device *device, const struct config_rate *rx,
                  const struct config_rate *tx, struct error *error);
bool balloon_set_target(struct vmm_device *device, uint64_t target_mib, struct error *error);
bool balloon_set_interval(struct vmm_device *device, uint32_t seconds, struct error *error);

struct balloon_stats { /* in bytes; UINT64_MAX: the guest hasn't told */
    uint64_t target, actual;
    uint64_t swap_in, swap_out, major_faults, minor_faults;
    uint64_t free, total, available, disk_caches, hugetlb_allocations, hugetlb_failures;
};
bool balloon_get_stats(struct vmm_device *device, struct balloon_stats *ret_stats);

#endif
