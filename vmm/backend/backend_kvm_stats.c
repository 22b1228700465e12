/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's own statistics of a VM and its vCPUs: a descriptor each, with a header, descriptions with
 * names, and values (Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD). They are opened when
 * somebody first asks, as most VMs never are; KVM gives a vCPU's only while that doesn't run.
 */
#include "bothy/bits.h"
#include "vmm/backend/backend_kvm.h"
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 256u
#define NAME_MAX_SIZE 256u
#define SCALARS_ONLY 1u

struct reader {
    int fd;
    struct kvm_stats_header header;
    size_t stride; /* bytes of a description with its name */
    char *descriptions;
};

static bool read_at(int fd, void *to, size_t size, uint64_t offset)
{
    struct iovec all = {to, size};

    return preadv(fd, &all, 1, (off_t)offset) == (ssize_t)size;
}

static bool read_header(struct reader *reader)
{
    size_t size;

    if (!read_at(reader->fd, &reader->header, sizeof(reader->header), 0) ||
        reader->header.num_desc == 0 || reader->header.num_desc > DESCRIPTORS_MAX ||
        reader->header.name_size == 0 || reader->header.name_size > NAME_MAX_SIZE) {
        return false;
    }
    reader->stride = sizeof(struct kvm_stats_desc) + reader->header.name_size;
    size = reader->stride * reader->header.num_desc;
    reader->descriptions = malloc(size);
    return reader->descriptions != NULL &&
           read_at(reader->fd, reader->descriptions, size, reader->header.desc_offset);
}

static void read_values(const struct reader *reader, int vcpu, backend_stat_t each, void *context)
{
    for (uint32_t i = 0; i < reader->header.num_desc; i++) {
        char *at = reader->descriptions + i * reader->stride;
        struct kvm_stats_desc description;
        uint64_t value;

        memcpy(&description, at, sizeof(description));
        at[reader->stride - 1] = '\0';
        if (description.size == SCALARS_ONLY &&
            read_at(reader->fd, &value, sizeof(value),
                    reader->header.data_offset + (uint64_t)description.offset)) {
            each(context, vcpu, at + sizeof(description), value);
        }
    }
}

static void read_all(int fd, int vcpu, backend_stat_t each, void *context)
{
    struct reader reader = {.fd = fd};

    if (fd < 0) {
        return;
    }
    if (read_header(&reader)) {
        read_values(&reader, vcpu, each, context);
    }
    free(reader.descriptions);
}

bool kvm_statistics_ready(const struct backend_vm *vm)
{
    return vm->stats_fd >= 0 || !vm->backend->base.caps.statistics;
}

void kvm_statistics_open(struct backend_vm *vm)
{
    if (kvm_statistics_ready(vm)) {
        return;
    }
    vm->stats_fd = kvm_ioctl(vm->fd, KVM_GET_STATS_FD, 0);
    for (uint32_t i = 0; i < vm->config.nr_vcpus; i++) {
        if (vm->vcpus[i].fd >= 0) {
            vm->vcpus[i].stats_fd = kvm_ioctl(vm->vcpus[i].fd, KVM_GET_STATS_FD, 0);
        }
    }
}

void kvm_statistics(struct backend_vm *vm, backend_stat_t each, void *context)
{
    read_all(vm->stats_fd, -1, each, context);
    for (uint32_t i = 0; i < vm->config.nr_vcpus; i++) {
        read_all(vm->vcpus[i].stats_fd, (int)i, each, context);
    }
}
