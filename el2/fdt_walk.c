/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over a device tree (Devicetree Specification 0.4, section 5.4). Invariants: at is a
 * multiple of four and <= tokens_size; depth is that of the token stream and may exceed
 * FDT_WALK_DEPTH, the records don't.
 */
#include "el2/fdt_walk.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/format.h"
#include <libfdt.h>

static const char *const names[FDT_PROP_COUNT] = {
    [FDT_PROP_ADDRESS_CELLS] = "#address-cells",
    [FDT_PROP_SIZE_CELLS] = "#size-cells",
    [FDT_PROP_INTERRUPT_CELLS] = "#interrupt-cells",
    [FDT_PROP_COMPATIBLE] = "compatible",
    [FDT_PROP_REG] = "reg",
    [FDT_PROP_RANGES] = "ranges",
    [FDT_PROP_STATUS] = "status",
    [FDT_PROP_DEVICE_TYPE] = "device_type",
    [FDT_PROP_INTERRUPTS] = "interrupts",
    [FDT_PROP_INTERRUPTS_EXTENDED] = "interrupts-extended",
    [FDT_PROP_INTERRUPT_NAMES] = "interrupt-names",
    [FDT_PROP_ENABLE_METHOD] = "enable-method",
    [FDT_PROP_RELEASE_ADDR] = "cpu-release-addr",
    [FDT_PROP_METHOD] = "method",
    [FDT_PROP_CPU_ON] = "cpu_on",
    [FDT_PROP_CPU_OFF] = "cpu_off",
    [FDT_PROP_CLOCK_FREQUENCY] = "clock-frequency",
    [FDT_PROP_GICR_STRIDE] = "redistributor-stride",
    [FDT_PROP_GICR_REGIONS] = "#redistributor-regions",
    [FDT_PROP_STDOUT_PATH] = "stdout-path",
    [FDT_PROP_LINUX_STDOUT_PATH] = "linux,stdout-path",
    [FDT_PROP_BOOTARGS] = "bootargs",
    [FDT_PROP_RNG_SEED] = "rng-seed",
    [FDT_PROP_KASLR_SEED] = "kaslr-seed",
    [FDT_PROP_MODEL] = "model",
};

/* Where a name is looked for in walk->table, length > 0; the next free slot if that is taken. */
static uint32_t hash(const char *name, size_t length)
{
    return (uint32_t)(unsigned char)name[0] * 3 + (uint32_t)(unsigned char)name[length - 1] * 5 +
           (uint32_t)length;
}

static void build_table(struct fdt_walk *walk)
{
    memset(walk->table, FDT_PROP_NONE, sizeof(walk->table));
    for (uint32_t i = 1; i < FDT_PROP_COUNT; i++) {
        uint32_t slot = hash(names[i], strlen(names[i])) % FDT_WALK_TABLE;

        while (walk->table[slot] != FDT_PROP_NONE) {
            slot = (slot + 1) % FDT_WALK_TABLE;
        }
        walk->table[slot] = (uint8_t)i;
    }
}

/* Which property a string names. */
static uint32_t find_name(const struct fdt_walk *walk, const char *string, size_t limit)
{
    size_t length = strnlen(string, limit);
    uint32_t slot;

    if (length == 0 || length == limit) {
        return FDT_PROP_NONE;
    }
    slot = hash(string, length) % FDT_WALK_TABLE;
    while (walk->table[slot] != FDT_PROP_NONE && strcmp(string, names[walk->table[slot]]) != 0) {
        slot = (slot + 1) % FDT_WALK_TABLE;
    }
    return walk->table[slot];
}

/* The same by the string's offset, remembered. */
static enum fdt_prop look_up(struct fdt_walk *walk, uint32_t offset)
{
    size_t slot = (offset ^ offset >> 6) % ARRAY_SIZE(walk->names);

    if (walk->names[slot].offset != offset) {
        if (offset >= walk->strings_size) {
            return FDT_PROP_NONE;
        }
        walk->names[slot].offset = offset;
        walk->names[slot].prop =
            find_name(walk, walk->strings + offset, walk->strings_size - offset);
    }
    return (enum fdt_prop)walk->names[slot].prop;
}

