/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMIDs: the names of VMs in the TLBs (VTTBR_EL2.VMID, 8 or 16 bits). There may be more VMs than
 * VMIDs, so a VM has one for a generation only. When they run out, the next generation begins:
 * all TLBs are flushed, the VMs that are on a CPU right then keep their numbers, and all others
 * get a new one when they are next switched in.
 */
#ifndef CORE_VMID_H
#define CORE_VMID_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "core/cpu.h"

#define VMID_BITS_MAX 16U

/* A VM's VMID and the generation in which it holds. All zero: never had one. */
struct vmid {
    uint64_t tag; /* atomic: generation << 16 | number */
};

struct vmid_allocator {
    struct spinlock lock;
    uint32_t bits;
    uint32_t next;              /* where to look for a free number first */
    bool flush_icache;          /* instruction caches are tagged by VMID (VPIPT) */
    uint64_t generation;        /* atomic; low 16 bits zero, as in a tag */
    uint64_t active[CPU_MAX];   /* atomic: the tag each CPU runs with, 0 since a roll-over */
    uint64_t reserved[CPU_MAX]; /* the tag each CPU ran with at the last roll-over */
    uint64_t used[(1U << VMID_BITS_MAX) / 64]; /* numbers taken in this generation */
};

/* `bits`: 8, or 16 where s2_config.vmid16. Reads CTR_EL0. */
void vmid_allocator_init(struct vmid_allocator *allocator, unsigned bits);

/*
 * The number to enter this VM with on this CPU (the caller's, 0..CPU_MAX-1), never 0. To be
 * called at each switch-in, before VTTBR_EL2 is written, with interrupts masked; the number holds
 * until the next call for the same CPU. Needs no lock unless a generation has passed. A number
 * that is in use on one CPU stays the VM's on all, so sibling vCPUs always agree.
 */
uint32_t vmid_get(struct vmid_allocator *allocator, struct vmid *vmid, unsigned cpu);

#endif
