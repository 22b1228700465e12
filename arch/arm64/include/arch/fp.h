/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Save and load the floating-point and SIMD registers of this CPU. EL2 itself never uses them:
 * it is compiled with -mgeneral-regs-only, and traps on them must be off (CPTR_EL2.TFP = 0).
 */
#ifndef ARCH_FP_H
#define ARCH_FP_H

#include "bothy/fp_state.h"

/* In fp.S. */
void fp_save(struct fp_state *state);
void fp_restore(const struct fp_state *state);

#endif
