/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stop and kill. A VM has ended when the process that supervises it has: then its files are gone
 * too. Processes are held by descriptors, so that a number that is used again can't be meant.
 */
#include "vmm/cli/verb.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STOP_TIMEOUT_S 60
#define STOP_TIMEOUT_MAX_S 86400u
#define KILL_TIMEOUT_S 10

static int pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* The process, if it still belongs to the VM that was found. */
static int hold_process(const struct rundir *dir, const struct rundir_vm *vm, pid_t pid)
{
    int fd = pidfd_of(pid);
    struct rundir_vm again;

    if (fd >= 0 && (!rundir_probe(dir, vm->name, &again) || again.pid != vm->pid)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Waits for the end, telling a terminal how long already. */
static bool wait_for_end(int pidfd, const char *name, const char *what, unsigned seconds)
{
    bool tell = isatty(STDERR_FILENO) != 0;
    struct pollfd poll_fd = {pidfd, POLLIN, 0};
    bool ended = false;
    unsigned passed;

    for (passed = 0; !ended && passed < seconds; passed++) {
        if (tell && passed > 0) {
            fprintf(stderr, "\r%s: %s (%u s of %u)", name, what, passed, seconds);
        }
        ended = poll(&poll_fd, 1, 1000) > 0;
    }
    if (tell && passed > 1) {
        fprintf(stderr, "\r\033[K");
    }
    return ended;
}

static bool parse_timeout(const struct cli *cli, unsigned *ret_seconds, struct error *error)
{
    const struct cli_given *given = cli_find(cli, CLI_TIMEOUT);
    char *end = NULL;
    unsigned long seconds;

    *ret_seconds = STOP_TIMEOUT_S;
    if (given == NULL) {
        return true;
    }
    seconds = strtoul(given->value, &end, 10);
    if (given->value[0] < '0' || given->value[0] > '9' || *end != '\0' ||
        seconds > STOP_TIMEOUT_MAX_S) {
        return error_set(error, EXIT_CODE_USAGE,
                         "--timeout: \"%.40s\" is not possible; allowed are 0 to %u seconds",
                         given->value, STOP_TIMEOUT_MAX_S);
    }
    *ret_seconds = (unsigned)seconds;
    return true;
}

/* A VM that still waits for its configuration has no guest that could shut down. */
static const char *choose_action(const struct rundir_vm *vm)
{
    struct error problem = ERROR_NONE;
    json_t *json = verb_get(vm, "/stat", &problem);
    const char *state = json_string_value(json_object_get(json, "state"));
    bool waits = state != NULL && strcmp(state, "configuring") == 0;

    json_decref(json);
    return waits ? "{\"action_type\":\"Stop\"}" : "{\"action_type\":\"PowerButton\"}";
}

static void stop_vm(const struct cli *cli, const struct rundir *dir, const struct rundir_vm *vm,
                    unsigned seconds, struct error *error)
{
    int fd = hold_process(dir, vm, vm->pid);

    if (fd < 0) {
        error_set(error, EXIT_CODE_NO_VM, "%s ended on its own", vm->name);
        return;
    }
    if (verb_request(vm, "PUT", "/actions", choose_action(vm), error)) {
        if (wait_for_end(fd, vm->name, "waiting for the guest to shut down", seconds)) {
            verb_tell(cli, vm->name, "stopped");
        } else {
            error_set(error, EXIT_CODE_GUEST,
                      "%s hasn't shut down within %u s: the guest may not know the power button, "
                      "or takes longer (--timeout); bothy kill %s ends it at once", vm->name,
                      seconds, vm->name);
        }
    }
    close(fd);
}

int cmd_stop(const struct cli *cli, struct error *error)
{
    struct rundir dir = {.fd = -1};
    struct rundir_vm vm;
    unsigned seconds;

    if (parse_timeout(cli, &seconds, error) && verb_find(cli, &dir, &vm, error)) {
        stop_vm(cli, &dir, &vm, seconds, error);
    }
    rundir_close(&dir);
    return (int)error->code;
}

static void kill_vm(const struct cli *cli, const struct rundir *dir, const struct rundir_vm *vm,
                    struct error *error)
{
    /* The VM's process, so that its supervisor tidies up. */
    int supervisor = hold_process(dir, vm, vm->pid);
    int fd = supervisor < 0 || vm->vm_pid == 0 ? -1 : hold_process(dir, vm, vm->vm_pid);

    if (supervisor < 0) {
        error_set(error, EXIT_CODE_NO_VM, "%s ended on its own", vm->name);
        return;
    }
    if (syscall(SYS_pidfd_send_signal, fd >= 0 ? fd : supervisor, SIGKILL, NULL, 0) != 0 &&
        errno != ESRCH) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "can't kill %s", vm->name);
    } else if (wait_for_end(supervisor, vm->name, "waiting for its end", KILL_TIMEOUT_S)) {
        verb_tell(cli, vm->name, "killed");
    } else {
        error_set(error, EXIT_CODE_VMM, "%s was killed, but process %d doesn't end", vm->name,
                  (int)vm->pid);
    }
    close(supervisor);
    if (fd >= 0) {
        close(fd);
    }
}

int cmd_kill(const struct cli *cli, struct error *error)
{
    struct rundir dir = {.fd = -1};
    struct rundir_vm vm;

    if (verb_find(cli, &dir, &vm, error)) {
        kill_vm(cli, &dir, &vm, error);
    }
    rundir_close(&dir);
    return (int)error->code;
}
