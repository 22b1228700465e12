/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over a stream, against a peer that cuts it where it likes; and passt itself, in whose
 * place is a script that does as passt does: it goes into the background with the socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/net_rig.h"
#include "vmm/devices/net_user.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RANDOM_SEED 20260401u
#define FRAMES 400u
#define PATIENCE_MS 20000u

/* ---- The stream ---- */

struct pair {
    struct net_link *link;
    int peer;
};

static struct pair make_pair(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return (struct pair){net_stream_create(fds[0], "the peer"), fds[1]};
}

static void end_pair(struct pair *pair)
{
    pair->link->ops->destroy(pair->link);
    if (pair->peer >= 0) {
        close(pair->peer);
    }
}

static enum virtio_net_result receive(struct pair *pair, uint8_t *to, uint32_t room,
                                      uint32_t *ret_size)
{
    /* Three pieces, so that a frame crosses their borders. */
    struct virtio_segment segments[3] = {{to, room / 3}, {to + room / 3, 1},
                                         {to + room / 3 + 1, room - room / 3 - 1}};

    return pair->link->ops->receive(pair->link, 0, segments, 3, ret_size);
}

/* Until the link says that there is nothing: the first answer may be that it knew so. */
static enum virtio_net_result receive_now(struct pair *pair, uint8_t *to, uint32_t room,
                                          uint32_t *ret_size)
{
    enum virtio_net_result result = receive(pair, to, room, ret_size);

    return result == VIRTIO_NET_WAIT ? receive(pair, to, room, ret_size) : result;
}

static uint32_t put_frame(uint8_t *at, uint32_t size, uint32_t number)
{
    at[0] = (uint8_t)(size >> 24);
    at[1] = (uint8_t)(size >> 16);
    at[2] = (uint8_t)(size >> 8);
    at[3] = (uint8_t)size;
    for (uint32_t i = 0; i < size; i++) {
        at[4 + i] = (uint8_t)(number + i * 3);
    }
    return size + 4;
}

static void check_frame(const uint8_t *bytes, uint32_t size, uint32_t number)
{
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(bytes[i], (uint8_t)(number + i * 3));
    }
}

/* What the peer writes is cut into pieces of any size; what comes out are its frames. */
static void test_receives_frames_however_they_are_cut(void **state)
{
    struct pair pair = make_pair();
    uint8_t *stream = malloc(FRAMES * (size_t)2100 + 3 * 70000);
    uint8_t *got = malloc(VIRTIO_NET_FRAME_MAX);
    uint32_t sizes[FRAMES];
    uint32_t end = 0;
    uint32_t at = 0;
    uint32_t received = 0;

    srand(RANDOM_SEED);
    for (uint32_t i = 0; i < FRAMES; i++) {
        sizes[i] = i % 150 == 7 ? VIRTIO_NET_FRAME_MAX : 1 + (uint32_t)rand() % 2000;
        end += put_frame(stream + end, sizes[i], i);
    }
    while (received < FRAMES) {
        uint32_t part = 1 + (uint32_t)rand() % (rand() % 8 == 0 ? 90000 : 3000);
        ssize_t written;
        uint32_t size;

        part = part < end - at ? part : end - at;
        written = part != 0 ? send(pair.peer, stream + at, part, MSG_DONTWAIT) : 0;
        at += written > 0 ? (uint32_t)written : 0;
        while (receive_now(&pair, got, VIRTIO_NET_FRAME_MAX, &size) == VIRTIO_NET_OK) {
            assert_int_equal(size, sizes[received]);
            check_frame(got, size, received++);
        }
        assert_false(pair.link->gone);
    }
    assert_int_equal(at, end);
    free(stream);
    free(got);
    end_pair(&pair);
}

static void test_truncates_what_has_no_room(void **state)
{
    struct pair pair = make_pair();
    uint8_t stream[300];
    uint8_t got[100];
    uint32_t length = put_frame(stream, 200, 5);
    uint32_t size;

    length += put_frame(stream + length, 50, 6);
    assert_int_equal(send(pair.peer, stream, length, 0), length);
    assert_int_equal(receive(&pair, got, 100, &size), VIRTIO_NET_OK);
    assert_int_equal(size, 100);
    assert_true(pair.link->buffered);
    assert_int_equal(receive(&pair, got, 100, &size), VIRTIO_NET_OK);
    assert_int_equal(size, 50);
    check_frame(got, 50, 6);
    assert_false(pair.link->buffered);
    end_pair(&pair);
}

