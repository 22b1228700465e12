/* SPDX-License-Identifier: Apache-2.0 */
/* The table of fields as a JSON Schema (draft 2020-12): docs/vm.schema.json is this, printed. */
#include "vmm/config/fields.h"
#include <jansson.h>
#include <string.h>

#define SIZE_PATTERN "^[0-9]+([KMGT](i?B)?|B)$"
#define BUCKET_PATTERN                                                                             \
    "^[0-9]+([KMGT](i?B)?|B)?(\\+[0-9]+([KMGT](i?B)?|B)?)?(/[0-9]+(ms|s)?)?$"

static json_t *group_schema(const struct config_group *group);

static json_t *words_schema(const struct config_word *words)
{
    json_t *list = json_array();

    for (const struct config_word *word = words; word->word != NULL; word++) {
        if (!word->alias) {
            json_array_append_new(list, json_string(word->word));
        }
    }
    return json_pack("{s:s,s:o}", "type", "string", "enum", list);
}

static json_t *bucket_schema(void)
{
    json_t *text = json_pack("{s:s,s:s}", "type", "string", "pattern", BUCKET_PATTERN);
    json_t *object = json_pack(
        "{s:s,s:{s:{s:s,s:i},s:{s:s,s:i},s:{s:s,s:i}},s:b}", "type", "object", "properties",
        "size", "type", "integer", "minimum", 0, "one_time_burst", "type", "integer", "minimum", 0,
        "refill_ms", "type", "integer", "minimum", 1, "additionalProperties", 0);

    return json_pack("{s:[o,o]}", "anyOf", text, object);
}

static json_t *list_schema(const struct config_field *field)
{
    return json_pack("{s:s,s:I,s:o}", "type", "array", "maxItems", (json_int_t)field->max, "items",
                     group_schema(field->group));
}

static json_t *type_schema(const struct config_field *field)
{
    switch ((enum field_type)field->type) {
    case FIELD_STRING:
    case FIELD_TAP:
        return json_pack("{s:s}", "type", "string");
    case FIELD_NAME:
        return json_pack("{s:s,s:i}", "type", "string", "maxLength", field->size - 1);
    case FIELD_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_NUMBER:
        return json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", (json_int_t)field->min,
                         "maximum", (json_int_t)field->max);
    case FIELD_SIZE:
        return json_pack("{s:[{s:s,s:i},{s:s,s:s}]}", "anyOf", "type", "integer", "minimum", 0,
                         "type", "string", "pattern", SIZE_PATTERN);
    case FIELD_WORD:
        return words_schema(field->words);
    case FIELD_MAC:
        return json_pack("{s:s,s:s}", "type", "string", "pattern",
                         "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$");
    case FIELD_BUCKET:
        return bucket_schema();
    case FIELD_GROUP:
        return group_schema(field->group);
    case FIELD_LIST:
        return list_schema(field);
    }
    return NULL;
}

static json_t *group_schema(const struct config_group *group)
{
    json_t *properties = json_object();
    json_t *schema = json_pack("{s:s,s:s,s:b}", "description", group->help, "type", "object",
                               "additionalProperties", 0);

    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        json_t *described = json_pack("{s:s}", "description", field->help);
        json_t *type = type_schema(field);

        json_object_update(described, type);
        json_decref(type);
        json_object_set_new(properties, field->key, described);
    }
    if (group->required != NULL) {
        json_object_set_new(schema, "required", json_pack("[s]", group->required));
    }
    json_object_set_new(schema, "properties", properties);
    return schema;
}

char *config_schema(void)
{
    json_t *schema = json_pack("{s:s,s:s}", "$schema",
                               "https://json-schema.org/draft/2020-12/schema", "title",
                               "Bothy VM");
    json_t *vm = group_schema(&config_vm_group);
    char *text;

    json_object_update(schema, vm);
    json_decref(vm);
    text = json_dumps(schema, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(schema);
    return text;
}
