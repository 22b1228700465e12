/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of Arm's "Semihosting for AArch32 and AArch64" that the agent uses. */
#include "semihost.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, MODE_RB = 1, MODE_WB = 5, PAGE = 4096 };

long semihost_open(const char *path, bool to_write)
{
    uint64_t arguments[3] = {(uintptr_t)path, to_write ? MODE_WB : MODE_RB, strlen(path)};

    return semihost_call(SYS_OPEN, arguments);
}

/* Both calls return how much was left undone. */
static ssize_t transfer(unsigned long operation, long handle, const void *buffer, size_t size)
{
    uint64_t arguments[3] = {(uint64_t)handle, (uintptr_t)buffer, size};
    long left = semihost_call(operation, arguments);

    if (left < 0 || (size_t)left > size) {
        errno = EIO;
        return -1;
    }
    return (ssize_t)(size - (size_t)left);
}

/* Has each page of a buffer mapped, and writable: the emulator doesn't fault pages in. */
static void touch(volatile uint8_t *buffer, size_t size)
{
    for (size_t at = 0; at < size; at += PAGE)
        buffer[at] = buffer[at];
    if (size)
        buffer[size - 1] = buffer[size - 1];
}

ssize_t semihost_read(long handle, void *buffer, size_t size)
{
    touch(buffer, size);
    return transfer(SYS_READ, handle, buffer, size);
}

ssize_t semihost_write(long handle, const void *buffer, size_t size)
{
    return transfer(SYS_WRITE, handle, buffer, size);
}
