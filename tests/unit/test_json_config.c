/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in, out and in again; each kind of refusal; the schema has the keys of the table. */
#include "vmm/config/config.h"
#include "vmm/config/fields.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static struct vm_config config;
static struct error error;

static bool load(const char *text)
{
    vm_config_release(&config);
    error = (struct error)ERROR_NONE;
    return vm_config_from_json(&config, text, strlen(text), "vm.json", &error);
}

static void assert_refused(const char *text, const char *sentence)
{
    assert_false(load(text));
    assert_string_equal(error.text, sentence);
    assert_int_equal(error.code, EXIT_CODE_USAGE);
}

static int setup(void **state)
{
    (void)state;
    vm_config_init(&config);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vm_config_release(&config);
    return 0;
}

static const char whole[] =
    "{\"name\": \"web\", \"kernel\": \"Image\", \"initrd\": \"initrd\", \"cmdline\": \"quiet\","
    " \"dtb\": \"x.dtb\", \"cpus\": {\"count\": 2, \"affinity\": \"0-3\", \"profile\": \"host\","
    "   \"sve\": \"off\", \"pauth\": \"on\", \"pmu\": \"auto\"},"
    " \"memory\": {\"size\": \"512M\", \"hugepages\": \"2M\", \"shared\": true, \"locked\": true,"
    "   \"numa_node\": 0}, \"gic\": \"v3\", \"its\": false,"
    " \"serial\": {\"mode\": \"file\", \"path\": \"log\"}, \"console\": \"virtio\", \"rng\": false,"
    " \"disks\": [{\"path\": \"a\"}, {\"path\": \"b\", \"readonly\": true, \"direct\": true,"
    "   \"cache\": \"unsafe\", \"serial\": \"S\", \"id\": \"b\", \"queues\": 4,"
    "   \"queue_size\": 64, \"bandwidth\": \"1M+2M/100ms\", \"ops\": {\"size\": 5}}],"
    " \"nets\": [{}, {\"tap\": \"new\"}, {\"tap\": \"tap0\", \"mac\": \"02:00:00:00:00:01\","
    "   \"vhost\": true, \"mtu\": 1500, \"id\": \"lan\", \"queues\": 2, \"queue_size\": 128,"
    "   \"rx_bandwidth\": \"1M\", \"rx_ops\": \"9\", \"tx_bandwidth\": \"2M\", \"tx_ops\": \"8\"},"
    "   {\"tapfd\": 9}, {\"mode\": \"user\", \"forward\": \"22\"}, {\"mode\": \"tap\","
    "   \"tap\": \"mine\", \"make\": true}],"
    " \"vsock\": {\"cid\": 7, \"path\": \"/tmp/v\"}, \"balloon\": {\"target_mib\": 16,"
    "   \"deflate_on_oom\": true, \"free_page_reporting\": true, \"stats_interval_s\": 3},"
    " \"jail\": {\"enabled\": false, \"user\": \"me\", \"group\": \"us\"},"
    " \"api_socket\": \"/tmp/api\", \"netns\": \"blue\", \"log_level\": \"debug\","
    " \"wait\": true, \"reboot\": false}";

static void test_everything_arrives(void **state)
{
    (void)state;
    if (!load(whole)) {
        fail_msg("%s", error.text);
    }
    assert_true(vm_config_check(&config, &error));
    assert_string_equal(config.name, "web");
    assert_string_equal(config.cmdline, "quiet");
    assert_int_equal(config.cpus.count, 2);
    assert_int_equal(config.cpus.pauth, CONFIG_ON);
    assert_int_equal(config.memory.size, 512 * MIB);
    assert_int_equal(config.memory.hugepages, CONFIG_HUGE_2M);
    assert_int_equal(config.memory.numa_node, 0);
    assert_true(config.no_its && config.no_rng && config.no_reboot && config.jail.off);
    assert_true(config.virtio_console && config.wait_for_api);
    assert_int_equal(config.nr_disks, 2);
    assert_string_equal(config.disks[0].id, "disk0");
    assert_int_equal(config.disks[1].rate.bandwidth.one_time_burst, 2 * MIB);
    assert_int_equal(config.disks[1].rate.ops.refill_ms, 1000);
    assert_int_equal(config.nr_nets, 6);
    assert_int_equal(config.nets[0].kind, CONFIG_NET_USER);
    assert_true(config.nets[1].make_tap && config.nets[1].kind == CONFIG_NET_TAP);
    assert_string_equal(config.nets[2].tap, "tap0");
    assert_int_equal(config.nets[3].tap_fd, 9);
    assert_true(config.nets[5].make_tap);
    assert_int_equal(config.vsock.kind, CONFIG_VSOCK_UNIX);
    assert_true(config.balloon.present);
}

static void test_round_trip(void **state)
{
    char *first;
    char *second;

    (void)state;
    assert_true(load(whole));
    first = vm_config_to_json(&config);
    if (!load(first)) {
        fail_msg("%s", error.text);
    }
    second = vm_config_to_json(&config);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "\"size\": \"512M\""));
    free(first);
    free(second);
    assert_true(load("{}"));
    first = vm_config_to_json(&config);
    assert_null(strstr(first, "vsock"));
    assert_null(strstr(first, "balloon"));
    assert_null(strstr(first, "numa_node"));
    assert_true(load(first));
    free(first);
}

