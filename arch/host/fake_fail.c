/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a test run ends when the fake or the code under test finds something impossible: by abort(),
 * unless this thread is inside fake_expect_fail().
 */
#include "arch/fake.h"
#include "bothy/panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static __thread char text[512];
static __thread jmp_buf *expecting;

static void fail(const char *what, const char *format, va_list list)
{
    vsnprintf(text, sizeof(text), format, list);
    if (expecting != NULL) {
        longjmp(*expecting, 1);
    }
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

void fake_fail(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fail("fake", format, list);
    va_end(list);
}

_Noreturn void panic(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fail("panic", format, list);
    va_end(list);
    abort();
}

bool fake_expect_fail(void (*run)(void *ctx), void *ctx)
{
    jmp_buf *volatile outer = expecting;
    jmp_buf buffer;
    volatile bool failed = true;

    text[0] = '\0';
    if (setjmp(buffer) == 0) {
        expecting = &buffer;
        run(ctx);
        failed = false;
    }
    expecting = outer;
    return failed;
}

const char *fake_fail_text(void)
{
    return text;
}
