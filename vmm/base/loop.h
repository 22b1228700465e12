/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a VM's main thread: descriptors (epoll), timers (one timerfd), and work that
 * other threads hand over. Sources and timers belong to who adds them and live until removed.
 * All calls but loop_post() and loop_stop() are the main thread's.
 */
#ifndef VMM_BASE_LOOP_H
#define VMM_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

struct loop_source {
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT, EPOLLET ... */
    void (*ready)(struct loop_source *source, uint32_t events);
};

#define LOOP_TIMER_OFF UINT64_MAX

struct loop_timer {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; LOOP_TIMER_OFF: not armed */
    void (*fire)(struct loop_timer *timer);
    struct loop_timer *next; /* the loop's */
};

/* Work from another thread. The struct is the caller's and stays alive until run. Posted twice
 * before it ran, it runs once. */
struct loop_work {
    void (*run)(struct loop_work *work);
    struct loop_work *next; /* the loop's */
    uint32_t queued;        /* the loop's; zero at first */
};

/* NULL and errno if the kernel has no descriptors left. */
struct loop *loop_create(void);
void loop_destroy(struct loop *loop);

/* False and errno as from epoll_ctl(2). */
bool loop_add(struct loop *loop, struct loop_source *source);
bool loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
/* The source may be freed afterwards, also from within a ready(). NULL-safe for fd -1. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* Arm, move or disarm (LOOP_TIMER_OFF) a timer. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_remove(struct loop *loop, struct loop_timer *timer);
uint64_t loop_now_ns(void);

/* From any thread, but not from a signal handler. */
void loop_post(struct loop *loop, struct loop_work *work);
/* Main thread: work that was posted doesn't run any more; nobody posts it again. */
void loop_cancel(struct loop *loop, struct loop_work *work);

/* Called after each round of events, before the loop sleeps: to submit what was collected. */
struct loop_hook {
    void (*run)(struct loop_hook *hook);
    struct loop_hook *next; /* the loop's */
};
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop *loop, struct loop_hook *hook);

/* Main thread: run this once, when nothing has happened for so long. */
void loop_set_idle(struct loop *loop, struct loop_work *work, int milliseconds);

/* Serve events until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
