/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: requests cut at every byte, pipelined, too large, malformed; clients that are
 * slow, idle, too many or gone. */
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
#include "vmm/api/client.h"
#include "vmm/api/http.h"
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SIZE (1u << 20)

struct fixture {
    struct loop *loop;
    struct http_server *server;
    char path[64];
    int client; /* one connection */
    unsigned int served;
    char log[4096];    /* of all requests: "PUT /path accept [body]\n" */
    size_t reply_size; /* of the bodies served; 0: 204 */
    char answer[ANSWER_SIZE];
    char text[200000];
};

static void serve(void *context, const struct http_request *request, struct reply *reply)
{
    struct fixture *f = context;
    size_t length = strlen(f->log);

    f->served++;
    snprintf(f->log + length, sizeof(f->log) - length, "%s %s %s [%.*s]\n", request->method,
             request->target, request->accept, (int)request->body_size,
             request->body != NULL ? request->body : "");
    if (f->reply_size == 0) {
        reply_empty(reply);
        return;
    }
    reply->status = 200;
    reply->type = REPLY_TEXT;
    while (reply->body.size < f->reply_size) {
        text_append(&reply->body, "0123456789abcdef", 16);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error error = ERROR_NONE;
    int pair[2];
    int fd;

    snprintf(f->path, sizeof(f->path), "/tmp/bothy-test-http-%d", (int)getpid());
    fd = api_listen(f->path, &error);
    assert_true(fd >= 0);
    f->loop = loop_create();
    f->server = http_create(f->loop, fd, serve, f);
    http_client_pair(pair);
    http_adopt(f->server, pair[0]);
    f->client = pair[1];
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_destroy(f->server);
    loop_destroy(f->loop);
    if (f->client >= 0) {
        close(f->client);
    }
    unlink(f->path);
    free(f);
    return 0;
}

static void say(struct fixture *f, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(f->client, data, size < 4096 ? size : 4096, MSG_NOSIGNAL);

        assert_true(sent > 0);
        data += sent;
        size -= (size_t)sent;
        http_client_turn(f->loop);
    }
}

/* Send, and what comes back; *ret_end: the server has closed. */
static const char *talk(struct fixture *f, const char *text, bool *ret_end)
{
    say(f, text, strlen(text));
    *ret_end = http_client_read(f->client, f->answer, sizeof(f->answer));
    return f->answer;
}

#define NO_CONTENT \
    "HTTP/1.1 204 No Content\r\nServer: Bothy API\r\nConnection: keep-alive\r\n\r\n"

static unsigned int count(const char *text, const char *part)
{
    unsigned int times = 0;

    while ((text = strstr(text, part)) != NULL) {
        times++;
        text += strlen(part);
    }
    return times;
}

static const char several[] =
    "GET /one HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
    "PUT /two HTTP/1.1\r\nContent-Length: 5\r\nContent-Type: application/json\r\n\r\nhello"
    "\r\nPATCH /three?q#f HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: yes\r\n\r\n"
    "GET http://localhost/four HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    "PUT /five HTTP/1.1\r\nContent-Length: 0\r\nAccept:\r\nAccept: a,\r\n b\r\n\r\n";
static const char several_log[] = "GET /one */* []\nPUT /two  [hello]\n"
                                  "PATCH /three?q#f  [abcdefg]\n"
                                  "GET http://localhost/four  []\nPUT /five a,b []\n";

static void test_pipelined_requests_are_served_in_turn(void **state)
{
    struct fixture *f = *state;
    bool end;

    assert_int_equal(count(talk(f, several, &end), NO_CONTENT), 5);
    assert_int_equal(strlen(f->answer), 5 * strlen(NO_CONTENT));
    assert_false(end);
    assert_int_equal(f->served, 5);
    assert_int_equal(count(f->log, several_log) + count(f->log, "a, b"), 1);
}

static void test_requests_may_be_cut_at_every_byte(void **state)
{
    struct fixture *f = *state;

    for (size_t cut = 1; cut < sizeof(several) - 1; cut++) {
        f->log[0] = '\0';
        f->served = 0;
        say(f, several, cut);
        say(f, several + cut, sizeof(several) - 1 - cut);
        assert_false(http_client_read(f->client, f->answer, sizeof(f->answer)));
        assert_int_equal(f->served, 5);
        assert_int_equal(count(f->answer, NO_CONTENT), 5);
        assert_non_null(strstr(f->log, "PATCH /three?q#f  [abcdefg]\n"));
    }
}

