/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical machine from its device tree: what each kind of node tells. Interrupts are decoded
 * after the pass, because the GIC, which says how many cells they have, may come late.
 */
#include "el2/boot_fdt.h"
#include "bothy/bits.h"
#include "bothy/string.h"
#include "el2/boot_fdt_internal.h"
#include <libfdt.h>

#define MPIDR_AFFINITY 0xff00ffffffull

static void fault(struct boot_parser *parser, uint32_t depth, const char *property,
                  const char *what)
{
    char path[128];

    fdt_walk_path(&parser->walk, depth, path, sizeof(path));
    report_say(parser->report, "%s: %s: %s", path, property, what);
}

static const char *reg_fault(enum status status)
{
    return status == STATUS_RANGE ? "a bus above it has no ranges that map this address"
                                  : "must be pairs of address and size in the parent's "
                                    "#address-cells and #size-cells";
}

/* Entries of reg become ranges until the table is full. */
static void collect_ranges(struct boot_parser *parser, uint32_t depth, struct boot_range *ranges,
                           uint32_t max, uint32_t *count)
{
    for (uint32_t n = 0;; n++) {
        uint64_t base;
        uint64_t size;
        enum status status = fdt_walk_reg(&parser->walk, depth, n, &base, &size);

        if (status == STATUS_NOT_FOUND) {
            return;
        }
        if (status != STATUS_OK) {
            fault(parser, depth, "reg", reg_fault(status));
            return;
        }
        if (size == 0 || base + size < base) {
            continue;
        }
        if (*count == max) {
            fault(parser, depth, "reg", "there are more regions than Bothy has room for; the "
                                        "others are left out");
            return;
        }
        ranges[(*count)++] = (struct boot_range){pa(base), size};
    }
}

static void visit_memory(struct boot_parser *parser, uint32_t depth)
{
    struct boot_machine *machine = parser->machine;

    collect_ranges(parser, depth, machine->memory, BOOT_MEMORY_MAX, &machine->nr_memory);
}

static void visit_reserved(struct boot_parser *parser, uint32_t depth)
{
    struct boot_machine *machine = parser->machine;

    /* Without reg it is a request for an allocation, which concerns Linux only. */
    if (fdt_walk_get(&parser->walk.node[depth], FDT_PROP_REG).size != 0) {
        collect_ranges(parser, depth, machine->reserved, BOOT_RESERVED_MAX,
                       &machine->nr_reserved);
    }
}

static void visit_cpu(struct boot_parser *parser, uint32_t depth)
{
    struct boot_machine *machine = parser->machine;
    const struct fdt_node *node = &parser->walk.node[depth];
    struct fdt_value reg = fdt_walk_get(node, FDT_PROP_REG);
    struct fdt_value release = fdt_walk_get(node, FDT_PROP_RELEASE_ADDR);
    const char *method = fdt_walk_text(node, FDT_PROP_ENABLE_METHOD);
    struct boot_cpu cpu = {.method = BOOT_CPU_NONE};

    if (reg.size != 4 && reg.size != 8) {
        fault(parser, depth, "reg", "must be the CPU's MPIDR in one or two cells");
        return;
    }
    cpu.mpidr = fdt_value_cells(reg, 0, reg.size / 4) & MPIDR_AFFINITY;
    if (method != NULL && strcmp(method, "psci") == 0) {
        cpu.method = BOOT_CPU_PSCI;
    } else if (method != NULL && strcmp(method, "spin-table") == 0) {
        if (release.size != 4 && release.size != 8) {
            fault(parser, depth, "cpu-release-addr", "must be an address in one or two cells");
        } else {
            cpu.method = BOOT_CPU_SPIN_TABLE;
            cpu.release = pa(fdt_value_cells(release, 0, release.size / 4));
        }
    } else if (method != NULL) {
        fault(parser, depth, "enable-method", "must be \"psci\" or \"spin-table\"");
    }
    if (machine->nr_cpus == BOOT_CPU_MAX) {
        machine->nr_cpus_left_out++;
        return;
    }
    machine->cpus[machine->nr_cpus++] = cpu;
}

