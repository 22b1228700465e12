/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's configuration as JSON, in and out, along the table of fields. Each message names the file
 * and the place in it: "vm.json: disks[0].readonly: ...".
 */
#include "vmm/config/fields.h"
#include "vmm/config/nearest.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_TEXT_MAX 256
#define KEYS_TEXT_MAX 320
#define KEY_SHOWN 60

static bool group_from_json(const struct config_group *group, void *object, const json_t *json,
                            const char *place, uint64_t *ret_given, struct error *error);

static const char *type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_NULL:
        return "null";
    default:
        return "true or false";
    }
}

static bool wrong_type(const json_t *json, const char *wanted, const char *place,
                       struct error *error)
{
    return error_set(error, EXIT_CODE_USAGE, "%s: is %s; it must be %s", place, type_name(json),
                     wanted);
}

/* "vm.json: " + "disks[0]" + "." + "path"; the origin ends with a space. */
static void extend(char *ret_place, const char *place, const char *key)
{
    size_t length = strlen(place);
    const char *dot = length == 0 || place[length - 1] == ' ' ? "" : ".";

    snprintf(ret_place, PATH_TEXT_MAX, "%.*s%s%.*s", 180, place, dot, KEY_SHOWN, key);
}

static bool size_from_json(const struct config_field *field, void *object, const json_t *json,
                           const char *place, struct error *error)
{
    uint64_t *member = config_member(field, object);

    if (json_is_integer(json) && json_integer_value(json) >= 0) {
        *member = (uint64_t)json_integer_value(json);
        return true;
    }
    if (json_is_string(json) && config_parse_size(json_string_value(json), 0, member)) {
        return true;
    }
    return error_set(error, EXIT_CODE_USAGE,
                     "%s: must be a number of bytes, or a string with a unit like \"512M\"", place);
}

static bool bucket_number(const json_t *json, const char *key, uint64_t least, uint64_t most,
                          uint64_t *ret_value, const char *place, struct error *error)
{
    const json_t *member = json_object_get(json, key);

    if (member == NULL) {
        return true;
    }
    if (!json_is_integer(member) || json_integer_value(member) < (json_int_t)least ||
        json_integer_value(member) > (json_int_t)most) {
        return error_set(error, EXIT_CODE_USAGE, "%s.%s: must be an integer from %llu to %llu",
                         place, key, (unsigned long long)least, (unsigned long long)most);
    }
    *ret_value = (uint64_t)json_integer_value(member);
    return true;
}

static bool bucket_from_json(const struct config_field *field, void *object, const json_t *json,
                             const char *place, struct error *error)
{
    struct config_bucket bucket = {.refill_ms = 1000};
    const char *key;
    json_t *value;

    if (json_is_string(json)) {
        return config_set_text(field, object, json_string_value(json), place, error);
    }
    if (!json_is_object(json)) {
        return wrong_type(json, "a string like \"10M/1s\", or an object with size, "
                                "one_time_burst and refill_ms", place, error);
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, value) {
        if (strcmp(key, "size") != 0 && strcmp(key, "one_time_burst") != 0 &&
            strcmp(key, "refill_ms") != 0) {
            return error_set(error, EXIT_CODE_USAGE,
                             "%s: unknown key \"%.*s\"; allowed are size, one_time_burst and "
                             "refill_ms", place, KEY_SHOWN, key);
        }
    }
    if (!bucket_number(json, "size", 0, INT64_MAX, &bucket.size, place, error) ||
        !bucket_number(json, "one_time_burst", 0, INT64_MAX, &bucket.one_time_burst, place,
                       error) ||
        !bucket_number(json, "refill_ms", 1, UINT32_MAX, &bucket.refill_ms, place, error)) {
        return false;
    }
    *(struct config_bucket *)config_member(field, object) = bucket;
    return true;
}

