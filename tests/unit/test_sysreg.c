/* SPDX-License-Identifier: Apache-2.0 */
/* The generated register headers and the field macros, against positions written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/sysreg.h"
#include "arch/sysreg_asserts.h"
#include "bothy/bits.h"
#include "bothy/esr.h"
#include "bothy/status.h"
#include "bothy/types.h"

/* The field macros are constant expressions. */
static const uint64_t constant = FIELD_PREP(VTCR_EL2_PS, 5) | FIELD_PREP(VTTBR_EL2_VMID, 7);
_Static_assert(FIELD_GET(HCR_EL2_RW, BIT(31)) == 1, "FIELD_GET");
_Static_assert(GENMASK(63, 0) == UINT64_MAX && GENMASK(0, 0) == 1, "GENMASK");

/* HCR_EL2 as the design states it, because it is often misquoted. */
static void test_hcr(void **state)
{
    (void)state;
    assert_int_equal(HCR_EL2_VM, 1u << 0);
    assert_int_equal(HCR_EL2_SWIO, 1u << 1);
    assert_int_equal(HCR_EL2_FMO, 1u << 3);
    assert_int_equal(HCR_EL2_IMO, 1u << 4);
    assert_int_equal(HCR_EL2_AMO, 1u << 5);
    assert_int_equal(HCR_EL2_TWI, 1u << 13);
    assert_int_equal(HCR_EL2_TWE, 1u << 14);
    assert_int_equal(HCR_EL2_TID3, 1u << 18);
    assert_int_equal(HCR_EL2_TSC, 1u << 19);
    assert_int_equal(HCR_EL2_TIDCP, 1u << 20);
    assert_int_equal(HCR_EL2_TACR, 1u << 21);
    assert_int_equal(HCR_EL2_TSW, 1u << 22);
    assert_int_equal(HCR_EL2_TVM, 1u << 26);
    assert_int_equal(HCR_EL2_TGE, 1u << 27);
    assert_int_equal(HCR_EL2_TDZ, 1u << 28);
    assert_int_equal(HCR_EL2_HCD, 1u << 29);
    assert_int_equal(HCR_EL2_TRVM, 1u << 30);
    assert_true(HCR_EL2_RW == UINT64_C(0x80000000));
    assert_true(HCR_EL2_E2H == UINT64_C(0x400000000));
    assert_true(HCR_EL2_APK == UINT64_C(0x10000000000));
    assert_true(HCR_EL2_API == UINT64_C(0x20000000000));
    assert_true(HCR_EL2_FWB == UINT64_C(0x400000000000));
    assert_true(HCR_EL2_TWEDEL == UINT64_C(0xf000000000000000));
}

static void test_stage2(void **state)
{
    (void)state;
    assert_true(VTTBR_EL2_VMID == UINT64_C(0xffff000000000000));
    assert_int_equal(VTTBR_EL2_VMID_SHIFT, 48);
    assert_int_equal(VTTBR_EL2_VMID_WIDTH, 16);
    assert_true(VTCR_EL2_RES1 == UINT64_C(0x80000000));
    assert_int_equal(VTCR_EL2_VS, 1 << 19);
    assert_int_equal(S2_PTE_MEMATTR, 0xf << 2);
    assert_int_equal(S2_PTE_S2AP, 3 << 6);
    assert_int_equal(S2_PTE_SH, 3 << 8);
    assert_int_equal(S2_PTE_AF, 1 << 10);
    assert_true(S2_PTE_XN == UINT64_C(3) << 53);
    assert_true(S2_PTE_OA == UINT64_C(0x0000fffffffff000));
    assert_true(S1_PTE_XN == UINT64_C(1) << 54);
    assert_int_equal(SCTLR_EL2_RES1 | SCTLR_EL2_EIS | SCTLR_EL2_EOS, 0x30c50830);
    assert_int_equal(CPTR_EL2_RES1 | CPTR_EL2_TSM, 0x32ff);
    assert_true(HPFAR_EL2_FIPA == UINT64_C(0x0000fffffffffff0));
}

static void test_gic(void **state)
{
    (void)state;
    assert_true(ICH_LR_EL2_STATE == UINT64_C(3) << 62);
    assert_true(ICH_LR_EL2_HW == UINT64_C(1) << 61);
    assert_true(ICH_LR_EL2_GROUP == UINT64_C(1) << 60);
    assert_true(ICH_LR_EL2_PRIORITY == UINT64_C(0xff) << 48);
    assert_true(ICH_LR_EL2_EOI == UINT64_C(1) << 41);
    assert_true(ICH_LR_EL2_PINTID_SHIFT == 32);
    assert_int_equal(ICH_HCR_EL2_TDIR, 1 << 14);
    assert_true(ICH_HCR_EL2_EOICOUNT == UINT64_C(0xf8000000));
    assert_int_equal(SYSREG_ICH_LR0_EL2, SYSREG_ENC(3, 4, 12, 12, 0));
    assert_int_equal(SYSREG_ICH_LR15_EL2, SYSREG_ENC(3, 4, 12, 13, 7));
    assert_int_equal(SYSREG_ICC_AP0R3_EL1, SYSREG_ENC(3, 0, 12, 8, 7));
    assert_true(ICC_SGI1R_EL1_IRM == UINT64_C(1) << 40);
}

