/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio console. Output goes straight from the guest's buffers to the back end; input is put into
 * the guest's receive buffers as it comes, one buffer for what came together.
 */
#include "machine/virtio/console.h"

#define QUEUE_SIZE 64u
#define CHAINS_AT_ONCE 256u
#define BYTES_AT_ONCE 65536u
#define EMERG_WR_OFFSET 8u

static struct virtio_console *console_of(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct virtio_console, device);
}

/* A chain may claim 4 GiB, the same memory over and over: of what is beyond a chain's share only
 * the end is passed on, as if a slow reader had lost the rest. */
static void put_out(const struct virtio_console *console, const struct virtio_chain *chain)
{
    uint32_t skip = chain->out_size > BYTES_AT_ONCE ? chain->out_size - BYTES_AT_ONCE : 0;

    for (uint16_t i = 0; i < chain->nr_out; i++) {
        uint32_t part = MIN(skip, chain->segments[i].size);

        skip -= part;
        console->backend_ops->output(console->backend, chain->segments[i].base + part,
                                     chain->segments[i].size - part);
    }
}

static void transmit(struct virtio_console *console)
{
    struct virtqueue *queue = &console->queues[VIRTIO_CONSOLE_TX];
    struct virtio_chain chain;
    enum virtqueue_result result = VIRTQUEUE_OK;
    unsigned int done = 0;
    uint64_t bytes = 0;

    do {
        while (done < CHAINS_AT_ONCE && bytes < BYTES_AT_ONCE &&
               (result = virtqueue_pop(queue, &chain)) == VIRTQUEUE_OK) {
            put_out(console, &chain);
            bytes += chain.out_size;
            virtqueue_push(queue, chain.id, chain.slots, 0);
            done++;
        }
        if (done == CHAINS_AT_ONCE || bytes >= BYTES_AT_ONCE) {
            console->backend_ops->again(console->backend);
            break;
        }
    } while (result == VIRTQUEUE_EMPTY && virtqueue_notifications(queue, true));
    if (result == VIRTQUEUE_BROKEN) {
        virtio_device_broken(&console->device);
    } else if (done > 0) {
        virtio_device_used(&console->device, VIRTIO_CONSOLE_TX);
    }
}

static void notify(struct virtio_device *device, uint16_t queue)
{
    struct virtio_console *console = console_of(device);

    if (queue == VIRTIO_CONSOLE_TX) {
        transmit(console);
    } else {
        console->backend_ops->input_room(console->backend);
    }
}

static void config_write(struct virtio_device *device, uint32_t offset, uint32_t size,
                         uint64_t value)
{
    const struct virtio_console *console = console_of(device);
    uint8_t byte = (uint8_t)value;

    (void)size;
    if (offset == EMERG_WR_OFFSET) {
        console->backend_ops->output(console->backend, &byte, 1);
    }
}

/* Pops one buffer for what there is; false if there is none. */
static bool fill_one(struct virtio_console *console, const uint8_t *bytes, size_t count,
                     size_t *ret_taken)
{
    struct virtqueue *queue = &console->queues[VIRTIO_CONSOLE_RX];
    struct virtio_chain chain;
    enum virtqueue_result result = virtqueue_pop(queue, &chain);

    if (result == VIRTQUEUE_BROKEN) {
        virtio_device_broken(&console->device);
    }
    if (result != VIRTQUEUE_OK) {
        return false;
    }
    *ret_taken = virtio_chain_write(&chain, 0, bytes, count);
    virtqueue_push(queue, chain.id, chain.slots, (uint32_t)*ret_taken);
    return true;
}

size_t virtio_console_input(struct virtio_console *console, const uint8_t *bytes, size_t count)
{
    size_t taken = 0;
    size_t part;

    spin_lock(&console->device.lock);
    if (virtio_device_is_running(&console->device)) {
        while (taken < count && fill_one(console, bytes + taken, count - taken, &part)) {
            taken += part;
        }
        if (taken > 0) {
            virtio_device_used(&console->device, VIRTIO_CONSOLE_RX);
        }
        if (taken < count && virtio_device_is_running(&console->device)) {
            virtqueue_notifications(&console->queues[VIRTIO_CONSOLE_RX], true);
        }
    }
    spin_unlock(&console->device.lock);
    return taken;
}

static void activate(struct virtio_device *device)
{
    const struct virtio_console *console = console_of(device);

    console->backend_ops->input_room(console->backend);
}

static const struct virtio_device_ops console_ops = {
    .activate = activate,
    .notify = notify,
    .config_write = config_write,
};

void virtio_console_init(struct virtio_console *console,
                         const struct virtio_console_backend *backend_ops, void *backend)
{
    *console = (struct virtio_console){.backend_ops = backend_ops, .backend = backend};
    console->config.max_nr_ports = 1;
    virtio_device_init(&console->device, VIRTIO_ID_CONSOLE, &console_ops, console->queues,
                       VIRTIO_CONSOLE_QUEUES, QUEUE_SIZE, VIRTIO_CONSOLE_F_EMERG_WRITE);
    console->device.config = &console->config;
    console->device.config_size = sizeof(console->config);
}