static bool list_from_json(const struct config_field *field, void *object, const json_t *json,
                           const char *place, struct error *error)
{
    char element_place[PATH_TEXT_MAX];

    if (!json_is_array(json)) {
        return wrong_type(json, "an array", place, error);
    }
    for (size_t i = 0; i < json_array_size(json); i++) {
        uint64_t given = 0;
        void *element = config_list_new(field, object, place, error);

        if (element == NULL) {
            return false;
        }
        snprintf(element_place, sizeof(element_place), "%.*s[%zu]", 200, place, i);
        if (!group_from_json(field->group, element, json_array_get(json, i), element_place,
                             &given, error)) {
            config_group_release(field->group, element);
            return false;
        }
        config_list_commit(field, object, given);
    }
    return true;
}

static bool inner_group_from_json(const struct config_field *field, void *object,
                                  const json_t *json, const char *place, struct error *error)
{
    uint64_t given = 0;
    void *inner = config_member(field, object);

    if (!group_from_json(field->group, inner, json, place, &given, error)) {
        return false;
    }
    if (field->group->finish != NULL) {
        field->group->finish(inner, given, 0);
    }
    return true;
}

static bool scalar_from_json(const struct config_field *field, void *object, const json_t *json,
                             const char *place, struct error *error)
{
    bool value;

    switch (field->type) {
    case FIELD_BOOL:
        if (!json_is_boolean(json)) {
            return wrong_type(json, "true or false", place, error);
        }
        value = json_is_true(json) != ((field->flags & FIELD_INVERTED) != 0);
        *(bool *)config_member(field, object) = value;
        return true;
    case FIELD_NUMBER: {
        json_int_t number = json_integer_value(json);

        if (!json_is_integer(json)) {
            return wrong_type(json, "an integer", place, error);
        }
        return config_set_number(field, object,
                                 number < 0 ? 0 - (uint64_t)number : (uint64_t)number,
                                 number < 0, place, error);
    }
    default:
        if (!json_is_string(json)) {
            return wrong_type(json, "a string", place, error);
        }
        return config_set_text(field, object, json_string_value(json), place, error);
    }
}

static bool field_from_json(const struct config_field *field, void *object, const json_t *json,
                            const char *place, struct error *error)
{
    switch (field->type) {
    case FIELD_SIZE:
        return size_from_json(field, object, json, place, error);
    case FIELD_BUCKET:
        return bucket_from_json(field, object, json, place, error);
    case FIELD_LIST:
        return list_from_json(field, object, json, place, error);
    case FIELD_GROUP:
        return inner_group_from_json(field, object, json, place, error);
    default:
        return scalar_from_json(field, object, json, place, error);
    }
}

static bool unknown_key(const struct config_group *group, const char *key, const char *place,
                        struct error *error)
{
    const char *nearest = config_nearest_key(group, key, strlen(key));
    size_t length = strlen(place);
    const char *colon = place[length - 1] == ' ' ? "" : ": ";
    char keys[KEYS_TEXT_MAX];

    if (nearest != NULL) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%.*s%sunknown key \"%.*s\": did you mean \"%s\"?", 180, place, colon,
                         KEY_SHOWN, key, nearest);
    }
    config_list_keys(group, keys, sizeof(keys));
    return error_set(error, EXIT_CODE_USAGE, "%.*s%sunknown key \"%.*s\"; allowed are %s", 100,
                     place, colon, KEY_SHOWN, key, keys);
}

static bool group_from_json(const struct config_group *group, void *object, const json_t *json,
                            const char *place, uint64_t *ret_given, struct error *error)
{
    char where[PATH_TEXT_MAX];
    const char *key;
    json_t *value;

    if (!json_is_object(json)) {
        return wrong_type(json, "an object", place, error);
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, value) {
        const struct config_field *field = config_find_field(group, key, strlen(key), false);

        if (field == NULL) {
            return unknown_key(group, key, place, error);
        }
        extend(where, place, field->key);
        if (!field_from_json(field, object, value, where, error)) {
            return false;
        }
        *ret_given |= 1ull << (field - group->fields);
    }
    return config_check_required(group, *ret_given, place, error);
}

