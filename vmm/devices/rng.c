/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device's back end: getrandom(2), by the thread that brings the notification (a
 * vCPU's, usually), straight into guest memory. What exceeds the budget is done by the main thread.
 */
#include "machine/virtio/rng.h"
#include "bothy/bits.h"
#include "vmm/api/metrics.h"
#include "vmm/devices/device.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

struct rng {
    struct vmm_device base;
    struct virtio_rng virtio;
    struct loop *loop;
    struct loop_work again_work;
};

static size_t fill(void *backend, void *to, size_t size)
{
    uint8_t *bytes = to;
    size_t done = 0;

    while (done < size) {
        ssize_t got = getrandom(bytes + done, size - done, 0);

        if (got <= 0 && errno != EINTR) {
            break;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return done;
}

static void again(void *backend)
{
    struct rng *rng = backend;

    loop_post(rng->loop, &rng->again_work);
}

static void run_again(struct loop_work *work)
{
    struct rng *rng = CONTAINER_OF(work, struct rng, again_work);

    virtio_device_notify(&rng->virtio.device, 0);
}

static const struct virtio_rng_backend backend_ops = {fill, again};

static void metrics(struct vmm_device *base, struct metrics *metrics)
{
    struct rng *rng = CONTAINER_OF(base, struct rng, base);
    uint64_t requests, bytes;

    spin_lock(&rng->virtio.device.lock);
    requests = rng->virtio.requests;
    bytes = rng->virtio.bytes;
    spin_unlock(&rng->virtio.device.lock);
    metrics_counter(metrics, "bothy_rng_requests", "Requests for random bytes.", "", requests);
    metrics_counter(metrics, "bothy_rng_bytes", "Random bytes given to the guest.", "", bytes);
}

static void destroy(struct vmm_device *base)
{
    struct rng *rng = CONTAINER_OF(base, struct rng, base);

    loop_cancel(rng->loop, &rng->again_work);
    free(rng);
}

struct vmm_device *rng_create(struct vm *vm, struct error *error)
{
    struct rng *rng = calloc(1, sizeof(*rng));
    uint8_t byte;

    if (rng == NULL) {
        error_set(error, EXIT_CODE_HOST, "rng: no memory");
        return NULL;
    }
    /* The one call that may wait, for a host that has just booted; afterwards none does. */
    if (fill(rng, &byte, 1) != 1) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "rng: the host has no random numbers");
        free(rng);
        return NULL;
    }
    virtio_rng_init(&rng->virtio, &backend_ops, rng);
    rng->loop = vm_get_loop(vm);
    rng->again_work.run = run_again;
    rng->base = (struct vmm_device){.id = "rng",
                                    .kind = "rng",
                                    .virtio = &rng->virtio.device,
                                    .metrics = metrics,
                                    .destroy = destroy};
    return &rng->base;
}
