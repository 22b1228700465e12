/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See vsysreg.h. ID registers are answered first and straight from the VM's profile; for the rest
 * there is one sorted table. A direction that a row doesn't allow, and a register without a row
 * are UNDEF: so are, for instance, the PMU, SPE, TRBE, AMU, MPAM, RAS, LORegion, SCXTNUM, TCR2,
 * PIR and GMID registers, and the IMPLEMENTATION DEFINED ones.
 */
#include "core/vsysreg.h"

#include "arch/sysreg.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "core/vm.h"
#include "core/vtimer.h"

#define RT_ZERO 31u

/* Op0 = 3, Op1 = 0, CRn = 0, CRm = 0..7, read. */
#define ID_SPACE_MASK \
    (ISS_SYS64_OP0 | ISS_SYS64_OP1 | ISS_SYS64_CRN | FIELD_PREP(ISS_SYS64_CRM, 8) | ISS_SYS64_DIR)
#define ID_SPACE_READ (FIELD_PREP(ISS_SYS64_OP0, 3) | ISS_SYS64_DIR)

enum sysreg_access {
    R = 1,
    W = 2,
    RW = R | W,
};

typedef enum trap_result (*sysreg_handler)(struct vcpu *vcpu, uint32_t reg, bool write,
                                           uint64_t *value);

struct sysreg_row {
    uint16_t reg;
    uint16_t allowed; /* enum sysreg_access */
    sysreg_handler handle;
};

static enum trap_result raz_wi(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)vcpu;
    (void)reg;
    if (!write)
        *value = 0;
    return TRAP_NEXT;
}

/* System register access is all there is: SRE, DFB and DIB are RAO/WI. */
static enum trap_result icc_sre(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)vcpu;
    (void)reg;
    if (!write)
        *value = ICC_SRE_EL1_SRE | ICC_SRE_EL1_DFB | ICC_SRE_EL1_DIB;
    return TRAP_NEXT;
}

static enum trap_result icc_sgi1r(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)reg;
    (void)write;
    return vgic_write_sgi1r(vcpu, *value);
}

static enum trap_result icc_sgi0r(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)reg;
    (void)write;
    return vgic_write_sgi0r(vcpu, *value);
}

static enum trap_result icc_dir(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)reg;
    (void)write;
    return vgic_write_dir(vcpu, *value);
}

/* Sorted by encoding; the debug registers of Op0 = 2, CRn = 0 are vdebug_access()'s own. */
static const struct sysreg_row rows[] = {
    {SYSREG_DC_ISW, W, vsysreg_set_way},
    {SYSREG_DC_CSW, W, vsysreg_set_way},
    {SYSREG_DC_CISW, W, vsysreg_set_way},
    {SYSREG_MDRAR_EL1, R, raz_wi},
    {SYSREG_OSLAR_EL1, W, vdebug_access},
    {SYSREG_OSLSR_EL1, R, vdebug_access},
    {SYSREG_OSDLR_EL1, RW, raz_wi},
    {SYSREG_DBGPRCR_EL1, RW, raz_wi},
    {SYSREG_DBGCLAIMSET_EL1, RW, raz_wi},
    {SYSREG_DBGCLAIMCLR_EL1, RW, raz_wi},
    {SYSREG_DBGAUTHSTATUS_EL1, R, raz_wi},
    {SYSREG_MDCCSR_EL0, R, raz_wi},
    {SYSREG_DBGDTR_EL0, RW, raz_wi},
    {SYSREG_DBGDTRRX_EL0, RW, raz_wi}, /* and DBGDTRTX_EL0 */
    {SYSREG_SCTLR_EL1, W, vsysreg_vm_control},
    {SYSREG_ACTLR_EL1, RW, raz_wi},
    {SYSREG_TTBR0_EL1, W, vsysreg_vm_control},
    {SYSREG_TTBR1_EL1, W, vsysreg_vm_control},
    {SYSREG_TCR_EL1, W, vsysreg_vm_control},
    {SYSREG_AFSR0_EL1, W, vsysreg_vm_control},
    {SYSREG_AFSR1_EL1, W, vsysreg_vm_control},
    {SYSREG_ESR_EL1, W, vsysreg_vm_control},
    {SYSREG_FAR_EL1, W, vsysreg_vm_control},
    {SYSREG_MAIR_EL1, W, vsysreg_vm_control},
    {SYSREG_AMAIR_EL1, W, vsysreg_vm_control},
    {SYSREG_ICC_DIR_EL1, W, icc_dir},
    {SYSREG_ICC_SGI1R_EL1, W, icc_sgi1r},
    {SYSREG_ICC_ASGI1R_EL1, W, icc_sgi0r}, /* the other security state's: as SGI0R here */
    {SYSREG_ICC_SGI0R_EL1, W, icc_sgi0r},
    {SYSREG_ICC_SRE_EL1, RW, icc_sre},
    {SYSREG_CONTEXTIDR_EL1, W, vsysreg_vm_control},
    {SYSREG_CNTPCT_EL0, R, vtimer_sysreg},
    {SYSREG_CNTP_TVAL_EL0, RW, vtimer_sysreg},
    {SYSREG_CNTP_CTL_EL0, RW, vtimer_sysreg},
    {SYSREG_CNTP_CVAL_EL0, RW, vtimer_sysreg},
};

