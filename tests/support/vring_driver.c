/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of either ring format. It believes nothing that the device writes beyond what a Linux
 * driver believes, and keeps its own state outside of the RAM that the device can reach.
 */
#include "tests/support/vring_driver.h"
#include "bothy/bits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define F_NEXT 1u
#define F_WRITE 2u
#define F_INDIRECT 4u
#define F_AVAIL 0x80u
#define F_USED 0x8000u

struct descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t third, fourth;
};

static void fail(const char *what)
{
    fprintf(stderr, "vring_driver: %s\n", what);
    abort();
}

/* ---- The fake machine ---- */

static void *memory_at(void *vm, uint64_t ipa, size_t size)
{
    struct vring_driver *driver = vm;

    driver->memory_calls++;
    if (ipa < VRING_RAM_BASE || ipa - VRING_RAM_BASE > driver->ram_size ||
        size > driver->ram_size - (ipa - VRING_RAM_BASE)) {
        return NULL;
    }
    return driver->ram + (ipa - VRING_RAM_BASE);
}

static bool memory_read(void *vm, uint64_t ipa, void *to, size_t size)
{
    const void *from = memory_at(vm, ipa, size);

    if (from != NULL) {
        memcpy(to, from, size);
    }
    return from != NULL;
}

static bool memory_write(void *vm, uint64_t ipa, const void *from, size_t size)
{
    void *to = memory_at(vm, ipa, size);

    if (to != NULL) {
        memcpy(to, from, size);
    }
    return to != NULL;
}

static void irq_set(void *vm, uint32_t spi, bool level)
{
    struct vring_driver *driver = vm;

    if (spi != VRING_SPI) {
        fail("another device's interrupt");
    }
    driver->interrupts += level && !driver->level;
    driver->level = level;
}

static uint64_t clock_ns(void *vm)
{
    const struct vring_driver *driver = vm;

    return driver->clock_ns;
}

const struct vm_ops vring_vm_ops = {
    .memory_read = memory_read,
    .memory_write = memory_write,
    .memory_at = memory_at,
    .irq_set = irq_set,
    .clock_ns = clock_ns,
};

struct vring_driver *vring_driver_create_at(struct virtio_device *device, size_t ram_size,
                                            const struct virtio_mmio_place *place_ops, bool mirror)
{
    struct vring_driver *driver = calloc(1, sizeof(*driver));

    ram_size = ALIGN_UP(ram_size, 4096u);
    driver->ram = aligned_alloc(4096, ram_size);
    memset(driver->ram, 0, ram_size);
    driver->ram_size = ram_size;
    driver->device = device;
    driver->mirror = mirror ? aligned_alloc(8, VIRTIO_MMIO_SIZE) : NULL;
    virtio_mmio_init(&driver->mmio, device, &vring_vm_ops, driver, VRING_SPI, place_ops, driver,
                     driver->mirror);
    return driver;
}

struct vring_driver *vring_driver_create(struct virtio_device *device, size_t ram_size)
{
    return vring_driver_create_at(device, ram_size, NULL, false);
}

static void free_queues(struct vring_driver *driver)
{
    for (unsigned int i = 0; i < VRING_QUEUES_MAX; i++) {
        free(driver->queues[i].slots);
        free(driver->queues[i].next_free);
        memset(&driver->queues[i], 0, sizeof(driver->queues[i]));
    }
}

void vring_driver_destroy(struct vring_driver *driver)
{
    if (driver != NULL) {
        free_queues(driver);
        free(driver->mirror);
        free(driver->ram);
        free(driver);
    }
}

/* ---- Registers ---- */

uint32_t vring_read(struct vring_driver *driver, uint32_t offset)
{
    uint64_t value = 0;

    virtio_mmio_access(&driver->mmio, offset, 4, false, &value);
    return (uint32_t)value;
}

void vring_write(struct vring_driver *driver, uint32_t offset, uint32_t value)
{
    uint64_t datum = value;

    virtio_mmio_access(&driver->mmio, offset, 4, true, &datum);
}

