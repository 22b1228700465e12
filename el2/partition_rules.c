/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a partition must not do: to the machine, and to the partitions before it. Where two of
 * them can't both be, the second is at fault.
 */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/partition_internal.h"
#include "machine/layout.h"

#define FAULT(parser, property, ...) \
    partition_fault(parser, (parser)->config->path, property, __VA_ARGS__)

static uint32_t all_cpus(const struct boot_machine *machine)
{
    /* Without any CPU the machine itself is at fault, not the masks. */
    return machine->nr_cpus != 0 ? (uint32_t)(BIT(machine->nr_cpus) - 1) : UINT32_MAX;
}

/* All CPUs that any of its vCPUs names. */
static uint32_t named_cpus(const struct partition_config *config)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; config->affinity_given && i < config->nr_vcpus; i++) {
        mask |= config->affinity[i];
    }
    return mask;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a_size != 0 && b_size != 0 && (a < b ? b - a < a_size : a - b < b_size);
}

static bool in_memory(const struct boot_machine *machine, const struct partition_module *module)
{
    for (uint32_t i = 0; i < machine->nr_memory; i++) {
        const struct boot_range *memory = &machine->memory[i];
        uint64_t offset = module->base.pa - memory->base.pa;

        if (module->base.pa >= memory->base.pa && offset < memory->size &&
            module->size <= memory->size - offset) {
            return true;
        }
    }
    return false;
}

static void check_against(struct partition_parser *parser, const char *path,
                          const struct partition_module *module, const struct boot_range *range,
                          const char *whose)
{
    if (overlap(module->base.pa, module->size, range->base.pa, range->size)) {
        partition_fault(parser, path, "reg",
                        "0x%lx..0x%lx overlaps %s at 0x%lx..0x%lx; it must lie in memory that "
                        "nobody else uses",
                        module->base.pa, module->base.pa + module->size - 1, whose,
                        range->base.pa, range->base.pa + range->size - 1);
    }
}

/* Two may share a module, as it is only ever read; a part of one is a mistake. */
static void check_neighbour(struct partition_parser *parser, const char *path,
                            const struct partition_module *module,
                            const struct partition_module *other, const char *whose)
{
    struct boot_range range = {other->base, other->size};

    if (module->base.pa != other->base.pa || module->size != other->size) {
        check_against(parser, path, module, &range, whose);
    }
}

static void check_module(struct partition_parser *parser, const char *path,
                         const struct partition_module *module)
{
    const struct boot_machine *machine = parser->source->machine;

    if (module->size == 0) {
        return;
    }
    if (!in_memory(machine, module)) {
        partition_fault(parser, path, "reg",
                        "0x%lx..0x%lx is not in the machine's memory; it must lie in one of its "
                        "regions",
                        module->base.pa, module->base.pa + module->size - 1);
        return;
    }
    check_against(parser, path, module, &parser->source->image, "the hypervisor");
    for (uint32_t i = 0; i < machine->nr_reserved; i++) {
        check_against(parser, path, module, &machine->reserved[i], "what is reserved");
    }
    for (uint32_t i = 0; i < parser->list->count; i++) {
        const struct partition_config *other = &parser->list->partitions[i];

        check_neighbour(parser, path, module, &other->kernel, other->path);
        check_neighbour(parser, path, module, &other->ramdisk, other->path);
    }
}

static void check_modules(struct partition_parser *parser)
{
    const struct partition_config *config = parser->config;
    struct boot_range kernel = {config->kernel.base, config->kernel.size};

    if (parser->kernel_path[0] == '\0') {
        FAULT(parser, "multiboot,kernel",
              "there is no kernel; there must be a child node with compatible = "
              "\"multiboot,kernel\", \"multiboot,module\"");
        return;
    }
    check_module(parser, parser->kernel_path, &config->kernel);
    check_module(parser, parser->ramdisk_path, &config->ramdisk);
    check_against(parser, parser->ramdisk_path, &config->ramdisk, &kernel, "the kernel");
}

/* What the kernel is, and whether all fits into the partition's memory. */
static void check_image(struct partition_parser *parser)
{
    const struct partition_source *source = parser->source;
    struct partition_config *config = parser->config;
    uint8_t head[IMAGE_HEADER_SIZE];
    size_t size = MIN((uint64_t)sizeof(head), config->kernel.size);
    enum image_result result;

    if (source->peek != NULL && source->peek(source->context, config->kernel.base, head, size)) {
        result = image_parse(head, size, config->kernel.size, &config->image);
        if (result != IMAGE_OK) {
            partition_fault(parser, parser->kernel_path, "reg",
                            "the kernel %s; allowed are an arm64 Image and a raw binary",
                            image_explain(result));
            return;
        }
    } else { /* as good as it gets: it needs at least this */
        config->image = (struct image){IMAGE_LINUX, 0, config->kernel.size, config->kernel.size};
    }
    result = image_place(&config->image, LAYOUT_RAM_BASE, config->memory, config->ramdisk.size,
                         &config->placement);
    if (result != IMAGE_OK) {
        FAULT(parser, "memory",
              "%lu KiB are too little, the kernel %s; the kernel needs %lu KiB, the ramdisk %lu "
              "KiB and the device tree %u KiB",
              config->memory / 1024, image_explain(result),
              (config->image.offset + config->image.span + 1023) / 1024,
              (config->ramdisk.size + 1023) / 1024, IMAGE_FDT_SIZE / 1024);
    }
}

