/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's own statistics of a VM and its vCPUs: a descriptor each, with a header, descriptions with
 * names, and values (Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD). Opened for each question:
 * a VM is seldom asked, and kept descriptors would cost every one of them memory.
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

static void read_all(int of, int vcpu, backend_stat_t each, void *context)
{
    struct reader reader = {.fd = kvm_ioctl(of, KVM_GET_STATS_FD, 0)};

    if (reader.fd < 0) {
        return;
    }
    if (read_header(&reader)) {
        read_values(&reader, vcpu, each, context);
    }
    free(reader.descriptions);
    close(reader.fd);
}

void kvm_statistics(struct backend_vm *vm, backend_stat_t each, void *context)
{
    if (!vm->backend->base.caps.statistics) {
        return;
    }
    read_all(vm->fd, -1, each, context);
    for (uint32_t i = 0; i < vm->config.nr_vcpus; i++) {
        if (vm->vcpus[i].fd >= 0) {
            read_all(vm->vcpus[i].fd, (int)i, each, context);
        }
    }
}
