/* SPDX-License-Identifier: Apache-2.0 */
/* list and stat: what runs, and what it has done so far. */
#include "vmm/cli/verb.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct list {
    struct rundir_vm *vms;
    size_t count;
    size_t room;
};

static void add_vm(const struct rundir_vm *vm, void *context)
{
    struct list *list = context;

    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        struct rundir_vm *more = realloc(list->vms, room * sizeof(*more));

        if (more == NULL) {
            return;
        }
        list->vms = more;
        list->room = room;
    }
    list->vms[list->count++] = *vm;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rundir_vm *)a)->name, ((const struct rundir_vm *)b)->name);
}

static bool find_all(struct rundir *dir, struct list *list, struct error *error)
{
    if (!rundir_open(dir, false, error)) {
        return false;
    }
    rundir_each(dir, add_vm, list);
    if (list->count > 0) {
        qsort(list->vms, list->count, sizeof(list->vms[0]), by_name);
    }
    return true;
}

/* Why nobody listens, or nobody answers. */
static const char *silence(const struct rundir_vm *vm, const struct error *problem)
{
    if (problem->code != EXIT_CODE_NO_VM) {
        return "no answer";
    }
    return vm->vm_pid == 0 ? "starting" : "ending";
}

/* What /stat says, or just the name and process of a VM that doesn't answer. */
static json_t *describe(const struct rundir_vm *vm)
{
    struct error problem = ERROR_NONE;
    json_t *json = verb_get(vm, "/stat", &problem);

    if (json == NULL) {
        json = json_pack("{s:s}", "state", silence(vm, &problem));
    }
    json_object_set_new(json, "id", json_string(vm->name));
    json_object_set_new(json, "pid", json_integer(vm->pid));
    return json;
}

static void format_uptime(const json_t *seconds, char *ret_text, size_t size)
{
    unsigned long s = (unsigned long)json_number_value(seconds);

    if (seconds == NULL) {
        snprintf(ret_text, size, "-");
    } else if (s >= 86400) {
        snprintf(ret_text, size, "%lud%02luh", s / 86400, s / 3600 % 24);
    } else {
        snprintf(ret_text, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    }
}

static const char *format_number(const json_t *number, const char *unit, char *ret_text,
                                 size_t size)
{
    if (number == NULL) {
        return "-";
    }
    snprintf(ret_text, size, "%lld%s", (long long)json_integer_value(number), unit);
    return ret_text;
}

static void print_row(const json_t *json)
{
    char uptime[32];
    char state[24];
    char cpus[24];
    char memory[32];

    format_uptime(json_object_get(json, "uptime_s"), uptime, sizeof(uptime));
    printf("%-20s %8lld  %-12s %5s %10s %11s\n", json_string_value(json_object_get(json, "id")),
           (long long)json_integer_value(json_object_get(json, "pid")),
           verb_clean(json_string_value(json_object_get(json, "state")), state, sizeof(state)),
           format_number(json_object_get(json, "vcpu_count"), "", cpus, sizeof(cpus)),
           format_number(json_object_get(json, "mem_size_mib"), " MiB", memory, sizeof(memory)),
           uptime);
}

static json_t *row_json(const json_t *json)
{
    static const char *const keys[] = {"pid", "state", "vcpu_count", "mem_size_mib", "uptime_s"};
    json_t *row = json_object();

    json_object_set(row, "name", json_object_get(json, "id"));
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_t *value = json_object_get(json, keys[i]);

        if (value != NULL) {
            json_object_set(row, keys[i], value);
        }
    }
    return row;
}

int cmd_list(const struct cli *cli, struct error *error)
{
    bool as_json = cli_find(cli, CLI_JSON) != NULL;
    json_t *rows = json_array();
    struct rundir dir = {.fd = -1};
    struct list list = {0};

    if (!find_all(&dir, &list, error)) {
        json_decref(rows);
        return (int)error->code;
    }
    if (!as_json && list.count > 0) {
        printf("%-20s %8s  %-12s %5s %10s %11s\n", "NAME", "PID", "STATE", "VCPUS", "MEMORY",
               "UPTIME");
    }
    for (size_t i = 0; i < list.count; i++) {
        json_t *json = describe(&list.vms[i]);

        if (as_json) {
            json_array_append_new(rows, row_json(json));
        } else {
            print_row(json);
        }
        json_decref(json);
    }
    if (as_json) {
        verb_print_json(json_incref(rows));
    } else if (list.count == 0) {
        fprintf(stderr, "no VM runs, as far as %s knows\n", dir.path);
    }
    json_decref(rows);
    free(list.vms);
    rundir_close(&dir);
    return EXIT_CODE_OK;
}

/* ---- stat ---- */

static void print_value(const char *name, const json_t *value)
{
    char clean[120];

    verb_clean(name, clean, sizeof(clean));
    if (json_is_integer(value)) {
        printf("  %-60s %16lld\n", clean, (long long)json_integer_value(value));
    } else if (json_is_number(value)) {
        printf("  %-60s %16.6g\n", clean, json_number_value(value));
    } else if (json_is_string(value)) {
        char text[120];

        printf("  %-60s %16s\n", clean, verb_clean(json_string_value(value), text, sizeof(text)));
    }
}

/* Nested objects one level deep: a family, and its samples. */
static void print_metrics(json_t *metrics)
{
    const char *name;
    json_t *value;

    json_object_foreach(metrics, name, value) {
        const char *inner;
        json_t *sample;

        if (!json_is_object(value)) {
            print_value(name, value);
            continue;
        }
        json_object_foreach(value, inner, sample) {
            char both[160];

            snprintf(both, sizeof(both), "%s %s", name, inner);
            print_value(both, sample);
        }
    }
}

static void print_stat(const struct cli *cli, const struct rundir_vm *vm, json_t *all,
                       struct error *error)
{
    json_t *json = verb_get(vm, "/stat", error);

    if (json == NULL) {
        return;
    }
    if (cli_find(cli, CLI_JSON) != NULL) {
        json_array_append(all, json);
    } else {
        char uptime[32];
        char state[24];

        format_uptime(json_object_get(json, "uptime_s"), uptime, sizeof(uptime));
        printf("%s: %s, process %d, %lld vCPU(s), %lld MiB, up %s\n", vm->name,
               verb_clean(json_string_value(json_object_get(json, "state")), state, sizeof(state)),
               (int)vm->pid, (long long)json_integer_value(json_object_get(json, "vcpu_count")),
               (long long)json_integer_value(json_object_get(json, "mem_size_mib")), uptime);
        print_metrics(json_object_get(json, "metrics"));
    }
    json_decref(json);
}

int cmd_stat(const struct cli *cli, struct error *error)
{
    json_t *all = json_array();
    struct rundir dir = {.fd = -1};
    struct list list = {0};
    struct rundir_vm vm;

    if (cli->nr_operands > 0) {
        if (verb_find(cli, &dir, &vm, error)) {
            print_stat(cli, &vm, all, error);
        }
    } else if (find_all(&dir, &list, error)) {
        for (size_t i = 0; i < list.count; i++) {
            struct error gone = ERROR_NONE;

            print_stat(cli, &list.vms[i], all, &gone);
        }
    }
    if (error->code == EXIT_CODE_OK && cli_find(cli, CLI_JSON) != NULL) {
        verb_print_json(json_incref(cli->nr_operands > 0 ? json_array_get(all, 0) : all));
    }
    json_decref(all);
    free(list.vms);
    rundir_close(&dir);
    return (int)error->code;
}
