/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of four vCPUs, the first one loaded and on, for tests of what its exits do. Its hooks,
 * its vGIC and its timers only count. ID registers of the CPU are zero unless a test says
 * otherwise. Everything is defined here, since it takes the place of the vGIC and the timers: to
 * be included by a program's only source file.
 */
#ifndef TESTS_CORE_GUEST_H
#define TESTS_CORE_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/fake.h"
#include "arch/sysreg.h"
#include "bothy/esr.h"
#include "core/cpu.h"
#include "core/smccc.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "core/vsysreg.h"

#define GUEST_VCPUS 4
#define GUEST_RAM UINT64_C(0x40000000)
#define GUEST_RAM_SIZE UINT64_C(0x10000000)
#define GUEST_PC UINT64_C(0x40080100)
#define GUEST_BREAKPOINTS 6
#define GUEST_WATCHPOINTS 4

struct test_guest {
    struct vm vm;
    struct vm_hooks hooks;
    struct vcpu *vcpu[GUEST_VCPUS];
    struct vcpu vcpus[GUEST_VCPUS];
    struct cpu cpu;
    struct id_profile ids;
    struct trap_controls traps;
    struct smccc_host smccc;

    unsigned starts; /* of hooks, and their last arguments */
    struct vcpu *started;
    unsigned power_calls;
    enum vm_power power_what;
    unsigned flushes;          /* that came to their end */
    unsigned flush_interrupts; /* that come before it does */
    unsigned gic_writes[3];    /* SGI0R, SGI1R, DIR */
    uint64_t gic_value;
};

static inline struct test_guest *guest_of(void **state)
{
    return *state;
}

/* The CPU's own registers. */
static inline void set_reg(uint32_t reg, uint64_t value)
{
    fake_sysreg_set(reg, value);
}

static inline uint64_t get_reg(uint32_t reg)
{
    return fake_sysreg_get(reg);
}

/* Its ID registers by CRm and Op2; fill_ids() gives all of them one value. */
static inline void set_id(unsigned crm, unsigned op2, uint64_t value)
{
    fake_sysreg_set(SYSREG_ENC(3u, 0u, 0u, crm, op2), value);
}

static inline uint64_t get_id(unsigned crm, unsigned op2)
{
    uint32_t reg = SYSREG_ENC(3u, 0u, 0u, crm, op2);

    return fake_sysreg_known(reg) ? fake_sysreg_get(reg) : 0;
}

static inline void fill_ids(uint64_t value)
{
    for (unsigned crm = 1; crm < 8; crm++) {
        for (unsigned op2 = 0; op2 < 8; op2++)
            set_id(crm, op2, value);
    }
}

/* --- the hooks --- */

static struct test_guest *guest_of_vm(struct vm *vm)
{
    return CONTAINER_OF(vm, struct test_guest, vm);
}

static void guest_vcpu_start(struct vcpu *vcpu)
{
    guest_of_vm(vcpu->vm)->starts++;
    guest_of_vm(vcpu->vm)->started = vcpu;
}

static void guest_power(struct vm *vm, enum vm_power what)
{
    guest_of_vm(vm)->power_calls++;
    guest_of_vm(vm)->power_what = what;
}

static bool guest_flush_memory(struct vcpu *vcpu)
{
    struct test_guest *guest = guest_of_vm(vcpu->vm);

    if (guest->flush_interrupts > 0) {
        guest->flush_interrupts--;
        return false;
    }
    guest->flushes++;
    return true;
}

/* --- in place of vgic_*.c and vtimer.c --- */

void vgic_vcpu_reset(struct vcpu *vcpu)
{
    vcpu->vgic.vmcr = 0;
}

static enum trap_result guest_gic_write(struct vcpu *vcpu, unsigned which, uint64_t value)
{
    guest_of_vm(vcpu->vm)->gic_writes[which]++;
    guest_of_vm(vcpu->vm)->gic_value = value;
    return TRAP_NEXT;
}

enum trap_result vgic_write_sgi1r(struct vcpu *cur, uint64_t value)
{
    return guest_gic_write(cur, 1, value);
}

