/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock: which of the two it is. */
#include "vmm/devices/vsock.h"
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

struct vmm_device *vsock_create(struct vm *vm, const struct config_vsock *config,
                                struct error *error)
{
    return config->kind == CONFIG_VSOCK_VHOST ? vsock_vhost_create(vm, config, error)
                                              : vsock_unix_create(vm, config, error);
}

void vsock_clean_up(const struct config_vsock *config)
{
    struct stat info;

    if (config->kind == CONFIG_VSOCK_UNIX && config->path != NULL &&
        lstat(config->path, &info) == 0 && S_ISSOCK(info.st_mode)) {
        unlink(config->path);
    }
}
