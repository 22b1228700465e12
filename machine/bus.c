/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus: a table sorted by base. A look-up halves it without branches that depend on the
 * address, about five instructions a step, so two devices cost one step and 48 cost six.
 */
#include "machine/bus.h"

void bus_init(struct bus *bus)
{
    bus->count = 0;
}

enum bus_result bus_attach(struct bus *bus, uint64_t base, uint64_t size, device_access_t access,
                           void *device)
{
    uint32_t at = 0;

    if (size == 0 || base + size - 1 < base) {
        return BUS_OVERLAP;
    }
    while (at < bus->count && bus->slots[at].base < base) {
        at++;
    }
    if ((at > 0 && base - bus->slots[at - 1].base < bus->slots[at - 1].size) ||
        (at < bus->count && bus->slots[at].base - base < size)) {
        return BUS_OVERLAP;
    }
    if (bus->count == BUS_SLOTS_MAX) {
        return BUS_FULL;
    }
    for (uint32_t i = bus->count; i > at; i--) {
        bus->slots[i] = bus->slots[i - 1];
    }
    bus->slots[at] = (struct bus_slot){base, size, access, device};
    bus->count++;
    return BUS_OK;
}

const struct bus_slot *bus_find(const struct bus *bus, uint64_t address)
{
    const struct bus_slot *slot = bus->slots;
    uint32_t left = bus->count;

    if (left == 0) {
        return NULL;
    }
    while (left > 1) {
        uint32_t half = left / 2;

        slot = address >= slot[half].base ? slot + half : slot;
        left -= half;
    }
    /* The difference wraps to a large number below the first slot. */
    return address - slot->base < slot->size ? slot : NULL;
}

enum bus_result bus_access(const struct bus *bus, uint64_t address, unsigned int size, bool write,
                           uint64_t *value)
{
    const struct bus_slot *none = NULL;

    return bus_access_near(bus, &none, address, size, write, value);
}
