/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See run.h. The common case, an exit that is answered without anybody else being concerned,
 * returns the vCPU it was given after one look at the CPU's requests.
 */
#include "el2/run.h"

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "core/trap.h"
#include "core/vgic.h"
#include "core/vtimer.h"
#include "el2/console.h"
#include "el2/guest.h"
#include "el2/hyp.h"
#include "el2/switch.h"

static uint64_t now(void)
{
    isb(); /* the counter may otherwise be read early */
    return read_cntpct_el0();
}

void run_poke(struct cpu *cpu)
{
    if (cpu != cpu_this())
        gicv3_send_sgi(cpu->mpidr, GICV3_SGI_KICK);
}

void run_kick(struct vcpu *vcpu)
{
    sched_kick(&hyp.sched, vcpu, now());
}

/* CNTHP_CVAL_EL2 = the first time at which this CPU has something to do. */
static void program_timer(struct cpu *cpu)
{
    uint64_t at = cpu->next_wake;

    /* A slice that has ended asks once; the scheduler, when it looks, makes a new one. */
    if (!(atomic_load32_relaxed(&cpu->requests) & CPU_REQ_RESCHED))
        at = MIN(at, cpu->slice_end);
    if (cpu->loaded)
        at = MIN(at, vtimer_deadline(cpu->loaded, true));
    if (at == cpu->timer_at)
        return;
    cpu->timer_at = at;
    if (at == SCHED_NEVER) {
        write_cnthp_ctl_el2(0);
    } else {
        write_cnthp_cval_el2(at);
        write_cnthp_ctl_el2(CNTHP_CTL_EL2_ENABLE);
    }
    isb();
}

void run_timer_changed(struct vcpu *vcpu)
{
    (void)vcpu;
    program_timer(cpu_this());
}

void run_wake_at(uint64_t at)
{
    struct cpu *cpu = cpu_this();

    if (at < cpu->next_wake) {
        cpu->next_wake = at;
        program_timer(cpu);
    }
}

/* The timer of a vCPU that waits has come. */
static void expired(struct vcpu *vcpu)
{
    vtimer_resample(vcpu);
}

/* Show unfinished lines whose time has come; returns when to look again. If the port takes no more
 * that is a little later, not at once. */
static uint64_t show_console(uint64_t time)
{
    if (time < console_deadline())
        return console_deadline();
    console_poll();
    return MAX(console_deadline(), time + hyp.frequency / 1000);
}

static void timer_irq(struct cpu *cpu)
{
    uint64_t time = now();

    /* Off first: a level that stays up would come again as soon as it is deactivated. */
    write_cnthp_ctl_el2(0);
    isb();
    cpu->timer_at = SCHED_NEVER;

    cpu->next_wake = SCHED_NEVER;
    cpu->next_wake = MIN(sched_expire(&hyp.sched, cpu, time, expired), cpu->next_wake);
    cpu->next_wake = MIN(guest_poll_devices(time), cpu->next_wake);
    if (cpu->loaded)
        vtimer_resample(cpu->loaded);
    cpu->next_wake = MIN(show_console(time), cpu->next_wake);
    if (time >= cpu->slice_end)
        atomic_fetch_or32(&cpu->requests, CPU_REQ_RESCHED);
    program_timer(cpu);
}

/* A physical interrupt other than the guest's timer, already acknowledged. */
static void handle_irq(struct cpu *cpu, uint32_t intid)
{
    if (intid >= GICV3_SPURIOUS)
        return;
    gicv3_drop(intid);
    if (unlikely(atomic_load32_relaxed(&hyp.ending)))
        cpu_halt();
    if (intid == GICV3_PPI_HYP_TIMER)
        timer_irq(cpu);
    else if (intid == GICV3_PPI_MAINTENANCE && cpu->loaded)
        vgic_maintenance(cpu->loaded);
    else if (intid >= VGIC_PRIVATE_IRQS)
        console_irq();
    gicv3_deactivate(intid);
}

