/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small printf. Invariant: out.length counts every character of the text; only those below
 * out.size - 1 are stored, and the buffer always ends in NUL.
 */
#include "el2/format.h"
#include "bothy/bits.h"
#include "bothy/string.h"

struct out {
    char *buffer;
    size_t size;
    size_t length;
};

struct spec {
    bool left;
    char pad;
    size_t width;
    size_t precision; /* SIZE_MAX: none */
    unsigned int longs; /* l, ll, z */
};

static void put(struct out *out, char c)
{
    if (out->length + 1 < out->size) {
        out->buffer[out->length] = c;
    }
    out->length++;
}

static void put_padded(struct out *out, const struct spec *spec, const char *text, size_t length)
{
    size_t fill = spec->width > length ? spec->width - length : 0;

    if (!spec->left) {
        /* A sign stays in front of zeros. */
        if (spec->pad == '0' && fill > 0 && length > 0 && *text == '-') {
            put(out, *text++);
            length--;
        }
        for (; fill > 0; fill--) {
            put(out, spec->pad);
        }
    }
    for (; length > 0; length--) {
        put(out, *text++);
    }
    for (; fill > 0; fill--) {
        put(out, ' ');
    }
}

static void put_number(struct out *out, const struct spec *spec, uint64_t value, unsigned int base,
                       bool negative, const char *digits)
{
    char text[24];
    size_t at = sizeof(text);

    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value != 0);
    if (negative) {
        text[--at] = '-';
    }
    put_padded(out, spec, text + at, sizeof(text) - at);
}

static void put_string(struct out *out, const struct spec *spec, const char *text)
{
    if (text == NULL) {
        text = "(null)";
    }
    put_padded(out, spec, text, strnlen(text, spec->precision));
}

/* A number, or * for an int argument; negative counts as none. */
static size_t parse_number(const char **at, va_list *arguments)
{
    size_t value = 0;

    if (**at == '*') {
        int given = va_arg(*arguments, int);

        (*at)++;
        return given > 0 ? (size_t)given : 0;
    }
    while (**at >= '0' && **at <= '9' && value < 10000) {
        value = value * 10 + (size_t)(**at - '0');
        (*at)++;
    }
    return value;
}

static struct spec parse_spec(const char **at, va_list *arguments)
{
    struct spec spec = {.pad = ' ', .precision = SIZE_MAX};

    for (;; (*at)++) {
        if (**at == '-') {
            spec.left = true;
        } else if (**at == '0') {
            spec.pad = '0';
        } else {
            break;
        }
    }
    spec.width = parse_number(at, arguments);
    if (**at == '.') {
        (*at)++;
        spec.precision = parse_number(at, arguments);
    }
    for (; **at == 'l' || **at == 'z'; (*at)++) {
        spec.longs++;
    }
    return spec;
}

static uint64_t get_unsigned(const struct spec *spec, va_list *arguments)
{
    return spec->longs > 0 ? va_arg(*arguments, unsigned long) : va_arg(*arguments, unsigned int);
}

static void convert(struct out *out, struct spec *spec, char conversion, va_list *arguments)
{
    static const char lower[] = "0123456789abcdef";
    int64_t number;
    char c;

    switch (conversion) {
    case 's':
        put_string(out, spec, va_arg(*arguments, const char *));
        break;
    case 'c':
        c = (char)va_arg(*arguments, int);
        put_padded(out, spec, &c, 1);
        break;
    case 'd':
    case 'i':
        number = spec->longs > 0 ? va_arg(*arguments, long) : va_arg(*arguments, int);
        put_number(out, spec, number < 0 ? -(uint64_t)number : (uint64_t)number, 10, number < 0,
                   lower);
        break;
    case 'u':
        put_number(out, spec, get_unsigned(spec, arguments), 10, false, lower);
        break;
    case 'x':
        put_number(out, spec, get_unsigned(spec, arguments), 16, false, lower);
        break;
    case 'X':
        put_number(out, spec, get_unsigned(spec, arguments), 16, false, "0123456789ABCDEF");
        break;
    case 'p':
        put(out, '0');
        put(out, 'x');
        *spec = (struct spec){.pad = '0', .width = 16};
        put_number(out, spec, (uintptr_t)va_arg(*arguments, void *), 16, false, lower);
        break;
    default:
        put(out, '%');
        put(out, conversion);
        break;
    }
}

size_t format_va(char *buffer, size_t size, const char *text, va_list arguments)
{
    struct out out = {buffer, size, 0};
    va_list rest;

    va_copy(rest, arguments);
    for (const char *at = text; *at != '\0'; at++) {
        struct spec spec;

        if (*at != '%') {
            put(&out, *at);
            continue;
        }
        at++;
        if (*at == '%') {
            put(&out, '%');
            continue;
        }
        spec = parse_spec(&at, &rest);
        if (*at == '\0') {
            break;
        }
        convert(&out, &spec, *at, &rest);
    }
    va_end(rest);
    if (size > 0) {
        buffer[MIN(out.length, size - 1)] = '\0';
    }
    return out.length;
}

size_t format(char *buffer, size_t size, const char *text, ...)
{
    va_list arguments;
    size_t length;

    va_start(arguments, text);
    length = format_va(buffer, size, text, arguments);
    va_end(arguments);
    return length;
}

void report_say(const struct report *report, const char *text, ...)
{
    char sentence[REPORT_SENTENCE_MAX];
    va_list arguments;

    if (report == NULL || report->say == NULL) {
        return;
    }
    va_start(arguments, text);
    if (format_va(sentence, sizeof(sentence), text, arguments) >= sizeof(sentence)) {
        memcpy(sentence + sizeof(sentence) - 4, "...", 4);
    }
    va_end(arguments);
    report->say(report->context, sentence);
}
