/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library's memory and string functions for the freestanding image; the compiler, libfdt and
 * everybody else call them. They run with the MMU on: unaligned accesses to normal memory are
 * allowed, but alignment is kept to, so that they work in a build that asks for it.
 *
 * The build keeps the compiler from recognising the loops here and replacing them by calls to the
 * very function (-fno-builtin, -fno-tree-loop-distribute-patterns: see meson.build).
 */
#include "bothy/string.h"

#include <stdbool.h>
#include <stdint.h>

#define WORD sizeof(uint64_t)

/* Memory of whatever type, seen as words. */
typedef uint64_t __attribute__((may_alias)) word_t;

static bool words_fit(const void *a, const void *b)
{
    return (((uintptr_t)a ^ (uintptr_t)b) & (WORD - 1)) == 0;
}

/* Eight words at a time, then one: pairs of loads and stores. */
static size_t copy_words(word_t *to, const word_t *from, size_t size)
{
    size_t left = size / WORD;

    for (; left >= 8; left -= 8, to += 8, from += 8) {
        word_t a = from[0], b = from[1], c = from[2], d = from[3];
        word_t e = from[4], f = from[5], g = from[6], h = from[7];

        to[0] = a;
        to[1] = b;
        to[2] = c;
        to[3] = d;
        to[4] = e;
        to[5] = f;
        to[6] = g;
        to[7] = h;
    }
    for (; left != 0; left--) {
        *to++ = *from++;
    }
    return size - size % WORD;
}

/* Each step reads all that it overwrites before it writes: right also where `out` lies below an
 * overlapping `in`. */
static void copy_forwards(uint8_t *out, const uint8_t *in, size_t size)
{
    if (words_fit(out, in)) {
        for (; size != 0 && (uintptr_t)out % WORD != 0; size--) {
            *out++ = *in++;
        }
        size_t done = copy_words((word_t *)(void *)out, (const word_t *)(const void *)in, size);

        out += done;
        in += done;
        size -= done;
    }
    while (size-- != 0) {
        *out++ = *in++;
    }
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    copy_forwards(to, from, size);
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *out = to;
    const uint8_t *in = from;

    if ((uintptr_t)out - (uintptr_t)in >= size) {
        copy_forwards(out, in, size); /* the target does not start inside of the source */
        return to;
    }
    out += size;
    in += size;
    if (words_fit(out, in)) {
        for (; size != 0 && (uintptr_t)out % WORD != 0; size--) {
            *--out = *--in;
        }
        for (; size >= WORD; size -= WORD) {
            out -= WORD;
            in -= WORD;
            *(word_t *)(void *)out = *(const word_t *)(const void *)in;
        }
    }
    while (size-- != 0) {
        *--out = *--in;
    }
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    uint8_t *out = to;
    word_t word = (uint8_t)byte * UINT64_C(0x0101010101010101);

    for (; size != 0 && (uintptr_t)out % WORD != 0; size--) {
        *out++ = (uint8_t)byte;
    }
    word_t *words = (word_t *)(void *)out;
    size_t left = size / WORD;

    for (; left >= 8; left -= 8, words += 8) {
        words[0] = word;
        words[1] = word;
        words[2] = word;
        words[3] = word;
        words[4] = word;
        words[5] = word;
        words[6] = word;
        words[7] = word;
    }
    for (; left != 0; left--) {
        *words++ = word;
    }
    out = (uint8_t *)words;
    for (size %= WORD; size != 0; size--) {
        *out++ = (uint8_t)byte;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *left = a;
    const uint8_t *right = b;

    for (; size != 0; size--, left++, right++) {
        if (*left != *right) {
            return *left - *right;
        }
    }
    return 0;
}

void *memchr(const void *where, int byte, size_t size)
{
    const uint8_t *at = where;

    for (; size != 0; size--, at++) {
        if (*at == (uint8_t)byte) {
            return (void *)(uintptr_t)at;
        }
    }
    return NULL;
}

size_t strnlen(const char *text, size_t limit)
{
    size_t length = 0;

    while (length < limit && text[length] != '\0') {
        length++;
    }
    return length;
}

size_t strlen(const char *text)
{
    return strnlen(text, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t limit)
{
    for (; limit != 0; limit--, a++, b++) {
        if (*a != *b || *a == '\0') {
            return (uint8_t)*a - (uint8_t)*b;
        }
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *text, int c)
{
    for (;; text++) {
        if (*text == (char)c) {
            return (char *)(uintptr_t)text;
        }
        if (*text == '\0') {
            return NULL;
        }
    }
}

/* The rest is only for libfdt, and not in bothy/string.h. */
char *strrchr(const char *text, int c);

char *strrchr(const char *text, int c)
{
    const char *found = NULL;

    do {
        if (*text == (char)c) {
            found = text;
        }
    } while (*text++ != '\0');
    return (char *)(uintptr_t)found;
}
