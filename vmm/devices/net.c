/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device in Linux: between the portable device, a link, the event loop and the rate
 * limits.
 *
 * A pair's descriptor is in the loop only for what can be worked on: for reading as long as the
 * guest has buffers and no limit holds, for writing while frames wait for room. So nothing spins,
 * and what nobody can take stays in the kernel's queue.
 *
 * Queues are served by the main thread alone; what other threads want is left in `pending`.
 */
#include "vmm/devices/net.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "vmm/base/log.h"

#define BATCH 32u         /* frames at a time: for so long the device's lock is held */
#define PATIENCE_MAX 64u
#define NET_UPDATE BIT(63) /* in `pending`: everything may be different */

/* ---- Events. All with the lock held, by the main thread. ---- */

static uint32_t wanted_events(const struct net *net, const struct net_pair *pair)
{
    uint32_t events = 0;

    if (!net->running || net->paused || net->link_lost || net->vhost != NULL ||
        pair->index >= net->virtio.pairs) {
        return 0;
    }
    events |= pair->starved || net->rx_held ? 0 : (uint32_t)EPOLLIN;
    events |= pair->blocked || net->link->unsent ? (uint32_t)EPOLLOUT : 0;
    return events;
}

static void rearm(struct net_pair *pair)
{
    struct net *net = pair->net;
    uint32_t events = wanted_events(net, pair);

    if (events == pair->armed) {
        return;
    }
    if (events == 0) {
        loop_remove(net->loop, &pair->source);
    } else if (pair->armed == 0) {
        pair->source.events = events;
        loop_add(net->loop, &pair->source);
    } else {
        loop_change(net->loop, &pair->source, events);
    }
    pair->armed = events;
}

void net_rearm(struct net *net)
{
    for (uint16_t i = 0; i < net->virtio.pairs_max; i++) {
        rearm(&net->pairs[i]);
    }
}

/* Later, from the loop: in any thread. */
static void defer(struct net *net, uint64_t what)
{
    __atomic_fetch_or(&net->pending, what, __ATOMIC_RELEASE);
    loop_post(net->loop, &net->work);
}

static void lose_link(struct net *net, const char *reason)
{
    if (!net->link_lost) {
        net->link_lost = true;
        log_warning("%s: %s; the guest's network is down", net->device.id, reason);
        virtio_net_set_link(&net->virtio, false);
        net_rearm(net);
    }
}

static void check_link(struct net *net)
{
    if (net->link->gone) {
        lose_link(net, net->link->reason);
    }
}

static void serve_tx(struct net_pair *pair)
{
    struct net *net = pair->net;
    enum virtio_net_progress progress;

    if (net->link->unsent) {
        net->link->ops->flush(net->link);
    }
    progress = virtio_net_transmit(&net->virtio, pair->index, BATCH);
    pair->blocked = progress == VIRTIO_NET_BLOCKED && !net->tx_held;
    if (progress == VIRTIO_NET_MORE) {
        defer(net, BIT(VIRTIO_NET_TX(pair->index)));
    }
    check_link(net);
    rearm(pair);
}

static void serve_rx(struct net_pair *pair, uint32_t limit)
{
    struct net *net = pair->net;
    enum virtio_net_progress progress;

    progress = virtio_net_receive(&net->virtio, pair->index, limit);
    pair->starved = progress == VIRTIO_NET_STARVED;
    if (progress == VIRTIO_NET_MORE && net->link->buffered) {
        defer(net, BIT(VIRTIO_NET_RX(pair->index)));
    }
    check_link(net);
    rearm(pair);
}

/* Frames that come one at a time are read so: to ask once more costs as much as to read one. Ever
 * more seldom it is tried whether several wait, and as long as they do they are read in batches. */
static void receive_some(struct net_pair *pair)
{
    const struct virtio_net_counters *rx = &pair->net->virtio.rx;
    uint64_t before = rx->frames;

    if (pair->net->link->bulk || pair->streak >= pair->patience) {
        serve_rx(pair, BATCH);
        if (rx->frames - before > 1) {
            pair->patience = 1;
        } else {
            pair->patience = (uint8_t)MIN(pair->patience * 2u, PATIENCE_MAX);
            pair->streak = 0;
        }
    } else {
        serve_rx(pair, 1);
        pair->streak++;
    }
}

static void pair_ready(struct loop_source *source, uint32_t events)
{
    struct net_pair *pair = CONTAINER_OF(source, struct net_pair, source);
    struct net *net = pair->net;

    spin_lock(&net->virtio.device.lock);
    if (wanted_events(net, pair) == 0) {
        rearm(pair); /* a vCPU has stopped the device in the meantime */
    } else {
        if (events & EPOLLOUT) {
            serve_tx(pair);
        }
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            receive_some(pair);
        }
        /* Whatever it is, it would be told again and again. */
        if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN)) {
            lose_link(net, net->link->gone ? net->link->reason : "its interface has gone");
        }
    }
    spin_unlock(&net->virtio.device.lock);
}

static void serve_queue(struct net *net, uint16_t queue)
{
    if (net->paused || !net->running) {
        return;
    }
    if (queue == virtio_net_control_queue(&net->virtio)) {
        if (virtio_net_control(&net->virtio) == VIRTIO_NET_MORE) {
            defer(net, BIT(queue));
        }
    } else if (net->vhost == NULL && queue < 2 * net->virtio.pairs_max) {
        struct net_pair *pair = &net->pairs[queue / 2];

        if (queue & 1) {
            serve_tx(pair);
        } else {
            serve_rx(pair, BATCH);
        }
    }
}

