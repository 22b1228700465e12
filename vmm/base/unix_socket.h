/* SPDX-License-Identifier: Apache-2.0 */
/* Unix stream sockets by path, of at most 107 bytes; a longer one fails with ENAMETOOLONG. */
#ifndef VMM_BASE_UNIX_SOCKET_H
#define VMM_BASE_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

/* A connected socket, or -1 and errno (ECONNREFUSED: nobody listens). flags: those of socket(2) to
 * add to SOCK_CLOEXEC; with SOCK_NONBLOCK a full backlog is EAGAIN. patience_s: how long a blocking
 * connect, send or receive may take, 0 for ever. */
int unix_connect(const char *path, int flags, unsigned int patience_s);

/* A socket that listens without blocking, or -1 and errno. A socket that stands there and that
 * nobody listens on, as a killed process leaves it, is replaced; EADDRINUSE: somebody listens;
 * EEXIST: it isn't a socket. mode: the socket's before it has a name, less the umask. */
int unix_listen(const char *path, mode_t mode, int backlog);

/* Removes the socket `path` if nobody listens on it, and nothing else. Returns whether it did. */
bool unix_remove_stale(const char *path);

#endif
