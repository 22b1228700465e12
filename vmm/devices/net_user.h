/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream that passt speaks: a length of 32 bits, big-endian, before each frame. Apart from
 * starting passt, so that tests can be the other end.
 */
#ifndef VMM_DEVICES_NET_USER_H
#define VMM_DEVICES_NET_USER_H

#include "vmm/devices/net.h"

/* A link over a connected stream socket, which it takes. peer: who is at the other end, for
 * messages. NULL: no memory, and the socket stays open. */
struct net_link *net_stream_create(int fd, const char *peer);

#endif
