/* SPDX-License-Identifier: Apache-2.0 */
/* One code buffer a CPU: the instruction and a RET. */

#include "probe.h"

#include "arm.h"
#include "psci.h"

#define RET 0xd65f03c0u
#define MRS 0xd5200000u
#define MSR 0xd5000000u

struct call {
    uint32_t *code;
    uint64_t x0, x1;
};

/* A page each: emulators track code by the page, and CPUs that rewrite each other's slow down or
 * worse. */
static uint32_t buffers[CPU_MAX][PAGE_SIZE / 4] __attribute__((aligned(4096)));

static void run(uint64_t arg)
{
    struct call *call = (struct call *)arg;
    uint64_t (*fn)(uint64_t, uint64_t) = (uint64_t(*)(uint64_t, uint64_t))(uint64_t)call->code;

    call->x0 = fn(call->x0, call->x1);
    dsb(sy); /* asynchronous aborts of this instruction, if any, belong to it */
}

bool probe_run(uint32_t instruction, uint64_t *x0, uint64_t x1, struct fault *ret_fault)
{
    struct call call = {.code = buffers[cpu_id()], .x0 = *x0, .x1 = x1};

    if (call.code[0] != instruction || call.code[1] != RET) {
        call.code[0] = instruction;
        call.code[1] = RET;
        code_sync(call.code, 8);
    }
    if (expect_exception(run, (uint64_t)&call, ret_fault)) {
        return false;
    }
    *x0 = call.x0;
    return true;
}

bool probe_mrs(uint32_t sysreg, uint64_t *ret_value, struct fault *ret_fault)
{
    uint64_t value = 0;

    if (!probe_run(MRS | sysreg, &value, 0, ret_fault)) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool probe_msr(uint32_t sysreg, uint64_t value, struct fault *ret_fault)
{
    return probe_run(MSR | sysreg, &value, 0, ret_fault);
}
