/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data abort syndromes as the Arm ARM describes them for real instructions, written down here as
 * numbers so that the generated field masks are checked as well.
 */
#include "tests/support/core_guest.h"

#include "core/mmio_decode.h"

#define FAR UINT64_C(0xffff000012345a78)
#define HPFAR UINT64_C(0x0000000000080000) /* page 0x0000_0800_0000 */
#define IPA UINT64_C(0x08000a78)

/* EC 0x24, IL, ISV, and a level 3 translation fault. */
#define BASE UINT64_C(0x93000007)
#define SAS(n) ((uint64_t)(n) << 22)
#define SSE (UINT64_C(1) << 21)
#define SRT(n) ((uint64_t)(n) << 16)
#define SF (UINT64_C(1) << 15)
#define FNV (UINT64_C(1) << 10)
#define CM (UINT64_C(1) << 8)
#define S1PTW (UINT64_C(1) << 7)
#define WNR (UINT64_C(1) << 6)
#define ISV (UINT64_C(1) << 24)

#define X UINT64_C(0x8182838485868788) /* in the register, and from the device */

struct instruction {
    const char *text;
    uint64_t esr;
    uint8_t size;
    bool write;
    uint64_t value; /* stored; or in the register after a load of X */
};

static const struct instruction instructions[] = {
    {"strb w3, [x0]", BASE | SAS(0) | SRT(3) | WNR, 1, true, 0x88},
    {"strh w3, [x0]", BASE | SAS(1) | SRT(3) | WNR, 2, true, 0x8788},
    {"str w3, [x0]", BASE | SAS(2) | SRT(3) | WNR, 4, true, 0x85868788},
    {"str x3, [x0]", BASE | SAS(3) | SRT(3) | SF | WNR, 8, true, X},
    {"stlr w3, [x0]", BASE | SAS(2) | SRT(3) | WNR | UINT64_C(0x4000), 4, true, 0x85868788},
    {"ldrb w3, [x0]", BASE | SAS(0) | SRT(3), 1, false, 0x88},
    {"ldrh w3, [x0]", BASE | SAS(1) | SRT(3), 2, false, 0x8788},
    {"ldr w3, [x0]", BASE | SAS(2) | SRT(3), 4, false, 0x85868788},
    {"ldr x3, [x0]", BASE | SAS(3) | SRT(3) | SF, 8, false, X},
    {"ldrsb w3, [x0]", BASE | SAS(0) | SSE | SRT(3), 1, false, 0xffffff88},
    {"ldrsh w3, [x0]", BASE | SAS(1) | SSE | SRT(3), 2, false, 0xffff8788},
    {"ldrsb x3, [x0]", BASE | SAS(0) | SSE | SRT(3) | SF, 1, false, 0xffffffffffffff88},
    {"ldrsh x3, [x0]", BASE | SAS(1) | SSE | SRT(3) | SF, 2, false, 0xffffffffffff8788},
    {"ldrsw x3, [x0]", BASE | SAS(2) | SSE | SRT(3) | SF, 4, false, 0xffffffff85868788},
};

/* Both steps of a data abort. */
static bool decode(const struct vcpu *vcpu, uint64_t esr, uint64_t far, uint64_t hpfar,
                   struct mmio_access *ret_access)
{
    ipa_t ipa;

    return fault_ipa(esr, far, hpfar, &ipa) && mmio_decode(vcpu, esr, ipa, ret_access);
}

static void each_instruction(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
        const struct instruction *in = &instructions[i];
        struct mmio_access access;

        vcpu->regs.x[3] = X;
        if (!decode(vcpu, in->esr, FAR, HPFAR, &access))
            fail_msg("%s", in->text);
        assert_int_equal(access.ipa.ipa, IPA);
        assert_int_equal(access.size, in->size);
        assert_int_equal(access.write, in->write);
        if (in->write) {
            assert_int_equal(access.value, in->value);
            mmio_complete(vcpu, &access, in->esr);
            assert_int_equal(vcpu->regs.x[3], X);
            continue;
        }
        vcpu->regs.x[3] = 0x5555555555555555;
        access.value = X; /* more than was asked for */
        mmio_complete(vcpu, &access, in->esr);
        if (vcpu->regs.x[3] != in->value)
            fail_msg("%s: %llx", in->text, (unsigned long long)vcpu->regs.x[3]);
    }
}

static void positive_values_are_not_sign_extended(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    struct mmio_access access;

    assert_true(decode(vcpu, BASE | SAS(0) | SSE | SRT(3) | SF, FAR, HPFAR, &access));
    access.value = 0x7f;
    mmio_complete(vcpu, &access, BASE | SAS(0) | SSE | SRT(3) | SF);
    assert_int_equal(vcpu->regs.x[3], 0x7f);
}

static void register_31_is_zero(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    struct vcpu_regs before;
    struct mmio_access access;

    memset(vcpu->regs.x, 0x77, sizeof(vcpu->regs.x));
    vcpu->regs.pc = UINT64_MAX; /* what follows x30 in the frame */
    before = vcpu->regs;
    assert_true(decode(vcpu, BASE | SAS(3) | SRT(31) | SF | WNR, FAR, HPFAR, &access));
    assert_int_equal(access.value, 0);
    assert_true(decode(vcpu, BASE | SAS(3) | SRT(31) | SF, FAR, HPFAR, &access));
    access.value = X;
    mmio_complete(vcpu, &access, BASE | SAS(3) | SRT(31) | SF);
    assert_memory_equal(&vcpu->regs, &before, sizeof(before));
}

