/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bothy console`: carries bytes between the terminal and the console socket of a VM. Keys after
 * Ctrl-A are the VM's to understand; leaving with Ctrl-A x is its closing of the connection. The
 * terminal is restored on every way out, signals included.
 */
#include "vmm/base/unix_socket.h"
#include "vmm/cli/verb.h"
#include "vmm/vm/terminal.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { FROM_GUEST, FROM_TERMINAL, FROM_SIGNALS, SOURCES };

static int connect_console(const struct rundir *dir, const char *name, struct error *error)
{
    char path[RUNDIR_PATH_MAX];
    int fd;

    rundir_socket_path(dir, name, "console", path, sizeof(path));
    fd = unix_connect(path, 0, 0);
    if (fd < 0) {
        error_set_errno(error, EXIT_CODE_GUEST, errno, "%s: can't attach to its console", name);
    }
    return fd;
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = write(fd, bytes, size);

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        bytes += count;
        size -= (size_t)count;
    }
    return true;
}

/* Bytes that are there now; 0: the end. */
static bool copy(int from, int to)
{
    char bytes[4096];
    ssize_t count = read(from, bytes, sizeof(bytes));

    return count > 0 && write_all(to, bytes, (size_t)count);
}

/* Until one side ends, or a signal comes, whose number is returned. */
static int carry(int console, int signals)
{
    struct pollfd fds[SOURCES] = {
        [FROM_GUEST] = {console, POLLIN, 0},
        [FROM_TERMINAL] = {STDIN_FILENO, POLLIN, 0},
        [FROM_SIGNALS] = {signals, POLLIN, 0},
    };

    for (;;) {
        struct signalfd_siginfo info;

        if (poll(fds, SOURCES, -1) < 0) {
            continue;
        }
        if (fds[FROM_SIGNALS].revents != 0 &&
            read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            return (int)info.ssi_signo;
        }
        if (fds[FROM_GUEST].revents != 0 && !copy(console, STDOUT_FILENO)) {
            return 0;
        }
        if (fds[FROM_TERMINAL].revents != 0 && !copy(STDIN_FILENO, console)) {
            fds[FROM_TERMINAL].fd = -1; /* no more input; the guest may still have to say things */
        }
    }
}

int cmd_console(const struct cli *cli, struct error *error)
{
    struct terminal terminal = {0};
    struct rundir dir = {.fd = -1};
    struct rundir_vm vm;
    int console = -1;
    int number = 0;

    if (verb_find(cli, &dir, &vm, error)) {
        console = connect_console(&dir, vm.name, error);
    }
    rundir_close(&dir);
    if (console < 0) {
        return (int)error->code;
    }
    if (terminal_save(&terminal)) {
        fprintf(stderr, "attached to %s; Ctrl-A x leaves, Ctrl-A h helps\n", vm.name);
        terminal_raw(&terminal);
    }
    number = carry(console, open_signals());
    terminal_restore(&terminal);
    if (terminal.saved) {
        fprintf(stderr, "\nleft %s\n", vm.name);
    }
    close(console);
    return number == 0 ? EXIT_CODE_OK : EXIT_CODE_SIGNAL + number;
}