static void test_bytes_one_by_one(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(several) - 1; i++) {
        say(f, several + i, 1);
    }
    assert_false(http_client_read(f->client, f->answer, sizeof(f->answer)));
    assert_int_equal(count(f->answer, NO_CONTENT), 5);
    assert_int_equal(f->served, 5);
}

static void test_answer_with_a_body(void **state)
{
    struct fixture *f = *state;
    bool end;

    f->reply_size = 16;
    assert_string_equal(talk(f, "GET / HTTP/1.1\r\n\r\n", &end),
                        "HTTP/1.1 200 OK\r\nServer: Bothy API\r\nConnection: keep-alive\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\n\r\n"
                        "0123456789abcdef");
    assert_string_equal(talk(f, "HEAD / HTTP/1.1\r\n\r\n", &end),
                        "HTTP/1.1 200 OK\r\nServer: Bothy API\r\nConnection: keep-alive\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\n\r\n");
    assert_false(end);
}

static void test_close_when_asked_to(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\n\r\n",
    };
    struct fixture *f = *state;
    bool end;

    for (size_t i = 0; i < 3; i++) {
        int pair[2];

        http_client_pair(pair);
        http_adopt(f->server, pair[0]);
        close(f->client);
        f->client = pair[1];
        http_client_turn(f->loop);
        assert_non_null(strstr(talk(f, requests[i], &end), "Connection: close\r\n\r\n"));
        assert_int_equal(f->served, i + 1);
        /* What comes after is thrown away, and the end of it closes. */
        talk(f, "GET /more HTTP/1.1\r\n\r\n", &end);
        assert_int_equal(f->served, i + 1);
        assert_int_equal(http_count_clients(f->server), 1);
        shutdown(f->client, SHUT_WR);
        http_client_turn(f->loop);
        assert_int_equal(http_count_clients(f->server), 0);
    }
}

static void test_http_1_0_may_stay(void **state)
{
    struct fixture *f = *state;
    bool end;

    assert_string_equal(talk(f, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &end),
                        NO_CONTENT);
    assert_string_equal(talk(f, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &end),
                        NO_CONTENT);
}

static void test_expect_100_continue(void **state)
{
    struct fixture *f = *state;
    bool end;

    assert_string_equal(
        talk(f, "PUT /x HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n", &end),
        "HTTP/1.1 100 Continue\r\n\r\n");
    assert_string_equal(talk(f, "ok", &end), NO_CONTENT);
    assert_string_equal(f->log, "PUT /x  [ok]\n");
    assert_non_null(strstr(talk(f, "PUT /x HTTP/1.1\r\nExpect: magic\r\n\r\n", &end),
                           "HTTP/1.1 417 "));
}

/* The client's lines are refused with this status, and the connection is given up. */
static void check_refused(struct fixture *f, const char *text, size_t size, unsigned int status)
{
    char head[32];

    snprintf(head, sizeof(head), "HTTP/1.1 %u ", status);
    say(f, text, size);
    http_client_read(f->client, f->answer, sizeof(f->answer));
    if (strncmp(f->answer, head, strlen(head)) != 0) {
        fail_msg("want %s, got %.200s for %.60s", head, f->answer, text);
    }
    assert_non_null(strstr(f->answer, "Connection: close\r\n"));
    assert_non_null(strstr(f->answer, "{\"fault_message\":\""));
    assert_int_equal(f->served, 0);
    shutdown(f->client, SHUT_WR);
    http_client_turn(f->loop);
    assert_int_equal(http_count_clients(f->server), 0);
}

static void renew(struct fixture *f)
{
    int pair[2];

    close(f->client);
    http_client_pair(pair);
    http_client_turn(f->loop);
    http_adopt(f->server, pair[0]);
    f->client = pair[1];
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {
        "HELLO\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9\r\n\r\n",
        "GET / FTP/1.1\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header: x\r\n\r\n",
        "GET / HTTP/1.1\r\nx\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "\x01\xff\xfe",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_refused(f, bad[i], strlen(bad[i]), 400);
        renew(f);
    }
    check_refused(f, "GET /\0 HTTP/1.1\r\n\r\n", 20, 400);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    char *text = f->text;
    bool end;

    /* The path: 255 bytes pass. */
    strcpy(text, "GET /");
    memset(text + 5, 'a', 254);
    strcat(text, " HTTP/1.1\r\n\r\n");
    assert_string_equal(talk(f, text, &end), NO_CONTENT);
    f->served = 0;
    memset(text, 0, 600);
    strcpy(text, "GET /");
    memset(text + 5, 'a', 255);
    strcat(text, " HTTP/1.1\r\n\r\n");
    check_refused(f, text, strlen(text), 414);
    renew(f);
    /* The headers. */
    strcpy(text, "GET / HTTP/1.1\r\nX: ");
    memset(text + strlen(text), 'b', HTTP_HEAD_MAX + 1);
    strcat(text, "\r\n\r\n");
    check_refused(f, text, strlen(text), 431);
    renew(f);
    strcpy(text, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 4096; i++) {
        strcat(text, "X:1\r\n");
    }
    strcat(text, "X: 1\r\n"); /* without their colons they count 2 bytes each */
    check_refused(f, text, strlen(text), 431);
}

