/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for vm.h as far as the network device needs it. */
#include "tests/support/net_rig.h"
#include "bothy/bits.h"
#include <stdlib.h>
#include <string.h>

struct vm_config *vm_get_config(struct vm *vm)
{
    return &vm->config;
}

struct loop *vm_get_loop(struct vm *vm)
{
    return vm->loop;
}

void vm_memory_region(const struct vm *vm, struct vm_memory_region *ret_region)
{
    memset(ret_region, 0, sizeof(*ret_region)); /* vhost alone asks */
}

int vm_queue_kick_fd(struct vm *vm, struct virtio_device *device, uint16_t queue)
{
    return -1;
}

int vm_queue_call_fd(struct vm *vm, struct virtio_device *device, uint16_t queue)
{
    return -1;
}

static void after_round(struct loop_hook *hook)
{
    struct net_rig *rig = CONTAINER_OF(hook, struct net_rig, hook);

    rig->rounds++;
    if (rig->done != NULL && rig->done(rig, rig->argument)) {
        loop_stop(rig->vm.loop);
    }
}

static void time_out(struct loop_timer *timer)
{
    struct net_rig *rig = CONTAINER_OF(timer, struct net_rig, timer);

    rig->timed_out = true;
    loop_stop(rig->vm.loop);
}

struct net_rig *net_rig_begin(void)
{
    struct net_rig *rig = calloc(1, sizeof(*rig));
    struct config_net *config = &rig->vm.config.nets[0];

    vm_config_init(&rig->vm.config);
    strcpy(rig->vm.config.name, "rig");
    rig->vm.config.nr_nets = 1;
    *config = (struct config_net){
        .id = "net0", .kind = CONFIG_NET_TAP, .tap_fd = -1, .queues = 1,
        .queue_size = NET_RIG_QUEUE,
    };
    rig->vm.loop = loop_create();
    rig->hook.run = after_round;
    loop_hook_add(rig->vm.loop, &rig->hook);
    rig->timer = (struct loop_timer){.deadline_ns = LOOP_TIMER_OFF, .fire = time_out};
    return rig;
}

void net_rig_end(struct net_rig *rig)
{
    if (rig->device != NULL) {
        rig->device->destroy(rig->device);
    }
    vring_driver_destroy(rig->driver);
    loop_timer_remove(rig->vm.loop, &rig->timer);
    loop_destroy(rig->vm.loop);
    vm_config_release(&rig->vm.config);
    free(rig);
}

bool net_rig_build(struct net_rig *rig, struct error *error)
{
    rig->device = net_create(&rig->vm, &rig->vm.config.nets[0], error);
    if (rig->device == NULL) {
        return false;
    }
    rig->net = CONTAINER_OF(rig->device, struct net, device);
    rig->driver = vring_driver_create(rig->device->virtio, 8 << 20);
    return rig->device->attached(rig->device, error);
}

bool net_rig_run(struct net_rig *rig, bool (*done)(struct net_rig *rig, void *argument),
                 void *argument, unsigned int ms)
{
    if (done != NULL && done(rig, argument)) {
        return true;
    }
    rig->done = done;
    rig->argument = argument;
    rig->timed_out = false;
    loop_timer_set(rig->vm.loop, &rig->timer, loop_now_ns() + ms * 1000000ull);
    loop_run(rig->vm.loop);
    loop_timer_set(rig->vm.loop, &rig->timer, LOOP_TIMER_OFF);
    return done == NULL || !rig->timed_out || done(rig, argument);
}

void net_rig_refill(struct net_rig *rig, uint16_t pair, unsigned int count, uint32_t size)
{
    uint16_t queue = VIRTIO_NET_RX(pair);

    for (unsigned int i = 0; i < count; i++) {
        struct vring_buffer buffer = vring_in(rig->driver, size);
        int token = vring_add(rig->driver, queue, &buffer, 1, false);

        if (token < 0) {
            abort();
        }
        rig->rx_ipas[queue][token] = buffer.ipa;
    }
    vring_kick(rig->driver, queue);
}

void net_rig_send(struct net_rig *rig, uint16_t pair, const void *frame, uint32_t size)
{
    static const uint8_t header[NET_RIG_HEADER];
    struct vring_buffer buffers[2] = {vring_out(rig->driver, header, sizeof(header)),
                                      vring_out(rig->driver, frame, size)};
    struct vring_used used;

    while (vring_collect(rig->driver, VIRTIO_NET_TX(pair), &used)) {
        /* room for this one */
    }
    if (vring_add(rig->driver, VIRTIO_NET_TX(pair), buffers, 2, true) < 0) {
        abort();
    }
    vring_kick(rig->driver, VIRTIO_NET_TX(pair));
}

uint32_t net_rig_receive(struct net_rig *rig, uint16_t pair, uint8_t *to, uint8_t *header)
{
    uint16_t queue = VIRTIO_NET_RX(pair);
    uint8_t first[NET_RIG_HEADER];
    struct vring_used used;
    uint32_t size = 0;
    uint32_t skip = NET_RIG_HEADER;
    uint32_t left = 1;

    while (left-- > 0) {
        const uint8_t *from;

        if (!vring_collect(rig->driver, queue, &used)) {
            return size == 0 ? 0 : (abort(), 0u);
        }
        from = vring_at(rig->driver, rig->rx_ipas[queue][used.token]);
        if (skip != 0) {
            memcpy(first, from, sizeof(first));
            left = (first[10] | (uint32_t)first[11] << 8) - 1;
        }
        memcpy(to + size, from + skip, used.written - skip);
        size += used.written - skip;
        skip = 0;
    }
    if (header != NULL) {
        memcpy(header, first, sizeof(first));
    }
    return size;
}
