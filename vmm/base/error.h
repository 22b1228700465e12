/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, in one sentence for a person: the input, the cause, the remedy. Who finds the
 * fault writes the sentence; who called passes it up; only the top of a command prints it.
 */
#ifndef VMM_BASE_ERROR_H
#define VMM_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

/* Exit codes of every command, documented in bothy(1). */
enum exit_code {
    EXIT_CODE_OK = 0,      /* also: the guest switched itself off */
    EXIT_CODE_GUEST = 1,   /* the guest crashed, or a request was refused */
    EXIT_CODE_USAGE = 2,   /* a wrong flag, value or configuration file */
    EXIT_CODE_HOST = 3,    /* the host lacks something: /dev/kvm, a permission, memory */
    EXIT_CODE_INPUT = 4,   /* a file or device of the guest is missing or unusable */
    EXIT_CODE_NO_VM = 5,   /* no VM of that name runs; or, for run, one does already */
    EXIT_CODE_VMM = 6,     /* a fault of our own, or a jail violation */
    EXIT_CODE_SIGNAL = 128 /* plus the number of the signal that ended it */
};

#define ERROR_TEXT_MAX 512

struct error {
    enum exit_code code; /* EXIT_CODE_OK: no error */
    char text[ERROR_TEXT_MAX];
};

#define ERROR_NONE {EXIT_CODE_OK, ""}

/* Write the sentence (no full stop, no newline). An error that is already set is kept: the first
 * one is the cause. Returns false, so that `return error_set(...)` ends a function that returns
 * true on success. */
bool error_set(struct error *error, enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and strerror(errno_value) at its end. */
bool error_set_errno(struct error *error, enum exit_code code, int errno_value,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
