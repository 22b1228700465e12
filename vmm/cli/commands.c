/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, the way into each, and what is said when one fails. */
#include "vmm/base/log.h"
#include "vmm/cli/cli.h"
#include "vmm/config/nearest.h"
#include <stdio.h>
#include <string.h>

#define HELP_OPTION {"help", NULL, "print this", CLI_HELP, 'h'}
#define JSON_OPTION {"json", NULL, "print JSON", CLI_JSON, 0}

static const struct cli_option run_options[] = {
    {"config", "FILE", "take the VM from this JSON file (- is standard input); options on the "
                       "command line change or add to it", CLI_CONFIG, 0},
    {"cpu", "NAME", "CPU profile, the same as --cpus profile=NAME", CLI_CPU, 0},
    {"dump-config", NULL, "print what would run as JSON, and end", CLI_DUMP_CONFIG, 0},
    {"dump-dtb", "FILE", "write the guest's device tree (- is standard output), and end",
     CLI_DUMP_DTB, 0},
    {"dump-schema", NULL, "print the JSON Schema of the configuration, and end", CLI_DUMP_SCHEMA,
     0},
    HELP_OPTION,
    {0},
};

static const struct cli_option json_options[] = {JSON_OPTION, HELP_OPTION, {0}};
static const struct cli_option help_options[] = {HELP_OPTION, {0}};
static const struct cli_option stop_options[] = {
    {"timeout", "SECONDS", "how long to wait for the guest to shut down (default 60)", CLI_TIMEOUT,
     't'},
    JSON_OPTION,
    HELP_OPTION,
    {0},
};

static const char run_text[] =
    "Keys on the console: Ctrl-A x ends the VM, Ctrl-A c switches between serial port and\n"
    "virtio console, Ctrl-A b sends a break, Ctrl-A h helps, Ctrl-A Ctrl-A is a Ctrl-A.\n"
    "\n"
    "SIGINT and SIGTERM press the guest's power button; a second one ends the VM.\n"
    "\n"
    "Examples:\n"
    "  bothy run -k Image -i initrd -c 2 -m 512M -p console=ttyAMA0 -d disk.img -n user\n"
    "  bothy run -k u-boot.bin --disk path=debian.img,direct=on --net tap=tap0,vhost=on\n"
    "  bothy run --name web --config web.json --serial socket\n";

static const char api_text[] =
    "METHOD is GET, PUT or PATCH; BODY is JSON, - reads it from standard input. The answer's body\n"
    "goes to standard output; exit code 1 if the VM refused.\n"
    "\n"
    "Example:\n"
    "  bothy api web PATCH /vm '{\"state\": \"Paused\"}'\n";

static const char console_text[] =
    "Keys: Ctrl-A x detaches, Ctrl-A c switches between serial port and virtio console,\n"
    "Ctrl-A b sends a break, Ctrl-A h helps, Ctrl-A Ctrl-A is a Ctrl-A.\n";

const struct cli_command cli_commands[] = {
    {"run", "", "run a VM", run_text, run_options, 0, 0, true, cmd_run},
    {"list", "", "the VMs that run", NULL, json_options, 0, 0, false, cmd_list},
    {"stat", "[NAME]", "what a VM did: exits, disks, networks", NULL, json_options, 0, 1, false,
     cmd_stat},
    {"pause", "NAME", "stop a VM's CPUs", NULL, json_options, 1, 1, false,
     cmd_pause},
    {"resume", "NAME", "let a paused VM go on", NULL, json_options, 1, 1, false, cmd_resume},
    {"stop", "NAME", "press a VM's power button and wait for its end", NULL, stop_options, 1, 1,
     false, cmd_stop},
    {"kill", "NAME", "end a VM at once; the guest isn't asked", NULL, json_options, 1, 1, false,
     cmd_kill},
    {"console", "NAME", "attach to a VM's console", console_text, help_options, 1, 1, false,
     cmd_console},
    {"api", "NAME METHOD PATH [BODY]", "send one request to a VM's API", api_text, json_options, 3,
     4, false, cmd_api},
    {"doctor", "", "what this host can do, what it lacks, how to mend it", NULL, json_options, 0, 0,
     false, cmd_doctor},
    {"help", "[COMMAND]", "this, or a command's options", NULL, help_options, 0, 1, false,
     cmd_help},
    {"version", "", "print the version", NULL, help_options, 0, 0, false, cmd_version},
    {0},
};

const struct cli_command *cli_find_command(const char *name)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0) {
            return command;
        }
    }
    return NULL;
}

static bool unknown_command(const char *name, struct error *error)
{
    struct nearest nearest;

    nearest_init(&nearest, name, strlen(name));
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        nearest_offer(&nearest, command->name);
    }
    if (name[0] == '-') {
        return error_set(error, EXIT_CODE_USAGE,
                         "%.80s: a command comes first, for instance: bothy run %.80s ... (bothy "
                         "help lists them)", name, name);
    }
    if (nearest.best != NULL) {
        return error_set(error, EXIT_CODE_USAGE, "unknown command %.80s: did you mean %s?", name,
                         nearest.best);
    }
    return error_set(error, EXIT_CODE_USAGE, "unknown command %.80s; bothy help lists them", name);
}

int cmd_help(const struct cli *cli, struct error *error)
{
    const struct cli_command *command;

    if (cli->nr_operands == 0) {
        cli_help();
        return EXIT_CODE_OK;
    }
    command = cli_find_command(cli->operands[0]);
    if (command == NULL) {
        unknown_command(cli->operands[0], error);
        return EXIT_CODE_USAGE;
    }
    cli_help_command(command);
    return EXIT_CODE_OK;
}

int cmd_version(const struct cli *cli, struct error *error)
{
    (void)cli;
    (void)error;
    puts("bothy " CLI_VERSION);
    return EXIT_CODE_OK;
}

static const struct cli_command *choose(int argc, char **argv, struct error *error)
{
    const struct cli_command *command;

    if (argc < 2) {
        error_set(error, EXIT_CODE_USAGE,
                  "no command; bothy help lists them, bothy run --help says how to run a VM");
        return NULL;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return cli_find_command("help");
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        return cli_find_command("version");
    }
    command = cli_find_command(argv[1]);
    if (command == NULL) {
        unknown_command(argv[1], error);
    }
    return command;
}

static int dispatch(int argc, char **argv, struct error *error)
{
    const struct cli_command *command = choose(argc, argv, error);
    struct cli cli;

    if (command == NULL || !cli_parse(command, argc - 1, argv + 1, &cli, error)) {
        return (int)error->code;
    }
    if (cli_find(&cli, CLI_HELP) != NULL) {
        cli_help_command(command);
        return EXIT_CODE_OK;
    }
    return command->run(&cli, error);
}

int cli_main(int argc, char **argv)
{
    struct error error = ERROR_NONE;
    int code = dispatch(argc, argv, &error);

    if (error.code != EXIT_CODE_OK) {
        log_error("%s", error.text);
    }
    return code;
}
