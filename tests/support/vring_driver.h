/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's side of a virtio device, for tests and fuzz targets: RAM behind a fake vm_ops, the
 * virtio-mmio transport, and a driver that negotiates, sets up rings of either format, adds chains
 * and collects what was used. All rings and buffers lie in `ram`, a malloc of its own, so that
 * AddressSanitizer sees what leaves it. A mistake of the test itself ends in abort().
 *
 *     struct vring_driver *driver = vring_driver_create(&blk.device, MIB(1));
 *     vring_driver_start(driver, VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX, 16);
 *     struct vring_buffer buffers[] = {vring_out(driver, &header, sizeof(header)),
 *                                      vring_in(driver, 512), vring_in(driver, 1)};
 *     int token = vring_add(driver, 0, buffers, 3, false);
 *     vring_kick(driver, 0);
 *     struct vring_used used;
 *     while (!vring_collect(driver, 0, &used)) ... let the back end work ...
 *     assert_memory_equal(vring_at(driver, buffers[1].ipa), expected, 512);
 */
#ifndef TESTS_SUPPORT_VRING_DRIVER_H
#define TESTS_SUPPORT_VRING_DRIVER_H

#include "machine/virtio/mmio.h"

#define VRING_RAM_BASE 0x40000000ull
#define VRING_SPI 16u
#define VRING_QUEUES_MAX 34u

/* The registers that a test pokes; offsets of section 4.2.2. */
enum vring_register {
    VRING_MAGIC = 0x000,
    VRING_VERSION = 0x004,
    VRING_DEVICE_ID = 0x008,
    VRING_VENDOR_ID = 0x00c,
    VRING_DEVICE_FEATURES = 0x010,
    VRING_DEVICE_FEATURES_SEL = 0x014,
    VRING_DRIVER_FEATURES = 0x020,
    VRING_DRIVER_FEATURES_SEL = 0x024,
    VRING_QUEUE_SEL = 0x030,
    VRING_QUEUE_NUM_MAX = 0x034,
    VRING_QUEUE_NUM = 0x038,
    VRING_QUEUE_READY = 0x044,
    VRING_QUEUE_NOTIFY = 0x050,
    VRING_INTERRUPT_STATUS = 0x060,
    VRING_INTERRUPT_ACK = 0x064,
    VRING_STATUS = 0x070,
    VRING_QUEUE_DESC = 0x080, /* low word; the high one is 4 later, so for the next two */
    VRING_QUEUE_DRIVER = 0x090,
    VRING_QUEUE_DEVICE = 0x0a0,
    VRING_SHM_SEL = 0x0ac,
    VRING_SHM_LEN = 0x0b0,
    VRING_QUEUE_RESET = 0x0c0,
    VRING_CONFIG_GENERATION = 0x0fc,
    VRING_CONFIG = 0x100,
};

struct vring_buffer {
    uint64_t ipa;
    uint32_t size;
    bool writable; /* by the device */
};

struct vring_used {
    int token; /* what vring_add() returned; -1: the device gave back what it hadn't */
    uint32_t written;
};

struct vring_queue {
    uint16_t size;                        /* 0: not set up */
    uint64_t descriptors, driver, device; /* IPAs, for tests that spoil them */
    uint16_t free;                        /* descriptors */
    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap; /* packed */
    uint16_t added;             /* since the last vring_kick(): chains, or packed descriptors */
    bool interrupts;            /* see vring_set_interrupts() */
    uint16_t *slots;            /* of each token: ring descriptors; 0: not in use */
    uint16_t *next_free;        /* split: the free list and the chains */
    uint16_t first_free;
};

struct vring_driver {
    uint8_t *ram;
    uint64_t ram_size, ram_used;
    struct virtio_device *device;
    struct virtio_mmio mmio;
    uint8_t *mirror; /* what the transport mirrors, if asked for */
    uint64_t features;
    struct vring_queue queues[VRING_QUEUES_MAX];
    unsigned int interrupts; /* edges so far */
    unsigned int notifications;
    uint64_t memory_calls; /* of vm_ops.memory_at: how much work the device has done */
    uint64_t clock_ns;     /* what vm_ops.clock_ns tells */
    bool level;
};

/* The fake machine; `vm` is the struct vring_driver. */
extern const struct vm_ops vring_vm_ops;

/* Attaches the device (which is the caller's) to a transport. */
struct vring_driver *vring_driver_create(struct virtio_device *device, size_t ram_size);
/* The same with a mirror and with ops of the place (may be NULL), for tests of the transport. */
struct vring_driver *vring_driver_create_at(struct virtio_device *device, size_t ram_size,
                                            const struct virtio_mmio_place *place_ops, bool mirror);
/* NULL-safe. The device isn't touched. */
void vring_driver_destroy(struct vring_driver *driver);

/* Reset, negotiate those of `features` that are offered (VERSION_1 always), set up all queues of
 * the device with this many entries or their maximum, DRIVER_OK. False if the status shows that
 * the device did not take it. Frees all guest memory first. */
bool vring_driver_start(struct vring_driver *driver, uint64_t features, uint16_t queue_size);

/* Its steps one by one, for tests that do something in between. */
bool vring_negotiate(struct vring_driver *driver, uint64_t features); /* up to FEATURES_OK */
bool vring_setup_queue(struct vring_driver *driver, uint16_t queue, uint16_t size);
bool vring_driver_ok(struct vring_driver *driver);
/* Write status 0; true if it reads 0 then. */
bool vring_driver_reset(struct vring_driver *driver);

uint32_t vring_read(struct vring_driver *driver, uint32_t offset); /* 32 bits */
void vring_write(struct vring_driver *driver, uint32_t offset, uint32_t value);
uint64_t vring_config(struct vring_driver *driver, uint32_t offset, unsigned int size);
void vring_config_write(struct vring_driver *driver, uint32_t offset, unsigned int size,
                        uint64_t value);

/* Guest memory: zeroed, aligned to 16 (alloc) or as said; freed only by vring_driver_start(). */
uint64_t vring_alloc(struct vring_driver *driver, size_t size);
uint64_t vring_alloc_aligned(struct vring_driver *driver, size_t size, size_t align);
void *vring_at(struct vring_driver *driver, uint64_t ipa);
/* A new buffer: with a copy of these bytes for the device to read; for it to write. */
struct vring_buffer vring_out(struct vring_driver *driver, const void *bytes, uint32_t size);
struct vring_buffer vring_in(struct vring_driver *driver, uint32_t size);

/* Make a chain available, through an indirect table if asked. The token is below the queue's size;
 * -1: no descriptors are free. */
int vring_add(struct vring_driver *driver, uint16_t queue, const struct vring_buffer *buffers,
              unsigned int count, bool indirect);
/* Notify the device unless it does without; whether it was notified. */
bool vring_kick(struct vring_driver *driver, uint16_t queue);
void vring_notify(struct vring_driver *driver, uint16_t queue); /* in any case */

/* The next used chain, if there is one. */
bool vring_collect(struct vring_driver *driver, uint16_t queue, struct vring_used *ret_used);
/* Ask for interrupts (the default), with EVENT_IDX at each used chain, or for none. With EVENT_IDX
 * vring_collect() keeps asking for the next one as long as they are enabled. */
void vring_set_interrupts(struct vring_driver *driver, uint16_t queue, bool enable);
/* Read InterruptStatus and acknowledge it, as a handler does. */
uint32_t vring_handle_interrupt(struct vring_driver *driver);

#endif