enum status fdt_walk_init(struct fdt_walk *walk, const void *fdt, size_t size)
{
    if (size < sizeof(struct fdt_header) || fdt_check_header(fdt) != 0 ||
        fdt_version(fdt) < 17 || fdt_totalsize(fdt) > size ||
        !IS_ALIGNED(fdt_off_dt_struct(fdt), 4u) || !IS_ALIGNED(fdt_off_mem_rsvmap(fdt), 8u)) {
        return STATUS_CORRUPT;
    }
    /* fdt_check_header has seen that the blocks lie inside totalsize. */
    walk->tokens = (const uint8_t *)fdt + fdt_off_dt_struct(fdt);
    walk->tokens_size = ALIGN_DOWN(fdt_size_dt_struct(fdt), 4u);
    walk->strings = (const char *)fdt + fdt_off_dt_strings(fdt);
    walk->strings_size = fdt_size_dt_strings(fdt);
    if (walk->strings_size > 0 && walk->strings[walk->strings_size - 1] != '\0') {
        return STATUS_CORRUPT;
    }
    walk->at = 0;
    walk->depth = 0;
    walk->at_node = false;
    for (size_t i = 0; i < ARRAY_SIZE(walk->names); i++) {
        walk->names[i].offset = UINT32_MAX; /* no string can begin there */
    }
    build_table(walk);
    return STATUS_OK;
}

static uint32_t take_cell(struct fdt_walk *walk)
{
    const uint32_t *cell = (const void *)(walk->tokens + walk->at);

    walk->at += 4;
    return fdt32_to_cpu(*cell);
}

/* The name's cells, the one with its NUL included; 0 if it doesn't end in the block. */
static uint32_t name_cells(const struct fdt_walk *walk)
{
    const uint32_t *cells = (const void *)(walk->tokens + walk->at);
    uint32_t limit = (walk->tokens_size - walk->at) / 4;

    for (uint32_t i = 0; i < limit; i++) {
        if (((cells[i] - 0x01010101u) & ~cells[i] & 0x80808080u) != 0) { /* a byte is 0 */
            return i + 1;
        }
    }
    return 0;
}

static bool begin_node(struct fdt_walk *walk)
{
    uint32_t cells = name_cells(walk);

    if (walk->depth < FDT_WALK_DEPTH) {
        struct fdt_node *node = &walk->node[walk->depth];

        node->name = (const char *)walk->tokens + walk->at;
        node->offset = walk->at - 4;
        node->present = 0;
    }
    walk->at += cells * 4;
    walk->depth++;
    walk->at_node = true;
    return cells != 0;
}

static bool take_property(struct fdt_walk *walk)
{
    uint32_t size;
    uint32_t name;
    enum fdt_prop prop;

    if (walk->tokens_size - walk->at < 8 || walk->depth == 0) {
        return false;
    }
    size = take_cell(walk);
    name = take_cell(walk);
    if (size > walk->tokens_size - walk->at) {
        return false;
    }
    prop = look_up(walk, name);
    if (prop != FDT_PROP_NONE && walk->at_node && walk->depth <= FDT_WALK_DEPTH) {
        struct fdt_node *node = &walk->node[walk->depth - 1];

        node->present |= 1u << prop;
        node->value[prop].data = walk->tokens + walk->at;
        node->value[prop].size = size;
    }
    walk->at += ALIGN_UP(size, 4u);
    return walk->at <= walk->tokens_size;
}

/* What a node's properties mean for those below. */
static void complete(struct fdt_walk *walk, uint32_t depth)
{
    struct fdt_node *node = &walk->node[depth];

    node->address_cells = 2;
    node->size_cells = 1;
    if (fdt_walk_get(node, FDT_PROP_ADDRESS_CELLS).size == 4) {
        node->address_cells = fdt_value_cell(node->value[FDT_PROP_ADDRESS_CELLS], 0);
    }
    if (fdt_walk_get(node, FDT_PROP_SIZE_CELLS).size == 4) {
        node->size_cells = fdt_value_cell(node->value[FDT_PROP_SIZE_CELLS], 0);
    }
    node->disabled = depth > 0 && walk->node[depth - 1].disabled;
    if (node->present & 1u << FDT_PROP_STATUS) {
        const char *status = fdt_walk_text(node, FDT_PROP_STATUS);

        node->disabled |= status == NULL || (strcmp(status, "okay") != 0 &&
                                             strcmp(status, "ok") != 0);
    }
}

/* The node that was begun is complete when its first child or its end comes. */
static bool hand_out(struct fdt_walk *walk, uint32_t *ret_depth)
{
    if (!walk->at_node) {
        return false;
    }
    walk->at_node = false;
    if (walk->depth > FDT_WALK_DEPTH) {
        return false;
    }
    *ret_depth = walk->depth - 1;
    complete(walk, *ret_depth);
    return true;
}

