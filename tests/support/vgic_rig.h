/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM with a vGIC on simulated CPUs, and the little of a hypervisor that a vGIC needs around it:
 * loading, the physical timer interrupt, maintenance, kicks and fold requests.
 */
#ifndef TESTS_VGIC_RIG_H
#define TESTS_VGIC_RIG_H

#include "core/vcpu.h"
#include "core/vm.h"
#include "tests/support/vgic_sim.h"

#define RIG_CPUS 4
#define RIG_VCPUS 4
#define RIG_DIST 0x08000000UL
#define RIG_REDIST 0x080a0000UL
#define RIG_REDIST_OF(vcpu) (RIG_REDIST + 0x20000UL * (vcpu))
#define RIG_SGI_OF(vcpu) (RIG_REDIST_OF(vcpu) + 0x10000UL)

struct rig {
    struct vm vm;
    struct vm_hooks hooks;
    struct vcpu vcpus[RIG_VCPUS];
    struct sim_cpu cpus[RIG_CPUS];
    uint32_t nr_cpus;
    bool timer_line[RIG_VCPUS];  /* of the virtual timer: PPI 27 */
    bool ptimer_line[RIG_VCPUS]; /* of the emulated physical timer: PPI 30 */
    uint32_t kicks[RIG_VCPUS];
    uint32_t syncs;
};

/* All vCPUs unloaded; this thread is on CPU 0. */
void rig_init(struct rig *rig, uint32_t nr_cpus, uint32_t nr_vcpus, uint32_t nr_lrs,
              uint32_t pre_bits);

/* On the CPU of this thread. */
void rig_load(struct vcpu *vcpu);
void rig_put(void);
struct vcpu *rig_loaded(const struct sim_cpu *sim);

/* vtimer_resample(), with the timers' registers set so that the lines are the rig's. */
void rig_resample(struct vcpu *vcpu);

/* Take the physical timer interrupt on this CPU if it is asserted. */
void rig_take_timer(struct rig *rig);

/* Take all interrupts that EL2 gets on this CPU, and do what is due before an entry. */
void rig_settle(struct rig *rig);
void rig_settle_all(struct rig *rig);

/* A guest's accesses, by the vCPU loaded on this CPU. */
uint64_t rig_read(struct rig *rig, uint64_t address, uint32_t size);
void rig_write(struct rig *rig, uint64_t address, uint32_t size, uint64_t value);
uint32_t rig_read32(struct rig *rig, uint64_t address);
void rig_write32(struct rig *rig, uint64_t address, uint32_t value);

/* The guest's DIR, trapped if ICH_HCR_EL2.TDIR says so. */
void rig_dir(uint32_t intid);

/* Make all interrupts of this VM group 1 and enabled at this priority; groups and interface on. */
void rig_enable_all(struct rig *rig, uint8_t priority);

#endif
