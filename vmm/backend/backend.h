/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs guests: KVM, or later a VM function that EL2 offers through VFIO. Nothing above this
 * header knows which. A backend is opened once; everything about one VM hangs off the backend_vm
 * that it creates, and goes with it, so that a guest's reboot is destroying one and creating the
 * next on the same guest memory.
 *
 * Order, which is KVM's: vm_create, memory_map, vcpu_create for each, profile and registers,
 * irqchip_create, vcpu_ready for each, run.
 *
 * Threads: a vCPU's run and registers are its thread's (or anyone's while it doesn't run);
 * vcpu_kick, irq_line, irqfd, ioeventfd, collect and
 * collected are anyone's; all else is the main thread's. After
 * backend_open() no file is opened by name, so a jailed process can go through the order again.
 */
#ifndef VMM_BACKEND_BACKEND_H
#define VMM_BACKEND_BACKEND_H

#include "bothy/types.h"
#include "vmm/base/error.h"

struct backend_vm;
struct backend_vcpu;

/* Registers by number: x0 to x30 are 0 to 30, then these; a system register is
 * BACKEND_SYSREG(its encoding). */
enum backend_register {
    BACKEND_REG_X0 = 0,
    BACKEND_REG_SP = 31,
    BACKEND_REG_PC,
    BACKEND_REG_PSTATE,
    BACKEND_REG_SP_EL1,
    BACKEND_REG_ELR_EL1,
    BACKEND_REG_SPSR_EL1,
};
#define BACKEND_SYSREG(op0, op1, crn, crm, op2) \
    (UINT32_C(0x10000) | (uint32_t)(op0) << 14 | (uint32_t)(op1) << 11 | (uint32_t)(crn) << 7 | \
     (uint32_t)(crm) << 3 | (uint32_t)(op2))
#define BACKEND_REG_MPIDR_EL1 BACKEND_SYSREG(3, 0, 0, 0, 5)
#define BACKEND_REG_ESR_EL1 BACKEND_SYSREG(3, 0, 5, 2, 0)
#define BACKEND_REG_FAR_EL1 BACKEND_SYSREG(3, 0, 6, 0, 0)
#define BACKEND_REG_VBAR_EL1 BACKEND_SYSREG(3, 0, 12, 0, 0)

enum backend_gic { BACKEND_GIC_AUTO, BACKEND_GIC_V2, BACKEND_GIC_V3 };

/* What this host can do. */
struct backend_caps {
    uint32_t ipa_bits;  /* largest guest physical address space */
    uint32_t max_vcpus;
    bool gic_v2, gic_v3, its; /* known after probe() */
    bool sve, pauth, pmu;
    bool readonly_memory; /* memory that the guest can only read: its stores are MMIO exits */
    bool inject_abort;    /* backend_vcpu_abort works */
    bool pv_time;         /* stolen time, DEN0057 */
    bool collects;        /* stores can be collected without an exit */
    bool id_registers;    /* ID registers can be changed: CPU profiles */
    bool statistics;      /* stats gives something */
};

struct backend_vm_config {
    uint32_t ipa_bits; /* what the highest address needs; the backend may give more */
    uint32_t nr_vcpus;
    bool sve, pauth, pmu;
};

struct backend_irqchip {
    enum backend_gic version; /* AUTO: the newest that the host has, which is written here */
    bool its;                 /* if the host has one; false is written here if it hasn't */
};

#define BACKEND_MEMORY_READONLY 1u
#define BACKEND_MEMORY_DIRTY_LOG 2u

enum backend_exit_kind {
    BACKEND_EXIT_MMIO,        /* address, size, write, value */
    BACKEND_EXIT_INTERRUPTED, /* kicked */
    BACKEND_EXIT_OFF,         /* PSCI SYSTEM_OFF */
    BACKEND_EXIT_RESET,       /* PSCI SYSTEM_RESET */
    BACKEND_EXIT_CRASH,       /* the guest said that it crashed */
    BACKEND_EXIT_NO_SYNDROME, /* address: an access that the CPU doesn't describe */
    BACKEND_EXIT_FAILED,      /* text: the host can't run this vCPU */
    BACKEND_EXIT_COUNT,
};

struct backend_exit {
    enum backend_exit_kind kind;
    uint32_t size;
    bool write;
    uint64_t address;
    uint64_t *value; /* of a store, zero-extended; a load's goes there before the next run */
    uint64_t code;   /* FAILED: the host's own number for the reason */
    const char *text;
};

/* One statistic of the host about this VM, under the host's own name; vcpu -1: of the VM. */
typedef void (*backend_stat_t)(void *context, int vcpu, const char *name, uint64_t value);

