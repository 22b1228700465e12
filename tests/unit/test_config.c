/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: key=value lists, options, defaults, what is refused and with which words. */
#include "vmm/config/config.h"
#include "vmm/config/fields.h"
#include "vmm/config/nearest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static struct vm_config config;
static struct error error;

static int setup(void **state)
{
    (void)state;
    vm_config_init(&config);
    error = (struct error)ERROR_NONE;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vm_config_release(&config);
    return 0;
}

static bool set(const char *option, const char *text)
{
    const struct config_field *field = NULL;
    char where[64];

    for (field = config_vm_group.fields; field->key != NULL; field++) {
        if (strcmp(field->option != NULL ? field->option : field->key, option) == 0) {
            break;
        }
    }
    assert_non_null(field->key);
    snprintf(where, sizeof(where), "--%s", option);
    return config_set_option(field, &config, text, where, &error);
}

static void assert_set(const char *option, const char *text)
{
    if (!set(option, text)) {
        fail_msg("--%s %s: %s", option, text, error.text);
    }
    assert_string_equal(error.text, "");
}

static void assert_refused(const char *option, const char *text, const char *sentence)
{
    error = (struct error)ERROR_NONE;
    assert_false(set(option, text));
    assert_string_equal(error.text, sentence);
    assert_int_equal(error.code, EXIT_CODE_USAGE);
    error = (struct error)ERROR_NONE;
}

static void assert_check(const char *sentence)
{
    error = (struct error)ERROR_NONE;
    assert_int_equal(vm_config_check(&config, &error), sentence[0] == '\0');
    assert_string_equal(error.text, sentence);
    error = (struct error)ERROR_NONE;
}

static void test_defaults_are_a_sound_vm(void **state)
{
    (void)state;
    assert_int_equal(config.cpus.count, 1);
    assert_int_equal(config.memory.size, 256 * MIB);
    assert_int_equal(config.memory.numa_node, -1);
    assert_null(config.kernel);
    assert_check("");
}

static void test_numbers_of_memory_are_mib(void **state)
{
    (void)state;
    assert_set("memory", "512");
    assert_int_equal(config.memory.size, 512 * MIB);
    assert_set("memory", "2G");
    assert_int_equal(config.memory.size, 2048 * MIB);
    assert_set("memory", "size=64MiB,hugepages=on,shared,locked=yes,numa-node=1");
    assert_int_equal(config.memory.size, 64 * MIB);
    assert_int_equal(config.memory.hugepages, CONFIG_HUGE_2M);
    assert_true(config.memory.shared && config.memory.locked);
    assert_int_equal(config.memory.numa_node, 1);
    assert_set("memory", "shared=off");
    assert_int_equal(config.memory.size, 64 * MIB);
    assert_false(config.memory.shared);
    assert_refused("memory", "12X", "--memory: size: \"12X\" is not possible; allowed is a size "
                                    "like 512M or 2G");
    assert_refused("memory", "99999999999999999999", "--memory: size: \"99999999999999999999\" is "
                                                     "not possible; allowed is a size like 512M "
                                                     "or 2G");
    assert_refused("memory", "18446744073709551615", "--memory: size: \"18446744073709551615\" is "
                                                     "not possible; allowed is a size like 512M "
                                                     "or 2G");
    assert_refused("memory", "512M,hugepages=3M",
                   "--memory: hugepages: \"3M\" is not possible; allowed are thp, off, 64K, 2M, "
                   "32M and 1G");
}

static void test_cpus(void **state)
{
    uint32_t cpus[8];

    (void)state;
    assert_set("cpus", "n=4,affinity=\"0-2,8\",profile=host,sve=off,pmu=on");
    assert_int_equal(config.cpus.count, 4);
    assert_string_equal(config.cpus.affinity, "0-2,8");
    assert_int_equal(config.cpus.sve, CONFIG_OFF);
    assert_int_equal(config.cpus.pauth, CONFIG_AUTO);
    assert_int_equal(config.cpus.pmu, CONFIG_ON);
    assert_int_equal(config_parse_cpus(config.cpus.affinity, cpus, 8), 4);
    assert_int_equal(cpus[2], 2);
    assert_int_equal(cpus[3], 8);
    assert_int_equal(config_parse_cpus("0-9", cpus, 8), 10);
    assert_int_equal(config_parse_cpus("", NULL, 0), -1);
    assert_int_equal(config_parse_cpus("3-1", NULL, 0), -1);
    assert_int_equal(config_parse_cpus("1,", NULL, 0), -1);
    assert_int_equal(config_parse_cpus("0-99999999999", NULL, 0), -1);
    assert_refused("cpus", "0", "--cpus: count: 0 is not possible; allowed is 1 to 64");
    assert_refused("cpus", "65", "--cpus: count: 65 is not possible; allowed is 1 to 64");
    assert_refused("cpus", "two", "--cpus: count: \"two\" is not possible; allowed is a number "
                                  "from 1 to 64");
    assert_refused("cpus", "2,affinty=1",
                   "--cpus: unknown key \"affinty\": did you mean affinity? Allowed are count, "
                   "affinity, profile, sve, pauth and pmu");
    assert_refused("cpus", "2,n=3", "--cpus: count is given twice");
    assert_refused("cpus", "2,affinity", "--cpus: affinity needs a value: affinity=CPUS");
    assert_set("cpus", "affinity=x");
    assert_check("cpus: affinity: \"x\" is not a list of CPUs like 0-3,8");
}

