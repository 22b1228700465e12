/* SPDX-License-Identifier: Apache-2.0 */
/* A PL011 (or SBSA UART, or 8250 as kvmtool has it) as loaders leave it: only the data register
 * and the "transmit FIFO full" flag are used. */

#include "console.h"

#include "arm.h"
#include "machine.h"
#include "mmu.h"
#include "sync.h"

#define PL011_DR 0x00u
#define PL011_FR 0x18u
#define PL011_FR_TXFF BIT(5)
#define LSR_8250 0x05u
#define LSR_8250_THRE BIT(5)

static struct lock lock;

void console_put_char(char c)
{
    if (machine.uart == 0) {
        return;
    }
    if (machine.uart_is_8250) {
        while ((read8(machine.uart + LSR_8250) & LSR_8250_THRE) == 0) {
        }
        write8(machine.uart, (uint8_t)c);
        return;
    }
    while ((read32(machine.uart + PL011_FR) & PL011_FR_TXFF) != 0) {
    }
    write32(machine.uart + PL011_DR, (uint8_t)c);
}

void console_lock(void)
{
    if (mmu_is_on()) {
        lock_acquire(&lock);
    }
}

void console_unlock(void)
{
    if (mmu_is_on()) {
        lock_release(&lock);
    }
}

static void put_string(const char *s, unsigned width)
{
    for (size_t n = strlen(s); n < width; n++) {
        console_put_char(' ');
    }
    while (*s != '\0') {
        console_put_char(*s++);
    }
}

static void put_number(uint64_t value, unsigned base, unsigned width, char fill)
{
    char digits[24];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (width > n) {
        console_put_char(fill);
        width--;
    }
    while (n > 0) {
        console_put_char(digits[--n]);
    }
}

/* One conversion, from behind the % on; returns what follows it. */
static const char *put_conversion(const char *format, va_list *args)
{
    char fill = ' ';
    unsigned width = 0;
    bool is_long = false;

    if (*format == '0') {
        fill = *format++;
    }
    while (*format >= '0' && *format <= '9') {
        width = width * 10 + (unsigned)(*format++ - '0');
    }
    while (*format == 'l') {
        is_long = true;
        format++;
    }
    if (*format == 's') {
        put_string(va_arg(*args, const char *), width);
    } else if (*format == 'c') {
        console_put_char((char)va_arg(*args, int));
    } else if (*format == 'd') {
        int64_t value = is_long ? va_arg(*args, int64_t) : va_arg(*args, int32_t);

        if (value < 0) {
            console_put_char('-');
        }
        put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10, width, fill);
    } else if (*format == 'u' || *format == 'x') {
        uint64_t value = is_long ? va_arg(*args, uint64_t) : va_arg(*args, uint32_t);

        put_number(value, *format == 'x' ? 16 : 10, width, fill);
    } else {
        console_put_char(*format);
    }
    return *format == '\0' ? format : format + 1;
}

void print_list(const char *format, va_list args)
{
    va_list list;

    va_copy(list, args);
    while (*format != '\0') {
        if (*format == '%') {
            format = put_conversion(format + 1, &list);
            continue;
        }
        if (*format == '\n') {
            console_put_char('\r');
        }
        console_put_char(*format++);
    }
    va_end(list);
}

void print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_lock();
    print_list(format, args);
    console_unlock();
    va_end(args);
}
