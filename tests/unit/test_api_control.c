/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a VM that runs, and what comes out of it: state, devices' changes, logs, metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/api_rig.h"
#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#define ask api_rig_ask
#define body_of api_rig_body
#define put api_rig_put
#define refused api_rig_refused
#define get api_rig_get
#define begin api_rig_begin
#define TEST(name) cmocka_unit_test_setup_teardown(name, api_rig_setup, api_rig_teardown)

static void test_drive_at_run_time(void **state)
{
    struct api_rig *f = *state;

    put(f, "PUT", "/drives/d", "{'drive_id':'d','is_root_device':false,'path_on_host':'$',"
                               "'rate_limiter':{'bandwidth':{'size':7,'refill_time':8}}}");
    refused(f, "PATCH", "/drives/d", "{'drive_id':'d'}", PRE_BOOT);
    begin(f);
    refused(f, "PUT", "/drives/d", "{'drive_id':'d'}", POST_BOOT);
    put(f, "PATCH", "/drives/d", "{'drive_id':'d'}");
    assert_null(f->vm.replaced);
    put(f, "PATCH", "/drives/d", "{'drive_id':'d','path_on_host':'/new',"
                                 "'rate_limiter':{'ops':{'size':5,'refill_time':6}}}");
    assert_string_equal(f->vm.replaced, "/new");
    assert_string_equal(f->vm.config.disks[0].path, "/new");
    assert_int_equal(f->vm.disk_rate.bandwidth.size, 7); /* as it was */
    assert_int_equal(f->vm.disk_rate.ops.size, 5);
    put(f, "PATCH", "/drives/d", "{'drive_id':'d','rate_limiter':"
                                 "{'bandwidth':{'size':0,'refill_time':0}}}");
    assert_int_equal(f->vm.disk_rate.bandwidth.size, 0);
    assert_int_equal(f->vm.disk_rate.ops.size, 5);
    refused(f, "PATCH", "/drives/d", "{'drive_id':'d','is_read_only':true}", "An error occurred");
    refused(f, "PATCH", "/drives/e", "{'drive_id':'e'}", "Drive config error: There is no drive");
    f->vm.fails = true;
    refused(f, "PATCH", "/drives/d", "{'drive_id':'d','path_on_host':'/x'}",
            "Drive config error: the fake refuses");
    assert_string_equal(f->vm.config.disks[0].path, "/new");
}

static void test_balloon(void **state)
{
    struct api_rig *f = *state;
    static const char none[] = "Balloon config error: No balloon device found.";

    refused(f, "GET", "/balloon", "", none);
    refused(f, "PUT", "/balloon", "{'amount_mib':257,'deflate_on_oom':true}",
            "Balloon config error: amount_mib is 257, but the guest has only 256 MiB.");
    refused(f, "PUT", "/balloon",
            "{'amount_mib':1,'deflate_on_oom':true,'free_page_hinting':true}",
            "Balloon config error: Bothy has no free_page_hinting");
    put(f, "PUT", "/balloon", "{'amount_mib':64,'deflate_on_oom':true,"
                              "'stats_polling_interval_s':2,'free_page_reporting':true}");
    get(f, "/balloon", "{'amount_mib':64,'deflate_on_oom':true,'stats_polling_interval_s':2,"
                       "'free_page_hinting':false,'free_page_reporting':true}");
    refused(f, "PATCH", "/balloon", "{'amount_mib':1}", PRE_BOOT);
    refused(f, "GET", "/balloon/statistics", "", PRE_BOOT);
    begin(f);
    put(f, "PATCH", "/balloon", "{'amount_mib':128}");
    assert_int_equal(f->vm.target_mib, 128);
    refused(f, "PATCH", "/balloon", "{'amount_mib':257}", "Balloon config error: amount_mib");
    get(f, "/balloon/statistics", "{'target_pages':32768,'actual_pages':768,'target_mib':128,"
                                  "'actual_mib':3,'free_memory':123456}");
    put(f, "PATCH", "/balloon/statistics", "{'stats_polling_interval_s':9}");
    assert_int_equal(f->vm.interval_s, 9);
    refused(f, "PATCH", "/balloon/statistics", "{'stats_polling_interval_s':0}",
            "Balloon update error: Statistics cannot be turned on or off after boot.");
    f->vm.fails = true;
    refused(f, "PATCH", "/balloon", "{'amount_mib':1}", "Balloon update error: the fake refuses");
    refused(f, "GET", "/balloon/statistics", "", "Balloon config error: Statistics");
    refused(f, "PUT", "/balloon", "{}", POST_BOOT);
}

