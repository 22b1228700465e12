/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll, one timerfd for all timers, one eventfd that wakes for posted work. A round serves the
 * events of one epoll_wait; a source that is removed in the middle of a round is struck from it.
 */
#include "vmm/base/loop.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define ROUND_MAX 32
#define NS_PER_S 1000000000ull

struct loop {
    int epoll_fd;
    struct loop_source timer_source;
    struct loop_source wake_source;
    struct loop_timer *timers;
    uint64_t armed_ns; /* what the timerfd is set to */
    struct loop_hook *hooks;
    struct loop_work *idle; /* and how long it waits */
    int idle_ms;
    struct loop_work *posted; /* a stack, atomically */
    uint32_t stopping;
    struct epoll_event events[ROUND_MAX];
    int nr_events;
};

uint64_t loop_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void drain(int fd)
{
    uint64_t count;

    while (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
        /* not a semaphore: once is enough, and the next read says EAGAIN */
    }
}

static void rearm(struct loop *loop)
{
    uint64_t next = LOOP_TIMER_OFF;
    struct itimerspec spec = {0};

    for (struct loop_timer *timer = loop->timers; timer != NULL; timer = timer->next) {
        next = timer->deadline_ns < next ? timer->deadline_ns : next;
    }
    if (next == loop->armed_ns) {
        return;
    }
    loop->armed_ns = next;
    if (next != LOOP_TIMER_OFF) {
        next = next == 0 ? 1 : next; /* 0 would disarm */
        spec.it_value.tv_sec = (time_t)(next / NS_PER_S);
        spec.it_value.tv_nsec = (long)(next % NS_PER_S);
    }
    timerfd_settime(loop->timer_source.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static struct loop_timer *find_due(const struct loop *loop, uint64_t now)
{
    struct loop_timer *timer = loop->timers;

    while (timer != NULL && timer->deadline_ns > now) {
        timer = timer->next;
    }
    return timer;
}

static void timers_ready(struct loop_source *source, uint32_t events)
{
    struct loop *loop = CONTAINER_OF(source, struct loop, timer_source);
    uint64_t now = loop_now_ns();
    struct loop_timer *timer;

    (void)events;
    drain(source->fd);
    loop->armed_ns = LOOP_TIMER_OFF;
    while ((timer = find_due(loop, now)) != NULL) {
        timer->deadline_ns = LOOP_TIMER_OFF;
        timer->fire(timer);
    }
    rearm(loop);
}

static void wake_ready(struct loop_source *source, uint32_t events)
{
    struct loop *loop = CONTAINER_OF(source, struct loop, wake_source);
    struct loop_work *work;
    struct loop_work *oldest = NULL;

    (void)events;
    drain(source->fd);
    work = __atomic_exchange_n(&loop->posted, NULL, __ATOMIC_ACQ_REL);
    while (work != NULL) {
        struct loop_work *next = work->next;

        work->next = oldest;
        oldest = work;
        work = next;
    }
    while (oldest != NULL) {
        work = oldest;
        oldest = work->next;
        atomic_store32_release(&work->queued, 0);
        work->run(work);
    }
}

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL) {
        return NULL;
    }
    loop->armed_ns = LOOP_TIMER_OFF;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_source = (struct loop_source){
        timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), EPOLLIN, timers_ready};
    loop->wake_source =
        (struct loop_source){eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), EPOLLIN, wake_ready};
    if (loop->epoll_fd < 0 || loop->timer_source.fd < 0 || loop->wake_source.fd < 0 ||
        !loop_add(loop, &loop->timer_source) || !loop_add(loop, &loop->wake_source)) {
        loop_destroy(loop);
        return NULL;
    }
    return loop;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        int fd = i == 0 ? loop->epoll_fd : i == 1 ? loop->timer_source.fd : loop->wake_source.fd;

        if (fd >= 0) {
            close(fd);
        }
    }
    free(loop);
}

bool loop_add(struct loop *loop, struct loop_source *source)
{
    struct epoll_event event = {.events = source->events, .data.ptr = source};

    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) == 0;
}

bool loop_change(struct loop *loop, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    source->events = events;
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) == 0;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
    if (source->fd < 0) {
        return;
    }
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    for (int i = 0; i < loop->nr_events; i++) {
        if (loop->events[i].data.ptr == source) {
            loop->events[i].data.ptr = NULL;
        }
    }
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    struct loop_timer *known = loop->timers;

    while (known != NULL && known != timer) {
        known = known->next;
    }
    if (known == NULL) {
        timer->next = loop->timers;
        loop->timers = timer;
    }
    timer->deadline_ns = deadline_ns;
    rearm(loop);
}

void loop_timer_remove(struct loop *loop, struct loop_timer *timer)
{
    struct loop_timer **link = &loop->timers;

    while (*link != NULL && *link != timer) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = timer->next;
        rearm(loop);
    }
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;

    if (write(loop->wake_source.fd, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it is as awake as can be */
    }
}

void loop_post(struct loop *loop, struct loop_work *work)
{
    if (atomic_xchg32(&work->queued, 1) != 0) {
        return;
    }
    work->next = __atomic_load_n(&loop->posted, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&loop->posted, &work->next, work, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
        /* work->next is what was found */
    }
    wake(loop);
}

void loop_cancel(struct loop *loop, struct loop_work *work)
{
    struct loop_work *taken = __atomic_exchange_n(&loop->posted, NULL, __ATOMIC_ACQ_REL);

    /* Posted again in the order in which they were, youngest first as the stack has them. */
    while (taken != NULL) {
        struct loop_work *next = taken->next;

        atomic_store32_release(&taken->queued, 0);
        if (taken != work) {
            loop_post(loop, taken);
        }
        taken = next;
    }
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
    hook->next = loop->hooks;
    loop->hooks = hook;
}

void loop_hook_remove(struct loop *loop, struct loop_hook *hook)
{
    struct loop_hook **link = &loop->hooks;

    while (*link != NULL && *link != hook) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = hook->next;
    }
}

void loop_set_idle(struct loop *loop, struct loop_work *work, int milliseconds)
{
    loop->idle = work;
    loop->idle_ms = milliseconds;
}

static void run_idle(struct loop *loop)
{
    struct loop_work *work = loop->idle;

    loop->idle = NULL;
    work->run(work);
}

static void serve_round(struct loop *loop)
{
    loop->nr_events = epoll_wait(loop->epoll_fd, loop->events, ROUND_MAX,
                                 loop->idle != NULL ? loop->idle_ms : -1);
    if (loop->nr_events == 0 && loop->idle != NULL) {
        run_idle(loop);
    }
    for (int i = 0; i < loop->nr_events; i++) {
        struct loop_source *source = loop->events[i].data.ptr;

        if (source != NULL) {
            source->ready(source, loop->events[i].events);
        }
    }
    loop->nr_events = 0;
}

void loop_run(struct loop *loop)
{
    struct loop_hook *next;

    while (atomic_load32_acquire(&loop->stopping) == 0) {
        serve_round(loop);
        for (struct loop_hook *hook = loop->hooks; hook != NULL; hook = next) {
            next = hook->next;
            hook->run(hook);
        }
    }
    atomic_store32_release(&loop->stopping, 0);
}

void loop_stop(struct loop *loop)
{
    atomic_store32_release(&loop->stopping, 1);
    wake(loop);
}
