/* SPDX-License-Identifier: Apache-2.0 */
/* The API as a whole: its socket, its life. */
#include "vmm/api/api.h"
#include "vmm/api/routes.h"
#include "vmm/api/state.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8

/* Whether nobody listens at this socket, which then is a leftover. */
static bool is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 &&
                 connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                 errno == ECONNREFUSED;

    if (fd >= 0) {
        close(fd);
    }
    return stale;
}

void api_remove_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) < sizeof(address.sun_path)) {
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (is_stale(&address)) {
            unlink(path);
        }
    }
}

static bool bind_or_replace(int fd, const struct sockaddr_un *address)
{
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
        return true;
    }
    if (errno != EADDRINUSE) {
        return false;
    }
    if (!is_stale(address)) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(address->sun_path) == 0 &&
           bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

int api_listen(const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        error_set(error, EXIT_CODE_INPUT,
                  "the API's socket %s has a path of %zu bytes; a socket's may have %zu at most",
                  path, strlen(path), sizeof(address.sun_path) - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode is the socket's before it has a name: so nobody else ever gets in. */
    if (fd >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) == 0 && bind_or_replace(fd, &address) &&
        listen(fd, BACKLOG) == 0) {
        return fd;
    }
    if (errno == EADDRINUSE) {
        error_set(error, EXIT_CODE_NO_VM, "another process listens at the API's socket %s", path);
    } else {
        error_set_errno(error, EXIT_CODE_HOST, errno, "cannot listen at the API's socket %s",
                        path);
    }
    if (fd >= 0) {
        close(fd);
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
