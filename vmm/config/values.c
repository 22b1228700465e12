/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values: from text, from numbers, with a sentence for each that isn't allowed. What JSON
 * and the command line have in common ends here.
 */
#include "vmm/config/fields.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define ALLOWED_MAX 160
#define VALUE_SHOWN 80 /* of a wrong value */

/* Decimal, or hexadecimal after 0x; *text moves past it. False: no digits, or too large. */
static bool take_number(const char **text, uint64_t *ret_value)
{
    const char *at = *text;
    uint64_t base = at[0] == '0' && (at[1] == 'x' || at[1] == 'X') ? 16 : 10;
    uint64_t value = 0;
    const char *first;

    at += base == 16 ? 2 : 0;
    for (first = at;; at++) {
        char lower = (char)(*at | 0x20);
        uint64_t digit;

        if (*at >= '0' && *at <= '9') {
            digit = (uint64_t)(*at - '0');
        } else if (base == 16 && lower >= 'a' && lower <= 'f') {
            digit = (uint64_t)(lower - 'a' + 10);
        } else {
            break;
        }
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    if (at == first) {
        return false;
    }
    *text = at;
    *ret_value = value;
    return true;
}

/* K, KB, KiB ... T: powers of 1024; B: bytes. 0: none of them. */
static uint64_t take_unit(const char **text)
{
    static const char letters[] = "KMGT";
    const char *letter;
    uint64_t unit = 1;

    if (**text == 'B' || **text == 'b') {
        (*text)++;
        return 1;
    }
    letter = **text == '\0' ? NULL : strchr(letters, **text & ~0x20);
    if (letter == NULL) {
        return 0;
    }
    for (const char *c = letters; c <= letter; c++) {
        unit *= KIB;
    }
    (*text)++;
    if (strncmp(*text, "iB", 2) == 0) {
        *text += 2;
    } else if (**text == 'B' || **text == 'b') {
        (*text)++;
    }
    return unit;
}

static bool take_size(const char **text, uint64_t unit, uint64_t *ret_bytes)
{
    uint64_t value;
    uint64_t given;

    if (!take_number(text, &value)) {
        return false;
    }
    given = take_unit(text);
    given = given == 0 ? unit : given;
    return given != 0 && !__builtin_mul_overflow(value, given, ret_bytes);
}

bool config_parse_size(const char *text, uint64_t unit, uint64_t *ret_bytes)
{
    uint64_t bytes;

    if (!take_size(&text, unit, &bytes) || *text != '\0') {
        return false;
    }
    *ret_bytes = bytes;
    return true;
}

void config_format_size(uint64_t bytes, char *ret_text, size_t size)
{
    static const char units[] = {'B', 'K', 'M', 'G', 'T'};
    unsigned unit = 0;

    while (unit < 4 && bytes != 0 && bytes % KIB == 0) {
        bytes /= KIB;
        unit++;
    }
    snprintf(ret_text, size, "%llu%c", (unsigned long long)bytes, units[unit]);
}

/* "100ms", "2s", "100" (milliseconds). */
static bool take_period(const char **text, uint64_t *ret_ms)
{
    uint64_t value;

    if (!take_number(text, &value) || value > UINT32_MAX) {
        return false;
    }
    if (strncmp(*text, "ms", 2) == 0) {
        *text += 2;
    } else if (**text == 's') {
        *text += 1;
        value *= 1000;
    }
    *ret_ms = value;
    return value != 0;
}

bool config_parse_bucket(const char *text, struct config_bucket *ret_bucket)
{
    struct config_bucket bucket = {.refill_ms = 1000};

    if (!take_size(&text, 1, &bucket.size)) {
        return false;
    }
    if (*text == '+') {
        text++;
        if (!take_size(&text, 1, &bucket.one_time_burst)) {
            return false;
        }
    }
    if (*text == '/') {
        text++;
        if (!take_period(&text, &bucket.refill_ms)) {
            return false;
        }
    }
    if (*text != '\0') {
        return false;
    }
    *ret_bucket = bucket;
    return true;
}

int config_parse_cpus(const char *text, uint32_t *ret_cpus, size_t max)
{
    int count = 0;

    for (;;) {
        uint64_t first;
        uint64_t last;

        if (!take_number(&text, &first)) {
            return -1;
        }
        last = first;
        if (*text == '-') {
            text++;
            if (!take_number(&text, &last)) {
                return -1;
            }
        }
        if (last < first || last >= 4096) {
            return -1;
        }
        for (uint64_t cpu = first; cpu <= last && count < 4096; cpu++, count++) {
            if (ret_cpus != NULL && (size_t)count < max) {
                ret_cpus[count] = (uint32_t)cpu;
            }
        }
        if (*text == '\0') {
            return count;
        }
        if (*text++ != ',') {
            return -1;
        }
    }
}

static bool parse_mac(const char *text, uint8_t *ret_mac)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[6] = {0};

    for (unsigned i = 0; i < 12; i++) {
        const char *digit = *text == '\0' ? NULL : strchr(digits, *text | 0x20);

        if (digit == NULL) {
            return false;
        }
        mac[i / 2] = (uint8_t)(mac[i / 2] * 16 + (digit - digits));
        text++;
        if (i % 2 == 1 && i < 11 && *text != ':' && *text != '-') {
            return false;
        }
        text += i % 2 == 1 && i < 11 ? 1 : 0;
    }
    if (*text != '\0') {
        return false;
    }
    memcpy(ret_mac, mac, sizeof(mac));
    return true;
}

