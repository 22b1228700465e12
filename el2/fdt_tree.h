/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Some nodes of a device tree in any order, cheaply: libfdt's functions check every token again at
 * each step. Only for a tree that fdt_walk has gone through to its end, which did check them all.
 * A node is the offset of its token, as libfdt counts; 0, the root, is nobody's child.
 */
#ifndef EL2_FDT_TREE_H
#define EL2_FDT_TREE_H

#include "el2/fdt_walk.h"

struct fdt_tree {
    const uint8_t *tokens;
    const char *strings; /* the block ends in NUL, as fdt_walk_init demands */
    uint32_t strings_size;
};

void fdt_tree_init(struct fdt_tree *tree, const void *fdt);

const char *fdt_tree_name(const struct fdt_tree *tree, uint32_t node);

/* Children in order; 0: there are no more. */
uint32_t fdt_tree_first_child(const struct fdt_tree *tree, uint32_t node);
uint32_t fdt_tree_next_child(const struct fdt_tree *tree, uint32_t child);

/* Properties in order: *at begins as fdt_tree_properties(), false when there are no more. */
uint32_t fdt_tree_properties(const struct fdt_tree *tree, uint32_t node);
bool fdt_tree_next_property(const struct fdt_tree *tree, uint32_t *at, const char **ret_name,
                            struct fdt_value *ret_value);

/* One property by name; size 0 if it is empty or not there. */
struct fdt_value fdt_tree_get(const struct fdt_tree *tree, uint32_t node, const char *name);

#endif