static void test_not_json(void **state)
{
    (void)state;
    assert_false(load("{\"name\": }"));
    assert_non_null(strstr(error.text, "vm.json:1:10: not JSON: "));
    assert_false(load(""));
    assert_false(load("{\"name\": \"a\", \"name\": \"b\"}"));
    assert_non_null(strstr(error.text, "duplicate"));
    assert_refused("[]", "vm.json: is an array; it must be an object");
}

static void test_refusals_name_the_place(void **state)
{
    (void)state;
    assert_refused("{\"kernal\": \"x\"}",
                   "vm.json: unknown key \"kernal\": did you mean \"kernel\"?");
    assert_refused("{\"disks\": [{\"path\": \"a\"}, {\"path\": \"b\", \"readonly\": \"yes\"}]}",
                   "vm.json: disks[1].readonly: is a string; it must be true or false");
    assert_refused("{\"disks\": [{\"path\": \"b\", \"read-only\": true}]}",
                   "vm.json: disks[0]: unknown key \"read-only\": did you mean \"readonly\"?");
    assert_refused("{\"disks\": [{}]}", "vm.json: disks[0]: path is missing: give path=FILE");
    assert_refused("{\"disks\": {}}", "vm.json: disks: is an object; it must be an array");
    assert_refused("{\"cpus\": 2}", "vm.json: cpus: is an integer; it must be an object");
    assert_refused("{\"cpus\": {\"count\": \"2\"}}",
                   "vm.json: cpus.count: is a string; it must be an integer");
    assert_refused("{\"cpus\": {\"count\": 2.5}}",
                   "vm.json: cpus.count: is a number with a fraction; it must be an integer");
    assert_refused("{\"cpus\": {\"count\": -1}}",
                   "vm.json: cpus.count: -1 is not possible; allowed is 1 to 64");
    assert_refused("{\"cpus\": {\"sve\": \"perhaps\"}}",
                   "vm.json: cpus.sve: \"perhaps\" is not possible; allowed are auto, on and off");
    assert_refused("{\"memory\": {\"size\": \"512\"}}",
                   "vm.json: memory.size: must be a number of bytes, or a string with a unit like "
                   "\"512M\"");
    assert_refused("{\"kernel\": null}", "vm.json: kernel: is null; it must be a string");
    assert_refused("{\"nets\": [{\"rx_ops\": {\"size\": 1, \"brust\": 2}}]}",
                   "vm.json: nets[0].rx_ops: unknown key \"brust\"; allowed are size, "
                   "one_time_burst and refill_ms");
    assert_refused("{\"nets\": [{\"rx_ops\": {\"size\": 1, \"refill_ms\": 0}}]}",
                   "vm.json: nets[0].rx_ops.refill_ms: must be an integer from 1 to 4294967295");
}

static void test_sizes_as_numbers(void **state)
{
    (void)state;
    assert_true(load("{\"memory\": {\"size\": 67108864}}"));
    assert_int_equal(config.memory.size, 64 * MIB);
}

/* Each field of the table is a property of the schema, and each property a field. */
static void compare(const struct config_group *group, json_t *schema)
{
    json_t *properties = json_object_get(schema, "properties");
    size_t count = 0;

    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    for (const struct config_field *field = group->fields; field->key != NULL; field++, count++) {
        json_t *property = json_object_get(properties, field->key);

        assert_non_null(property);
        assert_string_equal(json_string_value(json_object_get(property, "description")),
                            field->type == FIELD_GROUP ? field->group->help : field->help);
        if (field->type == FIELD_GROUP) {
            compare(field->group, property);
        } else if (field->type == FIELD_LIST) {
            compare(field->group, json_object_get(property, "items"));
        }
    }
    assert_int_equal(count, json_object_size(properties));
}

static void test_schema_has_the_table(void **state)
{
    char *text = config_schema();
    json_t *schema;

    (void)state;
    assert_non_null(text);
    schema = json_loads(text, 0, NULL);
    assert_non_null(schema);
    compare(&config_vm_group, schema);
    json_decref(schema);
    free(text);
}

/* `whole` above is only worth something if it names each key. */
static void all_there(const struct config_group *group, json_t *json)
{
    for (const struct config_field *field = group->fields; field->key != NULL; field++) {
        json_t *value = json_object_get(json, field->key);

        if (field->type == FIELD_LIST) {
            for (const struct config_field *inner = field->group->fields; inner->key != NULL;
                 inner++) {
                bool found = false;

                for (size_t i = 0; i < json_array_size(value); i++) {
                    found = found || json_object_get(json_array_get(value, i), inner->key) != NULL;
                }
                assert_true(found);
            }
        } else if (field->type == FIELD_GROUP) {
            all_there(field->group, value);
        } else {
            assert_true(value != NULL || strcmp(field->key, "mode") == 0);
        }
    }
}

static void test_the_example_has_each_key(void **state)
{
    json_t *json = json_loads(whole, 0, NULL);

    (void)state;
    assert_non_null(json);
    all_there(&config_vm_group, json);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_arrives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_name_the_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes_as_numbers, setup, teardown),
        cmocka_unit_test(test_schema_has_the_table),
        cmocka_unit_test(test_the_example_has_each_key),
    };

    return cmocka_run_group_tests_name("json_config", tests, NULL, NULL);
}
