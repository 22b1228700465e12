/* SPDX-License-Identifier: Apache-2.0 */
/* Device trees for tests: source text through dtc, and a list of the sentences that were said. */
#ifndef TESTS_SUPPORT_DTS_H
#define TESTS_SUPPORT_DTS_H

#include "el2/format.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DTS_SIZE_MAX 65536u

/* Compile source text; the result is malloc'ed, 8-byte aligned and exactly *ret_size long. */
static inline void *dts_compile(const char *text, size_t *ret_size)
{
    char source[] = "/tmp/bothy-dts-XXXXXX";
    char command[128];
    char *dtb = malloc(DTS_SIZE_MAX);
    int file = mkstemp(source);
    FILE *pipe;
    size_t size;

    if (dtb == NULL || file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text)) {
        abort();
    }
    close(file);
    snprintf(command, sizeof(command), "dtc -q -f -I dts -O dtb -o - %s 2>/dev/null", source);
    pipe = popen(command, "r");
    size = pipe != NULL ? fread(dtb, 1, DTS_SIZE_MAX, pipe) : 0;
    if (pipe == NULL || pclose(pipe) != 0 || size == 0) {
        fprintf(stderr, "dtc refuses: %s\n", text);
        abort();
    }
    unlink(source);
    *ret_size = size;
    return realloc(dtb, size); /* so that a sanitizer sees a read beyond the end */
}

/* What was said, one sentence a line. */
struct dts_said {
    char text[8192];
    size_t length;
    unsigned int count;
};

static inline void dts_say(void *context, const char *sentence)
{
    struct dts_said *said = context;
    int length = snprintf(said->text + said->length, sizeof(said->text) - said->length, "%s\n",
                          sentence);

    if (length > 0 && said->length + (size_t)length < sizeof(said->text)) {
        said->length += (size_t)length;
    }
    said->count++;
}

#endif
