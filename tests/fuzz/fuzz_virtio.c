/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of both formats, the device's life and the transport, over the loop-back device. */
#include "support/loop_device.h"
#include "virtio_program.h"

static void step(void *context, uint8_t argument, const uint8_t *data, size_t size)
{
    struct loop_device *loop = context;

    (void)data;
    (void)size;
    switch (argument % 8) {
    case 0:
        loop_device_run(loop);
        break;
    case 1:
    case 2:
        loop_device_release(loop, argument & 1);
        break;
    case 3:
        loop->slow_reset = argument & 0x10;
        break;
    case 4:
        loop->silent = argument & 0x10;
        break;
    default:
        spin_lock(&loop->device.lock);
        if (argument % 8 == 5) {
            loop->config[argument % sizeof(loop->config)]++;
            virtio_device_config_changed(&loop->device);
        } else if (argument % 8 == 6) {
            virtio_device_broken(&loop->device);
        } else {
            virtio_device_reset_done(&loop->device);
        }
        spin_unlock(&loop->device.lock);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop_device loop;
    const struct virtio_program program = {.device = &loop.device, .step = step, .context = &loop};

    loop_device_init(&loop);
    return virtio_program_run(&program, data, size);
}
