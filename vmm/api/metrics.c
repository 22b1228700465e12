/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples of a family are kept as the lines that they will be; metrics_text() puts metadata
 * before each family's lines. Families are few: they are searched from the one used last.
 */
#include "vmm/api/metrics.h"
#include "bothy/atomic.h"
#include "vmm/api/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1000000000ull

struct family {
    struct family *next;
    const char *type;
    char *name;
    char *help;
    struct text samples;
};

struct metrics {
    struct family *first;
    struct family *last;   /* in order */
    struct family *recent; /* found last */
    bool failed;
};

struct metrics *metrics_create(void)
{
    return calloc(1, sizeof(struct metrics));
}

static void destroy_family(struct family *family)
{
    free(family->name);
    free(family->help);
    text_release(&family->samples);
    free(family);
}

void metrics_destroy(struct metrics *metrics)
{
    struct family *next;

    if (metrics == NULL) {
        return;
    }
    for (struct family *family = metrics->first; family != NULL; family = next) {
        next = family->next;
        destroy_family(family);
    }
    free(metrics);
}

static struct family *add_family(struct metrics *metrics, const char *name, const char *help,
                                 const char *type)
{
    struct family *family = calloc(1, sizeof(*family));

    if (family == NULL) {
        return NULL;
    }
    family->type = type;
    family->name = strdup(name);
    family->help = strdup(help);
    if (family->name == NULL || family->help == NULL) {
        destroy_family(family);
        return NULL;
    }
    if (metrics->last != NULL) {
        metrics->last->next = family;
    } else {
        metrics->first = family;
    }
    metrics->last = family;
    return family;
}

/* NULL: no memory, or the name is another type's. */
static struct family *find_family(struct metrics *metrics, const char *name, const char *help,
                                  const char *type)
{
    struct family *family = metrics->recent;

    if (family == NULL || strcmp(family->name, name) != 0) {
        family = metrics->first;
        while (family != NULL && strcmp(family->name, name) != 0) {
            family = family->next;
        }
    }
    if (family == NULL) {
        family = add_family(metrics, name, help, type);
    } else if (strcmp(family->type, type) != 0) {
        family = NULL;
    }
    metrics->failed = metrics->failed || family == NULL;
    metrics->recent = family;
    return family;
}

/* "name_suffix{labels} " */
static void put_name(struct family *family, const char *suffix, const char *labels)
{
    bool bare = labels[0] == '\0';

    text_format(&family->samples, "%s%s%s%s%s ", family->name, suffix, bare ? "" : "{", labels,
                bare ? "" : "}");
}

static void put_seconds(struct family *family, uint64_t ns)
{
    text_format(&family->samples, "%llu.%09llu\n", (unsigned long long)(ns / NS_PER_S),
                (unsigned long long)(ns % NS_PER_S));
}

void metrics_counter(struct metrics *metrics, const char *name, const char *help,
                     const char *labels, uint64_t value)
{
    struct family *family = find_family(metrics, name, help, "counter");

    if (family != NULL) {
        put_name(family, "_total", labels);
        text_format(&family->samples, "%llu\n", (unsigned long long)value);
    }
}

void metrics_counter_ns(struct metrics *metrics, const char *name, const char *help,
                        const char *labels, uint64_t ns)
{
    struct family *family = find_family(metrics, name, help, "counter");

    if (family != NULL) {
        put_name(family, "_total", labels);
        put_seconds(family, ns);
    }
}

void metrics_gauge(struct metrics *metrics, const char *name, const char *help, const char *labels,
                   double value)
{
    struct family *family = find_family(metrics, name, help, "gauge");

    if (family != NULL) {
        put_name(family, "", labels);
        text_format(&family->samples, "%.15g\n", value);
    }
}

static void put_bucket(struct family *family, const char *labels, unsigned int index,
                       uint64_t value)
{
    const char *comma = labels[0] == '\0' ? "" : ",";

    if (index == METRICS_BUCKETS - 1) {
        text_format(&family->samples, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", family->name, labels,
                    comma, (unsigned long long)value);
    } else {
        text_format(&family->samples, "%s_bucket{%s%sle=\"%g\"} %llu\n", family->name, labels,
                    comma, (double)(1u << index) / 1e6, (unsigned long long)value);
    }
}

