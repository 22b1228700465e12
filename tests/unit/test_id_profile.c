/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest reads in its ID registers, nibble by nibble, from the documentation and as numbers;
 * and that each hidden feature of the CPU is trapped.
 */
#include "tests/support/core_guest.h"

#include "core/vsysreg.h"

#define H 0x00u            /* hidden: 0 */
#define M(n) (0x10u | (n)) /* at most n */
#define S(n) (0x20u | (n)) /* the same, signed */
#define F(n) (0x40u | (n)) /* always n */

struct id_doc {
    unsigned crm, op2;
    uint8_t field[16]; /* from bits 3:0 upwards */
};

static const struct id_doc docs[] = {
    /* PFR0: EL0 EL1 EL2 EL3, FP AdvSIMD GIC RAS, SVE SEL2 MPAM AMU, DIT RME CSV2 CSV3 */
    {4, 0, {M(2), F(1), H, H, S(1), S(1), F(1), H, H, H, H, H, M(1), H, M(1), M(1)}},
    /* PFR1: BT SSBS MTE RAS_frac, MPAM_frac - SME RNDR_trap, ... */
    {4, 1, {M(1), M(2)}},
    /* PFR2, ZFR0, SMFR0, FPFR0 */
    {4, 2, {H}},
    {4, 4, {H}},
    {4, 5, {H}},
    {4, 7, {H}},
    /* DFR0: DebugVer TraceVer PMUVer BRPs, PMSS WRPs SEBEP CTX_CMPs, PMSVer DoubleLock ... */
    {5, 0, {M(8), H, H, M(15), H, M(15), H, M(15), H, F(15)}},
    {5, 1, {H}},
    {5, 4, {H}},
    {5, 5, {H}},
    /* ISAR0: - AES SHA1 SHA2, CRC32 Atomic TME RDM, SHA3 SM3 SM4 DP, FHM TS TLB RNDR */
    {6,
     0,
     {H, M(2), M(1), M(2), M(1), M(2), H, M(1), M(1), M(1), M(1), M(1), M(1), M(2), M(2), M(1)}},
    /* ISAR1: DPB APA API JSCVT, FCMA LRCPC GPA GPI, FRINTTS SB SPECRES BF16, DGH I8MM XS LS64 */
    {6,
     1,
     {M(2), M(5), M(5), M(1), M(1), M(2), M(1), M(1), M(1), M(1), M(1), M(1), M(1), M(1), M(1), H}},
    /* ISAR2: WFxT RPRES GPA3 APA3, MOPS BC PAC_frac CLRBHB, .. .. .. .., RPRFM CSSC LUT ATS1A */
    {6, 2, {H, M(1), M(1), M(5), H, M(1), M(1), M(1), H, H, H, H, H, M(1)}},
    {6, 3, {H}},
    /* MMFR0: PARange ASIDBits BigEnd SNSMem, BigEndEL0 TGran16 TGran64 TGran4, stage 2, ExS FGT */
    {7, 0, {M(5), M(2), M(1), H, M(1), M(1), S(0), S(0), H, H, H, M(1)}},
    /* MMFR1: HAFDBS VMIDBits VH HPDS, LO PAN SpecSEI XNX, TWED ETS HCX AFP, nTLBPA TIDCP1 CMOW
     * ECBHB */
    {7, 1, {M(2), H, H, M(2), H, M(3), M(1), H, H, M(2), H, M(1), M(1), M(1), M(1), M(1)}},
    /* MMFR2: CnP UAO LSM IESB, VARange CCIDX NV ST, AT IDS FWB -, TTL BBM EVT E0PD */
    {7, 2, {M(1), M(1), M(1), H, M(1), M(1), H, M(1), M(1), M(1), H, H, M(1), M(2), H, M(1)}},
    /* MMFR3: TCRX SCTLRX S1PIE ... Spec_FPACC */
    {7, 3, {[15] = M(1)}},
    {7, 4, {H}},
};

static unsigned expected(uint8_t rule, unsigned host)
{
    unsigned limit = rule & 15;

    switch (rule & ~15u) {
    case S(0):
        /* 8..15 are negative. */
        return (host ^ 8) < (limit ^ 8) ? host : limit;
    case M(0):
        return host < limit ? host : limit;
    case F(0):
        return limit;
    default:
        return 0;
    }
}

static void check_profile(const struct id_profile *profile, unsigned ipa_range)
{
    for (size_t i = 0; i < ARRAY_SIZE(docs); i++) {
        const struct id_doc *doc = &docs[i];
        uint64_t host = get_id(doc->crm, doc->op2);

        for (unsigned n = 0; n < 16; n++) {
            unsigned want = expected(doc->field[n], (unsigned)(host >> (4 * n) & 15));

            if (doc->crm == 7 && doc->op2 == 0 && n == 0 && want > ipa_range)
                want = ipa_range;
            if ((profile->reg[doc->crm][doc->op2] >> (4 * n) & 15) != want)
                fail_msg("C%u op2 %u bits %u: host %llx, guest %llx", doc->crm, doc->op2, 4 * n,
                         (unsigned long long)host,
                         (unsigned long long)profile->reg[doc->crm][doc->op2]);
        }
    }
    for (unsigned op2 = 0; op2 < 8; op2++)
        assert_int_equal(profile->reg[0][op2], 0);
}

