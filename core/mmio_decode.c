/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See mmio_decode.h. Everything comes from the syndrome; no guest instruction is ever fetched.
 * FAR_EL2 gives the offset in the page, HPFAR_EL2 the page.
 */
#include "core/mmio_decode.h"

#include "arch/sysreg.h"
#include "bothy/esr.h"
#include "core/hooks.h"
#include "core/vcpu.h"

#define SRT_ZERO 31u

/* Whether the access that trapped is big-endian. */
static bool is_big_endian(const struct vcpu *vcpu)
{
    uint64_t pstate = vcpu->regs.pstate;

    if (pstate & SPSR_EL2_M_4)
        return pstate & SPSR_A32_E;
    if (FIELD_GET(SPSR_EL2_M, pstate) == SPSR_EL2_M_EL0T)
        return read_sctlr_el1() & SCTLR_EL1_E0E;
    return read_sctlr_el1() & SCTLR_EL1_EE;
}

/* The lowest `size` bytes of value, in the order in which the guest means them. */
static inline uint64_t guest_order(const struct vcpu *vcpu, uint64_t value, unsigned size)
{
    unsigned unused = 64 - 8 * size;

    if (unlikely(is_big_endian(vcpu)))
        return __builtin_bswap64(value) >> unused;
    return value << unused >> unused;
}

bool mmio_decode(const struct vcpu *vcpu, uint64_t esr, ipa_t ipa, struct mmio_access *ret_access)
{
    const uint64_t refused = ISS_DABT_S1PTW | ISS_DABT_CM | ISS_DABT_FNV;
    struct mmio_access access = {
        .ipa = ipa,
        .size = (uint8_t)(1u << FIELD_GET(ISS_DABT_SAS, esr)),
        .write = esr & ISS_DABT_WNR,
    };
    uint64_t srt = FIELD_GET(ISS_DABT_SRT, esr);

    if (FIELD_GET(ESR_EL2_EC, esr) != EC_DABT_LOWER ||
        (esr & (refused | ISS_DABT_ISV)) != ISS_DABT_ISV)
        return false;
    if ((ipa.ipa & (FAULT_PAGE_SIZE - 1)) + access.size > FAULT_PAGE_SIZE)
        return false;
    if (access.write && srt != SRT_ZERO)
        access.value = guest_order(vcpu, vcpu->regs.x[srt], access.size);
    *ret_access = access;
    return true;
}

void mmio_complete(struct vcpu *vcpu, const struct mmio_access *access, uint64_t esr)
{
    uint64_t srt = FIELD_GET(ISS_DABT_SRT, esr);
    uint64_t value;

    if (access->write || srt == SRT_ZERO)
        return;
    value = guest_order(vcpu, access->value, access->size);
    if (esr & ISS_DABT_SSE) {
        unsigned unused = 64 - 8u * access->size;

        value = (uint64_t)((int64_t)(value << unused) >> unused);
        if (!(esr & ISS_DABT_SF))
            value &= UINT32_MAX;
    }
    vcpu->regs.x[srt] = value;
}
