/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log, its words, and what a test may ask of it. An expected text matches an event when
 * it is the event's text or ends at one of its words.
 */
#include "arch/fake.h"
#include "fake_cpu.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 128U

static bool log_off;

void fake_log_reset(void)
{
    log_off = false;
}

void fake_log_enable(bool enable)
{
    log_off = !enable;
}

void fake_log_clear(void)
{
    fake_cpu_here()->nr_events = 0;
}

size_t fake_log_size(void)
{
    return fake_cpu_here()->nr_events;
}

const struct fake_event *fake_log_at(size_t i)
{
    struct fake_cpu *cpu = fake_cpu_here();

    return i < cpu->nr_events ? &cpu->events[i] : NULL;
}

void fake_log_add(enum fake_event_kind kind, uint32_t op, uint64_t a, uint64_t b)
{
    struct fake_cpu *cpu;

    if (log_off) {
        return;
    }
    cpu = fake_cpu_here();
    if (cpu->nr_events == cpu->max_events) {
        cpu->max_events = cpu->max_events * 2U + 256U;
        cpu->events = realloc(cpu->events, cpu->max_events * sizeof(*cpu->events));
        if (cpu->events == NULL) {
            abort();
        }
    }
    cpu->events[cpu->nr_events++] = (struct fake_event){kind, op, a, b};
}

size_t fake_log_count(enum fake_event_kind kind)
{
    struct fake_cpu *cpu = fake_cpu_here();
    size_t count = 0;

    for (size_t i = 0; i < cpu->nr_events; i++) {
        count += cpu->events[i].kind == kind ? 1U : 0U;
    }
    return count;
}

size_t fake_log_find(size_t from, enum fake_event_kind kind, uint32_t op)
{
    struct fake_cpu *cpu = fake_cpu_here();

    for (size_t i = from; i < cpu->nr_events; i++) {
        if (cpu->events[i].kind == kind && cpu->events[i].op == op) {
            return i;
        }
    }
    return cpu->nr_events;
}

static const char *const tlbi_names[] = {
    "ipas2e1is", "ipas2le1is", "ripas2e1is", "vmalle1is", "vmalle1", "vmalls12e1is", "vmalls12e1",
    "alle1is",   "alle1",      "alle2is",    "alle2",     "vae2is",  "vae2",
};
static const char *const domain_names[] = {"sy", "ish", "ishst", "nsh", "nshst"};
static const char *const dc_names[] = {"civac", "cvac", "cvau", "ivac", "zva"};
static const char *const ic_names[] = {"ialluis", "iallu"};
static const char *const at_names[] = {"s1e1r", "s12e1r", "s1e2r"};
static const char *const hint_names[] = {"wfi", "wfe", "sev", "halt"};

/* Those whose operands a reader needs. */
static bool tlbi_has_operand(uint32_t op)
{
    return op <= FAKE_TLBI_RIPAS2E1IS || op >= FAKE_TLBI_VAE2IS;
}

static void msr_text(const struct fake_event *event, char *buffer, size_t size)
{
    const char *name = fake_sysreg_name(event->op);
    char lower[32];
    size_t i = 0;

    snprintf(lower, sizeof(lower), "0x%" PRIx32, event->op);
    for (; name != NULL && name[i] != '\0' && i + 1U < sizeof(lower); i++) {
        lower[i] = (char)tolower((unsigned char)name[i]);
        lower[i + 1U] = '\0';
    }
    snprintf(buffer, size, "msr %s 0x%" PRIx64, lower, event->b);
}

