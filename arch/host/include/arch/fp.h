/* SPDX-License-Identifier: Apache-2.0 */
/* FP and SIMD registers, of the fake CPU: see arch/arm64/include/arch/fp.h. Each is an event. */
#ifndef ARCH_FP_H
#define ARCH_FP_H

#include "bothy/fp_state.h"

void fp_save(struct fp_state *state);
void fp_restore(const struct fp_state *state);

#endif