static void test_impossible_lengths_end_the_link(void **state)
{
    static const uint32_t bad[] = {0, VIRTIO_NET_FRAME_MAX + 1, 0x80000000u, UINT32_MAX};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pair pair = make_pair();
        uint8_t length[4] = {(uint8_t)(bad[i] >> 24), (uint8_t)(bad[i] >> 16),
                             (uint8_t)(bad[i] >> 8), (uint8_t)bad[i]};
        uint8_t got[100];
        uint32_t size;

        assert_int_equal(send(pair.peer, length, 4, 0), 4);
        assert_int_equal(receive_now(&pair, got, 100, &size), VIRTIO_NET_DROPPED);
        assert_true(pair.link->gone);
        assert_non_null(strstr(pair.link->reason, "impossible size"));
        end_pair(&pair);
    }
}

static void test_end_of_the_peer_is_noticed(void **state)
{
    struct pair pair = make_pair();
    uint8_t stream[100];
    uint8_t got[100];
    uint32_t length = put_frame(stream, 60, 1);
    uint32_t size;
    struct virtio_segment segment = {got, 60};

    assert_int_equal(send(pair.peer, stream, length, 0), length); /* its last words count */
    close(pair.peer);
    pair.peer = -1;
    assert_int_equal(receive_now(&pair, got, 100, &size), VIRTIO_NET_OK);
    assert_int_equal(receive_now(&pair, got, 100, &size), VIRTIO_NET_DROPPED);
    assert_true(pair.link->gone);
    assert_string_equal(pair.link->reason, "the peer has ended");
    assert_int_equal(pair.link->ops->send(pair.link, 0, &segment, 1, 60), VIRTIO_NET_DROPPED);
    end_pair(&pair);
}

/* A peer that reads slowly: frames are whole and in order, and none is sent twice. */
static void test_sends_to_a_slow_peer(void **state)
{
    struct pair pair = make_pair();
    uint8_t *frame = malloc(4 + VIRTIO_NET_FRAME_MAX);
    uint8_t *stream = malloc(FRAMES * (size_t)(4 + VIRTIO_NET_FRAME_MAX));
    uint8_t *expected = malloc(FRAMES * (size_t)(4 + VIRTIO_NET_FRAME_MAX));
    size_t length = 0;
    size_t read_so_far = 0;
    uint32_t sent = 0;
    uint32_t waited = 0;
    uint32_t small = 4096;

    srand(RANDOM_SEED + 1);
    setsockopt(pair.link->fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    while (sent < FRAMES) {
        uint32_t size = 14 + (uint32_t)rand() % (rand() % 16 == 0 ? 60000 : 1500);
        struct virtio_segment segments[2] = {{frame + 4, 7}, {frame + 11, size - 7}};
        enum virtio_net_result result;
        ssize_t part;

        put_frame(frame, size, sent);
        if (pair.link->unsent && rand() % 2 == 0) {
            pair.link->ops->flush(pair.link);
        }
        result = pair.link->ops->send(pair.link, 0, segments, 2, size);
        if (result == VIRTIO_NET_OK) {
            memcpy(expected + length, frame, size + 4);
            length += size + 4;
            sent++;
            memset(frame, 0xee, size + 4); /* the guest has its buffer back */
        }
        waited += result == VIRTIO_NET_WAIT;
        part = recv(pair.peer, stream + read_so_far, 1 + (size_t)rand() % 4000, MSG_DONTWAIT);
        read_so_far += part > 0 ? (size_t)part : 0;
        assert_true(read_so_far <= length);
    }
    assert_true(waited > 0 && read_so_far > length / 2);
    assert_memory_equal(stream, expected, read_so_far);
    free(frame);
    free(stream);
    free(expected);
    end_pair(&pair);
}

/* ---- passt ---- */

static char directory[64];
static char *old_path;

/* A program named passt, first on the PATH. */
static void install(const char *script)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/passt", directory);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", script);
    fclose(file);
    chmod(path, 0755);
}

/* Says hello as a frame of 20 bytes, sends back all that comes, and ends at the end. It keeps
 * nothing of its parent's output, as passt doesn't. */
#define ECHO "echo \"$@\" >" "\"$0.args\"\n" \
    "{ printf '\\000\\000\\000\\024hello, this is passt'; exec cat <&3; } >&3 2>/dev/null &\n" \
    "exit 0"

static struct net_rig *user_rig(void)
{
    struct net_rig *rig = net_rig_begin();

    rig->vm.config.nets[0].kind = CONFIG_NET_USER;
    return rig;
}

