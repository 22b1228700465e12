/* SPDX-License-Identifier: Apache-2.0 */
/* TAP lines; see https://testanything.org. */

#include "tap.h"

#include "console.h"

static unsigned planned, done, failed;

static void print_result(bool ok, const char *format, va_list args, const char *directive)
{
    done++;
    if (!ok) {
        failed++;
    }
    print("%s %u - ", ok ? "ok" : "not ok", done);
    console_lock();
    print_list(format, args);
    console_unlock();
    print("%s\n", directive);
}

void tap_plan(unsigned count)
{
    planned = count;
    print("1..%u\n", count);
}

bool tap_ok(bool ok, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_result(ok, format, args, "");
    va_end(args);
    return ok;
}

bool tap_equal(uint64_t got, uint64_t want, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_result(got == want, format, args, "");
    va_end(args);
    if (got != want) {
        print("# got 0x%lx, want 0x%lx\n", got, want);
    }
    return got == want;
}

void tap_skip(const char *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_result(true, format, args, " # SKIP");
    va_end(args);
    print("# skipped: %s\n", why);
}

void tap_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_lock();
    console_put_char('#');
    console_put_char(' ');
    print_list(format, args);
    console_put_char('\r');
    console_put_char('\n');
    console_unlock();
    va_end(args);
}

void tap_done(void)
{
    if (planned == 0) {
        print("1..%u\n", done);
    }
    print("# %u passed, %u failed\n", done - failed, failed);
}
