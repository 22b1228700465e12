/* SPDX-License-Identifier: Apache-2.0 */
/* A client in the same thread as the server that it tests: bytes in, bytes out, in between the
 * server's loop is turned until nothing is left to do. */
#ifndef SUPPORT_HTTP_CLIENT_H
#define SUPPORT_HTTP_CLIENT_H

#include "vmm/base/loop.h"
#include <stdbool.h>
#include <stddef.h>

/* Serve what is ready now, three rounds: a client is accepted, read from, answered. */
void http_client_turn(struct loop *loop);
/* A pair of connected, non-blocking sockets. */
void http_client_pair(int ret_fds[2]);
/* What is there, as a string of less than `size` bytes; true: and then the end of the stream. */
bool http_client_read(int fd, char *ret_text, size_t size);

#endif
