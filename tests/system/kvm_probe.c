/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest virtual machine: its only vCPU stores a byte where no memory is, and that exit has
 * to come. Tells whether the machine under test has a KVM that works. tests/system/host.py
 * compiles it for arm64 Linux.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define RAM 0x40000000u
#define RAM_SIZE 0x200000u
#define DEVICE 0x09000000u
#define REG_PC (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 0x40)

static const uint32_t program[] = {
    0xd2a12000, /* mov x0, #0x09000000 */
    0x52800841, /* mov w1, #'B' */
    0x39000001, /* strb w1, [x0] */
    0x14000000, /* b . */
};

static int fail(const char *what)
{
    perror(what);
    return 1;
}

/* Makes the vCPU of a VM; returns its descriptor. */
static int make_vcpu(int vm)
{
    struct kvm_vcpu_init init;
    uint64_t start = RAM;
    struct kvm_one_reg pc = {.id = REG_PC, .addr = (uintptr_t)&start};
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

    if (vcpu < 0 || ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init) < 0 ||
        ioctl(vcpu, KVM_ARM_VCPU_INIT, &init) < 0 || ioctl(vcpu, KVM_SET_ONE_REG, &pc) < 0)
        return -1;
    return vcpu;
}

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    void *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {
        .guest_phys_addr = RAM, .memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram};

    if (kvm < 0 || ram == MAP_FAILED)
        return fail("/dev/kvm");
    memcpy(ram, program, sizeof(program));
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return fail("VM");
    int vcpu = make_vcpu(vm);
    if (vcpu < 0)
        return fail("vCPU");
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED || ioctl(vcpu, KVM_RUN, 0) < 0)
        return fail("KVM_RUN");
    if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.phys_addr != DEVICE ||
        !run->mmio.is_write || run->mmio.data[0] != 'B') {
        fprintf(stderr, "exit reason %u\n", run->exit_reason);
        return 1;
    }
    puts("KVM works");
    return 0;
}
