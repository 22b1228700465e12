/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways for a guest to go wrong. Boot argument do=:
 *   vectors   an undefined instruction with VBAR in a hole: aborts at the vector for ever
 *   undef     undefined instructions for ever, with good vectors
 *   jump      jumps to addresses without memory, for ever
 *   store     stores to addresses without memory, for ever
 *   stack     an exception with SP in a hole: the handler aborts in its first store, for ever
 *   tables    turns the MMU on with tables in a hole
 *   cpuoff    every CPU turns itself off
 *   hang      WFI with interrupts masked
 *   spin      a branch to itself with interrupts masked
 * Prints `BOTHY-PAYLOAD crash does <what>` first; seconds=N ends the "for ever" kinds that still
 * have good vectors (default: never).
 */

#include "runtime/guest.h"

const char payload_name[] = "crash";

#define HOLE UINT64_C(0x09800000)

static uint64_t deadline = UINT64_MAX;

static void undefined(uint64_t arg)
{
    (void)arg;
    __asm__ volatile(".inst 0");
}

static void jump(uint64_t arg)
{
    ((void (*)(void))arg)();
}

static void store(uint64_t arg)
{
    write64(arg, 0);
}

static void repeat(void (*fn)(uint64_t))
{
    uint64_t times = 0;

    while (counter_virt() < deadline) {
        expect_exception(fn, HOLE + times % 1024u * 8u, NULL);
        times++;
    }
    print("crash: %lu times\n", times);
}

static void do_undef(void)
{
    repeat(undefined);
}

static void do_jump(void)
{
    repeat(jump);
}

static void do_store(void)
{
    repeat(store);
}

static void do_vectors(void)
{
    write_sysreg(HOLE, vbar_el1);
    isb();
    undefined(0);
}

static void do_stack(void)
{
    __asm__ volatile("mov sp, %0\n.inst 0" ::"r"(HOLE + 4096));
}

static void do_tables(void)
{
    mmu_off();
    write_sysreg(HOLE, ttbr0_el1);
    isb();
    __asm__ volatile("tlbi vmalle1; dsb sy; isb");
    write_sysreg(read_sysreg(sctlr_el1) | 1u, sctlr_el1);
    isb();
}

static void nothing(uint64_t arg)
{
    (void)arg;
}

static void do_cpuoff(void)
{
    cpu_run_all(nothing, 0);
    smccc_call(PSCI_CPU_OFF, 0, 0, 0);
}

static void do_hang(void)
{
    for (;;) {
        wfi();
    }
}

static void do_spin(void)
{
    __asm__ volatile("b .");
}

static const struct {
    const char *name;
    void (*fn)(void);
} kinds[] = {
    {"vectors", do_vectors}, {"undef", do_undef}, {"jump", do_jump},
    {"store", do_store},     {"stack", do_stack}, {"tables", do_tables},
    {"cpuoff", do_cpuoff},   {"hang", do_hang},   {"spin", do_spin},
};

void payload_main(void)
{
    char what[16];
    uint64_t seconds = bootarg_number("seconds", 0);

    bootarg_string("do", what, sizeof(what));
    if (seconds != 0) {
        deadline = counter_virt() + timer_from_us(1000000u * seconds);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (string_equal(what, kinds[i].name)) {
            print("BOTHY-PAYLOAD crash does %s\n", what);
            kinds[i].fn();
            return;
        }
    }
    payload_panic("do=%s is unknown", what);
}
