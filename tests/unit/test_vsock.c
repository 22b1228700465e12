/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock by Unix sockets: a simulated guest on one side, real sockets on the other, the event loop
 * in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "machine/virtio/vsock.h"
#include "tests/support/fake_vm.h"
#include "tests/support/vring_driver.h"
#include "vmm/devices/vsock.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

#define HEADER 44u
#define RX_BUFFERS 16u
#define RX_SIZE 4096u
#define CID 7u

struct packet {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
    uint8_t data[RX_SIZE];
} __attribute__((packed));

struct rig {
    struct vm vm;
    struct config_vsock config;
    struct vmm_device *device;
    struct vring_driver *driver;
    struct vring_buffer rx[RX_BUFFERS];
    int rx_token[RX_BUFFERS];
    uint32_t buf_alloc, fwd_cnt; /* what the guest says of itself */
    char path[64];
    struct packet got;
};

struct stopper {
    struct loop_work work;
    struct loop *loop;
};

static void stop(struct loop_work *work)
{
    loop_stop(((struct stopper *)work)->loop);
}

/* Everything that is due. */
static void pump(struct rig *rig)
{
    for (unsigned int i = 0; i < 4; i++) {
        struct stopper stopper = {{.run = stop}, rig->vm.loop};

        loop_post(rig->vm.loop, &stopper.work);
        loop_run(rig->vm.loop);
    }
}

static void give_rx(struct rig *rig, unsigned int i)
{
    rig->rx_token[i] = vring_add(rig->driver, VIRTIO_VSOCK_RX, &rig->rx[i], 1, false);
    assert_true(rig->rx_token[i] >= 0);
}

static void start_guest(struct rig *rig)
{
    assert_true(vring_driver_start(rig->driver, UINT64_MAX & ~VIRTIO_F_RING_PACKED, 64));
    for (unsigned int i = 0; i < RX_BUFFERS; i++) {
        rig->rx[i] = vring_in(rig->driver, HEADER + RX_SIZE);
        give_rx(rig, i);
    }
    vring_kick(rig->driver, VIRTIO_VSOCK_RX);
}

static void begin(struct rig *rig)
{
    struct error error = ERROR_NONE;

    memset(rig, 0, sizeof(*rig));
    fake_vm_init(&rig->vm, loop_create());
    snprintf(rig->path, sizeof(rig->path), "/tmp/bothy-vsock-%d", (int)getpid());
    unlink(rig->path);
    rig->config = (struct config_vsock){CONFIG_VSOCK_UNIX, CID, rig->path};
    rig->device = vsock_unix_create(&rig->vm, &rig->config, &error);
    if (rig->device == NULL) {
        fail_msg("%s", error.text);
    }
    rig->driver = vring_driver_create(rig->device->virtio, MIB(2));
    rig->buf_alloc = 65536;
    start_guest(rig);
}

static void end(struct rig *rig)
{
    rig->device->destroy(rig->device);
    vring_driver_destroy(rig->driver);
    loop_destroy(rig->vm.loop);
    assert_int_equal(access(rig->path, F_OK), -1);
    fake_vm_release(&rig->vm);
}

static void guest_sends(struct rig *rig, uint16_t op, uint32_t guest_port, uint32_t host_port,
                        uint32_t flags, const void *data, uint32_t size)
{
    struct packet packet = {.src_cid = CID,
                            .dst_cid = 2,
                            .src_port = guest_port,
                            .dst_port = host_port,
                            .len = size,
                            .type = 1,
                            .op = op,
                            .flags = flags,
                            .buf_alloc = rig->buf_alloc,
                            .fwd_cnt = rig->fwd_cnt};
    struct vring_buffer buffers[2];
    struct vring_used used;

    rig->driver->ram_used = MIB(1); /* behind rings and receive buffers: again and again */
    buffers[0] = vring_out(rig->driver, &packet, HEADER);
    if (size > 0) {
        buffers[1] = vring_out(rig->driver, data, size);
    }
    assert_true(vring_add(rig->driver, VIRTIO_VSOCK_TX, buffers, size > 0 ? 2 : 1, false) >= 0);
    vring_kick(rig->driver, VIRTIO_VSOCK_TX);
    pump(rig);
    assert_true(vring_collect(rig->driver, VIRTIO_VSOCK_TX, &used));
}

