/* SPDX-License-Identifier: Apache-2.0 */
/* The first C code, boot arguments, the end of a payload. */

#include "machine.h"

#include "arm.h"
#include "console.h"
#include "mmu.h"
#include "psci.h"

struct machine machine;
void machine_start(const void *fdt, uint64_t cntvct, uint64_t cntpct);

/* Where the value of `name=` begins, or NULL. */
static const char *find_value(const char *name)
{
    size_t length = strlen(name);
    const char *at = machine.bootargs;

    while (at != NULL && *at != '\0') {
        if (memcmp(at, name, length) == 0 && at[length] == '=') {
            return at + length + 1;
        }
        while (*at != '\0' && *at != ' ') {
            at++;
        }
        while (*at == ' ') {
            at++;
        }
    }
    return NULL;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return 99;
}

uint64_t bootarg_number(const char *name, uint64_t fallback)
{
    const char *at = find_value(name);
    int base = 10;
    uint64_t value = 0;

    if (at == NULL || digit_value(*at) >= 10) {
        return fallback;
    }
    if (at[0] == '0' && at[1] == 'x') {
        base = 16;
        at += 2;
    }
    for (; digit_value(*at) < base; at++) {
        value = value * (uint64_t)base + (uint64_t)digit_value(*at);
    }
    return value;
}

bool bootarg_string(const char *name, char *buffer, size_t size)
{
    const char *at = find_value(name);
    size_t n = 0;

    for (; at != NULL && *at != '\0' && *at != ' ' && n + 1 < size; at++) {
        buffer[n++] = *at;
    }
    buffer[n] = '\0';
    return at != NULL;
}

bool machine_is_bare(void)
{
    return bootarg_number("bare", 0) != 0;
}

static uint64_t align_up_2m(uint64_t value)
{
    return (value + MIB(2) - 1) & ~(MIB(2) - 1);
}

uint64_t free_ram_base(void)
{
    uint64_t base = align_up_2m((uint64_t)image_end);
    uint64_t fdt = (uint64_t)machine.fdt;

    /* A device tree right behind the image is jumped over. */
    if (fdt >= base && fdt < base + MIB(4)) {
        base = align_up_2m(fdt + machine.fdt_size);
    }
    return base;
}

uint64_t free_ram_end(void)
{
    uint64_t end = (machine.ram_base + machine.ram_size) & ~(MIB(2) - 1);
    uint64_t fdt = (uint64_t)machine.fdt;

    if (fdt > free_ram_base() && fdt < end) {
        end = fdt & ~(MIB(2) - 1);
    }
    return end;
}

void payload_exit(void)
{
    print("BOTHY-PAYLOAD %s done\n", payload_name);
    system_off();
}

void payload_panic(const char *format, ...)
{
    va_list args;

    /* Without the lock: its owner may be who panics. */
    va_start(args, format);
    print_list("\nBail out! BOTHY-PAYLOAD panic: ", args);
    print_list(format, args);
    va_end(args);
    console_put_char('\r');
    console_put_char('\n');
    system_off();
}

void machine_start(const void *fdt, uint64_t cntvct, uint64_t cntpct)
{
    machine.first_cntvct = cntvct;
    machine.first_cntpct = cntpct;
    if (!machine_read_fdt(fdt)) {
        for (;;) {
            wfi();
        }
    }
    mmu_init();
    mmu_on();
    payload_main();
    payload_exit();
}
