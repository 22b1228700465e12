/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address translation instructions. The result is in PAR_EL1 after isb(); the guest's own
 * PAR_EL1 must be saved around them.
 */
#ifndef ARCH_AT_H
#define ARCH_AT_H

#include "bothy/types.h"

/* Stage 1 of the current EL1&0 regime, as a read by EL1. */
static inline void at_s1e1r(va_t addr)
{
    __asm__ volatile("at s1e1r, %0" : : "r"(addr.va) : "memory");
}

/* Stages 1 and 2 of the current EL1&0 regime, as a read by EL1. */
static inline void at_s12e1r(va_t addr)
{
    __asm__ volatile("at s12e1r, %0" : : "r"(addr.va) : "memory");
}

/* EL2's own regime, as a read. */
static inline void at_s1e2r(va_t addr)
{
    __asm__ volatile("at s1e2r, %0" : : "r"(addr.va) : "memory");
}

#endif
