/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's GICv3 (IHI 0069), on a host that has a GICv3: distributor, redistributors and what
 * goes through the list registers. The guest sees one security state (GICD_CTLR.DS = 1), both
 * interrupt groups, affinity routing always on, 256 SPIs, no LPIs and no extended ranges.
 *
 * Each interrupt is a struct vgic_irq. Its state is in memory, except what a list register of the
 * CPU holds while its vCPU is loaded there: whether it is pending and active. `lr` says so.
 * Memory then has that state as it was when it was last folded back. One lock per VM guards all.
 *
 * An interrupt that becomes pending for the vCPU loaded on this CPU goes straight into a free list
 * register. For another vCPU it is queued (`ready`), and vm->hooks->kick() tells that vCPU's CPU
 * to call vgic_flush(), or the scheduler to load it.
 *
 * What el2 does and when:
 *   vgic_init()              once, when vm->vcpus, their mpidr and vm->hooks are set
 *   vgic_reset()             when the VM restarts, with no vCPU loaded
 *   vgic_vcpu_reset()        at CPU_ON, before the vCPU is loaded
 *   vgic_load() / vgic_put() when another vCPU's state is loaded in the CPU's registers
 *   vgic_flush()             before an entry, whenever vgic_has_work()
 *   vgic_fold()              for CPU_REQ_FOLD
 *   vgic_maintenance()       for the maintenance interrupt (PPI 25), before it is deactivated
 *   vgic_timer_fired()       for PPI 27, its priority dropped, not deactivated
 *   vgic_mmio()              for an access that may be the vGIC's
 *   vgic_write_sgi*() and vgic_write_dir()   for the trapped writes of ICC_SGI1R_EL1,
 *                            ICC_ASGI1R_EL1, ICC_SGI0R_EL1 and ICC_DIR_EL1
 * All of these run with interrupts masked.
 */
#ifndef CORE_VGIC_H
#define CORE_VGIC_H

#include "bothy/spinlock.h"
#include "bothy/types.h"
#include "core/trap_result.h"

struct cpu;
struct mmio_access;
struct vcpu;
struct vm;

#define VGIC_PRIVATE_IRQS 32U /* SGIs 0..15, PPIs 16..31 */
#define VGIC_SPIS 256U
#define VGIC_IRQS (VGIC_PRIVATE_IRQS + VGIC_SPIS)
#define VGIC_WORDS (VGIC_IRQS / 32U)
#define VGIC_LR_MAX 16U
#define VGIC_APR_MAX 4U
#define VGIC_REGION_MAX 4U

#define VGIC_DIST_SIZE 0x10000U
#define VGIC_REDIST_STRIDE 0x20000U /* of each vCPU: RD_base and SGI_base */

#define VGIC_NO_LR 0xffU

struct vgic_irq {
    struct vcpu *target; /* in whose queue or list register it is or would be; NULL: nobody's */
    uint64_t router;     /* SPI: GICD_IROUTER */
    uint16_t intid;
    uint8_t priority; /* as the guest set it */
    uint8_t lr;       /* the target's list register that has it, or VGIC_NO_LR */
    uint8_t held;     /* so many register writes wait to change its state: keep it unlisted */
    uint8_t group;    /* 0 or 1 */
    /* With which priority and group it is in a list register or was acknowledged. */
    uint8_t list_priority;
    uint8_t list_group;
    bool enabled;
    bool edge;  /* GICD_ICFGR: edge-triggered; always so for SGIs */
    bool line;  /* level of the wire */
    bool latch; /* made pending by an edge, by SGI or by ISPENDR, and not acknowledged */
    bool fresh; /* latched again since it went into a list register */
    bool active;
    bool soft_active;    /* active because of ISACTIVER: no priority drop of an EOI belongs to it */
    bool listed_pending; /* it went into the list register as pending */
    bool hw;             /* the physical interrupt is active on its behalf */
    bool refire;         /* listed: its list register is right again if it is only made pending */
    bool reroute;        /* target is to be found anew once it is not active */
};

/* The vGIC's part of a vCPU. */
struct vcpu_vgic {
    struct vgic_irq irqs[VGIC_PRIVATE_IRQS];
    struct cpu *cpu;            /* in whose registers this is loaded, or NULL */
    uint32_t ready[VGIC_WORDS]; /* not listed: to be delivered, or active */
    uint32_t ready_words;       /* bit per word of `ready` that isn't zero */
    struct vgic_irq *listed[VGIC_LR_MAX];
    uint32_t lr_used; /* bit per list register: listed[] is set */
    bool overflow;    /* some of `ready` found no list register */
    bool work;        /* vgic_flush() has something to do; atomic */
    bool refold;      /* ... which needs the list registers folded first */
    bool drop_hw;     /* ... and the physical interrupt to be deactivated */
    bool asleep;      /* GICR_WAKER.ProcessorSleep */
    uint64_t vmcr;    /* saved while not loaded, as are: */
    uint64_t ap0r[VGIC_APR_MAX];
    uint64_t ap1r[VGIC_APR_MAX];
};

