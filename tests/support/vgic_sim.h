/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual CPU interface of a simulated CPU, as IHI 0069 has it: what ICC_IAR, EOIR, DIR and
 * the rest do to list registers and active priorities when a guest at EL1 uses them. Written
 * from the specification, apart from the code under test.
 */
#ifndef TESTS_VGIC_SIM_H
#define TESTS_VGIC_SIM_H

#include "core/cpu.h"
#include <stdbool.h>
#include <stdint.h>

#define SIM_LRS 16
#define SIM_SPURIOUS 1023U

struct sim_cpu {
    struct cpu cpu;
    uint64_t lr[SIM_LRS];
    uint64_t ap0r[4], ap1r[4];
    uint64_t hcr, vmcr;
    uint32_t nr_lrs, pre_bits, pri_bits;
    bool ppi27_active; /* the physical interrupt */
};

/* Make this the CPU on which the calling thread runs. */
void sim_enter(struct sim_cpu *sim);
struct sim_cpu *sim_here(void);
void sim_init(struct sim_cpu *sim, uint32_t id, uint32_t nr_lrs, uint32_t pre_bits);

/* System registers, by their encoding (SYSREG_...). False if it is none of the simulated. */
bool sim_read(uint32_t reg, uint64_t *ret_value);
bool sim_write(uint32_t reg, uint64_t value);

/* What the guest on this CPU does. Groups are 0 and 1. */
bool sim_irq_signalled(uint32_t group);
uint32_t sim_ack(uint32_t group);
void sim_eoi(uint32_t group, uint32_t intid);
void sim_deactivate(uint32_t intid); /* DIR, if it weren't trapped */
void sim_set_pmr(uint32_t pmr);
void sim_set_enable(uint32_t group, bool enable);
void sim_set_eoimode(bool split);
void sim_set_bpr(uint32_t group, uint32_t bpr);

/* ICH_MISR_EL2, and whether a maintenance interrupt is asserted. */
uint64_t sim_misr(void);

#endif
