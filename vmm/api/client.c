/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking client. What comes from the socket is believed as little as the server believes its
 * clients: the answer has a limit, and the wait has one.
 */
#include "vmm/api/client.h"
#include "vmm/api/text.h"
#include "vmm/base/unix_socket.h"
#include <errno.h>
#include <http_parser.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX (8u << 20)

struct exchange {
    struct text body;
    bool complete;
};

static int body_goes_on(http_parser *parser, const char *at, size_t size)
{
    struct exchange *exchange = parser->data;

    if (size > ANSWER_MAX - exchange->body.size) {
        return -1;
    }
    text_append(&exchange->body, at, size);
    return exchange->body.failed ? -1 : 0;
}

static int message_complete(http_parser *parser)
{
    struct exchange *exchange = parser->data;

    if (parser->status_code == HTTP_STATUS_CONTINUE) {
        return 0; /* the answer proper follows */
    }
    exchange->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

static int open_socket(const char *path, struct error *error)
{
    int fd = unix_connect(path, 0, API_PATIENCE_S);

    if (fd >= 0) {
        return fd;
    }
    if (errno == ENOENT || errno == ECONNREFUSED) {
        error_set(error, EXIT_CODE_NO_VM, "no VM listens at %s", path);
    } else {
        error_set_errno(error, EXIT_CODE_HOST, errno, "cannot connect to %s", path);
    }
    return -1;
}

static bool send_all(int fd, const struct text *text, const char *path, struct error *error)
{
    size_t sent = 0;

    while (sent < text->size) {
        ssize_t size = send(fd, text->data + sent, text->size - sent, MSG_NOSIGNAL);

        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return error_set_errno(error, EXIT_CODE_GUEST, errno, "cannot send to %s", path);
        }
        sent += (size_t)size;
    }
    return true;
}

static bool receive(int fd, http_parser *parser, const char *path, struct error *error)
{
    static const http_parser_settings settings = {
        .on_body = body_goes_on,
        .on_message_complete = message_complete,
    };
    struct exchange *exchange = parser->data;
    char data[4096];

    while (!exchange->complete) {
        ssize_t size = read(fd, data, sizeof(data));

        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return error_set_errno(error, EXIT_CODE_GUEST, errno == EAGAIN ? ETIMEDOUT : errno,
                                   "no answer from %s", path);
        }
        http_parser_execute(parser, &settings, data, (size_t)size);
        if (exchange->complete) {
            break;
        }
        if (HTTP_PARSER_ERRNO(parser) != HPE_OK) {
            return error_set(error, EXIT_CODE_GUEST, "%s doesn't answer in HTTP: %s", path,
                             http_errno_description(HTTP_PARSER_ERRNO(parser)));
        }
        if (size == 0) {
            return error_set(error, EXIT_CODE_GUEST, "%s hung up without an answer", path);
        }
    }
    return true;
}

bool api_request(const char *socket_path, const char *method, const char *path, const char *body,
                 struct api_answer *ret_answer, struct error *error)
{
    struct exchange exchange = {0};
    struct text request = {0};
    http_parser parser;
    bool done;
    int fd = open_socket(socket_path, error);

    if (fd < 0) {
        return false;
    }
    http_parser_init(&parser, HTTP_RESPONSE);
    parser.data = &exchange;
    text_format(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                          "Accept: application/openmetrics-text, application/json\r\n",
                method, path);
    if (body != NULL) {
        text_format(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                    strlen(body));
    }
    text_format(&request, "\r\n%s", body != NULL ? body : "");
    done = request.failed
               ? error_set(error, EXIT_CODE_HOST, "no memory for a request to %s", socket_path)
               : send_all(fd, &request, socket_path, error) &&
                     receive(fd, &parser, socket_path, error);
    close(fd);
    text_release(&request);
    if (!done) {
        text_release(&exchange.body);
        return false;
    }
    *ret_answer = (struct api_answer){parser.status_code, exchange.body.data, exchange.body.size};
    return true;
}

bool api_check(const struct api_answer *answer, struct error *error)
{
    json_t *json;
    const char *message;

    if (answer->status < 400) {
        return true;
    }
    json = answer->body != NULL ? json_loadb(answer->body, answer->size, 0, NULL) : NULL;
    message = json_string_value(json_object_get(json, "fault_message"));
    if (message != NULL) {
        error_set(error, EXIT_CODE_GUEST, "%s", message);
    } else {
        error_set(error, EXIT_CODE_GUEST, "the VM answered with status %u", answer->status);
    }
    json_decref(json);
    return false;
}

void api_answer_release(struct api_answer *answer)
{
    free(answer->body);
    *answer = (struct api_answer){0};
}
