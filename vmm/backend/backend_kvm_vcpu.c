/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs of KVM. kvm_vcpu_run() is the hot path: one system call, one switch, no copy but a store's
 * datum, whose upper bytes are old.
 *
 * A kick sets immediate_exit and then sends a signal: a thread that is in the call leaves it, one
 * that is about to enter it leaves at once, and only that thread clears the flag.
 */
#include "bothy/bits.h"
#include "machine/layout.h"
#include "vmm/backend/backend_kvm.h"
#include "vmm/backend/signal.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static bool finalize_sve(const struct backend_vcpu *vcpu)
{
    int feature = KVM_ARM_VCPU_SVE;

    return kvm_ioctl_with(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature) == 0;
}

static bool init_vcpu(const struct backend_vcpu *vcpu, struct error *error)
{
    const struct backend_vm_config *config = &vcpu->vm->config;
    struct kvm_vcpu_init init = {0};

    if (kvm_ioctl_with(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "KVM knows no CPU for this host");
    }
    init.features[0] = BIT(KVM_ARM_VCPU_PSCI_0_2);
    init.features[0] |= vcpu->index != 0 ? BIT(KVM_ARM_VCPU_POWER_OFF) : 0;
    init.features[0] |= config->pmu ? BIT(KVM_ARM_VCPU_PMU_V3) : 0;
    init.features[0] |= config->sve ? BIT(KVM_ARM_VCPU_SVE) : 0;
    init.features[0] |= config->pauth ? BIT(KVM_ARM_VCPU_PTRAUTH_ADDRESS) : 0;
    init.features[0] |= config->pauth ? BIT(KVM_ARM_VCPU_PTRAUTH_GENERIC) : 0;
    if (kvm_ioctl_with(vcpu->fd, KVM_ARM_VCPU_INIT, &init) != 0 ||
        (config->sve && !finalize_sve(vcpu))) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "KVM can't set up vCPU %u",
                               vcpu->index);
    }
    return true;
}

struct backend_vcpu *kvm_vcpu_create(struct backend_vm *vm, uint32_t index, struct error *error)
{
    struct backend_vcpu *vcpu = &vm->vcpus[index];
    void *run;

    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->fd = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, index);
    if (vcpu->fd < 0) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "KVM can't create vCPU %u, it has at most %u",
                        index, vm->backend->base.caps.max_vcpus);
        return NULL;
    }
    run = mmap(NULL, vm->backend->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "can't map vCPU %u", index);
        return NULL;
    }
    vcpu->run = run;
    return init_vcpu(vcpu, error) ? vcpu : NULL;
}

void kvm_vcpu_close(struct backend_vcpu *vcpu)
{
    if (vcpu->run != NULL) {
        munmap(vcpu->run, vcpu->vm->backend->run_size);
        vcpu->run = NULL;
    }
    kvm_close(&vcpu->stats_fd);
    kvm_close(&vcpu->fd);
}

static bool set_attribute(const struct backend_vcpu *vcpu, uint32_t group, uint64_t number,
                          void *value)
{
    struct kvm_device_attr attribute = {
        .group = group, .attr = number, .addr = (uintptr_t)value};

    return kvm_ioctl_with(vcpu->fd, KVM_SET_DEVICE_ATTR, &attribute) == 0;
}

bool kvm_vcpu_ready(struct backend_vcpu *vcpu, uint64_t stolen_ipa, struct error *error)
{
    int pmu_irq = LAYOUT_PPI_PMU + LAYOUT_PPI_BASE;

    if (vcpu->vm->config.pmu &&
        (!set_attribute(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &pmu_irq) ||
         !set_attribute(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL))) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "KVM can't give vCPU %u a PMU: use --cpus pmu=off", vcpu->index);
    }
    vcpu->stolen_ipa = stolen_ipa;
    if (stolen_ipa != 0 && !vcpu->vm->asks_for_time && !kvm_time_start(vcpu)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "KVM can't tell vCPU %u its stolen time", vcpu->index);
    }
    return true;
}

static void failed(struct backend_exit *exit, uint64_t code, const char *text)
{
    exit->kind = BACKEND_EXIT_FAILED;
    exit->code = code;
    exit->text = text;
}

static void system_event(const struct kvm_run *run, struct backend_exit *exit)
{
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        exit->kind = BACKEND_EXIT_OFF;
        break;
    case KVM_SYSTEM_EVENT_RESET:
        exit->kind = BACKEND_EXIT_RESET;
        break;
    case KVM_SYSTEM_EVENT_CRASH:
        exit->kind = BACKEND_EXIT_CRASH;
        break;
    default:
        failed(exit, run->system_event.type, "an unknown system event");
        break;
    }
}

/* False: served here, the guest goes on. */
static bool other_exit(struct backend_vcpu *vcpu, struct backend_exit *exit)
{
    const struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_HYPERCALL:
        kvm_time_call(vcpu);
        return false;
    case KVM_EXIT_SYSTEM_EVENT:
        system_event(run, exit);
        break;
    case KVM_EXIT_ARM_NISV:
        exit->kind = BACKEND_EXIT_NO_SYNDROME;
        exit->address = run->arm_nisv.fault_ipa;
        break;
    case KVM_EXIT_INTR:
        exit->kind = BACKEND_EXIT_INTERRUPTED;
        break;
    case KVM_EXIT_FAIL_ENTRY:
        failed(exit, run->fail_entry.hardware_entry_failure_reason, "the CPU refused to enter");
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        failed(exit, run->internal.suberror, "KVM has an internal error");
        break;
    default:
        failed(exit, run->exit_reason, "an exit of an unknown kind");
        break;
    }
    return true;
}

static void run_failed(struct backend_exit *exit, int why)
{
    switch (why) {
    case EINTR:
    case EAGAIN:
        exit->kind = BACKEND_EXIT_INTERRUPTED;
        break;
    case EFAULT:
        failed(exit, EFAULT, "guest memory could not be had from the host");
        break;
    case ENOSYS:
        failed(exit, ENOSYS, "an access that the CPU doesn't describe");
        break;
    default:
        failed(exit, (uint64_t)why, strerrordesc_np(why));
        break;
    }
}

void kvm_vcpu_run(struct backend_vcpu *vcpu, struct backend_exit *ret_exit)
{
    struct kvm_run *run = vcpu->run;
    uint64_t *value = (uint64_t *)(void *)run->mmio.data; /* lies on 8 bytes */

    for (;;) {
        if (unlikely(ioctl(vcpu->fd, KVM_RUN, 0) != 0)) {
            run_failed(ret_exit, errno);
            return;
        }
        if (likely(run->exit_reason == KVM_EXIT_MMIO)) {
            break;
        }
        if (other_exit(vcpu, ret_exit)) {
            return;
        }
    }
    ret_exit->kind = BACKEND_EXIT_MMIO;
    ret_exit->address = run->mmio.phys_addr;
    ret_exit->size = run->mmio.len;
    ret_exit->value = value;
    ret_exit->write = run->mmio.is_write != 0;
    if (run->mmio.is_write != 0) {
        *value &= UINT64_MAX >> (64 - 8 * run->mmio.len);
    }
}

void kvm_vcpu_kick(struct backend_vcpu *vcpu, int tid)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    backend_signal_thread(tid);
}

void kvm_vcpu_unkick(struct backend_vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

bool kvm_vcpu_abort(struct backend_vcpu *vcpu)
{
    struct kvm_vcpu_events events = {.exception.ext_dabt_pending = 1};

    return vcpu->vm->backend->base.caps.inject_abort &&
           kvm_ioctl_with(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) == 0;
}
