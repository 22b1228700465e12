/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paravirtualized time (Arm DEN0057): a guest learns for how long its vCPU was runnable but did
 * not run. The accounting is the scheduler's (vcpu->stolen_ticks); writing the record to guest
 * memory is el2's.
 */
#ifndef CORE_PV_TIME_H
#define CORE_PV_TIME_H

#include "bothy/types.h"
#include "core/trap_result.h"

struct vcpu;

#define PV_TIME_FEATURES 0xc5000020u
#define PV_TIME_ST 0xc5000021u

/* DEN0057 3.2.2, little-endian, 64-byte aligned in guest memory. */
struct pv_time_record {
    uint32_t revision;   /* 0 */
    uint32_t attributes; /* 0 */
    uint64_t stolen_ns;
    uint8_t padding[48];
};

_Static_assert(sizeof(struct pv_time_record) == 64, "DEN0057 fixes the size");

/* Answers PV_TIME_FEATURES and PV_TIME_ST; NOT_SUPPORTED if vcpu->pv_time is 0. TRAP_RESUME. */
enum trap_result pv_time_call(struct vcpu *vcpu, uint32_t function);

/* Fills the record from vcpu->stolen_ticks; frequency is the counter's, in Hz, not 0. */
void pv_time_fill(const struct vcpu *vcpu, uint32_t frequency, struct pv_time_record *ret_record);

#endif
