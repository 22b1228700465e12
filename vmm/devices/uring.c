/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk I/O by one io_uring. Requests become submission entries at once and the kernel sees them in
 * one system call, when the loop has served its round of events; reads that the page cache can
 * serve are complete when that call returns, and are delivered before the loop sleeps.
 *
 * Later completions are signalled through an eventfd that nobody ever reads: the loop watches it
 * edge-triggered. A signal costs a round of the loop, so it is switched off while reads are
 * submitted that will probably complete at once, which is what the last ones did.
 *
 * The ring may only do what is needed here (the kernel enforces it): a compromised process can't
 * use it to get around the system-call filter. No descriptor is registered, though it would save
 * the kernel its look-up: a ring is torn down some time after its process, and a file stays open
 * and locked until then; and undoing it would take a system call more in the filter.
 *
 * At most as many requests are with the kernel as the completion ring holds; the others wait in
 * order. Kernels before 5.10 lack some of this and get the thread.
 */
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "vmm/devices/aio.h"
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SUBMIT_ENTRIES 64u
#define COMPLETE_ENTRIES 128u

struct uring {
    struct aio aio;
    struct io_uring ring;
    struct loop_source signal; /* the eventfd */
    struct loop_hook hook;
    struct loop_work again; /* the kernel was short of memory: another round */
    bool deferred;        /* completions are made only inside of our own system calls */
    bool expect_inline;   /* the last reads completed within their submission */
    bool only_reads;      /* among the entries that the kernel hasn't seen */
    uint32_t with_kernel; /* entries made and not completed */
    struct aio_request *waiting;
    struct aio_request **waiting_end;
};

static struct uring *to_uring(struct aio *aio)
{
    return CONTAINER_OF(aio, struct uring, aio);
}

static void prepare(struct uring *uring, struct aio_request *request)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    const struct iovec *first = request->segments;

    switch ((enum aio_kind)request->kind) {
    case AIO_READ:
        if (request->nr_segments == 1) {
            io_uring_prep_read(sqe, request->fd, first->iov_base, (unsigned int)first->iov_len,
                               request->offset);
        } else {
            io_uring_prep_readv(sqe, request->fd, first, request->nr_segments, request->offset);
        }
        break;
    case AIO_WRITE:
        if (request->nr_segments == 1) {
            io_uring_prep_write(sqe, request->fd, first->iov_base, (unsigned int)first->iov_len,
                                request->offset);
        } else {
            io_uring_prep_writev(sqe, request->fd, first, request->nr_segments, request->offset);
        }
        sqe->rw_flags = request->durable ? RWF_DSYNC : 0;
        break;
    case AIO_SYNC:
        io_uring_prep_fsync(sqe, request->fd, IORING_FSYNC_DATASYNC);
        break;
    case AIO_ALLOCATE:
        io_uring_prep_fallocate(sqe, request->fd, request->mode, (off_t)request->offset,
                                (off_t)request->size);
        break;
    }
    io_uring_sqe_set_data(sqe, request);
    uring->only_reads &= request->kind == AIO_READ;
    uring->with_kernel++;
}

static bool has_room(const struct uring *uring)
{
    return uring->with_kernel < COMPLETE_ENTRIES && io_uring_sq_space_left(&uring->ring) != 0;
}

static void submit(struct aio *aio, struct aio_request *request)
{
    struct uring *uring = to_uring(aio);

    if (uring->waiting == NULL && has_room(uring)) {
        prepare(uring, request);
        return;
    }
    request->next = NULL;
    *uring->waiting_end = request;
    uring->waiting_end = &request->next;
}

static void prepare_waiting(struct uring *uring)
{
    while (uring->waiting != NULL && has_room(uring)) {
        struct aio_request *request = uring->waiting;

        uring->waiting = request->next;
        if (uring->waiting == NULL) {
            uring->waiting_end = &uring->waiting;
        }
        prepare(uring, request);
    }
}

static void reap(struct uring *uring)
{
    struct io_uring_cqe *cqe;
    unsigned int count = io_uring_cq_ready(&uring->ring);

    if (count == 0) {
        return;
    }
    uring->aio.now_ns = 0;
    uring->with_kernel -= count;
    for (; count > 0; count--) {
        struct aio_request *request;
        int32_t result;

        /* Copied and given back one by one: done() may submit. */
        io_uring_peek_cqe(&uring->ring, &cqe);
        request = io_uring_cqe_get_data(cqe);
        result = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        aio_deliver(&uring->aio, request, result);
    }
    aio_end_batch(&uring->aio);
}