/* The next packet for the guest, into rig->got; its op, or 0. */
static uint16_t guest_gets(struct rig *rig)
{
    struct vring_used used;

    pump(rig);
    if (!vring_collect(rig->driver, VIRTIO_VSOCK_RX, &used)) {
        return 0;
    }
    for (unsigned int i = 0; i < RX_BUFFERS; i++) {
        if (rig->rx_token[i] == used.token) {
            memcpy(&rig->got, vring_at(rig->driver, rig->rx[i].ipa), HEADER + RX_SIZE);
            assert_int_equal(used.written, HEADER + rig->got.len);
            assert_int_equal(rig->got.src_cid, 2);
            assert_int_equal(rig->got.dst_cid, CID);
            give_rx(rig, i);
            vring_kick(rig->driver, VIRTIO_VSOCK_RX);
            return rig->got.op;
        }
    }
    fail_msg("a buffer that wasn't given");
    return 0;
}

static int unix_socket(const char *path, bool server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, path);
    if (server) {
        unlink(path);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 200), 0);
    } else {
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    }
    return fd;
}

static int serve_port(struct rig *rig, uint32_t port)
{
    char path[80];

    snprintf(path, sizeof(path), "%s_%u", rig->path, port);
    return unix_socket(path, true);
}

static void unserve_port(struct rig *rig, uint32_t port, int fd)
{
    char path[80];

    close(fd);
    snprintf(path, sizeof(path), "%s_%u", rig->path, port);
    unlink(path);
}

/* The guest's port 1000 to the host's 52; the host's end. */
static int guest_connects(struct rig *rig)
{
    int listener = serve_port(rig, 52);
    int fd;

    guest_sends(rig, REQUEST, 1000, 52, 0, NULL, 0);
    assert_int_equal(guest_gets(rig), RESPONSE);
    assert_int_equal(rig->got.src_port, 52);
    assert_int_equal(rig->got.dst_port, 1000);
    assert_int_equal(rig->got.buf_alloc, VIRTIO_VSOCK_BUFFER);
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    unserve_port(rig, 52, listener);
    return fd;
}

static void expect(int fd, const void *data, size_t size)
{
    char buffer[256];

    assert_int_equal(recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT), size);
    assert_memory_equal(buffer, data, size);
}

static bool at_end(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);

    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void test_guest_connects(void **state)
{
    struct rig rig;
    int fd;

    (void)state;
    begin(&rig);
    fd = guest_connects(&rig);
    guest_sends(&rig, RW, 1000, 52, 0, "hello", 5);
    expect(fd, "hello", 5);
    assert_int_equal(write(fd, "world!", 6), 6);
    assert_int_equal(guest_gets(&rig), RW);
    assert_int_equal(rig.got.len, 6);
    assert_memory_equal(rig.got.data, "world!", 6);
    assert_int_equal(rig.got.fwd_cnt, 5);
    assert_int_equal(guest_gets(&rig), 0);
    /* Half closed, each side for itself. */
    shutdown(fd, SHUT_WR);
    assert_int_equal(guest_gets(&rig), SHUTDOWN);
    assert_int_equal(rig.got.flags, 2);
    guest_sends(&rig, RW, 1000, 52, 0, "more", 4);
    expect(fd, "more", 4);
    guest_sends(&rig, SHUTDOWN, 1000, 52, 2, NULL, 0);
    assert_true(at_end(fd));
    assert_int_equal(guest_gets(&rig), SHUTDOWN); /* nobody has anything to say any more */
    assert_int_equal(rig.got.flags, 3);
    guest_sends(&rig, SHUTDOWN, 1000, 52, 3, NULL, 0);
    assert_int_equal(guest_gets(&rig), RST);
    close(fd);
    assert_int_equal(guest_gets(&rig), 0);
    end(&rig);
}

