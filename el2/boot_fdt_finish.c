/* SPDX-License-Identifier: Apache-2.0 */
/* The physical machine, second part: what can be decided once the whole tree was seen. */
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/boot_fdt_internal.h"
#include <libfdt.h>

#define GIC_SPI 0u
#define GIC_PPI 1u

void boot_parser_init(struct boot_parser *parser, struct boot_machine *machine,
                      const struct report *report)
{
    parser->machine = machine;
    parser->report = report;
    parser->gic_interrupts = (struct boot_interrupts){.extended = false};
    parser->timer_interrupts = (struct boot_interrupts){.extended = false};
    parser->interrupt_cells = 3;
    parser->timer_found = false;
    parser->gic_refused = false;
    parser->stdout_path = NULL;
    parser->aliases = -1;
    parser->nr_uarts = 0;
}

/* INTID of interrupt n of a device that the GIC serves, 0 if there is none. */
static uint32_t decode_interrupt(const struct boot_parser *parser,
                                 const struct boot_interrupts *interrupts, uint32_t n)
{
    uint32_t skip = interrupts->extended ? 1 : 0; /* the controller's phandle */
    uint32_t entry = parser->interrupt_cells + skip;
    uint32_t number;

    if (parser->interrupt_cells < 3 || parser->interrupt_cells > 8 ||
        n >= interrupts->list.size / 4 / entry) {
        return 0;
    }
    number = fdt_value_cell(interrupts->list, n * entry + skip + 1);
    switch (fdt_value_cell(interrupts->list, n * entry + skip)) {
    case GIC_SPI:
        return number < 988 ? number + 32 : 0;
    case GIC_PPI:
        return number < 16 ? number + 16 : 0;
    default: /* extended SPIs and PPIs */
        return 0;
    }
}

/* The timer's interrupts come in a fixed order, unless they are named. */
static uint32_t decode_timer(const struct boot_parser *parser, uint32_t n, const char *name)
{
    const struct boot_interrupts *interrupts = &parser->timer_interrupts;
    const char *given;

    if (interrupts->names.size == 0) {
        return decode_interrupt(parser, interrupts, n);
    }
    for (uint32_t i = 0; (given = fdt_value_string(interrupts->names, i)) != NULL; i++) {
        if (strcmp(given, name) == 0) {
            return decode_interrupt(parser, interrupts, i);
        }
    }
    return 0;
}

/* Whether a component of a path, length bytes, names this node; its unit address may be left
 * out. */
static bool component_matches(const char *component, size_t length, const char *name)
{
    if (strncmp(component, name, length) != 0) {
        return false;
    }
    return name[length] == '\0' || (name[length] == '@' && memchr(component, '@', length) == NULL);
}

/* path ends at NUL or at the ':' before the options. */
static bool path_matches(const char *path, const struct boot_uart_candidate *candidate)
{
    for (uint32_t i = 0; i < candidate->depth; i++) {
        size_t length = 0;

        if (*path++ != '/') {
            return false;
        }
        while (path[length] != '\0' && path[length] != '/' && path[length] != ':') {
            length++;
        }
        if (!component_matches(path, length, candidate->names[i])) {
            return false;
        }
        path += length;
    }
    return *path == '\0' || *path == ':';
}

/* The path behind an alias such as serial0, or NULL. */
static const char *resolve_alias(const struct boot_parser *parser, const char *alias)
{
    size_t length = 0;
    const char *path;
    int size;

    while (alias[length] != '\0' && alias[length] != ':') {
        length++;
    }
    if (parser->aliases < 0) {
        return NULL;
    }
    path = fdt_getprop_namelen(parser->machine->fdt, parser->aliases, alias, (int)length, &size);
    return path != NULL && size > 0 && path[size - 1] == '\0' ? path : NULL;
}

