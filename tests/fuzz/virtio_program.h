/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device under a driver that does anything. The fuzzer's bytes are a program: register
 * accesses, writes to guest memory and to rings, chains good and bad, notifications, steps of the
 * back end. After each step the invariants of queue, device and transport are checked; a fault ends
 * in abort(). The guest's RAM is an allocation of its own, so AddressSanitizer sees what leaves it.
 *
 * A target for another device:
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *     {
 *         struct my_device device;
 *         struct virtio_program program = {.device = &device.virtio, .step = my_step,
 *                                          .context = &device};
 *
 *         my_device_init(&device, ...a back end in memory...);
 *         return virtio_program_run(&program, data, size);
 *     }
 */
#ifndef TESTS_FUZZ_VIRTIO_PROGRAM_H
#define TESTS_FUZZ_VIRTIO_PROGRAM_H

#include "machine/virtio/device.h"
#include <stddef.h>
#include <stdint.h>

struct virtio_program {
    struct virtio_device *device; /* initialized, fresh for each input */
    /* The back end does something, such as finishing a request or receiving data: which, is in the
     * argument, and `data` (at least 0 bytes) may be used for what it brings. The device's lock is
     * free. May be NULL. */
    void (*step)(void *context, uint8_t argument, const uint8_t *data, size_t size);
    /* More invariants, after each step of the program. May be NULL. */
    void (*check)(void *context);
    /* A chain of this device's kind, for the operation that builds good requests: write up to
     * `room` bytes of header made from `data` to `header`, return their number. NULL: the bytes
     * themselves are the header. */
    uint32_t (*header)(void *context, uint16_t queue, const uint8_t *data, size_t size,
                       uint8_t *header, uint32_t room);
    void *context;
    uint32_t ram_size; /* 0: 256 KiB */
    uint64_t work_max; /* look-ups of guest memory for one step; 0: 100000 */
};

/* Returns 0, for LLVMFuzzerTestOneInput. */
int virtio_program_run(const struct virtio_program *program, const uint8_t *data, size_t size);

#endif
