/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions taken to EL1. */
#ifndef RUNTIME_EXCEPTION_H
#define RUNTIME_EXCEPTION_H

#include "base.h"

/* In the order of vectors.S. */
struct frame {
    uint64_t x[31];
    uint64_t elr, spsr, esr, far;
    uint64_t pad;
};

/* What guard_call (vectors.S) needs to come back: x19..x30, sp, DAIF. */
struct guard {
    uint64_t saved[14];
    uint64_t esr, far, elr;
    bool serror;
};

#define EC_UNKNOWN 0x00u
#define EC_WFX 0x01u
#define EC_FP 0x07u
#define EC_ILLEGAL 0x0eu
#define EC_SVC64 0x15u
#define EC_SYSREG 0x18u
#define EC_SVE 0x19u
#define EC_SME 0x1du
#define EC_IABT 0x21u
#define EC_PC_ALIGN 0x22u
#define EC_DABT 0x25u
#define EC_SP_ALIGN 0x26u
#define EC_SERROR 0x2fu
#define EC_BREAKPOINT 0x31u
#define EC_STEP 0x33u
#define EC_WATCHPOINT 0x35u
#define EC_BRK 0x3cu

struct fault {
    uint64_t esr, far, elr;
    bool serror;
};

static inline unsigned fault_class(const struct fault *fault)
{
    return (unsigned)FIELD(fault->esr, 31, 26);
}

/* Data/instruction fault status code. */
static inline unsigned fault_status(const struct fault *fault)
{
    return (unsigned)FIELD(fault->esr, 5, 0);
}

/* A synchronous external abort, not on a table walk. */
#define FSC_EXTERNAL 0x10u
#define FSC_ALIGNMENT 0x21u

/* Calls fn(arg); if it takes a synchronous exception or SError, that ends it and *ret_fault says
 * which. Returns whether one came. */
bool expect_exception(void (*fn)(uint64_t arg), uint64_t arg, struct fault *ret_fault);

/* One load or store of 1, 2, 4 or 8 bytes. Returns whether it went well. */
bool try_read(uint64_t addr, unsigned size, uint64_t *value, struct fault *ret_fault);
bool try_write(uint64_t addr, unsigned size, uint64_t value, struct fault *ret_fault);

/* Called for synchronous exceptions when nothing is expected; true if it has dealt with it. */
extern bool (*exception_hook)(struct frame *frame);

/* If set, gets every IRQ and FIQ instead of the dispatch of gic.c. */
extern void (*irq_hook)(struct frame *frame, bool fiq);

/* vectors.S */
int guard_call(void (*fn)(uint64_t), uint64_t arg, struct guard *guard);
extern char guard_resume[];
extern char vectors[];
void exception_entry(struct frame *frame, unsigned kind);

#endif