static void visit_psci(struct boot_parser *parser, uint32_t depth, bool v0_2)
{
    const struct fdt_node *node = &parser->walk.node[depth];
    struct boot_psci *psci = &parser->machine->psci;
    const char *method = fdt_walk_text(node, FDT_PROP_METHOD);

    if (method != NULL && strcmp(method, "smc") == 0) {
        psci->conduit = BOOT_CONDUIT_SMC;
    } else if (method != NULL && strcmp(method, "hvc") == 0) {
        psci->conduit = BOOT_CONDUIT_HVC;
    } else {
        fault(parser, depth, "method", "must be \"smc\" or \"hvc\"");
        return;
    }
    psci->v0_2 = v0_2;
    if (fdt_walk_get(node, FDT_PROP_CPU_ON).size == 4) {
        psci->cpu_on = fdt_value_cell(node->value[FDT_PROP_CPU_ON], 0);
    }
    if (fdt_walk_get(node, FDT_PROP_CPU_OFF).size == 4) {
        psci->cpu_off = fdt_value_cell(node->value[FDT_PROP_CPU_OFF], 0);
    }
}

static struct boot_interrupts interrupts_of(const struct fdt_node *node)
{
    struct boot_interrupts interrupts = {
        .list = fdt_walk_get(node, FDT_PROP_INTERRUPTS),
        .names = fdt_walk_get(node, FDT_PROP_INTERRUPT_NAMES),
    };

    if (node->present & 1u << FDT_PROP_INTERRUPTS_EXTENDED) {
        interrupts.list = node->value[FDT_PROP_INTERRUPTS_EXTENDED];
        interrupts.extended = true;
    }
    return interrupts;
}

static void visit_gic(struct boot_parser *parser, uint32_t depth)
{
    const struct fdt_node *node = &parser->walk.node[depth];
    struct fdt_value regions = fdt_walk_get(node, FDT_PROP_GICR_REGIONS);
    struct fdt_value stride = fdt_walk_get(node, FDT_PROP_GICR_STRIDE);
    struct boot_gic *gic = &parser->machine->gic;
    uint32_t count = regions.size == 4 ? fdt_value_cell(regions, 0) : 1;
    struct boot_gic found = {.present = true};

    if (gic->present) {
        return;
    }
    if (count == 0 || count > BOOT_GICR_MAX) {
        fault(parser, depth, "#redistributor-regions", "must be 1 to 8");
        return;
    }
    for (uint32_t n = 0; n <= count; n++) {
        struct boot_range *range = n == 0 ? &found.distributor : &found.redistributors[n - 1];
        enum status status = fdt_walk_reg(&parser->walk, depth, n, &range->base.pa, &range->size);

        if (status != STATUS_OK) {
            fault(parser, depth, "reg",
                  status == STATUS_RANGE ? reg_fault(status)
                                         : "must have the distributor and then each "
                                           "redistributor region");
            return;
        }
    }
    found.nr_redistributors = count;
    if (stride.size == 4 || stride.size == 8) {
        found.stride = fdt_value_cells(stride, 0, stride.size / 4);
    }
    *gic = found;
    parser->gic_interrupts = interrupts_of(node);
    if (fdt_walk_get(node, FDT_PROP_INTERRUPT_CELLS).size == 4) {
        parser->interrupt_cells = fdt_value_cell(node->value[FDT_PROP_INTERRUPT_CELLS], 0);
    }
}

static void visit_uart(struct boot_parser *parser, uint32_t depth, enum boot_uart_kind kind)
{
    struct boot_uart_candidate *candidate = &parser->uarts[parser->nr_uarts];

    if (parser->nr_uarts == BOOT_UARTS_MAX) {
        return;
    }
    candidate->uart.kind = kind;
    if (fdt_walk_reg(&parser->walk, depth, 0, &candidate->uart.registers.base.pa,
                     &candidate->uart.registers.size) != STATUS_OK) {
        return; /* behind a bus that the CPU can't reach: not a console */
    }
    candidate->interrupts = interrupts_of(&parser->walk.node[depth]);
    candidate->depth = depth;
    for (uint32_t i = 1; i <= depth; i++) {
        candidate->names[i - 1] = parser->walk.node[i].name;
    }
    parser->nr_uarts++;
}

