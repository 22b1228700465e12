/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict fake behind the host's arch headers: system registers that exist only once a test
 * has given them a value, and a log of every instruction that has an effect.
 *
 * State is per CPU. A thread is on the CPU that it selected; one that selected none gets a CPU of
 * its own at its first use. CPUs that come into use start with the register values that CPU 0 was
 * given by fake_sysreg_set() so far, so do that before starting threads. Handlers are common to
 * all CPUs. fake_reset() forgets everything; no other thread may be running.
 */
#ifndef ARCH_FAKE_H
#define ARCH_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_CPUS 32U

enum fake_event_kind {
    FAKE_MSR,        /* op: SYSREG_ id; b: the value */
    FAKE_TLBI,       /* op: enum fake_tlbi; a: the operand */
    FAKE_DSB,        /* op: enum fake_domain */
    FAKE_DMB,        /* op: enum fake_domain */
    FAKE_ISB,        /* nothing */
    FAKE_DC,         /* op: enum fake_dc; a: address; b: bytes for a range, 0 for one line */
    FAKE_IC,         /* op: enum fake_ic */
    FAKE_AT,         /* op: enum fake_at; a: address */
    FAKE_PTE,        /* a: address of the entry; b: the value */
    FAKE_MMIO_READ,  /* op: bytes; a: address; b: the value */
    FAKE_MMIO_WRITE, /* the same */
    FAKE_SMC,        /* a: function; b: first argument */
    FAKE_HVC,        /* the same */
    FAKE_HINT,       /* op: enum fake_hint */
    FAKE_FP,         /* op: 0 restore, 1 save; a: address of the state */
};

enum fake_tlbi {
    FAKE_TLBI_IPAS2E1IS,
    FAKE_TLBI_IPAS2LE1IS,
    FAKE_TLBI_RIPAS2E1IS,
    FAKE_TLBI_VMALLE1IS,
    FAKE_TLBI_VMALLE1,
    FAKE_TLBI_VMALLS12E1IS,
    FAKE_TLBI_VMALLS12E1,
    FAKE_TLBI_ALLE1IS,
    FAKE_TLBI_ALLE1,
    FAKE_TLBI_ALLE2IS,
    FAKE_TLBI_ALLE2,
    FAKE_TLBI_VAE2IS,
    FAKE_TLBI_VAE2,
};

enum fake_domain { FAKE_SY, FAKE_ISH, FAKE_ISHST, FAKE_NSH, FAKE_NSHST };
enum fake_dc { FAKE_DC_CIVAC, FAKE_DC_CVAC, FAKE_DC_CVAU, FAKE_DC_IVAC, FAKE_DC_ZVA };
enum fake_ic { FAKE_IC_IALLUIS, FAKE_IC_IALLU };
enum fake_at { FAKE_AT_S1E1R, FAKE_AT_S12E1R, FAKE_AT_S1E2R };
enum fake_hint { FAKE_WFI, FAKE_WFE, FAKE_SEV, FAKE_HALT };

struct fake_event {
    enum fake_event_kind kind;
    uint32_t op;
    uint64_t a;
    uint64_t b;
};

/* ---- CPUs ---- */

void fake_reset(void);
/* From now on this thread is on that CPU, below FAKE_CPUS. */
void fake_cpu_select(unsigned int cpu);

/* ---- system registers ---- */

/* Give the register of this CPU a value, without an event. On CPU 0: of CPUs to come, too. */
void fake_sysreg_set(uint32_t id, uint64_t value);
/* Its value, without a handler; it must have one. */
uint64_t fake_sysreg_get(uint32_t id);
/* Whether it has a value. */
bool fake_sysreg_known(uint32_t id);
/* "HCR_EL2", or NULL. */
const char *fake_sysreg_name(uint32_t id);

/*
 * Ask these first on every access; false means that the register is not theirs. They may call
 * fake_sysreg_get() and fake_sysreg_set(). NULL takes them away.
 */
