/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of the test host: runs programs for whoever is at the other end of a port.
 *
 * usage: hostagent PORT [PROGRAM [ARGUMENT...]]
 *
 * PORT is the name of a virtio-serial port. PROGRAM is run first and waited for: the rest of the
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
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link.h"
#include "process.h"

enum { PROCESSES = 128, FDS = 2 + 3 * PROCESSES };

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

static void serve(struct agent *agent)
{
    static struct pollfd fds[FDS];

    while (!agent->broken) {
        fill_poll(agent, fds);
        if (poll(fds, FDS, -1) < 0 && errno != EINTR)
            return;
        if ((fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)))
            return;
        if (fds[0].revents & POLLIN && !link_read(&agent->link, take, agent))
            return;
        reap(agent);
        serve_processes(agent, fds);
        if (!link_write(&agent->link))
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

/* The device of the virtio-serial port with that name. */
static bool find_port(const char *name, char *path, size_t size)
{
    for (unsigned port = 0; port < 32; port++) {
        char attribute[64], found[64] = "";

        snprintf(attribute, sizeof(attribute), "/sys/class/virtio-ports/vport0p%u/name", port);
        FILE *file = fopen(attribute, "re");
        if (!file)
            continue;
        int items = fscanf(file, "%63s", found);
        fclose(file);
        if (items == 1 && strcmp(found, name) == 0) {
            snprintf(path, size, "/dev/vport0p%u", port);
            return true;
        }
    }
    errno = ENODEV;
    return false;
}

int main(int count, char **arguments)
{
    static struct agent agent;
    char path[64];
    sigset_t children;

    if (count < 2) {
        fprintf(stderr, "usage: hostagent PORT [PROGRAM [ARGUMENT...]]\n");
        return 2;
    }
    if (count > 2)
        run_first(arguments + 2);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    signal(SIGPIPE, SIG_IGN);
    agent.signals = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    if (agent.signals < 0 || !find_port(arguments[1], path, sizeof(path)) ||
        !link_open(&agent.link, path)) {
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
