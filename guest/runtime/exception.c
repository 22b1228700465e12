/* SPDX-License-Identifier: Apache-2.0 */
/* What the vectors call, and exceptions that a test expects. */

#include "exception.h"

#include "arm.h"
#include "gic.h"
#include "machine.h"
#include "psci.h"

#define SPSR_EL1H 5u
#define KIND_IRQ 1u
#define KIND_FIQ 2u
#define KIND_SERROR 3u

static struct guard *guards[CPU_MAX];
bool (*exception_hook)(struct frame *frame);
void (*irq_hook)(struct frame *frame, bool fiq);

/* Ends the guarded call: its frame is left behind on the stack that the guard restores. */
static void resume_guard(struct guard *guard, struct frame *frame, bool serror)
{
    guard->esr = frame->esr;
    guard->far = frame->far;
    guard->elr = frame->elr;
    guard->serror = serror;
    frame->x[0] = (uint64_t)guard;
    frame->elr = (uint64_t)guard_resume;
    frame->spsr = SPSR_EL1H | guard->saved[13];
}

void exception_entry(struct frame *frame, unsigned kind)
{
    unsigned what = kind & 3u;
    struct guard *guard = guards[cpu_id()];

    if (what == KIND_IRQ || what == KIND_FIQ) {
        if (irq_hook != NULL) {
            irq_hook(frame, what == KIND_FIQ);
        } else {
            gic_handle_irq(what == KIND_FIQ);
        }
        return;
    }
    if (guard != NULL) {
        guards[cpu_id()] = NULL;
        resume_guard(guard, frame, what == KIND_SERROR);
        return;
    }
    if (what != KIND_SERROR && exception_hook != NULL && exception_hook(frame)) {
        return;
    }
    payload_panic("unexpected exception kind %u esr 0x%lx far 0x%lx pc 0x%lx lr 0x%lx cpu %u", kind,
                  frame->esr, frame->far, frame->elr, frame->x[30], cpu_id());
}

bool expect_exception(void (*fn)(uint64_t arg), uint64_t arg, struct fault *ret_fault)
{
    struct guard guard = {0};
    struct guard *outer = guards[cpu_id()];
    bool came;

    guards[cpu_id()] = &guard;
    dmb(sy);
    came = guard_call(fn, arg, &guard) != 0;
    guards[cpu_id()] = outer;
    if (came && ret_fault != NULL) {
        *ret_fault = (struct fault){
            .esr = guard.esr, .far = guard.far, .elr = guard.elr, .serror = guard.serror};
    }
    return came;
}

struct access {
    uint64_t addr, value;
    unsigned size;
};

static void do_read(uint64_t arg)
{
    struct access *access = (struct access *)arg;

    switch (access->size) {
    case 1:
        access->value = read8(access->addr);
        break;
    case 2:
        access->value = read16(access->addr);
        break;
    case 4:
        access->value = read32(access->addr);
        break;
    default:
        access->value = read64(access->addr);
        break;
    }
}

static void do_write(uint64_t arg)
{
    const struct access *access = (const struct access *)arg;

    switch (access->size) {
    case 1:
        write8(access->addr, (uint8_t)access->value);
        break;
    case 2:
        write16(access->addr, (uint16_t)access->value);
        break;
    case 4:
        write32(access->addr, (uint32_t)access->value);
        break;
    default:
        write64(access->addr, access->value);
        break;
    }
    dsb(sy);
}

bool try_read(uint64_t addr, unsigned size, uint64_t *value, struct fault *ret_fault)
{
    struct access access = {.addr = addr, .size = size};

    if (expect_exception(do_read, (uint64_t)&access, ret_fault)) {
        return false;
    }
    *value = access.value;
    return true;
}

bool try_write(uint64_t addr, unsigned size, uint64_t value, struct fault *ret_fault)
{
    struct access access = {.addr = addr, .value = value, .size = size};

    return !expect_exception(do_write, (uint64_t)&access, ret_fault);
}
