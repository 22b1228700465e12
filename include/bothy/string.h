/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the C library's string.h that every environment has. The compiler emits calls to
 * the first four of its own accord; el2/string.c has them for the freestanding image, the C
 * library elsewhere.
 */
#ifndef BOTHY_STRING_H
#define BOTHY_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *where, int byte, size_t size);

size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);
char *strchr(const char *text, int c);

#endif
