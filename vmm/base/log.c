/* SPDX-License-Identifier: Apache-2.0 */
/* One formatted line, one write(2): threads don't mix their lines, and no lock is needed. */
#include "vmm/base/log.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_SIZE 1024

static struct {
    const char *name;
    enum log_level most;
    bool journal;
} log_state = {NULL, LOG_LEVEL_INFO, false};

void log_init(const char *name, enum log_level most)
{
    log_state.name = name;
    log_state.most = most;
    log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_write(enum log_level level, const char *format, ...)
{
    static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};
    char line[LINE_MAX_SIZE];
    va_list args;
    int length;

    if (level > log_state.most) {
        return;
    }
    length = snprintf(line, sizeof(line), "%sbothy: %s%s",
                      log_state.journal ? priorities[level] : "",
                      log_state.name != NULL ? log_state.name : "",
                      log_state.name != NULL ? ": " : "");
    va_start(args, format);
    length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, args);
    va_end(args);
    if ((size_t)length > sizeof(line) - 2) {
        length = (int)sizeof(line) - 2;
    }
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0) {
        return; /* nobody is left to tell */
    }
}
