/* SPDX-License-Identifier: Apache-2.0 */
/* Device registers: see arch/arm64/include/arch/mmio.h. Each access is an event. */
#ifndef ARCH_MMIO_H
#define ARCH_MMIO_H

#include "arch/fake.h"
#include <stdint.h>

static inline uint8_t mmio_read8(const volatile void *at)
{
    return (uint8_t)fake_mmio_read(at, 1);
}

static inline void mmio_write8(volatile void *at, uint8_t value)
{
    fake_mmio_write(at, 1, value);
}

static inline uint16_t mmio_read16(const volatile void *at)
{
    return (uint16_t)fake_mmio_read(at, 2);
}

static inline void mmio_write16(volatile void *at, uint16_t value)
{
    fake_mmio_write(at, 2, value);
}

static inline uint32_t mmio_read32(const volatile void *at)
{
    return (uint32_t)fake_mmio_read(at, 4);
}

static inline void mmio_write32(volatile void *at, uint32_t value)
{
    fake_mmio_write(at, 4, value);
}

static inline uint64_t mmio_read64(const volatile void *at)
{
    return fake_mmio_read(at, 8);
}

static inline void mmio_write64(volatile void *at, uint64_t value)
{
    fake_mmio_write(at, 8, value);
}

#endif
