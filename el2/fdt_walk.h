/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over a device tree, node by node, cheaply: some 20 instructions a token, where libfdt's
 * general functions take over a hundred. Nothing in the tree is trusted: every access is checked
 * against the bounds of its block.
 *
 * fdt_walk_next() stops at each node after its properties were read, so that the caller sees
 * a whole node, and its ancestors, at once.
 */
#ifndef EL2_FDT_WALK_H
#define EL2_FDT_WALK_H

#include "bothy/status.h"
#include "bothy/types.h"

/* Nodes below this depth are passed over. */
#define FDT_WALK_DEPTH 8u
#define FDT_WALK_TABLE 64u

/* The properties that a node's record keeps; fdt_walk.c has the names. */
enum fdt_prop {
    FDT_PROP_NONE,
    FDT_PROP_ADDRESS_CELLS,
    FDT_PROP_SIZE_CELLS,
    FDT_PROP_INTERRUPT_CELLS,
    FDT_PROP_COMPATIBLE,
    FDT_PROP_REG,
    FDT_PROP_RANGES,
    FDT_PROP_STATUS,
    FDT_PROP_DEVICE_TYPE,
    FDT_PROP_INTERRUPTS,
    FDT_PROP_INTERRUPTS_EXTENDED,
    FDT_PROP_INTERRUPT_NAMES,
    FDT_PROP_ENABLE_METHOD,
    FDT_PROP_RELEASE_ADDR,
    FDT_PROP_METHOD,
    FDT_PROP_CPU_ON,
    FDT_PROP_CPU_OFF,
    FDT_PROP_CLOCK_FREQUENCY,
    FDT_PROP_GICR_STRIDE,
    FDT_PROP_GICR_REGIONS,
    FDT_PROP_STDOUT_PATH,
    FDT_PROP_LINUX_STDOUT_PATH,
    FDT_PROP_BOOTARGS,
    FDT_PROP_RNG_SEED,
    FDT_PROP_KASLR_SEED,
    FDT_PROP_MODEL,
    FDT_PROP_COUNT,
};

struct fdt_value {
    const uint8_t *data; /* 4-byte aligned */
    uint32_t size;
};

struct fdt_node {
    const char *name;       /* "" for the root */
    uint32_t offset;        /* as libfdt counts it */
    uint32_t present;       /* bit per enum fdt_prop */
    uint32_t address_cells; /* for children; 2 and 1 if the node doesn't say */
    uint32_t size_cells;
    bool disabled; /* it or an ancestor has a status other than "okay" */
    struct fdt_value value[FDT_PROP_COUNT];
};

struct fdt_walk {
    const uint8_t *tokens;
    uint32_t tokens_size;
    const char *strings;
    uint32_t strings_size;
    uint32_t at;
    uint32_t depth; /* of the node whose properties are being read; 0: before the root */
    bool at_node;   /* node[depth - 1] was begun and not handed out yet */
    struct {
        uint32_t offset;
        uint32_t prop;
    } names[64];                   /* strings that were met: most trees have each name once */
    uint8_t table[FDT_WALK_TABLE]; /* enum fdt_prop by a hash of its name */
    struct fdt_node node[FDT_WALK_DEPTH];
};

/* STATUS_CORRUPT if the header isn't sound. The tree is 8-byte aligned, size bytes at most. */
enum status fdt_walk_init(struct fdt_walk *walk, const void *fdt, size_t size) MUST_CHECK;

/* The next node; its depth (0 for the root) is in *ret_depth, it is walk->node[depth], and its
 * ancestors are those before it. STATUS_NOT_FOUND: that was all. STATUS_CORRUPT. */
enum status fdt_walk_next(struct fdt_walk *walk, uint32_t *ret_depth) MUST_CHECK;

/* A value of the node, or one of size 0 with data NULL. */
struct fdt_value fdt_walk_get(const struct fdt_node *node, enum fdt_prop prop);

/* The value as a string, or NULL if it isn't one. */
const char *fdt_walk_text(const struct fdt_node *node, enum fdt_prop prop);

/* The nth cell; of `count` cells as one number (the lowest 64 bits). Within the value's size. */
uint32_t fdt_value_cell(struct fdt_value value, uint32_t n);
uint64_t fdt_value_cells(struct fdt_value value, uint32_t n, uint32_t count);

/* The nth string of a list, or NULL. */
const char *fdt_value_string(struct fdt_value value, uint32_t n);

/* Entry n of the node's reg, in addresses of the CPU. STATUS_NOT_FOUND: there is no such entry;
 * STATUS_CORRUPT: cells are malformed; STATUS_RANGE: a bus above doesn't map it. */
enum status fdt_walk_reg(const struct fdt_walk *walk, uint32_t depth, uint32_t n,
                         uint64_t *ret_base, uint64_t *ret_size) MUST_CHECK;

/* "/soc/uart@1000" */
void fdt_walk_path(const struct fdt_walk *walk, uint32_t depth, char *path, size_t size);

#endif