uint64_t vring_config(struct vring_driver *driver, uint32_t offset, unsigned int size)
{
    uint64_t value = 0;

    virtio_mmio_access(&driver->mmio, VRING_CONFIG + offset, size, false, &value);
    return value;
}

void vring_config_write(struct vring_driver *driver, uint32_t offset, unsigned int size,
                        uint64_t value)
{
    virtio_mmio_access(&driver->mmio, VRING_CONFIG + offset, size, true, &value);
}

bool vring_driver_reset(struct vring_driver *driver)
{
    vring_write(driver, VRING_STATUS, 0);
    return vring_read(driver, VRING_STATUS) == 0;
}

bool vring_negotiate(struct vring_driver *driver, uint64_t features)
{
    uint32_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

    vring_write(driver, VRING_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
    vring_write(driver, VRING_STATUS, status);
    driver->features = 0;
    for (uint32_t word = 0; word < 2; word++) {
        uint32_t bits;

        vring_write(driver, VRING_DEVICE_FEATURES_SEL, word);
        bits = vring_read(driver, VRING_DEVICE_FEATURES);
        bits &= (uint32_t)((features | VIRTIO_F_VERSION_1) >> (32 * word));
        vring_write(driver, VRING_DRIVER_FEATURES_SEL, word);
        vring_write(driver, VRING_DRIVER_FEATURES, bits);
        driver->features |= (uint64_t)bits << (32 * word);
    }
    vring_write(driver, VRING_STATUS, status | VIRTIO_STATUS_FEATURES_OK);
    return vring_read(driver, VRING_STATUS) == (status | VIRTIO_STATUS_FEATURES_OK);
}

static bool packed(const struct vring_driver *driver)
{
    return driver->features & VIRTIO_F_RING_PACKED;
}

static void write_address(struct vring_driver *driver, uint32_t offset, uint64_t ipa)
{
    vring_write(driver, offset, (uint32_t)ipa);
    vring_write(driver, offset + 4, (uint32_t)(ipa >> 32));
}

static void init_queue(struct vring_driver *driver, struct vring_queue *queue, uint16_t size)
{
    free(queue->slots);
    free(queue->next_free);
    *queue = (struct vring_queue){.size = size, .free = size, .interrupts = true};
    queue->avail_wrap = queue->used_wrap = true;
    queue->slots = calloc(size, sizeof(*queue->slots));
    queue->next_free = calloc(size, sizeof(*queue->next_free));
    for (uint16_t i = 0; i < size; i++) {
        queue->next_free[i] = (uint16_t)(i + 1);
    }
    queue->descriptors = vring_alloc_aligned(driver, 16u * size, 16);
    queue->driver = vring_alloc_aligned(driver, packed(driver) ? 4 : 6 + 2u * size, 4);
    queue->device = vring_alloc_aligned(driver, packed(driver) ? 4 : 6 + 8u * size, 4);
}

bool vring_setup_queue(struct vring_driver *driver, uint16_t index, uint16_t size)
{
    struct vring_queue *queue = &driver->queues[index];
    uint32_t most;

    vring_write(driver, VRING_QUEUE_SEL, index);
    most = vring_read(driver, VRING_QUEUE_NUM_MAX);
    if (most == 0 || vring_read(driver, VRING_QUEUE_READY) != 0) {
        return false;
    }
    init_queue(driver, queue, (uint16_t)(size < most ? size : most));
    vring_write(driver, VRING_QUEUE_NUM, queue->size);
    write_address(driver, VRING_QUEUE_DESC, queue->descriptors);
    write_address(driver, VRING_QUEUE_DRIVER, queue->driver);
    write_address(driver, VRING_QUEUE_DEVICE, queue->device);
    vring_write(driver, VRING_QUEUE_READY, 1);
    return vring_read(driver, VRING_QUEUE_READY) == 1;
}

bool vring_driver_ok(struct vring_driver *driver)
{
    uint32_t status = vring_read(driver, VRING_STATUS) | VIRTIO_STATUS_DRIVER_OK;

    vring_write(driver, VRING_STATUS, status);
    return vring_read(driver, VRING_STATUS) == status;
}

bool vring_driver_start(struct vring_driver *driver, uint64_t features, uint16_t queue_size)
{
    if (!vring_driver_reset(driver)) {
        return false;
    }
    free_queues(driver);
    memset(driver->ram, 0, driver->ram_size);
    driver->ram_used = 0;
    if (!vring_negotiate(driver, features)) {
        return false;
    }
    for (uint16_t i = 0; i < driver->device->nr_queues; i++) {
        if (!vring_setup_queue(driver, i, queue_size)) {
            return false;
        }
    }
    return vring_driver_ok(driver);
}

/* ---- Memory ---- */

uint64_t vring_alloc_aligned(struct vring_driver *driver, size_t size, size_t align)
{
    uint64_t at = ALIGN_UP(driver->ram_used, (uint64_t)align);

    if (at > driver->ram_size || size > driver->ram_size - at) {
        fail("out of guest memory: give vring_driver_create() more");
    }
    driver->ram_used = at + size;
    memset(driver->ram + at, 0, size);
    return VRING_RAM_BASE + at;
}

uint64_t vring_alloc(struct vring_driver *driver, size_t size)
{
    return vring_alloc_aligned(driver, size, 16);
}

void *vring_at(struct vring_driver *driver, uint64_t ipa)
{
    void *at = memory_at(driver, ipa, 1);

    if (at == NULL) {
        fail("an address outside of RAM");
    }
    return at;
}

struct vring_buffer vring_out(struct vring_driver *driver, const void *bytes, uint32_t size)
{
    struct vring_buffer buffer = {vring_alloc(driver, size), size, false};

    memcpy(driver->ram + (buffer.ipa - VRING_RAM_BASE), bytes, size);
    return buffer;
}

struct vring_buffer vring_in(struct vring_driver *driver, uint32_t size)
{
    return (struct vring_buffer){vring_alloc(driver, size), size, true};
}

static uint16_t load16(struct vring_driver *driver, uint64_t ipa)
{
    return __atomic_load_n((uint16_t *)vring_at(driver, ipa), __ATOMIC_ACQUIRE);
}

static void store16(struct vring_driver *driver, uint64_t ipa, uint16_t value)
{
    __atomic_store_n((uint16_t *)vring_at(driver, ipa), value, __ATOMIC_RELEASE);
}

static uint32_t load32(struct vring_driver *driver, uint64_t ipa)
{
    return __atomic_load_n((uint32_t *)vring_at(driver, ipa), __ATOMIC_ACQUIRE);
}

/* ---- Adding ---- */

static struct vring_buffer make_table(struct vring_driver *driver,
                                      const struct vring_buffer *buffers, unsigned int count)
{
    struct vring_buffer table = {vring_alloc(driver, 16ull * count), 16 * count, false};
    struct descriptor *to = vring_at(driver, table.ipa);

    for (unsigned int i = 0; i < count; i++) {
        uint16_t write = buffers[i].writable ? F_WRITE : 0;
        uint16_t next = i + 1 < count ? F_NEXT : 0;

        to[i] = (struct descriptor){buffers[i].ipa, buffers[i].size, (uint16_t)(write | next),
                                    (uint16_t)(i + 1)};
        if (packed(driver)) {
            to[i].third = 0;
            to[i].fourth = write;
        }
    }
    return table;
}

static uint16_t flags_of(const struct vring_buffer *buffer, bool last, bool indirect)
{
    return (uint16_t)((buffer->writable ? F_WRITE : 0) | (last ? 0 : F_NEXT) |
                      (indirect ? F_INDIRECT : 0));
}

static int add_split(struct vring_driver *driver, struct vring_queue *queue,
                     const struct vring_buffer *buffers, unsigned int count, bool indirect)
{
    struct descriptor *table = vring_at(driver, queue->descriptors);
    uint16_t head = queue->first_free;
    uint16_t at = head;
    uint64_t avail = queue->driver;

    for (unsigned int i = 0; i < count; i++) {
        bool last = i + 1 == count;

        table[at] = (struct descriptor){buffers[i].ipa, buffers[i].size,
                                        flags_of(&buffers[i], last, indirect),
                                        last ? 0 : queue->next_free[at]};
        queue->first_free = queue->next_free[at];
        at = queue->first_free;
    }
    store16(driver, avail + 4 + 2u * (queue->next_avail % queue->size), head);
    queue->next_avail++;
    store16(driver, avail + 2, queue->next_avail);
    return head;
}

static int find_token(const struct vring_queue *queue)
{
    for (uint16_t i = 0; i < queue->size; i++) {
        if (queue->slots[i] == 0) {
            return i;
        }
    }
    return -1;
}

static int add_packed(struct vring_driver *driver, struct vring_queue *queue,
                      const struct vring_buffer *buffers, unsigned int count, bool indirect)
{
    struct descriptor *ring = vring_at(driver, queue->descriptors);
    int token = find_token(queue);
    uint16_t head = queue->next_avail;
    uint16_t head_flags = 0;

    for (unsigned int i = 0; i < count; i++) {
        uint16_t flags = flags_of(&buffers[i], i + 1 == count, indirect);
        struct descriptor *to = &ring[queue->next_avail];

        flags = (uint16_t)(flags | (queue->avail_wrap ? F_AVAIL : F_USED));
        to->address = buffers[i].ipa;
        to->size = buffers[i].size;
        to->third = (uint16_t)token;
        if (i == 0) {
            head_flags = flags;
        } else {
            to->fourth = flags;
        }
        if (++queue->next_avail == queue->size) {
            queue->next_avail = 0;
            queue->avail_wrap = !queue->avail_wrap;
        }
    }
    /* The head's flags last: before that the device sees none of it. */
    store16(driver, queue->descriptors + 16u * head + 14, head_flags);
    return token;
}

int vring_add(struct vring_driver *driver, uint16_t index, const struct vring_buffer *buffers,
              unsigned int count, bool indirect)
{
    struct vring_queue *queue = &driver->queues[index];
    struct vring_buffer table;
    int token;

    if (count == 0 || (indirect && !(driver->features & VIRTIO_F_INDIRECT_DESC))) {
        fail("a chain without buffers, or indirect without the feature");
    }
    if (queue->free < (indirect ? 1 : count)) {
        return -1;
    }
    if (indirect) {
        table = make_table(driver, buffers, count);
        buffers = &table;
        count = 1;
    }
    token = packed(driver) ? add_packed(driver, queue, buffers, count, indirect)
                           : add_split(driver, queue, buffers, count, indirect);
    queue->slots[token] = (uint16_t)count;
    queue->added = (uint16_t)(queue->added + (packed(driver) ? count : 1));
    queue->free = (uint16_t)(queue->free - count);
    return token;
}

void vring_notify(struct vring_driver *driver, uint16_t queue)
{
    driver->notifications++;
    vring_write(driver, VRING_QUEUE_NOTIFY, queue);
}

static bool event_passed(uint16_t event, uint16_t now, uint16_t old)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static bool wants_notification(struct vring_driver *driver, const struct vring_queue *queue)
{
    uint16_t old = (uint16_t)(queue->next_avail - queue->added);
    uint32_t event;
    uint16_t place;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!packed(driver)) {
        return driver->features & VIRTIO_F_EVENT_IDX
                   ? event_passed(load16(driver, queue->device + 4 + 8u * queue->size),
                                  queue->next_avail, old)
                   : !(load16(driver, queue->device) & 1);
    }
    event = load32(driver, queue->device);
    if (event >> 16 != 2) {
        return event >> 16 != 1;
    }
    place = event & 0x7fff;
    if (((event >> 15) & 1) != queue->avail_wrap) {
        place = (uint16_t)(place - queue->size);
    }
    return event_passed(place, queue->next_avail, old);
}

