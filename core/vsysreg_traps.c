/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EL2 controls that make vsysreg_id.c's promises true: what an ID register hides is trapped.
 * Bits of a feature that this CPU lacks are RES0 and stay 0. All control registers have UNKNOWN
 * reset values, so each one that exists is written, also where it has nothing to trap.
 */
#include "core/vsysreg.h"

#include "arch/sysreg.h"

static bool has(uint64_t value, uint64_t field)
{
    return (value & field) != 0;
}

static uint64_t hcr_for(uint64_t pfr0, uint64_t pfr1, bool fwb)
{
    uint64_t isar1 = read_id_aa64isar1_el1();
    uint64_t isar2 = read_id_aa64isar2_el1();
    uint64_t mmfr1 = read_id_aa64mmfr1_el1();

    /* Stage 2, 64-bit EL1, physical interrupts and SErrors to EL2; a set/way invalidate also
     * cleans; a table walk through device memory faults. */
    uint64_t hcr = HCR_EL2_VM | HCR_EL2_RW | HCR_EL2_FMO | HCR_EL2_IMO | HCR_EL2_AMO |
                   HCR_EL2_SWIO | HCR_EL2_PTW;

    /* A vCPU may move between its own TLBI, IC or DSB and what needs it: all of them broadcast. */
    hcr |= HCR_EL2_FB | FIELD_PREP(HCR_EL2_BSU, HCR_EL2_BSU_INNER);
    /* ID registers, SMC, implementation defined, ACTLR, set/way, WFI and WFE. */
    hcr |= HCR_EL2_TID3 | HCR_EL2_TSC | HCR_EL2_TIDCP | HCR_EL2_TACR | HCR_EL2_TSW | HCR_EL2_TWI |
           HCR_EL2_TWE;
    if (fwb)
        hcr |= HCR_EL2_FWB;
    if (has(mmfr1, ID_AA64MMFR1_EL1_LO))
        hcr |= HCR_EL2_TLOR;
    if (has(pfr0, ID_AA64PFR0_EL1_RAS))
        hcr |= HCR_EL2_TERR | HCR_EL2_TEA;
    if (FIELD_GET(ID_AA64PFR1_EL1_MTE, pfr1) >= 2)
        hcr |= HCR_EL2_TID5; /* and ATA stays 0: tag access is off */
    /* Offered: neither the keys nor the instructions are trapped. */
    if (has(isar1, ID_AA64ISAR1_EL1_APA | ID_AA64ISAR1_EL1_API) ||
        has(isar2, ID_AA64ISAR2_EL1_APA3))
        hcr |= HCR_EL2_APK | HCR_EL2_API;
    return hcr;
}

/* With HCR_EL2.E2H = 0. TZ and TSM are RES1 on a CPU without SVE or SME. */
static uint64_t cptr_for(uint64_t pfr0)
{
    uint64_t cptr = CPTR_EL2_RES1 | CPTR_EL2_TZ | CPTR_EL2_TSM | CPTR_EL2_TFP | CPTR_EL2_TTA;

    if (has(pfr0, ID_AA64PFR0_EL1_AMU))
        cptr |= CPTR_EL2_TAM;
    return cptr;
}

/*
 * E2PB and E2TB stay 0: EL1 accesses to the profiling and trace buffers trap. TDE stays 0: the
 * guest's debug exceptions go to its own EL1, and none can hit EL2.
 */