static void test_encodings(void **state)
{
    uint32_t id = SYSREG_HCR_EL2;

    (void)state;
    assert_int_equal(id, 0xe088);
    assert_int_equal(SYSREG_OP0(id), 3);
    assert_int_equal(SYSREG_OP1(id), 4);
    assert_int_equal(SYSREG_CRN(id), 1);
    assert_int_equal(SYSREG_CRM(id), 1);
    assert_int_equal(SYSREG_OP2(id), 0);
    assert_int_equal(SYSREG_PMEVCNTR30_EL0, SYSREG_ENC(3, 3, 14, 11, 6));
    assert_int_equal(SYSREG_DC_CISW, SYSREG_ENC(1, 0, 7, 14, 2));
    assert_int_equal(SYSREG_DBGDTRRX_EL0, SYSREG_DBGDTRTX_EL0);
}

/* Each row packs into its id, and an id has one name but for the pair that shares one. */
static void test_table(void **state)
{
    static const struct {
        uint32_t id, op0, op1, crn, crm, op2;
    } rows[] = {
#define SYSREG_ROW(name, op0, op1, crn, crm, op2) {SYSREG_##name, op0, op1, crn, crm, op2},
#include "arch/sysreg_table.inc"
#undef SYSREG_ROW
    };
    size_t same = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(rows[i].id, SYSREG_ENC(rows[i].op0, rows[i].op1, rows[i].crn,
                                                rows[i].crm, rows[i].op2));
        for (size_t j = 0; j < i; j++) {
            same += rows[i].id == rows[j].id ? 1U : 0U;
        }
    }
    assert_true(ARRAY_SIZE(rows) > 450);
    assert_int_equal(same, 1);
}

static void test_fields(void **state)
{
    uint64_t iss = FIELD_PREP(ISS_DABT_SRT, 17) | FIELD_PREP(ISS_DABT_SAS, ISS_DABT_SAS_WORD);

    (void)state;
    assert_true(constant == (UINT64_C(5) << 16 | UINT64_C(7) << 48));
    assert_int_equal(FIELD_GET(ISS_DABT_SRT, iss), 17);
    assert_int_equal(FIELD_GET(ISS_DABT_SAS, iss), 2);
    iss = FIELD_SET(iss, ISS_DABT_SRT, 31);
    assert_int_equal(FIELD_GET(ISS_DABT_SRT, iss), 31);
    assert_int_equal(FIELD_GET(ISS_DABT_SAS, iss), 2);
    assert_int_equal(FIELD_PREP(ISS_DABT_SRT, 33), 1 << 16); /* does not spill */
    assert_int_equal(FIELD_MAX(ISS_DABT_SRT), 31);
    assert_int_equal(FSC_KIND(0x0eU), FSC_PERMISSION);
    assert_int_equal(FSC_LEVEL(0x0eU), 2);
}

static void test_bits(void **state)
{
    struct pair {
        int a, b;
    } pair = {1, 2};
    uint64_t big = UINT64_C(0x100000fff);

    (void)state;
    assert_true(ALIGN_DOWN(big, 4096) == UINT64_C(0x100000000)); /* the mask is 64 bits wide */
    assert_true(ALIGN_UP(big, 4096u) == UINT64_C(0x100001000));
    assert_true(IS_ALIGNED(UINT64_C(0x1000), 4096) && !IS_ALIGNED(big, 4096));
    assert_true(IS_POWER_OF_2(64u) && !IS_POWER_OF_2(0u) && !IS_POWER_OF_2(6u));
    assert_int_equal(MIN(3, 4), 3);
    assert_int_equal(MAX(3, 4), 4);
    assert_int_equal(DIV_ROUND_UP(7, 4), 2);
    assert_int_equal(bits_first(0x18), 3);
    assert_int_equal(bits_last(0x18), 4);
    assert_int_equal(bits_last(UINT64_MAX), 63);
    assert_ptr_equal(CONTAINER_OF(&pair.b, struct pair, b), &pair);
    assert_true(GIB(4) == UINT64_C(0x100000000));
}

static void test_names(void **state)
{
    (void)state;
    for (int i = STATUS_OK; i <= STATUS_IO; i++) {
        assert_string_not_equal(status_name((enum status)i), "unknown status");
    }
    assert_string_equal(status_name((enum status)99), "unknown status");
    assert_true(pa_add(pa(0x1000), 8).pa == 0x1008 && ipa_add(ipa(2), 3).ipa == 5);
    assert_true(va(7).va == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hcr),    cmocka_unit_test(test_stage2),
        cmocka_unit_test(test_gic),    cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_table),  cmocka_unit_test(test_fields),
        cmocka_unit_test(test_bits),   cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("sysreg", tests, NULL, NULL);
}
