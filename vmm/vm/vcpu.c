/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs' threads. serve() is the hot path: an exit for a device costs one system call, a
 * look-up on the bus and the device's own work; what the main thread wants of a vCPU is looked at
 * only after a kick, which ends its run.
 *
 * Run control: `target` says what all threads shall do, under vm->lock. A thread that parks counts
 * itself in nr_parked, and is not counted out before it runs again.
 */
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/jail/jail.h"
#include "vmm/vm/affinity.h"
#include "vmm/vm/parts.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE KIB(128)
#define NOWHERE_LOGGED 4u

/* What the registers say, for the one sentence about a vCPU that can't go on. */
static void describe(struct vcpu *vcpu, char *text, size_t size)
{
    static const struct {
        const char *name;
        uint32_t number;
    } wanted[] = {{"PC", BACKEND_REG_PC},
                  {"PSTATE", BACKEND_REG_PSTATE},
                  {"ESR_EL1", BACKEND_REG_ESR_EL1},
                  {"FAR_EL1", BACKEND_REG_FAR_EL1}};
    const struct backend_ops *ops = vcpu->vm->backend->ops;
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(wanted) && at < size; i++) {
        uint64_t value;

        if (ops->register_get(vcpu->backend, wanted[i].number, &value)) {
            at += (size_t)snprintf(text + at, size - at, "%s%s %#llx", i == 0 ? "" : ", ",
                                   wanted[i].name, (unsigned long long)value);
        }
    }
}

static void end_broken(struct vcpu *vcpu, const struct backend_exit *exit, enum exit_code code,
                       const char *what)
{
    char registers[160];
    char reason[256];

    describe(vcpu, registers, sizeof(registers));
    snprintf(reason, sizeof(reason), "vCPU %u can't go on: %s (%#llx) at %s", vcpu->index, what,
             (unsigned long long)(exit->kind == BACKEND_EXIT_FAILED ? exit->code : exit->address),
             registers);
    vm_end(vcpu->vm, code, reason);
}

/* As on a machine: an external abort. A host that can't do that gives zero for a load. */
static void access_nowhere(struct vcpu *vcpu, struct backend_exit *exit)
{
    if (vcpu->mmio_nowhere++ < NOWHERE_LOGGED) {
        log_debug("vCPU %u: a %s at %#llx, where nothing is", vcpu->index,
                  exit->write ? "store" : "load", (unsigned long long)exit->address);
    }
    if (!exit->write && exit->value != NULL) {
        *exit->value = 0;
    }
    vcpu->vm->backend->ops->vcpu_abort(vcpu->backend);
}

/* A rare exit. False: this vCPU shall not run on before the main thread says so. */
static bool serve_rare(struct vcpu *vcpu, struct backend_exit *exit)
{
    struct vm *vm = vcpu->vm;

    switch (exit->kind) {
    case BACKEND_EXIT_OFF:
        vm_end(vm, EXIT_CODE_OK, "the guest is off");
        break;
    case BACKEND_EXIT_RESET:
        if (vm->config->no_reboot) {
            vm_end(vm, EXIT_CODE_OK, "the guest asked for a reboot");
        } else {
            loop_post(vm->loop, &vm->reset_work);
        }
        break;
    case BACKEND_EXIT_CRASH:
        vm_end(vm, EXIT_CODE_GUEST, "the guest says that it crashed");
        break;
    case BACKEND_EXIT_NO_SYNDROME:
        exit->value = NULL;
        exit->write = true;
        access_nowhere(vcpu, exit);
        return true;
    default:
        end_broken(vcpu, exit, EXIT_CODE_VMM, exit->text);
        break;
    }
    vcpu->halted = true;
    return false;
}

/* Until a kick, or the end. */
static void serve(struct vcpu *vcpu)
{
    const struct backend_ops *ops = vcpu->vm->backend->ops;
    const struct bus *bus = &vcpu->vm->bus;
    struct backend_vcpu *backend = vcpu->backend;
    const struct bus_slot *near_slot = NULL;
    struct backend_exit exit;

    for (;;) {
        ops->vcpu_run(backend, &exit);
        if (likely(exit.kind == BACKEND_EXIT_MMIO)) {
            vcpu->mmio[exit.write]++;
            if (unlikely(bus_access_near(bus, &near_slot, exit.address, exit.size, exit.write,
                                         exit.value) != BUS_OK)) {
                access_nowhere(vcpu, &exit);
            }
            continue;
        }
        vcpu->exits[exit.kind]++;
        if (exit.kind == BACKEND_EXIT_INTERRUPTED || !serve_rare(vcpu, &exit)) {
            return;
        }
    }
}

