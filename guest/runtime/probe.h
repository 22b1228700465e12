/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions made at run time. */
#ifndef RUNTIME_PROBE_H
#define RUNTIME_PROBE_H

#include "exception.h"

#define SYSREG(op0, op1, crn, crm, op2)                                      \
    ((uint32_t)(op0) << 19 | (uint32_t)(op1) << 16 | (uint32_t)(crn) << 12 | \
     (uint32_t)(crm) << 8 | (uint32_t)(op2) << 5)

/* Runs one instruction with x0 = *x0, x1 = x1; *x0 is what x0 holds afterwards. The instruction
 * may use x0..x17 only. Returns false if it took an exception, which ret_fault (may be NULL)
 * describes. */
bool probe_run(uint32_t instruction, uint64_t *x0, uint64_t x1, struct fault *ret_fault);

/* MRS and MSR by encoding (SYSREG). */
bool probe_mrs(uint32_t sysreg, uint64_t *ret_value, struct fault *ret_fault);
bool probe_msr(uint32_t sysreg, uint64_t value, struct fault *ret_fault);

#endif
