/* SPDX-License-Identifier: Apache-2.0 */
/* See vpsci.h, which says who may change vcpu->power. */
#include "core/vpsci.h"

#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "core/smccc.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "core/vm.h"
#include "core/vsysreg.h"
#include "core/vtimer.h"

#define MIGRATE_NOT_NEEDED 2 /* MIGRATE_INFO_TYPE: no trusted OS */

/* Caches and MMU off, little-endian. Where a bit isn't RES1 it means the ARMv8.0 behaviour. */
#define SCTLR_RESET                                                                           \
    (SCTLR_EL1_LSMAOE | SCTLR_EL1_NTLSMD | SCTLR_EL1_SPAN | SCTLR_EL1_EIS | SCTLR_EL1_TSCXT | \
     SCTLR_EL1_EOS)

enum affinity_state {
    AFFINITY_ON = 0,
    AFFINITY_OFF = 1,
    AFFINITY_ON_PENDING = 2,
};

struct psci_function {
    enum trap_result (*handle)(struct vcpu *vcpu, uint32_t function);
    bool has_64bit;
};

static enum trap_result done(struct vcpu *vcpu, int64_t result)
{
    smccc_return(vcpu, result);
    return TRAP_RESUME;
}

static enum trap_result psci_version(struct vcpu *vcpu, uint32_t function)
{
    (void)function;
    return done(vcpu, PSCI_VERSION_1_1);
}

static bool is_entry_point(const struct vm *vm, uint64_t entry)
{
    return IS_ALIGNED(entry, 4) && entry - vm->ram_base.ipa < vm->ram_size;
}

/* The vCPU with these affinity fields, all of MPIDR's other bits being zero; or NULL. */
static struct vcpu *find_vcpu(const struct vm *vm, uint64_t target)
{
    for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
        if (vm->vcpus[i]->mpidr == target)
            return vm->vcpus[i];
    }
    return NULL;
}

/* Forgets what HCR_EL2 held only on behalf of the state that is gone. */
static void reset_common(struct vcpu *vcpu, uint64_t pc, uint64_t x0)
{
    uint64_t stack = vcpu->regs.stack;

    vcpu->regs = (struct vcpu_regs){
        .x = {[0] = x0},
        .pc = pc,
        .pstate = SPSR_EL2_D | SPSR_EL2_A | SPSR_EL2_I | SPSR_EL2_F |
                  FIELD_PREP(SPSR_EL2_M, SPSR_EL2_M_EL1H),
        .stack = stack,
    };
    vcpu->hcr &= ~(HCR_EL2_TVM | HCR_EL2_VSE);
}

/*
 * CPU_SUSPEND's way down. Only what the architecture gives a reset value is written; the rest is
 * UNKNOWN, and the guest's own. The timers and the GIC stay as they are: they are what wakes it.
 */
static void reset_loaded(struct vcpu *vcpu, uint64_t pc, uint64_t x0)
{
    reset_common(vcpu, pc, x0);
    vdebug_reset(vcpu, true);
    write_sctlr_el1(SCTLR_RESET);
    write_cpacr_el1(0);
    write_cntkctl_el1(0);
    write_hcr_el2(vcpu->hcr);
}

/*
 * DEN0022 5.4. Power levels above the CPU's own are not offered, state IDs mean nothing. There is
 * one wake-up rule for both state types: whatever ends a WFI. Whoever waits goes on at PC + 4,
 * behind the instruction that waits: PC is moved back for that.
 */
static enum trap_result psci_cpu_suspend(struct vcpu *vcpu, uint32_t function)
{
    uint64_t state = smccc_arg(vcpu, function, 1) & UINT32_MAX;
    uint64_t entry = smccc_arg(vcpu, function, 2);
    uint64_t context = smccc_arg(vcpu, function, 3);

    if (state & ~(PSCI_POWER_STATE_TYPE | PSCI_POWER_STATE_ID))
        return done(vcpu, PSCI_INVALID_PARAMETERS);
    if (!(state & PSCI_POWER_STATE_TYPE)) {
        smccc_return(vcpu, PSCI_SUCCESS);
        vcpu->regs.pc -= SMCCC_INSTRUCTION;
        return TRAP_WAIT;
    }
    if (!is_entry_point(vcpu->vm, entry))
        return done(vcpu, PSCI_INVALID_ADDRESS);