enum status fdt_walk_next(struct fdt_walk *walk, uint32_t *ret_depth)
{
    while (walk->tokens_size - walk->at >= 4) {
        bool sound = true;

        switch (take_cell(walk)) {
        case FDT_BEGIN_NODE:
            if (hand_out(walk, ret_depth)) {
                walk->at -= 4;
                return STATUS_OK;
            }
            sound = begin_node(walk);
            break;
        case FDT_END_NODE:
            if (hand_out(walk, ret_depth)) {
                walk->at -= 4;
                return STATUS_OK;
            }
            sound = walk->depth > 0;
            walk->depth--;
            break;
        case FDT_PROP:
            sound = take_property(walk);
            break;
        case FDT_NOP:
            break;
        case FDT_END:
            return walk->depth == 0 ? STATUS_NOT_FOUND : STATUS_CORRUPT;
        default:
            sound = false;
            break;
        }
        if (!sound) {
            break;
        }
    }
    return STATUS_CORRUPT;
}

struct fdt_value fdt_walk_get(const struct fdt_node *node, enum fdt_prop prop)
{
    return node->present & 1u << prop ? node->value[prop] : (struct fdt_value){NULL, 0};
}

const char *fdt_walk_text(const struct fdt_node *node, enum fdt_prop prop)
{
    return fdt_value_string(fdt_walk_get(node, prop), 0);
}

uint32_t fdt_value_cell(struct fdt_value value, uint32_t n)
{
    const uint32_t *cells = (const void *)value.data;

    return fdt32_to_cpu(cells[n]);
}

uint64_t fdt_value_cells(struct fdt_value value, uint32_t n, uint32_t count)
{
    uint64_t number = 0;

    for (; count > 0; count--) {
        number = number << 32 | fdt_value_cell(value, n++);
    }
    return number;
}

const char *fdt_value_string(struct fdt_value value, uint32_t n)
{
    const char *text = (const char *)value.data;
    uint32_t left = value.size;

    for (;;) {
        size_t length = left > 0 ? strnlen(text, left) : 0;

        if (left == 0 || length == left) {
            return NULL;
        }
        if (n-- == 0) {
            return text;
        }
        text += length + 1;
        left -= (uint32_t)length + 1;
    }
}

/* One step towards the root: an address on the bus `node` becomes one on its parent's. */
static enum status translate(const struct fdt_node *node, const struct fdt_node *parent,
                             uint64_t *address, uint64_t size)
{
    struct fdt_value ranges = fdt_walk_get(node, FDT_PROP_RANGES);
    uint32_t child = node->address_cells;
    uint32_t entry = child + parent->address_cells + node->size_cells;

    if (!(node->present & 1u << FDT_PROP_RANGES)) {
        return STATUS_RANGE;
    }
    if (ranges.size == 0) {
        return STATUS_OK;
    }
    if (child > 4 || parent->address_cells > 4 || node->size_cells > 4 || entry == 0 ||
        ranges.size % (entry * 4) != 0) {
        return STATUS_CORRUPT;
    }
    for (uint32_t at = 0; at < ranges.size / 4; at += entry) {
        uint64_t from = fdt_value_cells(ranges, at, child);
        uint64_t to = fdt_value_cells(ranges, at + child, parent->address_cells);
        uint64_t length = fdt_value_cells(ranges, at + entry - node->size_cells, node->size_cells);

        if (*address >= from && *address - from < length && size <= length - (*address - from)) {
            *address = to + (*address - from);
            return STATUS_OK;
        }
    }
    return STATUS_RANGE;
}

enum status fdt_walk_reg(const struct fdt_walk *walk, uint32_t depth, uint32_t n,
                         uint64_t *ret_base, uint64_t *ret_size)
{
    const struct fdt_node *parent = &walk->node[depth > 0 ? depth - 1 : 0];
    struct fdt_value reg = fdt_walk_get(&walk->node[depth], FDT_PROP_REG);
    uint32_t address_cells = parent->address_cells;
    uint32_t size_cells = parent->size_cells;
    uint32_t entry = address_cells + size_cells;
    uint64_t base;
    uint64_t size;

    if (depth == 0 || address_cells == 0 || address_cells > 2 || size_cells > 2 ||
        reg.size % (entry * 4) != 0) {
        return STATUS_CORRUPT;
    }
    if (n >= reg.size / (entry * 4)) {
        return STATUS_NOT_FOUND;
    }
    base = fdt_value_cells(reg, n * entry, address_cells);
    size = fdt_value_cells(reg, n * entry + address_cells, size_cells);
    for (uint32_t up = depth - 1; up > 0; up--) {
        enum status status = translate(&walk->node[up], &walk->node[up - 1], &base, size);

        if (status != STATUS_OK) {
            return status;
        }
    }
    *ret_base = base;
    *ret_size = size;
    return STATUS_OK;
}

void fdt_walk_path(const struct fdt_walk *walk, uint32_t depth, char *path, size_t size)
{
    size_t used = 0;

    format(path, size, "/");
    for (uint32_t i = 1; i <= depth && used < size; i++) {
        used += format(path + used, size - used, "/%s", walk->node[i].name);
    }
}