bool vring_kick(struct vring_driver *driver, uint16_t index)
{
    struct vring_queue *queue = &driver->queues[index];
    bool wants = wants_notification(driver, queue);

    queue->added = 0;
    if (wants) {
        vring_notify(driver, index);
    }
    return wants;
}

/* ---- Collecting ---- */

static void ask_interrupt(struct vring_driver *driver, const struct vring_queue *queue)
{
    bool event_idx = driver->features & VIRTIO_F_EVENT_IDX;
    uint32_t event = queue->next_used | (queue->used_wrap ? 0x8000u : 0);

    if (packed(driver)) {
        event = !queue->interrupts ? 1u << 16 : event_idx ? event | (2u << 16) : 0;
        __atomic_store_n((uint32_t *)vring_at(driver, queue->driver), event, __ATOMIC_RELEASE);
    } else if (event_idx) {
        store16(driver, queue->driver + 4 + 2u * queue->size,
                (uint16_t)(queue->interrupts ? queue->next_used : queue->next_used - 1));
    } else {
        store16(driver, queue->driver, queue->interrupts ? 0 : 1);
    }
}

void vring_set_interrupts(struct vring_driver *driver, uint16_t queue, bool enable)
{
    driver->queues[queue].interrupts = enable;
    ask_interrupt(driver, &driver->queues[queue]);
}