static void visit_rtc(struct boot_parser *parser, uint32_t depth)
{
    struct boot_range *rtc = &parser->machine->rtc;

    if (rtc->size == 0 &&
        fdt_walk_reg(&parser->walk, depth, 0, &rtc->base.pa, &rtc->size) != STATUS_OK) {
        *rtc = (struct boot_range){pa(0), 0};
    }
}

static void visit_timer(struct boot_parser *parser, uint32_t depth)
{
    struct fdt_value frequency =
        fdt_walk_get(&parser->walk.node[depth], FDT_PROP_CLOCK_FREQUENCY);

    parser->timer_found = true;
    parser->timer_interrupts = interrupts_of(&parser->walk.node[depth]);
    if (frequency.size == 4) {
        parser->machine->timer.frequency = fdt_value_cell(frequency, 0);
    }
}

static void visit_chosen(struct boot_parser *parser, uint32_t depth)
{
    const struct fdt_node *node = &parser->walk.node[depth];
    struct boot_machine *machine = parser->machine;
    struct fdt_value seed = fdt_walk_get(node, FDT_PROP_RNG_SEED);
    const char *bootargs = fdt_walk_text(node, FDT_PROP_BOOTARGS);

    machine->chosen = (int)node->offset;
    machine->bootargs = bootargs != NULL ? bootargs : "";
    if (seed.size == 0) {
        seed = fdt_walk_get(node, FDT_PROP_KASLR_SEED);
    }
    if (seed.size > 0) {
        machine->seed = seed.data;
        machine->seed_size = MIN((size_t)seed.size, (size_t)BOOT_SEED_MAX);
    }
    parser->stdout_path = fdt_walk_text(node, FDT_PROP_STDOUT_PATH);
    if (parser->stdout_path == NULL) {
        parser->stdout_path = fdt_walk_text(node, FDT_PROP_LINUX_STDOUT_PATH);
    }
}

/* What "arm,..." strings mean to us. */
enum kind { KIND_GIC_V3, KIND_GIC_OTHER, KIND_TIMER, KIND_PSCI, KIND_PSCI_01, KIND_PL011,
            KIND_SBSA, KIND_RTC };

static const struct {
    const char *name;
    enum kind kind;
} kinds[] = {
    {"arm,gic-v3", KIND_GIC_V3},
    {"arm,armv8-timer", KIND_TIMER},
    {"arm,psci-1.0", KIND_PSCI},
    {"arm,psci-0.2", KIND_PSCI},
    {"arm,psci", KIND_PSCI_01},
    {"arm,pl011", KIND_PL011},
    {"arm,sbsa-uart", KIND_SBSA},
    {"arm,pl031", KIND_RTC},
    {"arm,gic-400", KIND_GIC_OTHER},
    {"arm,cortex-a15-gic", KIND_GIC_OTHER},
    {"arm,cortex-a9-gic", KIND_GIC_OTHER},
    {"arm,gic-v5", KIND_GIC_OTHER},
};

static void visit_kind(struct boot_parser *parser, uint32_t depth, enum kind kind)
{
    switch (kind) {
    case KIND_GIC_V3:
        visit_gic(parser, depth);
        break;
    case KIND_GIC_OTHER:
        parser->gic_refused = true;
        fault(parser, depth, "compatible", "this interrupt controller is not supported; "
                                           "allowed is \"arm,gic-v3\"");
        break;
    case KIND_TIMER:
        visit_timer(parser, depth);
        break;
    case KIND_PSCI:
    case KIND_PSCI_01:
        visit_psci(parser, depth, kind == KIND_PSCI);
        break;
    case KIND_PL011:
        visit_uart(parser, depth, BOOT_UART_PL011);
        break;
    case KIND_SBSA:
        visit_uart(parser, depth, BOOT_UART_SBSA);
        break;
    case KIND_RTC:
        visit_rtc(parser, depth);
        break;
    }
}

