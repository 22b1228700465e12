/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the partition parser is cut: partition.c walks the nodes and keeps the list,
 * partition_domain.c reads a domain's properties, partition_module.c its modules, and
 * partition_rules.c holds a partition against the machine and against those before it.
 */
#ifndef EL2_PARTITION_INTERNAL_H
#define EL2_PARTITION_INTERNAL_H

#include "el2/fdt_tree.h"
#include "el2/partition.h"

#define PARTITION_MODULE_PATH_MAX 160u

struct partition_parser {
    struct fdt_tree tree;
    const struct partition_source *source;
    struct partition_list *list;     /* the sound ones so far */
    struct partition_config *config; /* the one that is being read */
    bool bad;                        /* and that has a fault */
    bool any_bad;
    bool memory_given;
    bool cpus_given;
    /* Paths of the modules' nodes, "" if there is none. */
    char kernel_path[PARTITION_MODULE_PATH_MAX];
    char ramdisk_path[PARTITION_MODULE_PATH_MAX];
    struct fdt_value affinity; /* raw, until the number of vCPUs is known */
    uint32_t address_cells;    /* for modules */
    uint32_t size_cells;
};

/* The one way to find fault: "path: property: what", once per partition unless every fault is
 * wanted. property may be NULL. */
void partition_fault(struct partition_parser *parser, const char *path, const char *property,
                     const char *what, ...) __attribute__((format(printf, 4, 5)));

/* Whether a list of strings has this one. */
bool partition_list_has(struct fdt_value list, const char *string);

/* A node with a status other than "okay" is as good as not there. */
bool partition_node_disabled(const struct fdt_tree *tree, uint32_t node);

/* Read #address-cells and #size-cells of the node, keep those above it that it doesn't state. */
void partition_read_cells(struct partition_parser *parser, uint32_t node, const char *path);

/* Read everything that the node itself says. */
void partition_read_domain(struct partition_parser *parser, uint32_t node);

/* Read one child. */
void partition_read_module(struct partition_parser *parser, uint32_t node);

/* All that can be wrong with a partition that reads well. */
void partition_check(struct partition_parser *parser);

/* vCPUs without a wish get what nobody has for himself. */
void partition_fill_affinity(const struct boot_machine *machine, struct partition_list *list);

#endif