static void every_field_is_as_documented(void **state)
{
    struct id_profile profile;
    uint64_t random = 88172645463325252;

    (void)state;
    for (unsigned value = 0; value < 16; value++) {
        fill_ids(value * UINT64_C(0x1111111111111111));
        id_profile_init(&profile, 48);
        check_profile(&profile, 5);
    }
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned crm = 1; crm < 8; crm++) {
            for (unsigned op2 = 0; op2 < 8; op2++) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                set_id(crm, op2, random);
            }
        }
        id_profile_init(&profile, 40);
        check_profile(&profile, 2);
    }
}

static void unallocated_registers_are_zero(void **state)
{
    static const uint8_t known[8] = {
        [1] = 0xff, [2] = 0xff, [3] = 0x77, [4] = 0x03, [5] = 0x01, [6] = 0x07, [7] = 0x0f,
    };
    struct id_profile profile;

    (void)state;
    fill_ids(UINT64_MAX);
    id_profile_init(&profile, 48);
    for (unsigned crm = 0; crm < 8; crm++) {
        for (unsigned op2 = 0; op2 < 8; op2++) {
            if (!(known[crm] >> op2 & 1))
                assert_int_equal(profile.reg[crm][op2], 0);
        }
    }
}

static void physical_range_follows_the_ipa_size(void **state)
{
    static const struct {
        unsigned ipa_bits, range;
    } sizes[] = {{32, 0}, {35, 0}, {36, 1}, {39, 1}, {40, 2}, {42, 3}, {44, 4}, {47, 4}, {48, 5}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct id_profile profile;

        fill_ids(0);
        set_id(7, 0, 6);
        id_profile_init(&profile, sizes[i].ipa_bits);
        assert_int_equal(profile.reg[7][0] & 15, sizes[i].range);
        set_id(7, 0, 1);
        id_profile_init(&profile, sizes[i].ipa_bits);
        assert_int_equal(profile.reg[7][0] & 15, sizes[i].range < 1 ? 0 : 1);
    }
}

static void aarch32_is_shown_only_where_el0_has_it(void **state)
{
    struct id_profile profile;

    (void)state;
    fill_ids(0x11111111);
    set_id(4, 0, 0x11);
    id_profile_init(&profile, 48);
    for (unsigned crm = 1; crm < 4; crm++) {
        for (unsigned op2 = 0; op2 < 8; op2++)
            assert_int_equal(profile.reg[crm][op2], 0);
    }

    fill_ids(UINT64_C(0xffffffffffffffff));
    set_id(4, 0, 0x22);
    id_profile_init(&profile, 48);
    assert_int_equal(profile.reg[4][0] & 0xff, 0x12); /* EL1 is AArch64 all the same */
    assert_int_equal(profile.reg[1][0], 0x0f0fffff);  /* PFR0 without RAS and AMU */
    assert_int_equal(profile.reg[1][1], 0x000f0f0f);  /* PFR1: GenTimer, MProgMod, ProgMod */
    assert_int_equal(profile.reg[1][2], 0x000000ff);  /* DFR0: CopDbg, CopSDbg */
    assert_int_equal(profile.reg[1][3], 0);           /* AFR0 */
    assert_int_equal(profile.reg[2][6], 0x0fffffff);  /* MMFR4 without EVT */
    assert_int_equal(profile.reg[2][0], 0xffffffff);
    assert_int_equal(profile.reg[3][4], 0xfffff0ff); /* PFR2 without RAS_frac */
    assert_int_equal(profile.reg[3][5], 0);          /* DFR1 */
}

static void merging_takes_the_lesser(void **state)
{
    struct id_profile a, b;

    (void)state;
    fill_ids(0);
    set_id(4, 0, UINT64_C(0x000f000000110011) & ~UINT64_C(0xf0000)); /* FP, no AdvSIMD line */
    set_id(6, 0, 0x0000000000211120);
    id_profile_init(&a, 48);
    set_id(4, 0, 0x0000000000ff0011);
    set_id(6, 0, 0x0000000000111210);
    id_profile_init(&b, 48);
    id_profile_merge(&a, &b);
    assert_int_equal(a.reg[4][0], 0x0000000001ff0011);
    assert_int_equal(a.reg[6][0], 0x0000000000111110);
}

/* --- traps --- */

static void traps_of_a_plain_core(void **state)
{
    struct trap_controls controls;

    (void)state;
    fill_ids(0);
    trap_controls_init(&controls, false);
    /* VM SWIO PTW FMO IMO AMO FB BSU=1 TWI TWE TID3 TSC TIDCP TACR TSW RW, and no bit of a later
     * extension. */
    assert_int_equal(controls.hcr, 0x807c663f);
    assert_int_equal(controls.cptr, 0x001037ff);
    assert_int_equal(controls.mdcr, 0x0e00);
    assert_int_equal(controls.cnthctl, 0);
    assert_int_equal(controls.hstr, 0);
    assert_false(controls.has_hcrx || controls.has_fgt || controls.has_fgt2 || controls.has_amu ||
                 controls.has_mpam || controls.has_mpamhcr);
}