bool vm_config_from_json(struct vm_config *config, const char *text, size_t size,
                         const char *origin, struct error *error)
{
    uint64_t given = 0;
    char place[PATH_TEXT_MAX];
    json_error_t problem;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    bool fine;

    if (json == NULL) {
        return error_set(error, EXIT_CODE_USAGE, "%.*s:%d:%d: not JSON: %s", 180, origin,
                         problem.line, problem.column, problem.text);
    }
    snprintf(place, sizeof(place), "%.*s: ", 120, origin);
    fine = json_is_object(json) ? group_from_json(&config_vm_group, config, json, place, &given,
                                                  error)
                                : wrong_type(json, "an object", origin, error);
    json_decref(json);
    return fine;
}

/* ---- Out ---- */

static json_t *group_to_json(const struct config_group *group, const void *object);

static json_t *size_to_json(uint64_t bytes)
{
    char text[32];

    config_format_size(bytes, text, sizeof(text));
    return json_string(text);
}

static json_t *bucket_to_json(const struct config_bucket *bucket)
{
    if (bucket->size == 0) {
        return NULL;
    }
    return json_pack("{s:I,s:I,s:I}", "size", (json_int_t)bucket->size, "one_time_burst",
                     (json_int_t)bucket->one_time_burst, "refill_ms",
                     (json_int_t)bucket->refill_ms);
}

static json_t *list_to_json(const struct config_field *field, const void *object)
{
    uint32_t count = *(const uint32_t *)(const void *)((const char *)object + field->count);
    const char *element = config_member_const(field, object);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(list, group_to_json(field->group, element));
        element += field->size;
    }
    return list;
}

static json_t *mac_to_json(const struct config_net *net)
{
    char text[32];

    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", net->mac[0], net->mac[1],
             net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
    return net->mac_given ? json_string(text) : NULL;
}

/* NULL: it wasn't given, and isn't written. */
static json_t *field_to_json(const struct config_field *field, const void *object)
{
    const void *member = config_member_const(field, object);
    const char *text;

    switch ((enum field_type)field->type) {
    case FIELD_STRING:
    case FIELD_TAP:
        text = *(char *const *)member;
        return text != NULL ? json_string(text) : NULL;
    case FIELD_NAME:
        text = member;
        return *text != '\0' ? json_string(text) : NULL;
    case FIELD_BOOL:
        return json_boolean(*(const bool *)member != ((field->flags & FIELD_INVERTED) != 0));
    case FIELD_NUMBER:
        if ((field->flags & FIELD_MAYBE) != 0 && *(const int *)member < 0) {
            return NULL;
        }
        return json_integer((json_int_t)config_load(field, object));
    case FIELD_SIZE:
        return size_to_json(*(const uint64_t *)member);
    case FIELD_WORD:
        text = config_word_of(field, object);
        return text != NULL ? json_string(text) : NULL;
    case FIELD_MAC:
        return mac_to_json(object);
    case FIELD_BUCKET:
        return bucket_to_json(member);
    case FIELD_GROUP:
        return group_to_json(field->group, member);
    case FIELD_LIST:
        return list_to_json(field, object);
    }
    return NULL;
}

static json_t *group_to_json(const struct config_group *group, const void *object)
{
    json_t *json;

    if (group->present != NULL && !group->present(object)) {
        return NULL;
    }
    json = json_object();
    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        json_t *value = field_to_json(field, object);

        if (value != NULL) {
            json_object_set_new(json, field->key, value);
        }
    }
    return json;
}

char *vm_config_to_json(const struct vm_config *config)
{
    json_t *json = group_to_json(&config_vm_group, config);
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    json_decref(json);
    return text;
}
