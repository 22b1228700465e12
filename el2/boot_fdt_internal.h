/* SPDX-License-Identifier: Apache-2.0 */
/* What boot_fdt.c gathers on its way through the tree, and boot_fdt_finish.c makes sense of. */
#ifndef EL2_BOOT_FDT_INTERNAL_H
#define EL2_BOOT_FDT_INTERNAL_H

#include "bothy/status.h"
#include "el2/boot_fdt.h"
#include "el2/fdt_walk.h"

#define BOOT_UARTS_MAX 8u

struct boot_interrupts {
    struct fdt_value list;  /* interrupts, or interrupts-extended */
    struct fdt_value names; /* interrupt-names */
    bool extended;
};

struct boot_uart_candidate {
    struct boot_uart uart;
    struct boot_interrupts interrupts;
    const char *names[FDT_WALK_DEPTH]; /* of its path */
    uint32_t depth;
};

struct boot_parser {
    struct boot_machine *machine;
    const struct report *report;
    struct boot_interrupts gic_interrupts;
    struct boot_interrupts timer_interrupts;
    uint32_t interrupt_cells; /* of the GIC */
    bool timer_found;
    bool gic_refused; /* there is one, but not for us, and that was said */
    const char *stdout_path;
    int aliases; /* offset for libfdt, negative: none */
    uint32_t nr_uarts;
    struct boot_uart_candidate uarts[BOOT_UARTS_MAX];
    struct fdt_walk walk;
};

void boot_parser_init(struct boot_parser *parser, struct boot_machine *machine,
                      const struct report *report);

/* Sort memory, decode interrupts, choose the UART; say what is missing. */
enum status boot_parser_finish(struct boot_parser *parser) MUST_CHECK;

#endif
