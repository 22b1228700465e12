/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments against the tables: -x VALUE, -xVALUE, --name VALUE, --name=VALUE, --no-name; options
 * and operands in any order, "--" ends the options. What others' programs call differently is told
 * what it is called here.
 */
#include "vmm/cli/cli.h"
#include "vmm/config/nearest.h"
#include <stdio.h>
#include <string.h>

#define SHOWN 80

struct hint {
    const char *word;
    const char *advice;
};

/* Flags of kvmtool and QEMU that mean something else here, or nothing. */
static const struct hint hints[] = {
    {"--sdl", "there is no display; the guest has a serial port and a virtio console"},
    {"--gtk", "there is no display; the guest has a serial port and a virtio console"},
    {"--vnc", "there is no display; the guest has a serial port and a virtio console"},
    {"-nographic", "there never is a display; leave it out"},
    {"-display", "there is no display; leave it out"},
    {"-kernel", "write -k FILE or --kernel FILE"},
    {"-initrd", "write -i FILE or --initrd FILE"},
    {"-append", "write -p TEXT or --cmdline TEXT"},
    {"-dtb", "write --dtb FILE"},
    {"-smp", "write -c N or --cpus N"},
    {"-cpu", "write --cpu NAME"},
    {"-machine", "there is one machine, QEMU's virt; leave it out"},
    {"-drive", "write -d FILE or --disk path=FILE,..."},
    {"-netdev", "write -n user or --net tap=NAME"},
    {"-nic", "write -n user or --net tap=NAME"},
    {"-serial", "write --serial stdio, file=FILE, socket or none"},
    {"-name", "write --name NAME"},
    {"-bios", "write -k FILE; U-Boot is loaded like a kernel"},
    {"-device", "write --disk, --net, --rng, --balloon or --vsock"},
    {"-enable-kvm", "KVM is always used; leave it out"},
    {"--hugetlbfs", "write --memory size=...,hugepages=2M"},
    {"--9p", "shared directories aren't there; use a disk or the network"},
    {"--vcpu-affinity", "write --cpus n=...,affinity=0-3"},
    {"--virtio-transport", "there is one, virtio-mmio; leave it out"},
    {"--no-dhcp", "the kernel's parameters are only those of --cmdline; leave it out"},
    {"--force-pci", "devices are on virtio-mmio; leave it out"},
    {"--debug", "write --log-level debug"},
};

bool cli_value_is_optional(const char *value)
{
    return value != NULL && value[0] == '[';
}

bool cli_field_can_be_off(const struct config_field *field)
{
    return field->type == FIELD_BOOL || (field->type == FIELD_GROUP && field->group->off != NULL);
}

const char *cli_field_name(const struct config_field *field, char *ret_name, size_t size)
{
    size_t i;

    if (field->option != NULL) {
        return field->option;
    }
    for (i = 0; field->key[i] != '\0' && i + 1 < size; i++) {
        ret_name[i] = field->key[i] == '_' ? '-' : field->key[i];
    }
    ret_name[i] = '\0';
    return ret_name;
}

/* What stands for the value, NULL if the field takes none. */
static const char *field_value(const struct config_field *field)
{
    if (field->type == FIELD_BOOL) {
        return "[on|off]";
    }
    return field->value != NULL ? field->value : "WORD";
}

static const struct config_field *find_field(const char *name, size_t length)
{
    for (const struct config_field *field = config_vm_group.fields; field->key != NULL; field++) {
        if (field->option != NULL && strlen(field->option) == length &&
            memcmp(field->option, name, length) == 0) {
            return field;
        }
    }
    return config_find_field(&config_vm_group, name, length, true);
}

/* A word of the command line, taken apart. */
struct word {
    const char *name; /* behind the dashes */
    size_t length;
    const char *value; /* behind '=', or NULL */
};

static bool find_long(const struct cli_command *command, const struct word *word,
                      struct cli_given *ret_given)
{
    const struct config_field *field = NULL;
    bool off = false;

    for (const struct cli_option *option = command->options; option->name != NULL; option++) {
        if (strlen(option->name) == word->length &&
            memcmp(option->name, word->name, word->length) == 0) {
            *ret_given = (struct cli_given){.option = option};
            return true;
        }
    }
    if (command->takes_fields) {
        field = find_field(word->name, word->length);
        if (field == NULL && word->length > 3 && memcmp(word->name, "no-", 3) == 0) {
            field = find_field(word->name + 3, word->length - 3);
            field = field != NULL && cli_field_can_be_off(field) ? field : NULL;
            off = true;
        }
    }
    *ret_given = (struct cli_given){.field = field, .off = off};
    return field != NULL;
}

static bool find_short(const struct cli_command *command, char letter, struct cli_given *ret_given)
{
    for (const struct cli_option *option = command->options; option->name != NULL; option++) {
        if (option->letter == letter) {
            *ret_given = (struct cli_given){.option = option};
            return true;
        }
    }
    if (!command->takes_fields) {
        return false;
    }
    for (const struct config_field *field = config_vm_group.fields; field->key != NULL; field++) {
        if (field->letter == letter) {
            *ret_given = (struct cli_given){.field = field};
            return true;
        }
    }
    return false;
}

static const char *find_hint(const char *argument, size_t length)
{
    for (unsigned i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (strlen(hints[i].word) == length && memcmp(hints[i].word, argument, length) == 0) {
            return hints[i].advice;
        }
    }
    return NULL;
}