static void test_disks(void **state)
{
    const struct config_disk *disk = config.disks;

    (void)state;
    assert_set("disk", "a.img");
    assert_set("disk", "b.img,ro");
    assert_set("disk", "path=\"c,d=\\\"e.img\",readonly=off,direct,cache=unsafe,serial=S1,id=data,"
                       "queues=2,queue-size=128,bandwidth=10M+50M/100ms,ops=7");
    assert_int_equal(config.nr_disks, 3);
    assert_string_equal(disk[0].id, "disk0");
    assert_string_equal(disk[0].path, "a.img");
    assert_false(disk[0].readonly || disk[0].direct || disk[0].unsafe);
    assert_int_equal(disk[0].queues, 1);
    assert_int_equal(disk[0].queue_size, 256);
    assert_int_equal(disk[0].rate.bandwidth.size, 0);
    assert_string_equal(disk[1].id, "disk1");
    assert_true(disk[1].readonly);
    assert_string_equal(disk[2].id, "data");
    assert_string_equal(disk[2].path, "c,d=\"e.img");
    assert_true(disk[2].direct && disk[2].unsafe);
    assert_string_equal(disk[2].serial, "S1");
    assert_int_equal(disk[2].queues, 2);
    assert_int_equal(disk[2].queue_size, 128);
    assert_int_equal(disk[2].rate.bandwidth.size, 10 * MIB);
    assert_int_equal(disk[2].rate.bandwidth.one_time_burst, 50 * MIB);
    assert_int_equal(disk[2].rate.bandwidth.refill_ms, 100);
    assert_int_equal(disk[2].rate.ops.size, 7);
    assert_int_equal(disk[2].rate.ops.refill_ms, 1000);
    assert_check("");
}

static void test_commas_can_be_escaped(void **state)
{
    (void)state;
    assert_set("disk", "a\\,b.img,ro");
    assert_string_equal(config.disks[0].path, "a,b.img");
    assert_set("disk", "path=\"x,y=z\"");
    assert_string_equal(config.disks[1].path, "x,y=z");
    assert_set("disk", "\"u=v\"");
    assert_string_equal(config.disks[2].path, "u=v");
    assert_refused("disk", "path=\"x", "--disk: a quotation mark isn't closed");
}

static void test_bad_disks(void **state)
{
    (void)state;
    assert_refused("disk", "a=b.img", "--disk: unknown key \"a\"; allowed are path, readonly, "
                                      "direct, cache, serial, id, queues, queue_size, bandwidth "
                                      "and ops");
    assert_refused("disk", "readonly=on", "--disk: path is missing: give path=FILE");
    assert_refused("disk", "", "--disk: path is missing: give path=FILE");
    assert_refused("disk", "a,readonly=maybe", "--disk: readonly: \"maybe\" is not possible; "
                                               "allowed is on or off");
    assert_refused("disk", "a,serial=123456789012345678901",
                   "--disk: serial: \"12345678901234567890...\" has 21 characters; allowed are at "
                   "most 20");
    assert_refused("disk", "a,bw=fast", "--disk: bandwidth: \"fast\" is not possible; allowed is a "
                                        "rate like 10M, 100/50ms or 10M+50M/1s (size, burst, "
                                        "period)");
    assert_refused("disk", "a,ops=5/0ms", "--disk: ops: \"5/0ms\" is not possible; allowed is a "
                                          "rate like 10M, 100/50ms or 10M+50M/1s (size, burst, "
                                          "period)");
    assert_int_equal(config.nr_disks, 0);
    assert_set("disk", "a,queue_size=100");
    assert_check("disk0: queue_size: 100 is no power of 2; allowed are 2, 4, 8 ... 1024");
    vm_config_release(&config);
    assert_set("disk", "a");
    assert_set("disk", "a,ro");
    assert_check("disk0 and disk1 are the same file, a; that needs both to be readonly");
    config.disks[0].readonly = true;
    assert_check("");
    assert_set("disk", "b,id=disk0");
    assert_check("two devices are called disk0; give one of them another id");
    vm_config_release(&config);
    assert_set("disk", "b,id=-x");
    assert_check("disk: id: \"-x\" is not a name; allowed are 1 to 63 letters, digits, '-', '_' "
                 "and '.', the first of them no '-' or '.'");
    vm_config_release(&config);
    for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++) {
        assert_set("disk", "x,ro");
    }
    assert_string_equal(config.disks[15].id, "disk15");
    assert_refused("disk", "y", "--disk: too many: a VM can have 16 of them");
}