static void choose_uart(struct boot_parser *parser)
{
    const char *path = parser->stdout_path;
    uint32_t chosen = 0;

    if (path != NULL && path[0] != '/') {
        path = resolve_alias(parser, path);
    }
    if (parser->nr_uarts == 0) {
        return;
    }
    for (uint32_t i = 0; path != NULL && i < parser->nr_uarts; i++) {
        if (path_matches(path, &parser->uarts[i])) {
            chosen = i;
            break;
        }
    }
    parser->machine->uart = parser->uarts[chosen].uart;
    parser->machine->uart.intid =
        decode_interrupt(parser, &parser->uarts[chosen].interrupts, 0);
}

/* Sort by base, and make one of those that touch or overlap. */
static void sort_memory(struct boot_machine *machine)
{
    struct boot_range *memory = machine->memory;
    uint32_t count = 0;

    for (uint32_t i = 1; i < machine->nr_memory; i++) {
        struct boot_range range = memory[i];
        uint32_t at = i;

        for (; at > 0 && memory[at - 1].base.pa > range.base.pa; at--) {
            memory[at] = memory[at - 1];
        }
        memory[at] = range;
    }
    for (uint32_t i = 0; i < machine->nr_memory; i++) {
        uint64_t end = memory[i].base.pa + memory[i].size;

        if (count > 0 && memory[i].base.pa <= memory[count - 1].base.pa + memory[count - 1].size) {
            struct boot_range *last = &memory[count - 1];

            last->size = MAX(end, last->base.pa + last->size) - last->base.pa;
        } else {
            memory[count++] = memory[i];
        }
    }
    machine->nr_memory = count;
}

/* A boot loader that knows of PSCI but left enable-method out means PSCI. */
static void complete_cpus(struct boot_machine *machine)
{
    for (uint32_t i = 0; i < machine->nr_cpus; i++) {
        if (machine->cpus[i].method == BOOT_CPU_NONE &&
            machine->psci.conduit != BOOT_CONDUIT_NONE) {
            machine->cpus[i].method = BOOT_CPU_PSCI;
        }
    }
}

static enum status say_what_is_missing(const struct boot_parser *parser)
{
    const struct boot_machine *machine = parser->machine;
    enum status status = STATUS_OK;

    if (machine->nr_memory == 0) {
        report_say(parser->report, "/memory: reg: the machine has no memory; there must be a node "
                                   "with device_type = \"memory\"");
        status = STATUS_UNSUPPORTED;
    }
    if (machine->nr_cpus == 0) {
        report_say(parser->report, "/cpus: the machine has no CPU; there must be nodes with "
                                   "device_type = \"cpu\" below /cpus");
        status = STATUS_UNSUPPORTED;
    }
    if (!machine->gic.present) {
        if (!parser->gic_refused) {
            report_say(parser->report, "/: no usable interrupt controller; there must be a node "
                                       "with compatible = \"arm,gic-v3\"");
        }
        status = STATUS_UNSUPPORTED;
    }
    if (machine->gic.present && (machine->timer.virt == 0 || machine->timer.hyp == 0)) {
        report_say(parser->report,
                   parser->timer_found
                       ? "/timer: interrupts: must have the virtual and the hypervisor timer's PPI"
                       : "/: no timer; there must be a node with compatible = "
                         "\"arm,armv8-timer\"");
        status = STATUS_UNSUPPORTED;
    }
    return status;
}

enum status boot_parser_finish(struct boot_parser *parser)
{
    struct boot_machine *machine = parser->machine;

    if (machine->model == NULL) {
        machine->model = "";
    }
    sort_memory(machine);
    complete_cpus(machine);
    machine->gic.maintenance = decode_interrupt(parser, &parser->gic_interrupts, 0);
    machine->timer.phys = decode_timer(parser, 1, "phys");
    machine->timer.virt = decode_timer(parser, 2, "virt");
    machine->timer.hyp = decode_timer(parser, 3, "hyp-phys");
    choose_uart(parser);
    return say_what_is_missing(parser);
}