/* False: the thread shall end. */
static bool park(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    bool go_on;

    pthread_mutex_lock(&vm->lock);
    vm->nr_parked++;
    pthread_cond_broadcast(&vm->changed);
    while (vm->target == VM_TARGET_PARK || (vm->target == VM_TARGET_RUN && vcpu->halted)) {
        pthread_cond_wait(&vm->changed, &vm->lock);
    }
    go_on = vm->target == VM_TARGET_RUN;
    if (go_on) {
        vm->nr_parked--;
        /* Under the lock: a kick for a later wish comes after it. */
        vm->backend->ops->vcpu_unkick(vcpu->backend);
    }
    pthread_mutex_unlock(&vm->lock);
    return go_on;
}

static void *run_thread(void *argument)
{
    struct vcpu *vcpu = argument;
    struct vm *vm = vcpu->vm;
    struct error error = ERROR_NONE;
    char name[16];

    snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
    pthread_setname_np(pthread_self(), name);
    vcpu->tid = gettid();
    backend_thread_begin();
    if (!affinity_apply(vm->config->cpus.affinity, vcpu->index, &error) ||
        !jail_thread(&vm->config->jail, JAIL_VCPU, &error)) {
        vm_end(vm, error.code, error.text);
        vcpu->halted = true;
    }
    while (park(vcpu)) {
        serve(vcpu);
    }
    return NULL;
}

static void wait_parked(struct vm *vm)
{
    while (vm->nr_parked < vm->nr_threads) {
        pthread_cond_wait(&vm->changed, &vm->lock);
    }
}

bool vcpu_start_threads(struct vm *vm, struct error *error)
{
    pthread_attr_t attributes;
    int why = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MAX((size_t)STACK_SIZE, (size_t)PTHREAD_STACK_MIN));
    for (uint32_t i = 0; i < vm->config->cpus.count && why == 0; i++) {
        why = pthread_create(&vm->vcpus[i].thread, &attributes, run_thread, &vm->vcpus[i]);
        vm->nr_threads += why == 0;
    }
    pthread_attr_destroy(&attributes);
    pthread_mutex_lock(&vm->lock);
    wait_parked(vm); /* they know their tid, and wear their filter */
    pthread_mutex_unlock(&vm->lock);
    if (why != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, why, "can't start the vCPUs' threads");
    }
    return true;
}

/* The kicks are sent without the lock: who they hit wants it. */
static void retarget(struct vm *vm, enum vm_target target, bool wait)
{
    pthread_mutex_lock(&vm->lock);
    vm->target = target;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
    for (uint32_t i = 0; target != VM_TARGET_RUN && i < vm->nr_threads; i++) {
        if (vm->vcpus[i].backend != NULL) { /* a reboot may have failed half-way */
            vm->backend->ops->vcpu_kick(vm->vcpus[i].backend, vm->vcpus[i].tid);
        }
    }
    if (wait) {
        pthread_mutex_lock(&vm->lock);
        wait_parked(vm);
        pthread_mutex_unlock(&vm->lock);
    }
}

void vcpu_park_all(struct vm *vm)
{
    retarget(vm, VM_TARGET_PARK, true);
}

void vcpu_release_all(struct vm *vm)
{
    /* Not at the end: a thread may be without its filter then, and after a reboot that failed a
     * vCPU without what runs it. Parked, they wait for vcpu_quit_all(). */
    if (vm_get_state(vm) != VM_STOPPED) {
        retarget(vm, VM_TARGET_RUN, false);
    }
}

void vcpu_quit_all(struct vm *vm)
{
    if (vm->nr_threads == 0) {
        return;
    }
    retarget(vm, VM_TARGET_QUIT, false);
    for (uint32_t i = 0; i < vm->nr_threads; i++) {
        pthread_join(vm->vcpus[i].thread, NULL);
    }
    vm->nr_threads = 0;
    vm->nr_parked = 0;
}
