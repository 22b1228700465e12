/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ID registers that guests read. One row a field: a field that has no row is 0, so that a
 * feature which is newer than this table stays hidden. Beside the features that nobody offers here
 * (SVE, SME, MTE, AMU, MPAM, RAS, PMU, SPE, TRBE, trace, LORegions, ...), hidden are those that
 * need a control register which EL2 keeps at 0 (HCRX_EL2) or state that is not switched (SCXTNUM,
 * TCR2, PIR, POR). vsysreg_traps.c has the traps that go with it.
 */
#include "core/vsysreg.h"

#include "arch/sysreg.h"

enum id_rule {
    UPTO,   /* the lesser of CPU and limit, unsigned */
    SIGNED, /* the same for a signed field: 0xf is less than 0 */
    FIXED,  /* limit, whatever the CPU has */
};

struct id_field {
    uint16_t reg;
    uint8_t shift;
    uint8_t rule; /* enum id_rule */
    uint8_t limit;
};

#define ID(reg, field, rule, limit)                      \
    {                                                    \
        SYSREG_##reg, reg##_##field##_SHIFT, rule, limit \
    }

#define ID_FIELD_MASK 0xfu

static const struct id_field fields[] = {
    /* EL1 is AArch64 only; no EL2, no EL3. */
    ID(ID_AA64PFR0_EL1, EL0, UPTO, 2),
    ID(ID_AA64PFR0_EL1, EL1, FIXED, 1),
    ID(ID_AA64PFR0_EL1, FP, SIGNED, 1),
    ID(ID_AA64PFR0_EL1, ADVSIMD, SIGNED, 1),
    ID(ID_AA64PFR0_EL1, GIC, FIXED, 1),
    ID(ID_AA64PFR0_EL1, DIT, UPTO, 1),
    ID(ID_AA64PFR0_EL1, CSV2, UPTO, 1), /* 2 and up have SCXTNUM */
    ID(ID_AA64PFR0_EL1, CSV3, UPTO, 1),

    ID(ID_AA64PFR1_EL1, BT, UPTO, 1),
    ID(ID_AA64PFR1_EL1, SSBS, UPTO, 2),

    ID(ID_AA64DFR0_EL1, DEBUGVER, UPTO, 8),
    ID(ID_AA64DFR0_EL1, BRPS, UPTO, 15),
    ID(ID_AA64DFR0_EL1, WRPS, UPTO, 15),
    ID(ID_AA64DFR0_EL1, CTX_CMPS, UPTO, 15),
    ID(ID_AA64DFR0_EL1, DOUBLELOCK, FIXED, 15), /* not implemented */

    ID(ID_AA64ISAR0_EL1, AES, UPTO, 2),
    ID(ID_AA64ISAR0_EL1, SHA1, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, SHA2, UPTO, 2),
    ID(ID_AA64ISAR0_EL1, CRC32, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, ATOMIC, UPTO, 2),
    ID(ID_AA64ISAR0_EL1, RDM, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, SHA3, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, SM3, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, SM4, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, DP, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, FHM, UPTO, 1),
    ID(ID_AA64ISAR0_EL1, TS, UPTO, 2),
    ID(ID_AA64ISAR0_EL1, TLB, UPTO, 2),
    ID(ID_AA64ISAR0_EL1, RNDR, UPTO, 1),

    ID(ID_AA64ISAR1_EL1, DPB, UPTO, 2),
    ID(ID_AA64ISAR1_EL1, APA, UPTO, 5),
    ID(ID_AA64ISAR1_EL1, API, UPTO, 5),
    ID(ID_AA64ISAR1_EL1, JSCVT, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, FCMA, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, LRCPC, UPTO, 2),
    ID(ID_AA64ISAR1_EL1, GPA, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, GPI, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, FRINTTS, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, SB, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, SPECRES, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, BF16, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, DGH, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, I8MM, UPTO, 1),
    ID(ID_AA64ISAR1_EL1, XS, UPTO, 1),

    ID(ID_AA64ISAR2_EL1, RPRES, UPTO, 1),
    ID(ID_AA64ISAR2_EL1, GPA3, UPTO, 1),
    ID(ID_AA64ISAR2_EL1, APA3, UPTO, 5),
    ID(ID_AA64ISAR2_EL1, BC, UPTO, 1),
    ID(ID_AA64ISAR2_EL1, PAC_FRAC, UPTO, 1),
    ID(ID_AA64ISAR2_EL1, CLRBHB, UPTO, 1),
    ID(ID_AA64ISAR2_EL1, CSSC, UPTO, 1),

    ID(ID_AA64MMFR0_EL1, PARANGE, UPTO, 5), /* and what id_profile_init() was given */
    ID(ID_AA64MMFR0_EL1, ASIDBITS, UPTO, 2),
    ID(ID_AA64MMFR0_EL1, BIGEND, UPTO, 1),
    ID(ID_AA64MMFR0_EL1, BIGENDEL0, UPTO, 1),
    ID(ID_AA64MMFR0_EL1, TGRAN16, UPTO, 1), /* no 52-bit addresses */
    ID(ID_AA64MMFR0_EL1, TGRAN64, SIGNED, 0),
    ID(ID_AA64MMFR0_EL1, TGRAN4, SIGNED, 0),
    ID(ID_AA64MMFR0_EL1, EXS, UPTO, 1),

    ID(ID_AA64MMFR1_EL1, HAFDBS, UPTO, 2),
    ID(ID_AA64MMFR1_EL1, HPDS, UPTO, 2),
    ID(ID_AA64MMFR1_EL1, PAN, UPTO, 3),
    ID(ID_AA64MMFR1_EL1, SPECSEI, UPTO, 1),
    ID(ID_AA64MMFR1_EL1, ETS, UPTO, 2),
    ID(ID_AA64MMFR1_EL1, AFP, UPTO, 1),
    ID(ID_AA64MMFR1_EL1, NTLBPA, UPTO, 1),
    ID(ID_AA64MMFR1_EL1, TIDCP1, UPTO, 1),
    ID(ID_AA64MMFR1_EL1, CMOW, UPTO, 1),
    ID(ID_AA64MMFR1_EL1, ECBHB, UPTO, 1),

    ID(ID_AA64MMFR2_EL1, CNP, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, UAO, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, LSM, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, VARANGE, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, CCIDX, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, ST, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, AT, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, IDS, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, TTL, UPTO, 1),
    ID(ID_AA64MMFR2_EL1, BBM, UPTO, 2),
    ID(ID_AA64MMFR2_EL1, E0PD, UPTO, 1),

    ID(ID_AA64MMFR3_EL1, SPEC_FPACC, UPTO, 1),
};

