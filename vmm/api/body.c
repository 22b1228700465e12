/* SPDX-License-Identifier: Apache-2.0 */
/* JSON bodies. The messages have the form of Firecracker's, whose clients match on them. */
#include "vmm/api/body.h"
#include "bothy/bits.h"
#include "vmm/api/text.h"
#include "vmm/config/config.h"
#include <jansson.h>
#include <string.h>

#define REFILL_MS_MAX (1ull << 42) /* a century: no product of it overflows */

static bool refuse(struct error *error, const char *what, const char *name)
{
    return error_set(error, EXIT_CODE_GUEST,
                     "An error occurred when deserializing the json body of a request: %s `%s`.",
                     what, name);
}

static const struct body_field *find_field(const struct body_field *fields, size_t count,
                                           const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

static bool refuse_unknown(const struct body_field *fields, size_t count, const char *name,
                           struct error *error)
{
    struct text known = {0};

    for (size_t i = 0; i < count; i++) {
        text_format(&known, "%s`%s`", i == 0 ? "" : ", ", fields[i].name);
    }
    error_set(error, EXIT_CODE_GUEST,
              "An error occurred when deserializing the json body of a request: unknown field "
              "`%.40s`, expected one of %s.",
              name, known.data != NULL ? known.data : "none");
    text_release(&known);
    return false;
}

static bool read_number(const json_t *value, const struct body_field *field, uint64_t *into,
                        struct error *error)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value)) {
        return refuse(error, "invalid type: expected an integer in", field->name);
    }
    if (number < 0 || (uint64_t)number < field->min || (uint64_t)number > field->max) {
        return error_set(error, EXIT_CODE_GUEST,
                         "An error occurred when deserializing the json body of a request: "
                         "invalid value: `%s` is %lld, must be from %llu to %llu.",
                         field->name, (long long)number, (unsigned long long)field->min,
                         (unsigned long long)field->max);
    }
    *into = (uint64_t)number;
    return true;
}

static bool read_value(const json_t *value, const struct body_field *field, void *into,
                       struct error *error)
{
    switch (field->type) {
    case BODY_STRING:
        if (!json_is_string(value)) {
            return refuse(error, "invalid type: expected a string in", field->name);
        }
        *(const char **)into = json_string_value(value);
        return true;
    case BODY_BOOL:
        if (!json_is_boolean(value)) {
            return refuse(error, "invalid type: expected a boolean in", field->name);
        }
        *(bool *)into = json_is_true(value);
        return true;
    case BODY_NUMBER:
        return read_number(value, field, into, error);
    case BODY_OBJECT:
        if (!json_is_object(value)) {
            return refuse(error, "invalid type: expected an object in", field->name);
        }
        *(const json_t **)into = value;
        return true;
    }
    return false;
}

/* jansson iterates over const objects only by casting that away. */
static json_t *mutable_json(const json_t *json)
{
    union {
        const json_t *from;
        json_t *to;
    } cast = {json};

    return cast.to;
}

bool body_read(const json_t *object, const struct body_field *fields, size_t count, void *into,
               uint32_t *ret_given, struct error *error)
{
    uint32_t given = 0;
    const char *name;
    json_t *value;

    json_object_foreach (mutable_json(object), name, value) {
        const struct body_field *field = find_field(fields, count, name);

        if (field == NULL) {
            return refuse_unknown(fields, count, name, error);
        }
        if (json_is_null(value)) {
            continue;
        }
        if (!read_value(value, field, (char *)into + field->offset, error)) {
            return false;
        }
        given |= 1u << (field - fields);
    }
    for (size_t i = 0; i < count; i++) {
        if (fields[i].required && (given & 1u << i) == 0) {
            return refuse(error, "missing field", fields[i].name);
        }
    }
    *ret_given = given;
    return true;
}