/* Split: the chain's descriptors go to the front of the free list. */
static void free_chain(struct vring_queue *queue, uint16_t head, uint16_t count)
{
    uint16_t last = head;

    for (uint16_t i = 1; i < count; i++) {
        last = queue->next_free[last];
    }
    queue->next_free[last] = queue->first_free;
    queue->first_free = head;
}

static bool next_used(struct vring_driver *driver, struct vring_queue *queue, uint32_t *ret_id,
                      uint32_t *ret_written)
{
    uint64_t element = queue->device + 4 + 8u * (queue->next_used % queue->size);
    uint64_t descriptor = queue->descriptors + 16u * queue->next_used;
    uint16_t flags;

    if (!packed(driver)) {
        if (load16(driver, queue->device + 2) == queue->next_used) {
            return false;
        }
        *ret_id = load32(driver, element);
        *ret_written = load32(driver, element + 4);
        return true;
    }
    flags = load16(driver, descriptor + 14);
    if ((flags & F_USED ? true : false) != queue->used_wrap ||
        (flags & F_AVAIL ? true : false) != queue->used_wrap) {
        return false;
    }
    *ret_id = load16(driver, descriptor + 12);
    *ret_written = load32(driver, descriptor + 8);
    return true;
}

static void advance_used(struct vring_driver *driver, struct vring_queue *queue, uint16_t slots)
{
    queue->next_used = (uint16_t)(queue->next_used + (packed(driver) ? slots : 1));
    if (packed(driver) && queue->next_used >= queue->size) {
        queue->next_used = (uint16_t)(queue->next_used - queue->size);
        queue->used_wrap = !queue->used_wrap;
    }
}

bool vring_collect(struct vring_driver *driver, uint16_t index, struct vring_used *ret_used)
{
    struct vring_queue *queue = &driver->queues[index];
    uint32_t id, written;

    if (queue->size == 0 || !next_used(driver, queue, &id, &written)) {
        return false;
    }
    *ret_used = (struct vring_used){-1, written};
    if (id < queue->size && queue->slots[id] != 0) {
        ret_used->token = (int)id;
        queue->free = (uint16_t)(queue->free + queue->slots[id]);
        if (!packed(driver)) {
            free_chain(queue, (uint16_t)id, queue->slots[id]);
        }
        advance_used(driver, queue, queue->slots[id]);
        queue->slots[id] = 0;
    } else {
        advance_used(driver, queue, 1);
    }
    if (queue->interrupts && (driver->features & VIRTIO_F_EVENT_IDX)) {
        ask_interrupt(driver, queue);
    }
    return true;
}

uint32_t vring_handle_interrupt(struct vring_driver *driver)
{
    uint32_t status = vring_read(driver, VRING_INTERRUPT_STATUS);

    vring_write(driver, VRING_INTERRUPT_ACK, status);
    return status;
}
