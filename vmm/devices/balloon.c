/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon's back end: what the guest doesn't need goes back to the host, by punching holes into
 * a shared memory file or by dropping private pages; in both cases the guest reads zeroes there
 * later. Only whole pages of the host's mapping are given back, huge ones where there are such.
 *
 * Served on the main thread, a few requests a round, because each may take its time.
 */
#include "machine/virtio/balloon.h"
#include "bothy/bits.h"
#include "vmm/api/metrics.h"
#include "vmm/base/log.h"
#include "vmm/devices/device.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SERVED_AT_ONCE 32u /* requests in a round of the loop */
#define PAGES_PER_MIB (MIB(1) / BALLOON_PAGE)
#define NS_PER_S 1000000000ull

struct balloon {
    struct vmm_device device;
    struct virtio_balloon virtio;
    struct vm *vm;
    struct loop *loop;
    pthread_t owner; /* the main thread */
    struct loop_work work;
    uint32_t kicked; /* queues to serve; atomic */
    bool paused;
    uint64_t granule; /* the smallest that can be given back */
    uint64_t released;
    bool reported_error;
    uint32_t interval_s;
    struct loop_timer timer;
};

static struct balloon *to_balloon(struct vmm_device *device)
{
    return CONTAINER_OF(device, struct balloon, device);
}

static bool give_back(const struct vm_memory_region *region, void *at, uint64_t size)
{
    uint64_t offset = (uint64_t)((uint8_t *)at - (uint8_t *)region->base);

    if (region->fd >= 0) {
        return fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                         (off_t)size) == 0;
    }
    return madvise(at, size, MADV_DONTNEED) == 0;
}

static void release(void *backend, void *at, uint64_t size)
{
    struct balloon *balloon = backend;
    uintptr_t start = ALIGN_UP((uintptr_t)at, balloon->granule);
    uintptr_t end = ALIGN_DOWN((uintptr_t)at + size, balloon->granule);
    struct vm_memory_region region;

    if (start >= end) {
        return;
    }
    vm_memory_region(balloon->vm, &region);
    if (give_back(&region, (uint8_t *)at + (start - (uintptr_t)at), end - start)) {
        balloon->released += end - start;
    } else if (!balloon->reported_error) {
        balloon->reported_error = true;
        log_warning("balloon: the host doesn't take memory back: %s%s", strerror(errno),
                    errno == EINVAL ? " (is it locked?)" : "");
    }
}

static void note_kick(struct balloon *balloon, uint16_t queue)
{
    __atomic_fetch_or(&balloon->kicked, 1u << queue, __ATOMIC_RELEASE);
}

static bool may_serve(void *backend, uint16_t queue)
{
    struct balloon *balloon = backend;

    if (!pthread_equal(pthread_self(), balloon->owner)) {
        note_kick(balloon, queue);
        loop_post(balloon->loop, &balloon->work);
        return false;
    }
    if (balloon->paused) {
        note_kick(balloon, queue);
        return false;
    }
    return true;
}

static void serve_again(void *backend, uint16_t queue)
{
    struct balloon *balloon = backend;

    note_kick(balloon, queue);
    loop_post(balloon->loop, &balloon->work);
}

static const struct balloon_backend_ops backend_ops = {
    .release = release,
    .may_serve = may_serve,
    .serve_again = serve_again,
};

/* Each request asks to be served again after it, which is what `kicked` is looked at for. */
static void serve(struct loop_work *work)
{
    struct balloon *balloon = CONTAINER_OF(work, struct balloon, work);
    uint32_t kicked;

    for (uint32_t i = 0; i < SERVED_AT_ONCE && !balloon->paused; i++) {
        kicked = __atomic_exchange_n(&balloon->kicked, 0, __ATOMIC_ACQUIRE);
        if (kicked == 0) {
            return;
        }
        spin_lock(&balloon->virtio.device.lock);
        for (; kicked != 0; kicked &= kicked - 1) {
            virtio_balloon_serve(&balloon->virtio, (uint16_t)bits_first(kicked));
        }
        spin_unlock(&balloon->virtio.device.lock);
    }
}

static void set_timer(struct balloon *balloon)
{
    loop_timer_set(balloon->loop, &balloon->timer,
                   balloon->interval_s == 0 ? LOOP_TIMER_OFF
                                            : loop_now_ns() + balloon->interval_s * NS_PER_S);
}

static void timer_fired(struct loop_timer *timer)
{
    struct balloon *balloon = CONTAINER_OF(timer, struct balloon, timer);

    if (!balloon->paused) {
        spin_lock(&balloon->virtio.device.lock);
        virtio_balloon_ask(&balloon->virtio);
        spin_unlock(&balloon->virtio.device.lock);
    }
    set_timer(balloon);
}

static void pause_balloon(struct vmm_device *device, bool paused)
{
    struct balloon *balloon = to_balloon(device);

    balloon->paused = paused;
    if (!paused) {
        loop_post(balloon->loop, &balloon->work);
    }
}