/* AArch32, for EL0 only: whole registers but for what is hidden from EL1 as well. */
struct id_aarch32 {
    uint16_t reg;
    uint64_t hidden;
};

static const struct id_aarch32 aarch32[] = {
    {SYSREG_ID_PFR0_EL1, ID_PFR0_EL1_RAS | ID_PFR0_EL1_AMU},
    {SYSREG_ID_PFR1_EL1, ID_PFR1_EL1_GIC | ID_PFR1_EL1_VIRT_FRAC | ID_PFR1_EL1_SEC_FRAC |
                             ID_PFR1_EL1_VIRTUALIZATION | ID_PFR1_EL1_SECURITY},
    {SYSREG_ID_DFR0_EL1, ID_DFR0_EL1_TRACEFILT | ID_DFR0_EL1_PERFMON | ID_DFR0_EL1_MPROFDBG |
                             ID_DFR0_EL1_MMAPTRC | ID_DFR0_EL1_COPTRC | ID_DFR0_EL1_MMAPDBG},
    {SYSREG_ID_MMFR0_EL1, 0},
    {SYSREG_ID_MMFR1_EL1, 0},
    {SYSREG_ID_MMFR2_EL1, 0},
    {SYSREG_ID_MMFR3_EL1, 0},
    {SYSREG_ID_MMFR4_EL1, ID_MMFR4_EL1_EVT},
    {SYSREG_ID_MMFR5_EL1, 0},
    {SYSREG_ID_ISAR0_EL1, 0},
    {SYSREG_ID_ISAR1_EL1, 0},
    {SYSREG_ID_ISAR2_EL1, 0},
    {SYSREG_ID_ISAR3_EL1, 0},
    {SYSREG_ID_ISAR4_EL1, 0},
    {SYSREG_ID_ISAR5_EL1, 0},
    {SYSREG_ID_ISAR6_EL1, 0},
    {SYSREG_MVFR0_EL1, 0},
    {SYSREG_MVFR1_EL1, 0},
    {SYSREG_MVFR2_EL1, 0},
    {SYSREG_ID_PFR2_EL1, ID_PFR2_EL1_RAS_FRAC},
};

static void put(struct id_profile *profile, uint32_t reg, uint64_t value)
{
    profile->reg[SYSREG_CRM(reg)][SYSREG_OP2(reg)] = value;
}

static void read_aarch64(struct id_profile *cpu)
{
    put(cpu, SYSREG_ID_AA64PFR0_EL1, read_id_aa64pfr0_el1());
    put(cpu, SYSREG_ID_AA64PFR1_EL1, read_id_aa64pfr1_el1());
    put(cpu, SYSREG_ID_AA64DFR0_EL1, read_id_aa64dfr0_el1());
    put(cpu, SYSREG_ID_AA64ISAR0_EL1, read_id_aa64isar0_el1());
    put(cpu, SYSREG_ID_AA64ISAR1_EL1, read_id_aa64isar1_el1());
    put(cpu, SYSREG_ID_AA64ISAR2_EL1, read_id_aa64isar2_el1());
    put(cpu, SYSREG_ID_AA64MMFR0_EL1, read_id_aa64mmfr0_el1());
    put(cpu, SYSREG_ID_AA64MMFR1_EL1, read_id_aa64mmfr1_el1());
    put(cpu, SYSREG_ID_AA64MMFR2_EL1, read_id_aa64mmfr2_el1());
    put(cpu, SYSREG_ID_AA64MMFR3_EL1, read_id_aa64mmfr3_el1());
}

