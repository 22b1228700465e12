/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of the CPU (FEAT_RNG, Arm ARM D23.2.142), where ID_AA64ISAR0_EL1.RNDR says so. */
#ifndef ARCH_RNDR_H
#define ARCH_RNDR_H

#include <stdbool.h>
#include <stdint.h>

/* 64 bits in *ret_bits, or false if the CPU has none right now. */
static inline bool rndr_read(uint64_t *ret_bits)
{
    uint64_t bits;
    uint32_t ok;

    /* S3_3_C2_C4_0 is RNDR; it sets Z when it fails. */
    __asm__ volatile("mrs %0, s3_3_c2_c4_0\n\tcset %w1, ne" : "=r"(bits), "=r"(ok) : : "cc");
    if (ok)
        *ret_bits = bits;
    return ok;
}

#endif