static void collect_metrics(struct vmm_device *device, struct metrics *metrics)
{
    const struct balloon *balloon = to_balloon(device);

    metrics_gauge(metrics, "bothy_balloon_target_bytes", "What the guest should give back.", "",
                  (double)balloon->virtio.config.num_pages * BALLOON_PAGE);
    metrics_gauge(metrics, "bothy_balloon_actual_bytes", "What the guest says it has given back.",
                  "", (double)balloon->virtio.config.actual * BALLOON_PAGE);
    metrics_counter(metrics, "bothy_balloon_inflated_bytes",
                    "Memory that came by inflating, in all.", "", balloon->virtio.inflated);
    metrics_counter(metrics, "bothy_balloon_reported_bytes",
                    "Free memory that the guest reported, in all.", "",
                    balloon->virtio.reported);
    metrics_counter(metrics, "bothy_balloon_released_bytes",
                    "Memory that went back to the host, in all.", "", balloon->released);
}

static void destroy(struct vmm_device *device)
{
    struct balloon *balloon = to_balloon(device);

    loop_timer_remove(balloon->loop, &balloon->timer);
    loop_cancel(balloon->loop, &balloon->work);
    free(balloon);
}

static uint64_t granule_of(const struct vm_config *config)
{
    uint64_t huge = config_huge_size(config->memory.hugepages);

    return huge != 0 ? huge : (uint64_t)getpagesize();
}

static uint32_t pages_of(uint64_t mib)
{
    return (uint32_t)(MIN(mib, (uint64_t)(UINT32_MAX / PAGES_PER_MIB)) * PAGES_PER_MIB);
}

static bool check_target(const struct vm_config *config, uint64_t target_mib,
                         struct error *error)
{
    if (target_mib >= config->memory.size >> 20) {
        return error_set(error, EXIT_CODE_USAGE,
                         "balloon: a target of %llu MiB leaves nothing of the guest's %llu MiB",
                         (unsigned long long)target_mib,
                         (unsigned long long)(config->memory.size >> 20));
    }
    return true;
}

struct vmm_device *balloon_create(struct vm *vm, const struct config_balloon *config,
                                  struct error *error)
{
    const struct vm_config *all = vm_get_config(vm);
    struct balloon *balloon;
    uint64_t features = VIRTIO_BALLOON_F_STATS_VQ;

    if (!check_target(all, config->target_mib, error)) {
        return NULL;
    }
    balloon = calloc(1, sizeof(*balloon));
    if (balloon == NULL) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "balloon");
        return NULL;
    }
    features |= config->deflate_on_oom ? VIRTIO_BALLOON_F_DEFLATE_ON_OOM : 0;
    features |= config->free_page_reporting
                    ? VIRTIO_BALLOON_F_PAGE_REPORTING | VIRTIO_BALLOON_F_PAGE_POISON
                    : 0;
    balloon->vm = vm;
    balloon->loop = vm_get_loop(vm);
    balloon->owner = pthread_self();
    balloon->work.run = serve;
    balloon->granule = granule_of(all);
    balloon->interval_s = config->stats_interval_s;
    balloon->timer = (struct loop_timer){.deadline_ns = LOOP_TIMER_OFF, .fire = timer_fired};
    virtio_balloon_init(&balloon->virtio, features, pages_of(config->target_mib), &backend_ops,
                        balloon);
    balloon->device = (struct vmm_device){
        .id = "balloon",
        .kind = "balloon",
        .virtio = &balloon->virtio.device,
        .pause = pause_balloon,
        .metrics = collect_metrics,
        .destroy = destroy,
    };
    if (balloon->interval_s != 0) {
        set_timer(balloon);
    }
    return &balloon->device;
}

bool balloon_set_target(struct vmm_device *device, uint64_t target_mib, struct error *error)
{
    struct balloon *balloon = to_balloon(device);

    if (!check_target(vm_get_config(balloon->vm), target_mib, error)) {
        return false;
    }
    spin_lock(&balloon->virtio.device.lock);
    virtio_balloon_set_target(&balloon->virtio, pages_of(target_mib));
    spin_unlock(&balloon->virtio.device.lock);
    return true;
}

bool balloon_set_interval(struct vmm_device *device, uint32_t seconds, struct error *error)
{
    struct balloon *balloon = to_balloon(device);

    if ((seconds == 0) != (balloon->interval_s == 0)) {
        return error_set(error, EXIT_CODE_GUEST,
                         "balloon: statistics can't be switched %s while the VM runs",
                         seconds == 0 ? "off" : "on");
    }
    balloon->interval_s = seconds;
    set_timer(balloon);
    return true;
}

bool balloon_get_stats(struct vmm_device *device, struct balloon_stats *ret_stats)
{
    struct balloon *balloon = to_balloon(device);
    struct virtio_balloon *virtio = &balloon->virtio;

    if (balloon->interval_s == 0) {
        return false;
    }
    spin_lock(&virtio->device.lock);
    *ret_stats = (struct balloon_stats){
        .target = (uint64_t)virtio->config.num_pages * BALLOON_PAGE,
        .actual = (uint64_t)virtio->config.actual * BALLOON_PAGE,
        .swap_in = virtio->stats[0],
        .swap_out = virtio->stats[1],
        .major_faults = virtio->stats[2],
        .minor_faults = virtio->stats[3],
        .free = virtio->stats[4],
        .total = virtio->stats[5],
        .available = virtio->stats[6],
        .disk_caches = virtio->stats[7],
        .hugetlb_allocations = virtio->stats[8],
        .hugetlb_failures = virtio->stats[9],
    };
    spin_unlock(&virtio->device.lock);
    return true;
}
