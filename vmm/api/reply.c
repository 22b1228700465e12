/* SPDX-License-Identifier: Apache-2.0 */
/* Answers. A fault can be told even when there is no memory for its text. */
#include "vmm/api/reply.h"
#include <http_parser.h>
#include <jansson.h>

void reply_empty(struct reply *reply)
{
    text_clear(&reply->body);
    reply->status = HTTP_STATUS_NO_CONTENT;
}

static int append(const char *data, size_t size, void *context)
{
    text_append(context, data, size);
    return 0;
}

static void put_json(struct reply *reply, unsigned int status, json_t *json)
{
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(15);

    text_clear(&reply->body);
    reply->status = status;
    reply->type = REPLY_JSON;
    if (json == NULL || json_dump_callback(json, append, &reply->body, flags) != 0 ||
        reply->body.failed) {
        text_clear(&reply->body);
        reply->status = status < 400 ? HTTP_STATUS_INTERNAL_SERVER_ERROR : status;
    }
    json_decref(json);
}

void reply_json(struct reply *reply, struct json_t *json)
{
    put_json(reply, HTTP_STATUS_OK, json);
}

void reply_fault(struct reply *reply, unsigned int status, const char *message)
{
    json_t *text = json_string(message);

    if (text == NULL) { /* not UTF-8: what a client sent is in it */
        text = json_string("The request is refused; its name or value is not UTF-8.");
    }
    put_json(reply, status, json_pack("{s:o*}", "fault_message", text));
}

void reply_write(const struct reply *reply, bool keep_alive, bool head, struct text *out)
{
    static const char *const types[] = {
        [REPLY_JSON] = "application/json",
        [REPLY_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
        [REPLY_TEXT] = "text/plain; charset=utf-8",
    };

    text_format(out, "HTTP/1.1 %u %s\r\nServer: Bothy API\r\nConnection: %s\r\n", reply->status,
                http_status_str((enum http_status)reply->status),
                keep_alive ? "keep-alive" : "close");
    if (reply->status != HTTP_STATUS_NO_CONTENT) {
        text_format(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", types[reply->type],
                    reply->body.size);
    }
    text_puts(out, "\r\n");
    if (!head) {
        text_append(out, reply->body.data, reply->body.size);
    }
}

void reply_release(struct reply *reply)
{
    text_release(&reply->body);
}
