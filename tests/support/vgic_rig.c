/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/vgic_rig.h"

#include "arch/fake.h"
#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "bothy/panic.h"
#include "bothy/string.h"
#include "core/vtimer.h"

#define NOW 1000U /* CNTPCT */

static struct rig *rig_of(struct vcpu *vcpu)
{
    return CONTAINER_OF(vcpu->vm, struct rig, vm);
}

static void rig_kick(struct vcpu *vcpu)
{
    __atomic_fetch_add(&rig_of(vcpu)->kicks[vcpu->id], 1U, __ATOMIC_RELAXED);
}

static void rig_sync(struct vcpu *vcpu)
{
    struct rig *rig = rig_of(vcpu);
    struct sim_cpu *before = sim_here();

    BUG_ON(spin_is_locked(&rig->vm.vgic.lock));
    rig->syncs++;
    for (uint32_t i = 0; i < rig->nr_cpus; i++) {
        if (rig_loaded(&rig->cpus[i]) == vcpu) {
            BUG_ON(before == &rig->cpus[i]);
            sim_enter(&rig->cpus[i]);
            vgic_fold(vcpu);
        }
    }
    sim_enter(before);
}

/* Registers beside the CPU interface's: vtimer.c looks at the timer and deactivates its PPI. */
static bool rig_read_register(uint32_t reg, uint64_t *ret_value)
{
    struct vcpu *vcpu = sim_here()->cpu.loaded;

    if (reg == SYSREG_CNTV_CTL_EL0) {
        *ret_value =
            CNTV_CTL_EL0_ENABLE | (rig_of(vcpu)->timer_line[vcpu->id] ? CNTV_CTL_EL0_ISTATUS : 0);
        return true;
    }
    if (reg == SYSREG_CNTPCT_EL0) {
        *ret_value = NOW;
        return true;
    }
    return sim_read(reg, ret_value);
}

static bool rig_write_register(uint32_t reg, uint64_t value)
{
    if (reg == SYSREG_ICC_DIR_EL1) {
        BUG_ON(value != VTIMER_PPI_VIRT || !sim_here()->ppi27_active);
        sim_here()->ppi27_active = false;
        return true;
    }
    return sim_write(reg, value);
}

void rig_resample(struct vcpu *vcpu)
{
    const struct rig *rig = rig_of(vcpu);

    vcpu->timer.cntv_ctl = CNTV_CTL_EL0_ENABLE;
    vcpu->timer.cntv_cval = rig->timer_line[vcpu->id] ? 0 : UINT64_MAX;
    vcpu->timer.cntp_ctl = CNTP_CTL_EL0_ENABLE;
    vcpu->timer.cntp_cval = rig->ptimer_line[vcpu->id] ? 0 : UINT64_MAX;
    vtimer_resample(vcpu);
}

void rig_init(struct rig *rig, uint32_t nr_cpus, uint32_t nr_vcpus, uint32_t nr_lrs,
              uint32_t pre_bits)
{
    memset(rig, 0, sizeof(*rig));
    fake_reset();
    fake_log_enable(false);
    fake_sysreg_device(rig_read_register, rig_write_register);
    rig->nr_cpus = nr_cpus;
    for (uint32_t i = 0; i < nr_cpus; i++) {
        sim_init(&rig->cpus[i], i, nr_lrs, pre_bits);
    }
    sim_enter(&rig->cpus[0]);
    rig->hooks.kick = rig_kick;
    rig->hooks.sync_vcpu = rig_sync;
    rig->vm.hooks = &rig->hooks;
    rig->vm.nr_vcpus = nr_vcpus;
    for (uint32_t i = 0; i < nr_vcpus; i++) {
        rig->vm.vcpus[i] = &rig->vcpus[i];
        rig->vcpus[i].vm = &rig->vm;
        rig->vcpus[i].id = i;
        rig->vcpus[i].mpidr = i;
        rig->vcpus[i].timer.cntp_ctl = CNTP_CTL_EL0_ENABLE;
        rig->vcpus[i].timer.cntp_cval = UINT64_MAX;
    }
    vgic_init(&rig->vm, RIG_DIST, RIG_REDIST);
}

struct vcpu *rig_loaded(const struct sim_cpu *sim)
{
    return sim->cpu.loaded;
}

void rig_load(struct vcpu *vcpu)
{
    struct sim_cpu *sim = sim_here();

    BUG_ON(sim->cpu.loaded != NULL);
    sim->ppi27_active = vgic_hw_active(vcpu);
    sim->cpu.loaded = vcpu;
    sim->cpu.running = vcpu;
    vgic_load(vcpu);
}

