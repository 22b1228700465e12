/* SPDX-License-Identifier: Apache-2.0 */
/* See collect.h. Options change what the file says; a list (disks, nets) becomes longer. */
#include "vmm/cli/collect.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

/* All of it; malloc'd. */
static char *read_all(int fd, const char *origin, size_t *ret_size, struct error *error)
{
    size_t room = 4096;
    size_t size = 0;
    char *text = malloc(room);

    while (text != NULL) {
        ssize_t count = read(fd, text + size, room - size);

        if (count < 0) {
            error_set_errno(error, EXIT_CODE_INPUT, errno, "can't read %.200s", origin);
            break;
        }
        if (count == 0) {
            *ret_size = size;
            return text;
        }
        size += (size_t)count;
        if (size > FILE_MAX) {
            error_set(error, EXIT_CODE_USAGE, "%.200s is longer than 1 MiB; a VM's configuration "
                                              "never is", origin);
            break;
        }
        if (size == room) {
            char *more = realloc(text, room * 2);

            room *= 2;
            if (more == NULL) {
                break;
            }
            text = more;
        }
    }
    error_set(error, EXIT_CODE_HOST, "out of memory for %.200s", origin);
    free(text);
    return NULL;
}

static bool load_file(const char *path, struct vm_config *config, struct error *error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *origin = is_stdin ? "standard input" : path;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t size;
    char *text;
    bool fine;

    if (fd < 0) {
        return error_set_errno(error, EXIT_CODE_INPUT, errno, "--config: can't open %.200s", path);
    }
    text = read_all(fd, origin, &size, error);
    if (!is_stdin) {
        close(fd);
    }
    fine = text != NULL && vm_config_from_json(config, text, size, origin, error);
    free(text);
    return fine;
}

static bool apply_field(const struct cli_given *given, struct vm_config *config,
                        struct error *error)
{
    const struct config_field *field = given->field;
    char name[CLI_NAME_MAX];
    char where[CLI_NAME_MAX + 8];
    const char *text = given->value;

    if (given->off && field->type == FIELD_GROUP) {
        field->group->off(config_member(field, config));
        return true;
    }
    if (text == NULL) {
        text = field->type != FIELD_BOOL ? "" : given->off ? "off" : "on";
    }
    snprintf(where, sizeof(where), "--%s", cli_field_name(field, name, sizeof(name)));
    return config_set_option(field, config, text, where, error);
}

static bool apply_cpu(const char *profile, struct vm_config *config, struct error *error)
{
    const struct config_field *cpus = config_find_field(&config_vm_group, "cpus", 4, false);
    const struct config_field *field = config_find_field(cpus->group, "profile", 7, false);

    return config_set_text(field, &config->cpus, profile, "--cpu", error);
}

bool cli_collect(const struct cli *cli, struct vm_config *config, struct error *error)
{
    const struct cli_given *file = cli_find(cli, CLI_CONFIG);

    if (file != NULL && !load_file(file->value, config, error)) {
        return false;
    }
    for (unsigned i = 0; i < cli->nr_given; i++) {
        const struct cli_given *given = &cli->given[i];

        if (given->field != NULL && !apply_field(given, config, error)) {
            return false;
        }
        if (given->option != NULL && given->option->id == CLI_CPU &&
            !apply_cpu(given->value, config, error)) {
            return false;
        }
    }
    return vm_config_check(config, error);
}
