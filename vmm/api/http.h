/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 server on the main thread's loop: it reads requests whole, has them served one by
 * one, and never waits for a client. It knows nothing of what is served.
 */
#ifndef VMM_API_HTTP_H
#define VMM_API_HTTP_H

#include "vmm/api/reply.h"
#include "vmm/base/loop.h"
#include <stddef.h>
#include <stdint.h>

#define HTTP_CLIENTS_MAX 8u
#define HTTP_TARGET_MAX 255u
#define HTTP_HEAD_MAX 8192u
#define HTTP_BODY_MAX 65536u
/* Longer than this nobody waits for the rest of a request, or for a client to take its answer. */
#define HTTP_PATIENCE_NS 10000000000ull /* unless http_set_patience() says otherwise */

struct http_request {
    const char *method;
    const char *target; /* as it was sent */
    const char *accept; /* the header, or "" */
    const char *body;   /* NULL: none */
    size_t body_size;
};

struct http_server;

/* listen_fd: a listening, non-blocking stream socket, the server's from now on. serve: fills in an
 * empty reply. NULL: no memory or descriptors; the socket is then still the caller's. */
struct http_server *http_create(struct loop *loop, int listen_fd,
                                void (*serve)(void *context, const struct http_request *request,
                                              struct reply *reply),
                                void *context);
/* Drops all clients. NULL-safe. */
void http_destroy(struct http_server *server);

/* Serve a connected, non-blocking stream socket; closed when it is done with. */
void http_adopt(struct http_server *server, int fd);
void http_set_patience(struct http_server *server, uint64_t patience_ns);
unsigned int http_count_clients(const struct http_server *server);

#endif
