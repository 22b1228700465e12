/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that describe a VM: what they change, what they answer, when they are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/api_rig.h"

#define ask api_rig_ask
#define body_of api_rig_body
#define put api_rig_put
#define refused api_rig_refused
#define get api_rig_get
#define begin api_rig_begin
#define TEST(name) cmocka_unit_test_setup_teardown(name, api_rig_setup, api_rig_teardown)

static void test_instance_and_version(void **state)
{
    struct api_rig *f = *state;

    get(f, "/", "{'id':'fake','state':'Not started','vmm_version':'0.1','app_name':'Bothy'}");
    begin(f);
    get(f, "/", "{'id':'fake','state':'Running','vmm_version':'0.1','app_name':'Bothy'}");
    put(f, "PATCH", "/vm", "{'state': 'Paused'}");
    get(f, "/", "{'id':'fake','state':'Paused','vmm_version':'0.1','app_name':'Bothy'}");
    get(f, "/version", "{'firecracker_version':'1.12.0','bothy_version':'0.1'}");
    get(f, "http://localhost/version/?x", "{'firecracker_version':'1.12.0','bothy_version':'0.1'}");
}

static void test_paths(void **state)
{
    struct api_rig *f = *state;

    refused(f, "GET", "/nothing", "", "Invalid request method and/or path: GET nothing.");
    refused(f, "PUT", "/version", "{}", "Invalid request method and/or path: PUT version.");
    refused(f, "DELETE", "/drives/a", "", "Invalid request method and/or path: DELETE drives/a.");
    refused(f, "PUT", "/drives/a/b", "{}", "Invalid request method and/or path: PUT drives/a/b.");
    refused(f, "PUT", "/drives", "{}", "Invalid request method and/or path: PUT drives.");
    refused(f, "GET", "/%ff", "", "Invalid request method and/or path: GET %ff.");
    refused(f, "GET", "/", "{}", "GET request cannot have a body.");
    refused(f, "PUT", "/actions", "", "Empty PUT request.");
    refused(f, "PATCH", "/vm", "", "Empty PATCH request.");
    refused(f, "PUT", "/drives/a!", "{}", "API Resource IDs can only contain");
    refused(f, "PUT", "/drives/.a", "{}", "API Resource IDs can only contain");
    assert_int_equal(ask(f, "HEAD", "/", "*/*", ""), 200);
    assert_string_equal(body_of(f), "");
}

static void test_json(void **state)
{
    static const char start_text[] =
        "An error occurred when deserializing the json body of a request: ";
    struct api_rig *f = *state;

    refused(f, "PUT", "/actions", "{", start_text);
    refused(f, "PUT", "/actions", "[]", start_text);
    refused(f, "PUT", "/actions", "'x'", start_text);
    refused(f, "PUT", "/actions", "{} {}", start_text);
    refused(f, "PUT", "/actions", "{'action_type': '\xff'}", start_text);
    refused(f, "PUT", "/actions", "{'action_type': '\\u0000'}", start_text);
    refused(f, "PUT", "/actions", "{'action_type':'Kill','action_type':'Kill'}", start_text);
    refused(f, "PUT", "/actions", "{}",
            "An error occurred when deserializing the json body of a request: missing field "
            "`action_type`.");
    refused(f, "PUT", "/actions", "{'action_type': null}",
            "An error occurred when deserializing the json body of a request: missing field "
            "`action_type`.");
    refused(f, "PUT", "/actions", "{'action_type': 1}",
            "An error occurred when deserializing the json body of a request: invalid type: "
            "expected a string in `action_type`.");
    refused(f, "PUT", "/actions", "{'action': 1}",
            "An error occurred when deserializing the json body of a request: unknown field "
            "`action`, expected one of `action_type`.");
    refused(f, "PUT", "/actions", "{'action_type': 'Jump'}",
            "An error occurred when deserializing the json body of a request: unknown variant "
            "`Jump` of `action_type`, expected one of `InstanceStart`, `SendCtrlAltDel`, ");
    refused(f, "PUT", "/vsock", "{'guest_cid': 2, 'uds_path': 'x'}",
            "An error occurred when deserializing the json body of a request: invalid value: "
            "`guest_cid` is 2, must be from 3 to 4294967294.");
    refused(f, "PUT", "/vsock", "{'guest_cid': -1, 'uds_path': 'x'}", start_text);
    refused(f, "PUT", "/vsock", "{'guest_cid': 3.0, 'uds_path': 'x'}", start_text);
    refused(f, "PUT", "/vsock", "{'guest_cid': 99999999999999999999, 'uds_path': 'x'}",
            start_text);
}

