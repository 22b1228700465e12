/* SPDX-License-Identifier: Apache-2.0 */
/* A growing buffer, doubled when full. By malloc() and not realloc(), which asks the kernel to
 * mremap(2) what is large: the jail doesn't allow that. */
#include "vmm/api/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 512

static bool reserve(struct text *text, size_t more)
{
    size_t capacity = text->capacity != 0 ? text->capacity : FIRST_CAPACITY;
    char *data;

    if (text->failed) {
        return false;
    }
    while (capacity - text->size <= more) {
        capacity *= 2;
    }
    if (capacity == text->capacity) {
        return true;
    }
    data = malloc(capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    memcpy(data, text->data != NULL ? text->data : "", text->size + (text->data != NULL));
    free(text->data);
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_append(struct text *text, const void *data, size_t size)
{
    if (size != 0 && reserve(text, size)) {
        memcpy(text->data + text->size, data, size);
        text->size += size;
        text->data[text->size] = '\0';
    }
}

void text_puts(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !reserve(text, (size_t)length)) {
        text->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(text->data + text->size, text->capacity - text->size, format, args);
    va_end(args);
    text->size += (size_t)length;
}

void text_clear(struct text *text)
{
    text->size = 0;
    text->failed = false;
    if (text->data != NULL) {
        text->data[0] = '\0';
    }
}

void text_release(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}
