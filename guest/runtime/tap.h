/* SPDX-License-Identifier: Apache-2.0 */
/* Test results as TAP lines. For use by the first CPU only. */
#ifndef RUNTIME_TAP_H
#define RUNTIME_TAP_H

#include "base.h"

/* Optional: the number of results to come. Without it tap_done prints it. */
void tap_plan(unsigned count);

/* One result; returns ok. */
bool tap_ok(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ok if got == want, with both in a comment if not. */
bool tap_equal(uint64_t got, uint64_t want, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void tap_skip(const char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The plan if there was none, and a comment with the sums. */
void tap_done(void);

#endif
