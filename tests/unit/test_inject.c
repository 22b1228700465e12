/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Injected exceptions against AArch64.TakeException() of the Arm ARM. PSTATE and ESR are numbers
 * here, so that the generated masks are checked as well.
 */
#include "tests/support/core_guest.h"

#include "core/inject.h"

#define VBAR UINT64_C(0xffff800010000800)
#define FAR UINT64_C(0xffff0000deadbeef)
#define SPAN (UINT64_C(1) << 23)
#define DSSBS (UINT64_C(1) << 44)
#define NZCV UINT64_C(0xf0000000)
#define PAN (UINT64_C(1) << 22)
#define UAO (UINT64_C(1) << 23)
#define DIT (UINT64_C(1) << 24)
#define TCO (UINT64_C(1) << 25)
#define SS (UINT64_C(1) << 21)
#define IL (UINT64_C(1) << 20)
#define SSBS (UINT64_C(1) << 12)
#define BTYPE (UINT64_C(3) << 10)
#define DAIF UINT64_C(0x3c0)
#define ESR_IL (UINT64_C(1) << 25)

static struct vcpu *ready(void **state, uint64_t pstate, uint64_t sctlr)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    vcpu->regs.pc = GUEST_PC;
    vcpu->regs.pstate = pstate;
    set_reg(SYSREG_VBAR_EL1, VBAR);
    set_reg(SYSREG_SCTLR_EL1, sctlr);
    set_reg(SYSREG_FAR_EL1, 0x1111);
    return vcpu;
}

static void vectors(void **state)
{
    static const struct {
        uint64_t pstate, offset;
    } modes[] = {
        {0x4, 0x000}, {0x5, 0x200}, {0x0, 0x400}, {0x10, 0x600}, {0x1f0 | DAIF, 0x600},
    };

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct vcpu *vcpu = ready(state, modes[i].pstate, SPAN);

        inject_undef(vcpu);
        assert_int_equal(vcpu->regs.pc, VBAR + modes[i].offset);
        assert_int_equal(vcpu->regs.pstate, DAIF | 5);
        assert_int_equal(get_reg(SYSREG_ELR_EL1), GUEST_PC);
        assert_int_equal(get_reg(SYSREG_SPSR_EL1), modes[i].pstate);
        assert_int_equal(get_reg(SYSREG_ESR_EL1), ESR_IL);
        assert_int_equal(get_reg(SYSREG_FAR_EL1), 0x1111);
    }
}

static void pstate_bits(void **state)
{
    static const struct {
        uint64_t pstate, sctlr, mte, want;
    } cases[] = {
        {NZCV | 5, SPAN, 0, NZCV},
        {DIT | 5, SPAN, 0, DIT},
        {5, 0, 0, PAN},
        {PAN | 5, SPAN, 0, PAN},
        {PAN | 5, 0, 0, PAN},
        {UAO | SS | IL | BTYPE | 5, SPAN, 0, 0},
        {SSBS | 5, SPAN, 0, 0},
        {5, SPAN | DSSBS, 0, SSBS},
        {5, SPAN, 2, TCO},
        {TCO | 5, SPAN, 0, 0},
        /* AArch32: Q, IT, J, GE, E and T are not PSTATE bits of AArch64. */
        {NZCV | UINT64_C(0x0f0ffe30), SPAN, 0, NZCV | DIT},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vcpu *vcpu = ready(state, cases[i].pstate, cases[i].sctlr);

        set_reg(SYSREG_ID_AA64PFR1_EL1, cases[i].mte << 8);
        inject_undef(vcpu);
        assert_int_equal(vcpu->regs.pstate, cases[i].want | DAIF | 5);
        assert_int_equal(get_reg(SYSREG_SPSR_EL1), cases[i].pstate);
    }
}

static void aborts(void **state)
{
    static const struct {
        uint64_t pstate, esr, want;
    } cases[] = {
        {5, 0x93000007, 0x96000010},    /* data, EL1 */
        {0, 0x93000007, 0x92000010},    /* data, EL0 */
        {0x10, 0x93000007, 0x92000010}, /* data, EL0 AArch32 */
        {5, 0x93c30047, 0x96000050},    /* store */
        {5, 0x92000147, 0x96000150},    /* DC, which counts as a write */
        {5, 0x92000087, 0x96000017},    /* stage 1 walk, level 3 */
        {5, 0x920000c5, 0x96000055},    /* stage 1 walk of a store, level 1 */
        {5, 0x82000007, 0x86000010},    /* fetch, EL1 */
        {0, 0x82000007, 0x82000010},    /* fetch, EL0 */
        {5, 0x82000086, 0x86000016},    /* stage 1 walk of a fetch, level 2 */
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vcpu *vcpu = ready(state, cases[i].pstate, SPAN);

        inject_abort(vcpu, cases[i].esr, FAR);
        assert_int_equal(get_reg(SYSREG_ESR_EL1), cases[i].want);
        assert_int_equal(get_reg(SYSREG_FAR_EL1), FAR);
        assert_int_equal(get_reg(SYSREG_ELR_EL1), GUEST_PC);
    }
}

static void serror_with_and_without_ras(void **state)
{
    struct vcpu *vcpu = ready(state, 5, SPAN);

    set_reg(SYSREG_HCR_EL2, vcpu->hcr);
    set_reg(SYSREG_VSESR_EL2, 0x1234);
    set_reg(SYSREG_ID_AA64PFR0_EL1, 0);
    inject_serror(vcpu, 0xbe000011);
    assert_int_equal(get_reg(SYSREG_VSESR_EL2), 0x1234);
    assert_true(get_reg(SYSREG_HCR_EL2) & 0x100);

    set_reg(SYSREG_ID_AA64PFR0_EL1, UINT64_C(1) << 28);
    inject_serror(vcpu, 0xbf000011);
    assert_int_equal(get_reg(SYSREG_VSESR_EL2), 0x01000011);
    assert_int_equal(vcpu->regs.pc, GUEST_PC);
}

static void serror_is_delivered_once(void **state)
{
    struct vcpu *vcpu = ready(state, 5, SPAN);
    uint64_t hcr = vcpu->hcr;

    set_reg(SYSREG_ID_AA64PFR0_EL1, 0);
    inject_fold_serror(vcpu);
    inject_serror(vcpu, 0);
    assert_int_equal(vcpu->hcr, hcr | 0x100);
    inject_fold_serror(vcpu); /* not taken yet */
    assert_int_equal(vcpu->hcr, hcr | 0x100);
    set_reg(SYSREG_HCR_EL2, hcr);
    inject_fold_serror(vcpu);
    assert_int_equal(vcpu->hcr, hcr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(vectors),
        GUEST_TEST(pstate_bits),
        GUEST_TEST(aborts),
        GUEST_TEST(serror_with_and_without_ras),
        GUEST_TEST(serror_is_delivered_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