static void test_bodies_have_a_limit(void **state)
{
    struct fixture *f = *state;
    char *text = f->text;
    bool end;

    sprintf(text, "PUT /x HTTP/1.1\r\nContent-Length: %u\r\n\r\n", HTTP_BODY_MAX);
    memset(text + strlen(text), 'z', HTTP_BODY_MAX);
    assert_string_equal(talk(f, text, &end), NO_CONTENT);
    f->served = 0;
    /* By its announcement, before any of it is sent. */
    sprintf(text, "PUT /x HTTP/1.1\r\nContent-Length: %u\r\nExpect: 100-continue\r\n\r\n",
            HTTP_BODY_MAX + 1);
    check_refused(f, text, strlen(text), 413);
    renew(f);
    /* And by what is sent; the rest is taken, so that the answer arrives. */
    memset(text, 0, 200000);
    strcpy(text, "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1FFFF\r\n");
    memset(text + strlen(text), 'z', 0x1ffff);
    check_refused(f, text, strlen(text), 413);
}

static void test_who_does_not_read_is_waited_for_without_reading_on(void **state)
{
    struct fixture *f = *state;
    size_t got = 0;
    bool end;

    f->reply_size = 600000;
    say(f, several, sizeof(several) - 1);
    assert_int_equal(f->served, 1);
    for (int i = 0; i < 100 && f->served < 5; i++) {
        end = http_client_read(f->client, f->answer, sizeof(f->answer));
        got += strlen(f->answer);
        assert_false(end);
        http_client_turn(f->loop);
    }
    assert_int_equal(f->served, 5);
    for (int i = 0; i < 100; i++) {
        http_client_read(f->client, f->answer, sizeof(f->answer));
        got += strlen(f->answer);
        http_client_turn(f->loop);
    }
    assert_true(got > 5 * 600000);
    f->reply_size = 0;
    assert_string_equal(talk(f, "GET / HTTP/1.1\r\n\r\n", &end), NO_CONTENT);
}

static void test_a_client_may_vanish_at_any_point(void **state)
{
    struct fixture *f = *state;

    f->reply_size = 600000;
    for (size_t cut = 0; cut < sizeof(several); cut += 7) {
        say(f, several, cut);
        renew(f);
        http_client_turn(f->loop);
        assert_int_equal(http_count_clients(f->server), 1);
    }
}

static int dial(const struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, f->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void test_idle_clients_make_room_and_busy_ones_do_not(void **state)
{
    struct fixture *f = *state;
    int fds[HTTP_CLIENTS_MAX + 1];
    char answer[1024];

    for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
        fds[i] = dial(f);
        http_client_turn(f->loop);
        http_client_turn(f->loop);
    }
    assert_int_equal(http_count_clients(f->server), HTTP_CLIENTS_MAX);
    /* The oldest was the fixture's own. */
    assert_true(http_client_read(f->client, answer, sizeof(answer)));
    for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
        assert_int_equal(write(fds[i], "GET ", 4), 4);
        http_client_turn(f->loop);
    }
    fds[HTTP_CLIENTS_MAX] = dial(f);
    http_client_turn(f->loop);
    http_client_turn(f->loop);
    assert_true(http_client_read(fds[HTTP_CLIENTS_MAX], answer, sizeof(answer)));
    assert_non_null(strstr(answer, "HTTP/1.1 503 "));
    for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
        assert_true(write(fds[i], "/ HTTP/1.1\r\n\r\n", 14) == 14);
        http_client_turn(f->loop);
        assert_false(http_client_read(fds[i], answer, sizeof(answer)));
        assert_string_equal(answer, NO_CONTENT);
        close(fds[i]);
    }
    close(fds[HTTP_CLIENTS_MAX]);
}