static bool refuse(struct error *error, const char *where, const char *text, const char *allowed)
{
    return error_set(error, EXIT_CODE_USAGE, "%s: \"%.*s\" is not possible; allowed is %s", where,
                     VALUE_SHOWN, text, allowed);
}

static bool set_bool(const struct config_field *field, void *object, const char *text,
                     const char *where, struct error *error)
{
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            bool value = i % 2 != 0;

            *(bool *)config_member(field, object) = value != ((field->flags & FIELD_INVERTED) != 0);
            return true;
        }
    }
    return refuse(error, where, text, "on or off");
}

bool config_set_number(const struct config_field *field, void *object, uint64_t value,
                       bool negative, const char *where, struct error *error)
{
    if (negative || value < field->min || value > field->max) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%s: %s%llu is not possible; allowed is %llu to %llu", where,
                         negative ? "-" : "", (unsigned long long)value,
                         (unsigned long long)field->min, (unsigned long long)field->max);
    }
    config_store(field, object, value);
    return true;
}

static bool set_number_text(const struct config_field *field, void *object, const char *text,
                            const char *where, struct error *error)
{
    const char *end = text;
    char allowed[ALLOWED_MAX];
    uint64_t value;

    if (take_number(&end, &value) && *end == '\0') {
        return config_set_number(field, object, value, false, where, error);
    }
    snprintf(allowed, sizeof(allowed), "a number from %llu to %llu",
             (unsigned long long)field->min, (unsigned long long)field->max);
    return refuse(error, where, text, allowed);
}

static bool set_word(const struct config_field *field, void *object, const char *text,
                     const char *where, struct error *error)
{
    char allowed[ALLOWED_MAX];
    uint32_t value;

    if (config_word_value(field, text, &value)) {
        config_store(field, object, value);
        return true;
    }
    config_list_words(field->words, allowed, sizeof(allowed));
    return error_set(error, EXIT_CODE_USAGE, "%s: \"%.*s\" is not possible; allowed are %s", where,
                     VALUE_SHOWN, text, allowed);
}

static bool replace_string(char **string, const char *text, const char *where,
                           struct error *error)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);

    if (copy == NULL) {
        return error_set(error, EXIT_CODE_HOST, "%s: out of memory", where);
    }
    memcpy(copy, text, size);
    free(*string);
    *string = copy;
    return true;
}

static bool set_name(const struct config_field *field, void *object, const char *text,
                     const char *where, struct error *error)
{
    size_t length = strlen(text);

    if (length >= field->size) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%s: \"%.*s...\" has %zu characters; allowed are at most %u", where, 20,
                         text, length, field->size - 1u);
    }
    memcpy(config_member(field, object), text, length + 1);
    return true;
}

/* An empty string takes a value back that a file gave. */
bool config_set_string(const struct config_field *field, void *object, const char *text,
                       const char *where, struct error *error)
{
    char **string = config_member(field, object);

    if (field->type == FIELD_NAME) {
        return set_name(field, object, text, where, error);
    }
    if (field->type == FIELD_TAP && strcmp(text, "new") == 0) {
        ((struct config_net *)object)->make_tap = true;
        text = "";
    }
    if (*text == '\0') {
        free(*string);
        *string = NULL;
        return true;
    }
    return replace_string(string, text, where, error);
}

static bool set_mac(void *object, const char *text, const char *where, struct error *error)
{
    struct config_net *net = object;

    if (!parse_mac(text, net->mac)) {
        return refuse(error, where, text, "a MAC address like 52:54:00:12:34:56");
    }
    if ((net->mac[0] & 1) != 0) {
        return refuse(error, where, text, "an address of one interface; this one is a multicast "
                                          "address, its first byte is odd");
    }
    net->mac_given = true;
    return true;
}

bool config_set_text(const struct config_field *field, void *object, const char *text,
                     const char *where, struct error *error)
{
    void *member = config_member(field, object);
    uint64_t unit = (field->flags & FIELD_IN_MIB) != 0 ? KIB * KIB : 1;

    switch ((enum field_type)field->type) {
    case FIELD_STRING:
    case FIELD_NAME:
    case FIELD_TAP:
        return config_set_string(field, object, text, where, error);
    case FIELD_BOOL:
        return set_bool(field, object, text, where, error);
    case FIELD_NUMBER:
        return set_number_text(field, object, text, where, error);
    case FIELD_SIZE:
        return config_parse_size(text, unit, member) ||
               refuse(error, where, text, "a size like 512M or 2G");
    case FIELD_WORD:
        return set_word(field, object, text, where, error);
    case FIELD_MAC:
        return set_mac(object, text, where, error);
    case FIELD_BUCKET:
        return config_parse_bucket(text, member) ||
               refuse(error, where, text, "a rate like 10M, 100/50ms or 10M+50M/1s "
                                          "(size, burst, period)");
    case FIELD_GROUP:
    case FIELD_LIST:
        break;
    }
    return refuse(error, where, text, "key=value");
}
