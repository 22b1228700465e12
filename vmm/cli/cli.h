/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: a table of commands, each with a table of options; `run` takes the fields of
 * the configuration (vmm/config/fields.h) as options as well. Parsing allocates nothing.
 */
#ifndef VMM_CLI_CLI_H
#define VMM_CLI_CLI_H

#include "vmm/base/error.h"
#include "vmm/config/fields.h"
#include <stdbool.h>
#include <stddef.h>

#define CLI_GIVEN_MAX 128u
#define CLI_OPERANDS_MAX 4u
#define CLI_VERSION "0.3"

enum cli_id {
    CLI_HELP,
    CLI_JSON,
    CLI_TIMEOUT,
    CLI_CONFIG,
    CLI_CPU,
    CLI_DUMP_CONFIG,
    CLI_DUMP_DTB,
    CLI_DUMP_SCHEMA,
};

struct cli_option {
    const char *name;  /* NULL ends a table */
    const char *value; /* what stands for it in help; NULL: takes none */
    const char *help;
    enum cli_id id;
    char letter; /* 0: none */
};

/* One option as it was given: of the command's table, or a field. */
struct cli_given {
    const struct cli_option *option;
    const struct config_field *field;
    const char *value; /* NULL: none was given */
    bool off;          /* --no-FIELD */
};

struct cli {
    const struct cli_command *command;
    struct cli_given given[CLI_GIVEN_MAX];
    unsigned nr_given;
    const char *operands[CLI_OPERANDS_MAX];
    unsigned nr_operands;
};

struct cli_command {
    const char *name; /* NULL ends the table */
    const char *operands; /* in help: "NAME", "[NAME]" */
    const char *summary;
    const char *text; /* what `bothy help NAME` adds; may be NULL */
    const struct cli_option *options;
    unsigned least, most; /* operands */
    bool takes_fields;
    /* The exit code; a sentence in *error is printed by the caller. */
    int (*run)(const struct cli *cli, struct error *error);
};

extern const struct cli_command cli_commands[];

const struct cli_command *cli_find_command(const char *name);
/* argv[0] is the command's name. False and a sentence. */
bool cli_parse(const struct cli_command *command, int argc, char **argv, struct cli *ret_cli,
               struct error *error);
/* The option if it was given, the last one; NULL otherwise. */
const struct cli_given *cli_find(const struct cli *cli, enum cli_id id);
/* The long option of a top-level field: its option, or its key with '-' for '_'. */
const char *cli_field_name(const struct config_field *field, char *ret_name, size_t size);
#define CLI_NAME_MAX 32

/* Whether it takes a value only as --name=value. */
bool cli_value_is_optional(const char *value);
/* Whether --no-NAME exists. */
bool cli_field_can_be_off(const struct config_field *field);

/* On standard output. */
void cli_help(void);
void cli_help_command(const struct cli_command *command);

/* The program: main() without the process. */
int cli_main(int argc, char **argv);

/* The commands. */
int cmd_run(const struct cli *cli, struct error *error);
int cmd_list(const struct cli *cli, struct error *error);
int cmd_stat(const struct cli *cli, struct error *error);
int cmd_pause(const struct cli *cli, struct error *error);
int cmd_resume(const struct cli *cli, struct error *error);
int cmd_stop(const struct cli *cli, struct error *error);
int cmd_kill(const struct cli *cli, struct error *error);
int cmd_console(const struct cli *cli, struct error *error);
int cmd_api(const struct cli *cli, struct error *error);
int cmd_doctor(const struct cli *cli, struct error *error);
int cmd_help(const struct cli *cli, struct error *error);
int cmd_version(const struct cli *cli, struct error *error);

#endif