void metrics_add_histogram(struct metrics *metrics, const char *name, const char *help,
                           const char *labels, const struct metrics_histogram *histogram)
{
    struct family *family = find_family(metrics, name, help, "histogram");
    uint64_t count = 0;

    if (family == NULL) {
        return;
    }
    for (unsigned int i = 0; i < METRICS_BUCKETS; i++) {
        count += atomic_load64_relaxed(&histogram->buckets[i]);
        put_bucket(family, labels, i, count);
    }
    put_name(family, "_count", labels);
    text_format(&family->samples, "%llu\n", (unsigned long long)count);
    put_name(family, "_sum", labels);
    put_seconds(family, atomic_load64_relaxed(&histogram->sum_ns));
}

/* The escape of a character of a label's value or a help text; NULL: it stands for itself. */
static const char *escape(char byte)
{
    return byte == '\\' ? "\\\\" : byte == '"' ? "\\\"" : byte == '\n' ? "\\n" : NULL;
}

void metrics_label(char *labels, size_t size, const char *name, const char *value)
{
    struct text text = {0};

    text_format(&text, "%s%s=\"", labels[0] == '\0' ? "" : ",", name);
    for (; *value != '\0'; value++) {
        const char *escaped = escape(*value);

        text_append(&text, escaped != NULL ? escaped : value,
                    escaped != NULL ? strlen(escaped) : 1);
    }
    text_puts(&text, "\"");
    if (!text.failed && strlen(labels) + text.size < size) {
        memcpy(labels + strlen(labels), text.data, text.size + 1);
    }
    text_release(&text);
}

static const char *find_unit(const char *name)
{
    static const char *const units[] = {"seconds", "bytes", "ratio"};
    const char *word = strrchr(name, '_');

    for (size_t i = 0; word != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(word + 1, units[i]) == 0) {
            return units[i];
        }
    }
    return NULL;
}

static void put_metadata(struct text *text, const struct family *family)
{
    const char *unit = find_unit(family->name);

    text_format(text, "# TYPE %s %s\n", family->name, family->type);
    if (unit != NULL) {
        text_format(text, "# UNIT %s %s\n", family->name, unit);
    }
    text_format(text, "# HELP %s ", family->name);
    for (const char *at = family->help; *at != '\0'; at++) {
        const char *escaped = escape(*at);

        text_append(text, escaped != NULL ? escaped : at, escaped != NULL ? strlen(escaped) : 1);
    }
    text_puts(text, "\n");
}

char *metrics_text(struct metrics *metrics, size_t *ret_size)
{
    struct text text = {0};

    for (struct family *family = metrics->first; family != NULL; family = family->next) {
        put_metadata(&text, family);
        text_append(&text, family->samples.data, family->samples.size);
        text.failed = text.failed || family->samples.failed;
    }
    text_puts(&text, "# EOF\n");
    if (text.failed || metrics->failed) {
        text_release(&text);
        return NULL;
    }
    *ret_size = text.size;
    return text.data;
}

static bool is_bucket(const struct family *family, const char *line)
{
    return strncmp(line + strlen(family->name), "_bucket{", strlen("_bucket{")) == 0;
}

void metrics_each(struct metrics *metrics,
                  void (*each)(void *context, const char *name, size_t size, double value),
                  void *context)
{
    for (struct family *family = metrics->first; family != NULL; family = family->next) {
        const char *line = family->samples.failed ? NULL : family->samples.data;

        while (line != NULL && *line != '\0') {
            const char *end = strchr(line, '\n');
            const char *value = end;

            while (value[-1] != ' ') {
                value--;
            }
            if (!is_bucket(family, line)) {
                each(context, line, (size_t)(value - line) - 1, strtod(value, NULL));
            }
            line = end + 1;
        }
    }
}
