/* SPDX-License-Identifier: Apache-2.0 */
/* The data cache, as far as a Linux process reaches it. */
#ifndef ARCH_CACHE_H
#define ARCH_CACHE_H

#include <stddef.h>

/* What was written to [from, from + size) is seen by who reads it uncached, after this returns. */
void cache_clean(const void *from, size_t size);

#endif