bool body_find_word(const char *field, const char *word, const char *const *words,
                    size_t *ret_index, struct error *error)
{
    struct text known = {0};

    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            text_release(&known);
            *ret_index = i;
            return true;
        }
        text_format(&known, "%s`%s`", i == 0 ? "" : ", ", words[i]);
    }
    error_set(error, EXIT_CODE_GUEST,
              "An error occurred when deserializing the json body of a request: unknown variant "
              "`%.40s` of `%s`, expected one of %s.",
              word, field, known.data != NULL ? known.data : "none");
    text_release(&known);
    return false;
}

bool body_check_id(const char *id, struct error *error)
{
    size_t length = strlen(id);

    if (length == 0) {
        return error_set(error, EXIT_CODE_GUEST, "The ID cannot be empty.");
    }
    if (length > CONFIG_NAME_MAX || id[0] == '.' || id[0] == '-' ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != length) {
        return error_set(error, EXIT_CODE_GUEST,
                         "API Resource IDs can only contain alphanumeric characters, underscores, "
                         "and after the first hyphens and full stops; %u at most.",
                         CONFIG_NAME_MAX);
    }
    return true;
}

static bool read_bucket(const json_t *object, struct config_bucket *bucket, struct error *error)
{
    static const struct body_field fields[] = {
        {"size", BODY_NUMBER, true, offsetof(struct config_bucket, size), 0, INT64_MAX},
        {"one_time_burst", BODY_NUMBER, false, offsetof(struct config_bucket, one_time_burst), 0,
         INT64_MAX},
        {"refill_time", BODY_NUMBER, true, offsetof(struct config_bucket, refill_ms), 0,
         REFILL_MS_MAX},
    };
    struct config_bucket read = {0};
    uint32_t given;

    if (!body_read(object, fields, ARRAY_SIZE(fields), &read, &given, error)) {
        return false;
    }
    *bucket = read.size != 0 && read.refill_ms != 0 ? read : (struct config_bucket){0};
    return true;
}

bool body_read_rate(const json_t *limiter, struct config_rate *rate, struct error *error)
{
    struct limiter {
        const json_t *bandwidth;
        const json_t *ops;
    } read = {0};
    static const struct body_field fields[] = {
        {"bandwidth", BODY_OBJECT, false, offsetof(struct limiter, bandwidth), 0, 0},
        {"ops", BODY_OBJECT, false, offsetof(struct limiter, ops), 0, 0},
    };
    struct config_rate changed = *rate;
    uint32_t given;

    if (limiter == NULL) {
        return true;
    }
    if (!body_read(limiter, fields, ARRAY_SIZE(fields), &read, &given, error) ||
        (read.bandwidth != NULL && !read_bucket(read.bandwidth, &changed.bandwidth, error)) ||
        (read.ops != NULL && !read_bucket(read.ops, &changed.ops, error))) {
        return false;
    }
    *rate = changed;
    return true;
}

json_t *body_show_string(const char *string)
{
    json_t *json = string != NULL ? json_string(string) : NULL;
    struct text ascii = {0};

    if (json == NULL && string != NULL) {
        for (; *string != '\0'; string++) {
            text_append(&ascii, (unsigned char)*string < 0x80 ? string : "?", 1);
        }
        json = ascii.failed ? NULL : json_string(ascii.data);
        text_release(&ascii);
    }
    return json;
}

static json_t *show_bucket(const struct config_bucket *bucket)
{
    return bucket->size == 0
               ? NULL
               : json_pack("{s:I,s:I,s:I}", "size", (json_int_t)bucket->size, "one_time_burst",
                           (json_int_t)bucket->one_time_burst, "refill_time",
                           (json_int_t)bucket->refill_ms);
}

json_t *body_show_rate(const struct config_rate *rate)
{
    if (rate->bandwidth.size == 0 && rate->ops.size == 0) {
        return NULL;
    }
    return json_pack("{s:o*,s:o*}", "bandwidth", show_bucket(&rate->bandwidth), "ops",
                     show_bucket(&rate->ops));
}
