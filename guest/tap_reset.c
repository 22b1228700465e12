/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory must be scrubbed at each start: looks for its own mark all over the free RAM, leaves the
 * mark there, then ends this life as told. Boot arguments: do=reset (default), reset2, off, crash
 * (an exception without vectors), hang, spin; wait= ms before that.
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_reset";

#define MARK UINT64_C(0x5ca1ab1ef00dfeed)
#define STRIDE (16u * PAGE_SIZE + 64u)

static uint64_t count_marks(void)
{
    uint64_t end = free_ram_end();
    uint64_t found = 0;

    for (uint64_t at = free_ram_base(); at + STRIDE < end; at += STRIDE) {
        found += read64(at) != 0;
        write64(at, MARK ^ at);
    }
    return found;
}

static void flush_marks(void)
{
    uint64_t end = free_ram_end();

    for (uint64_t at = free_ram_base(); at + STRIDE < end; at += STRIDE) {
        __asm__ volatile("dc civac, %0" ::"r"(at) : "memory");
    }
    dsb(sy);
}

/* What this image has changed in itself must be pristine again too. */
static uint64_t own_data = 1;

static void end_by(const char *what)
{
    if (string_equal(what, "off")) {
        return;
    }
    if (string_equal(what, "reset2")) {
        smccc_call(PSCI_SYSTEM_RESET2, 0, 0, 0);
    } else if (string_equal(what, "reset")) {
        system_reset();
    } else if (string_equal(what, "crash")) {
        write_sysreg(0x09800000, vbar_el1);
        isb();
        __asm__ volatile(".inst 0");
    } else if (string_equal(what, "hang")) {
        for (;;) {
            wfi();
        }
    }
    for (;;) {
        cpu_relax();
    }
}

void payload_main(void)
{
    char what[16];

    if (!bootarg_string("do", what, sizeof(what))) {
        memcpy(what, "reset", 6);
    }
    tap_plan(2);
    tap_equal(count_marks(), 0, "free memory holds nothing of an earlier life");
    tap_equal(own_data, 1, "the image is pristine");
    own_data = 2;
    flush_marks();
    tap_done();
    timer_spin_us(1000u * bootarg_number("wait", 0));
    print("BOTHY-PAYLOAD tap_reset ends by %s\n", what);
    end_by(what);
}
