/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-hosted debug of a guest.
 *
 * Trapped and in memory is the normal state: a guest that only clears its breakpoints at boot pays
 * for nothing afterwards. What makes debug exceptions possible (MDSCR_EL1.SS, KDE or MDE with the
 * OS lock off) puts the registers into the CPU and clears MDCR_EL2.TDA for this vCPU; vdebug_put()
 * goes back as soon as it is no longer so. The OS lock, double lock and power-down registers stay
 * trapped always. There is no external debugger behind the debug communication channel: it is
 * RAZ/WI, and cut off where FEAT_FGT can.
 */
#include "core/vsysreg.h"

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "core/vcpu.h"
#include "core/vm.h"

#define MDSCR_ACTIVE (MDSCR_EL1_SS | MDSCR_EL1_KDE | MDSCR_EL1_MDE)
#define MDSCR_KEPT (MDSCR_ACTIVE | MDSCR_EL1_TDCC)
/* The fields that all debug versions have. */
#define BCR_KEPT                                                                        \
    (DBGBCR_EL1_E | DBGBCR_EL1_PMC | DBGBCR_EL1_BAS | DBGBCR_EL1_HMC | DBGBCR_EL1_SSC | \
     DBGBCR_EL1_LBN | DBGBCR_EL1_BT)
#define WCR_KEPT                                                                        \
    (DBGWCR_EL1_E | DBGWCR_EL1_PAC | DBGWCR_EL1_LSC | DBGWCR_EL1_BAS | DBGWCR_EL1_HMC | \
     DBGWCR_EL1_SSC | DBGWCR_EL1_LBN | DBGWCR_EL1_WT | DBGWCR_EL1_MASK)
#define CLAIM_ALL FIELD_MAX(DBGCLAIMCLR_EL1_CLAIM)

static unsigned breakpoints(const struct vcpu *vcpu)
{
    uint64_t dfr0 = id_profile_get(vcpu->vm->ids, SYSREG_ID_AA64DFR0_EL1);

    return (unsigned)FIELD_GET(ID_AA64DFR0_EL1_BRPS, dfr0) + 1;
}

static unsigned watchpoints(const struct vcpu *vcpu)
{
    uint64_t dfr0 = id_profile_get(vcpu->vm->ids, SYSREG_ID_AA64DFR0_EL1);

    return (unsigned)FIELD_GET(ID_AA64DFR0_EL1_WRPS, dfr0) + 1;
}

static bool is_active(const struct vcpu_debug *debug)
{
    return !debug->os_locked && (debug->mdscr & MDSCR_ACTIVE);
}

static void to_hardware(struct vcpu *vcpu)
{
    const struct vcpu_debug *debug = &vcpu->debug;

    /* The CPU's own OS lock masks debug exceptions; it is set by reset. */
    write_oslar_el1(0);
    for (unsigned i = 0; i < breakpoints(vcpu); i++) {
        write_dbgbcr_el1(i, debug->bcr[i]);
        write_dbgbvr_el1(i, debug->bvr[i]);
    }
    for (unsigned i = 0; i < watchpoints(vcpu); i++) {
        write_dbgwcr_el1(i, debug->wcr[i]);
        write_dbgwvr_el1(i, debug->wvr[i]);
    }
    write_mdscr_el1(debug->mdscr);
    write_mdcr_el2(vcpu->vm->traps->mdcr & ~MDCR_EL2_TDA);
}

static void from_hardware(struct vcpu *vcpu)
{
    struct vcpu_debug *debug = &vcpu->debug;

    debug->mdscr = read_mdscr_el1() & MDSCR_KEPT;
    for (unsigned i = 0; i < breakpoints(vcpu); i++) {
        debug->bcr[i] = read_dbgbcr_el1(i);
        debug->bvr[i] = read_dbgbvr_el1(i);
    }
    for (unsigned i = 0; i < watchpoints(vcpu); i++) {
        debug->wcr[i] = read_dbgwcr_el1(i);
        debug->wvr[i] = read_dbgwvr_el1(i);
    }
    /* No debug exception and no message for the next vCPU. */
    write_mdscr_el1(0);
    write_mdccint_el1(0);
    write_dbgclaimclr_el1(CLAIM_ALL);
    write_mdcr_el2(vcpu->vm->traps->mdcr);
}

