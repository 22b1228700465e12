/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points that entry.S jumps to, MMU on, on a stack. */
#ifndef EL2_MAIN_H
#define EL2_MAIN_H

#include "core/cpu.h"

_Noreturn void el2_main(uint64_t fdt_pa, uint64_t image_pa);
_Noreturn void el2_secondary_main(struct cpu *cpu);

/* Entered at EL1 by mistake: say so and stop. */
_Noreturn void el1_main(uint64_t fdt_pa, uint64_t image_pa);

#endif
