/* SPDX-License-Identifier: Apache-2.0 */
/* What the API's parts share: its state, and one call of a handler. */
#ifndef VMM_API_STATE_H
#define VMM_API_STATE_H

#include "vmm/api/api.h"
#include "vmm/api/http.h"
#include "vmm/api/reply.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct json_t; /* jansson's */

struct api {
    struct vm *vm;
    struct vm_config *config;
    struct api_hooks hooks;
    struct http_server *server;
    uint64_t created_ns;
    pid_t pid;

    /* What Firecracker's objects have and struct vm_config has not. */
    char root_drive[CONFIG_NAME_MAX + 1]; /* "": none */
    char *root_partuuid;
    char *log_path;
    char *metrics_path;
    int metrics_fd; /* -1: none */

    uint64_t requests;
    uint64_t faults; /* answered with 4xx or 5xx */
};

/* A request whose route was found. A handler that returns true has set `answer` (200, the call's
 * reference), or written `reply` itself, or has nothing to tell (204). */
struct call {
    struct api *api;
    struct vm *vm;
    struct vm_config *config;
    const char *method;
    const char *id;           /* of the path's last part, or NULL */
    const struct json_t *body; /* an object; NULL for GET */
    const char *accept;
    struct json_t *answer;
    struct reply *reply;
};

/* A refusal: status 400 and this sentence. Always false. */
#define call_refuse(error, ...) error_set(error, EXIT_CODE_GUEST, __VA_ARGS__)

#endif
