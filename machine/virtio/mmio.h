/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport, VIRTIO 1.2 section 4.2 (version 2; legacy drivers see nothing).
 *
 * The interrupt is edge-triggered in the device tree: each edge of the line is one. Where the
 * floor can map a page read-only into the guest, `mirror` is that page's part for this device: the
 * transport keeps in it what each register would read as, so that reads don't leave the guest.
 */
#ifndef MACHINE_VIRTIO_MMIO_H
#define MACHINE_VIRTIO_MMIO_H

#include "bothy/types.h"
#include "machine/virtio/device.h"

#define VIRTIO_MMIO_SIZE 0x200u
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050u
#define VIRTIO_MMIO_INTERRUPT_STATUS 0x060u
#define VIRTIO_MMIO_INTERRUPT_ACK 0x064u
#define VIRTIO_MMIO_INT_VRING 1u
#define VIRTIO_MMIO_INT_CONFIG 2u

/* What the place where it lives does for it; `place` comes back. May be NULL as a whole. */
struct virtio_mmio_place {
    /* Interrupts: an edge for each call, whatever InterruptStatus says. Without it the irq_set of
     * vm_ops is called with true, then false. */
    void (*pulse)(void *place, uint32_t spi);
    /* The queues have begun (true) or ceased to run: wire or unwire notification descriptors. */
    void (*running)(void *place, struct virtio_device *device, bool running);
    /* `mirror` has changed: make it visible to a guest that reads it uncached. */
    void (*mirror_changed)(void *place, void *from, size_t size);
    /* Set where the driver's writes to InterruptACK may reach virtio_mmio_ack() late (KVM's
     * coalesced MMIO): fetch those that were made until now and give each to virtio_mmio_ack() of
     * its device, which takes no lock. Called with a device's lock held, before a configuration
     * interrupt. With this the VRING bit is never cleared but by reset. */
    void (*flush_acks)(void *place);
    /* The driver has written status 0 and the back end isn't idle yet (device->resetting). A driver
     * of this transport need not poll, and Linux doesn't: return when `resetting` is clear, or when
     * this vCPU has to stop. Called by the vCPU's thread, without the lock. May be NULL. */
    void (*wait_reset)(void *place, struct virtio_device *device);
};

struct virtio_mmio {
    struct virtio_device *device;
    const struct vm_ops *vm_ops;
    void *vm;
    const struct virtio_mmio_place *place_ops;
    void *place;
    uint32_t spi;
    uint32_t *interrupt; /* InterruptStatus: in the mirror, or the next word. Atomic: the back end
                            sets bits and the guest clears them without the lock */
    uint32_t interrupt_status; /* used without a mirror */
    bool reset_pending;        /* the driver's reset has not been done at once */
    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint8_t *mirror; /* VIRTIO_MMIO_SIZE bytes, 8-aligned, or NULL */
};

/* device: initialized, gets attached. mirror may be NULL. */
void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device,
                      const struct vm_ops *vm_ops, void *vm, uint32_t spi,
                      const struct virtio_mmio_place *place_ops, void *place, uint8_t *mirror);

/* A machine reset: registers and the device as after power-on. */
void virtio_mmio_power_on(struct virtio_mmio *mmio);

/* The driver's write to InterruptACK. Takes no lock. */
void virtio_mmio_ack(struct virtio_mmio *mmio, uint32_t bits);

/* A device_access_t for the bus: device is the struct virtio_mmio. */
void virtio_mmio_access(void *device, uint64_t offset, unsigned int size, bool write,
                        uint64_t *value);

#endif
