/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous I/O on files, for all disks of a VM: by one io_uring (uring.c), or, where the host
 * has none or forbids it, by one thread with preadv and the like (aio_thread.c).
 *
 * Everything here is the main thread's. What is submitted while the loop serves a round of events
 * begins together at its end; completions come from the loop too, never from aio_submit().
 */
#ifndef VMM_DEVICES_AIO_H
#define VMM_DEVICES_AIO_H

#include "vmm/base/error.h"
#include "vmm/base/loop.h"
#include "vmm/config/config.h"
#include "vmm/devices/gather.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct aio;
struct aio_client;

enum aio_kind { AIO_READ, AIO_WRITE, AIO_SYNC, AIO_ALLOCATE };

/* The submitter's memory, untouched by it until done() is called; segments too. */
struct aio_request {
    struct aio_request *next; /* the engine's */
    struct aio_client *client;
    uint8_t kind;          /* enum aio_kind */
    bool durable;          /* WRITE: on the medium before it is done */
    uint16_t nr_segments;
    int fd;
    int32_t mode;          /* ALLOCATE: as fallocate(2) */
    uint64_t offset;       /* bytes */
    uint64_t size;         /* ALLOCATE */
    struct iovec *segments;
    int32_t result;        /* between a thread and the loop */
};

struct aio_client {
    /* Bytes, which may be fewer than asked for, 0 for others than READ and WRITE, or -errno. May
     * submit again. */
    void (*done)(struct aio_request *request, int32_t result);
    /* After the last done() of a batch. */
    void (*batch_done)(struct aio_client *client);
    struct aio_client *next; /* the engine's */
    bool touched;
};

/* An engine: a struct aio at the beginning of its own. */
struct aio_ops {
    bool (*start)(struct aio *aio); /* false and errno; NULL: nothing to do */
    void (*submit)(struct aio *aio, struct aio_request *request);
    void (*wait)(struct aio *aio); /* deliver; at least one if any is under way */
    void (*destroy)(struct aio *aio);
};

struct aio {
    const struct aio_ops *ops;
    const char *name; /* "io_uring" or "thread" */
    struct loop *loop;
    uint32_t references;
    uint32_t in_flight;
    uint64_t now_ns; /* of this round; 0: not known yet */
    struct aio_client *touched;
    struct gather gather; /* one for all disks: it is about the thread that serves them */
};

/* The engine of this VM: io_uring, or a thread if that can't be had or `thread` is set. NULL and a
 * sentence. Released as often as created or held. */
struct aio *aio_create(struct loop *loop, const struct config_jail *jail, bool thread,
                       struct error *error);
struct aio *aio_hold(struct aio *aio);
/* Make the thread, if it needs one; without this call the first request does. Once is enough. */
bool aio_start(struct aio *aio, struct error *error);
void aio_release(struct aio *aio);

static inline void aio_submit(struct aio *aio, struct aio_request *request)
{
    aio->in_flight++;
    aio->ops->submit(aio, request);
}

/* Block until a completion was delivered, if any request is under way. */
void aio_wait(struct aio *aio);

/* The time, read at most once a round and a batch. */
uint64_t aio_now_ns(struct aio *aio);

/* For engines: a request is done; a batch is. */
void aio_deliver(struct aio *aio, struct aio_request *request, int32_t result);
void aio_end_batch(struct aio *aio);

/* The two engines; NULL and errno. */
struct aio *uring_create(struct loop *loop);
struct aio *aio_thread_create(struct loop *loop, const struct config_jail *jail);

#endif
