/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every MRS encoding of op0 2 and 3 gives a value or is undefined; what gave a value takes it back
 * by MSR. What is undefined to read takes no zero either, with the exception of registers that can
 * only be written. Nothing hangs, nothing else comes.
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_sysreg_sweep";

#define ENCODINGS 32768u

static uint64_t values, undefined, others, refused, took_zero;

static uint32_t encoding(uint32_t n)
{
    return (2u + n / 16384u) << 19 | n % 16384u << 5;
}

static uint32_t field_op0(uint32_t sysreg)
{
    return (uint32_t)FIELD(sysreg, 20, 19);
}

static uint32_t field_op1(uint32_t sysreg)
{
    return (uint32_t)FIELD(sysreg, 18, 16);
}

static uint32_t field_crn(uint32_t sysreg)
{
    return (uint32_t)FIELD(sysreg, 15, 12);
}

static void note(const char *what, uint32_t sysreg, const struct fault *fault)
{
    if (others++ < 20) {
        tap_note("%s S%u_%u_C%u_C%lu_%lu: esr 0x%lx%s", what, field_op0(sysreg), field_op1(sysreg),
                 field_crn(sysreg), FIELD(sysreg, 11, 8), FIELD(sysreg, 7, 5), fault->esr,
                 fault->serror ? " (SError)" : "");
    }
}

/* The feature ID space, of which FEAT_IDST reports what isn't there as a trapped access. */
static bool is_id_space(uint32_t sysreg)
{
    uint32_t op1 = field_op1(sysreg);

    return field_op0(sysreg) == 3 && (op1 == 0 || op1 == 1 || op1 == 3) && field_crn(sysreg) == 0;
}

/* Undefined, or trapped to EL1 by this CPU's own CPACR (SVE, SME). */
static bool is_undefined(uint32_t sysreg, const struct fault *fault)
{
    unsigned class = fault_class(fault);

    return !fault->serror && (class == EC_UNKNOWN || class == EC_SVE || class == EC_SME ||
                              (class == EC_SYSREG && is_id_space(sysreg)));
}

/* Where a zero to an unreadable register could do harm, or mean something. */
static bool is_write_risky(uint32_t sysreg)
{
    uint32_t op0 = field_op0(sysreg);
    uint32_t op1 = field_op1(sysreg);

    return op0 == 3 && (op1 == 0 || op1 == 3) && field_crn(sysreg) == 12;
}

static void write_back(uint32_t sysreg, bool readable, uint64_t value)
{
    struct fault fault;

    if (!readable && is_write_risky(sysreg)) {
        return;
    }
    if (probe_msr(sysreg, value, &fault)) {
        took_zero += !readable;
        return;
    }
    if (!is_undefined(sysreg, &fault)) {
        note("MSR", sysreg, &fault);
    }
    refused++;
}

static void sweep(void)
{
    for (uint32_t n = 0; n < ENCODINGS; n++) {
        uint32_t sysreg = encoding(n);
        uint64_t value = 0;
        struct fault fault;
        bool readable = probe_mrs(sysreg, &value, &fault);

        if (readable) {
            values++;
        } else if (is_undefined(sysreg, &fault)) {
            undefined++;
        } else {
            note("MRS", sysreg, &fault);
        }
        write_back(sysreg, readable, readable ? value : 0);
    }
}

/* EL2's and EL3's own are not there for EL1. */
static void test_higher_levels(void)
{
    uint64_t readable = 0;

    for (uint32_t n = 0; n < ENCODINGS; n++) {
        uint32_t sysreg = encoding(n);
        uint32_t op1 = field_op1(sysreg);
        uint64_t value;

        if (field_op0(sysreg) == 3 && (op1 == 4 || op1 == 5 || op1 == 6 || op1 == 7)) {
            bool came = probe_mrs(sysreg, &value, NULL);

            readable += came && value != 0;
        }
    }
    tap_equal(readable, 0, "no register of EL2 or EL3 can be read");
}

/* An EL1 that is whole afterwards. */
static uint64_t snapshot(void)
{
    return read_sysreg(ttbr0_el1) ^ read_sysreg(tcr_el1) ^ read_sysreg(mair_el1) ^
           read_sysreg(vbar_el1) ^ read_sysreg(tpidr_el1) << 7 ^ read_sysreg(cpacr_el1);
}

void payload_main(void)
{
    uint64_t before = snapshot();

    sweep();
    tap_ok(values >= 40, "MRS: %lu of 32768 give a value, %lu are undefined", values, undefined);
    tap_equal(others, 0, "nothing but undefined instruction exceptions came");
    tap_ok(true, "MSR: %lu refused, %lu write-only ones took a zero", refused, took_zero);
    tap_equal(snapshot(), before, "the state of EL1 is unharmed");
    test_higher_levels();
    tap_done();
}
