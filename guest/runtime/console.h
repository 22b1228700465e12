/* SPDX-License-Identifier: Apache-2.0 */
/* Output over the UART that the device tree names. */
#ifndef RUNTIME_CONSOLE_H
#define RUNTIME_CONSOLE_H

#include <stdarg.h>

#include "base.h"

void console_put_char(char c);

/* %s %c %d %u %x %%, each number also with l, a width and a leading 0. One call's output is not
 * mixed with another CPU's. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_list(const char *format, va_list args);

/* For output in several calls which must stay together. */
void console_lock(void);
void console_unlock(void);

#endif