/* The first string of the list that we know decides. */
static void visit_compatible(struct boot_parser *parser, uint32_t depth)
{
    struct fdt_value list = fdt_walk_get(&parser->walk.node[depth], FDT_PROP_COMPATIBLE);
    const char *string;

    for (uint32_t n = 0; (string = fdt_value_string(list, n)) != NULL; n++) {
        if (strncmp(string, "arm,", 4) != 0) {
            continue;
        }
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
            if (strcmp(string + 4, kinds[i].name + 4) == 0) {
                visit_kind(parser, depth, kinds[i].kind);
                return;
            }
        }
    }
}

static void visit(struct boot_parser *parser, uint32_t depth)
{
    const struct fdt_node *node = &parser->walk.node[depth];
    const char *parent = depth > 0 ? node[-1].name : "";
    const char *type = fdt_walk_text(node, FDT_PROP_DEVICE_TYPE);

    if (node->disabled) {
        return;
    }
    if (depth == 0) {
        parser->machine->model = fdt_walk_text(node, FDT_PROP_MODEL);
    } else if (depth == 1 && strcmp(node->name, "chosen") == 0) {
        visit_chosen(parser, depth);
    } else if (depth == 1 && strcmp(node->name, "aliases") == 0) {
        parser->aliases = (int)node->offset;
    } else if (depth == 1 && type != NULL && strcmp(type, "memory") == 0) {
        visit_memory(parser, depth);
    } else if (depth == 2 && strcmp(parent, "cpus") == 0) {
        if (type != NULL && strcmp(type, "cpu") == 0) {
            visit_cpu(parser, depth);
        }
    } else if (depth == 2 && strcmp(parent, "reserved-memory") == 0) {
        visit_reserved(parser, depth);
    } else if (node->present & 1u << FDT_PROP_COMPATIBLE) {
        visit_compatible(parser, depth);
    }
}

static void reserve(struct boot_machine *machine, pa_t base, uint64_t size)
{
    if (size != 0 && machine->nr_reserved < BOOT_RESERVED_MAX) {
        machine->reserved[machine->nr_reserved++] = (struct boot_range){base, size};
    }
}

static void collect_reservations(struct boot_machine *machine, pa_t fdt_pa)
{
    int count = fdt_num_mem_rsv(machine->fdt);

    for (int i = 0; i < count; i++) {
        uint64_t base;
        uint64_t size;

        if (fdt_get_mem_rsv(machine->fdt, i, &base, &size) == 0 && base + size >= base) {
            reserve(machine, pa(base), size);
        }
    }
    if (fdt_pa.pa != 0) {
        reserve(machine, fdt_pa, machine->fdt_size);
    }
}

size_t boot_fdt_size(const void *fdt)
{
    return fdt_magic(fdt) == FDT_MAGIC && fdt_check_header(fdt) == 0 ? fdt_totalsize(fdt) : 0;
}

enum status boot_fdt_parse(const void *fdt, size_t fdt_size, pa_t fdt_pa,
                           const struct report *report, struct boot_machine *ret_machine)
{
    struct boot_parser parser;
    enum status status;
    uint32_t depth;

    memset(ret_machine, 0, sizeof(*ret_machine));
    ret_machine->chosen = -1;
    ret_machine->bootargs = ret_machine->model = "";
    boot_parser_init(&parser, ret_machine, report);
    status = fdt_walk_init(&parser.walk, fdt, fdt_size);
    if (status != STATUS_OK) {
        report_say(report, "the device tree is not one: its header is damaged or truncated");
        return STATUS_CORRUPT;
    }
    ret_machine->fdt = fdt;
    ret_machine->fdt_size = fdt_totalsize(fdt);
    collect_reservations(ret_machine, fdt_pa);
    while ((status = fdt_walk_next(&parser.walk, &depth)) == STATUS_OK) {
        visit(&parser, depth);
    }
    if (status == STATUS_CORRUPT) {
        report_say(report, "the device tree is damaged or truncated behind offset 0x%x of its "
                           "structure block",
                   parser.walk.at);
        return STATUS_CORRUPT;
    }
    return boot_parser_finish(&parser);
}
