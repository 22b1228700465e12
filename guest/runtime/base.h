/* SPDX-License-Identifier: Apache-2.0 */
/* What every payload needs before anything else. */
#ifndef RUNTIME_BASE_H
#define RUNTIME_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT(n) (UINT64_C(1) << (n))
#define BITS(hi, lo) (((~UINT64_C(0)) >> (63u - (hi))) & ((~UINT64_C(0)) << (lo)))
#define FIELD(value, hi, lo) (((value)&BITS(hi, lo)) >> (lo))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define CPU_MAX 8u
#define PAGE_SIZE UINT64_C(4096)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
bool string_equal(const char *a, const char *b);

/* A small, fast, seedable generator (xorshift64*). The state must not be 0. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

#endif
