/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is beyond the CPU: table entries, device registers, firmware; and barriers, the FP
 * registers, and the hints.
 */
#include "arch/at.h"
#include "arch/fp.h"
#include "arch/smc.h"
#include "arch/sysreg_ids.h"
#include "fake_cpu.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MMIO_RANGES 16U

static struct {
    struct {
        uintptr_t base;
        size_t size;
        const struct fake_mmio_ops *ops;
        void *ctx;
    } ranges[MMIO_RANGES];
    size_t nr_ranges;
    fake_smc_fn smc;
    fake_at_fn at;
} io;

void fake_io_reset(void)
{
    memset(&io, 0, sizeof(io));
}

void fake_mmio_map(const volatile void *base, size_t size, const struct fake_mmio_ops *ops,
                   void *ctx)
{
    if (io.nr_ranges == MMIO_RANGES) {
        fake_fail("too many device ranges");
        return;
    }
    io.ranges[io.nr_ranges].base = (uintptr_t)base;
    io.ranges[io.nr_ranges].size = size;
    io.ranges[io.nr_ranges].ops = ops;
    io.ranges[io.nr_ranges].ctx = ctx;
    io.nr_ranges++;
}

/* Index of the range that the address is in; nr_ranges for plain memory. */
static size_t range_of(uintptr_t at, unsigned int bytes)
{
    size_t i = 0;

    if (at % bytes != 0) {
        fake_fail("device access of %u bytes at %#lx is not aligned", bytes, (unsigned long)at);
    }
    while (i < io.nr_ranges && at - io.ranges[i].base >= io.ranges[i].size) {
        i++;
    }
    return i;
}

static uint64_t memory_read(const volatile void *at, unsigned int bytes)
{
    switch (bytes) {
    case 1:
        return *(const volatile uint8_t *)at;
    case 2:
        return *(const volatile uint16_t *)at;
    case 4:
        return *(const volatile uint32_t *)at;
    default:
        return *(const volatile uint64_t *)at;
    }
}

static void memory_write(volatile void *at, unsigned int bytes, uint64_t value)
{
    switch (bytes) {
    case 1:
        *(volatile uint8_t *)at = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)at = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)at = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)at = value;
        break;
    }
}

uint64_t fake_mmio_read(const volatile void *at, unsigned int bytes)
{
    size_t i = range_of((uintptr_t)at, bytes);
    uint64_t value;

    if (i == io.nr_ranges) {
        value = memory_read(at, bytes);
    } else {
        value = io.ranges[i].ops->read(io.ranges[i].ctx, (uintptr_t)at - io.ranges[i].base, bytes);
    }
    fake_log_add(FAKE_MMIO_READ, bytes, (uintptr_t)at, value);
    return value;
}

void fake_mmio_write(volatile void *at, unsigned int bytes, uint64_t value)
{
    size_t i = range_of((uintptr_t)at, bytes);

    fake_log_add(FAKE_MMIO_WRITE, bytes, (uintptr_t)at, value);
    if (i == io.nr_ranges) {
        memory_write(at, bytes, value);
    } else {
        io.ranges[i].ops->write(io.ranges[i].ctx, (uintptr_t)at - io.ranges[i].base, bytes, value);
    }
}

/* Relaxed atomics: as single-copy atomic as the real ones, and known to ThreadSanitizer. */
void fake_pte_write(uint64_t *at, uint64_t value)
{
    fake_log_add(FAKE_PTE, 0, (uintptr_t)at, value);
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

uint64_t fake_pte_read(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

void fake_smc_handler(fake_smc_fn handler)
{
    io.smc = handler;
}

void fake_smc(bool hvc, const struct smc_args *args, struct smc_result *ret_result)
{
    fake_log_add(hvc ? FAKE_HVC : FAKE_SMC, 0, args->fn, args->a1);
    if (io.smc == NULL) {
        fake_fail("nobody answers %s 0x%lx", hvc ? "hvc" : "smc", (unsigned long)args->fn);
        *ret_result = (struct smc_result){.x0 = UINT64_MAX};
        return;
    }
    io.smc(hvc, args, ret_result);
}

void fake_at_handler(fake_at_fn handler)
{
    io.at = handler;
}

void fake_at(enum fake_at op, uint64_t va)
{
    fake_log_add(FAKE_AT, op, va, 0);
    if (io.at != NULL) {
        fake_sysreg_set(SYSREG_PAR_EL1, io.at(op, va));
    }
}

/*
 * A locked instruction is a full barrier, and on a variable of this thread it does not look like
 * synchronization to ThreadSanitizer: ordering by barriers alone is to be seen as the race it is.
 */
void fake_barrier(enum fake_event_kind kind, enum fake_domain domain)
{
    static __thread uint32_t barrier;

    (void)__atomic_fetch_add(&barrier, 0U, __ATOMIC_SEQ_CST);
    fake_log_add(kind, domain, 0, 0);
}

void fp_save(struct fp_state *state)
{
    fake_log_add(FAKE_FP, 1, (uintptr_t)state, 0);
    *state = fake_cpu_here()->fp;
}

void fp_restore(const struct fp_state *state)
{
    fake_log_add(FAKE_FP, 0, (uintptr_t)state, 0);
    fake_cpu_here()->fp = *state;
}

void fake_relax(void)
{
    sched_yield();
}

_Noreturn void fake_halt(void)
{
    fake_log_add(FAKE_HINT, FAKE_HALT, 0, 0);
    fake_fail("the CPU was halted");
    abort();
}