void net_serve_all(struct net *net)
{
    for (uint16_t i = 0; i < net->virtio.pairs_max; i++) {
        net->pairs[i].starved = net->pairs[i].blocked = false;
    }
    for (uint16_t queue = 0; queue < net->virtio.device.nr_queues; queue++) {
        serve_queue(net, queue);
    }
    net_rearm(net);
}

static void work_run(struct loop_work *work)
{
    struct net *net = CONTAINER_OF(work, struct net, work);
    uint64_t pending = __atomic_exchange_n(&net->pending, 0, __ATOMIC_ACQUIRE);

    spin_lock(&net->virtio.device.lock);
    if (pending & NET_UPDATE) {
        net_serve_all(net);
        pending = 0;
    }
    for (; pending != 0; pending &= pending - 1) {
        serve_queue(net, (uint16_t)bits_first(pending));
    }
    spin_unlock(&net->virtio.device.lock);
}

/* ---- Rate limits ---- */

static void hold(struct net *net, const struct rate *rate, uint64_t bytes, uint64_t now)
{
    uint64_t until = now + rate_wait_ns(rate, bytes, now);

    loop_timer_set(net->loop, &net->timer, MIN(until, net->timer.deadline_ns));
}

static void timer_fire(struct loop_timer *timer)
{
    struct net *net = CONTAINER_OF(timer, struct net, timer);

    spin_lock(&net->virtio.device.lock);
    net->rx_held = net->tx_held = false;
    net_serve_all(net);
    spin_unlock(&net->virtio.device.lock);
}

static bool tx_allowed(struct net *net, uint32_t size)
{
    uint64_t now;

    if (!net->tx_rate.limited) {
        return true;
    }
    now = loop_now_ns();
    net->tx_held = !rate_take(&net->tx_rate, size, now);
    if (net->tx_held) {
        hold(net, &net->tx_rate, size, now);
    }
    return !net->tx_held;
}

/* How large a frame is shows when it is there: it is paid for before the next one. */
static bool rx_allowed(struct net *net)
{
    uint64_t now;

    if (!net->rx_rate.limited || net->rx_debt == 0) {
        return true;
    }
    now = loop_now_ns();
    net->rx_held = !rate_take(&net->rx_rate, net->rx_debt, now);
    if (net->rx_held) {
        hold(net, &net->rx_rate, net->rx_debt, now);
        return false;
    }
    net->rx_debt = 0;
    return true;
}

/* ---- What the portable device asks for ---- */

static enum virtio_net_result net_send(void *backend, uint16_t pair,
                                       const struct virtio_segment *segments, uint32_t count,
                                       uint32_t size)
{
    struct net *net = backend;

    if (net->link_lost) {
        return VIRTIO_NET_DROPPED;
    }
    if (net->tx_held || !tx_allowed(net, size)) {
        return VIRTIO_NET_WAIT;
    }
    return net->link->ops->send(net->link, pair, segments, count, size);
}

static enum virtio_net_result net_receive(void *backend, uint16_t pair,
                                          const struct virtio_segment *segments, uint32_t count,
                                          uint32_t *ret_size)
{
    struct net *net = backend;
    enum virtio_net_result result;

    if (net->link_lost || net->rx_held || !rx_allowed(net)) {
        return VIRTIO_NET_WAIT;
    }
    result = net->link->ops->receive(net->link, pair, segments, count, ret_size);
    if (result == VIRTIO_NET_OK && net->rx_rate.limited) {
        net->rx_debt = *ret_size;
    }
    return net->link->gone ? VIRTIO_NET_WAIT : result;
}

static void net_set_offloads(void *backend, uint64_t offloads)
{
    struct net *net = backend;

    net->link->ops->set_offloads(net->link, offloads);
}

static void net_set_pairs(void *backend, uint16_t pairs)
{
    struct net *net = backend;

    net->link->ops->set_pairs(net->link, pairs);
    if (net->vhost != NULL && net->running && !net->paused) {
        net_vhost_start(net);
    }
    defer(net, NET_UPDATE);
}

static void net_kicked(void *backend, uint16_t queue)
{
    struct net *net = backend;

    if (pthread_equal(pthread_self(), net->main_thread)) {
        serve_queue(net, queue);
    } else if (net->vhost != NULL && queue != virtio_net_control_queue(&net->virtio)) {
        net_vhost_kick(net, queue);
    } else {
        defer(net, BIT(queue));
    }
}

static void net_running(void *backend, bool running)
{
    struct net *net = backend;

    net->running = running;
    if (net->vhost != NULL && running && !net->paused) {
        net_vhost_start(net);
    } else if (net->vhost != NULL && !running) {
        net_vhost_stop(net);
    }
    defer(net, NET_UPDATE);
}

const struct virtio_net_backend net_backend = {
    .send = net_send,
    .receive = net_receive,
    .set_offloads = net_set_offloads,
    .set_pairs = net_set_pairs,
    .kicked = net_kicked,
    .running = net_running,
};

void net_init_events(struct net *net)
{
    net->work.run = work_run;
    net->timer = (struct loop_timer){.deadline_ns = LOOP_TIMER_OFF, .fire = timer_fire};
    for (uint16_t i = 0; i < net->link->pairs; i++) {
        net->pairs[i] = (struct net_pair){
            .net = net,
            .source = {net->link->fds[i], 0, pair_ready},
            .index = i,
            .patience = 1,
        };
    }
}
