/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See guest.h: a guest's life. Who may do what: vm->state goes RUNNING -> STOPPING under
 * vm->lifecycle by hooks->power, and is changed otherwise only by the one CPU on which the last
 * vCPU left. vm->vcpus_in counts the vCPUs that the scheduler has, under the same lock.
 */
#include "el2/guest.h"

#include "arch/barrier.h"
#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "bothy/panic.h"
#include "bothy/string.h"
#include "core/pv_time.h"
#include "core/trap.h"
#include "core/vfp.h"
#include "core/vpsci.h"
#include "el2/console.h"
#include "el2/hyp.h"
#include "el2/populate.h"

static void reset_vcpu(struct vcpu *vcpu)
{
    vcpu->power = VCPU_OFF;
    vcpu->hcr = hyp.traps.hcr;
    if (vcpu->sched.alone)
        vcpu->hcr &= ~(HCR_EL2_TWI | HCR_EL2_TWE);
    vcpu->flush_cursor = ipa(0);
    vtimer_reset(vcpu);
    vdebug_reset(vcpu, false);
    vfp_reset(vcpu);
    vgic_vcpu_reset(vcpu);
}

void guest_start(struct guest *guest)
{
    struct vm *vm = &guest->vm;

    for (uint32_t i = 0; i < vm->nr_vcpus; i++)
        reset_vcpu(vm->vcpus[i]);
    pl011_reset(&guest->uart);
    pl031_reset(&guest->rtc);
    vgic_reset(vm);
    console_guest_reset(guest->index);

    vm->crash.valid = false;
    isb();
    vm->cntvoff = read_cntpct_el0();
    vm->starts++;
    if (guest->config->populate == PARTITION_POPULATE_START)
        populate_all(vm);

    spin_lock(&vm->lifecycle);
    atomic_store32_release(&vm->state, VM_RUNNING);
    bool made = vpsci_make_pending_locked(vm->vcpus[0], guest->config->placement.kernel,
                                          guest->config->placement.fdt);
    spin_unlock(&vm->lifecycle);
    BUG_ON(!made);
    vm->hooks->vcpu_start(vm->vcpus[0]);
}

static bool wants_restart(const struct guest *guest, enum vm_power what)
{
    enum partition_restart policy = guest->config->restart;
    uint32_t limit = guest->config->restart_limit;

    if (limit && guest->restarts >= limit)
        return false;
    switch (what) {
    case VM_POWER_RESET:
        return policy != PARTITION_RESTART_NEVER;
    case VM_POWER_CRASHED:
        return policy == PARTITION_RESTART_ON_CRASH || policy == PARTITION_RESTART_ALWAYS;
    default:
        return policy == PARTITION_RESTART_ALWAYS;
    }
}

/* The one line that says what became of it. */
static void tell(const struct guest *guest, enum vm_power what, bool again)
{
    const struct vm *vm = &guest->vm;
    const struct vm_crash *c = &vm->crash;

    if (what == VM_POWER_CRASHED)
        console_printf("%s: crashed: %s (%s, ESR %llx, PC %llx, FAR %llx, vCPU %u)%s", vm->name,
                       c->reason, trap_class_name(c->esr), (unsigned long long)c->esr,
                       (unsigned long long)c->pc, (unsigned long long)c->far, c->vcpu,
                       again ? "; starting again" : "");
    else if (what == VM_POWER_RESET)
        console_printf("%s: asked for a reset%s", vm->name,
                       again ? "; starting again" : "; its restart policy says no: off");
    else
        console_printf("%s: is off%s", vm->name, again ? "; starting again" : "");
}

static const char *end_word(enum vm_power what)
{
    switch (what) {
    case VM_POWER_CRASHED:
        return "crashed";
    case VM_POWER_RESET:
        return "reset";
    default:
        return "off";
    }
}

void guest_stopped(struct guest *guest)
{
    struct vm *vm = &guest->vm;
    enum vm_power what = VM_POWER_OFF; /* all vCPUs did CPU_OFF */

    if (vm->state == VM_STOPPING)
        what = vm->stop_action;
    atomic_store32_release(&vm->state, VM_STOPPED);

    bool again = wants_restart(guest, what);

    populate_forget(vm);
    tell(guest, what, again);
    if (again) {
        guest->restarts++;
        guest_start(guest);
        return;
    }
    guest->end_reason = end_word(what);
    if (atomic_fetch_sub32(&hyp.guests_alive, 1) == 1)
        hyp_power_off();
}

void guest_vcpu_left(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;

    spin_lock(&vm->lifecycle);
    bool last = --vm->vcpus_in == 0;
    spin_unlock(&vm->lifecycle);
    if (last)
        guest_stopped(guest_of(vm));
}

