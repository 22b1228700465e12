/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk I/O by one thread that does one request after the other with the blocking calls: slow, but
 * it works where io_uring doesn't.
 *
 * The loop collects requests and hands them over at the end of its round; the thread hands back
 * what is done by loop_post(). Both lists are under the mutex.
 */
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/devices/aio.h"
#include "vmm/jail/jail.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_SIZE (64u * 1024)

struct request_list {
    struct aio_request *first;
    struct aio_request **end;
};

struct aio_thread {
    struct aio aio;
    struct loop_hook hook;
    struct loop_work work;
    struct request_list collected; /* the loop's own */
    const struct config_jail *jail;
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex;
    pthread_cond_t to_do_changed;
    pthread_cond_t done_changed;
    struct request_list to_do;
    struct request_list done;
    bool ending;
};

static struct aio_thread *to_thread(struct aio *aio)
{
    return CONTAINER_OF(aio, struct aio_thread, aio);
}

static void list_init(struct request_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(struct request_list *list, struct aio_request *request)
{
    request->next = NULL;
    *list->end = request;
    list->end = &request->next;
}

static struct aio_request *list_take(struct request_list *list)
{
    struct aio_request *request = list->first;

    if (request != NULL) {
        list->first = request->next;
        if (list->first == NULL) {
            list->end = &list->first;
        }
    }
    return request;
}

static void list_move(struct request_list *to, struct request_list *from)
{
    if (from->first != NULL) {
        *to->end = from->first;
        to->end = from->end;
        list_init(from);
    }
}

/* Written through without pwritev2(2): that one isn't in each kernel's and filter's list. */
static ssize_t write_segments(int fd, const struct aio_request *request)
{
    ssize_t size = pwritev(fd, request->segments, request->nr_segments, (off_t)request->offset);

    return size >= 0 && request->durable && fdatasync(fd) < 0 ? -1 : size;
}

static int32_t carry_out(const struct aio_request *request)
{
    int fd = request->fd;
    ssize_t result = -1;

    errno = EINVAL;
    switch ((enum aio_kind)request->kind) {
    case AIO_READ:
        result = preadv(fd, request->segments, request->nr_segments, (off_t)request->offset);
        break;
    case AIO_WRITE:
        result = write_segments(fd, request);
        break;
    case AIO_SYNC:
        result = fdatasync(fd);
        break;
    case AIO_ALLOCATE:
        result = fallocate(fd, request->mode, (off_t)request->offset, (off_t)request->size);
        break;
    }
    return result < 0 ? -errno : (int32_t)MIN(result, (ssize_t)INT32_MAX);
}

static void *run_thread(void *argument)
{
    struct aio_thread *thread = argument;
    struct error error = ERROR_NONE;

    if (!jail_thread(thread->jail, JAIL_WORKER, &error)) {
        log_error("%s", error.text);
        _exit(EXIT_CODE_VMM);
    }
    pthread_mutex_lock(&thread->mutex);
    while (!thread->ending) {
        struct aio_request *request = list_take(&thread->to_do);

        if (request == NULL) {
            pthread_cond_wait(&thread->to_do_changed, &thread->mutex);
            continue;
        }
        pthread_mutex_unlock(&thread->mutex);
        request->result = carry_out(request);
        pthread_mutex_lock(&thread->mutex);
        list_append(&thread->done, request);
        pthread_cond_signal(&thread->done_changed);
        loop_post(thread->aio.loop, &thread->work);
    }
    pthread_mutex_unlock(&thread->mutex);
    return NULL;
}

/* Signals are the main thread's. Not at creation: what shuts the jail wants to be alone. */
static bool start(struct aio *aio)
{
    struct aio_thread *thread = to_thread(aio);
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;

    if (thread->started) {
        return true;
    }
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* a call that the jail refuses is to be told */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MAX((size_t)STACK_SIZE, (size_t)PTHREAD_STACK_MIN));
    pthread_sigmask(SIG_BLOCK, &all, &before);
    errno = pthread_create(&thread->thread, &attributes, run_thread, thread);
    thread->started = errno == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return thread->started;
}

static void fail_collected(struct aio_thread *thread)
{
    struct aio_request *request;

    while ((request = list_take(&thread->collected)) != NULL) {
        request->result = -ENOMEM;
        list_append(&thread->done, request);
    }
    loop_post(thread->aio.loop, &thread->work);
}

static void hand_over(struct aio_thread *thread)
{
    if (thread->collected.first == NULL) {
        return;
    }
    if (!start(&thread->aio)) {
        fail_collected(thread);
        return;
    }
    pthread_mutex_lock(&thread->mutex);
    list_move(&thread->to_do, &thread->collected);
    pthread_cond_signal(&thread->to_do_changed);
    pthread_mutex_unlock(&thread->mutex);
}

static void run_hook(struct loop_hook *hook)
{
    struct aio_thread *thread = CONTAINER_OF(hook, struct aio_thread, hook);

    hand_over(thread);
    thread->aio.now_ns = 0;
}

static void deliver(struct aio_thread *thread)
{
    struct request_list done;
    struct aio_request *request;

    list_init(&done);
    pthread_mutex_lock(&thread->mutex);
    list_move(&done, &thread->done);
    pthread_mutex_unlock(&thread->mutex);
    thread->aio.now_ns = 0;
    while ((request = list_take(&done)) != NULL) {
        aio_deliver(&thread->aio, request, request->result);
    }
    aio_end_batch(&thread->aio);
}

static void work_ready(struct loop_work *work)
{
    deliver(CONTAINER_OF(work, struct aio_thread, work));
}

static void submit(struct aio *aio, struct aio_request *request)
{
    list_append(&to_thread(aio)->collected, request);
}

static void wait_some(struct aio *aio)
{
    struct aio_thread *thread = to_thread(aio);

    hand_over(thread);
    pthread_mutex_lock(&thread->mutex);
    while (thread->done.first == NULL) {
        pthread_cond_wait(&thread->done_changed, &thread->mutex);
    }
    pthread_mutex_unlock(&thread->mutex);
    deliver(thread);
}

/* Nothing is under way; the work may still be posted for what was waited for. */
static void destroy(struct aio *aio)
{
    struct aio_thread *thread = to_thread(aio);

    if (thread->started) {
        pthread_mutex_lock(&thread->mutex);
        thread->ending = true;
        pthread_cond_signal(&thread->to_do_changed);
        pthread_mutex_unlock(&thread->mutex);
        pthread_join(thread->thread, NULL);
    }
    loop_hook_remove(aio->loop, &thread->hook);
    loop_cancel(aio->loop, &thread->work);
    pthread_mutex_destroy(&thread->mutex);
    pthread_cond_destroy(&thread->to_do_changed);
    pthread_cond_destroy(&thread->done_changed);
    free(thread);
}

static const struct aio_ops thread_ops = {start, submit, wait_some, destroy};

struct aio *aio_thread_create(struct loop *loop, const struct config_jail *jail)
{
    struct aio_thread *thread = calloc(1, sizeof(*thread));

    if (thread == NULL) {
        return NULL;
    }
    thread->aio.ops = &thread_ops;
    thread->aio.name = "thread";
    thread->hook.run = run_hook;
    thread->work.run = work_ready;
    thread->jail = jail;
    list_init(&thread->collected);
    list_init(&thread->to_do);
    list_init(&thread->done);
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_cond_init(&thread->to_do_changed, NULL);
    pthread_cond_init(&thread->done_changed, NULL);
    loop_hook_add(loop, &thread->hook);
    return &thread->aio;
}