static bool has_frame(struct net_rig *rig, void *argument)
{
    return rig->net->virtio.rx.frames >= *(uint32_t *)argument;
}

static bool is_down(struct net_rig *rig, void *argument)
{
    return !rig->net->virtio.link_up;
}

static void test_passt_is_started_and_frames_go_both_ways(void **state)
{
    struct net_rig *rig = user_rig();
    struct error error = ERROR_NONE;
    uint8_t *got = malloc(VIRTIO_NET_FRAME_MAX);
    uint8_t frame[1000];
    uint32_t wanted = 1;
    char args[256] = "";
    char path[128];
    int fd;

    install(ECHO);
    rig->vm.config.nets[0].mtu = 1400;
    rig->vm.config.nets[0].forward = strdup("8080:80");
    assert_true(net_rig_build(rig, &error));
    assert_true(vring_driver_start(rig->driver, UINT64_MAX, NET_RIG_QUEUE));
    assert_false(rig->driver->features & (VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM));
    net_rig_refill(rig, 0, 32, 2000);
    assert_true(net_rig_run(rig, has_frame, &wanted, PATIENCE_MS));
    assert_int_equal(net_rig_receive(rig, 0, got, NULL), 20);
    assert_memory_equal(got, "hello, this is passt", 20);
    for (uint32_t i = 0; i < 100; i++) {
        memset(frame, (int)i, sizeof(frame));
        net_rig_send(rig, 0, frame, 60 + i);
        net_rig_refill(rig, 0, 1, 2000);
        wanted++;
        assert_true(net_rig_run(rig, has_frame, &wanted, PATIENCE_MS));
        assert_int_equal(net_rig_receive(rig, 0, got, NULL), 60 + i);
        assert_memory_equal(got, frame, 60 + i);
    }
    snprintf(path, sizeof(path), "%s/passt.args", directory);
    fd = open(path, O_RDONLY);
    assert_true(read(fd, args, sizeof(args) - 1) > 0);
    close(fd);
    assert_string_equal(args, "--quiet --fd 3 --mtu 1400 --tcp-ports 8080:80\n");
    free(got);
    net_rig_end(rig);
}

