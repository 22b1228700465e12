/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partitions that the boot device tree asks for, in Xen's dom0less form with properties of
 * Bothy's own; docs/partitions.md is the reference. A bad partition gets one sentence and is left
 * out; the sound ones are returned all the same. Strings point into the tree or into *list.
 */
#ifndef EL2_PARTITION_H
#define EL2_PARTITION_H

#include "bothy/status.h"
#include "bothy/types.h"
#include "el2/boot_fdt.h"
#include "el2/format.h"
#include "el2/ram.h"
#include "machine/image.h"

#define PARTITION_MAX 16u
#define PARTITION_NAME_SIZE 32u /* = VM_NAME_MAX and VM_VCPU_MAX of core/vm.h: see the test */
#define PARTITION_VCPUS_MAX 8u
#define PARTITION_VCPUS_ALL 64u /* = SCHED_VCPUS of core/sched.h */
#define PARTITION_PATH_MAX 96u
#define PARTITION_BOOTARGS_MAX 2047u /* Linux' COMMAND_LINE_SIZE less the NUL */
#define PARTITION_PRIORITY_DEFAULT 3u
#define PARTITION_PRIORITY_MAX 7u

enum partition_restart {
    PARTITION_RESTART_NEVER,
    PARTITION_RESTART_ON_RESET, /* default */
    PARTITION_RESTART_ON_CRASH, /* on-reset, and after a crash */
    PARTITION_RESTART_ALWAYS,   /* on-crash, and after SYSTEM_OFF */
};

enum partition_populate {
    PARTITION_POPULATE_TOUCH, /* default: memory is scrubbed, filled and mapped when touched */
    PARTITION_POPULATE_START, /* all of it before the guest's first instruction */
};

struct partition_module {
    pa_t base;
    uint64_t size; /* 0: there is none */
};

struct partition_config {
    char name[PARTITION_NAME_SIZE];
    char path[PARTITION_PATH_MAX]; /* of its node, for messages */
    uint64_t memory;               /* bytes, a multiple of RAM_BLOCK */
    uint32_t nr_vcpus;
    /* Bit n: may run on machine->cpus[n]. Never 0: a vCPU without a wish has all CPUs that nobody
     * has for himself. */
    uint32_t affinity[PARTITION_VCPUS_MAX];
    bool affinity_given;
    bool dedicated; /* nobody else runs on its CPUs */
    bool vpl011;
    uint8_t priority; /* 0..7, higher runs first */
    enum partition_restart restart;
    uint32_t restart_limit; /* 0: none */
    enum partition_populate populate;
    struct partition_module kernel;
    struct partition_module ramdisk;
    const char *bootargs; /* "" if there are none */

    struct image image;               /* what the kernel is, if somebody could look */
    struct image_placement placement; /* where its parts go, IPAs */

    /* Set by partition_allocate. */
    uint32_t nr_extents;
    struct ram_extent extents[RAM_EXTENTS_MAX];
};

struct partition_list {
    uint32_t count;
    uint32_t nr_bad; /* nodes that were left out */
    struct partition_config partitions[PARTITION_MAX];
};

/* What partition_parse works on. */
struct partition_source {
    const struct boot_machine *machine;
    struct boot_range image; /* EL2 itself, size 0: not known */
    const struct report *report;
    bool every_fault; /* a sentence for each fault, not only the first of each partition */

    /* Read the first size bytes of a module, false if that can't be done. NULL: modules aren't
     * there to be looked at. */
    bool (*peek)(void *context, pa_t from, void *to, size_t size);
    void *context;
};

/* Find all partitions below /chosen. STATUS_OK if all are sound (also if there is none at all),
 * STATUS_INVALID if sentences were given; ret_list holds the sound ones in either case. */
enum status partition_parse(const struct partition_source *source,
                            struct partition_list *ret_list) MUST_CHECK;

/* Free memory of the machine in ret_ram: its memory without what is reserved, EL2's image and
 * each partition's modules. Bad modules were left out by partition_parse. */
enum status partition_free_memory(const struct partition_source *source,
                                  const struct partition_list *list, struct ram *ret_ram)
    MUST_CHECK;

/* Cut each partition's memory out of ram; those for which there isn't enough are reported and
 * removed from the list (STATUS_INVALID). Call after EL2 has taken what it needs. */
enum status partition_allocate(const struct partition_source *source, struct partition_list *list,
                               struct ram *ram) MUST_CHECK;

#endif
