/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over the flattened device tree (Devicetree Specification 0.4, chapter 5) that notes
 * what a payload wants to know. Works with the MMU off: byte loads only.
 */

#include "machine.h"

#define FDT_MAGIC 0xd00dfeedu
#define FDT_BEGIN_NODE 1u
#define FDT_END_NODE 2u
#define FDT_PROP 3u
#define FDT_NOP 4u
#define DEPTH_MAX 16u

struct property {
    const uint8_t *data;
    uint32_t size;
};

struct node {
    const char *name;
    struct property compatible, reg, device_type, bootargs, method, interrupts;
    uint32_t address_cells, size_cells; /* for its children */
    bool is_disabled;
};

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t read_cells(const uint8_t *at, uint32_t cells)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < cells; i++) {
        value = value << 32 | be32(at + 4u * i);
    }
    return value;
}

/* Whether a list of strings holds `want`. */
static bool has_string(const struct property *list, const char *want)
{
    uint32_t at = 0;

    while (at < list->size) {
        const char *string = (const char *)list->data + at;

        if (string_equal(string, want)) {
            return true;
        }
        at += (uint32_t)strlen(string) + 1;
    }
    return false;
}

static bool name_starts(const struct node *node, const char *prefix)
{
    return memcmp(node->name, prefix, strlen(prefix)) == 0;
}

/* The n-th address of the node's reg, and its size. */
static uint64_t reg_address(const struct node *node, const struct node *parent, uint32_t n,
                            uint64_t *ret_size)
{
    uint32_t cells = parent->address_cells + parent->size_cells;

    if (node->reg.size < 4u * cells * (n + 1)) {
        return 0;
    }
    if (ret_size != NULL) {
        *ret_size = read_cells(node->reg.data + 4u * (cells * n + parent->address_cells),
                               parent->size_cells);
    }
    return read_cells(node->reg.data + 4u * cells * n, parent->address_cells);
}

static void note_uart(const struct node *node, const struct node *parent, bool is_8250)
{
    if (machine.uart != 0 || node->is_disabled) {
        return;
    }
    machine.uart = reg_address(node, parent, 0, NULL);
    machine.uart_is_8250 = is_8250;
    if (node->interrupts.size >= 12) {
        machine.uart_irq = 32u + be32(node->interrupts.data + 4);
    }
}

static void note_memory(const struct node *node, const struct node *parent)
{
    uint64_t size = 0;
    uint64_t base;

    for (uint32_t n = 0; (base = reg_address(node, parent, n, &size)) != 0; n++) {
        if ((uint64_t)image_start >= base && (uint64_t)image_start - base < size) {
            machine.ram_base = base;
            machine.ram_size = size;
        }
    }
}

/* All properties of a node are known. */
static void note_node(const struct node *node, const struct node *parent)
{
    if (has_string(&node->device_type, "memory")) {
        note_memory(node, parent);
    } else if (has_string(&node->device_type, "cpu") && name_starts(node, "cpu@")) {
        if (machine.nr_cpus < CPU_MAX && !node->is_disabled) {
            machine.mpidr[machine.nr_cpus++] = reg_address(node, parent, 0, NULL);
        }
    } else if (string_equal(node->name, "chosen")) {
        machine.bootargs = (const char *)node->bootargs.data;
    } else if (has_string(&node->compatible, "arm,pl011") ||
               has_string(&node->compatible, "arm,sbsa-uart")) {
        note_uart(node, parent, false);
    } else if (has_string(&node->compatible, "ns16550a")) {
        note_uart(node, parent, true);
    } else if (has_string(&node->compatible, "arm,gic-v3")) {
        machine.gicd = reg_address(node, parent, 0, NULL);
        machine.gicr = reg_address(node, parent, 1, &machine.gicr_size);
    } else if (has_string(&node->compatible, "arm,psci-0.2") ||
               has_string(&node->compatible, "arm,psci-1.0")) {
        machine.psci = true;
        machine.psci_smc = has_string(&node->method, "smc");
    }
}

static void note_property(struct node *node, const char *name, struct property value)
{
    if (string_equal(name, "compatible")) {
        node->compatible = value;
    } else if (string_equal(name, "reg")) {
        node->reg = value;
    } else if (string_equal(name, "device_type")) {
        node->device_type = value;
    } else if (string_equal(name, "bootargs")) {
        node->bootargs = value;
    } else if (string_equal(name, "method")) {
        node->method = value;
    } else if (string_equal(name, "interrupts")) {
        node->interrupts = value;
    } else if (string_equal(name, "#address-cells")) {
        node->address_cells = be32(value.data);
    } else if (string_equal(name, "#size-cells")) {
        node->size_cells = be32(value.data);
    } else if (string_equal(name, "status")) {
        node->is_disabled = has_string(&value, "disabled");
    }
}

/* The walk's state: the nodes from the root down to the current one. nodes[0] is the root's
 * stand-in parent. */
static struct node nodes[DEPTH_MAX];
static uint32_t depth;
static bool is_open; /* the current node's properties are still coming */

static void close_properties(void)
{
    if (is_open) {
        note_node(&nodes[depth], &nodes[depth - 1]);
        is_open = false;
    }
}

static bool begin_node(const char *name)
{
    close_properties();
    if (depth + 1 == DEPTH_MAX) {
        return false;
    }
    depth++;
    nodes[depth] = (struct node){.name = name, .address_cells = 2, .size_cells = 1};
    is_open = true;
    return true;
}

bool machine_read_fdt(const void *fdt)
{
    const uint8_t *base = fdt;
    const uint8_t *at;
    const char *names;

    if (be32(base) != FDT_MAGIC) {
        return false;
    }
    machine.fdt = fdt;
    machine.fdt_size = be32(base + 4);
    at = base + be32(base + 8);
    names = (const char *)base + be32(base + 12);
    for (;;) {
        uint32_t token = be32(at);

        at += 4;
        if (token == FDT_BEGIN_NODE) {
            if (!begin_node((const char *)at)) {
                return false;
            }
            at += (strlen((const char *)at) + 4) & ~UINT64_C(3);
        } else if (token == FDT_PROP) {
            struct property value = {.data = at + 8, .size = be32(at)};

            note_property(&nodes[depth], names + be32(at + 4), value);
            at += 8 + ((value.size + 3) & ~3u);
        } else if (token == FDT_END_NODE) {
            close_properties();
            depth--;
        } else if (token != FDT_NOP) {
            return true;
        }
    }
}
