/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partition at run time: its VM, its devices, where its memory is and what is in it at start;
 * and its life, from start over restarts to its end.
 */
#ifndef EL2_GUEST_H
#define EL2_GUEST_H

#include "core/vm.h"
#include "el2/partition.h"
#include "machine/bus.h"
#include "machine/pl011.h"
#include "machine/pl031.h"

#define GUEST_SEGMENTS 3u

struct memory;

/* A piece of the guest's initial memory. */
struct guest_segment {
    uint64_t ipa;
    uint64_t size;
    pa_t pa;        /* a boot module, or ... */
    const void *va; /* ... EL2's own, if not NULL */
};

struct guest {
    struct vm vm;
    struct vm_hooks hooks;
    uint32_t index;
    const struct partition_config *config;

    struct guest_segment segments[GUEST_SEGMENTS];
    uint32_t nr_segments;
    struct pv_time_record *pv_time; /* a page that is mapped into the guest, read-only */

    struct bus bus;
    struct pl011 uart;
    struct pl031 rtc;
    uint64_t device_deadline; /* CNTPCT at which to poll the RTC; atomic */

    uint64_t restarts;
    uint64_t populated;   /* bytes */
    uint64_t populated_most;
    uint64_t first_entry; /* CNTPCT of the first instruction of the first start; 0: not yet */
    const char *end_reason; /* NULL while it lives */
};

static inline struct guest *guest_of(struct vm *vm)
{
    return vm->owner;
}

/* Make the partition's VM, not started. Memory comes from the pool: STATUS_NO_MEMORY. */
MUST_CHECK enum status guest_create(struct memory *memory, struct partition_config *config,
                                    uint32_t index, struct guest **ret_guest);

/* Start (or start again) a guest none of whose vCPUs is in the scheduler's hands. */
void guest_start(struct guest *guest);

/* Its last vCPU has left: say why it stopped, and start it again if its policy is so. */
void guest_stopped(struct guest *guest);

/* hooks->vcpu_start and hooks->power. */
void guest_vcpu_start(struct vcpu *vcpu);
void guest_power(struct vm *vm, enum vm_power what);

uint64_t guest_ticks_to_ns(uint64_t ticks);

/* Take over from the devices when they want to be polled next. */
void guest_device_deadline(struct guest *guest);

/* Publish the vCPU's stolen time (DEN0057). */
void guest_update_stolen(struct vcpu *vcpu);

/* A vCPU has left the scheduler's hands; the last one ends the guest's stop. No lock held. */
void guest_vcpu_left(struct vcpu *vcpu);

/* Raise the alarms whose time has come; returns the next one in CNTPCT. */
uint64_t guest_poll_devices(uint64_t now);

/* One line of figures for each guest. */
void guest_print_stats(void);

#endif
