/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as its device tree describes it, and the boot arguments. */
#ifndef RUNTIME_MACHINE_H
#define RUNTIME_MACHINE_H

#include "base.h"

struct machine {
    const void *fdt;
    uint64_t fdt_size;
    uint64_t ram_base, ram_size; /* of the bank that holds the image */
    uint32_t nr_cpus;
    uint64_t mpidr[CPU_MAX];
    uint64_t uart; /* 0 if there is none */
    uint32_t uart_irq;
    bool uart_is_8250;
    uint64_t gicd, gicr, gicr_size;
    bool psci_smc;
    bool psci;
    const char *bootargs;
    uint64_t first_cntvct, first_cntpct; /* the counters at the image's first instructions */
};

extern struct machine machine;

/* Fills in machine; false if this is no device tree. */
bool machine_read_fdt(const void *fdt);

/* The value of `name=` in the boot arguments: a number, decimal or 0x; otherwise fallback. */
uint64_t bootarg_number(const char *name, uint64_t fallback);

/* Copies the value of `name=` to buffer; false (and an empty string) if there is none. */
bool bootarg_string(const char *name, char *buffer, size_t size);

/* Free RAM: what neither image, stacks nor device tree occupy, from the end of the image on, as
 * one range aligned to 2 MiB. */
uint64_t free_ram_base(void);
uint64_t free_ram_end(void);

/* True if the boot arguments say `bare=1`: no hypervisor is below, and what only a hypervisor
 * owes to its guest is not tested. */
bool machine_is_bare(void);

extern const char payload_name[];
void payload_main(void);

/* Prints the closing line and powers off. */
void payload_exit(void) __attribute__((noreturn));
void payload_panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

extern char image_start[], image_end[];

#endif