static void test_host_closes(void **state)
{
    struct rig rig;
    int fd;

    (void)state;
    begin(&rig);
    fd = guest_connects(&rig);
    assert_int_equal(write(fd, "last", 4), 4);
    close(fd);
    assert_int_equal(guest_gets(&rig), RW); /* what it sent comes before its end */
    assert_int_equal(guest_gets(&rig), SHUTDOWN);
    assert_int_equal(rig.got.flags, 3);
    guest_sends(&rig, RW, 1000, 52, 0, "late", 4);
    assert_int_equal(guest_gets(&rig), RST);
    guest_sends(&rig, RST, 1000, 52, 0, NULL, 0);
    assert_int_equal(guest_gets(&rig), 0); /* a reset is not answered */
    end(&rig);
}

static void test_refused(void **state)
{
    struct rig rig;

    (void)state;
    begin(&rig);
    guest_sends(&rig, REQUEST, 1000, 53, 0, NULL, 0);
    assert_int_equal(guest_gets(&rig), RST);
    assert_int_equal(rig.got.dst_port, 1000);
    guest_sends(&rig, RW, 1, 2, 0, "x", 1); /* no such connection */
    assert_int_equal(guest_gets(&rig), RST);
    assert_int_equal(rig.got.src_port, 2);
    end(&rig);
}

static void test_host_connects(void **state)
{
    struct rig rig;
    uint32_t port;
    int fd;

    (void)state;
    begin(&rig);
    fd = unix_socket(rig.path, false);
    assert_int_equal(write(fd, "CONNECT 12", 10), 10);
    assert_int_equal(guest_gets(&rig), 0);
    assert_int_equal(write(fd, "34\nearly", 8), 8);
    assert_int_equal(guest_gets(&rig), REQUEST);
    assert_int_equal(rig.got.dst_port, 1234);
    port = rig.got.src_port;
    assert_int_equal(guest_gets(&rig), 0); /* no data before the guest has accepted */
    guest_sends(&rig, RESPONSE, 1234, port, 0, NULL, 0);
    expect(fd, "OK 1073741824\n", 14);
    assert_int_equal(port, 1073741824);
    assert_int_equal(guest_gets(&rig), RW);
    assert_memory_equal(rig.got.data, "early", 5);
    guest_sends(&rig, RST, 1234, port, 0, NULL, 0);
    assert_true(at_end(fd));
    close(fd);
    /* Refused by the guest. */
    fd = unix_socket(rig.path, false);
    assert_int_equal(write(fd, "CONNECT 1234\n", 13), 13);
    assert_int_equal(guest_gets(&rig), REQUEST);
    assert_int_not_equal(rig.got.src_port, port);
    guest_sends(&rig, RST, 1234, rig.got.src_port, 0, NULL, 0);
    assert_true(at_end(fd));
    close(fd);
    end(&rig);
}

static void test_bad_greetings(void **state)
{
    static const char *const lines[] = {"\n",
                                        "CONNECT\n",
                                        "CONNECT \n",
                                        "CONNECT x\n",
                                        "CONNECT 4294967296\n",
                                        "connect 1\n",
                                        "CONNECT 1 \n",
                                        "CONNECT 1111111111111111111111111111111111\n"};
    struct rig rig;

    (void)state;
    begin(&rig);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        int fd = unix_socket(rig.path, false);

        assert_int_equal(write(fd, lines[i], strlen(lines[i])), strlen(lines[i]));
        assert_int_equal(guest_gets(&rig), 0);
        if (!at_end(fd)) {
            fail_msg("taken: %s", lines[i]);
        }
        close(fd);
    }
    end(&rig);
}

