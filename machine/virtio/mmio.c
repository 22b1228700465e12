/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mmio, registers of section 4.2.2.
 *
 * InterruptStatus is one atomic word, in the mirror where there is one, so that a back end sets
 * bits and a vCPU clears them without the device's lock and no copy can lag behind. All other words
 * of the mirror are written under the lock, after the access that changes what they show.
 *
 * Where acknowledgements come late (place_ops->flush_acks), one that is older than an interrupt
 * must not clear its bit: the driver would look at the status, see nothing and go. So there the
 * VRING bit stays set once it is, which costs a driver nothing (it looks at its rings at each
 * interrupt), and for the CONFIG bit all older acknowledgements are fetched before it is set.
 */
#include "machine/virtio/mmio.h"
#include "bothy/bits.h"
#include "bothy/string.h"

#define REG_MAGIC 0x000u
#define REG_VERSION 0x004u
#define REG_DEVICE_ID 0x008u
#define REG_VENDOR_ID 0x00cu
#define REG_DEVICE_FEATURES 0x010u
#define REG_DEVICE_FEATURES_SEL 0x014u
#define REG_DRIVER_FEATURES 0x020u
#define REG_DRIVER_FEATURES_SEL 0x024u
#define REG_QUEUE_SEL 0x030u
#define REG_QUEUE_NUM_MAX 0x034u
#define REG_QUEUE_NUM 0x038u
#define REG_QUEUE_READY 0x044u
#define REG_STATUS 0x070u
#define REG_QUEUE_DESC_LOW 0x080u
#define REG_QUEUE_DESC_HIGH 0x084u
#define REG_QUEUE_DRIVER_LOW 0x090u
#define REG_QUEUE_DRIVER_HIGH 0x094u
#define REG_QUEUE_DEVICE_LOW 0x0a0u
#define REG_QUEUE_DEVICE_HIGH 0x0a4u
#define REG_SHM_LEN_LOW 0x0b0u
#define REG_SHM_BASE_HIGH 0x0bcu
#define REG_CONFIG_GENERATION 0x0fcu
#define REG_CONFIG 0x100u

#define MAGIC 0x74726976u  /* "virt" */
#define VENDOR 0x59485442u /* "BTHY" */

static struct virtqueue *selected(const struct virtio_mmio *mmio)
{
    return mmio->queue_sel < mmio->device->nr_queues ? &mmio->device->queues[mmio->queue_sel]
                                                     : NULL;
}

static uint32_t read_register(const struct virtio_mmio *mmio, uint32_t offset)
{
    const struct virtio_device *device = mmio->device;
    const struct virtqueue *queue = selected(mmio);

    switch (offset) {
    case REG_MAGIC:
        return MAGIC;
    case REG_VERSION:
        return 2;
    case REG_DEVICE_ID:
        return device->id;
    case REG_VENDOR_ID:
        return VENDOR;
    case REG_DEVICE_FEATURES:
        return mmio->device_features_sel > 1
                   ? 0
                   : (uint32_t)(device->features_offered >> (32 * mmio->device_features_sel));
    case REG_QUEUE_NUM_MAX:
        return queue != NULL ? queue->size_max : 0;
    case REG_QUEUE_READY:
        return queue != NULL && queue->enabled;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return __atomic_load_n(mmio->interrupt, __ATOMIC_RELAXED);
    case REG_STATUS:
        return device->status;
    case REG_CONFIG_GENERATION:
        return device->generation;
    default: /* there is no shared memory, whichever is selected: length and base are -1 */
        return offset >= REG_SHM_LEN_LOW && offset <= REG_SHM_BASE_HIGH ? UINT32_MAX : 0;
    }
}

static void mirror_changed(const struct virtio_mmio *mmio, uint32_t offset, size_t size)
{
    if (mmio->place_ops != NULL && mmio->place_ops->mirror_changed != NULL) {
        mmio->place_ops->mirror_changed(mmio->place, mmio->mirror + offset, size);
    }
}

