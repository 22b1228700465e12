/* SPDX-License-Identifier: Apache-2.0 */
/* Finding one's way in the table of fields, and reading and writing what it describes. */
#include "vmm/config/fields.h"
#include "vmm/config/nearest.h"
#include <stdlib.h>
#include <string.h>

static bool same_name(const char *known, const char *name, size_t length, bool loose)
{
    for (size_t i = 0; i < length; i++) {
        char c = loose && name[i] == '-' ? '_' : name[i];

        if (known[i] == '\0' || known[i] == ' ' || known[i] != c) {
            return false;
        }
    }
    return known[length] == '\0' || known[length] == ' ';
}

static bool is_alias(const char *aliases, const char *name, size_t length)
{
    while (aliases != NULL && *aliases != '\0') {
        if (same_name(aliases, name, length, true)) {
            return true;
        }
        aliases += strcspn(aliases, " ");
        aliases += *aliases == ' ' ? 1 : 0;
    }
    return false;
}

const struct config_field *config_find_field(const struct config_group *group, const char *name,
                                             size_t length, bool loose)
{
    if (length == 0) {
        return NULL;
    }
    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        if (same_name(field->key, name, length, loose) ||
            (loose && is_alias(field->aliases, name, length))) {
            return field;
        }
    }
    return NULL;
}

const char *config_nearest_key(const struct config_group *group, const char *name, size_t length)
{
    struct nearest nearest;

    nearest_init(&nearest, name, length);
    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        nearest_offer(&nearest, field->key);
    }
    return nearest.best;
}

/* "a", "a and b", "a, b and c"; what doesn't fit is left out. */
static void list_add(char *text, size_t size, const char *word, bool first, bool last)
{
    const char *between = first ? "" : last ? " and " : ", ";
    size_t used = strlen(text);

    if (used + strlen(between) + strlen(word) + 1 <= size) {
        strcpy(text + used, between);
        strcat(text + used, word);
    }
}

void config_list_keys(const struct config_group *group, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        list_add(ret_text, size, field->key, field == group->fields, field[1].key == NULL);
    }
}

void config_list_words(const struct config_word *words, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    for (const struct config_word *word = words; word->word != NULL && !word->alias; word++) {
        bool last = word[1].word == NULL || word[1].alias;

        list_add(ret_text, size, word->word, word == words, last);
    }
}

uint64_t config_load(const struct config_field *field, const void *object)
{
    const void *member = config_member_const(field, object);

    switch (field->size) {
    case 1:
        return *(const uint8_t *)member;
    case 2:
        return *(const uint16_t *)member;
    case 4:
        return *(const uint32_t *)member;
    default:
        return *(const uint64_t *)member;
    }
}

void config_store(const struct config_field *field, void *object, uint64_t value)
{
    void *member = config_member(field, object);

    switch (field->size) {
    case 1:
        *(uint8_t *)member = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)member = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)member = (uint32_t)value;
        break;
    default:
        *(uint64_t *)member = value;
        break;
    }
}

const char *config_word_of(const struct config_field *field, const void *object)
{
    uint64_t value = config_load(field, object);

    for (const struct config_word *word = field->words; word->word != NULL; word++) {
        if (word->value == value) {
            return word->word;
        }
    }
    return NULL;
}

bool config_word_value(const struct config_field *field, const char *text, uint32_t *ret_value)
{
    for (const struct config_word *word = field->words; word->word != NULL; word++) {
        if (strcmp(word->word, text) == 0) {
            *ret_value = word->value;
            return true;
        }
    }
    return false;
}

static uint32_t *list_count(const struct config_field *field, void *object)
{
    return (uint32_t *)(void *)((char *)object + field->count);
}

void *config_list_new(const struct config_field *field, void *object, const char *where,
                      struct error *error)
{
    uint32_t count = *list_count(field, object);
    void *element;

    if (count >= field->max) {
        error_set(error, EXIT_CODE_USAGE, "%s: too many: a VM can have %u of them", where,
                  (unsigned)field->max);
        return NULL;
    }
    element = (char *)config_member(field, object) + (size_t)count * field->size;
    memset(element, 0, field->size);
    if (field->group->init != NULL) {
        field->group->init(element);
    }
    return element;
}

void config_list_commit(const struct config_field *field, void *object, uint64_t given)
{
    uint32_t *count = list_count(field, object);
    void *element = (char *)config_member(field, object) + (size_t)*count * field->size;

    if (field->group->finish != NULL) {
        field->group->finish(element, given, *count);
    }
    (*count)++;
}

void config_group_release(const struct config_group *group, void *object)
{
    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        char *member = config_member(field, object);

        if (field->type == FIELD_STRING || field->type == FIELD_TAP) {
            free(*(char **)(void *)member);
            *(char **)(void *)member = NULL;
        } else if (field->type == FIELD_GROUP) {
            config_group_release(field->group, member);
        } else if (field->type == FIELD_LIST) {
            for (uint32_t i = 0; i < *list_count(field, object); i++) {
                config_group_release(field->group, member + (size_t)i * field->size);
            }
        }
    }
}