static uint64_t hcr_with(unsigned op2_crm, uint64_t value)
{
    struct trap_controls controls;

    fill_ids(0);
    set_id(op2_crm >> 4, op2_crm & 15, value);
    trap_controls_init(&controls, false);
    return controls.hcr & ~UINT64_C(0xffffffff);
}

static void traps_of_extensions_in_hcr(void **state)
{
    struct trap_controls controls;

    (void)state;
    assert_int_equal(hcr_with(0x71, UINT64_C(1) << 16), UINT64_C(1) << 35); /* LO: TLOR */
    assert_int_equal(hcr_with(0x40, UINT64_C(1) << 28), UINT64_C(3) << 36); /* RAS: TERR, TEA */
    assert_int_equal(hcr_with(0x41, UINT64_C(2) << 8), UINT64_C(1) << 58);  /* MTE: TID5 */
    assert_int_equal(hcr_with(0x61, UINT64_C(1) << 4), UINT64_C(3) << 40);  /* APA: API, APK */
    assert_int_equal(hcr_with(0x61, UINT64_C(1) << 8), UINT64_C(3) << 40);
    assert_int_equal(hcr_with(0x62, UINT64_C(1) << 12), UINT64_C(3) << 40);
    assert_int_equal(hcr_with(0x72, UINT64_C(1) << 40), 0); /* FWB only if stage 2 uses it */
    trap_controls_init(&controls, true);
    assert_int_equal(controls.hcr >> 32, UINT64_C(1) << 14);
}

static void traps_of_extensions_elsewhere(void **state)
{
    struct trap_controls controls;

    (void)state;
    fill_ids(0);
    set_id(5, 0, UINT64_C(0x0000010100000600)); /* TraceFilt, PMSVer, PMUVer */
    set_reg(SYSREG_PMCR_EL0, 6 << 11);
    trap_controls_init(&controls, false);
    assert_int_equal(controls.mdcr, 0x84e66); /* TTRF TPMS TDOSA TDRA TDA TPM TPMCR HPMN=6 */

    fill_ids(0);
    set_id(5, 0, 0xf00); /* a PMU of the vendor's own */
    set_id(7, 0, UINT64_C(2) << 56);
    set_id(7, 1, UINT64_C(1) << 40);
    set_id(4, 0, UINT64_C(1) << 44);
    trap_controls_init(&controls, false);
    assert_int_equal(controls.mdcr, 0x08000e00); /* TDCC */
    assert_int_equal(controls.cptr, 0x401037ff); /* TAM */
    assert_true(controls.has_fgt && controls.has_fgt2 && controls.has_hcrx && controls.has_amu);

    fill_ids(0);
    set_id(4, 1, UINT64_C(1) << 16); /* MPAM_frac */
    set_reg(SYSREG_MPAMIDR_EL1, UINT64_C(1) << 58 | UINT64_C(1) << 17);
    trap_controls_init(&controls, false);
    assert_true(controls.has_mpam && controls.has_mpamhcr);
    assert_int_equal(controls.mpam2, UINT64_C(3) << 48 | UINT64_C(1) << 58);
    assert_int_equal(controls.mpamhcr, UINT64_C(1) << 31);
}

static void loading_writes_what_exists(void **state)
{
    struct trap_controls controls;

    (void)state;
    fill_ids(UINT64_C(0x1111111111111111));
    set_id(7, 0, UINT64_C(2) << 56);
    set_reg(SYSREG_PMCR_EL0, 0);
    set_reg(SYSREG_MPAMIDR_EL1, UINT64_C(1) << 17);
    trap_controls_init(&controls, false);
    trap_controls_load(&controls);
    assert_int_equal(get_reg(SYSREG_MDCR_EL2), controls.mdcr);
    assert_int_equal(get_reg(SYSREG_CNTHCTL_EL2), 0);
    assert_int_equal(get_reg(SYSREG_HSTR_EL2), 0);
    assert_int_equal(get_reg(SYSREG_HCRX_EL2), 0);
    assert_int_equal(get_reg(SYSREG_MPAM2_EL2), controls.mpam2);
    assert_int_equal(get_reg(SYSREG_MPAMHCR_EL2), controls.mpamhcr);
    assert_int_equal(get_reg(SYSREG_HFGRTR_EL2), 0);
    assert_int_equal(get_reg(SYSREG_HDFGWTR2_EL2), 0);
    assert_int_equal(get_reg(SYSREG_HAFGRTR_EL2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(every_field_is_as_documented),
        GUEST_TEST(unallocated_registers_are_zero),
        GUEST_TEST(physical_range_follows_the_ipa_size),
        GUEST_TEST(aarch32_is_shown_only_where_el0_has_it),
        GUEST_TEST(merging_takes_the_lesser),
        GUEST_TEST(traps_of_a_plain_core),
        GUEST_TEST(traps_of_extensions_in_hcr),
        GUEST_TEST(traps_of_extensions_elsewhere),
        GUEST_TEST(loading_writes_what_exists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
