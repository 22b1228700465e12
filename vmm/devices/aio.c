/* SPDX-License-Identifier: Apache-2.0 */
/* What both engines of asynchronous I/O have in common, and the choice between them. */
#include "vmm/devices/aio.h"
#include "vmm/base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct aio *aio_create(struct loop *loop, const struct config_jail *jail, bool thread,
                       struct error *error)
{
    struct aio *aio = thread ? NULL : uring_create(loop);

    if (aio == NULL) {
        if (!thread) {
            log_info("disks are served by a thread, as io_uring can't be had: %s%s",
                     strerror(errno),
                     errno == EPERM ? " (sysctl kernel.io_uring_disabled, or a container)" : "");
        }
        aio = aio_thread_create(loop, jail);
    }
    if (aio == NULL) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "can't start asynchronous disk I/O");
        return NULL;
    }
    aio->loop = loop;
    aio->references = 1;
    gather_init(&aio->gather);
    return aio;
}

bool aio_start(struct aio *aio, struct error *error)
{
    return aio->ops->start == NULL || aio->ops->start(aio) ||
           error_set_errno(error, EXIT_CODE_HOST, errno, "can't start the disks' thread");
}

struct aio *aio_hold(struct aio *aio)
{
    aio->references++;
    return aio;
}

void aio_release(struct aio *aio)
{
    if (aio != NULL && --aio->references == 0) {
        aio->ops->destroy(aio);
    }
}

void aio_wait(struct aio *aio)
{
    if (aio->in_flight != 0) {
        aio->ops->wait(aio);
    }
}

uint64_t aio_now_ns(struct aio *aio)
{
    if (aio->now_ns == 0) {
        aio->now_ns = loop_now_ns();
    }
    return aio->now_ns;
}

void aio_deliver(struct aio *aio, struct aio_request *request, int32_t result)
{
    struct aio_client *client = request->client;

    aio->in_flight--;
    if (!client->touched) {
        client->touched = true;
        client->next = aio->touched;
        aio->touched = client;
    }
    client->done(request, result);
}

void aio_end_batch(struct aio *aio)
{
    struct aio_client *client;

    while ((client = aio->touched) != NULL) {
        aio->touched = client->next;
        client->touched = false;
        client->batch_done(client);
    }
    aio->now_ns = 0;
}
