/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks: made from their configuration, paused, changed while they run, and counted. All disks of a
 * VM share one engine of asynchronous I/O.
 */
#include "vmm/devices/disk.h"
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/jail/supervisor.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct disk *to_disk(struct vmm_device *device)
{
    return CONTAINER_OF(device, struct disk, device);
}

/* The first disk makes the engine, the others share it. */
static struct aio *find_aio(struct vm *vm, struct error *error)
{
    for (struct vmm_device *other = vm_devices(vm); other != NULL; other = other->next) {
        if (strcmp(other->kind, "disk") == 0) {
            return aio_hold(to_disk(other)->aio);
        }
    }
    return aio_create(vm_get_loop(vm), &vm_get_config(vm)->jail, false, error);
}

static void wait_for_requests(struct disk *disk)
{
    while (disk->under_way != 0) {
        aio_wait(disk->aio);
    }
}

static bool start(struct vmm_device *device, struct error *error)
{
    return aio_start(to_disk(device)->aio, error);
}

static void notified(struct vmm_device *device, uint16_t queue)
{
    struct disk *disk = to_disk(device);
    uint32_t before = disk->begun;

    virtio_device_notify(device->virtio, queue);
    gather_note(&disk->aio->gather, disk->begun - before, aio_now_ns(disk->aio));
}

static void quiesce(struct vmm_device *device)
{
    wait_for_requests(to_disk(device));
}

static void pause_disk(struct vmm_device *device, bool paused)
{
    struct disk *disk = to_disk(device);

    disk->paused = paused;
    if (paused) {
        wait_for_requests(disk);
        return;
    }
    disk_serve_kicked(disk);
    spin_lock(&disk->blk.device.lock);
    virtio_blk_resume(&disk->blk);
    spin_unlock(&disk->blk.device.lock);
}

static void serve_work(struct loop_work *work)
{
    disk_serve_kicked(CONTAINER_OF(work, struct disk, work));
}

static void rate_timer_fired(struct loop_timer *timer)
{
    struct disk *disk = CONTAINER_OF(timer, struct disk, rate_timer);

    if (!disk->paused) {
        spin_lock(&disk->blk.device.lock);
        virtio_blk_resume(&disk->blk);
        spin_unlock(&disk->blk.device.lock);
    }
}

static void count(struct metrics *metrics, const struct disk *disk, const char *labels)
{
    static const struct {
        const char *bytes, *operations;
    } names[DISK_KINDS] = {
        {"bothy_block_read_bytes", "bothy_block_reads"},
        {"bothy_block_write_bytes", "bothy_block_writes"},
        {NULL, "bothy_block_flushes"},
        {"bothy_block_discard_bytes", "bothy_block_discards"},
        {"bothy_block_write_zeroes_bytes", "bothy_block_write_zeroes"},
    };
    uint64_t errors = disk->blk.nr_refused;

    for (uint32_t i = 0; i < DISK_KINDS; i++) {
        if (names[i].bytes != NULL) {
            metrics_counter(metrics, names[i].bytes, "Bytes of requests that succeeded.", labels,
                            disk->counters[i].bytes);
        }
        metrics_counter(metrics, names[i].operations, "Requests that were carried out.", labels,
                        disk->counters[i].operations);
        errors += disk->counters[i].errors;
    }
    metrics_counter(metrics, "bothy_block_errors", "Requests that failed or were refused.", labels,
                    errors);
    metrics_counter(metrics, "bothy_block_throttled",
                    "How often a queue had to wait for a rate limit.", labels, disk->throttled);
}

static void collect_metrics(struct vmm_device *device, struct metrics *metrics)
{
    static const char *const latencies[] = {
        "bothy_block_read_latency_seconds",
        "bothy_block_write_latency_seconds",
        "bothy_block_flush_latency_seconds",
    };
    const struct disk *disk = to_disk(device);
    char labels[CONFIG_NAME_MAX + 32] = "";

    metrics_label(labels, sizeof(labels), "device", device->id);
    count(metrics, disk, labels);
    metrics_gauge(metrics, "bothy_block_queue_depth", "Requests under way.", labels,
                  (double)disk->under_way);
    metrics_gauge(metrics, "bothy_block_capacity_bytes", "What the guest sees.", labels,
                  (double)(disk->blk.config.capacity * BLK_SECTOR));
    for (uint32_t i = 0; i < ARRAY_SIZE(latencies); i++) {
        metrics_add_histogram(metrics, latencies[i],
                              "From the request's start to its completion.", labels,
                              &disk->latency[i]);
    }
}

static void destroy(struct vmm_device *device)
{
    struct disk *disk = to_disk(device);

    if (disk->aio != NULL) {
        wait_for_requests(disk);
    }
    loop_timer_remove(disk->loop, &disk->rate_timer);
    loop_cancel(disk->loop, &disk->work);
    aio_release(disk->aio);
    disk_file_close(&disk->file);
    disk_free_requests(disk);
    free(disk);
}