static void fold(struct cpu *cpu)
{
    /* Read first: requests that come while we fold ask for another one. */
    uint32_t wanted = __atomic_load_n(&cpu->fold_wanted, __ATOMIC_ACQUIRE);

    if (cpu->loaded)
        vgic_fold(cpu->loaded);
    __atomic_store_n(&cpu->fold_done, wanted, __ATOMIC_RELEASE);
}

void run_sync_vcpu(struct vcpu *vcpu)
{
    struct cpu *here = cpu_this();
    struct cpu *there = __atomic_load_n(&vcpu->loaded_on, __ATOMIC_ACQUIRE);

    if (!there)
        return;
    if (there == here) {
        vgic_fold(vcpu);
        return;
    }
    uint32_t ticket = __atomic_add_fetch(&there->fold_wanted, 1, __ATOMIC_ACQ_REL);

    atomic_fetch_or32(&there->requests, CPU_REQ_FOLD);
    run_poke(there);
    while ((int32_t)(__atomic_load_n(&there->fold_done, __ATOMIC_ACQUIRE) - ticket) < 0 &&
           __atomic_load_n(&vcpu->loaded_on, __ATOMIC_ACQUIRE) == there) {
        /* It may be waiting for us in the same way. */
        if (atomic_load32_relaxed(&here->requests) & CPU_REQ_FOLD) {
            atomic_fetch_and32(&here->requests, ~CPU_REQ_FOLD);
            fold(here);
        }
        cpu_relax();
    }
}

/* Stop this CPU until there is an interrupt, and take it. */
static void sleep_until_irq(struct cpu *cpu)
{
    uint32_t intid;

    if (!atomic_load32_relaxed(&cpu->requests)) {
        dsb_sy(); /* everything is done before the CPU stops, maybe for long */
        cpu_wfi();
    }
    while ((intid = gicv3_ack()) < GICV3_SPURIOUS) {
        if (intid == GICV3_PPI_VIRT_TIMER && cpu->loaded) {
            gicv3_drop(intid);
            vgic_timer_fired(cpu->loaded);
        } else {
            handle_irq(cpu, intid);
        }
    }
}

/* Wait with nothing to run; returns when there may be something. */
static void idle(struct cpu *cpu)
{
    program_timer(cpu);
    console_poll();
    sleep_until_irq(cpu);
    if (atomic_load32_relaxed(&cpu->requests) & CPU_REQ_FOLD)
        fold(cpu);
    atomic_fetch_and32(&cpu->requests, ~(CPU_REQ_FOLD | CPU_REQ_RESCHED | CPU_REQ_VGIC));
}

static bool may_run(const struct vcpu *vcpu)
{
    return atomic_load32_acquire(&vcpu->vm->state) == VM_RUNNING;
}

/* The running vCPU goes, in the way `how` says; find and load the next, which may be the same. */
static struct vcpu *schedule(struct cpu *cpu, enum sched_leave how, uint64_t wake_at)
{
    for (;;) {
        struct vcpu *before = cpu->running;
        struct vcpu *next = sched_switch(&hyp.sched, cpu, how, wake_at, now());

        /* One that leaves is put away also if it comes back at once: it starts from reset. */
        if (before && (next != before || how == SCHED_LEAVES)) {
            /* Its state is saved before anybody else may load it: see switch_in. */
            if (cpu->loaded == before)
                switch_out(before);
            if (how == SCHED_WAITS)
                cpu->next_wake = MIN(cpu->next_wake, wake_at);
        }
        if (before && how == SCHED_LEAVES)
            guest_vcpu_left(before);
        if (!next) {
            idle(cpu);
        } else if (!may_run(next)) {
            how = SCHED_LEAVES;
            continue;
        } else {
            if (cpu->loaded != next)
                switch_in(next);
            program_timer(cpu);
            return next;
        }
        how = SCHED_PREEMPTED; /* there is no `before` now */
    }
}

