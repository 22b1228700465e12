/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of the test host: runs programs for whoever is at the other end of a port.
 *
 * usage: hostagent PORT [PROGRAM [ARGUMENT...]]
 *
 * PORT is what link.h's link_open() takes. PROGRAM is run first and waited for: the rest of the
 * set-up, for instance. As the first process the agent reaps orphans too; when the other end of
 * the port goes away it switches the machine off.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link.h"
#include "process.h"

enum {
    PROCESSES = 128,
    FDS = 2 + 3 * PROCESSES,
    TURN_MS = 1000 /* of the machine's clock: so late is a signal for what says nothing */
};

struct agent {
    struct link link;
    int signals;
    bool broken;
    struct process processes[PROCESSES];
};

static struct process *find(struct agent *agent, uint32_t number)
{
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (agent->processes[i].used && agent->processes[i].number == number)
            return &agent->processes[i];
    }
    return NULL;
}

static void start(struct agent *agent, const struct link_frame *frame)
{
    unsigned free_slot = 0;

    while (free_slot < PROCESSES && agent->processes[free_slot].used)
        free_slot++;
    errno = EAGAIN;
    if (free_slot < PROCESSES && process_start(&agent->processes[free_slot], frame))
        return;
    char text[128];
    int size = snprintf(text, sizeof(text), "hostagent: can't start it: %s\n", strerror(errno));
    link_send(&agent->link, frame->process, LINK_ERROR, text, (size_t)size);
    link_send_number(&agent->link, frame->process, LINK_EXIT, 126);
    link_send(&agent->link, frame->process, LINK_CLOSED, NULL, 0);
}

static void take(void *context, const struct link_frame *frame)
{
    struct agent *agent = context;
    struct process *process = find(agent, frame->process);

    if (frame->type == LINK_START && !process)
        start(agent, frame);
    if (!process)
        return; /* It has ended meanwhile. */
    if (frame->type == LINK_INPUT && !process_take_input(process, frame))
        agent->broken = true;
    if (frame->type == LINK_EOF)
        process_end_input(process);
    if (frame->type == LINK_SIGNAL && frame->size == 4)
        process_signal(process, (int)link_number(frame->payload));
    if (frame->type == LINK_SIZE && frame->size == 8)
        process_resize(process, link_number(frame->payload), link_number(frame->payload + 4));
}

static void reap(struct agent *agent)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(agent->signals, &info, sizeof(info)) > 0)
        continue;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < PROCESSES; i++) {
            struct process *process = &agent->processes[i];
            if (process->used && process->pid == pid && !process->exited)
                process_reaped(process, status);
        }
    }
}

static bool runs_anything(const struct agent *agent)
{
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (agent->processes[i].used)
            return true;
    }
    return false;
}

/* What to wait for; a descriptor of -1 is passed over by poll(). */
static void fill_poll(const struct agent *agent, struct pollfd *fds)
{
    bool room = link_has_room(&agent->link);

    fds[0] = (struct pollfd){.fd = agent->link.fd, .events = POLLIN};
    if (link_wants_write(&agent->link))
        fds[0].events |= POLLOUT;
    fds[1] = (struct pollfd){.fd = agent->signals, .events = POLLIN};
    for (unsigned i = 0; i < PROCESSES; i++) {
        const struct process *process = &agent->processes[i];
        bool feed = process->used && room && process->pending_size;
        bool read_it = process->used && room;

        fds[2 + 3 * i] = (struct pollfd){.fd = feed ? process->input : -1, .events = POLLOUT};
        fds[3 + 3 * i] = (struct pollfd){.fd = read_it ? process->output : -1, .events = POLLIN};
        fds[4 + 3 * i] = (struct pollfd){.fd = read_it ? process->error : -1, .events = POLLIN};
    }
}

static void serve_processes(struct agent *agent, const struct pollfd *fds)
{
    for (unsigned i = 0; i < PROCESSES; i++) {
        struct process *process = &agent->processes[i];

        if (!process->used)
            continue;
        if (process->pending_size || process->input_ends)
            process_feed(process, &agent->link);
        if (fds[3 + 3 * i].revents)
            process_forward(process, &agent->link, &process->output, LINK_OUTPUT);
        if (fds[4 + 3 * i].revents)
            process_forward(process, &agent->link, &process->error, LINK_ERROR);
        process_collect(process, &agent->link);
    }
}

/* The outside has its turn when there is news for it, when nothing runs, and now and then. */
static bool take_turns(struct agent *agent, bool now)
{
    while (now || link_wants_write(&agent->link) || !runs_anything(agent)) {
        if (!link_take_turns(&agent->link, take, agent))
            return false;
        now = false;
    }
    return true;
}

static void serve(struct agent *agent)
{
    static struct pollfd fds[FDS];
    bool turns = agent->link.takes_turns;
    int ready = 1;

    while (!agent->broken) {
        if (turns && !take_turns(agent, ready == 0))
            return;
        fill_poll(agent, fds);
        ready = poll(fds, FDS, turns ? TURN_MS : -1);
        if (ready < 0 && errno != EINTR)
            return;
        if ((fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)))
            return;
        if (fds[0].revents & POLLIN && !link_read(&agent->link, take, agent))
            return;
        reap(agent);
        serve_processes(agent, fds);
        if (!turns && !link_write(&agent->link))
            return;
    }
}

static void run_first(char **arguments)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execv(arguments[0], arguments);
        perror(arguments[0]);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
        fprintf(stderr, "hostagent: %s did not end well\n", arguments[0]);
}

int main(int count, char **arguments)
{
    static struct agent agent;
    sigset_t children;

    if (count < 2) {
        fprintf(stderr, "usage: hostagent PORT [PROGRAM [ARGUMENT...]]\n");
        return 2;
    }
    if (count > 2)
        run_first(arguments + 2);
    /* As programs find it where systemd is the first process. */
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 1024, .rlim_max = 524288});
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    signal(SIGPIPE, SIG_IGN);
    agent.signals = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    if (agent.signals < 0 || !link_open(&agent.link, arguments[1])) {
        perror(arguments[1]);
        return 1;
    }
    link_send_number(&agent.link, 0, LINK_HELLO, LINK_VERSION);
    if (!link_write(&agent.link))
        return 1;
    serve(&agent);
    fprintf(stderr, "hostagent: the other end of %s is gone\n", arguments[1]);
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
