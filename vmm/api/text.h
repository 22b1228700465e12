/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows: bodies, replies, metrics. Memory that isn't there is told once, at the end. */
#ifndef VMM_API_TEXT_H
#define VMM_API_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data; /* with a NUL behind its end, or NULL as long as it is empty */
    size_t size;
    size_t capacity;
    bool failed; /* there was no memory: what was appended since is lost */
};

void text_append(struct text *text, const void *data, size_t size);
void text_puts(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Empty again, with its memory kept. */
void text_clear(struct text *text);
void text_release(struct text *text);

#endif