static void test_machine_config(void **state)
{
    struct api_rig *f = *state;
    struct vm_config *config = &f->vm.config;

    get(f, "/machine-config", "{'vcpu_count':1,'mem_size_mib':256,'smt':false,"
                              "'track_dirty_pages':false,'huge_pages':'Transparent'}");
    put(f, "PUT", "/machine-config", "{'vcpu_count':4,'mem_size_mib':1024,'huge_pages':'2M',"
                                     "'cpu_template':'V1N1','smt':false}");
    assert_int_equal(config->cpus.count, 4);
    assert_true(config->memory.size == 1024ull << 20);
    assert_int_equal(config->memory.hugepages, CONFIG_HUGE_2M);
    assert_string_equal(config->cpus.profile, "V1N1");
    put(f, "PATCH", "/machine-config", "{'mem_size_mib':512}");
    get(f, "/machine-config", "{'vcpu_count':4,'mem_size_mib':512,'smt':false,"
                              "'track_dirty_pages':false,'huge_pages':'2M','cpu_template':'V1N1'}");
    put(f, "PATCH", "/machine-config", "{'cpu_template':'None','huge_pages':'None'}");
    assert_null(config->cpus.profile);
    assert_int_equal(config->memory.hugepages, CONFIG_HUGE_OFF);

    refused(f, "PUT", "/machine-config", "{'vcpu_count':4}", "An error occurred");
    refused(f, "PATCH", "/machine-config", "{}", "Empty PATCH request.");
    refused(f, "PATCH", "/machine-config", "{'vcpu_count':0}", "An error occurred");
    refused(f, "PATCH", "/machine-config", "{'vcpu_count':65}", "An error occurred");
    refused(f, "PATCH", "/machine-config", "{'mem_size_mib':3}", "Machine config error: mem_");
    refused(f, "PATCH", "/machine-config", "{'smt':true}", "Machine config error: Enabling");
    refused(f, "PATCH", "/machine-config", "{'track_dirty_pages':true}",
            "Machine config error: track_dirty_pages");
    refused(f, "PATCH", "/machine-config", "{'huge_pages':'7M','vcpu_count':2}",
            "An error occurred");
    assert_int_equal(config->cpus.count, 4); /* all or nothing */
    assert_true(config->memory.size == 512ull << 20);
    begin(f);
    refused(f, "PATCH", "/machine-config", "{'vcpu_count':2}", POST_BOOT);
    refused(f, "PUT", "/machine-config", "{'vcpu_count':1,'mem_size_mib':2}", POST_BOOT);
    assert_int_equal(ask(f, "GET", "/machine-config", "", ""), 200);
}

static void test_boot_source_and_start(void **state)
{
    struct api_rig *f = *state;

    refused(f, "PUT", "/actions", "{'action_type':'InstanceStart'}",
            "Start microvm error: Cannot start microvm without kernel configuration.");
    refused(f, "PUT", "/boot-source", "{'kernel_image_path':'/nonexistent'}",
            "Boot source error: The kernel /nonexistent cannot be read: No such file");
    put(f, "PUT", "/boot-source", "{'kernel_image_path':'$','initrd_path':'$',"
                                  "'boot_args':'console=ttyAMA0'}");
    put(f, "PUT", "/boot-source", "{'kernel_image_path':'$','boot_args':'quiet'}");
    assert_string_equal(f->vm.config.kernel, f->file);
    assert_null(f->vm.config.initrd);
    assert_string_equal(f->vm.config.cmdline, "quiet");
    f->start_fails = true;
    refused(f, "PUT", "/actions", "{'action_type':'InstanceStart'}",
            "Start microvm error: no /dev/kvm here");
    assert_int_equal(f->starts, 1);
    f->start_fails = false;
    /* What can be told wrong without the host is told before the owner is called. */
    put(f, "PUT", "/drives/a", "{'drive_id':'a','is_root_device':false,'path_on_host':'$'}");
    put(f, "PUT", "/drives/b", "{'drive_id':'b','is_root_device':false,'path_on_host':'$'}");
    refused(f, "PUT", "/actions", "{'action_type':'InstanceStart'}",
            "Start microvm error: a and b are the same file");
    assert_int_equal(f->starts, 1);
    put(f, "PUT", "/drives/b", "{'drive_id':'b','is_root_device':false,"
                               "'path_on_host':'/proc/version','is_read_only':true}");
    put(f, "PUT", "/actions", "{'action_type':'InstanceStart'}");
    assert_int_equal(f->starts, 2);
    refused(f, "PUT", "/actions", "{'action_type':'InstanceStart'}", POST_BOOT);
    refused(f, "PUT", "/boot-source", "{'kernel_image_path':'x'}", POST_BOOT);
    assert_string_equal(f->vm.config.cmdline, "quiet");
}

