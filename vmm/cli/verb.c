/* SPDX-License-Identifier: Apache-2.0 */
/* pause, resume, api, and what all verbs share. */
#include "vmm/cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX 65536

bool verb_find(const struct cli *cli, struct rundir *ret_dir, struct rundir_vm *ret_vm,
               struct error *error)
{
    return rundir_open(ret_dir, false, error) &&
           rundir_lookup(ret_dir, cli->operands[0], ret_vm, error);
}

bool verb_request(const struct rundir_vm *vm, const char *method, const char *path,
                  const char *body, struct error *error)
{
    struct api_answer answer = {0};
    bool fine = api_request(vm->api, method, path, body, &answer, error) &&
                api_check(&answer, error);

    api_answer_release(&answer);
    return fine;
}

json_t *verb_get(const struct rundir_vm *vm, const char *path, struct error *error)
{
    struct api_answer answer = {0};
    json_t *json = NULL;

    if (api_request(vm->api, "GET", path, NULL, &answer, error) && api_check(&answer, error)) {
        json = answer.body != NULL ? json_loadb(answer.body, answer.size, 0, NULL) : NULL;
        if (!json_is_object(json)) {
            json_decref(json);
            json = NULL;
            error_set(error, EXIT_CODE_VMM, "%s: the answer to GET %s is no JSON object", vm->name,
                      path);
        }
    }
    api_answer_release(&answer);
    return json;
}

void verb_print_json(json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;

    if (text != NULL) {
        puts(text);
    }
    free(text);
    json_decref(json);
}

void verb_tell(const struct cli *cli, const char *name, const char *state)
{
    if (cli_find(cli, CLI_JSON) != NULL) {
        verb_print_json(json_pack("{s:s,s:s}", "name", name, "state", state));
    } else {
        printf("%s: %s\n", name, state);
    }
}

const char *verb_clean(const char *text, char *ret_text, size_t size)
{
    size_t i;

    for (i = 0; text != NULL && text[i] != '\0' && i + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];

        ret_text[i] = c < ' ' || c == 0x7f ? '?' : text[i];
    }
    ret_text[i] = '\0';
    return ret_text;
}

static int change_state(const struct cli *cli, const char *body, const char *state,
                        struct error *error)
{
    struct rundir dir;
    struct rundir_vm vm;

    if (verb_find(cli, &dir, &vm, error) && verb_request(&vm, "PATCH", "/vm", body, error)) {
        verb_tell(cli, vm.name, state);
    }
    rundir_close(&dir);
    return (int)error->code;
}

int cmd_pause(const struct cli *cli, struct error *error)
{
    return change_state(cli, "{\"state\":\"Paused\"}", "paused", error);
}

int cmd_resume(const struct cli *cli, struct error *error)
{
    return change_state(cli, "{\"state\":\"Resumed\"}", "running", error);
}

/* ---- api ---- */

static char *read_body(struct error *error)
{
    char *text = calloc(1, BODY_MAX + 1);
    size_t size = 0;
    ssize_t count = 1;

    while (text != NULL && size < BODY_MAX && count > 0) {
        count = read(STDIN_FILENO, text + size, BODY_MAX - size);
        size += count > 0 ? (size_t)count : 0;
    }
    if (text == NULL || count != 0) {
        error_set(error, EXIT_CODE_INPUT,
                  text == NULL ? "out of memory for the request"
                  : count < 0  ? "can't read the request from standard input"
                               : "standard input has more than 64 KiB; no request is that long");
        free(text);
        return NULL;
    }
    return text;
}

static bool check_request(const struct cli *cli, struct error *error)
{
    static const char *const methods[] = {"GET", "PUT", "PATCH", "POST", "DELETE"};
    const char *method = cli->operands[1];
    const char *path = cli->operands[2];
    bool known = false;

    for (unsigned i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        known = known || strcmp(method, methods[i]) == 0;
    }
    if (!known) {
        return error_set(error, EXIT_CODE_USAGE,
                         "\"%.40s\" is not a method; allowed are GET, PUT and PATCH", method);
    }
    if (path[0] != '/' || strpbrk(path, " \t\r\n") != NULL) {
        return error_set(error, EXIT_CODE_USAGE,
                         "\"%.120s\" is not a path; it must begin with /, like /machine-config, "
                         "and have no spaces", path);
    }
    return true;
}

static void print_answer(const struct cli *cli, const struct api_answer *answer)
{
    if (cli_find(cli, CLI_JSON) != NULL) {
        json_t *body = answer->body != NULL
                           ? json_loadb(answer->body, answer->size, JSON_DECODE_ANY, NULL)
                           : NULL;

        if (body == NULL && answer->body != NULL) {
            body = json_string(answer->body);
        }
        verb_print_json(json_pack("{s:i,s:o*}", "status", (int)answer->status, "body", body));
    } else if (answer->size > 0) {
        fwrite(answer->body, 1, answer->size, stdout);
        if (answer->body[answer->size - 1] != '\n') {
            putchar('\n');
        }
    }
}

static void send_request(const struct cli *cli, const struct rundir_vm *vm, const char *body,
                         struct error *error)
{
    struct api_answer answer = {0};

    if (api_request(vm->api, cli->operands[1], cli->operands[2], body, &answer, error)) {
        print_answer(cli, &answer);
        api_check(&answer, error);
    }
    api_answer_release(&answer);
}

int cmd_api(const struct cli *cli, struct error *error)
{
    struct rundir dir = {.fd = -1};
    struct rundir_vm vm;
    const char *body = cli->nr_operands > 3 ? cli->operands[3] : NULL;
    char *read_text = NULL;

    if (!check_request(cli, error) || !verb_find(cli, &dir, &vm, error)) {
        rundir_close(&dir);
        return (int)error->code;
    }
    if (body != NULL && strcmp(body, "-") == 0) {
        read_text = read_body(error);
        body = read_text;
    }
    if (error->code == EXIT_CODE_OK) {
        send_request(cli, &vm, body, error);
    }
    free(read_text);
    rundir_close(&dir);
    return (int)error->code;
}
