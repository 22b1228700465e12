/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trapped system registers: which answer at all, what each does, and debug state that moves
 * between memory and CPU. ID registers have test_id_profile.c.
 */
#include "tests/support/core_guest.h"

#include "core/vsysreg.h"

#define TVM (UINT64_C(1) << 26)
#define FWB (UINT64_C(1) << 46)
#define TDA (UINT64_C(1) << 9)

#define ISS(op0, op1, crn, crm, op2, rt, read)                                                    \
    (UINT64_C(0x62000000) | (uint64_t)(op0) << 20 | (uint64_t)(op2) << 17 |                       \
     (uint64_t)(op1) << 14 | (uint64_t)(crn) << 10 | (uint64_t)(rt) << 5 | (uint64_t)(crm) << 1 | \
     (read))

static uint64_t iss(uint32_t reg, unsigned rt, bool is_read)
{
    return ISS(SYSREG_OP0(reg), SYSREG_OP1(reg), SYSREG_CRN(reg), SYSREG_CRM(reg), SYSREG_OP2(reg),
               rt, is_read);
}

static uint64_t mrs(struct vcpu *vcpu, uint32_t reg)
{
    vcpu->regs.x[9] = 0xabababab;
    assert_int_equal(vsysreg_access(vcpu, iss(reg, 9, true)), TRAP_NEXT);
    return vcpu->regs.x[9];
}

static void msr(struct vcpu *vcpu, uint32_t reg, uint64_t value)
{
    vcpu->regs.x[9] = value;
    assert_int_equal(vsysreg_access(vcpu, iss(reg, 9, false)), TRAP_NEXT);
}

struct allowed {
    uint8_t op0, op1, crn, crm, op2;
    bool read, write;
};

/* Everything that answers, beside ID registers and DBGB/WVR<n>, DBGB/WCR<n>. */
static const struct allowed allowed[] = {
    {1, 0, 7, 6, 2, false, true},   {1, 0, 7, 10, 2, false, true},  {1, 0, 7, 14, 2, false, true},
    {2, 0, 0, 0, 2, true, true},    {2, 0, 0, 2, 0, true, true},    {2, 0, 0, 2, 2, true, true},
    {2, 0, 0, 3, 2, true, true},    {2, 0, 0, 6, 2, true, true},    {2, 0, 1, 0, 0, true, false},
    {2, 0, 1, 0, 4, false, true},   {2, 0, 1, 1, 4, true, false},   {2, 0, 1, 3, 4, true, true},
    {2, 0, 1, 4, 4, true, true},    {2, 0, 7, 8, 6, true, true},    {2, 0, 7, 9, 6, true, true},
    {2, 0, 7, 14, 6, true, false},  {2, 3, 0, 1, 0, true, false},   {2, 3, 0, 4, 0, true, true},
    {2, 3, 0, 5, 0, true, true},    {3, 0, 1, 0, 0, false, true},   {3, 0, 1, 0, 1, true, true},
    {3, 0, 2, 0, 0, false, true},   {3, 0, 2, 0, 1, false, true},   {3, 0, 2, 0, 2, false, true},
    {3, 0, 5, 1, 0, false, true},   {3, 0, 5, 1, 1, false, true},   {3, 0, 5, 2, 0, false, true},
    {3, 0, 6, 0, 0, false, true},   {3, 0, 10, 2, 0, false, true},  {3, 0, 10, 3, 0, false, true},
    {3, 0, 12, 11, 1, false, true}, {3, 0, 12, 11, 5, false, true}, {3, 0, 12, 11, 6, false, true},
    {3, 0, 12, 11, 7, false, true}, {3, 0, 12, 12, 5, true, true},  {3, 0, 13, 0, 1, false, true},
    {3, 3, 14, 0, 1, true, false},  {3, 3, 14, 2, 0, true, true},   {3, 3, 14, 2, 1, true, true},
    {3, 3, 14, 2, 2, true, true},
};

static bool is_allowed(unsigned op0, unsigned op1, unsigned crn, unsigned crm, unsigned op2,
                       bool is_read)
{
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        const struct allowed *a = &allowed[i];

        if (a->op0 == op0 && a->op1 == op1 && a->crn == crn && a->crm == crm && a->op2 == op2)
            return is_read ? a->read : a->write;
    }
    if (op0 == 3 && op1 == 0 && crn == 0 && crm >= 1 && crm <= 7)
        return is_read;
    /* 6 breakpoints and 4 watchpoints: see core_guest.h */
    return op0 == 2 && op1 == 0 && crn == 0 &&
           (((op2 == 4 || op2 == 5) && crm < 6) || ((op2 == 6 || op2 == 7) && crm < 4));
}

