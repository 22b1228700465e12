/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "key=value,key=value" into the fields of a group. A value may stand in double quotes; outside of
 * them "\," is a comma. The first item may be a value alone; a switch alone means on. Nothing is
 * allocated: an item is copied to a buffer on the stack.
 */
#include "vmm/config/fields.h"
#include <stdio.h>
#include <string.h>

#define ITEM_MAX 4352 /* a path of PATH_MAX and its key */
#define WHERE_MAX 160

/* The next item without quotes and escapes; *text moves behind its comma. A '=' that separates
 * key and value is at *ret_equals, or that is the item's length. */
static bool next_item(const char **text, char *ret_item, size_t *ret_equals, const char *where,
                      struct error *error)
{
    const char *at = *text;
    bool quoted = false;
    size_t length = 0;

    *ret_equals = SIZE_MAX;
    for (; *at != '\0' && (quoted || *at != ','); at++) {
        char c = *at;

        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '\\' && (at[1] == ',' || at[1] == '"' || at[1] == '\\')) {
            c = *++at;
        } else if (c == '=' && !quoted && *ret_equals == SIZE_MAX) {
            *ret_equals = length;
        }
        if (length + 1 >= ITEM_MAX) {
            return error_set(error, EXIT_CODE_USAGE, "%s: a value is longer than %u characters",
                             where, ITEM_MAX - 1);
        }
        ret_item[length++] = c;
    }
    if (quoted) {
        return error_set(error, EXIT_CODE_USAGE, "%s: a quotation mark isn't closed", where);
    }
    ret_item[length] = '\0';
    *ret_equals = *ret_equals == SIZE_MAX ? length : *ret_equals;
    *text = *at == ',' ? at + 1 : at;
    return true;
}

static bool unknown_key(const struct config_group *group, const char *name, size_t length,
                        const char *where, struct error *error)
{
    const char *nearest = config_nearest_key(group, name, length);
    char keys[256];

    config_list_keys(group, keys, sizeof(keys));
    if (nearest != NULL) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%s: unknown key \"%.*s\": did you mean %s? Allowed are %s", where,
                         (int)length, name, nearest, keys);
    }
    return error_set(error, EXIT_CODE_USAGE, "%s: unknown key \"%.*s\"; allowed are %s", where,
                     (int)length, name, keys);
}

/* Which field an item means, and its value; NULL and a sentence. */
static const struct config_field *find_item(const struct config_group *group, const char *item,
                                            size_t equals, bool first, const char **ret_value,
                                            const char *where, struct error *error)
{
    const struct config_field *field = config_find_field(group, item, equals, true);

    if (item[equals] == '=') {
        *ret_value = item + equals + 1;
        if (field == NULL) {
            unknown_key(group, item, equals < 60 ? equals : 60, where, error);
        }
        return field;
    }
    if (field != NULL && field->type == FIELD_BOOL && !(first && strcmp(field->key, group->first)
                                                        == 0)) {
        *ret_value = "on";
        return field;
    }
    if (first && group->first != NULL) {
        *ret_value = item;
        return config_find_field(group, group->first, strlen(group->first), false);
    }
    if (field != NULL) {
        error_set(error, EXIT_CODE_USAGE, "%s: %s needs a value: %s=%s", where, field->key,
                  field->key, field->value != NULL ? field->value : "...");
    } else {
        unknown_key(group, item, equals < 60 ? equals : 60, where, error);
    }
    return NULL;
}

bool config_check_required(const struct config_group *group, uint64_t given, const char *where,
                           struct error *error)
{
    const struct config_field *field;

    if (group->required == NULL) {
        return true;
    }
    field = config_find_field(group, group->required, strlen(group->required), false);
    if ((given >> (field - group->fields) & 1) != 0) {
        return true;
    }
    return error_set(error, EXIT_CODE_USAGE, "%s: %s is missing: give %s=%s", where, field->key,
                     field->key, field->value);
}

bool config_parse_keys(const struct config_group *group, void *object, const char *text,
                       const char *where, uint64_t *ret_given, struct error *error)
{
    char item[ITEM_MAX];
    char place[WHERE_MAX];
    uint64_t given = 0;

    for (bool first = true; *text != '\0'; first = false) {
        const struct config_field *field;
        const char *value;
        size_t equals;
        uint64_t bit;

        if (!next_item(&text, item, &equals, where, error)) {
            return false;
        }
        field = find_item(group, item, equals, first, &value, where, error);
        if (field == NULL) {
            return false;
        }
        bit = 1ull << (field - group->fields);
        if ((given & bit) != 0) {
            return error_set(error, EXIT_CODE_USAGE, "%s: %s is given twice", where, field->key);
        }
        given |= bit;
        snprintf(place, sizeof(place), "%s: %s", where, field->key);
        if (!config_set_text(field, object, value, place, error)) {
            return false;
        }
    }
    *ret_given = given;
    return true;
}

bool config_set_option(const struct config_field *field, struct vm_config *config,
                       const char *text, const char *where, struct error *error)
{
    const struct config_group *group = field->group;
    uint64_t given = 0;
    void *object;

    if (field->type == FIELD_LIST) {
        object = config_list_new(field, config, where, error);
        if (object == NULL) {
            return false;
        }
        if (!config_parse_keys(group, object, text, where, &given, error) ||
            !config_check_required(group, given, where, error)) {
            config_group_release(group, object);
            return false;
        }
        config_list_commit(field, config, given);
        return true;
    }
    if (field->type != FIELD_GROUP) {
        return config_set_text(field, config, text, where, error);
    }
    object = config_member(field, config);
    if (!config_parse_keys(group, object, text, where, &given, error)) {
        return false;
    }
    if ((group->present == NULL || !group->present(object)) &&
        !config_check_required(group, given, where, error)) {
        return false;
    }
    if (group->finish != NULL) {
        group->finish(object, given, 0);
    }
    return true;
}
