/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bothy run`. Two processes: the supervisor takes the VM's name and tidies up after it; the VM
 * builds the machine, serves the API, locks itself in, and starts the guest. With a kernel that
 * happens at once, without one when the API says InstanceStart.
 */
#include "vmm/api/api.h"
#include "vmm/base/log.h"
#include "vmm/base/program.h"
#include "vmm/base/unix_socket.h"
#include "vmm/cli/collect.h"
#include "vmm/cli/notify.h"
#include "vmm/cli/rundir.h"
#include "vmm/cli/signals.h"
#include "vmm/jail/jail.h"
#include "vmm/jail/supervisor.h"
#include "vmm/vm/terminal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_MS 1000

struct run {
    struct vm_config config;
    struct rundir dir;
    struct rundir_claim claim;
    struct terminal terminal;
    struct signals signals;
    struct notify notify;
    struct loop_work idle;
    struct loop *loop;
    struct vm *vm;
    struct api *api;
};

/* Messages have it to the end of the process, which is after that of the configuration. */
static char log_name[CONFIG_NAME_MAX + 1];

static enum log_level log_level_of(const struct vm_config *config)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    for (unsigned i = 0; config->log_level != NULL && i < 4; i++) {
        if (strcmp(config->log_level, names[i]) == 0) {
            return (enum log_level)i;
        }
    }
    return LOG_LEVEL_INFO;
}

/* ---- What only prints ---- */

static int print_text(char *text, const char *what, struct error *error)
{
    if (text == NULL) {
        error_set(error, EXIT_CODE_HOST, "out of memory for the %s", what);
        return (int)error->code;
    }
    puts(text);
    free(text);
    return EXIT_CODE_OK;
}

static bool write_file(const char *path, const uint8_t *bytes, size_t size, struct error *error)
{
    bool is_stdout = strcmp(path, "-") == 0;
    int fd = is_stdout ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    size_t done = 0;

    while (fd >= 0 && done < size) {
        ssize_t count = write(fd, bytes + done, size - done);

        if (count < 0) {
            break;
        }
        done += (size_t)count;
    }
    if (done < size) {
        error_set_errno(error, EXIT_CODE_INPUT, errno, "--dump-dtb: can't write %.200s", path);
    }
    if (fd >= 0 && !is_stdout) {
        close(fd);
    }
    return done == size;
}

/* The machine is built as if it were to run; so what is written is what the guest would get. */
static int dump_dtb(struct vm_config *config, const char *path, struct error *error)
{
    struct loop *loop = loop_create();
    struct vm *vm = loop != NULL ? vm_create(config, loop, error) : NULL;
    const uint8_t *tree;
    size_t size;

    if (config->kernel == NULL) {
        error_set(error, EXIT_CODE_USAGE, "--dump-dtb needs a kernel: give --kernel FILE");
    } else if (vm != NULL && vm_build(vm, error)) {
        tree = vm_device_tree(vm, &size);
        write_file(path, tree, size, error);
    } else {
        error_set(error, EXIT_CODE_HOST, "can't make an event loop");
    }
    vm_destroy(vm);
    loop_destroy(loop);
    return (int)error->code;
}

/* ---- The VM's process ---- */

static void forget_start(struct loop_work *work)
{
    (void)work;
    program_forget();
}

static bool start(void *owner, struct error *error)
{
    struct run *run = owner;

    if (!vm_build(run->vm, error)) {
        return false;
    }
    supervisor_seal();
    terminal_raw(&run->terminal);
    if (!jail_enter(&run->config.jail, error) || !vm_start(run->vm, error)) {
        if (run->config.wait_for_api) {
            /* The API's client is told, but half in the jail nothing can come of this process. */
            vm_end(run->vm, error->code, error->text);
        }
        return false;
    }
    notify_send(&run->notify, "READY=1\nSTATUS=The guest runs");
    loop_set_idle(run->loop, &run->idle, IDLE_MS);
    return true;
}

static bool open_sockets(struct run *run, struct error *error)
{
    const struct api_hooks hooks = {.owner = run, .version = CLI_VERSION, .start = start};
    const char *path = run->config.api_socket;
    int console = rundir_listen(&run->dir, run->config.name, "console");
    int api = path != NULL ? api_listen(path, error)
                           : rundir_listen(&run->dir, run->config.name, "api");

    if (console >= 0) {
        vm_set_console_socket(run->vm, console);
    }
    if (console < 0 || api < 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "can't make a socket in %s",
                               run->dir.path);
    }
    run->api = api_create(run->loop, run->vm, api, &hooks, error);
    return run->api != NULL;
}

/* The socket's path as others can use it. */
static const char *absolute_socket(const struct run *run, char *ret_path, size_t size)
{
    const char *path = run->config.api_socket;
    char here[RUNDIR_PATH_MAX];

    if (path == NULL || path[0] == '/' || getcwd(here, sizeof(here)) == NULL) {
        return path;
    }
    return (size_t)snprintf(ret_path, size, "%s/%s", here, path) < size ? ret_path : path;
}

static bool prepare(struct run *run, struct error *error)
{
    char path[RUNDIR_PATH_MAX];

    run->loop = loop_create();
    if (run->loop == NULL) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "can't make an event loop");
    }
    run->vm = vm_create(&run->config, run->loop, error);
    if (run->vm == NULL || !signals_open(&run->signals, run->loop, run->vm, error)) {
        return false;
    }
    if (!rundir_record(&run->claim, getppid(), getpid(),
                       absolute_socket(run, path, sizeof(path)))) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "can't write to %s", run->dir.path);
    }
    notify_open(&run->notify, run->loop);
    if (!open_sockets(run, error)) {
        return false;
    }
    /* The name's lock is the supervisor's, and a jail has no descriptor of a directory. */
    close(run->claim.lock_fd);
    run->claim.lock_fd = -1;
    rundir_close(&run->dir);
    return true;
}

static int run_vm(struct run *run, struct error *error)
{
    int code;

    if (prepare(run, error)) {
        if (run->config.wait_for_api) {
            log_info("waiting for InstanceStart at the API");
            notify_send(&run->notify, "READY=1\nSTATUS=Waiting for the API");
        }
        if (run->config.wait_for_api || start(run, error)) {
            loop_run(run->loop);
        }
    }
    notify_send(&run->notify, "STOPPING=1");
    code = error->code != EXIT_CODE_OK || run->vm == NULL ? (int)error->code
                                                          : (int)vm_exit_code(run->vm);
    api_destroy(run->api);
    notify_close(&run->notify);
    signals_close(&run->signals);
    vm_destroy(run->vm);
    loop_destroy(run->loop);
    return code;
}

/* ---- The supervisor ---- */

static void cleanup(void *argument, int code)
{
    struct run *run = argument;

    (void)code;
    terminal_restore(&run->terminal);
    if (run->config.api_socket != NULL) {
        unix_remove_stale(run->config.api_socket); /* another VM may have it */
    }
    rundir_release(&run->claim);
    rundir_close(&run->dir);
}

static bool claim_name(struct run *run, struct error *error)
{
    if (!rundir_open(&run->dir, true, error)) {
        return false;
    }
    rundir_each(&run->dir, NULL, NULL);
    return rundir_claim(&run->dir, run->config.name, &run->claim, error) &&
           (rundir_record(&run->claim, getpid(), 0, NULL) ||
            error_set_errno(error, EXIT_CODE_HOST, errno, "can't write to %s", run->dir.path));
}

static int run_supervised(struct run *run, struct error *error)
{
    const struct supervisor_hooks hooks = {cleanup, run};
    int code = EXIT_CODE_OK;

    strcpy(log_name, run->config.name);
    log_init(log_name, log_level_of(&run->config));
    if (!claim_name(run, error)) {
        cleanup(run, (int)error->code);
        return (int)error->code;
    }
    if (run->config.serial.kind == CONFIG_SERIAL_STDIO) {
        terminal_save(&run->terminal);
    }
    if (supervisor_fork(&hooks, &code, error)) {
        return run_vm(run, error);
    }
    if (error->code != EXIT_CODE_OK) {
        cleanup(run, (int)error->code);
        return (int)error->code;
    }
    return code;
}

static bool complete(struct vm_config *config, struct error *error)
{
    if (config->name[0] == '\0') {
        snprintf(config->name, sizeof(config->name), "vm-%d", (int)getpid());
    }
    if (config->kernel != NULL) {
        return true;
    }
    if (config->api_socket != NULL) {
        config->wait_for_api = true;
    }
    return config->wait_for_api ||
           error_set(error, EXIT_CODE_USAGE, "no kernel: give --kernel FILE, or --wait to have the "
                                             "API give one");
}

/* All that the VM and its helpers shall have is opened later, or was named. */
static void close_inherited(const struct vm_config *config)
{
    int keep[CONFIG_NETS_MAX];

    for (uint32_t i = 0; i < config->nr_nets; i++) {
        keep[i] = config->nets[i].tap_fd;
    }
    jail_close_inherited(keep, config->nr_nets);
}

int cmd_run(const struct cli *cli, struct error *error)
{
    struct run run = {.dir = {.fd = -1}, .claim = {.lock_fd = -1}, .notify = {.fd = -1}};
    const struct cli_given *dtb = cli_find(cli, CLI_DUMP_DTB);
    int code;

    run.signals.source.fd = -1;
    run.idle.run = forget_start;
    if (cli_find(cli, CLI_DUMP_SCHEMA) != NULL) {
        return print_text(config_schema(), "schema", error);
    }
    vm_config_init(&run.config);
    if (!cli_collect(cli, &run.config, error)) {
        code = (int)error->code;
    } else if (cli_find(cli, CLI_DUMP_CONFIG) != NULL) {
        code = print_text(vm_config_to_json(&run.config), "configuration", error);
    } else if (dtb != NULL) {
        code = dump_dtb(&run.config, dtb->value, error);
    } else if (!complete(&run.config, error)) {
        code = (int)error->code;
    } else {
        close_inherited(&run.config);
        code = run_supervised(&run, error);
    }
    vm_config_release(&run.config);
    return code;
}