static uint64_t mdcr_for(uint64_t dfr0)
{
    uint64_t mdcr = MDCR_EL2_TDA | MDCR_EL2_TDOSA | MDCR_EL2_TDRA;
    uint64_t pmu = FIELD_GET(ID_AA64DFR0_EL1_PMUVER, dfr0);

    if (pmu != 0 && pmu != FIELD_MAX(ID_AA64DFR0_EL1_PMUVER))
        mdcr |= MDCR_EL2_TPM | MDCR_EL2_TPMCR |
                FIELD_PREP(MDCR_EL2_HPMN, FIELD_GET(PMCR_EL0_N, read_pmcr_el0()));
    if (has(dfr0, ID_AA64DFR0_EL1_PMSVER))
        mdcr |= MDCR_EL2_TPMS;
    if (has(dfr0, ID_AA64DFR0_EL1_TRACEFILT))
        mdcr |= MDCR_EL2_TTRF;
    if (has(read_id_aa64mmfr0_el1(), ID_AA64MMFR0_EL1_FGT))
        mdcr |= MDCR_EL2_TDCC;
    return mdcr;
}

static void mpam_for(uint64_t pfr0, uint64_t pfr1, struct trap_controls *controls)
{
    uint64_t idr;

    controls->has_mpam = has(pfr0, ID_AA64PFR0_EL1_MPAM) || has(pfr1, ID_AA64PFR1_EL1_MPAM_FRAC);
    if (!controls->has_mpam)
        return;
    idr = read_mpamidr_el1();
    controls->mpam2 = MPAM2_EL2_TRAPMPAM0EL1 | MPAM2_EL2_TRAPMPAM1EL1;
    if (has(idr, MPAMIDR_EL1_HAS_TIDR))
        controls->mpam2 |= MPAM2_EL2_TIDR;
    controls->has_mpamhcr = has(idr, MPAMIDR_EL1_HAS_HCR);
    if (controls->has_mpamhcr)
        controls->mpamhcr = MPAMHCR_EL2_TRAP_MPAMIDR_EL1;
}

void trap_controls_init(struct trap_controls *ret_controls, bool fwb)
{
    uint64_t pfr0 = read_id_aa64pfr0_el1();
    uint64_t pfr1 = read_id_aa64pfr1_el1();
    uint64_t fgt = FIELD_GET(ID_AA64MMFR0_EL1_FGT, read_id_aa64mmfr0_el1());
    struct trap_controls controls = {
        .hcr = hcr_for(pfr0, pfr1, fwb),
        .cptr = cptr_for(pfr0),
        .mdcr = mdcr_for(read_id_aa64dfr0_el1()),
        .cnthctl = 0, /* EL1PCTEN = EL1PCEN = 0: trapped; no event stream of EL2's */
        .hstr = 0,    /* EL1 is AArch64: nothing to trap by CP15 register */
        .hcrx = 0,    /* each bit that enables something for EL1 is 0 */
        .has_hcrx = has(read_id_aa64mmfr1_el1(), ID_AA64MMFR1_EL1_HCX),
        .has_fgt = fgt >= 1,
        .has_fgt2 = fgt >= 2,
        .has_amu = has(pfr0, ID_AA64PFR0_EL1_AMU),
    };

    mpam_for(pfr0, pfr1, &controls);
    *ret_controls = controls;
}

static void load_fgt(const struct trap_controls *controls)
{
    if (controls->has_fgt) {
        write_hfgrtr_el2(0);
        write_hfgwtr_el2(0);
        write_hfgitr_el2(0);
        write_hdfgrtr_el2(0);
        write_hdfgwtr_el2(0);
        if (controls->has_amu)
            write_hafgrtr_el2(0);
    }
    if (controls->has_fgt2) {
        write_hfgrtr2_el2(0);
        write_hfgwtr2_el2(0);
        write_hfgitr2_el2(0);
        write_hdfgrtr2_el2(0);
        write_hdfgwtr2_el2(0);
    }
}

void trap_controls_load(const struct trap_controls *controls)
{
    write_mdcr_el2(controls->mdcr);
    write_cnthctl_el2(controls->cnthctl);
    write_hstr_el2(controls->hstr);
    if (controls->has_hcrx)
        write_hcrx_el2(controls->hcrx);
    if (controls->has_mpam)
        write_mpam2_el2(controls->mpam2);
    if (controls->has_mpamhcr)
        write_mpamhcr_el2(controls->mpamhcr);
    load_fgt(controls);
}
