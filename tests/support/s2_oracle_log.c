/* SPDX-License-Identifier: Apache-2.0 */
#include "s2_oracle_log.h"
#include "arch/fake.h"
#include "arch/sysreg.h"

static enum oracle_event_kind kind_of(const struct fake_event *event)
{
    static const enum oracle_event_kind tlbi[] = {
        [FAKE_TLBI_IPAS2E1IS] = ORACLE_TLBI_IPA,    [FAKE_TLBI_IPAS2LE1IS] = ORACLE_OTHER,
        [FAKE_TLBI_RIPAS2E1IS] = ORACLE_TLBI_RANGE, [FAKE_TLBI_VMALLE1IS] = ORACLE_TLBI_COMBINED,
        [FAKE_TLBI_VMALLE1] = ORACLE_OTHER,         [FAKE_TLBI_VMALLS12E1IS] = ORACLE_TLBI_ALL,
        [FAKE_TLBI_VMALLS12E1] = ORACLE_OTHER,      [FAKE_TLBI_ALLE1IS] = ORACLE_TLBI_ALLE1IS,
    };

    if (event->kind == FAKE_PTE) {
        return ORACLE_STORE;
    }
    if (event->kind == FAKE_ISB) {
        return ORACLE_ISB;
    }
    if (event->kind == FAKE_DSB && event->op <= FAKE_ISHST) {
        return event->op == FAKE_ISHST ? ORACLE_DSB_ISHST : ORACLE_DSB_ISH;
    }
    if (event->kind == FAKE_TLBI && event->op < sizeof(tlbi) / sizeof(tlbi[0])) {
        return tlbi[event->op];
    }
    if (event->kind == FAKE_IC && event->op == FAKE_IC_IALLUIS) {
        return ORACLE_IC_IALLUIS;
    }
    if (event->kind == FAKE_MSR && event->op == SYSREG_VTTBR_EL2) {
        return ORACLE_VTTBR;
    }
    return ORACLE_OTHER;
}

bool oracle_log_at(size_t i, struct oracle_event *ret_event)
{
    const struct fake_event *event = fake_log_at(i);

    if (event == NULL) {
        return false;
    }
    ret_event->kind = kind_of(event);
    ret_event->slot = NULL;
    ret_event->value = event->kind == FAKE_TLBI ? event->a : event->b;
    if (event->kind == FAKE_PTE) {
        ret_event->slot = (uint64_t *)(uintptr_t)event->a;
    }
    return true;
}

void oracle_log_clear(void)
{
    fake_log_clear();
}

void oracle_log_reset(void)
{
    fake_reset();
    fake_sysreg_set(SYSREG_VTTBR_EL2, 0);
}

void oracle_log_cpu(uint64_t mmfr0, uint64_t mmfr1, uint64_t mmfr2, uint64_t isar0)
{
    fake_sysreg_set(SYSREG_ID_AA64MMFR0_EL1, mmfr0);
    fake_sysreg_set(SYSREG_ID_AA64MMFR1_EL1, mmfr1);
    fake_sysreg_set(SYSREG_ID_AA64MMFR2_EL1, mmfr2);
    fake_sysreg_set(SYSREG_ID_AA64ISAR0_EL1, isar0);
}

void oracle_log_ctr(uint64_t ctr)
{
    fake_sysreg_set(SYSREG_CTR_EL0, ctr);
}
