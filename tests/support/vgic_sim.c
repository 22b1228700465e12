/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/vgic_sim.h"

#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "bothy/panic.h"
#include "bothy/string.h"

static _Thread_local struct sim_cpu *here;

enum { LR_INVALID, LR_PENDING, LR_ACTIVE, LR_BOTH };

void sim_enter(struct sim_cpu *sim)
{
    here = sim;
}

struct sim_cpu *sim_here(void)
{
    return here;
}

void sim_init(struct sim_cpu *sim, uint32_t id, uint32_t nr_lrs, uint32_t pre_bits)
{
    memset(sim, 0, sizeof(*sim));
    sim->cpu.id = id;
    sim->cpu.mpidr = id;
    sim->cpu.online = true;
    sim->nr_lrs = nr_lrs;
    sim->pre_bits = pre_bits;
    sim->pri_bits = pre_bits;
}

static uint32_t state_of(uint64_t lr)
{
    return (uint32_t)FIELD_GET(ICH_LR_EL2_STATE, lr);
}

static uint64_t with_state(uint64_t lr, uint32_t state)
{
    return FIELD_SET(lr, ICH_LR_EL2_STATE, state);
}

static uint64_t eisr(void)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < here->nr_lrs; i++) {
        uint64_t lr = here->lr[i];

        if (state_of(lr) == LR_INVALID && !(lr & ICH_LR_EL2_HW) && (lr & ICH_LR_EL2_EOI)) {
            bits |= BIT(i);
        }
    }
    return bits;
}

static uint64_t elrsr(void)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < here->nr_lrs; i++) {
        uint64_t lr = here->lr[i];

        if (state_of(lr) == LR_INVALID && ((lr & ICH_LR_EL2_HW) || !(lr & ICH_LR_EL2_EOI))) {
            bits |= BIT(i);
        }
    }
    return bits;
}

uint64_t sim_misr(void)
{
    uint64_t hcr = here->hcr;
    uint64_t misr = 0;
    uint32_t valid = 0, pending = 0;

    if (!(hcr & ICH_HCR_EL2_EN)) {
        return 0;
    }
    for (uint32_t i = 0; i < here->nr_lrs; i++) {
        valid += state_of(here->lr[i]) != LR_INVALID;
        pending += state_of(here->lr[i]) == LR_PENDING;
    }
    misr |= eisr() != 0 ? BIT(0) : 0;
    misr |= (hcr & ICH_HCR_EL2_UIE) && valid < 2 ? BIT(1) : 0;
    misr |= (hcr & ICH_HCR_EL2_LRENPIE) && (hcr & ICH_HCR_EL2_EOICOUNT) ? BIT(2) : 0;
    misr |= (hcr & ICH_HCR_EL2_NPIE) && pending == 0 ? BIT(3) : 0;
    misr |= (hcr & ICH_HCR_EL2_VGRP0EIE) && (here->vmcr & ICH_VMCR_EL2_VENG0) ? BIT(4) : 0;
    misr |= (hcr & ICH_HCR_EL2_VGRP0DIE) && !(here->vmcr & ICH_VMCR_EL2_VENG0) ? BIT(5) : 0;
    misr |= (hcr & ICH_HCR_EL2_VGRP1EIE) && (here->vmcr & ICH_VMCR_EL2_VENG1) ? BIT(6) : 0;
    misr |= (hcr & ICH_HCR_EL2_VGRP1DIE) && !(here->vmcr & ICH_VMCR_EL2_VENG1) ? BIT(7) : 0;
    return misr;
}

/* Index in a range of 16 or fewer registers with consecutive op2 and CRm; -1 if not in it. */
static int index_in(uint32_t reg, uint32_t first, uint32_t count)
{
    uint32_t n = reg - first; /* CRm and op2 are the lowest 7 bits */

    return reg >= first && n < count ? (int)n : -1;
}