static uint32_t sysreg_of(uint64_t esr)
{
    return SYSREG_ENC(
        (uint32_t)FIELD_GET(ISS_SYS64_OP0, esr), (uint32_t)FIELD_GET(ISS_SYS64_OP1, esr),
        (uint32_t)FIELD_GET(ISS_SYS64_CRN, esr), (uint32_t)FIELD_GET(ISS_SYS64_CRM, esr),
        (uint32_t)FIELD_GET(ISS_SYS64_OP2, esr));
}

static const struct sysreg_row *find_row(uint32_t reg)
{
    size_t low = 0;
    size_t high = ARRAY_SIZE(rows);

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (rows[middle].reg == reg)
            return &rows[middle];
        if (rows[middle].reg < reg)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static enum trap_result access_row(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    const struct sysreg_row *row;

    if (SYSREG_OP0(reg) == 2 && SYSREG_OP1(reg) == 0 && SYSREG_CRN(reg) == 0)
        return vdebug_access(vcpu, reg, write, value);
    row = find_row(reg);
    if (!row || !(row->allowed & (write ? W : R)))
        return TRAP_UNDEF;
    return row->handle(vcpu, reg, write, value);
}

/* Apart, so that ID registers need no stack frame. */
__attribute__((noinline)) static enum trap_result access_other(struct vcpu *vcpu, uint64_t esr)
{
    uint64_t rt = FIELD_GET(ISS_SYS64_RT, esr);
    bool write = !(esr & ISS_SYS64_DIR);
    uint64_t value = write && rt != RT_ZERO ? vcpu->regs.x[rt] : 0;
    enum trap_result result = access_row(vcpu, sysreg_of(esr), write, &value);

    if (result == TRAP_NEXT && !write && rt != RT_ZERO)
        vcpu->regs.x[rt] = value;
    return result;
}

enum trap_result vsysreg_access(struct vcpu *vcpu, uint64_t esr)
{
    uint64_t crm = FIELD_GET(ISS_SYS64_CRM, esr);

    /* HCR_EL2.TID3 traps the unallocated part of CRm = 1..7 as well: it reads as zero. */
    if (likely((esr & ID_SPACE_MASK) == ID_SPACE_READ && crm != 0)) {
        uint64_t rt = FIELD_GET(ISS_SYS64_RT, esr);
        uint64_t value = vcpu->vm->ids->reg[crm][FIELD_GET(ISS_SYS64_OP2, esr)];

        if (rt != RT_ZERO)
            vcpu->regs.x[rt] = value;
        return TRAP_NEXT;
    }
    return access_other(vcpu, esr);
}
