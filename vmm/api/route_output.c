/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes out of a VM: logs, the serial port, metrics, statistics. Files are opened when they
 * are named, which is before the jail; what is written to never makes the VM wait.
 */
#include "bothy/bits.h"
#include "vmm/api/body.h"
#include "vmm/api/metrics.h"
#include "vmm/api/routes.h"
#include "vmm/base/log.h"
#include "vmm/devices/device.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A FIFO needs no reader, and a full one makes write() fail instead of wait. */
static int open_output(struct api *api, const char *path)
{
    if (api->hooks.open_output != NULL) {
        return api->hooks.open_output(api->hooks.owner, path);
    }
    return open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
}

static void redirect_log(struct api *api, int fd)
{
    if (api->hooks.redirect_log != NULL) {
        api->hooks.redirect_log(api->hooks.owner, fd);
        return;
    }
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/* A copy of the path, and its file opened; false and a sentence. */
static bool open_named(struct api *api, const char *what, const char *path, char **ret_copy,
                       int *ret_fd, struct error *error)
{
    char *copy = strdup(path);
    int fd = copy != NULL ? open_output(api, path) : -1;

    if (fd < 0) {
        call_refuse(error, "%s error: Failed to open %.300s: %s", what, path, strerror(errno));
        free(copy);
        return false;
    }
    *ret_copy = copy;
    *ret_fd = fd;
    return true;
}

/* Firecracker's levels are matched without regard to case. */
static bool find_level(const char *word, enum log_level *ret_level, struct error *error)
{
    static const struct {
        const char *word;
        enum log_level level;
    } levels[] = {
        {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"warn", LOG_LEVEL_WARNING},
        {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG},     {"trace", LOG_LEVEL_DEBUG},
    };

    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        if (strcasecmp(levels[i].word, word) == 0) {
            *ret_level = levels[i].level;
            return true;
        }
    }
    return call_refuse(error, "Logger error: level is %.40s, must be Error, Warning, Info, Debug "
                              "or Trace.", word);
}

static bool set_level(struct vm_config *config, enum log_level level, struct error *error)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char *name = strdup(names[level]);

    if (name == NULL) {
        return call_refuse(error, "There is no memory for the level.");
    }
    free(config->log_level);
    config->log_level = name;
    log_init(config->name, level);
    return true;
}

bool route_put_logger(struct call *call, struct error *error)
{
    struct logger {
        const char *level, *path, *module;
        bool show_level, show_origin; /* there is one form of line: ignored */
    } read = {0};
    static const struct body_field fields[] = {
        {"level", BODY_STRING, false, offsetof(struct logger, level), 0, 0},
        {"log_path", BODY_STRING, false, offsetof(struct logger, path), 0, 0},
        {"show_level", BODY_BOOL, false, offsetof(struct logger, show_level), 0, 0},
        {"show_log_origin", BODY_BOOL, false, offsetof(struct logger, show_origin), 0, 0},
        {"module", BODY_STRING, false, offsetof(struct logger, module), 0, 0},
    };
    struct api *api = call->api;
    enum log_level level = LOG_LEVEL_INFO;
    char *path = NULL;
    int fd = -1;
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error) ||
        (read.level != NULL && !find_level(read.level, &level, error))) {
        return false;
    }
    if (read.module != NULL) {
        return call_refuse(error, "Logger error: Bothy has no filter by module.");
    }
    if ((read.path != NULL && !open_named(api, "Logger", read.path, &path, &fd, error)) ||
        (read.level != NULL && !set_level(call->config, level, error))) {
        if (fd >= 0) {
            close(fd);
        }
        free(path);
        return false;
    }
    if (fd >= 0) {
        redirect_log(api, fd);
        free(api->log_path);
        api->log_path = path;
    }
    return true;
}

json_t *route_show_logger(const struct api *api)
{
    return json_pack("{s:s*,s:o*}", "level", api->config->log_level, "log_path",
                     body_show_string(api->log_path));
}

bool route_put_serial(struct call *call, struct error *error)
{
    struct serial {
        const char *path;
        const json_t *limiter;
    } read = {0};
    static const struct body_field fields[] = {
        {"serial_out_path", BODY_STRING, false, offsetof(struct serial, path), 0, 0},
        {"rate_limiter", BODY_OBJECT, false, offsetof(struct serial, limiter), 0, 0},
    };
    struct config_serial *serial = &call->config->serial;
    uint32_t given;
    char *path;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error)) {
        return false;
    }
    if (read.limiter != NULL) {
        return call_refuse(error, "The requested operation is not supported: Bothy has no rate "
                                  "limiter for the serial port.");
    }
    if (read.path == NULL) {
        return true;
    }
    path = strdup(read.path);
    if (path == NULL) {
        return call_refuse(error, "There is no memory for the path.");
    }
    free(serial->path);
    *serial = (struct config_serial){CONFIG_SERIAL_FILE, path};
    return true;
}

/* ---- Metrics ---- */

/* All that there are, or NULL. */
static struct metrics *collect(struct api *api)
{
    struct metrics *metrics = metrics_create();

    if (metrics == NULL) {
        return NULL;
    }
    metrics_counter(metrics, "bothy_api_requests", "Requests to the API, this one included.", "",
                    api->requests);
    metrics_counter(metrics, "bothy_api_faults",
                    "Requests to the API that were answered with an error.", "", api->faults);
    metrics_gauge(metrics, "bothy_uptime_seconds", "Time since the VM's process began.", "",
                  (double)(loop_now_ns() - api->created_ns) / 1e9);
    vm_collect_metrics(api->vm, metrics);
    return metrics;
}