static uint32_t *mirror_word(const struct virtio_mmio *mmio, uint32_t offset)
{
    return (uint32_t *)(void *)(mmio->mirror + offset);
}

/* Release: a driver that sees this word sees what was mirrored before it. */
static void mirror_set(const struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    if (mmio->mirror != NULL && *mirror_word(mmio, offset) != value) {
        __atomic_store_n(mirror_word(mmio, offset), value, __ATOMIC_RELEASE);
        mirror_changed(mmio, offset, 4);
    }
}

static void mirror_register(const struct virtio_mmio *mmio, uint32_t offset)
{
    mirror_set(mmio, offset, read_register(mmio, offset));
}

static void mirror_config(const struct virtio_mmio *mmio)
{
    uint32_t size = MIN(mmio->device->config_size, VIRTIO_MMIO_SIZE - REG_CONFIG);

    if (mmio->mirror != NULL && size != 0) {
        memcpy(mmio->mirror + REG_CONFIG, mmio->device->config, size);
        mirror_changed(mmio, REG_CONFIG, size);
    }
}

/* What depends on status and selectors. */
static void mirror_state(const struct virtio_mmio *mmio)
{
    mirror_register(mmio, REG_DEVICE_FEATURES);
    mirror_register(mmio, REG_QUEUE_NUM_MAX);
    mirror_register(mmio, REG_QUEUE_READY);
    mirror_register(mmio, REG_STATUS);
}

/* A driver that reads the configuration between two equal generations has it whole: an odd one
 * stands there from before the first byte changes until after the last. */
static void mirror_new_config(const struct virtio_mmio *mmio)
{
    uint32_t generation = read_register(mmio, REG_CONFIG_GENERATION);

    if (mmio->mirror != NULL && *mirror_word(mmio, REG_CONFIG_GENERATION) != generation) {
        mirror_set(mmio, REG_CONFIG_GENERATION, generation - 1);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the odd one is there before the bytes */
        mirror_config(mmio);
        mirror_set(mmio, REG_CONFIG_GENERATION, generation);
    }
}

static void mirror_all(const struct virtio_mmio *mmio)
{
    for (uint32_t offset = 0; mmio->mirror != NULL && offset < REG_CONFIG; offset += 4) {
        if (offset != VIRTIO_MMIO_INTERRUPT_STATUS) {
            *mirror_word(mmio, offset) = read_register(mmio, offset);
        }
    }
    mirror_config(mmio);
    if (mmio->mirror != NULL) {
        mirror_changed(mmio, 0, REG_CONFIG);
    }
}

static bool acks_are_late(const struct virtio_mmio *mmio)
{
    return mmio->place_ops != NULL && mmio->place_ops->flush_acks != NULL;
}

static void interrupt_status_changed(const struct virtio_mmio *mmio)
{
    if (mmio->mirror != NULL) {
        mirror_changed(mmio, VIRTIO_MMIO_INTERRUPT_STATUS, 4);
    }
}

static void pulse(const struct virtio_mmio *mmio)
{
    if (mmio->place_ops != NULL && mmio->place_ops->pulse != NULL) {
        mmio->place_ops->pulse(mmio->place, mmio->spi);
    } else {
        mmio->vm_ops->irq_set(mmio->vm, mmio->spi, true);
        mmio->vm_ops->irq_set(mmio->vm, mmio->spi, false);
    }
}

static void interrupt(void *transport, uint32_t queue)
{
    struct virtio_mmio *mmio = transport;
    bool late = acks_are_late(mmio);
    uint32_t bit = VIRTIO_MMIO_INT_VRING;

    if (queue == VIRTIO_CONFIG_CHANGED) {
        bit = VIRTIO_MMIO_INT_CONFIG;
        if (late) {
            mmio->place_ops->flush_acks(mmio->place);
        }
    }
    if (!late || !(__atomic_load_n(mmio->interrupt, __ATOMIC_RELAXED) & bit)) {
        /* Release: what the interrupt is about was written before; who sees the bit sees that. */
        __atomic_fetch_or(mmio->interrupt, bit, __ATOMIC_ACQ_REL);
        interrupt_status_changed(mmio);
    }
    pulse(mmio);
}