static void test_no_balloon_at_run_time(void **state)
{
    struct api_rig *f = *state;

    begin(f);
    refused(f, "PATCH", "/balloon", "{'amount_mib':1}", "Balloon config error: No balloon");
    refused(f, "GET", "/balloon/statistics", "", "Balloon config error: No balloon");
}

static void test_states(void **state)
{
    struct api_rig *f = *state;

    refused(f, "PATCH", "/vm", "{'state':'Paused'}", PRE_BOOT);
    refused(f, "PUT", "/actions", "{'action_type':'SendCtrlAltDel'}", PRE_BOOT);
    refused(f, "PUT", "/actions", "{'action_type':'PowerButton'}", PRE_BOOT);
    begin(f);
    put(f, "PATCH", "/vm", "{'state':'Resumed'}"); /* it is */
    assert_int_equal(f->vm.resumes, 0);
    put(f, "PATCH", "/vm", "{'state':'Paused'}");
    put(f, "PATCH", "/vm", "{'state':'Paused'}");
    assert_int_equal(f->vm.pauses, 1);
    refused(f, "PUT", "/actions", "{'action_type':'PowerButton'}", "The power button can't");
    put(f, "PATCH", "/vm", "{'state':'Resumed'}");
    assert_int_equal(f->vm.resumes, 1);
    refused(f, "PATCH", "/vm", "{'state':'Running'}", "An error occurred");
    put(f, "PUT", "/actions", "{'action_type':'SendCtrlAltDel'}");
    put(f, "PUT", "/actions", "{'action_type':'PowerButton'}");
    assert_int_equal(f->vm.presses, 3);
    put(f, "PUT", "/actions", "{'action_type':'Stop'}");
    put(f, "PUT", "/actions", "{'action_type':'Kill'}");
    assert_int_equal(f->vm.ends, 2);
    assert_int_equal(f->vm.exit_code, EXIT_CODE_OK);
    refused(f, "PATCH", "/vm", "{'state':'Resumed'}", "The VM can't be resumed: it has stopped.");
}

static void test_kill_before_start(void **state)
{
    struct api_rig *f = *state;

    put(f, "PUT", "/actions", "{'action_type':'Kill'}");
    assert_int_equal(f->vm.exit_code, 137);
}

static void test_what_firecracker_has_beyond(void **state)
{
    static const char *const requests[][2] = {
        {"PUT", "/cpu-config"},      {"GET", "/mmds"},          {"PUT", "/mmds"},
        {"PATCH", "/mmds"},          {"PUT", "/mmds/config"},   {"PUT", "/snapshot/create"},
        {"PUT", "/snapshot/load"},   {"PUT", "/pmem/x"},        {"PUT", "/hotplug/memory"},
        {"GET", "/hotplug/memory"},  {"PATCH", "/hotplug/memory"},
        {"GET", "/balloon/hinting/status"}, {"PATCH", "/balloon/hinting/start"},
    };
    struct api_rig *f = *state;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        refused(f, requests[i][0], requests[i][1], requests[i][0][0] == 'G' ? "" : "{}",
                "The requested operation is not supported: Bothy has no ");
    }
}

static void test_logger(void **state)
{
    struct api_rig *f = *state;
    char text[64] = "";

    put(f, "PUT", "/logger", "{'level':'WARNING','log_path':'$','show_level':true}");
    assert_true(f->log_fd >= 0);
    assert_int_equal(write(f->log_fd, "x", 1), 1);
    assert_string_equal(f->vm.config.log_level, "warning");
    refused(f, "PUT", "/logger", "{'level':'Loud'}", "Logger error: level is Loud");
    refused(f, "PUT", "/logger", "{'log_path':'/no/such'}", "Logger error: Failed to open /no");
    refused(f, "PUT", "/logger", "{'module':'x'}", "Logger error: Bothy has no filter");
    begin(f);
    refused(f, "PUT", "/logger", "{'level':'Info'}", POST_BOOT);
    assert_int_equal(pread(f->log_fd, text, sizeof(text), 0), 1);
}