static void read_aarch32(struct id_profile *cpu)
{
    put(cpu, SYSREG_ID_PFR0_EL1, read_id_pfr0_el1());
    put(cpu, SYSREG_ID_PFR1_EL1, read_id_pfr1_el1());
    put(cpu, SYSREG_ID_PFR2_EL1, read_id_pfr2_el1());
    put(cpu, SYSREG_ID_DFR0_EL1, read_id_dfr0_el1());
    put(cpu, SYSREG_ID_MMFR0_EL1, read_id_mmfr0_el1());
    put(cpu, SYSREG_ID_MMFR1_EL1, read_id_mmfr1_el1());
    put(cpu, SYSREG_ID_MMFR2_EL1, read_id_mmfr2_el1());
    put(cpu, SYSREG_ID_MMFR3_EL1, read_id_mmfr3_el1());
    put(cpu, SYSREG_ID_MMFR4_EL1, read_id_mmfr4_el1());
    put(cpu, SYSREG_ID_MMFR5_EL1, read_id_mmfr5_el1());
    put(cpu, SYSREG_ID_ISAR0_EL1, read_id_isar0_el1());
    put(cpu, SYSREG_ID_ISAR1_EL1, read_id_isar1_el1());
    put(cpu, SYSREG_ID_ISAR2_EL1, read_id_isar2_el1());
    put(cpu, SYSREG_ID_ISAR3_EL1, read_id_isar3_el1());
    put(cpu, SYSREG_ID_ISAR4_EL1, read_id_isar4_el1());
    put(cpu, SYSREG_ID_ISAR5_EL1, read_id_isar5_el1());
    put(cpu, SYSREG_ID_ISAR6_EL1, read_id_isar6_el1());
    put(cpu, SYSREG_MVFR0_EL1, read_mvfr0_el1());
    put(cpu, SYSREG_MVFR1_EL1, read_mvfr1_el1());
    put(cpu, SYSREG_MVFR2_EL1, read_mvfr2_el1());
}

/* The four bits as a number from -8 to 7, or from 0 to 15. */
static int as_number(uint64_t value, enum id_rule rule)
{
    return rule == SIGNED && (value & 8) ? (int)value - 16 : (int)value;
}

static uint64_t lesser(uint64_t a, uint64_t b, enum id_rule rule)
{
    return as_number(a, rule) < as_number(b, rule) ? a : b;
}

static uint64_t get_field(const struct id_profile *profile, const struct id_field *field)
{
    return (id_profile_get(profile, field->reg) >> field->shift) & ID_FIELD_MASK;
}

static void add_field(struct id_profile *profile, const struct id_field *field, uint64_t value)
{
    profile->reg[SYSREG_CRM(field->reg)][SYSREG_OP2(field->reg)] |= value << field->shift;
}

/* The largest PARange value that does not promise more than the guest's address space has. */
static uint64_t parange(unsigned ipa_bits)
{
    static const uint8_t bits[] = {32, 36, 40, 42, 44, 48};
    uint64_t range = 0;

    while (range + 1 < ARRAY_SIZE(bits) && bits[range + 1] <= ipa_bits)
        range++;
    return range;
}

void id_profile_init(struct id_profile *ret_profile, unsigned ipa_bits)
{
    struct id_profile cpu = {0};
    struct id_profile profile = {0};

    read_aarch64(&cpu);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const struct id_field *field = &fields[i];
        uint64_t value = field->limit;

        if (field->rule != FIXED)
            value = lesser(value, get_field(&cpu, field), field->rule);
        if (field->reg == SYSREG_ID_AA64MMFR0_EL1 && field->shift == ID_AA64MMFR0_EL1_PARANGE_SHIFT)
            value = lesser(value, parange(ipa_bits), field->rule);
        add_field(&profile, field, value);
    }

    if (FIELD_GET(ID_AA64PFR0_EL1_EL0, id_profile_get(&profile, SYSREG_ID_AA64PFR0_EL1)) >= 2) {
        read_aarch32(&cpu);
        for (size_t i = 0; i < ARRAY_SIZE(aarch32); i++)
            put(&profile, aarch32[i].reg,
                id_profile_get(&cpu, aarch32[i].reg) & UINT32_MAX & ~aarch32[i].hidden);
    }
    *ret_profile = profile;
}

void id_profile_merge(struct id_profile *profile, const struct id_profile *other)
{
    struct id_profile merged = {0};

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        add_field(
            &merged, &fields[i],
            lesser(get_field(profile, &fields[i]), get_field(other, &fields[i]), fields[i].rule));
    /* Kinds of cores that differ here don't exist: take the fields that agree bit by bit. */
    for (size_t i = 0; i < ARRAY_SIZE(aarch32); i++)
        put(&merged, aarch32[i].reg,
            id_profile_get(profile, aarch32[i].reg) & id_profile_get(other, aarch32[i].reg));
    *profile = merged;
}
