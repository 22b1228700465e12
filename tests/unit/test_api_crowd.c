/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server when the process has no descriptor left: it doesn't spin, and comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/http_client.h"
#include "vmm/api/api.h"
#include "vmm/api/http.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct http_server *server;
    char path[64];
    int client;
    struct rlimit limit; /* as it was */
};

static void serve(void *context, const struct http_request *request, struct reply *reply)
{
    reply_empty(reply);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct error error = ERROR_NONE;
    struct rlimit none;
    int fd, last;

    snprintf(f->path, sizeof(f->path), "/tmp/bothy-test-crowd-%d", (int)getpid());
    strcpy(address.sun_path, f->path);
    fd = api_listen(f->path, &error);
    f->loop = loop_create();
    f->server = http_create(f->loop, fd, serve, f);
    f->client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(f->client, (struct sockaddr *)&address, sizeof(address)), 0);
    getrlimit(RLIMIT_NOFILE, &f->limit);
    last = dup(f->client); /* the lowest that is free */
    close(last);
    none = (struct rlimit){(rlim_t)last, f->limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    setrlimit(RLIMIT_NOFILE, &f->limit);
    http_destroy(f->server);
    loop_destroy(f->loop);
    close(f->client);
    unlink(f->path);
    free(f);
    return 0;
}

static bool is_served(struct fixture *f)
{
    char answer[256];

    http_client_turn(f->loop);
    http_client_read(f->client, answer, sizeof(answer));
    return strncmp(answer, "HTTP/1.1 204 ", 13) == 0;
}

/* After a second it tries again. */
static void test_descriptors_come_back(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->client, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_false(is_served(f));
    setrlimit(RLIMIT_NOFILE, &f->limit);
    assert_false(is_served(f)); /* deaf: the client that waits wakes nobody */
    for (int i = 0; i < 200 && !is_served(f); i++) {
        usleep(20000);
    }
    assert_int_equal(http_count_clients(f->server), 1);
}

/* And at once when one of its own clients goes. */
static void test_a_client_goes(void **state)
{
    struct fixture *f = *state;
    int pair[2];

    setrlimit(RLIMIT_NOFILE, &f->limit);
    http_client_pair(pair);
    http_adopt(f->server, pair[0]);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)pair[0], f->limit.rlim_max});
    assert_int_equal(write(f->client, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_false(is_served(f));
    setrlimit(RLIMIT_NOFILE, &f->limit);
    close(pair[1]);
    http_client_turn(f->loop);
    assert_true(is_served(f));
    assert_int_equal(http_count_clients(f->server), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_descriptors_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_client_goes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
