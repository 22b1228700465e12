/* SPDX-License-Identifier: Apache-2.0 */
/* A partition's own properties: one table row each, and one function for each that has a value. */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/partition_internal.h"
#include "machine/layout.h"

typedef void (*reader_t)(struct partition_parser *parser, const char *name,
                         struct fdt_value value);

#define PARTITION_FAULT(parser, name, ...) \
    partition_fault(parser, (parser)->config->path, name, __VA_ARGS__)

static void read_nothing(struct partition_parser *parser, const char *name,
                         struct fdt_value value)
{
    (void)parser;
    (void)name;
    (void)value;
}

static void read_refused(struct partition_parser *parser, const char *name,
                         struct fdt_value value)
{
    (void)value;
    PARTITION_FAULT(parser, name, "Xen's property is not supported by Bothy; leave it out");
}

/* Xen's switches that Bothy has only in the off position. */
static void read_disabled(struct partition_parser *parser, const char *name,
                          struct fdt_value value)
{
    if (!partition_list_has(value, "disabled")) {
        PARTITION_FAULT(parser, name, "is not supported by Bothy; allowed is \"disabled\"");
    }
}

static bool read_flag(struct partition_parser *parser, const char *name, struct fdt_value value)
{
    if (value.size != 0) {
        PARTITION_FAULT(parser, name, "has a value; it must stand without one, or be left out");
    }
    return true;
}

/* A number of one cell between least and most. */
static uint32_t read_u32(struct partition_parser *parser, const char *name,
                         struct fdt_value value, uint32_t least, uint32_t most)
{
    uint32_t number;

    if (value.size != 4) {
        PARTITION_FAULT(parser, name, "has %u bytes; it must be one cell, %u to %u", value.size,
                        least, most);
        return least;
    }
    number = fdt_value_cell(value, 0);
    if (number < least || number > most) {
        PARTITION_FAULT(parser, name, "%u is not possible; allowed are %u to %u", number, least,
                        most);
        return least;
    }
    return number;
}

static void read_memory(struct partition_parser *parser, const char *name, struct fdt_value value)
{
    const uint64_t block = RAM_BLOCK / 1024;
    const uint64_t most = LAYOUT_RAM_MAX / 1024;
    uint64_t kib;

    parser->memory_given = true;
    if (value.size != 4 && value.size != 8) {
        PARTITION_FAULT(parser, name, "has %u bytes; it must be a number of KiB in one or two "
                                      "cells",
                        value.size);
        return;
    }
    kib = fdt_value_cells(value, 0, value.size / 4);
    if (kib == 0 || kib % block != 0 || kib > most) {
        PARTITION_FAULT(parser, name, "%lu KiB are not possible; allowed are multiples of %lu "
                                      "KiB up to %lu KiB",
                        kib, block, most);
        return;
    }
    parser->config->memory = kib * 1024;
}

static void read_cpus(struct partition_parser *parser, const char *name, struct fdt_value value)
{
    parser->cpus_given = true;
    parser->config->nr_vcpus = read_u32(parser, name, value, 1, PARTITION_VCPUS_MAX);
}

static void read_vpl011(struct partition_parser *parser, const char *name, struct fdt_value value)
{
    parser->config->vpl011 = read_flag(parser, name, value);
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '.' || c == '_' || c == '-';
}

static void read_name(struct partition_parser *parser, const char *name, struct fdt_value value)
{
    const char *text = fdt_value_string(value, 0);
    size_t length = text != NULL ? strlen(text) : 0;
    bool fine = length > 0 && length < PARTITION_NAME_SIZE && value.size == length + 1;

    for (size_t i = 0; fine && i < length; i++) {
        fine = name_char(text[i]);
    }
    if (!fine) {
        PARTITION_FAULT(parser, name, "is not a name; allowed are 1 to %u characters of "
                                      "A-Z a-z 0-9 . _ -",
                        PARTITION_NAME_SIZE - 1);
        return;
    }
    memcpy(parser->config->name, text, length + 1);
}

static void read_affinity(struct partition_parser *parser, const char *name,
                          struct fdt_value value)
{
    if (value.size == 0 || value.size % 4 != 0) {
        PARTITION_FAULT(parser, name, "has %u bytes; it must be one mask of CPUs, or one for each "
                                      "vCPU",
                        value.size);
        return;
    }
    parser->affinity = value;
}

static void read_dedicated(struct partition_parser *parser, const char *name,
                           struct fdt_value value)
{
    parser->config->dedicated = read_flag(parser, name, value);
}

static void read_priority(struct partition_parser *parser, const char *name,
                          struct fdt_value value)
{
    parser->config->priority =
        (uint8_t)read_u32(parser, name, value, 0, PARTITION_PRIORITY_MAX);
}

