/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon: whatever the driver does, only whole pages of the guest's RAM are released, which
 * the back end here tries by clearing them.
 */
#include "bothy/bits.h"
#include "machine/virtio/balloon.h"
#include "virtio_program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig {
    struct virtio_balloon balloon;
    uint32_t again;
    uint32_t pages; /* released in this step */
    bool elsewhere;
};

static void require(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_balloon: %s\n", what);
        abort();
    }
}

static void release(void *backend, void *at, uint64_t size)
{
    struct rig *rig = backend;

    require(size != 0 && size % BALLOON_PAGE == 0, "a part of a page is released");
    memset(at, 0, size);
    rig->pages += (uint32_t)(size / BALLOON_PAGE);
}

static bool may_serve(void *backend, uint16_t queue)
{
    struct rig *rig = backend;

    rig->again |= rig->elsewhere ? 1u << queue : 0;
    return !rig->elsewhere;
}

static void serve_again(void *backend, uint16_t queue)
{
    ((struct rig *)backend)->again |= 1u << queue;
}

static const struct balloon_backend_ops backend_ops = {
    .release = release, .may_serve = may_serve, .serve_again = serve_again};

static void step(void *context, uint8_t argument, const uint8_t *data, size_t size)
{
    struct rig *rig = context;
    uint32_t again = rig->again;

    (void)data;
    spin_lock(&rig->balloon.device.lock);
    switch (argument & 3) {
    case 0:
        rig->elsewhere = argument >> 2 & 1;
        break;
    case 1:
        virtio_balloon_set_target(&rig->balloon, (uint32_t)size);
        break;
    case 2:
        virtio_balloon_ask(&rig->balloon);
        break;
    default:
        rig->again = 0;
        for (uint16_t i = 0; i < BALLOON_QUEUES; i++) {
            if (again & 1u << i) {
                virtio_balloon_serve(&rig->balloon, i);
            }
        }
        break;
    }
    spin_unlock(&rig->balloon.device.lock);
}

static void check(void *context)
{
    struct rig *rig = context;

    require(rig->pages <= BALLOON_QUEUES * BALLOON_CHAIN_PAGES, "too much work in one step");
    rig->pages = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig;
    struct virtio_program program = {
        .device = &rig.balloon.device, .step = step, .check = check, .context = &rig};

    memset(&rig, 0, sizeof(rig));
    virtio_balloon_init(&rig.balloon,
                        VIRTIO_BALLOON_F_STATS_VQ | VIRTIO_BALLOON_F_DEFLATE_ON_OOM |
                            VIRTIO_BALLOON_F_PAGE_POISON | VIRTIO_BALLOON_F_PAGE_REPORTING,
                        16, &backend_ops, &rig);
    return virtio_program_run(&program, data, size);
}
