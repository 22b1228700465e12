/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk, as its two files see it: disk.c makes, pauses and measures it, disk_request.c turns the
 * device's requests into I/O.
 *
 * All of it is the main thread's, but for what a vCPU's thread does when it kicks a queue without
 * an eventfd: may_serve() leaves a note in `kicked` and wakes the loop.
 */
#ifndef VMM_DEVICES_DISK_H
#define VMM_DEVICES_DISK_H

#include "machine/virtio/blk.h"
#include "vmm/api/metrics.h"
#include "vmm/devices/aio.h"
#include "vmm/devices/device.h"
#include "vmm/devices/disk_file.h"
#include "vmm/devices/rate.h"
#include <pthread.h>

#define DISK_KINDS (BLK_WRITE_ZEROES + 1)
#define DISK_SMALL_ENTRIES 4u /* segments of a request that is kept for the next one */

struct disk;

struct disk_request {
    struct aio_request aio; /* the step that is being done */
    struct disk *disk;
    struct disk_request *next_free;
    uint64_t start_ns;
    uint64_t done;  /* bytes: of the transfer, or of the range that is written with zeroes */
    uint16_t range; /* DISCARD, WRITE_ZEROES: the one being done */
    uint8_t way;    /* enum disk_way: how */
    uint8_t tries;  /* that came to nothing for no reason of ours */
    bool is_small;
    bool buffered;  /* direct I/O wasn't possible */
    struct iovec zeroes;
    struct blk_request blk; /* last: it has an array at its end */
};

struct disk_counters {
    uint64_t bytes;
    uint64_t operations;
    uint64_t errors;
};

struct disk {
    struct vmm_device device;
    struct virtio_blk blk;
    struct vm *vm;
    const struct config_disk *config;
    struct loop *loop;
    pthread_t owner; /* the main thread */

    struct aio *aio;
    struct aio_client client;
    struct disk_file file;
    bool no_punch; /* what the medium turned out not to have */
    bool no_zero_range;

    struct rate rate;
    struct loop_timer rate_timer;
    struct loop_work work;
    uint32_t kicked; /* queues to serve; atomic */
    bool paused;

    uint32_t begun; /* requests ever, modulo 2^32 */
    struct disk_request *free;
    uint32_t under_way;
    uint32_t reported; /* errors of the host that were logged */
    uint64_t throttled;
    struct disk_counters counters[DISK_KINDS];
    struct metrics_histogram latency[DISK_KINDS - 2]; /* READ, WRITE, FLUSH */
    struct virtqueue queues[];
};

extern const struct blk_backend_ops disk_backend_ops;

/* struct aio_client. */
void disk_request_done(struct aio_request *aio, int32_t result);
void disk_batch_done(struct aio_client *client);

/* Serve the queues of `kicked`, unless the disk is paused. */
void disk_serve_kicked(struct disk *disk);

void disk_free_requests(struct disk *disk);

#endif
