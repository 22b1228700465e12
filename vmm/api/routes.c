/* SPDX-License-Identifier: Apache-2.0 */
/* The table of requests. Firecracker's answers are imitated, its sentences included. */
#include "vmm/api/routes.h"
#include "bothy/bits.h"
#include "vmm/api/body.h"
#include "vmm/base/log.h"
#include <http_parser.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

enum when { BEFORE = 1, AFTER = 2, ALWAYS = 3 };

struct route {
    const char *method;
    const char *path; /* its last part may be '*': an identifier */
    enum when when;
    bool (*run)(struct call *call, struct error *error);
    const char *lacks; /* run is NULL: what of Firecracker's Bothy hasn't */
};

static const struct route routes[] = {
    {"GET", "/", ALWAYS, route_get_instance, NULL},
    {"PUT", "/actions", ALWAYS, route_put_action, NULL},
    {"GET", "/balloon", ALWAYS, route_get_balloon, NULL},
    {"PATCH", "/balloon", AFTER, route_patch_balloon, NULL},
    {"PUT", "/balloon", BEFORE, route_put_balloon, NULL},
    {"GET", "/balloon/hinting/status", ALWAYS, NULL, "free page hinting; there is reporting"},
    {"PATCH", "/balloon/hinting/start", ALWAYS, NULL, "free page hinting; there is reporting"},
    {"PATCH", "/balloon/hinting/stop", ALWAYS, NULL, "free page hinting; there is reporting"},
    {"GET", "/balloon/statistics", AFTER, route_get_balloon_stats, NULL},
    {"PATCH", "/balloon/statistics", AFTER, route_patch_balloon_stats, NULL},
    {"PUT", "/boot-source", BEFORE, route_put_boot_source, NULL},
    {"PUT", "/cpu-config", ALWAYS, NULL, "CPU templates; machine-config's cpu_template takes the "
                                         "name of a CPU profile"},
    {"PATCH", "/drives/*", AFTER, route_patch_drive, NULL},
    {"PUT", "/drives/*", BEFORE, route_put_drive, NULL},
    {"PUT", "/entropy", BEFORE, route_put_entropy, NULL},
    {"GET", "/hotplug/memory", ALWAYS, NULL, "memory hotplug"},
    {"PATCH", "/hotplug/memory", ALWAYS, NULL, "memory hotplug"},
    {"PUT", "/hotplug/memory", ALWAYS, NULL, "memory hotplug"},
    {"PUT", "/logger", BEFORE, route_put_logger, NULL},
    {"GET", "/machine-config", ALWAYS, route_get_machine, NULL},
    {"PATCH", "/machine-config", BEFORE, route_put_machine, NULL},
    {"PUT", "/machine-config", BEFORE, route_put_machine, NULL},
    {"GET", "/metrics", ALWAYS, route_get_metrics, NULL},
    {"PUT", "/metrics", BEFORE, route_put_metrics, NULL},
    {"GET", "/mmds", ALWAYS, NULL, "the metadata service (MMDS)"},
    {"PATCH", "/mmds", ALWAYS, NULL, "the metadata service (MMDS)"},
    {"PUT", "/mmds", ALWAYS, NULL, "the metadata service (MMDS)"},
    {"PUT", "/mmds/config", ALWAYS, NULL, "the metadata service (MMDS)"},
    {"PATCH", "/network-interfaces/*", AFTER, route_patch_net, NULL},
    {"PUT", "/network-interfaces/*", BEFORE, route_put_net, NULL},
    {"PATCH", "/pmem/*", ALWAYS, NULL, "persistent memory devices"},
    {"PUT", "/pmem/*", ALWAYS, NULL, "persistent memory devices"},
    {"PUT", "/serial", BEFORE, route_put_serial, NULL},
    {"PUT", "/snapshot/create", ALWAYS, NULL, "snapshots"},
    {"PUT", "/snapshot/load", ALWAYS, NULL, "snapshots"},
    {"GET", "/stat", ALWAYS, route_get_stat, NULL},
    {"GET", "/version", ALWAYS, route_get_version, NULL},
    {"PATCH", "/vm", AFTER, route_patch_vm, NULL},
    {"GET", "/vm/config", ALWAYS, route_get_config, NULL},
    {"PUT", "/vsock", BEFORE, route_put_vsock, NULL},
};

/* "http://localhost/vm/config/?x=y" -> "/vm/config", in place. */
static char *strip_target(char *target)
{
    char *path = target;
    size_t length;

    if (strncmp(path, "http://", 7) == 0) {
        path += 7;
        path += strcspn(path, "/?#");
    }
    path[strcspn(path, "?#")] = '\0';
    length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        path[--length] = '\0';
    }
    return path;
}

