/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a stage-2 fault's syndrome to an access of a device, and back to the guest's register.
 * Arm ARM D24.2.39 (ESR_EL2, ISS encoding for a Data Abort).
 */
#ifndef CORE_MMIO_DECODE_H
#define CORE_MMIO_DECODE_H

#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "bothy/esr.h"
#include "bothy/types.h"

struct vcpu;
struct mmio_access;

#define FAULT_PAGE_SIZE 4096u /* the unit of HPFAR_EL2, whatever the granule */

/*
 * The faulting intermediate physical address of a stage-2 fault. HPFAR_EL2 holds it for
 * translation, access flag and address size faults, and for every fault on a stage-1 table walk
 * (then only the page is known). After a permission fault HPFAR_EL2 is UNKNOWN: false, and the
 * caller translates FAR_EL2 itself (AT S1E1R) or lets the guest try again.
 */
static inline bool fault_ipa(uint64_t esr, uint64_t far, uint64_t hpfar, ipa_t *ret_ipa)
{
    uint64_t fsc = FIELD_GET(ISS_DABT_DFSC, esr); /* IFSC is at the same place */
    uint64_t page = FIELD_GET(HPFAR_EL2_FIPA, hpfar) * FAULT_PAGE_SIZE;
    bool walk = esr & ISS_DABT_S1PTW;

    switch (FSC_KIND(fsc)) {
    case FSC_ADDRESS_SIZE:
    case FSC_TRANSLATION:
    case FSC_ACCESS_FLAG:
        break;
    case FSC_PERMISSION:
        if (!walk)
            return false;
        break;
    default:
        return false;
    }
    /* FAR is the address that was to be translated, not that of the descriptor. */
    *ret_ipa = ipa(walk ? page : page | (far & (FAULT_PAGE_SIZE - 1)));
    return true;
}

/*
 * Decodes a Data Abort from a lower EL (EC 0x24) at the address that fault_ipa() found into an
 * access. False when the syndrome doesn't describe it: no ISV (pair, write-back, SIMD, exclusive,
 * DC), a cache operation, a stage-1 table walk, no valid FAR, or bytes on both sides of a page
 * boundary. The caller then injects an abort. For a store, ret_access->value is the register's
 * value in the guest's byte order, already turned into a little-endian device's value. vcpu is
 * loaded.
 */
bool mmio_decode(const struct vcpu *vcpu, uint64_t esr, ipa_t ipa,
                 struct mmio_access *ret_access);

/*
 * Ends an access that mmio_decode() described: a load's value goes to the register, truncated to
 * the access size, then zero- or sign-extended as SSE and SF say. A store needs nothing. The
 * caller moves PC (TRAP_NEXT).
 */
void mmio_complete(struct vcpu *vcpu, const struct mmio_access *access, uint64_t esr);

#endif
