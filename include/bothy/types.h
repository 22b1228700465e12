/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The basic types, and addresses that can't be mixed up: a physical address, a guest's
 * intermediate physical address and a virtual address are different structs, so passing one for
 * another does not compile.
 */
#ifndef BOTHY_TYPES_H
#define BOTHY_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A physical address of this machine. */
typedef struct {
    uint64_t pa;
} pa_t;

/* An intermediate physical address: what a guest believes to be physical. */
typedef struct {
    uint64_t ipa;
} ipa_t;

/* A virtual address, of EL2 or of a guest. */
typedef struct {
    uint64_t va;
} va_t;

static inline pa_t pa(uint64_t value)
{
    return (pa_t){value};
}

static inline ipa_t ipa(uint64_t value)
{
    return (ipa_t){value};
}

static inline va_t va(uint64_t value)
{
    return (va_t){value};
}

static inline pa_t pa_add(pa_t base, uint64_t bytes)
{
    return (pa_t){base.pa + bytes};
}

static inline ipa_t ipa_add(ipa_t base, uint64_t bytes)
{
    return (ipa_t){base.ipa + bytes};
}

#endif
