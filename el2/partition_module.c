/* SPDX-License-Identifier: Apache-2.0 */
/* The modules of a partition: its children, kernel and ramdisk. */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/partition_internal.h"

enum module_kind { MODULE_UNKNOWN, MODULE_ANY, MODULE_KERNEL, MODULE_RAMDISK, MODULE_REFUSED };

struct module {
    char path[PARTITION_MODULE_PATH_MAX];
    struct fdt_value compatible;
    struct fdt_value reg;
    const char *bootargs; /* NULL: none */
};

static enum module_kind kind_of(struct fdt_value compatible)
{
    if (partition_list_has(compatible, "multiboot,kernel") ||
        partition_list_has(compatible, "xen,linux-zimage")) {
        return MODULE_KERNEL;
    }
    if (partition_list_has(compatible, "multiboot,ramdisk") ||
        partition_list_has(compatible, "xen,linux-initrd")) {
        return MODULE_RAMDISK;
    }
    if (partition_list_has(compatible, "multiboot,device-tree")) {
        return MODULE_REFUSED;
    }
    return partition_list_has(compatible, "multiboot,module") ? MODULE_ANY : MODULE_UNKNOWN;
}

static void read_bootargs(struct partition_parser *parser, struct module *module,
                          struct fdt_value value)
{
    const char *text = value.size > 0 ? fdt_value_string(value, 0) : "";

    if (text == NULL || (value.size > 0 && strlen(text) + 1 != value.size)) {
        partition_fault(parser, module->path, "bootargs", "must be one string");
    } else if (strlen(text) > PARTITION_BOOTARGS_MAX) {
        partition_fault(parser, module->path, "bootargs", "has %lu characters; allowed are %u",
                        strlen(text), PARTITION_BOOTARGS_MAX);
    } else {
        module->bootargs = text;
    }
}

static void read_properties(struct partition_parser *parser, uint32_t node,
                            struct module *module)
{
    static const char *const meaningless[] = {"status", "phandle", "linux,phandle", "name"};
    uint32_t at = fdt_tree_properties(&parser->tree, node);
    struct fdt_value value;
    const char *name;

    while (fdt_tree_next_property(&parser->tree, &at, &name, &value)) {
        bool known = false;

        for (size_t i = 0; !known && i < ARRAY_SIZE(meaningless); i++) {
            known = strcmp(name, meaningless[i]) == 0;
        }
        if (known) {
            continue;
        }
        if (strcmp(name, "compatible") == 0) {
            module->compatible = value;
        } else if (strcmp(name, "reg") == 0) {
            module->reg = value;
        } else if (strcmp(name, "bootargs") == 0) {
            read_bootargs(parser, module, value);
        } else {
            partition_fault(parser, module->path, name,
                            "unknown property; allowed are compatible, reg, bootargs and status");
        }
    }
}

/* Where the module is. */
static void read_reg(struct partition_parser *parser, const struct module *module,
                     struct partition_module *ret_range)
{
    uint32_t address_cells = parser->address_cells;
    uint32_t size_cells = parser->size_cells;
    uint64_t base;
    uint64_t size;

    if (address_cells < 1 || address_cells > 2 || size_cells < 1 || size_cells > 2) {
        partition_fault(parser, parser->config->path,
                        address_cells < 1 || address_cells > 2 ? "#address-cells"
                                                               : "#size-cells",
                        "%u is not possible; allowed are 1 and 2",
                        address_cells < 1 || address_cells > 2 ? address_cells : size_cells);
        return;
    }
    if (module->reg.size != (address_cells + size_cells) * 4) {
        partition_fault(parser, module->path, "reg",
                        "has %u bytes; it must be one address of %u and one size of %u cells, as "
                        "#address-cells and #size-cells of %s say",
                        module->reg.size, address_cells, size_cells, parser->config->path);
        return;
    }
    base = fdt_value_cells(module->reg, 0, address_cells);
    size = fdt_value_cells(module->reg, address_cells, size_cells);
    if (size == 0) {
        partition_fault(parser, module->path, "reg", "the size is 0; it must be the module's "
                                                     "length in bytes");
        return;
    }
    if (base + size < base) {
        partition_fault(parser, module->path, "reg",
                        "0x%lx and 0x%lx bytes reach beyond 64 bits; it must lie in memory", base,
                        size);
        return;
    }
    *ret_range = (struct partition_module){pa(base), size};
}

static void take(struct partition_parser *parser, const struct module *module, const char *what,
                 char *path, struct partition_module *slot)
{
    if (path[0] != '\0') {
        partition_fault(parser, module->path, "compatible",
                        "is a second %s; a partition has one kernel and at most one ramdisk",
                        what);
        return;
    }
    format(path, PARTITION_MODULE_PATH_MAX, "%s", module->path);
    read_reg(parser, module, slot);
}

void partition_read_module(struct partition_parser *parser, uint32_t node)
{
    struct partition_config *config = parser->config;
    const char *name = fdt_tree_name(&parser->tree, node);
    struct module module = {.bootargs = NULL};
    enum module_kind kind;

    format(module.path, sizeof(module.path), "%s/%s", config->path, name);
    read_properties(parser, node, &module);
    kind = kind_of(module.compatible);
    if (kind == MODULE_ANY) { /* GRUB says no more: the first is the kernel */
        kind = parser->kernel_path[0] == '\0' ? MODULE_KERNEL : MODULE_RAMDISK;
    }
    switch (kind) {
    case MODULE_KERNEL:
        take(parser, &module, "kernel", parser->kernel_path, &config->kernel);
        if (module.bootargs != NULL) {
            config->bootargs = module.bootargs;
        }
        break;
    case MODULE_RAMDISK:
        take(parser, &module, "ramdisk", parser->ramdisk_path, &config->ramdisk);
        break;
    case MODULE_REFUSED:
        partition_fault(parser, module.path, "compatible",
                        "a device tree for passthrough is not supported by Bothy; allowed are "
                        "\"multiboot,kernel\" and \"multiboot,ramdisk\"");
        break;
    case MODULE_UNKNOWN:
    case MODULE_ANY:
        partition_fault(parser, module.path, "compatible",
                        "is not a module; allowed are \"multiboot,kernel\" and "
                        "\"multiboot,ramdisk\", each with \"multiboot,module\"");
        break;
    }
}
