/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections. Each has one request under way at most, and reads no further until its answer is
 * sent: so what it holds is bounded by one buffer of input, one body and one answer, however fast a
 * client sends and however slowly it reads.
 *
 * A connection whose request is incomplete or whose answer isn't taken has a deadline. An idle one
 * has none, but makes room when a ninth client comes.
 *
 * After an answer that ends the connection, what the client still sends is read and thrown away for
 * a moment: a socket closed with unread data would take the answer with it.
 */
#include "vmm/api/http.h"
#include "bothy/bits.h"
#include <errno.h>
#include <http_parser.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 4096u
#define LINGER_MAX (1u << 20)
#define DEAF_NS 1000000000ull /* how long no client is accepted when descriptors are used up */

enum header { HEADER_OTHER, HEADER_ACCEPT, HEADER_EXPECT };

struct connection {
    struct loop_source source;
    struct http_server *server;
    struct connection *next;
    http_parser parser;

    /* The request under way. */
    char target[HTTP_TARGET_MAX + 1];
    size_t target_size;
    char accept[256];
    char expect[16];
    char name[16]; /* of the header, as far as it matters */
    size_t name_size;
    enum header header;
    bool in_value;
    size_t head_size;
    struct text body;
    unsigned int refused; /* status that the parser's callbacks want, 0: none */
    bool begun;
    bool complete;

    struct text out;
    size_t sent;
    char in[READ_SIZE];
    size_t in_at, in_size;

    bool closing;         /* after `out` */
    size_t lingered;      /* bytes thrown away while closing */
    uint64_t deadline_ns; /* LOOP_TIMER_OFF: it may take its time */
    uint64_t idle_ns;     /* since when */
};

struct http_server {
    struct loop *loop;
    struct loop_source listener;
    struct loop_timer timer;
    uint64_t deaf_until_ns; /* LOOP_TIMER_OFF: it listens */
    uint64_t patience_ns;
    struct connection *connections;
    void (*serve)(void *context, const struct http_request *request, struct reply *reply);
    void *context;
};

/* ---- The parser's callbacks: non-zero ends parsing ---- */

static int refuse(struct connection *connection, unsigned int status)
{
    connection->refused = status;
    return -1;
}

static int message_begins(http_parser *parser)
{
    struct connection *connection = parser->data;

    connection->begun = true;
    connection->complete = false;
    connection->refused = 0;
    connection->target_size = 0;
    connection->accept[0] = '\0';
    connection->expect[0] = '\0';
    connection->name_size = 0;
    connection->in_value = false;
    connection->head_size = 0;
    text_clear(&connection->body);
    return 0;
}

static int target_goes_on(http_parser *parser, const char *at, size_t size)
{
    struct connection *connection = parser->data;

    if (size > HTTP_TARGET_MAX - connection->target_size) {
        return refuse(connection, HTTP_STATUS_URI_TOO_LONG);
    }
    memcpy(connection->target + connection->target_size, at, size);
    connection->target_size += size;
    connection->target[connection->target_size] = '\0';
    return 0;
}

static int count_head(struct connection *connection, size_t size)
{
    connection->head_size += size;
    return connection->head_size > HTTP_HEAD_MAX
               ? refuse(connection, HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE)
               : 0;
}

static int header_name_goes_on(http_parser *parser, const char *at, size_t size)
{
    struct connection *connection = parser->data;
    size_t room;

    if (connection->in_value) {
        connection->in_value = false;
        connection->name_size = 0;
    }
    room = sizeof(connection->name) - 1 - connection->name_size;
    memcpy(connection->name + connection->name_size, at, MIN(size, room));
    connection->name_size += MIN(size, room);
    connection->name[connection->name_size] = '\0';
    return count_head(connection, size);
}

static enum header find_header(const char *name)
{
    return strcasecmp(name, "accept") == 0   ? HEADER_ACCEPT
           : strcasecmp(name, "expect") == 0 ? HEADER_EXPECT
                                             : HEADER_OTHER;
}

