/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as sentences; the first one wins. */
#include "vmm/base/error.h"
#include <stdio.h>
#include <string.h>

static void write_text(struct error *error, enum exit_code code, const char *format, va_list args)
{
    error->code = code;
    vsnprintf(error->text, sizeof(error->text), format, args);
}

bool error_set(struct error *error, enum exit_code code, const char *format, ...)
{
    va_list args;

    if (error->code == EXIT_CODE_OK) {
        va_start(args, format);
        write_text(error, code, format, args);
        va_end(args);
    }
    return false;
}

bool error_set_errno(struct error *error, enum exit_code code, int errno_value,
                     const char *format, ...)
{
    va_list args;
    size_t length;

    if (error->code != EXIT_CODE_OK) {
        return false;
    }
    va_start(args, format);
    write_text(error, code, format, args);
    va_end(args);
    length = strlen(error->text);
    snprintf(error->text + length, sizeof(error->text) - length, ": %s", strerror(errno_value));
    return false;
}
