/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt's stream from a peer that sends anything, in pieces. The first bytes of each piece say how
 * long it is and how much room the guest has.
 */
#include "vmm/devices/net_user.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void receive_all(struct net_link *link, uint32_t room)
{
    uint8_t *bytes = malloc(room); /* exactly as much: AddressSanitizer sees one more */
    struct virtio_segment segments[2] = {{bytes, room / 2}, {bytes + room / 2, room - room / 2}};
    unsigned int waits = 0;
    uint32_t size;

    while (waits < 2 && !link->gone) {
        enum virtio_net_result result = link->ops->receive(link, 0, segments, 2, &size);

        if (result == VIRTIO_NET_OK && size > room) {
            abort();
        }
        waits += result == VIRTIO_NET_WAIT;
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_link *link;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) {
        abort();
    }
    link = net_stream_create(fds[0], "the fuzzer");
    while (size > 2 && !link->gone) {
        size_t part = 1 + data[0] * 8u;

        part = part < size - 2 ? part : size - 2;
        if (send(fds[1], data + 2, part, MSG_DONTWAIT) != (ssize_t)part) {
            break;
        }
        receive_all(link, 1 + data[1] * 16u);
        data += 2 + part;
        size -= 2 + part;
    }
    link->ops->destroy(link);
    close(fds[1]);
    return 0;
}
