/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places of virtio-mmio: where a device lives, how the guest's notifications reach it and its
 * interrupts the guest. A device knows nothing of this.
 *
 * Notifications: for devices with work that may take long, a store to QueueNotify signals an
 * eventfd in the kernel, without an exit; the main loop waits for edges of it, so nobody ever
 * reads it. Wired only while the queues run: before, the transport has to see the store.
 *
 * Interrupts are edges: one "line up" to the backend, one system call.
 */
#include "arch/cache.h"
#include "bothy/bits.h"
#include "vmm/vm/parts.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000l
#define RESET_LOOK_NS 200000l

static uint64_t place_base(const struct place *place)
{
    return LAYOUT_VIRTIO_BASE + place->number * LAYOUT_VIRTIO_STRIDE;
}

static uint32_t place_spi(const struct place *place)
{
    return LAYOUT_SPI_VIRTIO + place->number;
}

static void pulse(void *opaque, uint32_t spi)
{
    struct place *place = opaque;
    struct vm *vm = place->vm;

    if (vm->backend_vm != NULL) {
        vm->backend->ops->irq_line(vm->backend_vm, spi, true);
    }
}

static void wire(struct place *place, struct place_queue *queue, bool wired)
{
    struct vm *vm = place->vm;

    if (queue->source.fd >= 0 && queue->wired != wired && vm->backend_vm != NULL &&
        vm->backend->ops->ioeventfd(vm->backend_vm, queue->source.fd,
                                    place_base(place) + VIRTIO_MMIO_QUEUE_NOTIFY, queue->index,
                                    wired)) {
        queue->wired = wired;
    }
}

/* Stores to InterruptACK may come late, so they needn't come out at all: they are collected, and
 * looked at when someone has to know (flush_acks), or when there is no more room and one comes
 * out after all (place_access). */
static void collect_acks(struct place *place, bool collected)
{
    struct vm *vm = place->vm;

    if (place->collects != collected && vm->backend_vm != NULL &&
        vm->backend->ops->collect(vm->backend_vm, place_base(place) + VIRTIO_MMIO_INTERRUPT_ACK,
                                  collected)) {
        place->collects = collected;
    }
}

/* With the device's lock held, from whichever thread the driver's store came. If a queue can't be
 * wired, its stores come as exits, and the transport notifies the device. */
static void running(void *opaque, struct virtio_device *device, bool runs)
{
    struct place *place = opaque;

    if (place->vm->backend->caps.collects) {
        collect_acks(place, runs);
    }
    for (uint16_t i = 0; place->uses_kicks && i < device->nr_queues; i++) {
        wire(place, &place->queues[i], runs && device->queues[i].enabled);
    }
}

static void mirror_changed(void *opaque, void *from, size_t size)
{
    cache_clean(from, size);
}

static void take_ack(void *opaque, uint64_t address, uint32_t value)
{
    struct vm *vm = opaque;
    uint64_t number = (address - LAYOUT_VIRTIO_BASE) / LAYOUT_VIRTIO_STRIDE;

    if (number < vm->nr_places) {
        virtio_mmio_ack(&vm->places[number]->mmio, value);
    }
}

static void flush_acks(void *opaque)
{
    struct place *place = opaque;
    struct vm *vm = place->vm;

    if (vm->backend_vm != NULL) {
        vm->backend->ops->collected(vm->backend_vm, take_ack, vm);
    }
}

/* The vCPU that reset its device waits for it here. Short looks, as nobody says when it is done. */
static void wait_reset(void *opaque, struct virtio_device *device)
{
    struct place *place = opaque;
    struct vm *vm = place->vm;

    pthread_mutex_lock(&vm->lock);
    while (__atomic_load_n(&device->resetting, __ATOMIC_ACQUIRE) &&
           vm->target == VM_TARGET_RUN) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += RESET_LOOK_NS;
        if (until.tv_nsec >= NS_PER_S) {
            until.tv_nsec -= NS_PER_S;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&vm->changed, &vm->lock, &until);
    }
    pthread_mutex_unlock(&vm->lock);
}

static const struct virtio_mmio_place place_ops = {
    .pulse = pulse,
    .running = running,
    .mirror_changed = mirror_changed,
    .wait_reset = wait_reset,
};

static const struct virtio_mmio_place collecting_place_ops = {
    .pulse = pulse,
    .running = running,
    .mirror_changed = mirror_changed,
    .flush_acks = flush_acks,
    .wait_reset = wait_reset,
};

/* On the bus where acknowledgements are collected: one that comes out found no room. */
static void place_access(void *device, uint64_t offset, unsigned int size, bool write,
                         uint64_t *value)
{
    struct place *place = CONTAINER_OF(device, struct place, mmio);

    if (write && offset == VIRTIO_MMIO_INTERRUPT_ACK && place->collects) {
        flush_acks(place);
    }
    virtio_mmio_access(device, offset, size, write, value);
}

static void kicked(struct loop_source *source, uint32_t events)
{
    struct place_queue *queue = CONTAINER_OF(source, struct place_queue, source);

    struct vmm_device *device = queue->place->device;

    if (device->notified != NULL) {
        device->notified(device, queue->index);
    } else {
        virtio_device_notify(device->virtio, queue->index);
    }
}