bool sim_read(uint32_t reg, uint64_t *ret_value)
{
    int i;

    if ((i = index_in(reg, SYSREG_ICH_LR0_EL2, here->nr_lrs)) >= 0) {
        *ret_value = here->lr[i];
    } else if ((i = index_in(reg, SYSREG_ICH_AP0R0_EL2, 1U << (here->pre_bits - 5U))) >= 0) {
        *ret_value = here->ap0r[i];
    } else if ((i = index_in(reg, SYSREG_ICH_AP1R0_EL2, 1U << (here->pre_bits - 5U))) >= 0) {
        *ret_value = here->ap1r[i];
    } else if (reg == SYSREG_ICH_HCR_EL2) {
        *ret_value = here->hcr;
    } else if (reg == SYSREG_ICH_VMCR_EL2) {
        *ret_value = here->vmcr;
    } else if (reg == SYSREG_ICH_MISR_EL2) {
        *ret_value = sim_misr();
    } else if (reg == SYSREG_ICH_EISR_EL2) {
        *ret_value = eisr();
    } else if (reg == SYSREG_ICH_ELRSR_EL2) {
        *ret_value = elrsr();
    } else if (reg == SYSREG_ICH_VTR_EL2) {
        *ret_value = FIELD_PREP(ICH_VTR_EL2_LISTREGS, here->nr_lrs - 1U) |
                     FIELD_PREP(ICH_VTR_EL2_PRIBITS, here->pri_bits - 1U) |
                     FIELD_PREP(ICH_VTR_EL2_PREBITS, here->pre_bits - 1U) | ICH_VTR_EL2_TDS |
                     ICH_VTR_EL2_A3V | FIELD_PREP(ICH_VTR_EL2_IDBITS, 1U);
    } else if (reg == SYSREG_TPIDR_EL2) {
        *ret_value = (uint64_t)(uintptr_t)&here->cpu;
    } else {
        return false;
    }
    return true;
}

/* No INTID may be in two list registers, and of a hardware-linked one P+A is not allowed. */
static void check_lr(int index)
{
    uint64_t lr = here->lr[index];

    if (state_of(lr) == LR_INVALID) {
        return;
    }
    BUG_ON((lr & ICH_LR_EL2_HW) && state_of(lr) == LR_BOTH);
    BUG_ON((lr & ICH_LR_EL2_HW) && !here->ppi27_active);
    for (int i = 0; i < (int)here->nr_lrs; i++) {
        BUG_ON(i != index && state_of(here->lr[i]) != LR_INVALID &&
               (uint32_t)here->lr[i] == (uint32_t)lr);
    }
}

bool sim_write(uint32_t reg, uint64_t value)
{
    int i;

    if ((i = index_in(reg, SYSREG_ICH_LR0_EL2, here->nr_lrs)) >= 0) {
        here->lr[i] = value;
    } else if ((i = index_in(reg, SYSREG_ICH_AP0R0_EL2, 1U << (here->pre_bits - 5U))) >= 0) {
        here->ap0r[i] = value;
    } else if ((i = index_in(reg, SYSREG_ICH_AP1R0_EL2, 1U << (here->pre_bits - 5U))) >= 0) {
        here->ap1r[i] = value;
    } else if (reg == SYSREG_ICH_HCR_EL2) {
        here->hcr = value;
        for (int n = 0; (value & ICH_HCR_EL2_EN) && n < (int)here->nr_lrs; n++) {
            check_lr(n);
        }
    } else if (reg == SYSREG_ICH_VMCR_EL2) {
        here->vmcr = value;
    } else {
        return false;
    }
    return true;
}

/* Preemption level: index of the bit among all active priorities; -1 when idle. */
static int running_level(void)
{
    for (int i = 0; i < 4; i++) {
        uint64_t bits = here->ap0r[i] | here->ap1r[i];

        if (bits != 0) {
            return i * 32 + (int)bits_first(bits);
        }
    }
    return -1;
}

/* How many low priority bits do not count for preemption. */
static uint32_t subpriority_bits(uint32_t group)
{
    uint32_t min = 8U - here->pre_bits;
    uint32_t bits = (uint32_t)FIELD_GET(ICH_VMCR_EL2_VBPR0, here->vmcr) + 1U;

    if (group == 1 && !(here->vmcr & ICH_VMCR_EL2_VCBPR)) {
        bits = (uint32_t)FIELD_GET(ICH_VMCR_EL2_VBPR1, here->vmcr);
    }
    return bits < min ? min : bits;
}

