/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run directory: what tells VMs from one another and where they are found. For each VM
 *
 *   NAME.lock     locked (flock) by the VM's supervisor as long as it lives; holds its process and
 *                 the VM's, and where the API's socket is
 *   NAME.api      the API's socket
 *   NAME.console  the console's socket
 *
 * It is $BOTHY_RUN_DIR, else /run/bothy for root, else $XDG_RUNTIME_DIR/bothy, else
 * /tmp/bothy-UID. It belongs to one user, nobody else may enter it, and no symbolic link is
 * followed in it. A lock file that nobody locks is what a `kill -9` left: it is removed by whoever
 * comes across it.
 */
#ifndef VMM_CLI_RUNDIR_H
#define VMM_CLI_RUNDIR_H

#include "vmm/base/error.h"
#include "vmm/config/config.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define RUNDIR_PATH_MAX 108 /* as for a socket's name */

struct rundir {
    int fd; /* -1: it doesn't exist, so no VM runs */
    char path[RUNDIR_PATH_MAX];
};

struct rundir_vm {
    char name[CONFIG_NAME_MAX + 1];
    pid_t pid;    /* of `bothy run`, the supervisor */
    pid_t vm_pid; /* of the VM's process; 0: not yet known */
    char api[RUNDIR_PATH_MAX];
};

/* What is held by the process that runs a VM. */
struct rundir_claim {
    struct rundir *dir;
    int lock_fd; /* -1: nothing is claimed */
    char name[CONFIG_NAME_MAX + 1];
};

/* Opens it; makes it if create is set. False and a sentence with the remedy. */
bool rundir_open(struct rundir *dir, bool create, struct error *error);
void rundir_close(struct rundir *dir);
/* Where it is, without looking. False: the path is too long. */
bool rundir_find_path(char *ret_path, size_t size, struct error *error);

/* Take a name, and remove what an earlier VM of that name left. False with EXIT_CODE_NO_VM if a VM
 * of that name runs. */
bool rundir_claim(struct rundir *dir, const char *name, struct rundir_claim *ret_claim,
                  struct error *error);
/* Say who runs. api: the path of its socket if it isn't the directory's own; or NULL. */
bool rundir_record(struct rundir_claim *claim, pid_t pid, pid_t vm_pid, const char *api);
/* Remove all files of it. */
void rundir_release(struct rundir_claim *claim);

/* A path through which a file of the directory can be bound or connected to, however long the
 * directory's own path is. kind: "api" or "console". */
void rundir_socket_path(const struct rundir *dir, const char *name, const char *kind,
                        char *ret_path, size_t size);
/* A listening stream socket NAME.kind for its owner alone; -1 and errno. */
int rundir_listen(const struct rundir *dir, const char *name, const char *kind);

/* What is at NAME.lock: true and *ret_vm if a VM runs; a dead one's files are removed. */
bool rundir_probe(const struct rundir *dir, const char *name, struct rundir_vm *ret_vm);
/* Calls each() for every VM that runs, in no order, and removes what dead ones left.
 * each may be NULL. */
void rundir_each(const struct rundir *dir,
                 void (*each)(const struct rundir_vm *vm, void *context), void *context);
/* The VM of that name. False with EXIT_CODE_NO_VM and the nearest name. */
bool rundir_lookup(const struct rundir *dir, const char *name, struct rundir_vm *ret_vm,
                   struct error *error);

#endif
