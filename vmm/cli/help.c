/* SPDX-License-Identifier: Apache-2.0 */
/* Help, from the same tables that the arguments are read by. */
#include "vmm/cli/cli.h"
#include <stdio.h>
#include <string.h>

#define COLUMN 34
#define WIDTH 98

/* Words of a text into lines of WIDTH, from COLUMN on. */
static void print_wrapped(const char *text)
{
    int column = COLUMN;

    while (*text != '\0') {
        int length = (int)strcspn(text, " ");

        if (column > COLUMN && column + 1 + length > WIDTH) {
            printf("\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

/* "  -x, --name VALUE" up to the column, then what it is. */
static void print_entry(char letter, const char *name, const char *value, const char *help)
{
    char head[128];
    const char *between = value == NULL ? "" : cli_value_is_optional(value) ? "[=" : " ";
    int length;

    if (cli_value_is_optional(value)) {
        value = value[1] == 'M' ? "MIB,...]" : "on|off]";
    }
    length = snprintf(head, sizeof(head), "  %c%c%c --%s%s%s", letter != 0 ? '-' : ' ',
                      letter != 0 ? letter : ' ', letter != 0 ? ',' : ' ', name, between,
                      value != NULL ? value : "");
    printf("%-*s%s", COLUMN, head, length >= COLUMN ? "\n" : "");
    if (length >= COLUMN) {
        printf("%*s", COLUMN, "");
    }
    print_wrapped(help);
}

static const char *words_of(const struct config_field *field, char *ret_text, size_t size)
{
    char *at = ret_text;

    config_list_words(field->words, ret_text, size);
    /* "a, b and c" -> "a|b|c" */
    for (const char *from = ret_text; *from != '\0';) {
        if (strncmp(from, ", ", 2) == 0 || strncmp(from, " and ", 5) == 0) {
            from += *from == ',' ? 2 : 5;
            *at++ = '|';
        } else {
            *at++ = *from++;
        }
    }
    *at = '\0';
    return ret_text;
}

static void print_field(const struct config_field *field)
{
    char name[CLI_NAME_MAX];
    char words[64];
    char help[256];
    const char *value = field->value;

    if (field->type == FIELD_BOOL) {
        value = "[on|off]";
    } else if (field->type == FIELD_WORD) {
        value = words_of(field, words, sizeof(words));
    }
    snprintf(help, sizeof(help), "%s%s", field->help,
             cli_field_can_be_off(field) ? "; --no-... for not" : "");
    print_entry(field->letter, cli_field_name(field, name, sizeof(name)), value, help);
}

static void print_keys(const struct config_field *option)
{
    const struct config_group *group = option->group;
    char name[CLI_NAME_MAX];

    printf("\nKeys of --%s%s%s%s:\n", cli_field_name(option, name, sizeof(name)),
           group->first != NULL ? " (" : "", group->first != NULL ? group->first : "",
           group->first != NULL ? " may stand first without its name)" : "");
    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        const char *value = field->value;
        char words[64];
        char head[128];
        int length;

        if (field->type == FIELD_BOOL) {
            value = "on|off";
        } else if (field->type == FIELD_WORD) {
            value = words_of(field, words, sizeof(words));
        }
        length = snprintf(head, sizeof(head), "      %s=%s", field->key, value);
        printf("%-*s", COLUMN, head);
        if (length >= COLUMN) {
            printf("\n%*s", COLUMN, "");
        }
        print_wrapped(field->help);
    }
}

void cli_help(void)
{
    puts("bothy - virtual machines over KVM\n\nUsage: bothy COMMAND [OPTIONS] [OPERANDS]\n");
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        char head[64];

        snprintf(head, sizeof(head), "  %s %s", command->name, command->operands);
        printf("%-*s%s\n", COLUMN, head, command->summary);
    }
    puts("\nbothy help COMMAND has a command's options, bothy(1) everything.\n\n"
         "Exit codes: 0 fine, or the guest switched itself off; 1 the guest crashed, or a request "
         "was\nrefused; 2 wrong usage; 3 the host lacks something; 4 a file of the guest is "
         "missing or unusable;\n5 no VM of that name runs, or one does already; 6 a fault of "
         "Bothy's; 128 + N ended by signal N.");
}

void cli_help_command(const struct cli_command *command)
{
    printf("bothy %s - %s\n\nUsage: bothy %s%s%s%s%s\n\n", command->name, command->summary,
           command->name, command->options != NULL ? " [OPTIONS]" : "",
           command->operands[0] != '\0' ? " " : "", command->operands, "");
    if (command->takes_fields) {
        for (const struct config_field *field = config_vm_group.fields; field->key != NULL;
             field++) {
            print_field(field);
        }
    }
    for (const struct cli_option *option = command->options; option->name != NULL; option++) {
        print_entry(option->letter, option->name, option->value, option->help);
    }
    if (command->takes_fields) {
        for (const struct config_field *field = config_vm_group.fields; field->key != NULL;
             field++) {
            if (field->type == FIELD_GROUP || field->type == FIELD_LIST) {
                print_keys(field);
            }
        }
        puts("\nA value with a comma stands in quotation marks, or has \"\\,\" for it. Sizes have "
             "K, M, G or T.");
    }
    if (command->text != NULL) {
        printf("\n%s", command->text);
    }
}