static bool unknown_option(const struct cli_command *command, const char *argument,
                           const struct word *word, struct error *error)
{
    int dashes = argument[1] == '-' ? 2 : 1;
    struct nearest nearest;
    char names[40][CLI_NAME_MAX];
    unsigned count = 0;

    nearest_init(&nearest, word->name, word->length);
    for (const struct cli_option *option = command->options; option->name != NULL; option++) {
        nearest_offer(&nearest, option->name);
    }
    if (command->takes_fields) {
        for (const struct config_field *field = config_vm_group.fields;
             field->key != NULL && count < 40; field++, count++) {
            nearest_offer(&nearest, cli_field_name(field, names[count], CLI_NAME_MAX));
        }
    }
    if (nearest.best != NULL) {
        return error_set(error, EXIT_CODE_USAGE, "unknown option %.*s: did you mean --%s?",
                         (int)word->length + dashes < SHOWN ? (int)word->length + dashes : SHOWN,
                         argument, nearest.best);
    }
    return error_set(error, EXIT_CODE_USAGE, "unknown option %.*s; bothy help %s lists all",
                     (int)word->length + dashes < SHOWN ? (int)word->length + dashes : SHOWN,
                     argument, command->name);
}

/* Which option it is, and where its value begins, if it is in the same word. */
static bool take_word(const struct cli_command *command, const char *argument,
                      struct cli_given *ret_given, struct word *ret_word, struct error *error)
{
    bool is_long = argument[1] == '-';
    const char *name = argument + (is_long ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    struct word word = {name, length, equals != NULL ? equals + 1 : NULL};
    const char *hint = NULL;

    *ret_word = word;
    if (is_long && find_long(command, &word, ret_given)) {
        return true;
    }
    if (command->takes_fields) {
        hint = find_hint(argument, length + (is_long ? 2 : 1));
    }
    if (hint != NULL) {
        return error_set(error, EXIT_CODE_USAGE, "%.*s: %s", (int)length + (is_long ? 2 : 1),
                         argument, hint);
    }
    if (!is_long && find_short(command, argument[1], ret_given)) {
        ret_word->length = 1;
        ret_word->value = argument[2] == '\0' ? NULL : argument + (argument[2] == '=' ? 3 : 2);
        return true;
    }
    return unknown_option(command, argument, &word, error);
}

/* Takes the value from this or the next argument; *index moves. */
static bool take_value(int argc, char **argv, int *index, struct cli_given *given,
                       const struct word *word, struct error *error)
{
    const char *value =
        given->option != NULL ? given->option->value : field_value(given->field);
    int dashes = argv[*index][1] == '-' ? 2 : 1;

    given->value = word->value;
    if (given->off || value == NULL) {
        if (word->value != NULL) {
            return error_set(error, EXIT_CODE_USAGE, "%.*s takes no value, but has \"%.*s\"",
                             (int)word->length + dashes, argv[*index], SHOWN, word->value);
        }
        return true;
    }
    if (word->value != NULL || cli_value_is_optional(value)) {
        return true;
    }
    if (*index + 1 >= argc) {
        return error_set(error, EXIT_CODE_USAGE, "%.*s needs a value: %s",
                         (int)word->length + dashes, argv[*index], value);
    }
    given->value = argv[++*index];
    return true;
}

static bool take_operand(const struct cli_command *command, const char *argument,
                         struct cli *cli, struct error *error)
{
    if (cli->nr_operands < command->most) {
        cli->operands[cli->nr_operands++] = argument;
        return true;
    }
    if (command->most == 0) {
        return error_set(error, EXIT_CODE_USAGE,
                         "\"%.*s\": bothy %s takes only options; bothy help %s lists them", SHOWN,
                         argument, command->name, command->name);
    }
    return error_set(error, EXIT_CODE_USAGE, "\"%.*s\" is too much: bothy %s %s", SHOWN, argument,
                     command->name, command->operands);
}

static bool check_operands(const struct cli *cli, struct error *error)
{
    const struct cli_command *command = cli->command;

    if (cli->nr_operands >= command->least || cli_find(cli, CLI_HELP) != NULL) {
        return true;
    }
    return error_set(error, EXIT_CODE_USAGE, "something is missing: bothy %s %s", command->name,
                     command->operands);
}

bool cli_parse(const struct cli_command *command, int argc, char **argv, struct cli *ret_cli,
               struct error *error)
{
    bool options = true;

    ret_cli->command = command;
    ret_cli->nr_given = 0;
    ret_cli->nr_operands = 0;
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        struct cli_given given;
        struct word word;

        if (!options || argument[0] != '-' || argument[1] == '\0') {
            if (!take_operand(command, argument, ret_cli, error)) {
                return false;
            }
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            options = false;
            continue;
        }
        if (!take_word(command, argument, &given, &word, error) ||
            !take_value(argc, argv, &i, &given, &word, error)) {
            return false;
        }
        if (ret_cli->nr_given == CLI_GIVEN_MAX) {
            return error_set(error, EXIT_CODE_USAGE, "more than %u options; use --config FILE",
                             CLI_GIVEN_MAX);
        }
        ret_cli->given[ret_cli->nr_given++] = given;
    }
    return check_operands(ret_cli, error);
}

const struct cli_given *cli_find(const struct cli *cli, enum cli_id id)
{
    for (unsigned i = cli->nr_given; i-- > 0;) {
        if (cli->given[i].option != NULL && cli->given[i].option->id == id) {
            return &cli->given[i];
        }
    }
    return NULL;
}
