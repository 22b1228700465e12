/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions from the device tree: the walk over /chosen and the list. boot_fdt_parse has gone
 * through the whole tree by now, which fdt_tree relies on.
 *
 * A partition is read into the list's next free slot, which counts only once nothing was wrong.
 */
#include "el2/partition.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/partition_internal.h"

void partition_fault(struct partition_parser *parser, const char *path, const char *property,
                     const char *what, ...)
{
    char text[REPORT_SENTENCE_MAX];
    va_list arguments;
    bool say = !parser->bad || parser->source->every_fault;

    parser->bad = true;
    parser->any_bad = true;
    if (!say) {
        return;
    }
    va_start(arguments, what);
    format_va(text, sizeof(text), what, arguments);
    va_end(arguments);
    if (property != NULL) {
        report_say(parser->source->report, "%s: %s: %s", path, property, text);
    } else {
        report_say(parser->source->report, "%s: %s", path, text);
    }
}

bool partition_list_has(struct fdt_value list, const char *string)
{
    const char *given;

    for (uint32_t n = 0; (given = fdt_value_string(list, n)) != NULL; n++) {
        if (strcmp(given, string) == 0) {
            return true;
        }
    }
    return false;
}

bool partition_node_disabled(const struct fdt_tree *tree, uint32_t node)
{
    struct fdt_value status = fdt_tree_get(tree, node, "status");

    return status.size > 0 && !partition_list_has(status, "okay") &&
           !partition_list_has(status, "ok");
}

static void read_cells(struct partition_parser *parser, uint32_t node, const char *path,
                       const char *name, uint32_t *cells)
{
    struct fdt_value value = fdt_tree_get(&parser->tree, node, name);

    if (value.size == 0) {
        return;
    }
    if (value.size != 4) {
        partition_fault(parser, path, name, "has %u bytes; it must be one cell with 1 or 2",
                        value.size);
        return;
    }
    *cells = fdt_value_cell(value, 0);
}

void partition_read_cells(struct partition_parser *parser, uint32_t node, const char *path)
{
    read_cells(parser, node, path, "#address-cells", &parser->address_cells);
    read_cells(parser, node, path, "#size-cells", &parser->size_cells);
}

/* The node's own name, as far as a name may look like that. */
static void default_name(char *name, const char *node_name)
{
    size_t i;

    for (i = 0; i < PARTITION_NAME_SIZE - 1 && node_name[i] != '\0'; i++) {
        bool fine = strchr("@,+", node_name[i]) == NULL;

        name[i] = fine ? node_name[i] : '-';
    }
    name[i] = '\0';
}

static void begin_partition(struct partition_parser *parser, const char *name)
{
    struct partition_config *config = &parser->list->partitions[parser->list->count];

    memset(config, 0, sizeof(*config));
    format(config->path, sizeof(config->path), "/chosen/%s", name);
    default_name(config->name, name);
    config->priority = PARTITION_PRIORITY_DEFAULT;
    config->restart = PARTITION_RESTART_ON_RESET;
    config->populate = PARTITION_POPULATE_TOUCH;
    config->bootargs = "";
    parser->config = config;
    parser->bad = false;
    parser->memory_given = false;
    parser->cpus_given = false;
    parser->kernel_path[0] = parser->ramdisk_path[0] = '\0';
    parser->affinity = (struct fdt_value){NULL, 0};
}

static void read_partition(struct partition_parser *parser, uint32_t node, const char *name)
{
    const struct fdt_tree *tree = &parser->tree;
    uint32_t address_cells = parser->address_cells;
    uint32_t size_cells = parser->size_cells;

    if (parser->list->count == PARTITION_MAX) {
        report_say(parser->source->report,
                   "/chosen/%s: there are %u partitions before it already, which is the most",
                   name, PARTITION_MAX);
        parser->any_bad = true;
        parser->list->nr_bad++;
        return;
    }
    begin_partition(parser, name);
    partition_read_cells(parser, node, parser->config->path);
    partition_read_domain(parser, node);
    for (uint32_t child = fdt_tree_first_child(tree, node); child != 0;
         child = fdt_tree_next_child(tree, child)) {
        if (!partition_node_disabled(tree, child)) {
            partition_read_module(parser, child);
        }
    }
    partition_check(parser);
    if (parser->bad) {
        parser->list->nr_bad++;
    } else {
        parser->list->count++;
    }
    parser->address_cells = address_cells;
    parser->size_cells = size_cells;
}