static void test_root_device_is_first_and_in_the_command_line(void **state)
{
    struct api_rig *f = *state;
    struct vm_config *config = &f->vm.config;

    put(f, "PUT", "/drives/data", "{'drive_id':'data','is_root_device':false,"
                                  "'path_on_host':'/proc/version','is_read_only':true}");
    put(f, "PUT", "/drives/root", "{'drive_id':'root','is_root_device':true,"
                                  "'path_on_host':'$'}");
    assert_string_equal(config->disks[0].id, "root");
    assert_string_equal(config->disks[1].id, "data");
    refused(f, "PUT", "/drives/data", "{'drive_id':'data','is_root_device':true,"
                                      "'path_on_host':'/proc/version','is_read_only':true}",
            "Drive config error: A root block device already exists!");
    put(f, "PUT", "/boot-source", "{'kernel_image_path':'$','boot_args':'notroot=1'}");
    f->start_fails = true;
    refused(f, "PUT", "/actions", "{'action_type':'InstanceStart'}", "Start microvm error: no");
    f->start_fails = false;
    put(f, "PUT", "/actions", "{'action_type':'InstanceStart'}");
    assert_string_equal(config->cmdline, "notroot=1 root=/dev/vda rw");
}

static void test_root_by_uuid_and_given_root(void **state)
{
    struct api_rig *f = *state;
    struct vm_config *config = &f->vm.config;

    put(f, "PUT", "/boot-source", "{'kernel_image_path':'$'}");
    put(f, "PUT", "/drives/r", "{'drive_id':'r','is_root_device':true,'path_on_host':'$',"
                               "'partuuid':'0eaa91a0-01','is_read_only':true}");
    f->start_fails = true;
    refused(f, "PUT", "/actions", "{'action_type':'InstanceStart'}", "Start microvm error: no");
    assert_string_equal(config->cmdline, "root=PARTUUID=0eaa91a0-01 ro");
    put(f, "PUT", "/boot-source", "{'kernel_image_path':'$','boot_args':'a root=/dev/vdb b'}");
    f->start_fails = false;
    put(f, "PUT", "/actions", "{'action_type':'InstanceStart'}");
    assert_string_equal(config->cmdline, "a root=/dev/vdb b");
}