void virtio_mmio_ack(struct virtio_mmio *mmio, uint32_t bits)
{
    if (acks_are_late(mmio) || mmio->device->external_interrupts) {
        bits &= ~VIRTIO_MMIO_INT_VRING;
    }
    if (__atomic_load_n(mmio->interrupt, __ATOMIC_RELAXED) & bits) {
        __atomic_fetch_and(mmio->interrupt, ~bits, __ATOMIC_ACQ_REL);
        interrupt_status_changed(mmio);
    }
}

/* After a reset: as at first, but for what the driver can't have changed. */
static void reset_registers(struct virtio_mmio *mmio)
{
    mmio->reset_pending = false;
    mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
    if (__atomic_exchange_n(mmio->interrupt, 0, __ATOMIC_ACQ_REL) != 0) {
        interrupt_status_changed(mmio);
    }
}

static void changed(void *transport)
{
    struct virtio_mmio *mmio = transport;

    if (mmio->reset_pending && !mmio->device->resetting) {
        reset_registers(mmio);
        mirror_config(mmio); /* the device may have put it back */
    }
    mirror_new_config(mmio);
    mirror_state(mmio);
}

static void running(void *transport, bool is_running)
{
    struct virtio_mmio *mmio = transport;

    if (is_running && mmio->device->external_interrupts) {
        __atomic_fetch_or(mmio->interrupt, VIRTIO_MMIO_INT_VRING, __ATOMIC_ACQ_REL);
        interrupt_status_changed(mmio);
    }
    if (mmio->place_ops != NULL && mmio->place_ops->running != NULL) {
        mmio->place_ops->running(mmio->place, mmio->device, is_running);
    }
}

static const struct virtio_transport_ops transport_ops = {interrupt, changed, running};

static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
    virtio_device_set_status(mmio->device, value);
    if (value == 0) {
        mirror_config(mmio); /* a device may have put back what a driver wrote there */
    }
    mmio->reset_pending = mmio->device->resetting;
    if (mmio->device->status == 0) {
        reset_registers(mmio);
    }
    mirror_state(mmio);
}

static void set_half(uint64_t *address, uint32_t high, uint32_t value)
{
    uint32_t shift = high * 32;

    *address = (*address & ~((uint64_t)UINT32_MAX << shift)) | ((uint64_t)value << shift);
}

/* A queue's set-up: not after DRIVER_OK, and but for QueueReady itself not while it is ready. */
static void write_queue_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    struct virtqueue *queue = selected(mmio);

    if (queue == NULL || mmio->device->resetting ||
        (mmio->device->status & VIRTIO_STATUS_DRIVER_OK) ||
        (queue->enabled && offset != REG_QUEUE_READY)) {
        return;
    }
    switch (offset) {
    case REG_QUEUE_NUM: /* what doesn't fit can't be right: 0 is refused at the start */
        queue->size = value <= UINT16_MAX ? (uint16_t)value : 0;
        break;
    case REG_QUEUE_READY:
        queue->enabled = value & 1;
        mirror_register(mmio, REG_QUEUE_READY);
        break;
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
        set_half(&queue->descriptors, (offset >> 2) & 1, value);
        break;
    case REG_QUEUE_DRIVER_LOW:
    case REG_QUEUE_DRIVER_HIGH:
        set_half(&queue->driver, (offset >> 2) & 1, value);
        break;
    case REG_QUEUE_DEVICE_LOW:
    case REG_QUEUE_DEVICE_HIGH:
        set_half(&queue->device, (offset >> 2) & 1, value);
        break;
    default: /* nobody lives there */
        break;
    }
}