/* A window of the guest's physical address space, and whose it is. */
struct vgic_region {
    uint64_t base, size;
    void (*access)(struct vcpu *cur, uint64_t offset, struct mmio_access *access);
};

/* The vGIC's part of a VM. */
struct vgic {
    struct spinlock lock;
    struct vgic_region regions[VGIC_REGION_MAX];
    uint32_t nr_regions;
    uint32_t ctlr;         /* GICD_CTLR.EnableGrp0, EnableGrp1 */
    uint32_t lr_mask;      /* bit per list register that the CPU has */
    uint32_t nr_aprs;      /* ICH_AP0R<n>_EL2 and ICH_AP1R<n>_EL2 that it has */
    uint32_t typer;        /* GICD_TYPER */
    uint8_t pre_bits;      /* virtual preemption bits */
    uint8_t priority_mask; /* priority bits that exist */
    struct vgic_irq spis[VGIC_SPIS];
};

/*
 * Set up the vGIC of a VM and of its vCPUs, in reset state. Reads ICH_VTR_EL2: runs on one of the
 * CPUs that the VM will use, which are taken to be alike. dist_base and redist_base are the IPAs
 * of the distributor and of vCPU 0's redistributor frames.
 */
void vgic_init(struct vm *vm, uint64_t dist_base, uint64_t redist_base);

/* Everything as after power-on. No vCPU of the VM may be loaded. */
void vgic_reset(struct vm *vm);

/* The CPU interface as after power-on (the redistributor keeps its state). Not while loaded. */
void vgic_vcpu_reset(struct vcpu *vcpu);

/*
 * A guest's access to the distributor or a redistributor by `cur`, loaded on this CPU. An access
 * that the register does not allow (size, alignment, reserved) reads as zero and is ignored when
 * it writes. TRAP_NEXT; TRAP_ABORT if nothing of the vGIC is there. May call
 * hooks->sync_vcpu(): call it with no lock held.
 */
enum trap_result vgic_mmio(struct vcpu *cur, struct mmio_access *access);

/*
 * Writes of ICC_SGI1R_EL1, and of ICC_SGI0R_EL1 or ICC_ASGI1R_EL1 (which are the same with one
 * security state: only SGIs in group 0 are sent, whereas the first sends those of either group).
 */
enum trap_result vgic_write_sgi1r(struct vcpu *cur, uint64_t value);
enum trap_result vgic_write_sgi0r(struct vcpu *cur, uint64_t value);

/* A write of ICC_DIR_EL1, which ICH_HCR_EL2.TDIR traps. May call hooks->sync_vcpu(). */
enum trap_result vgic_write_dir(struct vcpu *cur, uint64_t value);

/* Set the level of an SPI's or a PPI's wire; pulse an SPI's (an edge). From any CPU. An intid out
 * of range is ignored. */
void vgic_set_spi_level(struct vm *vm, uint32_t intid, bool level);
void vgic_pulse_spi(struct vm *vm, uint32_t intid);
void vgic_set_ppi_level(struct vcpu *vcpu, uint32_t intid, bool level);

/*
 * EL2 took the physical PPI of the virtual timer for `cur`, loaded on this CPU, and left it
 * active: the guest's interrupt is pending now, and its end deactivates the physical one.
 */
void vgic_timer_fired(struct vcpu *cur);

/*
 * Put a vCPU's interrupts into this CPU's registers, or back into memory. vgic_put() also turns
 * the virtual CPU interface off. The physical active state of PPI 27 moves with the vCPU: see
 * vgic_hw_active(). The caller synchronises (ERET or ISB).
 */
void vgic_load(struct vcpu *vcpu);
void vgic_put(struct vcpu *vcpu);

/*
 * Whether a hardware-linked interrupt of the vCPU is on its way, so that the physical PPI 27 must
 * be active while the vCPU is loaded, and, for the next vCPU's sake, inactive otherwise. Ask after
 * vgic_load() and set the physical active state to it before the guest is entered; clear it after
 * vgic_put(). Should another vCPU end the interrupt in between, vgic_flush() deactivates it.
 */
bool vgic_hw_active(const struct vcpu *vcpu);

/* Whether vgic_flush() has something to do. Needs no lock. */
static inline bool vgic_has_work(const struct vcpu_vgic *vgic)
{
    return __atomic_load_n(&vgic->work, __ATOMIC_ACQUIRE);
}

/* For the vCPU that is loaded on this CPU: deliver what others queued for it; fold the list
 * registers to memory and refill them; the same because the maintenance interrupt came. */
void vgic_flush(struct vcpu *cur);
void vgic_fold(struct vcpu *cur);
void vgic_maintenance(struct vcpu *cur);

/*
 * Whether an interrupt would be signalled to the vCPU now if PSTATE did not mask it, so that WFI
 * ends at once: pending, enabled, its group enabled, its priority above PMR and the running one.
 * For a vCPU that is loaded on another CPU it can only say whether it has work queued.
 */
bool vgic_deliverable(struct vcpu *vcpu);

#endif
