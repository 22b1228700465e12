/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that a device knows of the world: guest memory, an interrupt line, a clock, a console. One
 * constant table, implemented by el2, by each VMM backend and by the tests' fake; `vm` is the
 * implementer's own pointer and comes back in each call.
 *
 * Calls come from a device with the device's own lock held: an implementation must not call back
 * into the same device. None may block.
 */
#ifndef MACHINE_VM_OPS_H
#define MACHINE_VM_OPS_H

#include "bothy/types.h"

struct vm_ops {
    /* Copy between the device and guest RAM; false (and nothing or a part copied) if any byte of
     * [ipa, ipa + size) isn't RAM. A device without DMA may run with NULL here. */
    bool (*memory_read)(void *vm, uint64_t ipa, void *to, size_t size);
    bool (*memory_write)(void *vm, uint64_t ipa, const void *from, size_t size);

    /* The bytes [ipa, ipa + size) of guest RAM where the device may reach them directly, or NULL if
     * any of them isn't RAM. The pointer stays good as long as the VM. NULL where the floor can't
     * (EL2 maps guest memory only while it copies): there a virtio device can't be. */
    void *(*memory_at)(void *vm, uint64_t ipa, size_t size);

    /* Level of the interrupt line of this SPI (number, not INTID). Called only on a change. */
    void (*irq_set)(void *vm, uint32_t spi, bool level);

    /* Nanoseconds since an arbitrary point; never steps back. */
    uint64_t (*clock_ns)(void *vm);

    /* A byte that the guest's serial port sends; false if the console can't take more now, in
     * which case the device keeps the byte and pl011_tx_ready() is called later. */
    bool (*console_tx)(void *vm, uint8_t byte);

    /* The guest has read from a serial port whose FIFO had no room for all that pl011_rx() was
     * given. May be NULL. */
    void (*console_rx_room)(void *vm);
};

/* How a bus reaches a device: offset from the device's base, size 1, 2, 4 or 8. *value is the
 * datum of a store, zero-extended, or takes that of a load, of which the bus cuts off what lies
 * above size. */
typedef void (*device_access_t)(void *device, uint64_t offset, unsigned int size, bool write,
                                uint64_t *value);

#endif
