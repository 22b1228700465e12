/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that C has no word for: system registers, barriers, device accesses. */
#ifndef RUNTIME_ARM_H
#define RUNTIME_ARM_H

#include "base.h"

/* The argument may be a macro for a name that the assembler doesn't know (gic.h). */
#define SYSREG_NAME(name) #name

#define read_sysreg(name)                                                        \
    ({                                                                           \
        uint64_t value_;                                                         \
        __asm__ volatile("mrs %0, " SYSREG_NAME(name) : "=r"(value_)::"memory"); \
        value_;                                                                  \
    })

#define write_sysreg(value, name) \
    __asm__ volatile("msr " SYSREG_NAME(name) ", %x0" ::"rZ"((uint64_t)(value)) : "memory")

#define isb() __asm__ volatile("isb" ::: "memory")
#define dsb(kind) __asm__ volatile("dsb " #kind ::: "memory")
#define dmb(kind) __asm__ volatile("dmb " #kind ::: "memory")
#define wfi() __asm__ volatile("dsb sy; wfi" ::: "memory")
#define wfe() __asm__ volatile("wfe" ::: "memory")
#define sev() __asm__ volatile("sev" ::: "memory")
#define cpu_relax() __asm__ volatile("yield" ::: "memory")

static inline void irq_enable(void)
{
    __asm__ volatile("msr daifclr, #3" ::: "memory");
}

static inline void irq_disable(void)
{
    __asm__ volatile("msr daifset, #3" ::: "memory");
}

/* The counters, not to be read ahead of what comes before. */
static inline uint64_t counter_virt(void)
{
    isb();
    return read_sysreg(cntvct_el0);
}

static inline uint64_t counter_phys(void)
{
    isb();
    return read_sysreg(cntpct_el0);
}

/* One load or store instruction each, of a form that the syndrome describes. */
static inline uint8_t read8(uint64_t addr)
{
    uint32_t value;

    __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return (uint8_t)value;
}

static inline uint16_t read16(uint64_t addr)
{
    uint32_t value;

    __asm__ volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return (uint16_t)value;
}

static inline uint32_t read32(uint64_t addr)
{
    uint32_t value;

    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return value;
}

static inline uint64_t read64(uint64_t addr)
{
    uint64_t value;

    __asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return value;
}

static inline void write8(uint64_t addr, uint8_t value)
{
    __asm__ volatile("strb %w0, [%1]" ::"rZ"((uint32_t)value), "r"(addr) : "memory");
}

static inline void write16(uint64_t addr, uint16_t value)
{
    __asm__ volatile("strh %w0, [%1]" ::"rZ"((uint32_t)value), "r"(addr) : "memory");
}

static inline void write32(uint64_t addr, uint32_t value)
{
    __asm__ volatile("str %w0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
}

static inline void write64(uint64_t addr, uint64_t value)
{
    __asm__ volatile("str %x0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
}

/* Data and instruction sides agree on [addr, addr + size) afterwards. */
void code_sync(const void *addr, size_t size);

#endif