typedef bool (*fake_sysreg_read_fn)(uint32_t id, uint64_t *ret_value);
typedef bool (*fake_sysreg_write_fn)(uint32_t id, uint64_t value);
void fake_sysreg_device(fake_sysreg_read_fn read, fake_sysreg_write_fn write);

/* What read_x() and write_x() call: a read of a register without a value is a failure. */
uint64_t fake_sysreg_read(uint32_t id);
void fake_sysreg_write(uint32_t id, uint64_t value);

/* ---- the log of this CPU ---- */

void fake_log_clear(void);
/* For all CPUs, until fake_reset(): long runs that don't look at the log do without it. */
void fake_log_enable(bool enable);
size_t fake_log_size(void);
/* The i-th event, or NULL behind the last. Valid until the next event. */
const struct fake_event *fake_log_at(size_t i);
/* How many events are of this kind. */
size_t fake_log_count(enum fake_event_kind kind);
/* Index of the first such event at or behind `from`; fake_log_size() if there is none. */
size_t fake_log_find(size_t from, enum fake_event_kind kind, uint32_t op);
/* One event in words, as below; returns buffer. */
const char *fake_event_text(const struct fake_event *event, char *buffer, size_t size);
void fake_log_print(void);

/*
 * The whole log is this, and nothing else: a list of texts that ends with NULL. An event's text
 * is its instruction: "dsb ishst", "tlbi ipas2e1is 0x80", "msr vttbr_el2 0x1", "pte 0xADDR 0x3",
 * "dc civac 0xADDR 0x1000", "mmio_write4 0xADDR 0x1", "smc 0x84000000 0x0", "wfi", "isb". Words
 * may be left out at the end: "msr hcr_el2" is a write of any value.
 */
void fake_log_expect(const char *first, ...) __attribute__((sentinel));
/* The same, but other events may lie before, between and behind. */
void fake_log_expect_order(const char *first, ...) __attribute__((sentinel));

void fake_log_add(enum fake_event_kind kind, uint32_t op, uint64_t a, uint64_t b);

/* ---- failures ---- */

/* Something that real code must never do: prints the message and aborts. */
void fake_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Run it; true if it ended in fake_fail(), or panic(), which is not printed then. */
bool fake_expect_fail(void (*run)(void *ctx), void *ctx);
/* What that failure or panic said. */
const char *fake_fail_text(void);

/* ---- memory, devices, firmware ---- */

/* Accesses of [base, base + size) go to these; the rest is plain memory. At most 16 ranges. */
struct fake_mmio_ops {
    uint64_t (*read)(void *ctx, uint64_t offset, unsigned int bytes);
    void (*write)(void *ctx, uint64_t offset, unsigned int bytes, uint64_t value);
};

void fake_mmio_map(const volatile void *base, size_t size, const struct fake_mmio_ops *ops,
                   void *ctx);
uint64_t fake_mmio_read(const volatile void *at, unsigned int bytes);
void fake_mmio_write(volatile void *at, unsigned int bytes, uint64_t value);

void fake_pte_write(uint64_t *at, uint64_t value);
uint64_t fake_pte_read(const uint64_t *at);

/* Without a handler a call is a failure. */
struct smc_args;
struct smc_result;
typedef void (*fake_smc_fn)(bool hvc, const struct smc_args *args, struct smc_result *ret_result);
void fake_smc_handler(fake_smc_fn handler);
void fake_smc(bool hvc, const struct smc_args *args, struct smc_result *ret_result);

/* Called for AT instructions to give PAR_EL1; without one, PAR_EL1 keeps what the test set. */
typedef uint64_t (*fake_at_fn)(enum fake_at op, uint64_t va);
void fake_at_handler(fake_at_fn handler);
void fake_at(enum fake_at op, uint64_t va);

void fake_barrier(enum fake_event_kind kind, enum fake_domain domain);
void fake_relax(void);
_Noreturn void fake_halt(void);

#endif