const char *fake_event_text(const struct fake_event *event, char *buffer, size_t size)
{
    uint64_t a = event->a, b = event->b;
    uint32_t op = event->op;

    switch (event->kind) {
    case FAKE_MSR:
        msr_text(event, buffer, size);
        break;
    case FAKE_TLBI:
        snprintf(buffer, size, tlbi_has_operand(op) ? "tlbi %s 0x%" PRIx64 : "tlbi %s",
                 tlbi_names[op], a);
        break;
    case FAKE_DSB:
        snprintf(buffer, size, "dsb %s", domain_names[op]);
        break;
    case FAKE_DMB:
        snprintf(buffer, size, "dmb %s", domain_names[op]);
        break;
    case FAKE_ISB:
        snprintf(buffer, size, "isb");
        break;
    case FAKE_DC:
        snprintf(buffer, size, "dc %s 0x%" PRIx64 " 0x%" PRIx64, dc_names[op], a, b);
        break;
    case FAKE_IC:
        snprintf(buffer, size, "ic %s", ic_names[op]);
        break;
    case FAKE_AT:
        snprintf(buffer, size, "at %s 0x%" PRIx64, at_names[op], a);
        break;
    case FAKE_PTE:
        snprintf(buffer, size, "pte 0x%" PRIx64 " 0x%" PRIx64, a, b);
        break;
    case FAKE_MMIO_READ:
        snprintf(buffer, size, "mmio_read%u 0x%" PRIx64 " 0x%" PRIx64, op, a, b);
        break;
    case FAKE_MMIO_WRITE:
        snprintf(buffer, size, "mmio_write%u 0x%" PRIx64 " 0x%" PRIx64, op, a, b);
        break;
    case FAKE_SMC:
        snprintf(buffer, size, "smc 0x%" PRIx64 " 0x%" PRIx64, a, b);
        break;
    case FAKE_HVC:
        snprintf(buffer, size, "hvc 0x%" PRIx64 " 0x%" PRIx64, a, b);
        break;
    case FAKE_HINT:
        snprintf(buffer, size, "%s", hint_names[op]);
        break;
    case FAKE_FP:
        snprintf(buffer, size, op != 0 ? "fp_save 0x%" PRIx64 : "fp_restore 0x%" PRIx64, a);
        break;
    }
    return buffer;
}

void fake_log_print(void)
{
    struct fake_cpu *cpu = fake_cpu_here();
    char text[TEXT_MAX];

    for (size_t i = 0; i < cpu->nr_events; i++) {
        fprintf(stderr, "  %zu: %s\n", i, fake_event_text(&cpu->events[i], text, sizeof(text)));
    }
}

static bool matches(const struct fake_event *event, const char *want)
{
    char text[TEXT_MAX];
    size_t length = strlen(want);

    fake_event_text(event, text, sizeof(text));
    return strncmp(text, want, length) == 0 && (text[length] == '\0' || text[length] == ' ');
}

void fake_log_expect(const char *first, ...)
{
    struct fake_cpu *cpu = fake_cpu_here();
    char text[TEXT_MAX];
    size_t i = 0;
    va_list list;

    va_start(list, first);
    for (const char *want = first; want != NULL; want = va_arg(list, const char *), i++) {
        if (i == cpu->nr_events || !matches(&cpu->events[i], want)) {
            fake_log_print();
            fake_fail("event %zu is not '%s' but '%s'", i, want,
                      i == cpu->nr_events ? "none"
                                          : fake_event_text(&cpu->events[i], text, sizeof(text)));
            va_end(list);
            return;
        }
    }
    va_end(list);
    if (i != cpu->nr_events) {
        fake_log_print();
        fake_fail("event %zu is '%s', none was expected", i,
                  fake_event_text(&cpu->events[i], text, sizeof(text)));
    }
}

void fake_log_expect_order(const char *first, ...)
{
    struct fake_cpu *cpu = fake_cpu_here();
    size_t i = 0;
    va_list list;

    va_start(list, first);
    for (const char *want = first; want != NULL; want = va_arg(list, const char *), i++) {
        while (i < cpu->nr_events && !matches(&cpu->events[i], want)) {
            i++;
        }
        if (i >= cpu->nr_events) {
            fake_log_print();
            fake_fail("no event '%s' where it should be", want);
            break;
        }
    }
    va_end(list);
}