/* Requests of others, and interrupts to deliver, before vcpu is entered. */
static struct vcpu *serve_requests(struct cpu *cpu, struct vcpu *vcpu)
{
    do {
        uint32_t requests = atomic_xchg32(&cpu->requests, 0);

        if (requests & CPU_REQ_FOLD)
            fold(cpu);
        if (requests & CPU_REQ_RESCHED)
            vcpu = schedule(cpu, may_run(vcpu) ? SCHED_PREEMPTED : SCHED_LEAVES, 0);
        if (vgic_has_work(&vcpu->vgic))
            vgic_flush(vcpu);
    } while (atomic_load32_relaxed(&cpu->requests));
    return vcpu;
}

/*
 * Requests that come after this look are not missed: they come with an SGI, which is pending then
 * and takes the guest out again at once.
 */
static inline struct vcpu *resume(struct vcpu *vcpu)
{
    struct cpu *cpu = cpu_this();

    if (unlikely(atomic_load32_relaxed(&cpu->requests) || vgic_has_work(&vcpu->vgic)))
        return serve_requests(cpu, vcpu);
    return vcpu;
}

/*
 * As long as nobody else wants this CPU, the vCPU that waits stays loaded, and its timer counts in
 * the CPU: it goes on much sooner than if it had to be switched out and in. False: somebody does.
 */
static bool stay(struct cpu *cpu, struct vcpu *vcpu)
{
    bool over = false;

    if (!sched_stay_begin(&hyp.sched, cpu))
        return false;
    do {
        sleep_until_irq(cpu);
        if (atomic_fetch_and32(&cpu->requests, ~(CPU_REQ_FOLD | CPU_REQ_VGIC)) & CPU_REQ_FOLD)
            fold(cpu);
        if (vgic_has_work(&vcpu->vgic))
            vgic_flush(vcpu);
        over = vgic_deliverable(vcpu);
    } while (!over && !(atomic_load32_relaxed(&cpu->requests) & CPU_REQ_RESCHED));
    sched_stay_end(&hyp.sched, cpu);
    return over;
}

/* WFI or CPU_SUSPEND: block, unless there is something to wake up for already. */
static struct vcpu *wait(struct cpu *cpu, struct vcpu *vcpu)
{
    uint64_t wake_at;

    vtimer_resample(vcpu);
    if (vgic_has_work(&vcpu->vgic))
        vgic_flush(vcpu);
    if (vgic_deliverable(vcpu) || stay(cpu, vcpu))
        return resume(vcpu);
    vtimer_snapshot(vcpu);
    wake_at = vtimer_deadline(vcpu, false);
    return resume(schedule(cpu, SCHED_WAITS, wake_at));
}

/* Apart, so that run_exit_sync() needs but a small stack frame. */
static __attribute__((noinline)) struct vcpu *leave(struct vcpu *vcpu, enum trap_result result)
{
    struct cpu *cpu = cpu_this();

    switch (result) {
    case TRAP_WAIT:
        return wait(cpu, vcpu);
    case TRAP_YIELD:
        return resume(schedule(cpu, SCHED_YIELDED, 0));
    default:
        return resume(schedule(cpu, SCHED_LEAVES, 0));
    }
}

struct vcpu *run_exit_sync(struct vcpu *vcpu)
{
    enum trap_result result = trap_handle(vcpu, read_esr_el2());

    if (likely(result == TRAP_RESUME))
        return resume(vcpu);
    return leave(vcpu, result);
}

struct vcpu *run_exit_irq(struct vcpu *vcpu)
{
    uint32_t intid = gicv3_ack();

    vcpu->exits[EXIT_IRQ]++;
    if (likely(intid == GICV3_PPI_VIRT_TIMER)) {
        /* Dropped, not deactivated: the guest's EOI does that through its list register. */
        gicv3_drop(intid);
        vgic_timer_fired(vcpu);
    } else {
        handle_irq(cpu_this(), intid);
    }
    return resume(vcpu);
}

struct vcpu *run_exit_serror(struct vcpu *vcpu)
{
    trap_serror(vcpu, read_esr_el2());
    return resume(vcpu);
}

void run_first(void)
{
    vcpu_enter(resume(schedule(cpu_this(), SCHED_PREEMPTED, 0)));
}