static void test_drives(void **state)
{
    struct api_rig *f = *state;
    const struct config_disk *disk = &f->vm.config.disks[0];
    char path[32], body[128];

    put(f, "PUT", "/drives/d_1", "{'drive_id':'d_1','is_root_device':false,'path_on_host':'$',"
        "'cache_type':'Unsafe','io_engine':'Async','rate_limiter':{'bandwidth':{'size':1000,"
        "'one_time_burst':5,'refill_time':100},'ops':{'size':0,'refill_time':9}}}");
    assert_int_equal(f->vm.config.nr_disks, 1);
    assert_true(disk->unsafe && !disk->readonly && !disk->direct);
    assert_int_equal(disk->rate.bandwidth.size, 1000);
    assert_int_equal(disk->rate.bandwidth.one_time_burst, 5);
    assert_int_equal(disk->rate.bandwidth.refill_ms, 100);
    assert_int_equal(disk->rate.ops.refill_ms, 0);
    put(f, "PUT", "/drives/d_1", "{'drive_id':'d_1','is_root_device':false,'path_on_host':'$',"
                                 "'direct':true,'serial':'abc'}");
    assert_int_equal(f->vm.config.nr_disks, 1);
    assert_true(!disk->unsafe && disk->direct && disk->rate.bandwidth.size == 0);
    assert_string_equal(disk->serial, "abc");
    assert_int_equal(disk->queues, 1);
    assert_int_equal(disk->queue_size, 256);

    refused(f, "PUT", "/drives/x", "{'drive_id':'y','is_root_device':false,'path_on_host':'z'}",
            "The id from the path does not match the id from the body!");
    refused(f, "PUT", "/drives/x", "{'drive_id':'x','is_root_device':false}",
            "Drive config error: path_on_host is missing.");
    refused(f, "PUT", "/drives/x", "{'drive_id':'x','is_root_device':false,'path_on_host':'/no'}",
            "Drive config error: The backing file /no cannot be opened for reading and writing");
    refused(f, "PUT", "/drives/x", "{'drive_id':'x','is_root_device':false,'socket':'s'}",
            "Drive config error: Bothy has no vhost-user-block");
    refused(f, "PUT", "/drives/x", "{'drive_id':'x','is_root_device':false,'is_read_only':true,"
            "'path_on_host':'/proc/version','serial':'more than twenty bytes'}",
            "Drive config error: serial is longer");
    refused(f, "PUT", "/drives/x", "{'drive_id':'x','is_root_device':false,'is_read_only':true,"
            "'path_on_host':'/proc/version','cache_type':'Writethrough'}", "An error occurred");
    refused(f, "PUT", "/drives/x", "{'drive_id':'x','is_root_device':false,'is_read_only':true,"
            "'path_on_host':'/proc/version','rate_limiter':{'ops':{'size':1}}}",
            "An error occurred");
    for (unsigned int i = 1; i <= CONFIG_DISKS_MAX; i++) {
        snprintf(path, sizeof(path), "/drives/n%u", i);
        snprintf(body, sizeof(body), "{'drive_id':'n%u','is_root_device':false,"
                 "'path_on_host':'/proc/version','is_read_only':true}", i);
        if (i < CONFIG_DISKS_MAX) {
            put(f, "PUT", path, body);
        } else {
            refused(f, "PUT", path, body, "Drive config error: There are 16 drives");
        }
    }
}

static void test_network_interfaces(void **state)
{
    struct api_rig *f = *state;
    const struct config_net *net = &f->vm.config.nets[0];
    static const uint8_t mac[6] = {0x06, 0, 0xac, 0x10, 0, 0x2f};

    put(f, "PUT", "/network-interfaces/eth0",
        "{'iface_id':'eth0','host_dev_name':'tap0','guest_mac':'06:00:AC:10:00:2f','mtu':1400,"
        "'rx_rate_limiter':{'ops':{'size':3,'refill_time':4}}}");
    assert_int_equal(f->vm.config.nr_nets, 1);
    assert_int_equal(net->kind, CONFIG_NET_TAP);
    assert_string_equal(net->tap, "tap0");
    assert_true(net->mac_given && !net->make_tap && net->tap_fd == -1);
    assert_memory_equal(net->mac, mac, 6);
    assert_int_equal(net->mtu, 1400);
    assert_int_equal(net->rx_rate.ops.size, 3);
    assert_int_equal(net->tx_rate.ops.size, 0);
    refused(f, "PUT", "/network-interfaces/eth1", "{'iface_id':'eth1','host_dev_name':'tap0'}",
            "Network config error: The device tap0 is already in use by eth0.");
    refused(f, "PUT", "/network-interfaces/eth1",
            "{'iface_id':'eth1','host_dev_name':'tap1','guest_mac':'06:00:ac:10:00:2f'}",
            "Network config error: The MAC address is already in use by eth0.");
    refused(f, "PUT", "/network-interfaces/e",
            "{'iface_id':'e','host_dev_name':'t','guest_mac':'07:00:ac:10:00:2f'}",
            "Network config error: guest_mac is 07:00");
    refused(f, "PUT", "/network-interfaces/e",
            "{'iface_id':'e','host_dev_name':'t','guest_mac':'06:00:ac:10:00:2'}",
            "Network config error: guest_mac is");
    refused(f, "PUT", "/network-interfaces/e",
            "{'iface_id':'e','host_dev_name':'t','guest_mac':'06-00:ac:10:00:2f'}",
            "Network config error: guest_mac is");
    refused(f, "PUT", "/network-interfaces/e",
            "{'iface_id':'e','host_dev_name':'a-name-of-16-byte'}",
            "Network config error: host_dev_name must have 1 to 15 bytes.");
    refused(f, "PATCH", "/network-interfaces/eth0", "{'iface_id':'eth0'}", PRE_BOOT);
    begin(f);
    put(f, "PATCH", "/network-interfaces/eth0",
        "{'iface_id':'eth0','tx_rate_limiter':{'ops':{'size':9,'refill_time':4}}}");
    assert_int_equal(f->vm.rx_rate.ops.size, 3);
    assert_int_equal(f->vm.tx_rate.ops.size, 9);
    refused(f, "PATCH", "/network-interfaces/x", "{'iface_id':'x'}",
            "Network config error: There is no interface x.");
    refused(f, "PUT", "/network-interfaces/eth0", "{'iface_id':'eth0'}", POST_BOOT);
}