static void every_register(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    for (unsigned n = 0; n < 31; n++) {
        struct mmio_access access;

        memset(&vcpu->regs.x, 0, sizeof(vcpu->regs.x));
        vcpu->regs.x[n] = n + 1;
        assert_true(decode(vcpu, BASE | SAS(3) | SRT(n) | SF | WNR, FAR, HPFAR, &access));
        assert_int_equal(access.value, n + 1);
    }
}

static void refused(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    static const uint64_t wrong[] = {
        (BASE & ~ISV) | SAS(3) | SRT(3) | SF, /* ldp, ldr with write-back, ld1, ldxr */
        (BASE & ~ISV) | CM | WNR,             /* dc cvac */
        BASE | CM | SRT(3),
        BASE | S1PTW | SAS(3) | SRT(3) | SF,
        BASE | FNV | SAS(3) | SRT(3),
        UINT64_C(0x83000007) | SAS(3) | SRT(3), /* EC 0x20: a fetch */
        UINT64_C(0x97000007) | SAS(3) | SRT(3), /* EC 0x25: of our own */
        (BASE & ~UINT64_C(0x3f)) | 0x0f,        /* permission fault: HPFAR is UNKNOWN */
        (BASE & ~UINT64_C(0x3f)) | 0x10,        /* external abort */
        (BASE & ~UINT64_C(0x3f)) | 0x21,        /* alignment */
        (BASE & ~UINT64_C(0x3f)) | 0x35,        /* unsupported exclusive */
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct mmio_access access = {.size = 99};

        assert_false(decode(vcpu, wrong[i], FAR, HPFAR, &access));
        assert_int_equal(access.size, 99);
    }
}

static void page_boundaries(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    struct mmio_access access;

    for (unsigned sas = 0; sas < 4; sas++) {
        for (uint64_t offset = 0xff0; offset < 0x1000; offset++) {
            bool fits = offset + (1u << sas) <= 0x1000;

            assert_int_equal(decode(vcpu, BASE | SAS(sas) | SRT(1), offset, HPFAR, &access),
                             fits);
        }
    }
}

static void fault_addresses(void **state)
{
    (void)state;
    ipa_t got;

    for (uint64_t fsc = 0; fsc < 64; fsc++) {
        bool known = fsc < 0x0c; /* address size, translation, access flag */
        bool permission = fsc >= 0x0c && fsc < 0x10;

        got = ipa(1);
        assert_int_equal(fault_ipa(UINT64_C(0x92000000) | fsc, FAR, HPFAR, &got), known);
        assert_int_equal(got.ipa, known ? IPA : 1);
        /* On a stage 1 walk FAR is something else's address. */
        got = ipa(1);
        assert_int_equal(fault_ipa(UINT64_C(0x92000000) | S1PTW | fsc, FAR, HPFAR, &got),
                         known || permission);
        assert_int_equal(got.ipa, known || permission ? UINT64_C(0x08000000) : 1);
    }
    /* The whole of FIPA, and neither NS nor the bits below it. */
    assert_true(fault_ipa(UINT64_C(0x92000007), 0, UINT64_MAX, &got));
    assert_int_equal(got.ipa, UINT64_C(0x00fffffffffff000));
}

static void big_endian_guests(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    struct mmio_access access;
    static const struct {
        uint64_t pstate, sctlr;
        bool big;
    } modes[] = {
        {0x5, 0, false},      {0x5, 1 << 25, true},  {0x4, 1 << 25, true},   {0x5, 1 << 24, false},
        {0x0, 1 << 24, true}, {0x0, 1 << 25, false}, {0x10, 1 << 24, false}, {0x210, 0, true},
    };

    vcpu->regs.x[3] = X;
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        bool big = modes[i].big;

        vcpu->regs.pstate = modes[i].pstate;
        set_reg(SYSREG_SCTLR_EL1, modes[i].sctlr);
        assert_true(decode(vcpu, BASE | SAS(2) | SRT(3) | WNR, FAR, HPFAR, &access));
        assert_int_equal(access.value, big ? 0x88878685 : 0x85868788);
        assert_true(decode(vcpu, BASE | SAS(1) | SSE | SRT(4) | SF, FAR, HPFAR, &access));
        access.value = 0x80ff;
        mmio_complete(vcpu, &access, BASE | SAS(1) | SSE | SRT(4) | SF);
        assert_int_equal(vcpu->regs.x[4],
                         big ? UINT64_C(0xffffffffffffff80) : UINT64_C(0xffffffffffff80ff));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(each_instruction),
        GUEST_TEST(positive_values_are_not_sign_extended),
        GUEST_TEST(register_31_is_zero),
        GUEST_TEST(every_register),
        GUEST_TEST(refused),
        GUEST_TEST(page_boundaries),
        GUEST_TEST(fault_addresses),
        GUEST_TEST(big_endian_guests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