/* The host doesn't read: we keep what was promised, and not a byte more. */
static void test_host_is_slow(void **state)
{
    struct rig rig;
    uint8_t data[4096];
    uint32_t sent = 0, credit = VIRTIO_VSOCK_BUFFER, got = 0;
    ssize_t size;
    int fd;

    (void)state;
    begin(&rig);
    fd = guest_connects(&rig);
    while (sent + sizeof(data) <= credit) {
        for (uint32_t i = 0; i < sizeof(data); i++) {
            data[i] = (uint8_t)((sent + i) * 7 >> 4);
        }
        guest_sends(&rig, RW, 1000, 52, 0, data, sizeof(data));
        sent += (uint32_t)sizeof(data);
        if (guest_gets(&rig) == CREDIT_UPDATE) {
            credit = rig.got.fwd_cnt + VIRTIO_VSOCK_BUFFER;
        }
    }
    guest_sends(&rig, CREDIT_REQUEST, 1000, 52, 0, NULL, 0);
    assert_int_equal(guest_gets(&rig), CREDIT_UPDATE);
    assert_true(sent - rig.got.fwd_cnt > VIRTIO_VSOCK_BUFFER - 4096);
    guest_sends(&rig, SHUTDOWN, 1000, 52, 3, NULL, 0);
    assert_int_equal(guest_gets(&rig), 0); /* not before it is through */
    while ((size = recv(fd, data, sizeof(data), MSG_DONTWAIT)) != 0) {
        for (ssize_t i = 0; i < size; i++, got++) {
            assert_int_equal(data[i], (uint8_t)(got * 7 >> 4));
        }
        pump(&rig);
    }
    assert_int_equal(got, sent);
    assert_int_equal(guest_gets(&rig), RST);
    close(fd);
    end(&rig);
}

static void test_guest_exceeds_credit(void **state)
{
    struct rig rig;
    static uint8_t data[65536];
    int fd;

    (void)state;
    begin(&rig);
    fd = guest_connects(&rig);
    for (unsigned int i = 0; i < 10; i++) { /* the socket takes some of it */
        guest_sends(&rig, RW, 1000, 52, 0, data, sizeof(data));
    }
    while (guest_gets(&rig) == CREDIT_UPDATE) {
    }
    assert_int_equal(rig.got.op, RST);
    close(fd);
    end(&rig);
}

/* The guest has little room: it is given that much, asked once, and gets the rest in time. */
static void test_guest_is_slow(void **state)
{
    struct rig rig;
    char data[300];
    int fd;

    (void)state;
    begin(&rig);
    rig.buf_alloc = 100;
    fd = guest_connects(&rig);
    memset(data, 'x', sizeof(data));
    assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
    assert_int_equal(guest_gets(&rig), RW);
    assert_int_equal(rig.got.len, 100);
    assert_int_equal(guest_gets(&rig), CREDIT_REQUEST);
    assert_int_equal(guest_gets(&rig), 0);
    rig.fwd_cnt = 60;
    guest_sends(&rig, CREDIT_UPDATE, 1000, 52, 0, NULL, 0);
    assert_int_equal(guest_gets(&rig), RW);
    assert_int_equal(rig.got.len, 60);
    rig.buf_alloc = 4096;
    guest_sends(&rig, CREDIT_UPDATE, 1000, 52, 0, NULL, 0);
    assert_int_equal(guest_gets(&rig), CREDIT_REQUEST);
    assert_int_equal(guest_gets(&rig), RW);
    assert_int_equal(rig.got.len, 140);
    close(fd);
    end(&rig);
}

static void test_reset(void **state)
{
    struct rig rig;
    int fd, waiting;

    (void)state;
    begin(&rig);
    fd = guest_connects(&rig);
    waiting = unix_socket(rig.path, false);
    assert_int_equal(write(waiting, "CONNECT 5\n", 10), 10);
    assert_int_equal(guest_gets(&rig), REQUEST);
    assert_true(vring_driver_reset(rig.driver));
    pump(&rig);
    assert_true(at_end(fd));
    assert_true(at_end(waiting));
    close(fd);
    close(waiting);
    waiting = unix_socket(rig.path, false); /* while there is no driver */
    assert_int_equal(write(waiting, "CONNECT 5\n", 10), 10);
    pump(&rig);
    assert_true(at_end(waiting));
    close(waiting);
    start_guest(&rig);
    close(guest_connects(&rig));
    end(&rig);
}