static void test_nets(void **state)
{
    const struct config_net *net = config.nets;

    (void)state;
    assert_set("net", "user,forward=2222:22");
    assert_set("net", "tap=tap7,mac=52:54:00:12:34:56,vhost=on,mtu=9000");
    assert_set("net", "tap");
    assert_set("net", "tap=new");
    assert_set("net", "mode=tap,tapif=br1,guest_mac=02-00-00-00-00-0A,mq=4");
    assert_set("net", "tapfd=7");
    assert_int_equal(net[0].kind, CONFIG_NET_USER);
    assert_string_equal(net[0].forward, "2222:22");
    assert_int_equal(net[0].tap_fd, -1);
    assert_false(net[0].mac_given);
    assert_int_equal(net[1].kind, CONFIG_NET_TAP);
    assert_string_equal(net[1].tap, "tap7");
    assert_false(net[1].make_tap);
    assert_true(net[1].mac_given && net[1].vhost);
    assert_int_equal(net[1].mac[5], 0x56);
    assert_int_equal(net[1].mtu, 9000);
    assert_true(net[2].make_tap && net[2].kind == CONFIG_NET_TAP && net[2].tap == NULL);
    assert_true(net[3].make_tap && net[3].kind == CONFIG_NET_TAP && net[3].tap == NULL);
    assert_false(net[4].make_tap);
    assert_int_equal(net[4].mac[5], 0x0a);
    assert_int_equal(net[4].queues, 4);
    assert_int_equal(net[5].tap_fd, 7);
    assert_false(net[5].make_tap);
    assert_string_equal(net[5].id, "net5");
    assert_check("");
}

static void check_net_is(const char *text, const char *sentence)
{
    vm_config_release(&config);
    assert_set("net", text);
    assert_check(sentence);
}

static void test_bad_nets(void **state)
{
    (void)state;
    assert_refused("net", "bridge", "--net: mode: \"bridge\" is not possible; allowed are user and "
                                    "tap");
    assert_refused("net", "user,mac=1:2", "--net: mac: \"1:2\" is not possible; allowed is a MAC "
                                          "address like 52:54:00:12:34:56");
    assert_refused("net", "user,mac=53:54:00:12:34:56",
                   "--net: mac: \"53:54:00:12:34:56\" is not possible; allowed is an address of "
                   "one interface; this one is a multicast address, its first byte is odd");
    check_net_is("user,tap=tap0", "net0: tap needs mode=tap, not mode=user");
    check_net_is("user,vhost", "net0: vhost needs mode=tap, not mode=user");
    check_net_is("tap=t,forward=1", "net0: forward needs mode=user; the host routes to a tap");
    check_net_is("tap=t,tapfd=3", "net0: tap and tapfd exclude one another");
    check_net_is("tap=abcdefghijklmnop", "net0: tap: \"abcdefghijklmnop\" is too long for an "
                                         "interface, which has at most 15 characters");
    check_net_is("tap=a/b", "net0: tap: \"a/b\" is not the name of an interface");
    check_net_is("user,mtu=67", "net0: mtu: 67 is not possible; allowed are 0 (not told) and 68 to "
                                "65535");
    check_net_is("user,queues=2", "net0: queues: mode=user has one pair of queues");
}