static void init_device(struct disk *disk)
{
    const struct config_disk *config = disk->config;
    struct blk_setup setup = {
        .sectors = disk->file.sectors,
        .block_size = disk->file.block_size,
        .physical_size = disk->file.physical_size,
        .readonly = config->readonly,
        .nr_queues = config->queues,
        .queue_size = config->queue_size,
    };

    memcpy(setup.id, config->serial, strnlen(config->serial, sizeof(setup.id)));
    virtio_blk_init(&disk->blk, &setup, disk->queues, &disk_backend_ops, disk);
    disk->device = (struct vmm_device){
        .id = config->id,
        .kind = "disk",
        .virtio = &disk->blk.device,
        .start = start,
        .notified = notified,
        .pause = pause_disk,
        .quiesce = quiesce,
        .metrics = collect_metrics,
        .destroy = destroy,
    };
}

static bool set_up(struct disk *disk, struct error *error)
{
    const struct config_disk *config = disk->config;

    if (!disk_file_open(config->path, config->readonly, config->direct, config->id, &disk->file,
                        error)) {
        return false;
    }
    disk->aio = find_aio(disk->vm, error);
    if (disk->aio == NULL) {
        return false;
    }
    if (config->unsafe) {
        log_warning("disk %s: cache=unsafe: what the guest has flushed may be lost with the host",
                    config->id);
    }
    supervisor_allow_open(config->path, config->readonly);
    return true;
}

struct vmm_device *disk_create(struct vm *vm, const struct config_disk *config,
                               struct error *error)
{
    struct disk *disk = calloc(1, sizeof(*disk) + config->queues * sizeof(disk->queues[0]));

    if (disk == NULL) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "disk %s", config->id);
        return NULL;
    }
    disk->vm = vm;
    disk->config = config;
    disk->loop = vm_get_loop(vm);
    disk->owner = pthread_self();
    disk->file = (struct disk_file)DISK_FILE_NONE;
    disk->client.done = disk_request_done;
    disk->client.batch_done = disk_batch_done;
    disk->work.run = serve_work;
    disk->rate_timer =
        (struct loop_timer){.deadline_ns = LOOP_TIMER_OFF, .fire = rate_timer_fired};
    if (!set_up(disk, error)) {
        destroy(&disk->device);
        return NULL;
    }
    rate_init(&disk->rate, &config->rate, loop_now_ns());
    init_device(disk);
    return &disk->device;
}

bool disk_set_rate(struct vmm_device *device, const struct config_rate *rate, struct error *error)
{
    struct disk *disk = to_disk(device);

    (void)error;
    rate_init(&disk->rate, rate, loop_now_ns());
    rate_timer_fired(&disk->rate_timer); /* who waited for the old limit */
    return true;
}

/* From beside the first medium, see supervisor.h; who opens it has locked it as well. */
static bool open_replacement(struct disk *disk, const char *path, struct disk_file *ret_file,
                             struct error *error)
{
    const struct config_disk *config = disk->config;
    int direct_fd = -1;
    int fd;

    if (vm_get_config(disk->vm)->jail.off) {
        return disk_file_open(path, config->readonly, config->direct, config->id, ret_file, error);
    }
    fd = supervisor_open(path, config->readonly, false);
    if (fd >= 0 && config->direct) {
        direct_fd = supervisor_open(path, config->readonly, true);
    }
    if (fd < 0) {
        return error_set_errno(error, EXIT_CODE_INPUT, errno,
                               "disk %s: can't open %s (a running VM gets another medium only if "
                               "that is a plain file beside the first one, named alike: the same "
                               "directory and ending)",
                               config->id, path);
    }
    return disk_file_adopt(fd, direct_fd, path, &disk->file, config->id, ret_file, error);
}

static void announce_capacity(struct disk *disk)
{
    spin_lock(&disk->blk.device.lock);
    virtio_blk_set_capacity(&disk->blk, disk->file.sectors);
    spin_unlock(&disk->blk.device.lock);
}

/* The same path: the medium has another size now. */
static bool measure_again(struct disk *disk, struct error *error)
{
    uint64_t sectors = disk_file_measure(&disk->file);

    if (sectors == 0) {
        return error_set(error, EXIT_CODE_INPUT, "disk %s: %s is empty", disk->config->id,
                         disk->config->path);
    }
    disk->file.sectors = sectors;
    announce_capacity(disk);
    return true;
}

bool disk_replace(struct vmm_device *device, const char *path, struct error *error)
{
    struct disk *disk = to_disk(device);
    struct disk_file file;

    if (strcmp(path, disk->config->path) == 0) {
        return measure_again(disk, error);
    }
    if (!open_replacement(disk, path, &file, error)) {
        return false;
    }
    wait_for_requests(disk);
    disk_file_close(&disk->file);
    disk->file = file;
    disk->no_punch = disk->no_zero_range = false;
    announce_capacity(disk);
    return true;
}
