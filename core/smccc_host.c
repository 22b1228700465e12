/* SPDX-License-Identifier: Apache-2.0 */
/* What the firmware says of Spectre work-arounds, and what guests are told of it: see smccc.h. */
#include "core/smccc.h"

#include "arch/smc.h"

static int32_t ask(uint32_t function)
{
    return (int32_t)smc_call(SMCCC_ARCH_FEATURES, function, 0, 0).x0;
}

/* DEN0028 7.3.2, 7.5.2: 0 is needed, 1 is not needed; anything else says nothing. */
static int32_t ask_needed(uint32_t function)
{
    int32_t answer = ask(function);

    return answer == SMCCC_WA_NEEDED || answer == SMCCC_WA_NOT_NEEDED ? answer : SMCCC_WA_ABSENT;
}

void smccc_host_discover(struct smccc_host *ret_host, bool firmware_has_smccc)
{
    struct smccc_host host = {SMCCC_WA_ABSENT, SMCCC_WA_ABSENT, SMCCC_WA_ABSENT};

    if (firmware_has_smccc) {
        int32_t ssbd = ask(SMCCC_ARCH_WORKAROUND_2);

        host.workaround_1 = ask_needed(SMCCC_ARCH_WORKAROUND_1);
        host.workaround_3 = ask_needed(SMCCC_ARCH_WORKAROUND_3);
        /* DEN0028 7.4.2: on by the firmware's default, always on, or not affected. */
        if (ssbd == SMCCC_WA_NEEDED || ssbd == SMCCC_WA_NOT_NEEDED || ssbd == SMCCC_NOT_REQUIRED)
            host.workaround_2 = SMCCC_WA_NOT_NEEDED;
    }
    *ret_host = host;
}

static int32_t merge(int32_t a, int32_t b)
{
    if (a == SMCCC_WA_ABSENT || b == SMCCC_WA_ABSENT)
        return SMCCC_WA_ABSENT;
    return a == SMCCC_WA_NEEDED || b == SMCCC_WA_NEEDED ? SMCCC_WA_NEEDED : SMCCC_WA_NOT_NEEDED;
}

void smccc_host_merge(struct smccc_host *host, const struct smccc_host *other)
{
    host->workaround_1 = merge(host->workaround_1, other->workaround_1);
    host->workaround_2 = merge(host->workaround_2, other->workaround_2);
    host->workaround_3 = merge(host->workaround_3, other->workaround_3);
}
