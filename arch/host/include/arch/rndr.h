/* SPDX-License-Identifier: Apache-2.0 */
/* The test host has no RNDR: a test that wants entropy fakes the hook above it. */
#ifndef ARCH_RNDR_H
#define ARCH_RNDR_H

#include <stdbool.h>
#include <stdint.h>

static inline bool rndr_read(uint64_t *ret_bits)
{
    (void)ret_bits;
    return false;
}

#endif
