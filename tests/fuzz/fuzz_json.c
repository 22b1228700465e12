/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's configuration as JSON: whatever the bytes are, there is a sentence or a configuration; and
 * one that passes the check is, written and read again, the same.
 */
#include "vmm/config/config.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct vm_config *config)
{
    struct vm_config again;
    struct error error = ERROR_NONE;
    char *first = vm_config_to_json(config);
    char *second;

    vm_config_init(&again);
    /* Text that isn't UTF-8 can't come out of JSON, so it can be written again. */
    if (first == NULL ||
        !vm_config_from_json(&again, first, strlen(first), "again", &error)) {
        abort();
    }
    second = vm_config_to_json(&again);
    if (second == NULL || strcmp(first, second) != 0) {
        abort();
    }
    free(first);
    free(second);
    vm_config_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vm_config config;
    struct error error = ERROR_NONE;
    bool fine;

    vm_config_init(&config);
    fine = vm_config_from_json(&config, (const char *)data, size, "fuzz", &error) &&
           vm_config_check(&config, &error);
    if (fine != (error.code == EXIT_CODE_OK) || fine != (error.text[0] == '\0')) {
        abort();
    }
    if (fine) {
        check_round_trip(&config);
    }
    vm_config_release(&config);
    return 0;
}
