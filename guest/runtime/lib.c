/* SPDX-License-Identifier: Apache-2.0 */
/* The few C library functions that the compiler or a payload calls. */

#include "arm.h"

void *memcpy(void *to, const void *from, size_t n)
{
    unsigned char *out = to;
    const unsigned char *in = from;

    for (size_t i = 0; i < n; i++) {
        out[i] = in[i];
    }
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    unsigned char *out = to;

    for (size_t i = 0; i < n; i++) {
        out[i] = (unsigned char)byte;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *left = a;
    const unsigned char *right = b;

    for (size_t i = 0; i < n; i++) {
        if (left[i] != right[i]) {
            return left[i] - right[i];
        }
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n] != '\0') {
        n++;
    }
    return n;
}

bool string_equal(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* In steps of 16 bytes, the smallest line that CTR_EL0 can state. */
void code_sync(const void *addr, size_t size)
{
    uint64_t start = (uint64_t)addr & ~UINT64_C(15);
    uint64_t end = (uint64_t)addr + size;

    for (uint64_t at = start; at < end; at += 16) {
        __asm__ volatile("dc cvau, %0" ::"r"(at) : "memory");
    }
    dsb(ish);
    for (uint64_t at = start; at < end; at += 16) {
        __asm__ volatile("ic ivau, %0" ::"r"(at) : "memory");
    }
    dsb(ish);
    isb();
}