/* One of a few words; words ends with NULL. Returns its number. */
static unsigned int read_word(struct partition_parser *parser, const char *name,
                              struct fdt_value value, const char *const *words,
                              const char *allowed)
{
    const char *text = fdt_value_string(value, 0);

    for (unsigned int i = 0; text != NULL && words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            return i;
        }
    }
    PARTITION_FAULT(parser, name, "\"%.40s\" is unknown; allowed are %s",
                    text != NULL ? text : "", allowed);
    return 0;
}

static void read_restart(struct partition_parser *parser, const char *name,
                         struct fdt_value value)
{
    /* In the order of enum partition_restart. */
    static const char *const words[] = {"never", "on-reset", "on-crash", "always", NULL};

    parser->config->restart = (enum partition_restart)read_word(
        parser, name, value, words, "\"never\", \"on-reset\", \"on-crash\" and \"always\"");
}

static void read_restart_limit(struct partition_parser *parser, const char *name,
                               struct fdt_value value)
{
    parser->config->restart_limit = read_u32(parser, name, value, 0, UINT32_MAX);
}

static void read_populate(struct partition_parser *parser, const char *name,
                          struct fdt_value value)
{
    /* In the order of enum partition_populate. */
    static const char *const words[] = {"touch", "start", NULL};

    parser->config->populate = (enum partition_populate)read_word(
        parser, name, value, words, "\"touch\" and \"start\"");
}

static const struct {
    const char *name;
    reader_t read;
} properties[] = {
    {"compatible", read_nothing},
    {"#address-cells", read_nothing}, /* read before */
    {"#size-cells", read_nothing},
    {"memory", read_memory},
    {"cpus", read_cpus},
    {"vpl011", read_vpl011},
    {"bothy,name", read_name},
    {"bothy,affinity", read_affinity},
    {"bothy,dedicated", read_dedicated},
    {"bothy,priority", read_priority},
    {"bothy,restart", read_restart},
    {"bothy,restart-limit", read_restart_limit},
    {"bothy,populate", read_populate},
    {"status", read_nothing},
    {"phandle", read_nothing},
    {"linux,phandle", read_nothing},
    {"name", read_nothing},
    /* Of Xen, and without a meaning here. */
    {"nr_spis", read_nothing},
    {"max_grant_version", read_nothing},
    {"max_grant_frames", read_nothing},
    {"max_maptrack_frames", read_nothing},
    {"xen,domain-p2m-mem-mb", read_nothing},
    {"xen,enhanced", read_disabled},
    {"passthrough", read_disabled},
    /* Of Xen, with a meaning that Bothy can't give it. */
    {"xen,static-mem", read_refused},
    {"#xen,static-mem-address-cells", read_refused},
    {"#xen,static-mem-size-cells", read_refused},
    {"xen,static-heap", read_refused},
    {"direct-map", read_refused},
    {"domain-cpupool", read_refused},
    {"llc-colors", read_refused},
    {"sve", read_refused},
    {"vpci", read_refused},
    {"capabilities", read_refused},
    {"trap-unmapped-accesses", read_refused},
};

static void read_property(struct partition_parser *parser, const char *name,
                          struct fdt_value value)
{
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        if (strcmp(name, properties[i].name) == 0) {
            properties[i].read(parser, name, value);
            return;
        }
    }
    PARTITION_FAULT(parser, name,
                    "unknown property; allowed are memory, cpus, vpl011, bothy,name, "
                    "bothy,affinity, bothy,dedicated, bothy,priority, bothy,restart, "
                    "bothy,restart-limit, bothy,populate, #address-cells, #size-cells and "
                    "status");
}

/* One mask is for all vCPUs. That its CPUs exist is checked later. */
static void spread_affinity(struct partition_parser *parser)
{
    struct partition_config *config = parser->config;
    uint32_t given = parser->affinity.size / 4;

    if (given == 0 || config->nr_vcpus == 0) {
        return;
    }
    if (given != 1 && given != config->nr_vcpus) {
        PARTITION_FAULT(parser, "bothy,affinity", "has %u masks for %u vCPUs; it must have one, "
                                                  "or one for each vCPU",
                        given, config->nr_vcpus);
        return;
    }
    config->affinity_given = true;
    for (uint32_t i = 0; i < config->nr_vcpus; i++) {
        config->affinity[i] = fdt_value_cell(parser->affinity, given == 1 ? 0 : i);
    }
}

void partition_read_domain(struct partition_parser *parser, uint32_t node)
{
    uint32_t at = fdt_tree_properties(&parser->tree, node);
    struct fdt_value value;
    const char *name;

    while (fdt_tree_next_property(&parser->tree, &at, &name, &value)) {
        read_property(parser, name, value);
    }
    if (!parser->memory_given) {
        PARTITION_FAULT(parser, "memory", "is missing; it must give the partition's memory in "
                                          "KiB");
    }
    if (!parser->cpus_given) {
        PARTITION_FAULT(parser, "cpus", "is missing; it must give the number of vCPUs, 1 to %u",
                        PARTITION_VCPUS_MAX);
    }
    spread_affinity(parser);
}
