/* SPDX-License-Identifier: Apache-2.0 */
/* The API as a whole: its socket, its life. */
#include "vmm/api/api.h"
#include "vmm/api/routes.h"
#include "vmm/api/state.h"
#include "vmm/base/unix_socket.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 8

int api_listen(const char *path, struct error *error)
{
    /* The mode is the socket's before it has a name: so nobody else ever gets in. */
    int fd = unix_listen(path, S_IRUSR | S_IWUSR, BACKLOG);

    if (fd >= 0) {
        return fd;
    }
    if (errno == EADDRINUSE) {
        error_set(error, EXIT_CODE_NO_VM, "another process listens at the API's socket %s", path);
    } else {
        error_set_errno(error, EXIT_CODE_HOST, errno, "cannot listen at the API's socket %s%s",
                        path, errno == EEXIST ? ", which isn't a socket" : "");
    }
    return -1;
}

struct api *api_create(struct loop *loop, struct vm *vm, int listen_fd,
                       const struct api_hooks *hooks, struct error *error)
{
    struct api *api = calloc(1, sizeof(*api));

    if (api != NULL) {
        api->vm = vm;
        api->config = vm_get_config(vm);
        api->hooks = *hooks;
        api->created_ns = loop_now_ns();
        api->pid = getpid(); /* as it is known outside of the jail */
        api->metrics_fd = -1;
        api->server = http_create(loop, listen_fd, routes_serve, api);
    }
    if (api == NULL || api->server == NULL) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "cannot serve the API");
        close(listen_fd);
        free(api);
        return NULL;
    }
    return api;
}

void api_destroy(struct api *api)
{
    if (api == NULL) {
        return;
    }
    http_destroy(api->server);
    if (api->metrics_fd >= 0) {
        close(api->metrics_fd);
    }
    free(api->root_partuuid);
    free(api->log_path);
    free(api->metrics_path);
    free(api);
}

void api_adopt(struct api *api, int fd)
{
    http_adopt(api->server, fd);
}
