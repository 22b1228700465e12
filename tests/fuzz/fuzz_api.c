/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API over a fake VM. The first byte says how the rest is meant:
 *   even: what a client sends, as it is; a byte 0x00 stands for a pause in which the server works;
 *   odd:  requests, each a byte that chooses method and path and a body up to the next 0x00, in
 *         which bytes from 0x80 on stand for words that bodies have.
 * Whatever comes in, what goes out is HTTP with bodies in JSON, and refusals have their sentence.
 */
#include "bothy/bits.h"
#include "support/fake_vm.h"
#include "support/http_client.h"
#include "vmm/api/api.h"
#include "vmm/api/text.h"
#include <fcntl.h>
#include <http_parser.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUTPUT_MAX (4u << 20)

struct rig {
    struct vm vm;
    struct loop *loop;
    struct api *api;
    int client;
    bool gone; /* the server has hung up */
    char *output;
    size_t output_size;
};

struct answer {
    char body[OUTPUT_MAX];
    size_t size;
    bool json;
    bool type_follows;
};

static bool start(void *owner, struct error *error)
{
    struct rig *rig = owner;

    if (rig->vm.config.cpus.count == 13) {
        return error_set(error, EXIT_CODE_HOST, "unlucky");
    }
    fake_vm_start(&rig->vm);
    return true;
}

static int open_output(void *owner, const char *path)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void redirect_log(void *owner, int fd)
{
    close(fd);
}

static void take_output(struct rig *rig)
{
    size_t room = OUTPUT_MAX - rig->output_size;

    if (room < 65536) {
        return; /* the rest waits in the server, which must bear that */
    }
    rig->gone = http_client_read(rig->client, rig->output + rig->output_size, room) || rig->gone;
    rig->output_size += strlen(rig->output + rig->output_size);
}

static void feed(struct rig *rig, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0 && !rig->gone) {
        ssize_t sent = send(rig->client, at, MIN(size, (size_t)4096), MSG_NOSIGNAL);

        if (sent > 0) {
            at += sent;
            size -= (size_t)sent;
        }
        http_client_turn(rig->loop);
        take_output(rig);
        if (sent <= 0 && rig->output_size > OUTPUT_MAX - 65536) {
            return;
        }
    }
}

static void feed_raw(struct rig *rig, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *end = memchr(data, 0, size);
        size_t length = end != NULL ? (size_t)(end - data) : size;

        feed(rig, data, length);
        length += end != NULL;
        data += length;
        size -= length;
    }
}

static const char *const lines[] = {
    "GET /", "GET /version", "GET /vm/config", "GET /machine-config", "PUT /machine-config",
    "PATCH /machine-config", "PUT /boot-source", "PUT /drives/a", "PUT /drives/b",
    "PATCH /drives/a", "PUT /network-interfaces/a", "PUT /network-interfaces/b",
    "PATCH /network-interfaces/a", "PUT /vsock", "PUT /balloon", "GET /balloon", "PATCH /balloon",
    "GET /balloon/statistics", "PATCH /balloon/statistics", "PUT /actions", "PATCH /vm",
    "PUT /entropy", "PUT /logger", "PUT /serial", "PUT /metrics", "GET /metrics", "GET /stat",
    "PUT /mmds", "PUT /snapshot/load", "GET /nowhere", "PUT /drives/", "GET http://x/?y",
};

static const char *const words[] = {
    "{\"", "\":", ",\"", "\"", "}", "true", "false", "null", "1", "2", "256", "\"a\"", "\"b\"",
    "\"/dev/null\"", "\"/dev/zero\"", "\"None\"", "\"2M\"", "\"Unsafe\"", "\"Writeback\"",
    "\"Async\"", "\"Paused\"", "\"Resumed\"", "\"InstanceStart\"", "\"SendCtrlAltDel\"",
    "\"FlushMetrics\"", "\"Stop\"", "\"Kill\"", "\"Info\"", "\"06:00:ac:10:00:02\"", "vcpu_count",
    "mem_size_mib", "smt", "cpu_template", "huge_pages", "track_dirty_pages", "kernel_image_path",
    "initrd_path", "boot_args", "drive_id", "path_on_host", "is_root_device", "is_read_only",
    "partuuid", "cache_type", "io_engine", "rate_limiter", "bandwidth", "ops", "size",
    "one_time_burst", "refill_time", "iface_id", "host_dev_name", "guest_mac", "mtu",
    "rx_rate_limiter", "tx_rate_limiter", "guest_cid", "uds_path", "amount_mib", "deflate_on_oom",
    "stats_polling_interval_s", "free_page_reporting", "action_type", "state", "level", "log_path",
    "metrics_path", "serial_out_path", "serial", "direct", "\"root=/dev/vda\"", "{", "9999999999",
    "{\"drive_id\":\"a\",\"path_on_host\":\"/dev/null\",\"is_root_device\":",
    "{\"iface_id\":\"a\",\"host_dev_name\":\"t0\"", "{\"action_type\":\"InstanceStart\"}",
    "{\"kernel_image_path\":\"/dev/null\"",
};