void rig_put(void)
{
    struct sim_cpu *sim = sim_here();
    struct vcpu *vcpu = sim->cpu.loaded;

    vgic_put(vcpu);
    BUG_ON(sim->ppi27_active != vgic_hw_active(vcpu));
    sim->ppi27_active = false;
    sim->cpu.loaded = NULL;
    sim->cpu.running = NULL;
    rig_resample(vcpu); /* from now on only software looks at the timer */
}

static bool timer_asserted(const struct rig *rig)
{
    const struct sim_cpu *sim = sim_here();

    return sim->cpu.loaded != NULL && rig->timer_line[sim->cpu.loaded->id] && !sim->ppi27_active;
}

void rig_take_timer(struct rig *rig)
{
    if (timer_asserted(rig)) {
        sim_here()->ppi27_active = true;
        vgic_timer_fired(sim_here()->cpu.loaded);
    }
}

void rig_settle(struct rig *rig)
{
    struct sim_cpu *sim = sim_here();
    struct vcpu *vcpu = sim->cpu.loaded;

    if (vcpu == NULL) {
        return;
    }
    for (int rounds = 0;; rounds++) {
        if (!timer_asserted(rig) && sim_misr() == 0 && !vgic_has_work(&vcpu->vgic)) {
            return;
        }
        BUG_ON(rounds > 3); /* a storm */
        rig_take_timer(rig);
        if (sim_misr() != 0) {
            vgic_maintenance(vcpu);
        }
        if (vgic_has_work(&vcpu->vgic)) {
            vgic_flush(vcpu);
        }
    }
}

void rig_settle_all(struct rig *rig)
{
    struct sim_cpu *before = sim_here();

    for (uint32_t i = 0; i < rig->nr_cpus; i++) {
        sim_enter(&rig->cpus[i]);
        rig_settle(rig);
    }
    /* What one found out may concern another: its interrupt moved there. */
    for (uint32_t i = 0; i < rig->nr_cpus; i++) {
        sim_enter(&rig->cpus[i]);
        rig_settle(rig);
    }
    sim_enter(before);
}

static void access_at(struct rig *rig, uint64_t address, struct mmio_access *access)
{
    access->ipa = ipa(address);
    BUG_ON(vgic_mmio(sim_here()->cpu.loaded, access) != TRAP_NEXT);
}

uint64_t rig_read(struct rig *rig, uint64_t address, uint32_t size)
{
    struct mmio_access access = {.value = 0x5a5a5a5a5a5a5a5aUL, .size = (uint8_t)size};

    access_at(rig, address, &access);
    BUG_ON(size < 8 && (access.value >> (8U * size)) != 0);
    return access.value;
}

void rig_write(struct rig *rig, uint64_t address, uint32_t size, uint64_t value)
{
    struct mmio_access access = {.value = value, .size = (uint8_t)size, .write = true};

    access_at(rig, address, &access);
}

uint32_t rig_read32(struct rig *rig, uint64_t address)
{
    return (uint32_t)rig_read(rig, address, 4);
}

void rig_write32(struct rig *rig, uint64_t address, uint32_t value)
{
    rig_write(rig, address, 4, value);
}

void rig_dir(uint32_t intid)
{
    if (sim_here()->hcr & ICH_HCR_EL2_TDIR) {
        BUG_ON(vgic_write_dir(sim_here()->cpu.loaded, intid) != TRAP_NEXT);
    } else {
        sim_deactivate(intid);
    }
}

void rig_enable_all(struct rig *rig, uint8_t priority)
{
    rig_write32(rig, RIG_DIST, 3);
    for (uint32_t i = 0; i < rig->vm.nr_vcpus; i++) {
        rig_write32(rig, RIG_SGI_OF(i) + 0x80, ~0U);
        rig_write32(rig, RIG_SGI_OF(i) + 0x100, ~0U);
        for (uint32_t n = 0; n < 32; n++) {
            rig_write(rig, RIG_SGI_OF(i) + 0x400 + n, 1, priority);
        }
    }
    for (uint32_t word = 1; word < 9; word++) {
        rig_write32(rig, RIG_DIST + 0x80 + 4 * word, ~0U);
        rig_write32(rig, RIG_DIST + 0x100 + 4 * word, ~0U);
    }
    for (uint32_t n = 32; n < 288; n++) {
        rig_write(rig, RIG_DIST + 0x400 + n, 1, priority);
    }
    sim_set_pmr(0xff);
    sim_set_enable(0, true);
    sim_set_enable(1, true);
}
