/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of everything that can be configured. The command line, key=value lists, JSON in,
 * JSON out, the schema, `bothy help run`, and the tests of man page and completions all read it.
 */
#ifndef VMM_CONFIG_FIELDS_H
#define VMM_CONFIG_FIELDS_H

#include "vmm/base/error.h"
#include "vmm/config/config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_STRING, /* char *, owned; NULL when not given */
    FIELD_NAME,   /* char[size]; empty when not given */
    FIELD_BOOL,
    FIELD_NUMBER, /* an integer of `size` bytes, from min to max */
    FIELD_SIZE,   /* uint64_t, bytes; in text with K, M, G or T */
    FIELD_WORD,   /* one of `words`, in an integer of `size` bytes */
    FIELD_MAC,    /* config_net's */
    FIELD_TAP,    /* config_net's: an interface's name, or "new" */
    FIELD_BUCKET, /* struct config_bucket */
    FIELD_GROUP,  /* a struct with fields of its own, inside */
    FIELD_LIST,   /* an array of such structs; their number is at `count` */
};

enum field_flag {
    FIELD_INVERTED = 1, /* the bool says the opposite of the key */
    FIELD_IN_MIB = 2,   /* text without a unit is MiB (as with kvmtool), not bytes */
    FIELD_MAYBE = 4,    /* a negative number is one that wasn't given */
    FIELD_NO_OPTION = 8, /* JSON only */
};

/* A word that stands for a value. */
struct config_word {
    const char *word; /* NULL ends the list */
    uint32_t value;
    bool alias; /* understood, but neither told nor written */
};

struct config_group;

struct config_field {
    const char *key;     /* in JSON; in text '-' may stand for '_' */
    const char *option;  /* top level: the long option, if it isn't the key with '-' for '_' */
    const char *aliases; /* further names in text, separated by spaces; NULL: none */
    const char *value;   /* what stands for the value in help */
    const char *help;    /* one line */
    uint8_t type;        /* enum field_type */
    uint8_t flags;
    char letter;         /* top level: the short option; 0: none */
    uint16_t offset;
    uint16_t size; /* of the member; FIELD_LIST: of an element */
    uint16_t count; /* FIELD_LIST: offset of the number of elements */
    uint64_t min, max; /* FIELD_NUMBER; FIELD_LIST: max elements */
    const struct config_word *words;
    const struct config_group *group;
};

struct config_group {
    const char *noun; /* "disk": in messages */
    const char *help; /* JSON Schema's description */
    const struct config_field *fields; /* ends with key NULL */
    const char *first; /* the key of a first value without one, in text; NULL: none */
    const char *required; /* the key that must be there; NULL: none */
    /* Defaults of an element of a list; NULL: zeroes. */
    void (*init)(void *object);
    /* Called after keys were set, with a bit for each that was given; may be NULL. */
    void (*finish)(void *object, uint64_t given, size_t index);
    /* Undo: as if it had not been given; `--no-OPTION`. NULL: there is no such option. */
    void (*off)(void *object);
    /* Whether it is there; NULL: always. */
    bool (*present)(const void *object);
};

/* The whole VM. */
extern const struct config_group config_vm_group;

/* The field of that key or alias (length: of name); '-' counts as '_' if loose. NULL: none. */
const struct config_field *config_find_field(const struct config_group *group, const char *name,
                                             size_t length, bool loose);
/* The key that is nearest to a wrong one, or NULL. */
const char *config_nearest_key(const struct config_group *group, const char *name, size_t length);
/* "path, readonly and direct", cut with "..." if it doesn't fit. */
void config_list_keys(const struct config_group *group, char *ret_text, size_t size);
void config_list_words(const struct config_word *words, char *ret_text, size_t size);

static inline void *config_member(const struct config_field *field, void *object)
{
    return (char *)object + field->offset;
}

static inline const void *config_member_const(const struct config_field *field, const void *object)
{
    return (const char *)object + field->offset;
}

/* Integers of 1, 2, 4 or 8 bytes. */
uint64_t config_load(const struct config_field *field, const void *object);
void config_store(const struct config_field *field, void *object, uint64_t value);
const char *config_word_of(const struct config_field *field, const void *object);
bool config_word_value(const struct config_field *field, const char *text, uint32_t *ret_value);

/* A new element at the end of a list, with its defaults; NULL and a sentence if it is full. The
 * caller counts it with config_list_commit(). */
void *config_list_new(const struct config_field *field, void *object, const char *where,
                      struct error *error);
void config_list_commit(const struct config_field *field, void *object, uint64_t given);

/* Free what an object of this group owns. */
void config_group_release(const struct config_group *group, void *object);

/* One value. where: how messages name it, e.g. "--disk: path" or "vm.json: disks[0].path". */
bool config_set_text(const struct config_field *field, void *object, const char *text,
                     const char *where, struct error *error);
bool config_set_string(const struct config_field *field, void *object, const char *text,
                       const char *where, struct error *error);
bool config_set_number(const struct config_field *field, void *object, uint64_t value,
                       bool negative, const char *where, struct error *error);

/* "512M" -> bytes. unit: of a number without a letter; 0: there must be one. */
bool config_parse_size(const char *text, uint64_t unit, uint64_t *ret_bytes);
/* Bytes in the largest unit that divides them, "512M". */
void config_format_size(uint64_t bytes, char *ret_text, size_t size);
/* "SIZE[+BURST][/PERIOD]", e.g. "10M", "100/100ms", "10M+50M/1s". */
bool config_parse_bucket(const char *text, struct config_bucket *ret_bucket);
/* "0-3,8" -> each CPU in turn: the number of CPUs named, or -1; ret_cpus may be NULL. */
int config_parse_cpus(const char *text, uint32_t *ret_cpus, size_t max);

/* "key=value,key,..." into an object of the group. where: "--disk". See keys.c. */
bool config_parse_keys(const struct config_group *group, void *object, const char *text,
                       const char *where, uint64_t *ret_given, struct error *error);
/* Whether the key that a group must have is among those given. */
bool config_check_required(const struct config_group *group, uint64_t given, const char *where,
                           struct error *error);
/* A top-level field from the command line. */
bool config_set_option(const struct config_field *field, struct vm_config *config,
                       const char *text, const char *where, struct error *error);

/* docs/vm.schema.json; the caller's to free. */
char *config_schema(void);

#endif