static void add_sample(void *context, const char *name, size_t size, double value)
{
    json_t *object = *(json_t **)context;
    char key[256];

    if (size < sizeof(key)) {
        memcpy(key, name, size);
        key[size] = '\0';
        json_object_set_new(object, key,
                            value >= 0 && value < 0x1p53 && value == (double)(int64_t)value
                                ? json_integer((json_int_t)value)
                                : json_real(value));
    }
}

static json_t *show_samples(struct api *api)
{
    struct metrics *metrics = collect(api);
    json_t *object = json_object();

    if (metrics != NULL && object != NULL) {
        metrics_each(metrics, add_sample, &object);
    }
    metrics_destroy(metrics);
    return object;
}

/* The text, the caller's to free; NULL and a sentence. */
static char *write_metrics(struct api *api, size_t *ret_size, struct error *error)
{
    struct metrics *metrics = collect(api);
    char *text = metrics != NULL ? metrics_text(metrics, ret_size) : NULL;

    metrics_destroy(metrics);
    if (text == NULL) {
        call_refuse(error, "Metrics error: There is no memory for the metrics.");
    }
    return text;
}

/* Whether one of the media ranges of an Accept header is this one. */
static bool accepts(const char *accept, const char *type)
{
    size_t length = strlen(type);

    while (*accept != '\0') {
        accept += strspn(accept, " \t,");
        if (strncasecmp(accept, type, length) == 0 &&
            (accept[length] == '\0' || strchr(" \t,;", accept[length]) != NULL)) {
            return true;
        }
        accept += strcspn(accept, ",");
    }
    return false;
}

bool route_get_metrics(struct call *call, struct error *error)
{
    const char *accept = call->accept;
    struct reply *reply = call->reply;
    bool open = accepts(accept, "application/openmetrics-text") || accepts(accept, "*/*") ||
                accepts(accept, "application/*") || accept[strspn(accept, " \t")] == '\0';
    bool plain = accepts(accept, "text/plain") || accepts(accept, "text/*");
    size_t size;
    char *text;

    if (!open && !plain && accepts(accept, "application/json")) {
        call->answer = show_samples(call->api);
        return true;
    }
    if (!open && !plain) {
        reply_fault(reply, HTTP_STATUS_NOT_ACCEPTABLE,
                    "Metrics come as application/openmetrics-text, text/plain or "
                    "application/json.");
        return true;
    }
    text = write_metrics(call->api, &size, error);
    if (text == NULL) {
        return false;
    }
    reply->status = HTTP_STATUS_OK;
    reply->type = open ? REPLY_OPENMETRICS : REPLY_TEXT;
    text_append(&reply->body, text, size);
    free(text);
    return true;
}

bool route_put_metrics(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {{"metrics_path", BODY_STRING, true, 0, 0, 0}};
    struct api *api = call->api;
    const char *path = NULL;
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &path, &given, error)) {
        return false;
    }
    if (api->metrics_fd >= 0) {
        return call_refuse(error, "Metrics error: Reinitialization of metrics not allowed.");
    }
    return open_named(api, "Metrics", path, &api->metrics_path, &api->metrics_fd, error);
}

json_t *route_show_metrics(const struct api *api)
{
    return api->metrics_path == NULL
               ? NULL
               : json_pack("{s:o*}", "metrics_path", body_show_string(api->metrics_path));
}

bool route_flush_metrics(struct api *api, struct error *error)
{
    ssize_t written;
    size_t size;
    char *text;

    if (vm_get_state(api->vm) == VM_CONFIGURING) {
        return call_refuse(error, "The requested operation is not supported before starting the "
                                  "microVM.");
    }
    if (api->metrics_fd < 0) {
        return call_refuse(error, "Metrics error: There is no metrics_path; GET /metrics has "
                                  "them at any time.");
    }
    text = write_metrics(api, &size, error);
    if (text == NULL) {
        return false;
    }
    written = write(api->metrics_fd, text, size);
    free(text);
    if (written == (ssize_t)size) {
        return true;
    }
    return call_refuse(error, "Metrics error: Not all was written to metrics_path: %s",
                       written < 0 ? strerror(errno) : "it is full");
}

bool route_get_stat(struct call *call, struct error *error)
{
    static const char *const states[] = {"configuring", "running", "paused", "stopped"};
    struct api *api = call->api;
    json_t *devices = json_array();

    for (struct vmm_device *at = vm_devices(call->vm); at != NULL; at = at->next) {
        json_array_append_new(devices, json_pack("{s:s,s:s}", "id", at->id, "kind", at->kind));
    }
    call->answer = json_pack(
        "{s:s,s:s,s:I,s:f,s:I,s:I,s:o*,s:o*}", "id", api->config->name, "state",
        states[vm_get_state(call->vm)], "pid", (json_int_t)api->pid, "uptime_s",
        (double)(loop_now_ns() - api->created_ns) / 1e9, "vcpu_count",
        (json_int_t)api->config->cpus.count, "mem_size_mib",
        (json_int_t)(api->config->memory.size / MIB(1)), "devices", devices, "metrics",
        show_samples(api));
    return call->answer != NULL || call_refuse(error, "There is no memory for the answer.");
}