static void all_encodings(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    for (unsigned code = 0; code < 1u << 17; code++) {
        unsigned op0 = code >> 14 & 3, op1 = code >> 11 & 7, crn = code >> 7 & 15;
        unsigned crm = code >> 3 & 15, op2 = code & 7;
        bool is_read = code >> 16;
        bool want = is_allowed(op0, op1, crn, crm, op2, is_read);

        for (unsigned rt = 30; rt < 32; rt++) {
            struct vcpu_regs before;
            enum trap_result got;

            guest_reset(guest);
            vcpu->regs.x[30] = 0;
            before = vcpu->regs;
            got = vsysreg_access(vcpu, ISS(op0, op1, crn, crm, op2, rt, is_read));
            if (got != (want ? TRAP_NEXT : TRAP_UNDEF))
                fail_msg("S%u_%u_C%u_C%u_%u %s: %d", op0, op1, crn, crm, op2,
                         is_read ? "read" : "write", got);
            if (is_read && want && rt == 30)
                before.x[30] = vcpu->regs.x[30];
            assert_memory_equal(&before, &vcpu->regs, sizeof(before));
        }
    }
}

static void id_registers_come_from_the_profile(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    for (unsigned crm = 1; crm < 8; crm++) {
        for (unsigned op2 = 0; op2 < 8; op2++) {
            guest->ids.reg[crm][op2] = crm << 8 | op2;
            assert_int_equal(mrs(vcpu, SYSREG_ENC(3u, 0u, 0u, crm, op2)), crm << 8 | op2);
        }
    }
}

static void harmless_ones(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    msr(vcpu, SYSREG_ACTLR_EL1, UINT64_MAX);
    assert_int_equal(mrs(vcpu, SYSREG_ACTLR_EL1), 0);
    msr(vcpu, SYSREG_ICC_SRE_EL1, 0);
    assert_int_equal(mrs(vcpu, SYSREG_ICC_SRE_EL1), 7);
    msr(vcpu, SYSREG_MDCCINT_EL1, UINT64_MAX);
    assert_int_equal(mrs(vcpu, SYSREG_MDCCINT_EL1), 0);
    assert_int_equal(mrs(vcpu, SYSREG_MDRAR_EL1), 0);
}

static void gic_writes_go_to_the_vgic(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    msr(vcpu, SYSREG_ICC_SGI1R_EL1, 0x1234);
    assert_int_equal(guest->gic_writes[1], 1);
    assert_int_equal(guest->gic_value, 0x1234);
    msr(vcpu, SYSREG_ICC_SGI0R_EL1, 0x2345);
    msr(vcpu, SYSREG_ICC_ASGI1R_EL1, 0x3456);
    assert_int_equal(guest->gic_writes[0], 2);
    assert_int_equal(guest->gic_value, 0x3456);
    assert_int_equal(vsysreg_access(vcpu, iss(SYSREG_ICC_DIR_EL1, 31, false)), TRAP_NEXT);
    assert_int_equal(guest->gic_writes[2], 1);
    assert_int_equal(guest->gic_value, 0);
}

/* --- set/way --- */

static void set_way_flushes_once(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    for (unsigned i = 0; i < 1000; i++)
        msr(vcpu, SYSREG_DC_CISW, i << 6);
    assert_int_equal(guest->flushes, 1);
    assert_true(vcpu->hcr & TVM);
    assert_int_equal(get_reg(SYSREG_HCR_EL2), vcpu->hcr);
    assert_false(guest->vcpu[1]->hcr & TVM);
}

static void an_interrupted_flush_is_tried_again(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    guest->flush_interrupts = 2;
    assert_int_equal(vsysreg_access(vcpu, iss(SYSREG_DC_ISW, 1, false)), TRAP_RESUME);
    assert_int_equal(vsysreg_access(vcpu, iss(SYSREG_DC_ISW, 1, false)), TRAP_RESUME);
    assert_false(vcpu->hcr & TVM);
    assert_int_equal(vsysreg_access(vcpu, iss(SYSREG_DC_ISW, 1, false)), TRAP_NEXT);
    assert_true(vcpu->hcr & TVM);

    guest->flush_interrupts = 1;
    set_reg(SYSREG_SCTLR_EL1, 5);
    vcpu->regs.x[1] = 0;
    assert_int_equal(vsysreg_access(vcpu, iss(SYSREG_SCTLR_EL1, 1, false)), TRAP_RESUME);
    assert_int_equal(get_reg(SYSREG_SCTLR_EL1), 5);
    assert_int_equal(vsysreg_access(vcpu, iss(SYSREG_SCTLR_EL1, 1, false)), TRAP_NEXT);
    assert_int_equal(get_reg(SYSREG_SCTLR_EL1), 0);
}