static void test_the_slow_are_dropped_and_the_idle_are_not(void **state)
{
    struct fixture *f = *state;
    int idle = dial(f);
    int slow = dial(f);
    char answer[256];

    http_set_patience(f->server, 50000000);
    for (int i = 0; i < 4; i++) {
        http_client_turn(f->loop);
    }
    f->reply_size = 600000;
    say(f, "GET / HTTP/1.1\r\n\r\n", 18); /* who doesn't take its answer */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(write(slow, &"GET / HTTP/1.1\r\n"[i], 1), 1);
        http_client_turn(f->loop);
        assert_int_equal(http_count_clients(f->server), 3);
    }
    usleep(60000);
    http_client_turn(f->loop);
    assert_int_equal(http_count_clients(f->server), 1);
    close(slow);
    f->reply_size = 0;
    assert_int_equal(write(idle, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    http_client_turn(f->loop);
    assert_false(http_client_read(idle, answer, sizeof(answer)));
    assert_string_equal(answer, NO_CONTENT);
    close(idle);
}

static void test_a_socket_that_cannot_be_is_explained(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_NONE;
    struct stat stat_buffer;
    char path[200];

    assert_int_equal(stat(f->path, &stat_buffer), 0);
    assert_int_equal(stat_buffer.st_mode & 07777, 0600);
    assert_int_equal(api_listen(f->path, &error), -1);
    assert_int_equal(error.code, EXIT_CODE_NO_VM);
    assert_non_null(strstr(error.text, "another process listens"));

    snprintf(path, sizeof(path), "%s.file", f->path);
    assert_int_equal(close(creat(path, 0600)), 0);
    error.code = EXIT_CODE_OK;
    assert_int_equal(api_listen(path, &error), -1);
    assert_int_equal(error.code, EXIT_CODE_HOST);
    assert_non_null(strstr(error.text, "which isn't a socket"));
    assert_int_equal(unlink(path), 0);

    error.code = EXIT_CODE_OK;
    assert_int_equal(api_listen("/nonexistent/socket", &error), -1);
    assert_int_equal(error.code, EXIT_CODE_HOST);
}

static void *turn_loop(void *loop)
{
    loop_run(loop);
    return NULL;
}

static void end_loop(struct fixture *f, pthread_t thread)
{
    loop_stop(f->loop);
    pthread_join(thread, NULL);
}

static void test_our_own_client(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_NONE;
    struct api_answer answer;
    pthread_t thread;

    pthread_create(&thread, NULL, turn_loop, f->loop);
    assert_true(api_request(f->path, "PUT", "/actions", "{\"a\":1}", &answer, &error));
    assert_int_equal(answer.status, 204);
    assert_true(api_check(&answer, &error));
    api_answer_release(&answer);
    end_loop(f, thread);
    assert_non_null(strstr(f->log, "PUT /actions application/openmetrics-text, "
                                   "application/json [{\"a\":1}]\n"));

    f->reply_size = 300000;
    pthread_create(&thread, NULL, turn_loop, f->loop);
    assert_true(api_request(f->path, "GET", "/metrics", NULL, &answer, &error));
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.size, 300000);
    api_answer_release(&answer);
    end_loop(f, thread);

    assert_false(api_request("/nonexistent/socket", "GET", "/", NULL, &answer, &error));
    assert_int_equal(error.code, EXIT_CODE_NO_VM);
}

static void test_our_own_client_tells_faults(void **state)
{
    char text[] = "{\"fault_message\": \"No.\"}";
    struct api_answer answer = {400, text, sizeof(text) - 1};
    struct error error = ERROR_NONE;

    assert_false(api_check(&answer, &error));
    assert_string_equal(error.text, "No.");
    answer = (struct api_answer){503, NULL, 0};
    error.code = EXIT_CODE_OK;
    assert_false(api_check(&answer, &error));
    assert_string_equal(error.text, "the VM answered with status 503");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pipelined_requests_are_served_in_turn, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_requests_may_be_cut_at_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_with_a_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_when_asked_to, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_1_0_may_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expect_100_continue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bodies_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_who_does_not_read_is_waited_for_without_reading_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_client_may_vanish_at_any_point, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_clients_make_room_and_busy_ones_do_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_slow_are_dropped_and_the_idle_are_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_socket_that_cannot_be_is_explained, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_our_own_client, setup, teardown),
        cmocka_unit_test(test_our_own_client_tells_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