/* Whether the path is this route's; its identifier, if there is one. */
static bool matches(const struct route *route, const char *path, const char **ret_id)
{
    size_t length = strlen(route->path);

    if (route->path[length - 1] != '*') {
        *ret_id = NULL;
        return strcmp(route->path, path) == 0;
    }
    *ret_id = path + length - 1;
    return strncmp(route->path, path, length - 1) == 0 && strchr(*ret_id, '/') == NULL;
}

static const struct route *find_route(const char *method, const char *path, const char **ret_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (strcmp(routes[i].method, method) == 0 && matches(&routes[i], path, ret_id)) {
            return &routes[i];
        }
    }
    return NULL;
}

static bool check_body(const struct route *route, const struct http_request *request,
                       struct error *error)
{
    bool get = strcmp(route->method, "GET") == 0;

    if (get && request->body != NULL) {
        return call_refuse(error, "GET request cannot have a body.");
    }
    if (!get && request->body == NULL) {
        return call_refuse(error, "Empty %s request.", route->method);
    }
    return true;
}

static bool check_state(const struct route *route, const struct vm *vm, struct error *error)
{
    enum when now = vm_get_state(vm) == VM_CONFIGURING ? BEFORE : AFTER;

    if ((route->when & now) != 0) {
        return true;
    }
    return call_refuse(error,
                       "The requested operation is not supported %s starting the microVM.",
                       now == BEFORE ? "before" : "after");
}

/* The body as JSON, the caller's; NULL and a sentence. */
static json_t *load_body(const struct http_request *request, struct error *error)
{
    json_error_t fault;
    json_t *json =
        json_loadb(request->body, request->body_size, JSON_REJECT_DUPLICATES, &fault);

    if (json == NULL) {
        call_refuse(error,
                    "An error occurred when deserializing the json body of a request: %s at line "
                    "%d column %d.",
                    fault.text, fault.line, fault.column);
    } else if (!json_is_object(json)) {
        call_refuse(error, "An error occurred when deserializing the json body of a request: "
                           "invalid type: expected an object.");
        json_decref(json);
        json = NULL;
    }
    return json;
}

/* jansson 2.14 writes where it should not when memory runs out within a string. */
static void *allocate_or_end(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL) {
        log_error("no memory for a request to the API");
        abort();
    }
    return memory;
}

/* jansson would read /dev/urandom for the seed of its tables, which the jail forbids: it gets 8 of
 * the random bytes that the kernel has given the process. */
static void prepare_json(void)
{
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    size_t seed = 1;

    if (bytes != NULL) {
        memcpy(&seed, bytes, sizeof(seed));
    }
    json_object_seed(seed | 1);
    json_set_alloc_funcs(allocate_or_end, free);
}

static bool run_route(const struct route *route, struct call *call,
                      const struct http_request *request, struct error *error)
{
    json_t *body = NULL;
    bool done;

    if (route->run == NULL) {
        return call_refuse(error, "The requested operation is not supported: Bothy has no %s.",
                           route->lacks);
    }
    if (!check_body(route, request, error) || !check_state(route, call->vm, error) ||
        (call->id != NULL && !body_check_id(call->id, error))) {
        return false;
    }
    if (request->body != NULL && (body = load_body(request, error)) == NULL) {
        return false;
    }
    call->body = body;
    done = route->run(call, error);
    json_decref(body);
    return done;
}

void routes_serve(void *context, const struct http_request *request, struct reply *reply)
{
    struct api *api = context;
    struct error error = ERROR_NONE;
    struct call call = {
        .api = api,
        .vm = api->vm,
        .config = api->config,
        .method = request->method,
        .accept = request->accept,
        .reply = reply,
    };
    char target[HTTP_TARGET_MAX + 1];
    const char *path;
    const struct route *route;

    prepare_json();
    api->requests++;
    memcpy(target, request->target, strlen(request->target) + 1);
    path = strip_target(target);
    /* HEAD is GET, answered without the body. */
    route = find_route(strcmp(request->method, "HEAD") == 0 ? "GET" : request->method, path,
                       &call.id);
    if (route == NULL) {
        call_refuse(&error, "Invalid request method and/or path: %s %s.", request->method,
                    path[0] == '/' ? path + 1 : path);
    }
    if (route == NULL || !run_route(route, &call, request, &error)) {
        json_decref(call.answer);
        reply_fault(reply, HTTP_STATUS_BAD_REQUEST, error.text);
    } else if (call.answer != NULL) {
        reply_json(reply, call.answer);
    } else if (reply->status == 0) {
        reply_empty(reply);
    }
    api->faults += reply->status >= HTTP_STATUS_BAD_REQUEST;
}