static void set_way_with_fwb_is_nothing(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    vcpu->hcr |= FWB;
    msr(vcpu, SYSREG_DC_CSW, 0);
    assert_int_equal(guest->flushes, 0);
    assert_false(vcpu->hcr & TVM);
}

static void caches_off_and_on(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    set_reg(SYSREG_SCTLR_EL1, 5);
    msr(vcpu, SYSREG_DC_CISW, 0);
    msr(vcpu, SYSREG_SCTLR_EL1, 1); /* C off */
    assert_int_equal(guest->flushes, 2);
    msr(vcpu, SYSREG_SCTLR_EL1, 0); /* M off */
    msr(vcpu, SYSREG_SCTLR_EL1, 4); /* C alone does not count */
    assert_int_equal(guest->flushes, 2);
    assert_true(vcpu->hcr & TVM);
    msr(vcpu, SYSREG_SCTLR_EL1, 5);
    assert_int_equal(guest->flushes, 3);
    assert_false(vcpu->hcr & TVM);
    assert_int_equal(get_reg(SYSREG_SCTLR_EL1), 5);
    assert_int_equal(get_reg(SYSREG_HCR_EL2), vcpu->hcr);
}

static void trapped_controls_reach_the_cpu(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];
    static const uint32_t controls[] = {
        SYSREG_TTBR0_EL1, SYSREG_TTBR1_EL1,      SYSREG_TCR_EL1, SYSREG_AFSR0_EL1,
        SYSREG_AFSR1_EL1, SYSREG_ESR_EL1,        SYSREG_FAR_EL1, SYSREG_MAIR_EL1,
        SYSREG_AMAIR_EL1, SYSREG_CONTEXTIDR_EL1,
    };

    for (size_t i = 0; i < ARRAY_SIZE(controls); i++)
        msr(vcpu, controls[i], 0x1000 + i);
    for (size_t i = 0; i < ARRAY_SIZE(controls); i++)
        assert_int_equal(get_reg(controls[i]), 0x1000 + i);
}

/* --- debug --- */

static void os_lock(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    vdebug_reset(vcpu, false);
    assert_int_equal(mrs(vcpu, SYSREG_OSLSR_EL1), 0xa); /* OSLM = 0b10, locked */
    msr(vcpu, SYSREG_OSLAR_EL1, 0);
    assert_int_equal(mrs(vcpu, SYSREG_OSLSR_EL1), 0x8);
    msr(vcpu, SYSREG_OSLAR_EL1, 1);
    assert_int_equal(mrs(vcpu, SYSREG_OSLSR_EL1), 0xa);
}

static void inactive_debug_stays_in_memory(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    set_reg(SYSREG_MDSCR_EL1, 0);
    set_reg(SYSREG_DBGBVR3_EL1, 0);
    msr(vcpu, SYSREG_OSLAR_EL1, 0);
    msr(vcpu, SYSREG_MDSCR_EL1, 0x1000); /* TDCC, as Linux sets it at boot */
    msr(vcpu, SYSREG_DBGBVR3_EL1, 0x1234);
    msr(vcpu, SYSREG_DBGBCR3_EL1, UINT64_MAX);
    msr(vcpu, SYSREG_DBGWVR3_EL1, 0x5678);
    assert_int_equal(mrs(vcpu, SYSREG_MDSCR_EL1), 0x1000);
    assert_int_equal(mrs(vcpu, SYSREG_DBGBVR3_EL1), 0x1234);
    assert_int_equal(mrs(vcpu, SYSREG_DBGBCR3_EL1) & 0x1fff, 0x1e7 | 0);
    assert_int_equal(mrs(vcpu, SYSREG_DBGWVR3_EL1), 0x5678);
    assert_false(vcpu->debug.in_hardware);
    assert_int_equal(get_reg(SYSREG_MDSCR_EL1), 0);
    assert_int_equal(get_reg(SYSREG_DBGBVR3_EL1), 0);
    vdebug_put(vcpu);
    vdebug_load(vcpu);
    assert_int_equal(get_reg(SYSREG_DBGBVR3_EL1), 0);
}

