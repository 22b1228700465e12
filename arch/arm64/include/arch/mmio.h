/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device registers: each access is one load or store of that size, never merged, moved or
 * repeated. Order against normal memory is the caller's, by dsb_*() and dmb_*().
 */
#ifndef ARCH_MMIO_H
#define ARCH_MMIO_H

#include <stdint.h>

static inline uint8_t mmio_read8(const volatile void *at)
{
    uint8_t value;

    __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
    return value;
}

static inline void mmio_write8(volatile void *at, uint8_t value)
{
    __asm__ volatile("strb %w0, [%1]" : : "rZ"(value), "r"(at) : "memory");
}

static inline uint16_t mmio_read16(const volatile void *at)
{
    uint16_t value;

    __asm__ volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
    return value;
}

static inline void mmio_write16(volatile void *at, uint16_t value)
{
    __asm__ volatile("strh %w0, [%1]" : : "rZ"(value), "r"(at) : "memory");
}

static inline uint32_t mmio_read32(const volatile void *at)
{
    uint32_t value;

    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
    return value;
}

static inline void mmio_write32(volatile void *at, uint32_t value)
{
    __asm__ volatile("str %w0, [%1]" : : "rZ"(value), "r"(at) : "memory");
}

static inline uint64_t mmio_read64(const volatile void *at)
{
    uint64_t value;

    __asm__ volatile("ldr %x0, [%1]" : "=r"(value) : "r"(at) : "memory");
    return value;
}

static inline void mmio_write64(volatile void *at, uint64_t value)
{
    __asm__ volatile("str %x0, [%1]" : : "rZ"(value), "r"(at) : "memory");
}

#endif