/* A store that was collected. */
typedef void (*backend_store_t)(void *context, uint64_t address, uint32_t value);

struct backend;

struct backend_ops {
    void (*close)(struct backend *backend);
    /* Fill in what of caps takes making a VM to find out. For a report; a start doesn't need it. */
    bool (*probe)(struct backend *backend, struct error *error);

    /* NULL and a sentence. The VM has no memory, vCPUs or interrupts. */
    struct backend_vm *(*vm_create)(struct backend *backend,
                                    const struct backend_vm_config *config, struct error *error);
    /* vCPUs don't run any more; they go too. NULL-safe. */
    void (*vm_destroy)(struct backend_vm *vm);

    /* [ipa, ipa + size) is the memory at base: page-aligned, all of it, no overlap. unmap takes
     * what was mapped at ipa. */
    bool (*memory_map)(struct backend_vm *vm, uint64_t ipa, uint64_t size, void *base,
                       uint32_t flags, struct error *error);
    bool (*memory_unmap)(struct backend_vm *vm, uint64_t ipa, struct error *error);
    /* Bitmap (a bit a host page, 8-byte words) of what was written since the last call. */
    bool (*memory_dirty)(struct backend_vm *vm, uint64_t ipa, uint64_t *bitmap);

    /* index 0 starts at its PC, the others wait for PSCI CPU_ON. */
    struct backend_vcpu *(*vcpu_create)(struct backend_vm *vm, uint32_t index,
                                        struct error *error);
    bool (*irqchip_create)(struct backend_vm *vm, struct backend_irqchip *irqchip,
                           struct error *error);
    /* After the irqchip: PMU, stolen time at stolen_ipa (0: none). */
    bool (*vcpu_ready)(struct backend_vcpu *vcpu, uint64_t stolen_ipa, struct error *error);

    /* Enter the guest until it needs something. What ret_exit points to is good until the next
     * run. */
    void (*vcpu_run)(struct backend_vcpu *vcpu, struct backend_exit *ret_exit);
    /* Make the present or next run end with INTERRUPTED; tid: the thread that runs it. The wish
     * stays until vcpu_unkick() of that thread. */
    void (*vcpu_kick)(struct backend_vcpu *vcpu, int tid);
    void (*vcpu_unkick)(struct backend_vcpu *vcpu);
    /* Answer the load or store that came out last with a synchronous external abort. */
    bool (*vcpu_abort)(struct backend_vcpu *vcpu);
    bool (*register_get)(struct backend_vcpu *vcpu, uint32_t number, uint64_t *ret_value);
    bool (*register_set)(struct backend_vcpu *vcpu, uint32_t number, uint64_t value);
    /* Bits of an ID register that register_set may change. */
    bool (*register_writable)(struct backend_vm *vm, uint32_t number, uint64_t *ret_mask);

    /* Level of an SPI (number, not INTID). Of one that the guest uses by edges, each true is one,
     * without a false between. */
    bool (*irq_line)(struct backend_vm *vm, uint32_t spi, bool level);
    /* A write to this eventfd is an edge of the SPI. */
    bool (*irqfd)(struct backend_vm *vm, int fd, uint32_t spi, bool assign);
    /* A 32-bit store of `match` to address signals the eventfd and goes no further. */
    bool (*ioeventfd)(struct backend_vm *vm, int fd, uint64_t address, uint32_t match,
                      bool assign);

    /* 32-bit stores to address are collected without an exit, as far as there is room (assign), or
     * exit again. collected hands over what was, in order, from any thread. */
    bool (*collect)(struct backend_vm *vm, uint64_t address, bool assign);
    void (*collected)(struct backend_vm *vm, backend_store_t each, void *context);

    /* Before the first statistics(), while no vCPU runs, unless it is ready already. */
    bool (*statistics_ready)(const struct backend_vm *vm);
    void (*statistics_open)(struct backend_vm *vm);
    void (*statistics)(struct backend_vm *vm, backend_stat_t each, void *context);
};

struct backend {
    const struct backend_ops *ops;
    const char *name; /* "KVM" */
    struct backend_caps caps;
};

/* This build's backend. NULL and a sentence that says what is missing and how to mend it. */
struct backend *backend_open(struct error *error);

/* Where the backend keeps a thread out of guests: the signal that vcpu_kick sends. Blocked in all
 * threads but those of vCPUs. Call once, before any thread is made. */
bool backend_prepare_signals(struct error *error);
/* In a vCPU's thread, before its first run. */
void backend_thread_begin(void);

#endif