static void write_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        virtio_device_kick(mmio->device, value);
        break;
    case REG_DEVICE_FEATURES_SEL:
        mmio->device_features_sel = value;
        mirror_register(mmio, REG_DEVICE_FEATURES);
        break;
    case REG_DRIVER_FEATURES:
        virtio_device_set_features(mmio->device, mmio->driver_features_sel, value);
        break;
    case REG_DRIVER_FEATURES_SEL:
        mmio->driver_features_sel = value;
        break;
    case REG_QUEUE_SEL:
        mmio->queue_sel = value;
        mirror_register(mmio, REG_QUEUE_NUM_MAX);
        mirror_register(mmio, REG_QUEUE_READY);
        break;
    case REG_STATUS:
        write_status(mmio, value & 0xff);
        break;
    default:
        write_queue_register(mmio, offset, value);
        break;
    }
}

static void write_config(struct virtio_mmio *mmio, uint32_t offset, uint32_t size, uint64_t value)
{
    struct virtio_device *device = mmio->device;

    if (device->ops->config_write != NULL && !device->resetting && offset < device->config_size &&
        size <= device->config_size - offset) {
        device->ops->config_write(device, offset, size, value);
        mirror_config(mmio);
    }
}

static void access_register(struct virtio_mmio *mmio, uint32_t offset, bool write, uint64_t *value)
{
    if (write) {
        write_register(mmio, offset, (uint32_t)*value);
    } else {
        *value = read_register(mmio, offset);
    }
}

void virtio_mmio_access(void *device, uint64_t offset, unsigned int size, bool write,
                        uint64_t *value)
{
    struct virtio_mmio *mmio = device;
    struct virtio_device *virtio = mmio->device;
    bool reset;

    if (offset < REG_CONFIG && (size != 4 || (offset & 3) != 0)) {
        *value = write ? *value : 0; /* registers are 32 bits wide, 4.2.2.2 */
        return;
    }
    if (offset == VIRTIO_MMIO_INTERRUPT_ACK && write) {
        virtio_mmio_ack(mmio, (uint32_t)*value);
        return;
    }
    spin_lock(&virtio->lock);
    if (offset < REG_CONFIG) {
        access_register(mmio, (uint32_t)offset, write, value);
    } else if (write) {
        write_config(mmio, (uint32_t)offset - REG_CONFIG, size, *value);
    } else {
        *value = virtio_device_config_read(virtio, (uint32_t)offset - REG_CONFIG, size);
    }
    reset = write && offset == REG_STATUS && (*value & 0xff) == 0 && virtio->resetting;
    spin_unlock(&virtio->lock);
    if (unlikely(reset) && mmio->place_ops != NULL && mmio->place_ops->wait_reset != NULL) {
        mmio->place_ops->wait_reset(mmio->place, virtio);
    }
}

void virtio_mmio_power_on(struct virtio_mmio *mmio)
{
    virtio_device_power_on(mmio->device);
    spin_lock(&mmio->device->lock);
    reset_registers(mmio);
    mirror_all(mmio);
    spin_unlock(&mmio->device->lock);
}

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device,
                      const struct vm_ops *vm_ops, void *vm, uint32_t spi,
                      const struct virtio_mmio_place *place_ops, void *place, uint8_t *mirror)
{
    memset(mmio, 0, sizeof(*mmio));
    mmio->device = device;
    mmio->vm_ops = vm_ops;
    mmio->vm = vm;
    mmio->spi = spi;
    mmio->place_ops = place_ops;
    mmio->place = place;
    mmio->mirror = mirror;
    mmio->interrupt = &mmio->interrupt_status;
    if (mirror != NULL) {
        memset(mirror, 0, VIRTIO_MMIO_SIZE);
        mmio->interrupt = mirror_word(mmio, VIRTIO_MMIO_INTERRUPT_STATUS);
    }
    virtio_device_attach(device, vm_ops, vm, &transport_ops, mmio);
    mirror_all(mmio);
}
