/* SPDX-License-Identifier: Apache-2.0 */
/* Address translation instructions: see arch/arm64/include/arch/at.h. Each is an event. */
#ifndef ARCH_AT_H
#define ARCH_AT_H

#include "arch/fake.h"
#include "bothy/types.h"

/* Stage 1 of the current EL1&0 regime, as a read by EL1. */
static inline void at_s1e1r(va_t addr)
{
    fake_at(FAKE_AT_S1E1R, addr.va);
}

/* Stages 1 and 2 of the current EL1&0 regime, as a read by EL1. */
static inline void at_s12e1r(va_t addr)
{
    fake_at(FAKE_AT_S12E1R, addr.va);
}

/* EL2's own regime, as a read. */
static inline void at_s1e2r(va_t addr)
{
    fake_at(FAKE_AT_S1E2R, addr.va);
}

#endif
