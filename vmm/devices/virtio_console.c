/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio console's back end: the VM's console (vmm/vm/console.h), which has all readers. */
#include "machine/virtio/console.h"
#include "vmm/devices/device.h"
#include "vmm/vm/console.h"
#include <stdlib.h>

struct virtio_console_device {
    struct vmm_device base;
    struct virtio_console console;
    struct vm *vm;
    struct loop_work again_work;
};

static void output(void *backend, const uint8_t *bytes, size_t count)
{
    struct virtio_console_device *device = backend;

    console_output(vm_console(device->vm), CONSOLE_VIRTIO, bytes, count);
}

static void input_room(void *backend)
{
    struct virtio_console_device *device = backend;

    console_input_room(vm_console(device->vm), CONSOLE_VIRTIO);
}

static void again(void *backend)
{
    struct virtio_console_device *device = backend;

    loop_post(vm_get_loop(device->vm), &device->again_work);
}

static void transmit_again(struct loop_work *work)
{
    struct virtio_console_device *device =
        CONTAINER_OF(work, struct virtio_console_device, again_work);

    virtio_device_notify(&device->console.device, VIRTIO_CONSOLE_TX);
}

static const struct virtio_console_backend backend_ops = {output, input_room, again};

static size_t input(void *device, const uint8_t *bytes, size_t count)
{
    return virtio_console_input(&((struct virtio_console_device *)device)->console, bytes, count);
}

static bool attached(struct vmm_device *base, struct error *error)
{
    struct virtio_console_device *device = CONTAINER_OF(base, struct virtio_console_device, base);
    struct console_sink sink = {.input = input, .device = device};

    (void)error;
    console_attach(vm_console(device->vm), CONSOLE_VIRTIO, &sink);
    return true;
}

static void destroy(struct vmm_device *base)
{
    struct virtio_console_device *device = CONTAINER_OF(base, struct virtio_console_device, base);
    struct console_sink none = {0};

    console_attach(vm_console(device->vm), CONSOLE_VIRTIO, &none);
    loop_cancel(vm_get_loop(device->vm), &device->again_work);
    free(device);
}

struct vmm_device *virtio_console_create(struct vm *vm, struct error *error)
{
    struct virtio_console_device *device = calloc(1, sizeof(*device));

    if (device == NULL) {
        error_set(error, EXIT_CODE_HOST, "virtio console: no memory");
        return NULL;
    }
    virtio_console_init(&device->console, &backend_ops, device);
    device->vm = vm;
    device->again_work.run = transmit_again;
    device->base = (struct vmm_device){.id = "console",
                                       .kind = "console",
                                       .virtio = &device->console.device,
                                       .attached = attached,
                                       .destroy = destroy};
    return &device->base;
}