static void feed_requests(struct rig *rig, const uint8_t *data, size_t size)
{
    while (size > 0 && !rig->gone) {
        const char *line = lines[*data % ARRAY_SIZE(lines)];
        struct text body = {0};
        struct text request = {0};

        for (data++, size--; size > 0 && *data != 0; data++, size--) {
            char byte = (char)*data;

            if (*data < 0x80) {
                text_append(&body, &byte, 1);
            } else {
                text_puts(&body, words[(*data - 0x80u) % ARRAY_SIZE(words)]);
            }
        }
        text_format(&request, "%s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", line, body.size);
        text_append(&request, body.data, body.size);
        feed(rig, request.data, request.size);
        text_release(&body);
        text_release(&request);
        if (size > 0) {
            data++;
            size--;
        }
    }
}

static void fail(const char *what, const struct rig *rig)
{
    fprintf(stderr, "%s in:\n%.*s\n", what, (int)rig->output_size, rig->output);
    abort();
}

static struct answer answer;

static int answer_begins(http_parser *parser)
{
    answer.size = 0;
    answer.json = false;
    return 0;
}

static int header_name(http_parser *parser, const char *at, size_t size)
{
    answer.type_follows = size == 12 && memcmp(at, "Content-Type", 12) == 0;
    return 0;
}

static int header_value(http_parser *parser, const char *at, size_t size)
{
    answer.json = answer.json ||
                  (answer.type_follows && size == 16 && memcmp(at, "application/json", 16) == 0);
    return 0;
}

static int answer_goes_on(http_parser *parser, const char *at, size_t size)
{
    memcpy(answer.body + answer.size, at, size);
    answer.size += size;
    return 0;
}

static int answer_ends(http_parser *parser)
{
    struct rig *rig = parser->data;
    json_t *json = answer.json ? json_loadb(answer.body, answer.size, 0, NULL) : NULL;

    if (answer.json && json == NULL) {
        fail("no JSON", rig);
    }
    if (parser->status_code >= 500 && parser->status_code != HTTP_STATUS_SERVICE_UNAVAILABLE) {
        fail("a fault of its own", rig);
    }
    if (parser->status_code >= 400 &&
        json_string_length(json_object_get(json, "fault_message")) == 0) {
        fail("no sentence", rig);
    }
    json_decref(json);
    return 0;
}

static void check_output(struct rig *rig)
{
    static const http_parser_settings settings = {
        .on_message_begin = answer_begins,
        .on_header_field = header_name,
        .on_header_value = header_value,
        .on_body = answer_goes_on,
        .on_message_complete = answer_ends,
    };
    http_parser parser;

    http_parser_init(&parser, HTTP_RESPONSE);
    parser.data = rig;
    http_parser_execute(&parser, &settings, rig->output, rig->output_size);
    if (HTTP_PARSER_ERRNO(&parser) != HPE_OK) {
        fail("no HTTP", rig);
    }
}

/* Answers to HEAD have no bodies, which their parser would have to be told. */
static bool has_head(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 4 <= size; i++) {
        if (memcmp(data + i, "HEAD", 4) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char output[OUTPUT_MAX];
    static struct rig rig;
    struct api_hooks hooks = {&rig, "0", start, open_output, redirect_log};
    struct error error = ERROR_NONE;
    int pair[2];

    if (size < 2) {
        return 0;
    }
    rig = (struct rig){.loop = loop_create(), .output = output};
    fake_vm_init(&rig.vm, rig.loop);
    http_client_pair(pair);
    /* In the place of a socket that listens: one that is never connected to. */
    rig.api = api_create(rig.loop, &rig.vm, socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), &hooks,
                         &error);
    api_adopt(rig.api, pair[0]);
    rig.client = pair[1];
    if (data[0] % 2 == 0) {
        feed_raw(&rig, data + 1, size - 1);
    } else {
        feed_requests(&rig, data + 1, size - 1);
    }
    if (!has_head(data, size)) {
        check_output(&rig);
    }
    api_destroy(rig.api);
    loop_destroy(rig.loop);
    fake_vm_release(&rig.vm);
    close(rig.client);
    return 0;
}
