/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the KVM backend share. */
#ifndef VMM_BACKEND_BACKEND_KVM_H
#define VMM_BACKEND_BACKEND_KVM_H

#include "bothy/spinlock.h"
#include "vmm/backend/backend.h"
#include "vmm/config/config.h"
#include <linux/kvm.h>

/* Newer than the oldest kernel headers that this is built with. */
#define KVM_NEW_CAP_REG_MASK_RANGES 230
struct kvm_new_reg_mask_range {
    uint64_t addr; /* of 3 * 8 * 8 masks */
    uint32_t range;
    uint32_t reserved[13];
};
#define KVM_NEW_GET_REG_WRITABLE_MASKS _IOR(KVMIO, 0xb6, struct kvm_new_reg_mask_range)
#define KVM_NEW_REG_MASKS 192u

#define KVM_MEMORY_SLOTS 8u

struct kvm_backend {
    struct backend base;
    int fd; /* /dev/kvm */
    size_t run_size;
    size_t page_size;
};

struct backend_vcpu {
    int fd;
    int stats_fd; /* -1: nobody has asked */
    uint32_t index;
    bool tells_time; /* KVM keeps the record at stolen_ipa up to date */
    struct kvm_run *run;
    struct backend_vm *vm;
    uint64_t stolen_ipa; /* 0: none */
};

struct kvm_slot {
    uint64_t ipa;
    uint64_t size; /* 0: free */
    void *base;
    uint32_t flags;
};

struct backend_vm {
    struct kvm_backend *backend;
    struct backend_vm_config config;
    int fd;
    int gic_fd;
    int its_fd;
    int stats_fd; /* -1: nobody has asked */
    struct kvm_slot slots[KVM_MEMORY_SLOTS];
    bool asks_for_time; /* a guest's call for its stolen time comes out */
    struct spinlock ring_lock; /* of those who empty the ring of collected stores */
    uint64_t *id_masks; /* KVM_NEW_REG_MASKS, once they were asked for */
    struct backend_vcpu vcpus[]; /* nr_vcpus; fd -1: not created */
};

/* ioctl(2) with an argument that is a number; the result, or -1 and errno. */
int kvm_ioctl(int fd, unsigned long request, unsigned long argument);
/* With a pointer. */
int kvm_ioctl_with(int fd, unsigned long request, void *argument);
/* Close it if it is open; -1 afterwards. */
void kvm_close(int *fd);
/* KVM_CHECK_EXTENSION; 0: hasn't it. */
uint32_t kvm_has(int fd, unsigned long capability);

/* ops of the VM, in backend_kvm_vm.c */
struct backend_vm *kvm_vm_create(struct backend *backend, const struct backend_vm_config *config,
                                 struct error *error);
void kvm_vm_destroy(struct backend_vm *vm);
bool kvm_memory_map(struct backend_vm *vm, uint64_t ipa, uint64_t size, void *base, uint32_t flags,
                    struct error *error);
bool kvm_memory_unmap(struct backend_vm *vm, uint64_t ipa, struct error *error);
bool kvm_memory_dirty(struct backend_vm *vm, uint64_t ipa, uint64_t *bitmap);
bool kvm_irq_line(struct backend_vm *vm, uint32_t spi, bool level);
bool kvm_collect(struct backend_vm *vm, uint64_t address, bool assign);
void kvm_collected(struct backend_vm *vm, backend_store_t each, void *context);
bool kvm_irqfd(struct backend_vm *vm, int fd, uint32_t spi, bool assign);
bool kvm_ioeventfd(struct backend_vm *vm, int fd, uint64_t address, uint32_t match, bool assign);

/* in backend_kvm_gic.c */
bool kvm_irqchip_test(int vm_fd, uint32_t type);
bool kvm_irqchip_create(struct backend_vm *vm, struct backend_irqchip *irqchip,
                        struct error *error);

/* in backend_kvm_vcpu.c */
struct backend_vcpu *kvm_vcpu_create(struct backend_vm *vm, uint32_t index, struct error *error);
bool kvm_vcpu_ready(struct backend_vcpu *vcpu, uint64_t stolen_ipa, struct error *error);
void kvm_vcpu_run(struct backend_vcpu *vcpu, struct backend_exit *ret_exit);
void kvm_vcpu_kick(struct backend_vcpu *vcpu, int tid);
void kvm_vcpu_unkick(struct backend_vcpu *vcpu);
bool kvm_vcpu_abort(struct backend_vcpu *vcpu);
void kvm_vcpu_close(struct backend_vcpu *vcpu);

/* in backend_kvm_time.c */
void kvm_time_ask(struct backend_vm *vm);
bool kvm_time_start(struct backend_vcpu *vcpu);
/* The guest's call came out. */
void kvm_time_call(struct backend_vcpu *vcpu);

/* in backend_kvm_reg.c */
bool kvm_register_get(struct backend_vcpu *vcpu, uint32_t number, uint64_t *ret_value);
bool kvm_register_set(struct backend_vcpu *vcpu, uint32_t number, uint64_t value);
bool kvm_register_writable(struct backend_vm *vm, uint32_t number, uint64_t *ret_mask);

/* in backend_kvm_stats.c */
bool kvm_statistics_ready(const struct backend_vm *vm);
void kvm_statistics_open(struct backend_vm *vm);
void kvm_statistics(struct backend_vm *vm, backend_stat_t each, void *context);

#endif
