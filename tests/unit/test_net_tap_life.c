/* SPDX-License-Identifier: Apache-2.0 */
/* Where tap interfaces come from, how they go, and what is said when there is none to be had. */
#include "tests/unit/tap_fixture.h"
#include <stdio.h>

static bool is_down(struct net_rig *rig, void *argument)
{
    return !rig->net->virtio.link_up;
}

static void test_a_deleted_interface_takes_the_link_down(void **state)
{
    struct net_rig *rig = new_tap(1);
    unsigned int rounds;

    need_permission();
    start(rig, ALL);
    net_rig_refill(rig, 0, 4, 1000);
    net_rig_run(rig, NULL, NULL, 10);
    assert_int_equal(system("ip link del bothytest0"), 0);
    assert_true(net_rig_run(rig, is_down, NULL, PATIENCE_MS));
    rounds = rig->rounds;
    net_rig_run(rig, NULL, NULL, 50);
    assert_true(rig->rounds - rounds <= 3);
    net_rig_end(rig);
}

static void test_what_we_make_vanishes_with_us(void **state)
{
    struct net_rig *rig = new_tap(2);
    struct error error = ERROR_NONE;

    need_permission();
    assert_true(net_rig_build(rig, &error));
    assert_int_not_equal(if_nametoindex("bothytest0"), 0);
    net_rig_end(rig);
    assert_int_equal(if_nametoindex("bothytest0"), 0);

    rig = net_rig_begin(); /* the kernel chooses the name */
    rig->vm.config.nets[0].make_tap = true;
    assert_true(net_rig_build(rig, &error));
    assert_int_not_equal(if_nametoindex("tap0"), 0);
    net_rig_end(rig);
    assert_int_equal(if_nametoindex("tap0"), 0);
}

static void test_an_existing_interface_is_used_and_stays(void **state)
{
    need_permission();
    for (int multi = 0; multi < 2; multi++) {
        struct net_rig *rig = net_rig_begin();
        uint8_t frame[200];
        uint8_t got[2000];
        int host;

        persist("bothytest1", multi ? IFF_MULTI_QUEUE : 0, true);
        set_up("bothytest1", true);
        rig->vm.config.nets[0].tap = strdup("bothytest1");
        start(rig, ALL);
        host = open_host("bothytest1", false);
        make_frame(frame, sizeof(frame), 0);
        net_rig_send(rig, 0, frame, sizeof(frame));
        assert_int_equal(host_gets(host, got, sizeof(got)), sizeof(frame));
        close(host);
        net_rig_end(rig);
        assert_int_not_equal(if_nametoindex("bothytest1"), 0);
        persist("bothytest1", multi ? IFF_MULTI_QUEUE : 0, false);
        assert_int_equal(if_nametoindex("bothytest1"), 0);
    }
}

static void test_an_inherited_descriptor(void **state)
{
    struct net_rig *rig = net_rig_begin();
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI}; /* no header */
    int fd = open("/dev/net/tun", O_RDWR);
    uint8_t frame[200];
    uint8_t got[2000];
    int host;

    need_permission();
    strcpy(request.ifr_name, "bothytest2");
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    set_up("bothytest2", true);
    rig->vm.config.nets[0].tap_fd = fd;
    start(rig, ALL);
    assert_false(rig->driver->features & VIRTIO_NET_HOST_OFFLOADS);
    host = open_host("bothytest2", false);
    make_frame(frame, sizeof(frame), 0);
    net_rig_send(rig, 0, frame, sizeof(frame));
    assert_int_equal(host_gets(host, got, sizeof(got)), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    close(host);
    net_rig_end(rig);
}

static void test_another_network_namespace(void **state)
{
    struct net_rig *rig = new_tap(1);
    struct error error = ERROR_NONE;
    char path[64];
    int outer = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int inner;

    need_permission();
    assert_int_equal(syscall(SYS_unshare, CLONE_NEWNET), 0);
    inner = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(syscall(SYS_setns, outer, CLONE_NEWNET), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", inner);
    rig->vm.config.netns = strdup(path);
    assert_true(net_rig_build(rig, &error));
    assert_int_equal(if_nametoindex("bothytest0"), 0);
    assert_int_equal(syscall(SYS_setns, inner, CLONE_NEWNET), 0);
    assert_int_not_equal(if_nametoindex("bothytest0"), 0);
    assert_int_equal(syscall(SYS_setns, outer, CLONE_NEWNET), 0);
    net_rig_end(rig);
    close(inner);
    close(outer);
}

/* ---- What can't be ---- */

static void expect_error(struct net_rig *rig, enum exit_code code, const char *words)
{
    struct error error = ERROR_NONE;

    assert_false(net_rig_build(rig, &error));
    if (strstr(error.text, words) == NULL) {
        fail_msg("'%s' lacks '%s'", error.text, words);
    }
    assert_int_equal(error.code, code);
    net_rig_end(rig);
}

static struct net_rig *named(const char *name)
{
    struct net_rig *rig = net_rig_begin();

    rig->vm.config.nets[0].tap = strdup(name);
    return rig;
}

static void test_errors_say_what_helps(void **state)
{
    struct net_rig *rig;
    int null = open("/dev/null", O_RDWR);

    need_permission();
    expect_error(named("nosuchtap"), EXIT_CODE_INPUT,
                 "tap nosuchtap: there is no such interface (ip tuntap add dev nosuchtap mode tap "
                 "user USER");
    assert_int_equal(if_nametoindex("nosuchtap"), 0);
    expect_error(named("a-name-that-is-too-long"), EXIT_CODE_USAGE, "1 to 15 characters");
    expect_error(named("lo"), EXIT_CODE_INPUT, "tap lo: not a tap interface");
    rig = net_rig_begin();
    rig->vm.config.nets[0].tap_fd = null;
    expect_error(rig, EXIT_CODE_INPUT, "not an open tap interface");
    rig = net_rig_begin();
    rig->vm.config.nets[0].tap_fd = 987;
    expect_error(rig, EXIT_CODE_INPUT, "tapfd 987");
    rig = new_tap(1);
    rig->vm.config.netns = strdup("no-such-netns");
    expect_error(rig, EXIT_CODE_INPUT, "netns no-such-netns");
    rig = new_tap(1);
    rig->vm.config.nets[0].vhost = true;
    rig->vm.config.nets[0].rx_rate.ops = (struct config_bucket){.size = 1, .refill_ms = 1};
    expect_error(rig, EXIT_CODE_USAGE, "a rate can't be limited with vhost=on");
    close(null);
}

static void test_a_busy_interface_is_refused(void **state)
{
    struct net_rig *rig = new_tap(1);
    struct error error = ERROR_NONE;
    struct net_rig *other;

    need_permission();
    assert_true(net_rig_build(rig, &error));
    expect_error(named("bothytest0"), EXIT_CODE_HOST, "tap bothytest0: in use");
    expect_error(new_tap(1), EXIT_CODE_HOST, "tap bothytest0: in use");
    other = named("bothytest0");
    other->vm.config.nets[0].queues = 2;
    expect_error(other, EXIT_CODE_INPUT, "multi_queue");
    net_rig_end(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_deleted_interface_takes_the_link_down),
        cmocka_unit_test(test_what_we_make_vanishes_with_us),
        cmocka_unit_test(test_an_existing_interface_is_used_and_stays),
        cmocka_unit_test(test_an_inherited_descriptor),
        cmocka_unit_test(test_another_network_namespace),
        cmocka_unit_test(test_errors_say_what_helps),
        cmocka_unit_test(test_a_busy_interface_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
