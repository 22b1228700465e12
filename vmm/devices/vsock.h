/* SPDX-License-Identifier: Apache-2.0 */
/* Two ways to serve virtio-vsock: by Unix sockets, or by the kernel's vhost-vsock. */
#ifndef VMM_DEVICES_VSOCK_H
#define VMM_DEVICES_VSOCK_H

#include "vmm/devices/device.h"

/* Host programs connect to the Unix socket config->path, send "CONNECT <port>\n", and read
 * "OK <number>\n" when the guest has accepted, as with Firecracker. A guest that connects to CID 2
 * and port P gets to the Unix socket config->path with "_P" appended. */
struct vmm_device *vsock_unix_create(struct vm *vm, const struct config_vsock *config,
                                     struct error *error);

struct vmm_device *vsock_vhost_create(struct vm *vm, const struct config_vsock *config,
                                      struct error *error);

#endif