static void set_signal(struct uring *uring, bool on)
{
    /* The flag is the kernel's to read: whole, and before the completions are looked at again. */
    io_uring_cq_eventfd_toggle(&uring->ring, on);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Show the kernel what was collected, take what is complete, until nothing is left to show. */
static void run_hook(struct loop_hook *hook)
{
    struct uring *uring = CONTAINER_OF(hook, struct uring, hook);

    while (io_uring_sq_ready(&uring->ring) != 0) {
        bool alone = uring->with_kernel == io_uring_sq_ready(&uring->ring);
        bool silent = uring->deferred && uring->expect_inline && uring->only_reads && alone;
        int shown;

        if (silent) {
            set_signal(uring, false);
        }
        shown = io_uring_submit(&uring->ring);
        uring->only_reads = true;
        reap(uring);
        uring->expect_inline = uring->with_kernel == io_uring_sq_ready(&uring->ring);
        if (silent) {
            set_signal(uring, true);
            if (!uring->expect_inline) {
                io_uring_get_events(&uring->ring); /* for what came without a signal */
                reap(uring);
            }
        }
        prepare_waiting(uring);
        if (shown <= 0) {
            loop_post(uring->aio.loop, &uring->again);
            break;
        }
    }
    uring->aio.now_ns = 0;
}

/* The round that this makes is all: run_hook() comes at its end. */
static void run_again(struct loop_work *work)
{
    (void)work;
}

static void signal_ready(struct loop_source *source, uint32_t events)
{
    struct uring *uring = CONTAINER_OF(source, struct uring, signal);

    (void)events;
    /* Completions that the call makes signal once more, for nothing. Without signals meanwhile, one
     * that comes after the call could be missed. */
    if (uring->deferred &&
        (atomic_load32_acquire(uring->ring.sq.kflags) & IORING_SQ_TASKRUN) != 0) {
        io_uring_get_events(&uring->ring);
    }
    reap(uring);
    prepare_waiting(uring);
}

static void wait_some(struct aio *aio)
{
    struct uring *uring = to_uring(aio);

    prepare_waiting(uring);
    io_uring_submit_and_wait(&uring->ring, 1);
    uring->only_reads = true;
    reap(uring);
    prepare_waiting(uring);
}

static void destroy(struct aio *aio)
{
    struct uring *uring = to_uring(aio);

    if (aio->loop != NULL) {
        loop_hook_remove(aio->loop, &uring->hook);
        loop_remove(aio->loop, &uring->signal);
        loop_cancel(aio->loop, &uring->again);
    }
    io_uring_queue_exit(&uring->ring);
    if (uring->signal.fd >= 0) {
        close(uring->signal.fd);
    }
    free(uring);
}

/* The newest way to run that this kernel has: 6.1, 5.19, 5.10. Returns 0 or -errno. */
static int open_ring(struct uring *uring)
{
    static const unsigned int flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    int result = -EINVAL;

    for (uint32_t i = 0; i < ARRAY_SIZE(flags) && result == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
            .cq_entries = COMPLETE_ENTRIES,
        };

        result = io_uring_queue_init_params(SUBMIT_ENTRIES, &uring->ring, &params);
        uring->deferred = (flags[i] & IORING_SETUP_DEFER_TASKRUN) != 0;
    }
    return result;
}

static int restrict_ring(struct io_uring *ring)
{
    static const uint8_t allowed[] = {
        IORING_OP_READ,   IORING_OP_READV, IORING_OP_WRITE,
        IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
    };
    struct io_uring_restriction rules[ARRAY_SIZE(allowed)] = {0};
    uint32_t count = 0;

    for (uint32_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        rules[count].opcode = IORING_RESTRICTION_SQE_OP;
        rules[count++].sqe_op = allowed[i];
    }
    return io_uring_register_restrictions(ring, rules, count);
}

static int set_up_ring(struct uring *uring)
{
    int result = io_uring_register_eventfd(&uring->ring, uring->signal.fd);

    if (result == 0) {
        result = restrict_ring(&uring->ring);
    }
    if (result == 0) {
        result = io_uring_enable_rings(&uring->ring);
    }
    return result;
}

static const struct aio_ops uring_ops = {NULL, submit, wait_some, destroy};

struct aio *uring_create(struct loop *loop)
{
    struct uring *uring = calloc(1, sizeof(*uring));
    int result;

    if (uring == NULL) {
        return NULL;
    }
    result = open_ring(uring);
    if (result < 0) {
        free(uring);
        errno = -result;
        return NULL;
    }
    uring->aio.ops = &uring_ops;
    uring->aio.name = "io_uring";
    uring->expect_inline = true;
    uring->only_reads = true;
    uring->waiting_end = &uring->waiting;
    uring->hook.run = run_hook;
    uring->again.run = run_again;
    uring->signal = (struct loop_source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                         EPOLLIN | (uint32_t)EPOLLET, signal_ready};
    result = uring->signal.fd < 0 ? -errno : set_up_ring(uring);
    if (result < 0 || !loop_add(loop, &uring->signal)) {
        result = result < 0 ? -result : errno;
        destroy(&uring->aio);
        errno = result;
        return NULL;
    }
    loop_hook_add(loop, &uring->hook);
    return &uring->aio;
}
