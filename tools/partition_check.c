/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bothy-partition-check: the hypervisor's own parsers, run over a device tree offline. It sees
 * what Bothy would see at boot, except for the contents of the modules.
 */
#include "el2/boot_fdt.h"
#include "el2/partition.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exit codes. */
enum { SOUND = 0, FAULTY = 1, FAILED = 2 };

/* Larger files are not device trees; QEMU's own has 1 MiB. */
#define FILE_MAX (16u << 20)

static const char help[] =
    "NAME\n"
    "    bothy-partition-check - check Bothy's partitions in a device tree\n"
    "\n"
    "SYNOPSIS\n"
    "    bothy-partition-check [--quiet] FILE.dtb\n"
    "    bothy-partition-check --help\n"
    "\n"
    "DESCRIPTION\n"
    "    Reads a flattened device tree as Bothy reads it at boot: the machine (memory, CPUs,\n"
    "    interrupt controller, timer, UART) and the partitions below /chosen, in Xen's dom0less\n"
    "    form with Bothy's own properties; docs/partitions.md describes them. Each fault is one\n"
    "    sentence on standard error: the node's path, the property, what is wrong, and what is\n"
    "    allowed. Unlike at boot, all faults of a partition are told, not only the first.\n"
    "\n"
    "    The modules themselves are not in the file. Whether a kernel is an arm64 Image, and how\n"
    "    much memory it needs beyond its length, is known only at boot; so is where the boot\n"
    "    loader puts Bothy and the device tree.\n"
    "\n"
    "    A sound file is followed by a summary of the machine and of each partition on standard\n"
    "    output.\n"
    "\n"
    "OPTIONS\n"
    "    -q, --quiet   no summary\n"
    "    -h, --help    this text\n"
    "\n"
    "EXIT STATUS\n"
    "    0   the machine can run guests and all partitions are sound\n"
    "    1   there are faults\n"
    "    2   the file can't be read or isn't a device tree, or the command line is wrong\n"
    "\n"
    "EXAMPLE\n"
    "    dtc -I dts -O dtb -o board.dtb board.dts && bothy-partition-check board.dtb\n";

static void say(void *context, const char *sentence)
{
    unsigned int *count = context;

    fprintf(stderr, "%s\n", sentence);
    (*count)++;
}

/* The whole file, or NULL after a message. malloc aligns it as libfdt wants it. */
static void *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    char *data = malloc(FILE_MAX + 1);
    size_t size;

    if (file == NULL || data == NULL) {
        fprintf(stderr, "bothy-partition-check: %s: %s\n", path, strerror(errno));
        free(data);
        if (file != NULL) {
            fclose(file);
        }
        return NULL;
    }
    size = fread(data, 1, FILE_MAX + 1, file);
    if (ferror(file) || size > FILE_MAX) {
        fprintf(stderr, "bothy-partition-check: %s: %s\n", path,
                size > FILE_MAX ? "too large for a device tree" : strerror(errno));
        free(data);
        data = NULL;
    }
    fclose(file);
    *ret_size = size;
    return data;
}

static void print_size(uint64_t bytes)
{
    if (bytes % (1u << 20) == 0) {
        printf("%" PRIu64 " MiB", bytes >> 20);
    } else {
        printf("%" PRIu64 " KiB", (bytes + 1023) >> 10);
    }
}

static void print_machine(const struct boot_machine *machine)
{
    static const char *const conduits[] = {"none", "SMC", "HVC"};
    static const char *const uarts[] = {"none", "PL011", "SBSA"};
    uint64_t memory = 0;

    for (uint32_t i = 0; i < machine->nr_memory; i++) {
        memory += machine->memory[i].size;
    }
    printf("machine: %s, %u CPUs", machine->model[0] != '\0' ? machine->model : "unnamed",
           machine->nr_cpus);
    if (machine->nr_cpus_left_out > 0) {
        printf(" (%u more are not used)", machine->nr_cpus_left_out);
    }
    printf(", ");
    print_size(memory);
    printf(", PSCI by %s, GICv3 at 0x%" PRIx64 ", UART %s", conduits[machine->psci.conduit],
           machine->gic.distributor.base.pa, uarts[machine->uart.kind]);
    if (machine->uart.kind != BOOT_UART_NONE) {
        printf(" at 0x%" PRIx64, machine->uart.registers.base.pa);
    }
    printf("\n");
}