void vdebug_load(struct vcpu *vcpu)
{
    if (unlikely(vcpu->debug.in_hardware))
        to_hardware(vcpu);
}

void vdebug_put(struct vcpu *vcpu)
{
    if (likely(!vcpu->debug.in_hardware))
        return;
    from_hardware(vcpu);
    vcpu->debug.in_hardware = is_active(&vcpu->debug);
}

void vdebug_reset(struct vcpu *vcpu, bool loaded)
{
    if (loaded && vcpu->debug.in_hardware)
        from_hardware(vcpu);
    vcpu->debug = (struct vcpu_debug){.os_locked = true};
}

/* After a change while loaded: the registers go to where they belong now. */
static void settle(struct vcpu *vcpu)
{
    bool active = is_active(&vcpu->debug);

    if (active == vcpu->debug.in_hardware)
        return;
    if (active)
        to_hardware(vcpu);
    else
        from_hardware(vcpu);
    vcpu->debug.in_hardware = active;
}

/* DBGBVR<n>, DBGBCR<n>, DBGWVR<n> and DBGWCR<n>_EL1: n is CRm, and Op2 4 to 7 tells which. */
static enum trap_result access_point(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    struct vcpu_debug *debug = &vcpu->debug;
    unsigned n = SYSREG_CRM(reg);
    bool watch = SYSREG_OP2(reg) >= SYSREG_OP2(SYSREG_DBGWVR0_EL1);
    uint64_t *stored;
    uint64_t kept = UINT64_MAX;

    if (n >= (watch ? watchpoints(vcpu) : breakpoints(vcpu)))
        return TRAP_UNDEF;
    switch (SYSREG_OP2(reg)) {
    case SYSREG_OP2(SYSREG_DBGBVR0_EL1):
        stored = &debug->bvr[n];
        break;
    case SYSREG_OP2(SYSREG_DBGBCR0_EL1):
        stored = &debug->bcr[n];
        kept = BCR_KEPT;
        break;
    case SYSREG_OP2(SYSREG_DBGWVR0_EL1):
        stored = &debug->wvr[n];
        break;
    default:
        stored = &debug->wcr[n];
        kept = WCR_KEPT;
        break;
    }
    if (write)
        *stored = *value & kept;
    else
        *value = *stored;
    return TRAP_NEXT;
}

/* MDSCR_EL1, OSLAR_EL1 and OSLSR_EL1: what decides whether debug is active. */
static enum trap_result access_control(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    struct vcpu_debug *debug = &vcpu->debug;

    if (debug->in_hardware)
        debug->mdscr = read_mdscr_el1() & MDSCR_KEPT;
    if (reg == SYSREG_OSLSR_EL1) {
        *value = OSLSR_EL1_OSLM_1 | (debug->os_locked ? OSLSR_EL1_OSLK : 0);
    } else if (reg == SYSREG_OSLAR_EL1) {
        debug->os_locked = *value & OSLAR_EL1_OSLK;
    } else if (write) {
        debug->mdscr = *value & MDSCR_KEPT;
        if (debug->in_hardware)
            write_mdscr_el1(debug->mdscr);
    } else {
        *value = debug->mdscr;
    }
    if (write)
        settle(vcpu);
    return TRAP_NEXT;
}

enum trap_result vdebug_access(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    switch (reg) {
    case SYSREG_MDSCR_EL1:
    case SYSREG_OSLAR_EL1:
    case SYSREG_OSLSR_EL1:
        return access_control(vcpu, reg, write, value);
    case SYSREG_MDCCINT_EL1:
    case SYSREG_OSDTRRX_EL1:
    case SYSREG_OSDTRTX_EL1:
    case SYSREG_OSECCR_EL1:
        if (!write)
            *value = 0;
        return TRAP_NEXT;
    default:
        if (SYSREG_OP2(reg) < SYSREG_OP2(SYSREG_DBGBVR0_EL1))
            return TRAP_UNDEF;
        return access_point(vcpu, reg, write, value);
    }
}
