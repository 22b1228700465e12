/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bug of ours. EL2 stops every CPU and dumps registers; a test run aborts, or ends the test
 * that expects it.
 */
#ifndef BOTHY_PANIC_H
#define BOTHY_PANIC_H

_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#define BUG_ON(condition) \
    do { \
        if (__builtin_expect(!!(condition), 0)) { \
            panic("%s:%d: BUG: %s", __FILE__, __LINE__, #condition); \
        } \
    } while (0)

#endif