static void print_module(const char *name, const struct partition_module *module)
{
    if (module->size != 0) {
        printf("    %-9s 0x%" PRIx64 "..0x%" PRIx64 " (", name, module->base.pa,
               module->base.pa + module->size - 1);
        print_size(module->size);
        printf(")\n");
    }
}

static void print_partition(const struct partition_config *config)
{
    static const char *const restarts[] = {"never", "on-reset", "on-crash", "always"};
    static const char *const populates[] = {"touch", "start"};

    printf("\n%s (%s)\n", config->name, config->path);
    printf("    memory    ");
    print_size(config->memory);
    printf(", populated at %s\n", populates[config->populate]);
    printf("    vCPUs     %u, on CPUs", config->nr_vcpus);
    for (uint32_t i = 0; i < config->nr_vcpus; i++) {
        if (i == 0 || config->affinity[i] != config->affinity[i - 1]) {
            printf(" 0x%x", config->affinity[i]);
        }
    }
    printf("%s, priority %u\n", config->dedicated ? " (dedicated)" : "", config->priority);
    print_module("kernel", &config->kernel);
    print_module("ramdisk", &config->ramdisk);
    printf("    bootargs  %s\n", config->bootargs[0] != '\0' ? config->bootargs : "(none)");
    printf("    console   %s\n", config->vpl011 ? "PL011" : "none");
    printf("    restart   %s", restarts[config->restart]);
    if (config->restart_limit != 0) {
        printf(", at most %u times", config->restart_limit);
    }
    printf("\n");
}

static int check(const void *fdt, size_t size, bool quiet)
{
    static struct boot_machine machine;
    static struct partition_list list;
    static struct ram ram;
    unsigned int faults = 0;
    struct report report = {say, &faults};
    struct partition_source source = {
        .machine = &machine, .report = &report, .every_fault = true};
    enum status status = boot_fdt_parse(fdt, size, pa(0), &report, &machine);
    enum status parsed;

    if (status == STATUS_CORRUPT) {
        return FAILED;
    }
    parsed = partition_parse(&source, &list);
    if (status == STATUS_OK && partition_free_memory(&source, &list, &ram) != STATUS_OK) {
        say(&faults, "/memory: reg: there are too many regions, or they wrap");
        status = STATUS_NO_SPACE;
    }
    if (status == STATUS_OK && partition_allocate(&source, &list, &ram) != STATUS_OK) {
        status = STATUS_NO_MEMORY; /* for some of them */
    }
    if (faults > 0 || parsed != STATUS_OK || status != STATUS_OK) {
        fprintf(stderr, "%u fault%s in the device tree\n", faults, faults == 1 ? "" : "s");
        return FAULTY;
    }
    if (!quiet) {
        print_machine(&machine);
        for (uint32_t i = 0; i < list.count; i++) {
            print_partition(&list.partitions[i]);
        }
        if (list.count == 0) {
            printf("\nno partitions: there is no node below /chosen with compatible = "
                   "\"xen,domain\"\n");
        } else {
            printf("\n%u partition%s, all sound\n", list.count, list.count == 1 ? "" : "s");
        }
    }
    return SOUND;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    bool quiet = false;
    size_t size = 0;
    void *fdt;
    int result;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return SOUND;
        }
        if (strcmp(argv[i], "--quiet") == 0 || strcmp(argv[i], "-q") == 0) {
            quiet = true;
        } else if (argv[i][0] == '-' || path != NULL) {
            fprintf(stderr, "bothy-partition-check: unexpected argument %s; see --help\n",
                    argv[i]);
            return FAILED;
        } else {
            path = argv[i];
        }
    }
    if (path == NULL) {
        fprintf(stderr, "bothy-partition-check: no file named; see --help\n");
        return FAILED;
    }
    fdt = read_file(path, &size);
    if (fdt == NULL) {
        return FAILED;
    }
    result = check(fdt, size, quiet);
    if (result == FAILED) {
        fprintf(stderr, "bothy-partition-check: %s: not a flattened device tree\n", path);
    }
    free(fdt);
    return result;
}
