/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device tree at random. Every offset here is that of a token inside of a tree whose nesting is
 * known to be sound, so the loops end at the node's own FDT_END_NODE at the latest.
 */
#include "el2/fdt_tree.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include <libfdt.h>

static uint32_t cell_at(const struct fdt_tree *tree, uint32_t at)
{
    const uint32_t *cell = (const void *)(tree->tokens + at);

    return fdt32_to_cpu(*cell);
}

void fdt_tree_init(struct fdt_tree *tree, const void *fdt)
{
    tree->tokens = (const uint8_t *)fdt + fdt_off_dt_struct(fdt);
    tree->strings = (const char *)fdt + fdt_off_dt_strings(fdt);
    tree->strings_size = fdt_size_dt_strings(fdt);
}

const char *fdt_tree_name(const struct fdt_tree *tree, uint32_t node)
{
    return (const char *)tree->tokens + node + 4;
}

uint32_t fdt_tree_properties(const struct fdt_tree *tree, uint32_t node)
{
    uint32_t length = (uint32_t)strlen(fdt_tree_name(tree, node));

    return node + 4 + ALIGN_UP(length + 1, 4u);
}

/* The token behind a property or a NOP. */
static uint32_t behind(const struct fdt_tree *tree, uint32_t at)
{
    return cell_at(tree, at) == FDT_PROP ? at + 12 + ALIGN_UP(cell_at(tree, at + 4), 4u) : at + 4;
}

/* The first child at or behind this offset inside of a node. */
static uint32_t seek_child(const struct fdt_tree *tree, uint32_t at)
{
    for (;;) {
        switch (cell_at(tree, at)) {
        case FDT_BEGIN_NODE:
            return at;
        case FDT_END_NODE:
        case FDT_END:
            return 0;
        default:
            at = behind(tree, at);
            break;
        }
    }
}

uint32_t fdt_tree_first_child(const struct fdt_tree *tree, uint32_t node)
{
    return seek_child(tree, fdt_tree_properties(tree, node));
}

uint32_t fdt_tree_next_child(const struct fdt_tree *tree, uint32_t child)
{
    uint32_t at = fdt_tree_properties(tree, child);
    uint32_t depth = 1;

    while (depth > 0) {
        switch (cell_at(tree, at)) {
        case FDT_BEGIN_NODE:
            at = fdt_tree_properties(tree, at);
            depth++;
            break;
        case FDT_END_NODE:
            at += 4;
            depth--;
            break;
        default:
            at = behind(tree, at);
            break;
        }
    }
    return seek_child(tree, at);
}

bool fdt_tree_next_property(const struct fdt_tree *tree, uint32_t *at, const char **ret_name,
                            struct fdt_value *ret_value)
{
    uint32_t name;

    while (cell_at(tree, *at) == FDT_NOP) {
        *at += 4;
    }
    if (cell_at(tree, *at) != FDT_PROP) {
        return false;
    }
    name = cell_at(tree, *at + 8);
    *ret_name = name < tree->strings_size ? tree->strings + name : "";
    ret_value->data = tree->tokens + *at + 12;
    ret_value->size = cell_at(tree, *at + 4);
    *at = behind(tree, *at);
    return true;
}

struct fdt_value fdt_tree_get(const struct fdt_tree *tree, uint32_t node, const char *name)
{
    uint32_t at = fdt_tree_properties(tree, node);
    struct fdt_value value;
    const char *given;

    while (fdt_tree_next_property(tree, &at, &given, &value)) {
        if (given[0] == name[0] && strcmp(given, name) == 0) {
            return value;
        }
    }
    return (struct fdt_value){NULL, 0};
}
