/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of KVM's vCPUs by number, and which bits of the ID registers may be changed. */
#include "bothy/bits.h"
#include "vmm/backend/backend_kvm.h"
#include <stdlib.h>

#define CORE_REG(field) \
    (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
     (offsetof(struct kvm_regs, field) / sizeof(uint32_t)))
#define SYSREG_BITS UINT32_C(0xffff)

static uint64_t kvm_number(uint32_t number)
{
    if ((number & ~SYSREG_BITS) != 0) {
        return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | (number & SYSREG_BITS);
    }
    switch (number) {
    case BACKEND_REG_SP:
        return CORE_REG(regs.sp);
    case BACKEND_REG_PC:
        return CORE_REG(regs.pc);
    case BACKEND_REG_PSTATE:
        return CORE_REG(regs.pstate);
    case BACKEND_REG_SP_EL1:
        return CORE_REG(sp_el1);
    case BACKEND_REG_ELR_EL1:
        return CORE_REG(elr_el1);
    case BACKEND_REG_SPSR_EL1:
        return CORE_REG(spsr[0]);
    default:
        return CORE_REG(regs.regs[0]) + number * 2; /* in units of 32 bits */
    }
}

bool kvm_register_get(struct backend_vcpu *vcpu, uint32_t number, uint64_t *ret_value)
{
    struct kvm_one_reg reg = {.id = kvm_number(number), .addr = (uintptr_t)ret_value};

    return kvm_ioctl_with(vcpu->fd, KVM_GET_ONE_REG, &reg) == 0;
}

bool kvm_register_set(struct backend_vcpu *vcpu, uint32_t number, uint64_t value)
{
    struct kvm_one_reg reg = {.id = kvm_number(number), .addr = (uintptr_t)&value};

    return kvm_ioctl_with(vcpu->fd, KVM_SET_ONE_REG, &reg) == 0;
}

static bool get_masks(struct backend_vm *vm)
{
    struct kvm_new_reg_mask_range range = {0};

    if (vm->id_masks != NULL) {
        return true;
    }
    vm->id_masks = calloc(KVM_NEW_REG_MASKS, sizeof(*vm->id_masks));
    range.addr = (uintptr_t)vm->id_masks;
    if (vm->id_masks == NULL ||
        kvm_ioctl_with(vm->fd, KVM_NEW_GET_REG_WRITABLE_MASKS, &range) != 0) {
        free(vm->id_masks);
        vm->id_masks = NULL;
        return false;
    }
    return true;
}

/* The masks are indexed by op1 (0, 1 and 3), CRm and op2 of op0 3, CRn 0. */
bool kvm_register_writable(struct backend_vm *vm, uint32_t number, uint64_t *ret_mask)
{
    uint32_t op1 = number >> 11 & 7;
    uint32_t index = (op1 == 3 ? 2 : op1) << 6 | (number >> 3 & 7) << 3 | (number & 7);

    if (!vm->backend->base.caps.id_registers || !get_masks(vm) || index >= KVM_NEW_REG_MASKS) {
        return false;
    }
    *ret_mask = vm->id_masks[index];
    return true;
}