void guest_vcpu_start(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;

    spin_lock(&vm->lifecycle);
    if (vm->state == VM_RUNNING) {
        vm->vcpus_in++;
        isb();
        sched_start(&hyp.sched, vcpu, read_cntpct_el0());
    }
    spin_unlock(&vm->lifecycle);
}

/*
 * Called by a vCPU of the VM, which is in the scheduler's hands and leaves after this, so that the
 * count can't reach zero in here.
 */
void guest_power(struct vm *vm, enum vm_power what)
{
    spin_lock(&vm->lifecycle);
    if (vm->state == VM_RUNNING) {
        vm->stop_action = what;
        atomic_store32_release(&vm->state, VM_STOPPING);
        for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
            if (sched_stop(&hyp.sched, vm->vcpus[i]) == SCHED_STOP_DONE)
                vm->vcpus_in--;
        }
    }
    spin_unlock(&vm->lifecycle);
}

void guest_update_stolen(struct vcpu *vcpu)
{
    struct guest *guest = guest_of(vcpu->vm);
    struct pv_time_record *record = &guest->pv_time[vcpu->id];

    if (guest->first_entry == 0)
        guest->first_entry = read_cntpct_el0();
    /* Only the time matters here; revision and attributes are 0. One aligned 64-bit store, as
     * DEN0057 3.2.2 wants it. */
    __atomic_store_n(&record->stolen_ns, guest_ticks_to_ns(vcpu->stolen_ticks), __ATOMIC_RELAXED);
}

uint64_t guest_ticks_to_ns(uint64_t ticks)
{
    uint64_t seconds = ticks / hyp.frequency;

    return seconds * 1000000000u + (ticks % hyp.frequency) * 1000000000u / hyp.frequency;
}

uint64_t guest_poll_devices(uint64_t now)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < hyp.nr_guests; i++) {
        struct guest *guest = hyp.guests[i];
        uint64_t at = __atomic_load_n(&guest->device_deadline, __ATOMIC_RELAXED);

        if (at <= now) {
            pl031_poll(&guest->rtc);
            guest_device_deadline(guest);
            at = __atomic_load_n(&guest->device_deadline, __ATOMIC_RELAXED);
        }
        next = MIN(next, at);
    }
    return next;
}

static const char *const exit_names[EXIT_REASON_COUNT] = {
    [EXIT_IRQ] = "irq",
    [EXIT_HVC] = "hvc",
    [EXIT_SMC] = "smc",
    [EXIT_SYSREG] = "sysreg",
    [EXIT_DATA_ABORT_GIC] = "gic",
    [EXIT_DATA_ABORT_DEVICE] = "device",
    [EXIT_DATA_ABORT_RAM] = "ram",
    [EXIT_INSTRUCTION_ABORT] = "fetch",
    [EXIT_WFX] = "wfx",
    [EXIT_FP] = "fp",
    [EXIT_OTHER] = "other",
};

static void print_stats(const struct guest *guest)
{
    const struct vm *vm = &guest->vm;
    uint64_t total = 0;
    uint64_t stolen = 0;
    char text[256];
    size_t at = 0;

    for (unsigned int r = 0; r < EXIT_REASON_COUNT; r++) {
        uint64_t sum = 0;

        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
            sum += vm->vcpus[i]->exits[r];
        total += sum;
        at += format(text + at, sizeof(text) - at, " %s=%llu", exit_names[r],
                     (unsigned long long)sum);
    }
    for (uint32_t i = 0; i < vm->nr_vcpus; i++)
        stolen += vm->vcpus[i]->stolen_ticks;
    console_printf("stat guest=%s state=%s vcpus=%u memory_kib=%llu populated_kib=%llu "
                   "restarts=%llu stolen_us=%llu first_us=%llu first_ticks=%llu exits_total=%llu%s",
                   vm->name, guest->end_reason ? guest->end_reason : "running", vm->nr_vcpus,
                   (unsigned long long)vm->ram_size / 1024,
                   (unsigned long long)MAX(guest->populated, guest->populated_most) / 1024,
                   (unsigned long long)guest->restarts,
                   (unsigned long long)guest_ticks_to_ns(stolen) / 1000,
                   (unsigned long long)guest_ticks_to_ns(guest->first_entry) / 1000,
                   (unsigned long long)guest->first_entry, (unsigned long long)total, text);
}

void guest_print_stats(void)
{
    for (uint32_t i = 0; i < hyp.nr_guests; i++)
        print_stats(hyp.guests[i]);
}
