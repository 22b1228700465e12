/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end: what a bug of ours, or an exception taken from EL2 to EL2, leads to. The other CPUs are
 * stopped, and the registers and a backtrace printed; tools/symbolise turns the addresses into
 * `function+offset (file:line)` with out/bothy.elf.
 */
#ifndef EL2_PANIC_H
#define EL2_PANIC_H

#include "bothy/panic.h"
#include <stdint.h>

/* What vectors.S stores when EL2 itself takes an exception: x0 to x30 and SP. The rest is still in
 * the system registers. */
struct panic_frame {
    uint64_t x[31];
    uint64_t sp;
};

/* An exception taken from EL2. `vector` is the number of the vector, 0 to 15. */
_Noreturn void panic_exception(uint64_t vector, const struct panic_frame *frame);

/* What to do to stop the other CPUs, and to end; set once at boot, both may be NULL. */
void panic_set_hooks(void (*stop_others)(void), void (*end)(void));

#endif
