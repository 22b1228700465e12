/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API of a VM: HTTP on a Unix socket in Firecracker's shape, see docs/api.md and
 * docs/openapi.json. It lives on the main thread's loop and calls vm.h there.
 *
 * Nothing is allocated but one small struct until a client comes.
 */
#ifndef VMM_API_API_H
#define VMM_API_API_H

#include "vmm/base/error.h"
#include "vmm/base/loop.h"
#include "vmm/vm/vm.h"

struct api;

/* What the owner of the process does for the API. */
struct api_hooks {
    void *owner; /* comes back in each call */
    const char *version; /* of Bothy; outlives the API */

    /* InstanceStart, with the configuration complete and checked: build the VM, enter the jail,
     * start it. Called while VM_CONFIGURING. */
    bool (*start)(void *owner, struct error *error);

    /* Open a file or FIFO that logs or metrics are appended to, before the jail: a descriptor, or
     * -1 and errno. NULL: open(2) in this process. */
    int (*open_output)(void *owner, const char *path);

    /* Log to this descriptor from now on, and close it. NULL: it takes standard error's place. */
    void (*redirect_log)(void *owner, int fd);
};

/* A listening socket at this path, for its owner alone (mode 0600), non-blocking. A socket that
 * nobody listens at any more is replaced. -1 and a sentence. The file stays until it is removed. */
int api_listen(const char *path, struct error *error);

/* listen_fd is the API's from now on, also on failure. hooks is copied. */
struct api *api_create(struct loop *loop, struct vm *vm, int listen_fd,
                       const struct api_hooks *hooks, struct error *error);
/* Closes the socket and drops all clients; leaves the file. NULL-safe. */
void api_destroy(struct api *api);

/* Serve a client that is already connected (a non-blocking stream socket). */
void api_adopt(struct api *api, int fd);

#endif
