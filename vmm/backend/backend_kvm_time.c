/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stolen time (DEN0057). KVM brings a vCPU's record up to date each time its thread enters the
 * guest: some 330 instructions, of 6,500 that a device access takes in all. So it is told to only
 * once the guest asks for its record: the two calls come out to us, where KVM can do that (Linux
 * 6.4); elsewhere each vCPU has it from the start.
 */
#include "vmm/backend/backend_kvm.h"

#define PV_TIME_FEATURES 0xc5000020u
#define PV_TIME_ST 0xc5000021u
#define PV_TIME_CALLS 2u
#define NOT_SUPPORTED UINT64_MAX

/* Newer than the oldest kernel headers that this is built with. */
#define KVM_NEW_SMCCC_CTRL 0u
#define KVM_NEW_SMCCC_FILTER 0u
#define KVM_NEW_SMCCC_FORWARD 2u
struct kvm_new_smccc_filter {
    uint32_t base;
    uint32_t nr_functions;
    uint8_t action;
    uint8_t pad[15];
};

void kvm_time_ask(struct backend_vm *vm)
{
    struct kvm_new_smccc_filter filter = {PV_TIME_FEATURES, PV_TIME_CALLS, KVM_NEW_SMCCC_FORWARD,
                                          {0}};
    struct kvm_device_attr attribute = {
        .group = KVM_NEW_SMCCC_CTRL, .attr = KVM_NEW_SMCCC_FILTER, .addr = (uintptr_t)&filter};

    vm->asks_for_time = kvm_ioctl_with(vm->fd, KVM_SET_DEVICE_ATTR, &attribute) == 0;
}

bool kvm_time_start(struct backend_vcpu *vcpu)
{
    uint64_t ipa = vcpu->stolen_ipa;
    struct kvm_device_attr attribute = {.group = KVM_ARM_VCPU_PVTIME_CTRL,
                                        .attr = KVM_ARM_VCPU_PVTIME_IPA,
                                        .addr = (uintptr_t)&ipa};

    if (!vcpu->tells_time) {
        vcpu->tells_time = kvm_ioctl_with(vcpu->fd, KVM_SET_DEVICE_ATTR, &attribute) == 0;
    }
    return vcpu->tells_time;
}

static uint64_t answer(struct backend_vcpu *vcpu, uint32_t function)
{
    uint64_t about;

    if (vcpu->stolen_ipa == 0) {
        return NOT_SUPPORTED;
    }
    switch (function) {
    case PV_TIME_FEATURES:
        if (!kvm_register_get(vcpu, BACKEND_REG_X0 + 1, &about)) {
            return NOT_SUPPORTED;
        }
        return (uint32_t)about - PV_TIME_FEATURES < PV_TIME_CALLS ? 0 : NOT_SUPPORTED;
    case PV_TIME_ST:
        return kvm_time_start(vcpu) ? vcpu->stolen_ipa : NOT_SUPPORTED;
    default:
        return NOT_SUPPORTED;
    }
}

void kvm_time_call(struct backend_vcpu *vcpu)
{
    kvm_register_set(vcpu, BACKEND_REG_X0, answer(vcpu, (uint32_t)vcpu->run->hypercall.nr));
}