static void visit_child(struct partition_parser *parser, uint32_t node)
{
    const char *name = fdt_tree_name(&parser->tree, node);
    struct fdt_value compatible = fdt_tree_get(&parser->tree, node, "compatible");

    if (partition_node_disabled(&parser->tree, node)) {
        return;
    }
    if (partition_list_has(compatible, "xen,domain")) {
        read_partition(parser, node, name);
    } else if (partition_list_has(compatible, "multiboot,module")) {
        report_say(parser->source->report,
                   "/chosen/%s: compatible: a module out here belongs to no partition; allowed "
                   "are modules inside of a node with compatible = \"xen,domain\"",
                   name);
        parser->any_bad = true;
    }
}

enum status partition_parse(const struct partition_source *source,
                            struct partition_list *ret_list)
{
    const struct boot_machine *machine = source->machine;
    struct partition_parser parser = {
        .source = source,
        .list = ret_list,
        .address_cells = 2,
        .size_cells = 1,
    };
    uint32_t chosen = (uint32_t)machine->chosen;

    ret_list->count = 0;
    ret_list->nr_bad = 0;
    if (machine->chosen < 0) {
        return STATUS_OK;
    }
    fdt_tree_init(&parser.tree, machine->fdt);
    /* As Xen does, and unlike other nodes: who doesn't state his cells has those from above. */
    partition_read_cells(&parser, 0, "/");
    partition_read_cells(&parser, chosen, "/chosen");
    for (uint32_t node = fdt_tree_first_child(&parser.tree, chosen); node != 0;
         node = fdt_tree_next_child(&parser.tree, node)) {
        visit_child(&parser, node);
    }
    partition_fill_affinity(machine, ret_list);
    return parser.any_bad ? STATUS_INVALID : STATUS_OK;
}

static enum status reserve_module(struct ram *ram, const struct partition_module *module)
{
    return module->size != 0 ? ram_reserve(ram, module->base, module->size) : STATUS_OK;
}

enum status partition_free_memory(const struct partition_source *source,
                                  const struct partition_list *list, struct ram *ret_ram)
{
    const struct boot_machine *machine = source->machine;
    enum status status = STATUS_OK;

    ram_init(ret_ram);
    for (uint32_t i = 0; i < machine->nr_memory && status == STATUS_OK; i++) {
        status = ram_add(ret_ram, machine->memory[i].base, machine->memory[i].size);
    }
    for (uint32_t i = 0; i < machine->nr_reserved && status == STATUS_OK; i++) {
        status = ram_reserve(ret_ram, machine->reserved[i].base, machine->reserved[i].size);
    }
    if (status == STATUS_OK) {
        status = ram_reserve(ret_ram, source->image.base, source->image.size);
    }
    for (uint32_t i = 0; i < list->count && status == STATUS_OK; i++) {
        status = reserve_module(ret_ram, &list->partitions[i].kernel);
        if (status == STATUS_OK) {
            status = reserve_module(ret_ram, &list->partitions[i].ramdisk);
        }
    }
    return status;
}

enum status partition_allocate(const struct partition_source *source, struct partition_list *list,
                               struct ram *ram)
{
    enum status result = STATUS_OK;

    for (uint32_t i = 0; i < list->count;) {
        struct partition_config *config = &list->partitions[i];

        if (ram_alloc_guest(ram, config->memory, config->extents, &config->nr_extents) ==
            STATUS_OK) {
            i++;
            continue;
        }
        report_say(source->report,
                   "%s: memory: %lu KiB are more than is there; the machine has %lu KiB left in "
                   "blocks of 2048 KiB",
                   config->path, config->memory / 1024, ram_guest_bytes(ram) / 1024);
        list->count--;
        list->nr_bad++;
        memmove(config, config + 1, (list->count - i) * sizeof(*config));
        result = STATUS_INVALID;
    }
    return result;
}
