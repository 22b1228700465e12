/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people, without a C library: a small printf, and sentences about what is wrong.
 *
 * Conversions: %s %c %d %i %u %x %X %p %%, with the flags 0 and -, a width, a precision for %s
 * (both may be *), and the lengths l, ll, z. Anything else comes out as it stands. %p is 0x and 16
 * digits.
 */
#ifndef EL2_FORMAT_H
#define EL2_FORMAT_H

#include "bothy/types.h"
#include <stdarg.h>

/* Write at most size bytes, always with a terminating NUL if size isn't 0. Returns the length of
 * the whole text, which is >= size if it was cut off. */
size_t format_va(char *buffer, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
size_t format(char *buffer, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The longest sentence; what is longer ends in "...". */
#define REPORT_SENTENCE_MAX 512u

/* Who hears of a fault in what the machine or its owner has told us. say gets one sentence
 * without a newline, valid during the call; NULL: nobody listens. */
struct report {
    void (*say)(void *context, const char *sentence);
    void *context;
};

/* Hand one sentence to report. */
void report_say(const struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