static void test_vsock_entropy_serial(void **state)
{
    struct api_rig *f = *state;
    struct vm_config *config = &f->vm.config;

    put(f, "PUT", "/vsock", "{'guest_cid':3,'uds_path':'/a','vsock_id':'old'}");
    put(f, "PUT", "/vsock", "{'guest_cid':4,'uds_path':'/b'}");
    assert_int_equal(config->vsock.kind, CONFIG_VSOCK_UNIX);
    assert_int_equal(config->vsock.cid, 4);
    assert_string_equal(config->vsock.path, "/b");
    config->no_rng = true;
    refused(f, "PUT", "/entropy", "{'rate_limiter':{'ops':{'size':1,'refill_time':1}}}",
            "The requested operation is not supported: ");
    put(f, "PUT", "/entropy", "{}");
    assert_false(config->no_rng);
    put(f, "PUT", "/serial", "{'serial_out_path':'/c'}");
    assert_int_equal(config->serial.kind, CONFIG_SERIAL_FILE);
    assert_string_equal(config->serial.path, "/c");
}

static void test_whole_configuration(void **state)
{
    struct api_rig *f = *state;

    get(f, "/vm/config", "{'drives':[],'entropy':{},'logger':{},'network-interfaces':[],"
        "'machine-config':{'vcpu_count':1,'mem_size_mib':256,'smt':false,"
        "'track_dirty_pages':false,'huge_pages':'Transparent'}}");
    put(f, "PUT", "/boot-source", "{'kernel_image_path':'$','boot_args':'x'}");
    put(f, "PUT", "/drives/r", "{'drive_id':'r','is_root_device':true,'path_on_host':'$',"
        "'rate_limiter':{'ops':{'size':5,'refill_time':6}},'partuuid':'u'}");
    put(f, "PUT", "/network-interfaces/e", "{'iface_id':'e','host_dev_name':'t',"
                                           "'guest_mac':'06:00:ac:10:00:2f'}");
    put(f, "PUT", "/vsock", "{'guest_cid':4,'uds_path':'/b'}");
    put(f, "PUT", "/logger", "{'level':'Info','log_path':'$'}");
    put(f, "PUT", "/metrics", "{'metrics_path':'$'}");
    f->vm.config.no_rng = true;
    get(f, "/vm/config", "{'boot-source':{'kernel_image_path':'$','boot_args':'x'},"
        "'drives':[{'drive_id':'r','is_root_device':true,'path_on_host':'$','is_read_only':false,"
        "'cache_type':'Writeback','io_engine':'Async','direct':false,'partuuid':'u',"
        "'rate_limiter':{'ops':{'size':5,'one_time_burst':0,'refill_time':6}}}],"
        "'logger':{'level':'info','log_path':'$'},'metrics':{'metrics_path':'$'},"
        "'network-interfaces':[{'iface_id':'e','host_dev_name':'t',"
        "'guest_mac':'06:00:ac:10:00:2f'}],'vsock':{'guest_cid':4,'uds_path':'/b'},"
        "'machine-config':{'vcpu_count':1,'mem_size_mib':256,'smt':false,"
        "'track_dirty_pages':false,'huge_pages':'Transparent'}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_instance_and_version),
        TEST(test_paths),
        TEST(test_json),
        TEST(test_machine_config),
        TEST(test_boot_source_and_start),
        TEST(test_root_device_is_first_and_in_the_command_line),
        TEST(test_root_by_uuid_and_given_root),
        TEST(test_drives),
        TEST(test_network_interfaces),
        TEST(test_vsock_entropy_serial),
        TEST(test_whole_configuration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