static void check_affinity(struct partition_parser *parser)
{
    const struct boot_machine *machine = parser->source->machine;
    const struct partition_config *config = parser->config;

    for (uint32_t i = 0; config->affinity_given && i < config->nr_vcpus; i++) {
        uint32_t mask = config->affinity[i];

        if (mask == 0) {
            FAULT(parser, "bothy,affinity", "a mask is 0; each must name a CPU, allowed is 0x%x",
                  all_cpus(machine));
        } else if ((mask & ~all_cpus(machine)) != 0) {
            FAULT(parser, "bothy,affinity",
                  "0x%x names a CPU that isn't there; allowed is 0x%x, CPUs 0 to %u", mask,
                  all_cpus(machine), machine->nr_cpus - 1);
        }
    }
    if (config->dedicated && !config->affinity_given) {
        FAULT(parser, "bothy,dedicated",
              "needs bothy,affinity; it must say which CPUs are the partition's own");
    }
}

/* Dedicated CPUs are nobody else's, and those who don't name CPUs must have one left. */
static void check_dedicated(struct partition_parser *parser)
{
    const struct partition_config *config = parser->config;
    uint32_t mine = named_cpus(config);
    uint32_t taken = config->dedicated ? mine : 0;
    bool floats = !config->affinity_given;

    for (uint32_t i = 0; i < parser->list->count; i++) {
        const struct partition_config *other = &parser->list->partitions[i];
        uint32_t both = mine & named_cpus(other);

        if (both != 0 && (config->dedicated || other->dedicated)) {
            FAULT(parser, "bothy,affinity",
                  "CPU %u is named by %s too, and dedicated; allowed are CPUs that nobody else "
                  "names",
                  bits_first(both), other->path);
        }
        taken |= other->dedicated ? named_cpus(other) : 0;
        floats |= !other->affinity_given;
    }
    if (floats && taken != 0 && taken == all_cpus(parser->source->machine)) {
        FAULT(parser, config->dedicated ? "bothy,dedicated" : "bothy,affinity",
              "every CPU is dedicated then, and a partition without bothy,affinity has none; one "
              "CPU must be left");
    }
}

static void check_total(struct partition_parser *parser)
{
    uint32_t total = parser->config->nr_vcpus;

    for (uint32_t i = 0; i < parser->list->count; i++) {
        total += parser->list->partitions[i].nr_vcpus;
    }
    if (total > PARTITION_VCPUS_ALL) {
        FAULT(parser, "cpus", "%u with those of the partitions before it; allowed are %u in all",
              total, PARTITION_VCPUS_ALL);
    }
}

static void check_name(struct partition_parser *parser)
{
    if (strcmp(parser->config->name, "bothy") == 0) {
        FAULT(parser, "bothy,name",
              "\"bothy\" is the hypervisor's own name in the console; allowed is any other");
    }
    for (uint32_t i = 0; i < parser->list->count; i++) {
        const struct partition_config *other = &parser->list->partitions[i];

        if (strcmp(other->name, parser->config->name) == 0) {
            FAULT(parser, "bothy,name", "\"%s\" is the name of %s already; each needs its own",
                  other->name, other->path);
        }
    }
}

void partition_check(struct partition_parser *parser)
{
    check_modules(parser);
    check_name(parser);
    check_total(parser);
    if (!parser->bad) {
        check_affinity(parser);
    }
    if (!parser->bad) {
        check_dedicated(parser);
    }
    if (!parser->bad) {
        check_image(parser);
    }
}

void partition_fill_affinity(const struct boot_machine *machine, struct partition_list *list)
{
    uint32_t left = all_cpus(machine);

    for (uint32_t i = 0; i < list->count; i++) {
        if (list->partitions[i].dedicated) {
            left &= ~named_cpus(&list->partitions[i]);
        }
    }
    for (uint32_t i = 0; i < list->count; i++) {
        struct partition_config *config = &list->partitions[i];

        for (uint32_t n = 0; !config->affinity_given && n < config->nr_vcpus; n++) {
            config->affinity[n] = left;
        }
    }
}