enum trap_result vgic_write_sgi0r(struct vcpu *cur, uint64_t value)
{
    return guest_gic_write(cur, 0, value);
}

enum trap_result vgic_write_dir(struct vcpu *cur, uint64_t value)
{
    return guest_gic_write(cur, 2, value);
}

void vtimer_reset(struct vcpu *vcpu)
{
    vcpu->timer = (struct vcpu_vtimer){0};
}

enum trap_result vtimer_sysreg(struct vcpu *vcpu, uint32_t reg, bool write, uint64_t *value)
{
    (void)vcpu;
    if (!write)
        *value = reg;
    return TRAP_NEXT;
}

/* --- making one --- */

/* The vCPUs as after setup. */
static inline void guest_reset(struct test_guest *guest)
{
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        struct vcpu *vcpu = &guest->vcpus[i];

        vcpu->regs = (struct vcpu_regs){.pc = GUEST_PC, .pstate = SPSR_EL1_M_EL1H};
        vcpu->debug = (struct vcpu_debug){0};
        vcpu->timer = (struct vcpu_vtimer){0};
        vcpu->hcr = guest->traps.hcr;
        vcpu->power = i == 0 ? VCPU_ON : VCPU_OFF;
    }
}

static void guest_set_registers(struct test_guest *guest)
{
    static const uint32_t zeroed[] = {
        SYSREG_SCTLR_EL1, SYSREG_VBAR_EL1, SYSREG_MDSCR_EL1, SYSREG_MDCR_EL2, SYSREG_HCR_EL2,
    };

    fill_ids(0);
    for (size_t i = 0; i < ARRAY_SIZE(zeroed); i++)
        set_reg(zeroed[i], 0);
    for (unsigned i = 0; i < 16; i++) {
        set_reg(SYSREG_ENC(2u, 0u, 0u, i, 4u), 0);
        set_reg(SYSREG_ENC(2u, 0u, 0u, i, 5u), 0);
        set_reg(SYSREG_ENC(2u, 0u, 0u, i, 6u), 0);
        set_reg(SYSREG_ENC(2u, 0u, 0u, i, 7u), 0);
    }
    set_reg(SYSREG_TPIDR_EL2, (uint64_t)(uintptr_t)&guest->cpu);
}

static int guest_setup(void **state)
{
    struct test_guest *guest = calloc(1, sizeof(*guest));

    fake_reset();
    fake_cpu_select(0);
    fake_log_enable(false);
    guest_set_registers(guest);
    trap_controls_init(&guest->traps, false);
    guest->ids.reg[5][0] = FIELD_PREP(ID_AA64DFR0_EL1_BRPS, GUEST_BREAKPOINTS - 1) |
                           FIELD_PREP(ID_AA64DFR0_EL1_WRPS, GUEST_WATCHPOINTS - 1);
    guest->hooks.vcpu_start = guest_vcpu_start;
    guest->hooks.power = guest_power;
    guest->hooks.flush_memory = guest_flush_memory;
    guest->vm.hooks = &guest->hooks;
    guest->vm.ids = &guest->ids;
    guest->vm.traps = &guest->traps;
    guest->vm.smccc = &guest->smccc;
    guest->vm.ram_base = ipa(GUEST_RAM);
    guest->vm.ram_size = GUEST_RAM_SIZE;
    guest->vm.nr_vcpus = GUEST_VCPUS;
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        guest->vcpus[i].vm = &guest->vm;
        guest->vcpus[i].id = i;
        guest->vcpus[i].mpidr = i;
        guest->vcpu[i] = &guest->vcpus[i];
        guest->vm.vcpus[i] = &guest->vcpus[i];
    }
    guest->cpu.loaded = guest->vcpu[0];
    guest_reset(guest);
    *state = guest;
    return 0;
}

static int guest_teardown(void **state)
{
    free(*state);
    return 0;
}

#define GUEST_TEST(function) cmocka_unit_test_setup_teardown(function, guest_setup, guest_teardown)

#endif
