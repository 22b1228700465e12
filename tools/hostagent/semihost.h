/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the emulator opens, reads and writes for its guest. */
#ifndef HOSTAGENT_SEMIHOST_H
#define HOSTAGENT_SEMIHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* semihost.S */
long semihost_call(unsigned long operation, void *arguments);

/* A handle, or -1. */
long semihost_open(const char *path, bool to_write);

/* As read(2) and write(2). What is to be written must be in memory: it is, just after it was put
 * there. */
ssize_t semihost_read(long handle, void *buffer, size_t size);
ssize_t semihost_write(long handle, const void *buffer, size_t size);

#endif
