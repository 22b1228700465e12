/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bits, fields, alignment. The field macros take a contiguous mask, such as the generated
 * HCR_EL2_VM or VTCR_EL2_T0SZ, and are constant expressions when their arguments are. The first
 * part is usable from assembler too.
 */
#ifndef BOTHY_BITS_H
#define BOTHY_BITS_H

#ifdef __ASSEMBLER__
#define _U64(x) (x)
#else
#define _U64_PASTE(x) x##UL
#define _U64(x) _U64_PASTE(x)
#endif

#define BIT(n) (_U64(1) << (n))
/* Bits high..low, both included. */
#define GENMASK(high, low) (((_U64(2) << ((high) - (low))) - _U64(1)) << (low))

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "LP64 is assumed by _U64");

/* The field's value, shifted down. */
#define FIELD_GET(mask, value) (((uint64_t)(value) & (mask)) >> __builtin_ctzll(mask))
/* A value shifted up to the field; what does not fit is cut off. */
#define FIELD_PREP(mask, field) (((uint64_t)(field) << __builtin_ctzll(mask)) & (mask))
/* The value with one of its fields replaced. */
#define FIELD_SET(value, mask, field) \
    (((uint64_t)(value) & ~(uint64_t)(mask)) | FIELD_PREP(mask, field))
/* The largest value that fits in the field. */
#define FIELD_MAX(mask) ((uint64_t)(mask) >> __builtin_ctzll(mask))

/* Alignments are powers of two; a value is an unsigned integer. */
#define ALIGN_DOWN(value, align) ((value) & ~((__typeof__(value))(align) - 1))
#define ALIGN_UP(value, align) ALIGN_DOWN((value) + ((__typeof__(value))(align) - 1), align)
#define IS_ALIGNED(value, align) (((value) & ((__typeof__(value))(align) - 1)) == 0)
#define IS_POWER_OF_2(value) ((value) != 0 && ((value) & ((value) - 1)) == 0)
#define DIV_ROUND_UP(value, by) (((value) + (by) - 1) / (by))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(ptr, type, member) \
    ((type *)(void *)((char *)(void *)(ptr) - offsetof(type, member)))

/* Both arguments have one type: comparing the addresses warns if not. Each is evaluated once. */
#define MIN(a, b) \
    __extension__({ \
        __typeof__(a) min_a_ = (a); \
        __typeof__(b) min_b_ = (b); \
        (void)(&min_a_ == &min_b_); \
        min_a_ < min_b_ ? min_a_ : min_b_; \
    })
#define MAX(a, b) \
    __extension__({ \
        __typeof__(a) max_a_ = (a); \
        __typeof__(b) max_b_ = (b); \
        (void)(&max_a_ == &max_b_); \
        max_a_ > max_b_ ? max_a_ : max_b_; \
    })

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define KIB(n) (_U64(n) << 10)
#define MIB(n) (_U64(n) << 20)
#define GIB(n) (_U64(n) << 30)

/* Index of the lowest or highest bit that is set; the value is not 0. */
static inline unsigned int bits_first(uint64_t value)
{
    return (unsigned int)__builtin_ctzll(value);
}

static inline unsigned int bits_last(uint64_t value)
{
    return 63U - (unsigned int)__builtin_clzll(value);
}

/* How many bits are set. Not the compiler's: that is an FP instruction or a library call. */
static inline unsigned int bits_count(uint64_t value)
{
    unsigned int n = 0;

    for (; value; value &= value - 1)
        n++;
    return n;
}

#endif /* !__ASSEMBLER__ */

#endif
