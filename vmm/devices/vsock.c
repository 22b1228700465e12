/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock: which of the two it is. */
#include "vmm/devices/vsock.h"

struct vmm_device *vsock_create(struct vm *vm, const struct config_vsock *config,
                                struct error *error)
{
    return config->kind == CONFIG_VSOCK_VHOST ? vsock_vhost_create(vm, config, error)
                                              : vsock_unix_create(vm, config, error);
}
