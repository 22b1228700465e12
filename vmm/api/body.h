/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the JSON object of a request into a struct, by a table. */
#ifndef VMM_API_BODY_H
#define VMM_API_BODY_H

#include "vmm/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; /* jansson's */

enum body_type {
    BODY_STRING, /* const char *, the JSON's */
    BODY_BOOL,   /* bool */
    BODY_NUMBER, /* uint64_t */
    BODY_OBJECT, /* const struct json_t *, the JSON's */
};

struct body_field {
    const char *name;
    enum body_type type;
    bool required;
    size_t offset;
    uint64_t min, max; /* BODY_NUMBER */
};

/* Members whose fields are missing or null keep their values; *ret_given gets a bit for each other,
 * by the order of the table. A key that the table hasn't is an error, as in Firecracker. */
bool body_read(const struct json_t *object, const struct body_field *fields, size_t count,
               void *into, uint32_t *ret_given, struct error *error);

/* Place of a word in a list that ends with NULL; false and a sentence that names all. */
bool body_find_word(const char *field, const char *word, const char *const *words,
                    size_t *ret_index, struct error *error);

/* An identifier of a device: 1 to 63 letters, digits, '_', '-' and '.'. */
bool body_check_id(const char *id, struct error *error);

struct config_rate;
/* Firecracker's RateLimiter, {"bandwidth": {...}, "ops": {...}}: a bucket that isn't there is left
 * as it is, one without size or refill_time lifts its limit. */
bool body_read_rate(const struct json_t *limiter, struct config_rate *rate, struct error *error);
/* A string of the host's, which need not be UTF-8: what isn't becomes '?'. NULL for NULL. */
struct json_t *body_show_string(const char *string);
/* NULL if nothing is limited, or without memory. */
struct json_t *body_show_rate(const struct config_rate *rate);

#endif
