/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last words. Nothing here takes a lock or trusts more than it must: the first CPU that comes
 * speaks, any other stops, and a fault while speaking ends the speech.
 */
#include "el2/panic.h"

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "core/cpu.h"
#include "el2/asm_layout.h"
#include "el2/console.h"
#include "el2/format.h"

#define BACKTRACE_MAX 16U
#define FRAME_MAX 16384U /* a frame is smaller than any stack */

/* What AAPCS64 keeps at x29. */
struct frame_record {
    uint64_t next;
    uint64_t lr;
};

struct panic_state {
    uint32_t speaking; /* atomic: a CPU has begun */
    void (*stop_others)(void);
    void (*end)(void);
};

static struct panic_state state;

void panic_set_hooks(void (*stop_others)(void), void (*end)(void))
{
    state.stop_others = stop_others;
    state.end = end;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    (void)format_va(line, sizeof(line), format, args);
    va_end(args);
    console_panic_puts(line);
    console_panic_puts("\r\n");
}

/* Be the one that speaks, or don't come back. */
static void begin(void)
{
    if (atomic_xchg32(&state.speaking, 1) != 0) {
        cpu_halt();
    }
    console_panic_enter();
}

static _Noreturn void finish(void)
{
    if (state.stop_others != NULL) {
        state.stop_others();
    }
    if (state.end != NULL) {
        state.end();
    }
    cpu_halt();
}

/* Return addresses along the chain of frame records: upwards only, within EL2's own space. */
static void say_backtrace(uint64_t frame)
{
    for (uint32_t i = 0; i < BACKTRACE_MAX; i++) {
        const struct frame_record *record = (const struct frame_record *)(uintptr_t)frame;

        if (frame < EL2_VA_BASE || !IS_ALIGNED(frame, 16)) {
            return;
        }
        say("  called from %016lx", record->lr);
        if (record->next <= frame || record->next - frame > FRAME_MAX) {
            return;
        }
        frame = record->next;
    }
}

static void say_where(void)
{
    const struct cpu *cpu = cpu_this();

    if (cpu != NULL) {
        say("  CPU %u, vCPU at %016lx", cpu->id, (uint64_t)(uintptr_t)cpu->loaded);
    }
}

_Noreturn void panic(const char *format, ...)
{
    char line[256];
    va_list args;

    begin();
    va_start(args, format);
    (void)format_va(line, sizeof(line), format, args);
    va_end(args);
    say("[bothy] panic: %s", line);
    say_where();
    say_backtrace((uint64_t)(uintptr_t)__builtin_frame_address(0));
    finish();
}

_Noreturn void panic_exception(uint64_t vector, const struct panic_frame *frame)
{
    uint64_t esr = read_esr_el2();

    begin();
    say("[bothy] panic: exception %u taken from EL2", (uint32_t)vector);
    say_where();
    say("  ESR %016lx (EC %02x) FAR %016lx", esr, (uint32_t)FIELD_GET(ESR_EL2_EC, esr),
        read_far_el2());
    say("  PC  %016lx SP %016lx PSTATE %08x", read_elr_el2(), frame->sp, (uint32_t)read_spsr_el2());
    for (uint32_t i = 0; i < 30; i += 3) {
        say("  x%-2u %016lx x%-2u %016lx x%-2u %016lx", i, frame->x[i], i + 1, frame->x[i + 1],
            i + 2, frame->x[i + 2]);
    }
    say("  LR  %016lx", frame->x[30]);
    say_backtrace(frame->x[29]);
    finish();
}