    reset_loaded(vcpu, entry - SMCCC_INSTRUCTION, context);
    return TRAP_WAIT;
}

/* DEN0022 5.5. When the last one goes nobody is left to start another: the guest is off. */
static enum trap_result psci_cpu_off(struct vcpu *vcpu, uint32_t function)
{
    struct vm *vm = vcpu->vm;
    bool last = true;

    (void)function;
    spin_lock(&vm->lifecycle);
    atomic_store32_release(&vcpu->power, VCPU_OFF);
    for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
        if (atomic_load32_acquire(&vm->vcpus[i]->power) != VCPU_OFF)
            last = false;
    }
    spin_unlock(&vm->lifecycle);
    if (last)
        vm->hooks->power(vm, VM_POWER_OFF);
    return TRAP_OFF;
}

bool vpsci_make_pending_locked(struct vcpu *vcpu, uint64_t pc, uint64_t x0)
{
    if (atomic_load32_acquire(&vcpu->power) != VCPU_OFF)
        return false;
    vcpu->start_pc = pc;
    vcpu->start_x0 = x0;
    /* Release: who sees ON_PENDING sees the two above. */
    atomic_store32_release(&vcpu->power, VCPU_ON_PENDING);
    return true;
}

/* DEN0022 5.6. */
static enum trap_result psci_cpu_on(struct vcpu *vcpu, uint32_t function)
{
    struct vm *vm = vcpu->vm;
    struct vcpu *target = find_vcpu(vm, smccc_arg(vcpu, function, 1));
    uint64_t entry = smccc_arg(vcpu, function, 2);
    uint32_t power;
    bool started;

    if (!target)
        return done(vcpu, PSCI_INVALID_PARAMETERS);
    if (!is_entry_point(vm, entry))
        return done(vcpu, PSCI_INVALID_ADDRESS);

    spin_lock(&vm->lifecycle);
    power = atomic_load32_acquire(&target->power);
    started = vpsci_make_pending_locked(target, entry, smccc_arg(vcpu, function, 3));
    spin_unlock(&vm->lifecycle);

    if (!started)
        return done(vcpu, power == VCPU_ON ? PSCI_ALREADY_ON : PSCI_ON_PENDING);
    vm->hooks->vcpu_start(target);
    return done(vcpu, PSCI_SUCCESS);
}

/* DEN0022 5.7: of a group of CPUs, ON if one is on, else ON_PENDING if one is, else OFF. */
static enum trap_result psci_affinity_info(struct vcpu *vcpu, uint32_t function)
{
    static const uint64_t level_mask[] = {
        MPIDR_EL1_AFF3 | MPIDR_EL1_AFF2 | MPIDR_EL1_AFF1 | MPIDR_EL1_AFF0,
        MPIDR_EL1_AFF3 | MPIDR_EL1_AFF2 | MPIDR_EL1_AFF1,
        MPIDR_EL1_AFF3 | MPIDR_EL1_AFF2,
        MPIDR_EL1_AFF3,
    };
    const struct vm *vm = vcpu->vm;
    uint64_t target = smccc_arg(vcpu, function, 1);
    uint64_t level = smccc_arg(vcpu, function, 2) & UINT32_MAX;
    int64_t state = PSCI_INVALID_PARAMETERS;

    if (level >= ARRAY_SIZE(level_mask) || (target & ~level_mask[0]))
        return done(vcpu, PSCI_INVALID_PARAMETERS);

    for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
        uint32_t power;

        if ((vm->vcpus[i]->mpidr ^ target) & level_mask[level])
            continue;
        power = atomic_load32_acquire(&vm->vcpus[i]->power);
        if (power == VCPU_ON)
            return done(vcpu, AFFINITY_ON);
        if (power == VCPU_ON_PENDING)
            state = AFFINITY_ON_PENDING;
        else if (state != AFFINITY_ON_PENDING)
            state = AFFINITY_OFF;
    }
    return done(vcpu, state);
}

