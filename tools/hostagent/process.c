/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs with pipes or a terminal. Each is in a session of its own, so that a signal reaches
 * what it started, and a terminal can be its controlling one. All descriptors here are
 * non-blocking: the agent never waits for one program.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STRINGS_MAX = 4096, END_OF_TRANSMISSION = 4 };

/* What a LINK_START frame asks for; the strings stay in the frame. */
struct start {
    uint32_t flags;
    char *directory;
    char **arguments;
    char **environment;
};

static bool parse_start(struct start *start, const struct link_frame *frame)
{
    static char *strings[STRINGS_MAX + 3];
    static char text[LINK_PAYLOAD_MAX];
    size_t count = 0;

    if (frame->size < 9 || frame->payload[frame->size - 1] != 0)
        return false;
    start->flags = link_number(frame->payload);
    uint32_t arguments = link_number(frame->payload + 4);
    memcpy(text, frame->payload + 8, frame->size - 8);
    for (size_t at = 0; at < frame->size - 8; at += strlen(text + at) + 1) {
        if (count == STRINGS_MAX)
            return false;
        /* One place more than before: the list of arguments ends with a null. */
        strings[count + (count > arguments)] = text + at;
        count++;
    }
    if (arguments == 0 || arguments >= count)
        return false;
    start->directory = strings[0];
    start->arguments = strings + 1;
    strings[arguments + 1] = NULL;
    start->environment = strings + arguments + 2;
    strings[count + 1] = NULL;
    return true;
}

/* In the child, with its descriptors in place. */
static void __attribute__((noreturn)) execute(const struct start *start)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (chdir(start->directory) < 0) {
        fprintf(stderr, "hostagent: %s: %s\n", start->directory, strerror(errno));
        _exit(126);
    }
    environ = start->environment;
    execvp(start->arguments[0], start->arguments);
    int reason = errno;
    fprintf(stderr, "hostagent: %s: %s\n", start->arguments[0], strerror(reason));
    _exit(reason == ENOENT ? 127 : 126);
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static bool start_with_pipes(struct process *process, const struct start *start)
{
    int fds[6] = {-1, -1, -1, -1, -1, -1};

    if (pipe2(fds, O_CLOEXEC) < 0 || pipe2(fds + 2, O_CLOEXEC) < 0 ||
        pipe2(fds + 4, O_CLOEXEC) < 0 || (process->pid = fork()) < 0) {
        int reason = errno;
        close_all(fds, 6);
        errno = reason;
        return false;
    }
    if (process->pid == 0) {
        setsid();
        dup2(fds[0], 0);
        dup2(fds[3], 1);
        dup2(fds[5], 2);
        execute(start);
    }
    close(fds[0]);
    close(fds[3]);
    close(fds[5]);
    process->input = fds[1];
    process->output = fds[2];
    process->error = fds[4];
    return true;
}

static bool start_with_terminal(struct process *process, const struct start *start)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        return false;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || (process->pid = fork()) < 0) {
        int reason = errno;
        close(master);
        if (slave >= 0)
            close(slave);
        errno = reason;
        return false;
    }
    if (process->pid == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(slave, fd);
        execute(start);
    }
    close(slave);
    process->input = process->output = master;
    return true;
}

bool process_start(struct process *process, const struct link_frame *frame)
{
    struct start start;

    *process = (struct process){.number = frame->process, .input = -1, .output = -1, .error = -1};
    if (!parse_start(&start, frame)) {
        errno = EINVAL;
        return false;
    }
    process->pending = malloc(LINK_INPUT_WINDOW);
    if (!process->pending)
        return false;
    process->terminal = start.flags & PROCESS_TERMINAL;
    bool started = process->terminal ? start_with_terminal(process, &start)
                                     : start_with_pipes(process, &start);
    if (!started) {
        free(process->pending);
        return false;
    }
    set_nonblocking(process->input);
    set_nonblocking(process->output);
    if (process->error >= 0)
        set_nonblocking(process->error);
    process->used = true;
    return true;
}

bool process_take_input(struct process *process, const struct link_frame *frame)
{
    if (frame->size > LINK_INPUT_WINDOW - process->pending_size)
        return false;
    memcpy(process->pending + process->pending_size, frame->payload, frame->size);
    process->pending_size += frame->size;
    return true;
}

void process_end_input(struct process *process)
{
    /* A terminal has no end; a key says so. */
    if (process->terminal && process->pending_size < LINK_INPUT_WINDOW)
        process->pending[process->pending_size++] = END_OF_TRANSMISSION;
    else
        process->input_ends = true;
}

static void close_input(struct process *process)
{
    if (process->input >= 0 && !process->terminal)
        close(process->input);
    process->input = -1;
}

void process_feed(struct process *process, struct link *link)
{
    ssize_t done = 0;

    if (!link_has_room(link))
        return;
    if (process->input >= 0 && process->pending_size)
        done = write(process->input, process->pending, process->pending_size);
    if (process->input < 0 || (done < 0 && errno != EAGAIN && errno != EINTR)) {
        /* Nobody reads it any more: what comes is passed over. */
        close_input(process);
        done = (ssize_t)process->pending_size;
    }
    if (done > 0) {
        process->pending_size -= (size_t)done;
        memmove(process->pending, process->pending + done, process->pending_size);
        link_send_number(link, process->number, LINK_TOOK, (uint32_t)done);
    }
    if (process->input_ends && !process->pending_size)
        close_input(process);
}

bool process_forward(struct process *process, struct link *link, int *fd, enum link_type type)
{
    static uint8_t chunk[LINK_CHUNK];

    if (*fd < 0 || !link_has_room(link))
        return false;
    ssize_t got = read(*fd, chunk, sizeof(chunk));
    if (got > 0) {
        link_send(link, process->number, type, chunk, (size_t)got);
        return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    /* A terminal that nobody has open any more reads as EIO. */
    close(*fd);
    if (process->input == *fd)
        process->input = -1;
    *fd = -1;
    return false;
}

void process_signal(const struct process *process, int number)
{
    if (!process->exited)
        kill(process->pid, number);
    kill(-process->pid, number);
}

void process_resize(const struct process *process, uint32_t rows, uint32_t columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

    if (process->terminal && process->output >= 0)
        ioctl(process->output, TIOCSWINSZ, &size);
}

void process_reaped(struct process *process, int status)
{
    process->exited = true;
    process->status = WIFSIGNALED(status) ? 256 + (uint32_t)WTERMSIG(status)
                                          : (uint32_t)WEXITSTATUS(status);
}

void process_collect(struct process *process, struct link *link)
{
    if (!process->exited)
        return;
    while (process_forward(process, link, &process->output, LINK_OUTPUT) ||
           process_forward(process, link, &process->error, LINK_ERROR))
        continue;
    if (!link_has_room(link))
        return;
    if (!process->exit_sent)
        link_send_number(link, process->number, LINK_EXIT, process->status);
    process->exit_sent = true;
    if (process->output >= 0 || process->error >= 0)
        return;
    link_send(link, process->number, LINK_CLOSED, NULL, 0);
    close_input(process);
    free(process->pending);
    process->used = false;
}