static int highest_pending(void)
{
    uint64_t best_priority = 256;
    int best = -1;

    for (int i = 0; i < (int)here->nr_lrs; i++) {
        uint64_t lr = here->lr[i];
        uint64_t enable = (lr & ICH_LR_EL2_GROUP) ? ICH_VMCR_EL2_VENG1 : ICH_VMCR_EL2_VENG0;
        uint64_t priority = FIELD_GET(ICH_LR_EL2_PRIORITY, lr);

        if (state_of(lr) == LR_PENDING && (here->vmcr & enable) && priority < best_priority) {
            best = i;
            best_priority = priority;
        }
    }
    return best;
}

static bool preempts(uint64_t lr)
{
    uint32_t group = (lr & ICH_LR_EL2_GROUP) ? 1 : 0;
    uint32_t priority = (uint32_t)FIELD_GET(ICH_LR_EL2_PRIORITY, lr);
    uint32_t sub = subpriority_bits(group);
    int level = running_level();
    uint32_t running = (uint32_t)level << (8U - here->pre_bits);

    if (!(here->hcr & ICH_HCR_EL2_EN) || priority >= FIELD_GET(ICH_VMCR_EL2_VPMR, here->vmcr)) {
        return false;
    }
    return level < 0 || (priority >> sub) < (running >> sub);
}

bool sim_irq_signalled(uint32_t group)
{
    int i = highest_pending();

    return i >= 0 && ((here->lr[i] & ICH_LR_EL2_GROUP) != 0) == (group != 0) &&
           preempts(here->lr[i]);
}

uint32_t sim_ack(uint32_t group)
{
    int i = highest_pending();
    uint32_t sub, level;

    if (!sim_irq_signalled(group)) {
        return SIM_SPURIOUS;
    }
    sub = subpriority_bits(group);
    level = (uint32_t)FIELD_GET(ICH_LR_EL2_PRIORITY, here->lr[i]) >> sub << sub;
    level >>= 8U - here->pre_bits;
    if (group == 0) {
        here->ap0r[level / 32U] |= BIT(level % 32U);
    } else {
        here->ap1r[level / 32U] |= BIT(level % 32U);
    }
    here->lr[i] = with_state(here->lr[i], LR_ACTIVE);
    return (uint32_t)here->lr[i];
}

void sim_deactivate(uint32_t intid)
{
    for (uint32_t i = 0; i < here->nr_lrs; i++) {
        uint32_t state = state_of(here->lr[i]);

        if ((uint32_t)here->lr[i] == intid && (state & LR_ACTIVE) != 0) {
            here->lr[i] = with_state(here->lr[i], state & ~(uint32_t)LR_ACTIVE);
            if (here->lr[i] & ICH_LR_EL2_HW) {
                BUG_ON(!here->ppi27_active);
                here->ppi27_active = false;
            }
            return;
        }
    }
    here->hcr += FIELD_PREP(ICH_HCR_EL2_EOICOUNT, 1);
}

void sim_eoi(uint32_t group, uint32_t intid)
{
    int level = running_level();
    uint64_t *aprs = group == 0 ? here->ap0r : here->ap1r;

    if (level < 0) {
        return;
    }
    BUG_ON(!(aprs[level / 32] & BIT(level % 32))); /* the guest ends them in order */
    aprs[level / 32] &= ~BIT(level % 32);
    if (!(here->vmcr & ICH_VMCR_EL2_VEOIM)) {
        sim_deactivate(intid);
    }
}

void sim_set_pmr(uint32_t pmr)
{
    here->vmcr = FIELD_SET(here->vmcr, ICH_VMCR_EL2_VPMR, pmr & (0xff00U >> here->pri_bits));
}

void sim_set_enable(uint32_t group, bool enable)
{
    uint64_t bit = group == 0 ? ICH_VMCR_EL2_VENG0 : ICH_VMCR_EL2_VENG1;

    here->vmcr = enable ? here->vmcr | bit : here->vmcr & ~bit;
}

void sim_set_eoimode(bool split)
{
    here->vmcr = FIELD_SET(here->vmcr, ICH_VMCR_EL2_VEOIM, split);
}

void sim_set_bpr(uint32_t group, uint32_t bpr)
{
    uint32_t min = 7U - here->pre_bits + group;

    here->vmcr = FIELD_SET(here->vmcr, group == 0 ? ICH_VMCR_EL2_VBPR0 : ICH_VMCR_EL2_VBPR1,
                           bpr < min ? min : bpr);
}