/* Requests of these are served in place: cheaper than waking the main thread for them. */
static bool wants_kicks(const struct virtio_device *device)
{
    return device->id != VIRTIO_ID_RNG && device->id != VIRTIO_ID_CONSOLE;
}

static bool open_queues(struct place *place, struct error *error)
{
    struct vmm_device *device = place->device;

    for (uint16_t i = 0; i < device->virtio->nr_queues; i++) {
        struct place_queue *queue = &place->queues[i];
        bool elsewhere = device->kicks_elsewhere != NULL && device->kicks_elsewhere(device, i);

        queue->source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (queue->source.fd < 0 || (!elsewhere && !loop_add(place->vm->loop, &queue->source))) {
            return error_set_errno(error, EXIT_CODE_HOST, errno,
                                   "no descriptor for queue %u of %s: raise `ulimit -n`", i,
                                   device->id);
        }
    }
    return true;
}

static struct place *create(struct vm *vm, struct vmm_device *device)
{
    uint16_t nr_queues = device->virtio->nr_queues;
    struct place *place = calloc(1, sizeof(*place) + nr_queues * sizeof(place->queues[0]));

    if (place == NULL) {
        return NULL;
    }
    place->vm = vm;
    place->device = device;
    place->number = vm->nr_places;
    place->uses_kicks = wants_kicks(device->virtio);
    for (uint16_t i = 0; i < nr_queues; i++) {
        place->queues[i] = (struct place_queue){
            .source = {-1, EPOLLIN | EPOLLET, kicked}, .place = place, .call_fd = -1, .index = i};
    }
    return place;
}

bool place_add(struct vm *vm, struct vmm_device *device, struct error *error)
{
    uint8_t *mirror = vm->mirror;
    struct place *place;

    if (vm->nr_places == LAYOUT_VIRTIO_COUNT) {
        return error_set(error, EXIT_CODE_USAGE, "there are places for %u virtio devices, not more",
                         LAYOUT_VIRTIO_COUNT);
    }
    place = create(vm, device);
    if (place == NULL) {
        return error_set(error, EXIT_CODE_HOST, "no memory for %s", device->id);
    }
    vm->places[vm->nr_places++] = place;
    if (mirror != NULL) {
        mirror += place->number * VIRTIO_MMIO_SIZE;
    }
    virtio_mmio_init(&place->mmio, device->virtio, &vm_device_ops, vm, place_spi(place),
                     vm->backend->caps.collects ? &collecting_place_ops : &place_ops, place,
                     mirror);
    if (bus_attach(&vm->bus, place_base(place), VIRTIO_MMIO_SIZE, place_access, &place->mmio) !=
        BUS_OK) {
        return error_set(error, EXIT_CODE_VMM, "no room on the bus for %s", device->id);
    }
    return (!place->uses_kicks || open_queues(place, error)) &&
           (device->attached == NULL || device->attached(device, error));
}

static void remove_place(struct place *place)
{
    for (uint16_t i = 0; i < place->device->virtio->nr_queues; i++) {
        struct place_queue *queue = &place->queues[i];

        if (queue->source.fd >= 0) {
            loop_remove(place->vm->loop, &queue->source);
            close(queue->source.fd);
        }
        if (queue->call_fd >= 0) {
            close(queue->call_fd);
        }
    }
    free(place);
}

void place_remove_all(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->nr_places; i++) {
        remove_place(vm->places[i]);
    }
    vm->nr_places = 0;
}

static struct place_queue *find_queue(struct vm *vm, struct virtio_device *device, uint16_t queue)
{
    for (uint32_t i = 0; i < vm->nr_places; i++) {
        if (vm->places[i]->device->virtio == device && queue < device->nr_queues) {
            return &vm->places[i]->queues[queue];
        }
    }
    return NULL;
}

int vm_queue_kick_fd(struct vm *vm, struct virtio_device *device, uint16_t queue)
{
    struct place_queue *found = find_queue(vm, device, queue);

    return found != NULL ? found->source.fd : -1;
}

static bool wire_call(const struct place_queue *queue)
{
    struct vm *vm = queue->place->vm;

    return vm->backend->ops->irqfd(vm->backend_vm, queue->call_fd, place_spi(queue->place), true);
}

int vm_queue_call_fd(struct vm *vm, struct virtio_device *device, uint16_t queue)
{
    struct place_queue *found = find_queue(vm, device, queue);

    if (found == NULL || found->call_fd >= 0) {
        return found != NULL ? found->call_fd : -1;
    }
    found->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (found->call_fd >= 0 && vm->backend_vm != NULL && !wire_call(found)) {
        close(found->call_fd);
        found->call_fd = -1;
    }
    return found->call_fd;
}

bool place_rewire(struct vm *vm, struct error *error)
{
    for (uint32_t i = 0; i < vm->nr_places; i++) {
        struct place *place = vm->places[i];

        place->collects = false;
        for (uint16_t q = 0; q < place->device->virtio->nr_queues; q++) {
            place->queues[q].wired = false;
            if (place->queues[q].call_fd >= 0 && !wire_call(&place->queues[q])) {
                return error_set_errno(error, EXIT_CODE_HOST, errno,
                                       "the interrupt of %s can't be wired", place->device->id);
            }
        }
    }
    return true;
}