static enum trap_result psci_migrate_info_type(struct vcpu *vcpu, uint32_t function)
{
    (void)function;
    return done(vcpu, MIGRATE_NOT_NEEDED);
}

static enum trap_result psci_system_off(struct vcpu *vcpu, uint32_t function)
{
    (void)function;
    vcpu->vm->hooks->power(vcpu->vm, VM_POWER_OFF);
    return TRAP_OFF;
}

static enum trap_result psci_system_reset(struct vcpu *vcpu, uint32_t function)
{
    (void)function;
    vcpu->vm->hooks->power(vcpu->vm, VM_POWER_RESET);
    return TRAP_OFF;
}

/* DEN0022 5.12: type 0 is SYSTEM_WARM_RESET; the vendor's own (bit 31) are not offered. */
static enum trap_result psci_system_reset2(struct vcpu *vcpu, uint32_t function)
{
    if (smccc_arg(vcpu, function, 1) & UINT32_MAX)
        return done(vcpu, PSCI_INVALID_PARAMETERS);
    return psci_system_reset(vcpu, function);
}

static enum trap_result psci_features(struct vcpu *vcpu, uint32_t function);

/* By function number; all calls have a 32-bit form. What is not here is NOT_SUPPORTED. */
static const struct psci_function functions[PSCI_LAST - PSCI_VERSION + 1] = {
    [PSCI_VERSION - PSCI_VERSION] = {psci_version, false},
    [PSCI_CPU_SUSPEND - PSCI_VERSION] = {psci_cpu_suspend, true},
    [PSCI_CPU_OFF - PSCI_VERSION] = {psci_cpu_off, false},
    [PSCI_CPU_ON - PSCI_VERSION] = {psci_cpu_on, true},
    [PSCI_AFFINITY_INFO - PSCI_VERSION] = {psci_affinity_info, true},
    [PSCI_MIGRATE_INFO_TYPE - PSCI_VERSION] = {psci_migrate_info_type, false},
    [PSCI_SYSTEM_OFF - PSCI_VERSION] = {psci_system_off, false},
    [PSCI_SYSTEM_RESET - PSCI_VERSION] = {psci_system_reset, false},
    [PSCI_FEATURES - PSCI_VERSION] = {psci_features, false},
    [PSCI_SYSTEM_RESET2 - PSCI_VERSION] = {psci_system_reset2, true},
};

static const struct psci_function *find_function(uint32_t function)
{
    uint32_t number = (function & ~(uint32_t)SMCCC_64BIT) - PSCI_VERSION;
    const struct psci_function *found;

    if (number >= ARRAY_SIZE(functions))
        return NULL;
    found = &functions[number];
    if (!found->handle || ((function & SMCCC_64BIT) && !found->has_64bit))
        return NULL;
    return found;
}

/* DEN0022 5.15. Flags are zero: for CPU_SUSPEND that is the original format, no OS-initiated. */
static enum trap_result psci_features(struct vcpu *vcpu, uint32_t function)
{
    uint32_t wanted = (uint32_t)smccc_arg(vcpu, function, 1);

    if (wanted == SMCCC_VERSION || find_function(wanted))
        return done(vcpu, PSCI_SUCCESS);
    return done(vcpu, PSCI_NOT_SUPPORTED);
}

enum trap_result vpsci_call(struct vcpu *vcpu, uint32_t function)
{
    const struct psci_function *found = find_function(function);

    if (!found)
        return done(vcpu, PSCI_NOT_SUPPORTED);
    return found->handle(vcpu, function);
}

void vpsci_reset_vcpu(struct vcpu *vcpu, uint64_t pc, uint64_t x0)
{
    reset_common(vcpu, pc, x0);
    vcpu->sys = (struct vcpu_sysregs){.sctlr = SCTLR_RESET};
    vdebug_reset(vcpu, false);
    vtimer_reset(vcpu);
}

bool vpsci_start(struct vcpu *vcpu)
{
    if (atomic_load32_acquire(&vcpu->power) != VCPU_ON_PENDING)
        return false;
    vpsci_reset_vcpu(vcpu, vcpu->start_pc, vcpu->start_x0);
    vgic_vcpu_reset(vcpu);
    atomic_store32_release(&vcpu->power, VCPU_ON);
    return true;
}
