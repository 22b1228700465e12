/* SPDX-License-Identifier: Apache-2.0 */
/* See api_rig.h. */
#include "support/api_rig.h"
#include "support/http_client.h"
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BODY_SIZE 4096

static bool start(void *owner, struct error *error)
{
    struct api_rig *f = owner;

    f->starts++;
    if (f->start_fails) {
        return error_set(error, EXIT_CODE_HOST, "no /dev/kvm here");
    }
    fake_vm_start(&f->vm);
    return true;
}

static void redirect_log(void *owner, int fd)
{
    ((struct api_rig *)owner)->log_fd = fd;
}

int api_rig_setup(void **state)
{
    struct api_rig *f = calloc(1, sizeof(*f));
    struct error error = ERROR_NONE;
    struct api_hooks hooks = {.owner = f, .version = "0.1", .start = start,
                              .redirect_log = redirect_log};
    int pair[2], fd;

    snprintf(f->file, sizeof(f->file), "/tmp/bothy-test-api-%d", (int)getpid());
    fd = api_listen(f->file, &error);
    assert_true(fd >= 0);
    unlink(f->file);
    f->log_fd = -1;
    f->loop = loop_create();
    fake_vm_init(&f->vm, f->loop);
    f->api = api_create(f->loop, &f->vm, fd, &hooks, &error);
    assert_non_null(f->api);
    http_client_pair(pair);
    api_adopt(f->api, pair[0]);
    f->client = pair[1];
    fd = open(f->file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    close(fd);
    *state = f;
    return 0;
}

int api_rig_teardown(void **state)
{
    struct api_rig *f = *state;

    api_destroy(f->api);
    api_destroy(NULL);
    loop_destroy(f->loop);
    fake_vm_release(&f->vm);
    close(f->client);
    if (f->log_fd >= 0) {
        close(f->log_fd);
    }
    unlink(f->file);
    free(f);
    return 0;
}

int api_rig_ask(struct api_rig *f, const char *method, const char *path, const char *accept,
                const char *body)
{
    char request[2 * BODY_SIZE];
    int size = snprintf(request, sizeof(request),
                        "%s %s HTTP/1.1\r\nAccept: %s\r\nContent-Length: %zu\r\n\r\n%s", method,
                        path, accept, strlen(body), body);

    assert_int_equal(write(f->client, request, (size_t)size), size);
    http_client_turn(f->loop);
    assert_false(http_client_read(f->client, f->answer, sizeof(f->answer)));
    return atoi(f->answer + strlen("HTTP/1.1 "));
}

const char *api_rig_body(const struct api_rig *f)
{
    return strstr(f->answer, "\r\n\r\n") + 4;
}

/* Double quotes for single ones, the file's path for $. */
static void expand(const struct api_rig *f, const char *text, char ret_text[BODY_SIZE])
{
    size_t length = 0;

    ret_text[0] = '\0';
    for (; *text != '\0'; text++) {
        length += (size_t)snprintf(ret_text + length, BODY_SIZE - length, "%s",
                                   *text == '$'    ? f->file
                                   : *text == '\'' ? "\""
                                                   : (char[2]){*text, '\0'});
        assert_true(length < BODY_SIZE);
    }
}

void api_rig_put(struct api_rig *f, const char *method, const char *path, const char *text)
{
    char body[BODY_SIZE];

    expand(f, text, body);
    if (api_rig_ask(f, method, path, "*/*", body) != 204) {
        fail_msg("%s %s %s: %s", method, path, body, f->answer);
    }
    assert_string_equal(api_rig_body(f), "");
}

void api_rig_refused(struct api_rig *f, const char *method, const char *path, const char *text,
                     const char *sentence)
{
    char body[BODY_SIZE];
    json_t *json;
    const char *message;

    expand(f, text, body);
    if (api_rig_ask(f, method, path, "*/*", body) != 400) {
        fail_msg("%s %s %s isn't refused: %s", method, path, body, f->answer);
    }
    json = json_loads(api_rig_body(f), 0, NULL);
    message = json_string_value(json_object_get(json, "fault_message"));
    if (message == NULL || strncmp(message, sentence, strlen(sentence)) != 0) {
        fail_msg("%s %s %s: want %s, got %s", method, path, body, sentence, api_rig_body(f));
    }
    json_decref(json);
}

void api_rig_get(struct api_rig *f, const char *path, const char *text)
{
    char expected[BODY_SIZE];
    json_t *want, *got;

    expand(f, text, expected);
    assert_int_equal(api_rig_ask(f, "GET", path, "application/json", ""), 200);
    assert_non_null(strstr(f->answer, "Content-Type: application/json\r\n"));
    want = json_loads(expected, 0, NULL);
    got = json_loads(api_rig_body(f), 0, NULL);
    assert_non_null(want);
    if (!json_equal(want, got)) {
        fail_msg("GET %s: want %s, got %s", path, expected, api_rig_body(f));
    }
    json_decref(want);
    json_decref(got);
}

void api_rig_begin(struct api_rig *f)
{
    api_rig_put(f, "PUT", "/boot-source", "{'kernel_image_path': '$'}");
    api_rig_put(f, "PUT", "/actions", "{'action_type': 'InstanceStart'}");
}