static void test_other_groups(void **state)
{
    (void)state;
    assert_set("serial", "file=out.log");
    assert_int_equal(config.serial.kind, CONFIG_SERIAL_FILE);
    assert_string_equal(config.serial.path, "out.log");
    assert_set("serial", "none");
    assert_int_equal(config.serial.kind, CONFIG_SERIAL_NONE);
    assert_set("vsock", "3");
    assert_int_equal(config.vsock.kind, CONFIG_VSOCK_VHOST);
    config_vm_group.fields[14].group->off(&config.vsock);
    assert_int_equal(config.vsock.kind, CONFIG_VSOCK_NONE);
    assert_set("vsock", "cid=4,path=/tmp/v");
    assert_int_equal(config.vsock.kind, CONFIG_VSOCK_UNIX);
    assert_check("");
    assert_set("vsock", "mode=vhost");
    assert_check("vsock: path needs mode=unix; vhost has no socket in the host");
    vm_config_release(&config);
    assert_refused("vsock", "2", "--vsock: cid: 2 is not possible; allowed is 3 to 4294967294");
    assert_refused("vsock", "path=/tmp/v", "--vsock: cid is missing: give cid=CID");
    assert_set("balloon", "");
    assert_true(config.balloon.present);
    assert_set("balloon", "64,deflate-on-oom,free_page_reporting=on,stats=5");
    assert_int_equal(config.balloon.target_mib, 64);
    assert_true(config.balloon.deflate_on_oom && config.balloon.free_page_reporting);
    assert_int_equal(config.balloon.stats_interval_s, 5);
    assert_set("balloon", "300");
    assert_check("balloon: target_mib: 300 is more than the guest's memory, 256 MiB");
    vm_config_release(&config);
    assert_set("jail", "off,user=nobody");
    assert_true(config.jail.off);
    assert_set("jail", "on");
    assert_false(config.jail.off);
    assert_set("rng", "off");
    assert_true(config.no_rng);
    assert_set("console", "virtio");
    assert_true(config.virtio_console);
    assert_set("gic", "gicv3");
    assert_int_equal(config.gic, CONFIG_GIC_V3);
}

static void test_the_whole_is_checked(void **state)
{
    char path[140];

    (void)state;
    assert_set("name", "a b");
    assert_check("name: \"a b\" is not a name; allowed are 1 to 63 letters, digits, '-', '_' and "
                 "'.', the first of them no '-' or '.'");
    vm_config_release(&config);
    assert_set("memory", "3M");
    assert_check("memory: size: 3M is not possible; allowed are multiples of 2M from 16M up to "
                 "what the host's CPU can address");
    assert_set("memory", "100M,hugepages=32M");
    assert_check("memory: size: 100M is no multiple of the huge pages' size, 32M");
    vm_config_release(&config);
    assert_set("initrd", "x");
    assert_check("initrd: needs a kernel: give --kernel FILE");
    vm_config_release(&config);
    assert_set("serial", "file");
    assert_check("serial: path is missing: mode=file needs path=FILE");
    vm_config_release(&config);
    assert_set("log_level", "loud");
    assert_check("log_level: \"loud\" is not possible; allowed are error, warning, info and debug");
    vm_config_release(&config);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_set("api_socket", path);
    assert_false(vm_config_check(&config, &error));
    assert_non_null(strstr(error.text, "is too long for a socket, whose path has at most 107"));
}

static void test_an_empty_string_takes_back(void **state)
{
    (void)state;
    assert_set("kernel", "a");
    assert_set("kernel", "b");
    assert_string_equal(config.kernel, "b");
    assert_set("kernel", "");
    assert_null(config.kernel);
}

static const char *nearest_of(const char *word)
{
    struct nearest nearest;

    nearest_init(&nearest, word, strlen(word));
    nearest_offer(&nearest, "disk");
    nearest_offer(&nearest, "dump-config");
    nearest_offer(&nearest, "memory");
    nearest_offer(&nearest, "net");
    return nearest.best != NULL ? nearest.best : "";
}

static void test_nearest(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("disc"), "disk");
    assert_string_equal(nearest_of("dsik"), "disk");
    assert_string_equal(nearest_of("memroy"), "memory");
    assert_string_equal(nearest_of("mem"), "memory");
    assert_string_equal(nearest_of("dump"), "dump-config");
    assert_string_equal(nearest_of("xyz"), "");
    assert_string_equal(nearest_of(""), "");
    assert_string_equal(nearest_of("ent"), "net");
}

static void test_sizes(void **state)
{
    uint64_t bytes = 0;
    char text[32];

    (void)state;
    assert_true(config_parse_size("1T", 0, &bytes) && bytes == UINT64_C(1) << 40);
    assert_true(config_parse_size("0x10k", 0, &bytes) && bytes == 16384);
    assert_true(config_parse_size("3B", 0, &bytes) && bytes == 3);
    assert_false(config_parse_size("3", 0, &bytes));
    assert_false(config_parse_size("", 1, &bytes));
    assert_false(config_parse_size("M", 1, &bytes));
    assert_false(config_parse_size("-1M", 1, &bytes));
    assert_false(config_parse_size("1M ", 1, &bytes));
    assert_false(config_parse_size("18014398509481984K", 1, &bytes));
    config_format_size(1536 * MIB, text, sizeof(text));
    assert_string_equal(text, "1536M");
    config_format_size(0, text, sizeof(text));
    assert_string_equal(text, "0B");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults_are_a_sound_vm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_of_memory_are_mib, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cpus, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commas_can_be_escaped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_disks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_nets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_whole_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_string_takes_back, setup, teardown),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_sizes),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