static void test_metrics(void **state)
{
    struct api_rig *f = *state;
    static const char part[] = "bothy_vcpu_exits_total{vcpu=\"0\",reason=\"WFx\"} 17\n";

    assert_int_equal(ask(f, "GET", "/metrics", "", ""), 200);
    assert_non_null(strstr(f->answer, "Content-Type: application/openmetrics-text; "
                                      "version=1.0.0; charset=utf-8\r\n"));
    assert_non_null(strstr(f->answer, part));
    assert_string_equal(f->answer + strlen(f->answer) - 6, "# EOF\n");
    ask(f, "GET", "/metrics", "application/json;q=0.5,application/openmetrics-text", "");
    assert_non_null(strstr(f->answer, "Content-Type: application/openmetrics-text"));
    ask(f, "GET", "/metrics", "text/plain;version=0.0.4;q=0.5", "");
    assert_non_null(strstr(f->answer, "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(f->answer, part));
    ask(f, "GET", "/metrics", "application/json", "");
    assert_non_null(strstr(body_of(f), "\"bothy_vcpu_exits_total{vcpu=\\\"0\\\",reason="
                                       "\\\"WFx\\\"}\":17"));
    assert_int_equal(ask(f, "GET", "/metrics", "image/png", ""), 406);
}

static void test_metrics_in_a_file(void **state)
{
    struct api_rig *f = *state;
    char text[4096] = "";
    int fd;

    refused(f, "PUT", "/actions", "{'action_type':'FlushMetrics'}", PRE_BOOT);
    put(f, "PUT", "/metrics", "{'metrics_path':'$'}");
    refused(f, "PUT", "/metrics", "{'metrics_path':'x'}",
            "Metrics error: Reinitialization of metrics not allowed.");
    begin(f);
    put(f, "PUT", "/actions", "{'action_type':'FlushMetrics'}");
    fd = open(f->file, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_non_null(strstr(text, "bothy_api_requests_total 6\n"));
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
}

static void test_flush_without_a_file(void **state)
{
    struct api_rig *f = *state;

    begin(f);
    refused(f, "PUT", "/actions", "{'action_type':'FlushMetrics'}", "Metrics error: There is no");
    refused(f, "PUT", "/metrics", "{'metrics_path':'x'}", POST_BOOT);
}

static void test_stat(void **state)
{
    struct api_rig *f = *state;
    json_t *json;

    put(f, "PUT", "/drives/r", "{'drive_id':'r','is_root_device':true,'path_on_host':'$'}");
    begin(f);
    assert_int_equal(ask(f, "GET", "/stat", "", ""), 200);
    json = json_loads(body_of(f), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "state")), "running");
    assert_int_equal(json_integer_value(json_object_get(json, "pid")), getpid());
    assert_int_equal(json_array_size(json_object_get(json, "devices")), 1);
    assert_int_equal(json_integer_value(json_object_get(
                         json_object_get(json, "metrics"), "bothy_api_requests_total")), 4);
    json_decref(json);
}

static void test_host_strings_need_not_be_utf8(void **state)
{
    struct api_rig *f = *state;

    f->vm.config.kernel = strdup("/k\xff\xfe");
    assert_int_equal(ask(f, "GET", "/vm/config", "", ""), 200);
    assert_non_null(strstr(body_of(f), "\"/k??\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_drive_at_run_time),
        TEST(test_balloon),
        TEST(test_no_balloon_at_run_time),
        TEST(test_states),
        TEST(test_kill_before_start),
        TEST(test_what_firecracker_has_beyond),
        TEST(test_logger),
        TEST(test_metrics),
        TEST(test_metrics_in_a_file),
        TEST(test_flush_without_a_file),
        TEST(test_stat),
        TEST(test_host_strings_need_not_be_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
