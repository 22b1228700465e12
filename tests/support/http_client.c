/* SPDX-License-Identifier: Apache-2.0 */
/* See http_client.h. */
#include "support/http_client.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS 3

struct stop {
    struct loop_work work;
    struct loop *loop;
};

static void stop(struct loop_work *work)
{
    loop_stop(((struct stop *)(void *)work)->loop);
}

void http_client_turn(struct loop *loop)
{
    struct stop end = {{stop, NULL, 0}, loop};

    for (int i = 0; i < TURNS; i++) {
        loop_post(loop, &end.work);
        loop_run(loop);
    }
}

void http_client_pair(int ret_fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds) != 0) {
        perror("socketpair");
        abort();
    }
}

bool http_client_read(int fd, char *ret_text, size_t size)
{
    size_t length = 0;
    ssize_t got = -1;

    while (length < size - 1 && (got = read(fd, ret_text + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    ret_text[length] = '\0';
    return got == 0 || (got < 0 && errno == ECONNRESET);
}