static void activate(struct vcpu *vcpu)
{
    msr(vcpu, SYSREG_OSLAR_EL1, 0);
    msr(vcpu, SYSREG_DBGBVR5_EL1, 0x1234);
    msr(vcpu, SYSREG_DBGBCR5_EL1, 0x1e5);
    msr(vcpu, SYSREG_MDSCR_EL1, 0x8000);
}

static void active_debug_is_in_the_cpu(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    activate(vcpu);
    assert_true(vcpu->debug.in_hardware);
    assert_int_equal(get_reg(SYSREG_MDSCR_EL1), 0x8000);
    assert_int_equal(get_reg(SYSREG_DBGBVR5_EL1), 0x1234);
    assert_int_equal(get_reg(SYSREG_DBGBCR5_EL1), 0x1e5);
    assert_int_equal(get_reg(SYSREG_MDCR_EL2), guest->traps.mdcr & ~TDA);

    /* The guest now writes it without a trap, and another vCPU comes. */
    set_reg(SYSREG_DBGBVR5_EL1, 0x4321);
    vdebug_put(vcpu);
    assert_int_equal(get_reg(SYSREG_MDSCR_EL1), 0);
    assert_int_equal(get_reg(SYSREG_MDCR_EL2), guest->traps.mdcr);
    assert_true(vcpu->debug.in_hardware);
    set_reg(SYSREG_DBGBVR5_EL1, 0x9999);
    vdebug_load(vcpu);
    assert_int_equal(get_reg(SYSREG_DBGBVR5_EL1), 0x4321);
    assert_int_equal(get_reg(SYSREG_MDSCR_EL1), 0x8000);
    assert_int_equal(get_reg(SYSREG_MDCR_EL2), guest->traps.mdcr & ~TDA);
}

static void debug_goes_back_when_it_is_no_longer_active(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    activate(vcpu);
    set_reg(SYSREG_MDSCR_EL1, 0);
    vdebug_put(vcpu);
    assert_false(vcpu->debug.in_hardware);
    vdebug_load(vcpu);
    assert_int_equal(get_reg(SYSREG_MDCR_EL2), guest->traps.mdcr);
    assert_int_equal(mrs(vcpu, SYSREG_DBGBVR5_EL1), 0x1234);

    /* And when the OS lock is set. */
    activate(vcpu);
    assert_true(vcpu->debug.in_hardware);
    msr(vcpu, SYSREG_OSLAR_EL1, 1);
    assert_false(vcpu->debug.in_hardware);
    assert_int_equal(get_reg(SYSREG_MDSCR_EL1), 0);
    assert_int_equal(get_reg(SYSREG_MDCR_EL2), guest->traps.mdcr);
    assert_int_equal(mrs(vcpu, SYSREG_MDSCR_EL1), 0x8000);
    msr(vcpu, SYSREG_OSLAR_EL1, 0);
    assert_true(vcpu->debug.in_hardware);
}

static void reset_takes_debug_out_of_the_cpu(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    activate(vcpu);
    vdebug_reset(vcpu, true);
    assert_int_equal(get_reg(SYSREG_MDSCR_EL1), 0);
    assert_int_equal(get_reg(SYSREG_MDCR_EL2), guest->traps.mdcr);
    assert_true(vcpu->debug.os_locked);
    assert_int_equal(vcpu->debug.bvr[5], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(all_encodings),
        GUEST_TEST(id_registers_come_from_the_profile),
        GUEST_TEST(harmless_ones),
        GUEST_TEST(gic_writes_go_to_the_vgic),
        GUEST_TEST(set_way_flushes_once),
        GUEST_TEST(an_interrupted_flush_is_tried_again),
        GUEST_TEST(set_way_with_fwb_is_nothing),
        GUEST_TEST(caches_off_and_on),
        GUEST_TEST(trapped_controls_reach_the_cpu),
        GUEST_TEST(os_lock),
        GUEST_TEST(inactive_debug_stays_in_memory),
        GUEST_TEST(active_debug_is_in_the_cpu),
        GUEST_TEST(debug_goes_back_when_it_is_no_longer_active),
        GUEST_TEST(reset_takes_debug_out_of_the_cpu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
