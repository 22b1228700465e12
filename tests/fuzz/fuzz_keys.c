/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key=value lists: each line of the input is the value of an option, its first byte says of which.
 * Refused or taken, never half: a list's number of elements grows only by what was taken.
 */
#include "vmm/config/config.h"
#include "vmm/config/fields.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_fields(void)
{
    size_t count = 0;

    while (config_vm_group.fields[count].key != NULL) {
        count++;
    }
    return count;
}

static void set_one(struct vm_config *config, char *line)
{
    const struct config_field *field =
        &config_vm_group.fields[(uint8_t)line[0] % count_fields()];
    uint32_t before = config->nr_disks + config->nr_nets;
    uint32_t more = field->type == FIELD_LIST ? 1 : 0;
    struct error error = ERROR_NONE;
    bool fine = config_set_option(field, config, line + 1, "--fuzz", &error);

    if (fine != (error.code == EXIT_CODE_OK) ||
        config->nr_disks + config->nr_nets != before + (fine ? more : 0)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vm_config config;
    struct error error = ERROR_NONE;
    char *text = malloc(size + 1);
    char *next;

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    vm_config_init(&config);
    for (char *line = text; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (*line != '\0') {
            set_one(&config, line);
        }
    }
    if (vm_config_check(&config, &error) != (error.code == EXIT_CODE_OK)) {
        abort();
    }
    vm_config_release(&config);
    free(text);
    return 0;
}