static void test_pause(void **state)
{
    struct rig rig;
    int fd;

    (void)state;
    begin(&rig);
    fd = guest_connects(&rig);
    rig.device->pause(rig.device, true);
    assert_int_equal(write(fd, "hello", 5), 5);
    assert_int_equal(guest_gets(&rig), 0);
    rig.device->pause(rig.device, false);
    assert_int_equal(guest_gets(&rig), RW);
    close(fd);
    end(&rig);
}

static void test_table_is_full(void **state)
{
    struct rig rig;
    int listener;

    (void)state;
    begin(&rig);
    listener = serve_port(&rig, 52);
    for (uint32_t i = 0; i < VIRTIO_VSOCK_CONNECTIONS + 2; i++) {
        guest_sends(&rig, REQUEST, 1000 + i, 52, 0, NULL, 0);
        assert_int_equal(guest_gets(&rig), i < VIRTIO_VSOCK_CONNECTIONS ? RESPONSE : RST);
    }
    guest_sends(&rig, RST, 1000, 52, 0, NULL, 0);
    guest_sends(&rig, REQUEST, 9, 52, 0, NULL, 0);
    assert_int_equal(guest_gets(&rig), RESPONSE);
    unserve_port(&rig, 52, listener);
    end(&rig);
}

/* A guest that gives no receive buffers stops itself: nothing of it piles up. */
static void test_resets_pile_up(void **state)
{
    struct rig rig;
    struct packet packet = {.src_cid = CID, .dst_cid = 2, .type = 1, .op = RW};
    struct vring_buffer buffer;
    struct vring_used used;
    unsigned int served = 0;

    (void)state;
    begin(&rig);
    assert_true(vring_driver_start(rig.driver, 0, 64));
    buffer = vring_out(rig.driver, &packet, HEADER);
    for (unsigned int i = 0; i < 64; i++) {
        assert_true(vring_add(rig.driver, VIRTIO_VSOCK_TX, &buffer, 1, false) >= 0);
    }
    vring_kick(rig.driver, VIRTIO_VSOCK_TX);
    pump(&rig);
    while (vring_collect(rig.driver, VIRTIO_VSOCK_TX, &used)) {
        served++;
    }
    assert_int_equal(served, VIRTIO_VSOCK_RESETS);
    for (unsigned int i = 0; i < RX_BUFFERS; i++) {
        rig.rx[i] = vring_in(rig.driver, HEADER + RX_SIZE);
        give_rx(&rig, i);
    }
    vring_kick(rig.driver, VIRTIO_VSOCK_RX);
    for (served = 0; guest_gets(&rig) == RST; served++) {
    }
    assert_int_equal(served, 64);
    end(&rig);
}

static void test_the_path(void **state)
{
    struct rig rig;
    struct error error = ERROR_NONE;
    struct stat info;
    int fd;

    (void)state;
    begin(&rig);
    assert_null(vsock_unix_create(&rig.vm, &rig.config, &error)); /* it is in use */
    assert_non_null(strstr(error.text, rig.path));
    assert_int_equal(stat(rig.path, &info), 0);
    end(&rig);
    close(unix_socket(rig.path, true)); /* left behind by somebody */
    begin(&rig);
    end(&rig);
    fd = open(rig.path, O_CREAT | O_WRONLY, 0600); /* no socket: not ours to remove */
    close(fd);
    fake_vm_init(&rig.vm, loop_create());
    error = (struct error)ERROR_NONE;
    assert_null(vsock_unix_create(&rig.vm, &rig.config, &error));
    assert_int_equal(unlink(rig.path), 0);
    loop_destroy(rig.vm.loop);
    fake_vm_release(&rig.vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_connects),
        cmocka_unit_test(test_host_closes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_host_connects),
        cmocka_unit_test(test_bad_greetings),
        cmocka_unit_test(test_host_is_slow),
        cmocka_unit_test(test_guest_exceeds_credit),
        cmocka_unit_test(test_guest_is_slow),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_table_is_full),
        cmocka_unit_test(test_resets_pile_up),
        cmocka_unit_test(test_the_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
