/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floating-point and SIMD registers of one vCPU. arch/arm64/fp.S knows the offsets.
 */
#ifndef BOTHY_FP_STATE_H
#define BOTHY_FP_STATE_H

#define FP_STATE_FPSR 512
#define FP_STATE_FPCR 520

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

struct fp_q {
    uint64_t low;
    uint64_t high;
};

struct fp_state {
    struct fp_q q[32];
    uint64_t fpsr;
    uint64_t fpcr;
} __attribute__((aligned(16)));

_Static_assert(offsetof(struct fp_state, fpsr) == FP_STATE_FPSR, "fp.S");
_Static_assert(offsetof(struct fp_state, fpcr) == FP_STATE_FPCR, "fp.S");

#endif /* !__ASSEMBLER__ */

#endif