/* The socket takes a part of a frame, and no other frame comes to push the rest. */
static void test_the_last_frame_arrives_whole(void **state)
{
    struct net_rig *rig = user_rig();
    struct error error = ERROR_NONE;
    uint8_t *got = malloc(VIRTIO_NET_FRAME_MAX);
    uint8_t frame[30000];
    uint32_t small = 4096;
    uint32_t wanted = 2; /* behind the hello */

    (void)state;
    install(ECHO);
    assert_true(net_rig_build(rig, &error));
    assert_true(vring_driver_start(rig->driver, UINT64_MAX, NET_RIG_QUEUE));
    setsockopt(rig->net->link->fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    net_rig_refill(rig, 0, 4, sizeof(frame) + NET_RIG_HEADER);
    memset(frame, 0x5a, sizeof(frame));
    net_rig_send(rig, 0, frame, sizeof(frame));
    assert_true(net_rig_run(rig, has_frame, &wanted, PATIENCE_MS));
    assert_int_equal(net_rig_receive(rig, 0, got, NULL), 20);
    assert_int_equal(net_rig_receive(rig, 0, got, NULL), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    assert_false(rig->net->link->unsent);
    free(got);
    net_rig_end(rig);
}

static void test_a_passt_that_ends_takes_the_link_down(void **state)
{
    struct net_rig *rig = user_rig();
    struct error error = ERROR_NONE;
    uint8_t frame[60] = {0};
    unsigned int rounds;

    install("{ read x <&3; } 2>/dev/null & exit 0");
    assert_true(net_rig_build(rig, &error));
    assert_true(vring_driver_start(rig->driver, UINT64_MAX, NET_RIG_QUEUE));
    net_rig_refill(rig, 0, 8, 2000);
    assert_int_equal(vring_config(rig->driver, 6, 2), VIRTIO_NET_S_LINK_UP);
    net_rig_send(rig, 0, "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", 16); /* the line it waits for */
    assert_true(net_rig_run(rig, is_down, NULL, PATIENCE_MS));
    assert_int_equal(vring_config(rig->driver, 6, 2), 0);
    rounds = rig->rounds;
    net_rig_send(rig, 0, frame, sizeof(frame)); /* no harm; lost, as with a cable pulled out */
    net_rig_run(rig, NULL, NULL, 50);
    assert_true(rig->rounds - rounds < 10);
    assert_int_equal(rig->net->virtio.tx.dropped, 1);
    net_rig_end(rig);
}

static void expect_refusal(const char *script, const char *words)
{
    struct net_rig *rig = user_rig();
    struct error error = ERROR_NONE;

    install(script);
    assert_false(net_rig_build(rig, &error));
    assert_int_equal(error.code, EXIT_CODE_HOST);
    assert_non_null(strstr(error.text, words));
    net_rig_end(rig);
}

static void test_passt_that_refuses_is_quoted(void **state)
{
    expect_refusal("echo \"Don't run as root. Changing to nobody...\" >&2\n"
                   "echo 'Invalid port specifier 80x' >&2; exit 1",
                   "net0: passt refuses: Invalid port specifier 80x");
    expect_refusal("echo 'no such option' >&2; echo 'Usage: passt [OPTION]' >&2;"
                   "echo '  -d' >&2; exit 1", "net0: passt refuses: no such option");
    expect_refusal("echo 'External interface not usable' >&2; exit 1",
                   "net0: passt refuses: External interface not usable; this version of it needs a "
                   "default route on the host");
    expect_refusal("kill -9 $$", "net0: passt refuses");
    expect_refusal("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "net0: passt refuses: xxx");
}

static void test_a_missing_passt_is_named_with_its_package(void **state)
{
    struct net_rig *rig = user_rig();
    struct error error = ERROR_NONE;

    setenv("PATH", "/nonexistent::/proc", 1);
    assert_false(net_rig_build(rig, &error));
    setenv("PATH", directory, 1);
    assert_int_equal(error.code, EXIT_CODE_HOST);
    assert_non_null(strstr(error.text, "install the package passt"));
    net_rig_end(rig);
}

static void expect_usage_error(struct net_rig *rig, const char *words)
{
    struct error error = ERROR_NONE;

    assert_false(net_rig_build(rig, &error));
    assert_int_equal(error.code, EXIT_CODE_USAGE);
    assert_non_null(strstr(error.text, words));
    net_rig_end(rig);
}

static void test_what_user_cannot_do_is_said(void **state)
{
    struct net_rig *rig = user_rig();

    rig->vm.config.nets[0].vhost = true;
    expect_usage_error(rig, "vhost=on needs a tap");
    rig = user_rig();
    rig->vm.config.nets[0].queues = 2;
    expect_usage_error(rig, "queues=2");
    rig = user_rig();
    rig->vm.config.nets[0].mtu = 60;
    expect_usage_error(rig, "mtu=60; the least is 68");
    rig = user_rig();
    rig->vm.config.nets[0].mac_given = true;
    rig->vm.config.nets[0].mac[0] = 1;
    expect_usage_error(rig, "mac begins with 01");
}

static void test_macs_are_derived_from_names(void **state)
{
    uint8_t a[6], b[6], c[6];

    net_derive_mac("vm", "net0", a);
    net_derive_mac("vm", "net0", b);
    assert_memory_equal(a, b, 6);
    assert_int_equal(a[0] & 3, 2);
    net_derive_mac("vm", "net1", c);
    assert_memory_not_equal(a, c, 6);
    net_derive_mac("wm", "net0", c);
    assert_memory_not_equal(a, c, 6);
}

static int setup(void **state)
{
    char path[4096];

    strcpy(directory, "/tmp/test_net_user.XXXXXX");
    old_path = strdup(getenv("PATH"));
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s:%s", directory, old_path);
    return setenv("PATH", path, 1);
}

static int teardown(void **state)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/passt", directory);
    unlink(path);
    strcat(path, ".args");
    unlink(path);
    free(old_path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receives_frames_however_they_are_cut),
        cmocka_unit_test(test_truncates_what_has_no_room),
        cmocka_unit_test(test_impossible_lengths_end_the_link),
        cmocka_unit_test(test_end_of_the_peer_is_noticed),
        cmocka_unit_test(test_sends_to_a_slow_peer),
        cmocka_unit_test(test_passt_is_started_and_frames_go_both_ways),
        cmocka_unit_test(test_the_last_frame_arrives_whole),
        cmocka_unit_test(test_a_passt_that_ends_takes_the_link_down),
        cmocka_unit_test(test_passt_that_refuses_is_quoted),
        cmocka_unit_test(test_a_missing_passt_is_named_with_its_package),
        cmocka_unit_test(test_what_user_cannot_do_is_said),
        cmocka_unit_test(test_macs_are_derived_from_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