/* What doesn't fit is cut off. */
static void append(char *string, size_t capacity, const char *at, size_t size)
{
    size_t length = strlen(string);
    size_t room = capacity - 1 - length;

    memcpy(string + length, at, MIN(size, room));
    string[length + MIN(size, room)] = '\0';
}

static int header_value_goes_on(http_parser *parser, const char *at, size_t size)
{
    struct connection *connection = parser->data;

    if (!connection->in_value) {
        connection->in_value = true;
        connection->header = find_header(connection->name);
    }
    if (connection->header == HEADER_ACCEPT) {
        append(connection->accept, sizeof(connection->accept), at, size);
    } else if (connection->header == HEADER_EXPECT) {
        append(connection->expect, sizeof(connection->expect), at, size);
    }
    return count_head(connection, size);
}

static int headers_complete(http_parser *parser)
{
    struct connection *connection = parser->data;
    bool has_body = (parser->flags & F_CHUNKED) != 0 ||
                    (parser->content_length != 0 && parser->content_length != ULLONG_MAX);

    if (parser->content_length != ULLONG_MAX && parser->content_length > HTTP_BODY_MAX) {
        return refuse(connection, HTTP_STATUS_PAYLOAD_TOO_LARGE);
    }
    if (connection->expect[0] != '\0' && strcasecmp(connection->expect, "100-continue") != 0) {
        return refuse(connection, HTTP_STATUS_EXPECTATION_FAILED);
    }
    if (connection->expect[0] != '\0' && has_body && parser->http_minor >= 1) {
        text_puts(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return 0;
}

static int body_goes_on(http_parser *parser, const char *at, size_t size)
{
    struct connection *connection = parser->data;

    if (size > HTTP_BODY_MAX - connection->body.size) {
        return refuse(connection, HTTP_STATUS_PAYLOAD_TOO_LARGE);
    }
    text_append(&connection->body, at, size);
    return connection->body.failed ? refuse(connection, HTTP_STATUS_INTERNAL_SERVER_ERROR) : 0;
}

static int message_complete(http_parser *parser)
{
    struct connection *connection = parser->data;

    connection->complete = true;
    http_parser_pause(parser, 1); /* one request at a time */
    return 0;
}

/* ---- A connection ---- */

static void retime(struct http_server *server)
{
    uint64_t next = server->deaf_until_ns;

    for (struct connection *at = server->connections; at != NULL; at = at->next) {
        next = MIN(next, at->deadline_ns);
    }
    if (next != server->timer.deadline_ns) {
        loop_timer_set(server->loop, &server->timer, next);
    }
}

static void listen_again(struct http_server *server)
{
    if (server->deaf_until_ns != LOOP_TIMER_OFF) {
        server->deaf_until_ns = LOOP_TIMER_OFF;
        loop_change(server->loop, &server->listener, EPOLLIN);
    }
}

static void drop(struct connection *connection)
{
    struct http_server *server = connection->server;
    struct connection **link = &server->connections;

    while (*link != connection) {
        link = &(*link)->next;
    }
    *link = connection->next;
    loop_remove(server->loop, &connection->source);
    close(connection->source.fd);
    text_release(&connection->body);
    text_release(&connection->out);
    free(connection);
    listen_again(server);
}

static bool is_idle(const struct connection *connection)
{
    return !connection->begun && connection->sent == connection->out.size;
}

/* False: the client is gone. */
static bool flush(struct connection *connection)
{
    while (connection->sent < connection->out.size) {
        ssize_t sent = send(connection->source.fd, connection->out.data + connection->sent,
                            connection->out.size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return sent == 0 || errno == EAGAIN;
        }
        connection->sent += (size_t)sent;
        connection->deadline_ns = LOOP_TIMER_OFF; /* there is progress: patience anew */
    }
    text_release(&connection->out);
    connection->sent = 0;
    return true;
}

static void answer(struct connection *connection, const struct reply *reply, bool keep_alive)
{
    bool head = connection->parser.method == HTTP_HEAD && connection->complete;

    reply_write(reply, keep_alive, head, &connection->out);
    connection->closing = !keep_alive || connection->out.failed;
    connection->begun = false;
    connection->complete = false;
}

static void serve(struct connection *connection)
{
    struct reply reply = {0};
    struct http_request request = {
        .method = http_method_str((enum http_method)connection->parser.method),
        .target = connection->target_size != 0 ? connection->target : "",
        .accept = connection->accept,
        .body = connection->body.size != 0 ? connection->body.data : NULL,
        .body_size = connection->body.size,
    };
    bool keep_alive = http_should_keep_alive(&connection->parser) != 0 &&
                      connection->parser.method != HTTP_CONNECT;

    connection->server->serve(connection->server->context, &request, &reply);
    answer(connection, &reply, keep_alive);
    reply_release(&reply);
    text_release(&connection->body);
    http_parser_pause(&connection->parser, 0);
}

static void answer_broken(struct connection *connection)
{
    static const struct {
        unsigned int status;
        const char *message;
    } faults[] = {
        {HTTP_STATUS_URI_TOO_LONG, "The path of the request is longer than 255 bytes."},
        {HTTP_STATUS_PAYLOAD_TOO_LARGE, "The body of the request is larger than 64 KiB."},
        {HTTP_STATUS_EXPECTATION_FAILED, "The only expectation understood is 100-continue."},
        {HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE,
         "The headers of the request are larger than 8 KiB."},
        {HTTP_STATUS_INTERNAL_SERVER_ERROR, "There is no memory for the body of the request."},
    };
    struct reply reply = {0};
    const char *message = http_errno_description(HTTP_PARSER_ERRNO(&connection->parser));

    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        message = faults[i].status == connection->refused ? faults[i].message : message;
    }
    reply_fault(&reply, connection->refused != 0 ? connection->refused : HTTP_STATUS_BAD_REQUEST,
                message);
    answer(connection, &reply, false);
    reply_release(&reply);
}

/* Parse until a request is complete, the input is used up, or it is wrong. */
static void parse(struct connection *connection)
{
    static const http_parser_settings settings = {
        .on_message_begin = message_begins,
        .on_url = target_goes_on,
        .on_header_field = header_name_goes_on,
        .on_header_value = header_value_goes_on,
        .on_headers_complete = headers_complete,
        .on_body = body_goes_on,
        .on_message_complete = message_complete,
    };
    size_t size = connection->in_size - connection->in_at;
    size_t used = http_parser_execute(&connection->parser, &settings,
                                      connection->in + connection->in_at, size);

    connection->in_at += MIN(used, size);
    if (connection->complete) {
        serve(connection);
    } else if (HTTP_PARSER_ERRNO(&connection->parser) != HPE_OK) {
        answer_broken(connection);
    }
}

/* Wait for what comes next: room to write, or something to read. */
static void await(struct connection *connection)
{
    struct http_server *server = connection->server;
    uint32_t events = connection->sent < connection->out.size ? EPOLLOUT : EPOLLIN;

    if (events != connection->source.events) {
        loop_change(server->loop, &connection->source, events);
    }
    if (is_idle(connection) && !connection->closing) {
        connection->deadline_ns = LOOP_TIMER_OFF;
        connection->idle_ns = loop_now_ns();
    } else if (connection->deadline_ns == LOOP_TIMER_OFF) {
        connection->deadline_ns = loop_now_ns() + server->patience_ns;
    }
}

static void work(struct connection *connection)
{
    while (flush(connection)) {
        bool blocked = connection->sent < connection->out.size;

        if (connection->closing) {
            connection->lingered += connection->in_size - connection->in_at;
            connection->in_at = connection->in_size;
        }
        if (connection->out.failed || connection->lingered > LINGER_MAX) {
            break;
        }
        if (blocked || connection->in_at == connection->in_size) {
            await(connection);
            return;
        }
        parse(connection);
    }
    drop(connection);
}

static void connection_ready(struct loop_source *source, uint32_t events)
{
    struct connection *connection = CONTAINER_OF(source, struct connection, source);
    struct http_server *server = connection->server;
    ssize_t size = 0;

    if ((source->events & EPOLLIN) != 0) {
        do {
            size = read(source->fd, connection->in, sizeof(connection->in));
        } while (size < 0 && errno == EINTR);
        if (size == 0 || (size < 0 && errno != EAGAIN)) {
            drop(connection);
            retime(server);
            return;
        }
        connection->in_at = 0;
        connection->in_size = size > 0 ? (size_t)size : 0;
    }
    work(connection);
    retime(server);
}

/* ---- The server ---- */

void http_set_patience(struct http_server *server, uint64_t patience_ns)
{
    server->patience_ns = patience_ns;
}

unsigned int http_count_clients(const struct http_server *server)
{
    unsigned int count = 0;

    for (struct connection *at = server->connections; at != NULL; at = at->next) {
        count++;
    }
    return count;
}

/* The place of whom nobody misses; false: all are at work. */
static bool make_room(struct http_server *server)
{
    struct connection *oldest = NULL;

    for (struct connection *at = server->connections; at != NULL; at = at->next) {
        if (is_idle(at) && (oldest == NULL || at->idle_ns < oldest->idle_ns)) {
            oldest = at;
        }
    }
    if (oldest != NULL) {
        drop(oldest);
    }
    return oldest != NULL;
}

static void turn_away(int fd)
{
    struct reply reply = {0};
    struct text out = {0};

    reply_fault(&reply, HTTP_STATUS_SERVICE_UNAVAILABLE, "Eight clients are being served.");
    reply_write(&reply, false, false, &out);
    if (send(fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        /* it will see the socket closed */
    }
    close(fd);
    reply_release(&reply);
    text_release(&out);
}

void http_adopt(struct http_server *server, int fd)
{
    struct connection *connection;

    if (http_count_clients(server) >= HTTP_CLIENTS_MAX && !make_room(server)) {
        turn_away(fd);
        return;
    }
    connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        close(fd);
        return;
    }
    connection->server = server;
    connection->source = (struct loop_source){fd, EPOLLIN, connection_ready};
    connection->deadline_ns = LOOP_TIMER_OFF;
    connection->idle_ns = loop_now_ns();
    http_parser_init(&connection->parser, HTTP_REQUEST);
    connection->parser.data = connection;
    if (!loop_add(server->loop, &connection->source)) {
        close(fd);
        free(connection);
        return;
    }
    connection->next = server->connections;
    server->connections = connection;
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
    struct http_server *server = CONTAINER_OF(source, struct http_server, listener);
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        http_adopt(server, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        /* No descriptor is left: don't be woken for this client again and again. */
        loop_change(server->loop, source, 0);
        server->deaf_until_ns = loop_now_ns() + DEAF_NS;
    }
    retime(server);
}

static void timer_fires(struct loop_timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, timer);
    uint64_t now = loop_now_ns();
    struct connection *next;

    for (struct connection *at = server->connections; at != NULL; at = next) {
        next = at->next;
        if (at->deadline_ns <= now) {
            drop(at);
        }
    }
    if (server->deaf_until_ns <= now) {
        listen_again(server);
    }
    retime(server);
}

struct http_server *http_create(struct loop *loop, int listen_fd,
                                void (*serve_request)(void *context,
                                                      const struct http_request *request,
                                                      struct reply *reply),
                                void *context)
{
    struct http_server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        return NULL;
    }
    *server = (struct http_server){
        .loop = loop,
        .listener = {listen_fd, EPOLLIN, listener_ready},
        .timer = {.deadline_ns = LOOP_TIMER_OFF, .fire = timer_fires},
        .deaf_until_ns = LOOP_TIMER_OFF,
        .patience_ns = HTTP_PATIENCE_NS,
        .serve = serve_request,
        .context = context,
    };
    if (!loop_add(loop, &server->listener)) {
        free(server);
        return NULL;
    }
    return server;
}

void http_destroy(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    while (server->connections != NULL) {
        drop(server->connections);
    }
    loop_timer_remove(server->loop, &server->timer);
    loop_remove(server->loop, &server->listener);
    close(server->listener.fd);
    free(server);
}
