/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a guest physical address to the device that lives there. The table is filled while the VM
 * is built and constant afterwards, so that look-ups need no lock; a device serialises itself.
 */
#ifndef MACHINE_BUS_H
#define MACHINE_BUS_H

#include "bothy/types.h"
#include "machine/vm_ops.h"

#define BUS_SLOTS_MAX 48u

enum bus_result {
    BUS_OK,
    BUS_NONE,    /* nobody lives there */
    BUS_CROSSES, /* the access begins in a device and ends behind it */
    BUS_FULL,    /* bus_attach: no slot is free */
    BUS_OVERLAP, /* bus_attach: someone else lives there, or the range is empty or wraps */
};

struct bus_slot {
    uint64_t base;
    uint64_t size;
    device_access_t access;
    void *device;
};

struct bus {
    uint32_t count;
    struct bus_slot slots[BUS_SLOTS_MAX]; /* sorted by base */
};

void bus_init(struct bus *bus);

/* Give [base, base + size) to a device. BUS_OK, BUS_FULL or BUS_OVERLAP. */
enum bus_result bus_attach(struct bus *bus, uint64_t base, uint64_t size, device_access_t access,
                           void *device);

/* A guest's load or store of size bytes (1, 2, 4, 8). BUS_OK, BUS_NONE or BUS_CROSSES; *value is
 * untouched unless BUS_OK. */
enum bus_result bus_access(const struct bus *bus, uint64_t address, unsigned int size, bool write,
                           uint64_t *value);

/* The slot of this address, or NULL. Good as long as the bus. */
const struct bus_slot *bus_find(const struct bus *bus, uint64_t address);

/* The same as bus_access() for a caller that keeps what it found last: accesses come in runs.
 * *near_slot: NULL at first. */
static inline enum bus_result bus_access_near(const struct bus *bus,
                                              const struct bus_slot **near_slot, uint64_t address,
                                              unsigned int size, bool write, uint64_t *value)
{
    const struct bus_slot *slot = *near_slot;

    if (slot == NULL || address - slot->base >= slot->size) {
        slot = bus_find(bus, address);
        if (slot == NULL) {
            return BUS_NONE;
        }
        *near_slot = slot;
    }
    if (size > slot->size - (address - slot->base)) {
        return BUS_CROSSES;
    }
    slot->access(slot->device, address - slot->base, size, write, value);
    if (!write) {
        *value &= UINT64_MAX >> (64 - 8 * size);
    }
    return BUS_OK;
}

#endif
