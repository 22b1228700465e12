/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments against the tables: each way to write an option, and that the tables are sound. */
#include "vmm/cli/cli.h"
#include "vmm/cli/collect.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cli cli;
static struct error error;

#define ARGS(...) (sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
                  (const char *[]){__VA_ARGS__}

static bool parse(const char *command, size_t count, const char **arguments)
{
    char *argv[40];

    assert_true(count < 40);
    argv[0] = (char *)(uintptr_t)command;
    for (size_t i = 0; i < count; i++) {
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    }
    error = (struct error)ERROR_NONE;
    return cli_parse(cli_find_command(command), (int)count + 1, argv, &cli, &error);
}

static const char *value_of(const char *key)
{
    for (unsigned i = 0; i < cli.nr_given; i++) {
        if (cli.given[i].field != NULL && strcmp(cli.given[i].field->key, key) == 0) {
            return cli.given[i].value;
        }
    }
    return NULL;
}

static void test_ways_to_write_a_value(void **state)
{
    (void)state;
    assert_true(parse("run", ARGS("-k", "a", "-ib", "--memory", "64", "--cpus=2", "-p=x y",
                                  "--disk", "-")));
    assert_int_equal(cli.nr_given, 6);
    assert_string_equal(value_of("kernel"), "a");
    assert_string_equal(value_of("initrd"), "b");
    assert_string_equal(value_of("memory"), "64");
    assert_string_equal(value_of("cpus"), "2");
    assert_string_equal(value_of("cmdline"), "x y");
    assert_string_equal(value_of("disks"), "-");
}

static void test_names_of_kvmtool(void **state)
{
    (void)state;
    assert_true(parse("run", ARGS("--mem", "64", "--params", "p", "--network", "mode=user",
                                  "--irqchip", "gicv3", "--api-sock", "s", "--log_level", "x")));
    assert_string_equal(value_of("memory"), "64");
    assert_string_equal(value_of("cmdline"), "p");
    assert_string_equal(value_of("nets"), "mode=user");
    assert_string_equal(value_of("gic"), "gicv3");
    assert_string_equal(value_of("api_socket"), "s");
    assert_string_equal(value_of("log_level"), "x");
}

static void test_switches_take_no_next_word(void **state)
{
    (void)state;
    assert_true(parse("run", ARGS("--rng", "--balloon", "--no-its", "--wait=off")));
    assert_int_equal(cli.nr_given, 4);
    assert_null(cli.given[0].value);
    assert_null(cli.given[1].value);
    assert_true(cli.given[2].off);
    assert_string_equal(cli.given[3].value, "off");
    assert_false(parse("run", ARGS("--balloon", "64")));
    assert_string_equal(error.text, "\"64\": bothy run takes only options; bothy help run lists "
                                    "them");
}

static void test_operands(void **state)
{
    (void)state;
    assert_true(parse("api", ARGS("web", "--json", "PUT", "/x", "-")));
    assert_int_equal(cli.nr_operands, 4);
    assert_string_equal(cli.operands[3], "-");
    assert_non_null(cli_find(&cli, CLI_JSON));
    assert_true(parse("console", ARGS("--", "-x")));
    assert_string_equal(cli.operands[0], "-x");
    assert_true(parse("console", ARGS("--help")));
    assert_false(parse("console", 0, NULL));
}

static void test_the_last_one_counts(void **state)
{
    struct vm_config config;

    (void)state;
    vm_config_init(&config);
    assert_true(parse("run", ARGS("-k", "a", "-k", "b", "--balloon=16", "--no-balloon", "--no-rng",
                                  "--rng", "--no-jail", "--vsock", "5", "--cpu", "v8", "-c4")));
    assert_true(cli_collect(&cli, &config, &error));
    assert_string_equal(config.kernel, "b");
    assert_false(config.balloon.present);
    assert_false(config.no_rng);
    assert_true(config.jail.off);
    assert_int_equal(config.vsock.cid, 5);
    assert_string_equal(config.cpus.profile, "v8");
    assert_int_equal(config.cpus.count, 4);
    vm_config_release(&config);
}

static void test_too_many(void **state)
{
    static char word[] = "--rng";
    char *argv[CLI_GIVEN_MAX + 3];

    (void)state;
    for (unsigned i = 0; i < CLI_GIVEN_MAX + 2; i++) {
        argv[i] = word;
    }
    error = (struct error)ERROR_NONE;
    assert_true(cli_parse(cli_find_command("run"), CLI_GIVEN_MAX + 1, argv, &cli, &error));
    assert_false(cli_parse(cli_find_command("run"), CLI_GIVEN_MAX + 2, argv, &cli, &error));
    assert_string_equal(error.text, "more than 128 options; use --config FILE");
}

/* No two options of a command have the same name or letter; each field of a group has a place in
 * the 64 bits of what was given, and lies within what holds it. */
static void test_tables(void **state)
{
    const char *names[80];
    char buffers[80][CLI_NAME_MAX];
    bool letters[128] = {false};
    unsigned count = 0;

    (void)state;
    for (const struct cli_option *option = cli_find_command("run")->options; option->name != NULL;
         option++) {
        names[count++] = option->name;
        letters[(int)option->letter] = true;
    }
    for (const struct config_field *field = config_vm_group.fields; field->key != NULL; field++) {
        names[count] = cli_field_name(field, buffers[count], CLI_NAME_MAX);
        count++;
        assert_true(field->letter == 0 || !letters[(int)field->letter]);
        letters[(int)field->letter] = true;
        assert_true(field - config_vm_group.fields < 64);
        assert_true(field->offset + field->size <= sizeof(struct vm_config));
        assert_non_null(field->help);
        if (field->type == FIELD_GROUP || field->type == FIELD_LIST) {
            for (const struct config_field *inner = field->group->fields; inner->key != NULL;
                 inner++) {
                assert_true(inner->offset + inner->size <= field->size);
                assert_true(inner->type != FIELD_WORD || inner->words != NULL);
                assert_true(inner->type == FIELD_WORD || inner->type == FIELD_BOOL ||
                            inner->value != NULL);
            }
            assert_non_null(config_find_field(field->group, field->group->first,
                                              strlen(field->group->first), false));
        }
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(names[i], names[j]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways_to_write_a_value),
        cmocka_unit_test(test_names_of_kvmtool),
        cmocka_unit_test(test_switches_take_no_next_word),
        cmocka_unit_test(test_operands),
        cmocka_unit_test(test_the_last_one_counts),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_tables),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
