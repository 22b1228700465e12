/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU as a guest sees it: sanitised ID registers, the trap controls that enforce them, and the
 * emulation of trapped system registers. Denied by default: what has no row is UNDEF, and what an
 * ID register hides is trapped as far as the architecture has a trap for it.
 */
#ifndef CORE_VSYSREG_H
#define CORE_VSYSREG_H

#include "arch/sysreg.h"
#include "bothy/types.h"
#include "core/trap_result.h"

struct vcpu;

/* ID registers, S3_0_C0_C<m>_<op2>: reg[m][op2]; row 0 (MIDR, MPIDR, REVIDR) is not used. */
struct id_profile {
    uint64_t reg[8][8];
};

/* The value of one of them; reg is SYSREG_ID_... */
static inline uint64_t id_profile_get(const struct id_profile *profile, uint32_t reg)
{
    return profile->reg[SYSREG_CRM(reg) & 7u][SYSREG_OP2(reg)];
}

/*
 * Fills a profile from this CPU's ID registers: per field the lesser of what the CPU has and what
 * Bothy offers, 0 for a field that is not in the table of vsysreg_id.c. ipa_bits caps PARange.
 */
void id_profile_init(struct id_profile *ret_profile, unsigned ipa_bits);

/* Makes *profile what both CPUs have: for a machine with more than one kind of core. */
void id_profile_merge(struct id_profile *profile, const struct id_profile *other);

/* EL2 controls while any guest runs. Registers that this CPU lacks are not to be written. */
struct trap_controls {
    uint64_t hcr;     /* HCR_EL2: start value of vcpu->hcr, with TWI and TWE set */
    uint64_t cptr;    /* CPTR_EL2 with TFP set; clear CPTR_EL2_TFP while the FP state is loaded */
    uint64_t mdcr;    /* MDCR_EL2 with debug registers trapped; see vdebug_load() */
    uint64_t cnthctl; /* CNTHCTL_EL2: physical counter and timer trapped */
    uint64_t hstr;    /* HSTR_EL2 */
    uint64_t hcrx;    /* HCRX_EL2, if has_hcrx */
    uint64_t mpam2;   /* MPAM2_EL2, if has_mpam */
    uint64_t mpamhcr; /* MPAMHCR_EL2, if has_mpamhcr */
    bool has_hcrx;
    bool has_fgt;  /* HFGRTR, HFGWTR, HFGITR, HDFGRTR, HDFGWTR_EL2 (and HAFGRTR_EL2 if has_amu):
                     write 0. Their negative bits then trap; the rest is trapped elsewhere. */
    bool has_fgt2; /* HFGRTR2, HFGWTR2, HFGITR2, HDFGRTR2, HDFGWTR2_EL2: write 0 */
    bool has_amu;
    bool has_mpam;
    bool has_mpamhcr;
};

/* Reads this CPU's ID registers. fwb: stage 2 uses FEAT_S2FWB (struct s2_config). */
void trap_controls_init(struct trap_controls *ret_controls, bool fwb);

/* Writes all of them but HCR_EL2 and CPTR_EL2, which change from vCPU to vCPU. Once for each CPU,
 * before its first guest; the caller synchronises. */
void trap_controls_load(const struct trap_controls *controls);

/*
 * A trapped MSR, MRS or system instruction (EC 0x18) of the loaded vCPU: TRAP_NEXT, TRAP_RESUME
 * (the same again: a cache flush was interrupted), TRAP_UNDEF, or what the timer or the vGIC say.
 */
enum trap_result vsysreg_access(struct vcpu *vcpu, uint64_t esr);

/*
 * Debug registers follow a vCPU only while its guest uses them (vcpu->debug.in_hardware);
 * otherwise they are trapped and kept in memory, and load and put cost one test.
 * vdebug_put() saves them and turns debug in the CPU off. vdebug_reset() is for a vCPU that
 * starts: architectural reset, in hardware too if loaded.
 */
void vdebug_load(struct vcpu *vcpu);
void vdebug_put(struct vcpu *vcpu);
void vdebug_reset(struct vcpu *vcpu, bool loaded);

/* The parts of vsysreg_access(): one family of registers each. value is read or written. */
enum trap_result vdebug_access(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value);
enum trap_result vsysreg_set_way(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value);
enum trap_result vsysreg_vm_control(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value);

#endif
