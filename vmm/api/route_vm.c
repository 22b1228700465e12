/* SPDX-License-Identifier: Apache-2.0 */
/* The VM as a whole: what it is, and what is done to it. */
#include "bothy/bits.h"
#include "vmm/api/body.h"
#include "vmm/api/routes.h"
#include <jansson.h>
#include <signal.h>
#include <string.h>

/* The release of Firecracker whose API this is; its clients ask. */
#define FIRECRACKER_VERSION "1.12.0"

bool route_get_instance(struct call *call, struct error *error)
{
    static const char *const states[] = {
        [VM_CONFIGURING] = "Not started",
        [VM_RUNNING] = "Running",
        [VM_PAUSED] = "Paused",
        [VM_STOPPED] = "Stopped",
    };

    call->answer = json_pack("{s:s,s:s,s:s,s:s}", "id", call->config->name, "state",
                             states[vm_get_state(call->vm)], "vmm_version",
                             call->api->hooks.version, "app_name", "Bothy");
    return true;
}

bool route_get_version(struct call *call, struct error *error)
{
    call->answer = json_pack("{s:s,s:s}", "firecracker_version", FIRECRACKER_VERSION,
                             "bothy_version", call->api->hooks.version);
    return true;
}

bool route_get_config(struct call *call, struct error *error)
{
    const struct api *api = call->api;

    call->answer = json_pack(
        "{s:o*,s:o*,s:o*,s:o*,s:o*,s:o*,s:o*,s:o*,s:o*}", "balloon", route_show_balloon(api),
        "boot-source", route_show_boot_source(api), "drives", route_show_drives(api), "entropy",
        call->config->no_rng ? NULL : json_object(), "logger", route_show_logger(api),
        "machine-config", route_show_machine(api), "metrics", route_show_metrics(api),
        "network-interfaces", route_show_nets(api), "vsock", route_show_vsock(api));
    return true;
}

static bool start(struct api *api, struct error *error)
{
    struct error cause = ERROR_NONE;

    if (vm_get_state(api->vm) != VM_CONFIGURING) {
        return call_refuse(error, "The requested operation is not supported after starting the "
                                  "microVM.");
    }
    if (api->config->kernel == NULL) {
        return call_refuse(error, "Start microvm error: Cannot start microvm without kernel "
                                  "configuration.");
    }
    if (route_add_root(api, &cause) && vm_config_check(api->config, &cause) &&
        api->hooks.start(api->hooks.owner, &cause)) {
        return true;
    }
    return call_refuse(error, "Start microvm error: %.480s", cause.text);
}

static bool press(struct api *api, struct error *error)
{
    if (vm_get_state(api->vm) == VM_CONFIGURING) {
        return call_refuse(error, "The requested operation is not supported before starting the "
                                  "microVM.");
    }
    if (!vm_power_button(api->vm)) {
        return call_refuse(error, "The power button can't be pressed: the VM doesn't run.");
    }
    return true;
}

enum action { INSTANCE_START, SEND_CTRL_ALT_DEL, POWER_BUTTON, FLUSH_METRICS, STOP, KILL };

bool route_put_action(struct call *call, struct error *error)
{
    static const char *const words[] = {
        [INSTANCE_START] = "InstanceStart", [SEND_CTRL_ALT_DEL] = "SendCtrlAltDel",
        [POWER_BUTTON] = "PowerButton",     [FLUSH_METRICS] = "FlushMetrics",
        [STOP] = "Stop",                    [KILL] = "Kill",
        NULL,
    };
    static const struct body_field fields[] = {{"action_type", BODY_STRING, true, 0, 0, 0}};
    const char *word = "";
    uint32_t given;
    size_t action;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &word, &given, error) ||
        !body_find_word("action_type", word, words, &action, error)) {
        return false;
    }
    switch ((enum action)action) {
    case INSTANCE_START:
        return start(call->api, error);
    case SEND_CTRL_ALT_DEL:
    case POWER_BUTTON:
        return press(call->api, error);
    case FLUSH_METRICS:
        return route_flush_metrics(call->api, error);
    case STOP:
        vm_end(call->vm, EXIT_CODE_OK, "stopped by request");
        return true;
    case KILL:
        vm_end(call->vm, (enum exit_code)(EXIT_CODE_SIGNAL + SIGKILL), "killed by request");
        return true;
    }
    return false;
}

bool route_patch_vm(struct call *call, struct error *error)
{
    static const char *const words[] = {"Paused", "Resumed", NULL};
    static const struct body_field fields[] = {{"state", BODY_STRING, true, 0, 0, 0}};
    const char *word = "";
    uint32_t given;
    size_t resume;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &word, &given, error) ||
        !body_find_word("state", word, words, &resume, error)) {
        return false;
    }
    if (vm_get_state(call->vm) == (resume != 0 ? VM_RUNNING : VM_PAUSED)) {
        return true;
    }
    if (!(resume != 0 ? vm_resume(call->vm) : vm_pause(call->vm))) {
        return call_refuse(error, "The VM can't be %s: it has stopped.",
                           resume != 0 ? "resumed" : "paused");
    }
    return true;
}
