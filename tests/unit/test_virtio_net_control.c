/* SPDX-License-Identifier: Apache-2.0 */
/* The network device's features, control queue and configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/net_backend.h"
#include "tests/support/vring_driver.h"

#define OK 0
#define ERR 1
#define ALL UINT64_MAX
#define OFFLOADS (VIRTIO_NET_HOST_OFFLOADS | VIRTIO_NET_GUEST_OFFLOADS)

struct fixture {
    struct net_backend *backend;
    struct vring_driver *driver;
};

static struct fixture begin(uint16_t pairs, uint64_t features)
{
    struct fixture f = {.backend = net_backend_create(pairs, 16, true, OFFLOADS, 0)};

    f.driver = vring_driver_create(&f.backend->net.device, 1 << 20);
    assert_true(vring_driver_start(f.driver, features & ~VIRTIO_F_RING_PACKED, 16));
    return f;
}

static void end(struct fixture *f)
{
    vring_driver_destroy(f->driver);
    net_backend_destroy(f->backend);
}

static void test_offers(void **state)
{
    struct net_backend *backend = net_backend_create(3, 16, true, VIRTIO_NET_F_CSUM, 1400);
    struct vring_driver *driver = vring_driver_create(&backend->net.device, 1 << 20);
    uint64_t offered = backend->net.device.features_offered;

    assert_true(offered & VIRTIO_NET_F_MAC);
    assert_true(offered & VIRTIO_NET_F_MQ);
    assert_true(offered & VIRTIO_NET_F_MTU);
    assert_true(offered & VIRTIO_NET_F_CSUM);
    assert_false(offered & VIRTIO_NET_F_HOST_TSO4);
    assert_false(offered & VIRTIO_NET_GUEST_OFFLOADS);
    assert_false(offered & VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
    for (uint32_t i = 0; i < VIRTIO_NET_MAC_SIZE; i++) {
        assert_int_equal(vring_config(driver, i, 1), net_backend_mac[i]);
    }
    assert_int_equal(vring_config(driver, 6, 2), VIRTIO_NET_S_LINK_UP);
    assert_int_equal(vring_config(driver, 8, 2), 3);
    assert_int_equal(vring_config(driver, 10, 2), 1400);
    assert_int_equal(backend->net.device.nr_queues, 7);
    vring_driver_destroy(driver);
    net_backend_destroy(backend);

    backend = net_backend_create(1, 16, true, OFFLOADS, 0);
    offered = backend->net.device.features_offered;
    assert_int_equal(offered & OFFLOADS, OFFLOADS);
    assert_false(offered & (VIRTIO_NET_F_MQ | VIRTIO_NET_F_MTU));
    net_backend_destroy(backend);
}

static void test_refuses_features_without_what_they_need(void **state)
{
    static const uint64_t bad[] = {
        VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_UFO,
        VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_ECN,
        VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_RX,
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct net_backend *backend = net_backend_create(1, 16, true, OFFLOADS, 0);
        struct vring_driver *driver = vring_driver_create(&backend->net.device, 1 << 20);

        assert_false(vring_negotiate(driver, bad[i]));
        assert_true(vring_negotiate(driver, OFFLOADS | VIRTIO_NET_F_CTRL_VQ));
        vring_driver_destroy(driver);
        net_backend_destroy(backend);
    }
}

/* The answer, or -1 if there is none. */
static int command(struct fixture *f, uint16_t queue, uint8_t class, uint8_t number,
                   const void *data, uint32_t size)
{
    uint8_t header[2] = {class, number};
    struct vring_buffer buffers[3] = {vring_out(f->driver, header, 2)};
    struct vring_used used;
    unsigned int count = 1;

    if (size != 0) {
        buffers[count++] = vring_out(f->driver, data, size);
    }
    buffers[count++] = vring_in(f->driver, 1);
    *(uint8_t *)vring_at(f->driver, buffers[count - 1].ipa) = 0xee;
    vring_add(f->driver, queue, buffers, count, false);
    vring_kick(f->driver, queue);
    if (!vring_collect(f->driver, queue, &used)) {
        return -1;
    }
    assert_int_equal(used.written, 1);
    return *(uint8_t *)vring_at(f->driver, buffers[count - 1].ipa);
}

static void test_receive_modes_and_vlans(void **state)
{
    struct fixture f = begin(1, ALL);

    assert_int_equal(command(&f, 2, 0, 0, "\1", 1), OK);
    assert_int_equal(command(&f, 2, 0, 1, "\0", 1), OK);
    assert_int_equal(command(&f, 2, 0, 2, "\0", 1), ERR); /* needs CTRL_RX_EXTRA */
    assert_int_equal(command(&f, 2, 0, 0, "\1\1", 2), ERR);
    assert_int_equal(command(&f, 2, 0, 0, NULL, 0), ERR);
    assert_int_equal(command(&f, 2, 2, 0, "\5\0", 2), OK);
    assert_int_equal(command(&f, 2, 2, 1, "\5\0", 2), OK);
    assert_int_equal(command(&f, 2, 2, 2, "\5\0", 2), ERR);
    assert_int_equal(command(&f, 2, 9, 0, "\5\0", 2), ERR);
    end(&f);
}

static void test_what_was_not_negotiated_is_refused(void **state)
{
    struct fixture f = begin(2, VIRTIO_NET_F_CTRL_VQ);
    uint64_t none = 0;

    assert_int_equal(command(&f, 2, 0, 0, "\1", 1), ERR);
    assert_int_equal(command(&f, 2, 1, 0, "\0\0\0\0\0\0\0\0", 8), ERR);
    assert_int_equal(command(&f, 2, 1, 1, "\2\0\0\0\0\1", 6), ERR);
    assert_int_equal(command(&f, 2, 2, 0, "\5\0", 2), ERR);
    assert_int_equal(command(&f, 2, 3, 0, NULL, 0), ERR);
    assert_int_equal(command(&f, 2, 4, 0, "\2\0", 2), ERR);
    assert_int_equal(command(&f, 2, 5, 0, &none, 8), ERR);
    end(&f);

    f = begin(1, 0); /* without the control queue nobody answers there */
    assert_int_equal(command(&f, 2, 0, 0, "\1", 1), -1);
    end(&f);
}

static void test_mac_address(void **state)
{
    struct fixture f = begin(1, ALL);
    uint32_t generation = vring_read(f.driver, VRING_CONFIG_GENERATION);

    assert_int_equal(command(&f, 2, 1, 1, "\2\xaa\xbb\xcc\xdd\xee", 6), OK);
    assert_int_equal(vring_config(f.driver, 0, 4), 0xccbbaa02);
    assert_int_equal(vring_config(f.driver, 4, 2), 0xeedd);
    assert_int_not_equal(vring_read(f.driver, VRING_CONFIG_GENERATION), generation);
    assert_int_equal(command(&f, 2, 1, 1, "\2\xaa\xbb\xcc\xdd", 5), ERR);
    assert_true(vring_driver_reset(f.driver));
    for (uint32_t i = 0; i < VIRTIO_NET_MAC_SIZE; i++) {
        assert_int_equal(vring_config(f.driver, i, 1), net_backend_mac[i]);
    }
    end(&f);
}

static void test_mac_tables(void **state)
{
    struct fixture f = begin(1, ALL);
    uint8_t tables[4 + 6 + 4 + 12] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0};

    assert_int_equal(command(&f, 2, 1, 0, tables, sizeof(tables)), OK);
    assert_int_equal(command(&f, 2, 1, 0, tables, sizeof(tables) - 1), ERR);
    assert_int_equal(command(&f, 2, 1, 0, tables, 10), ERR);
    memset(tables, 0xff, 4);
    assert_int_equal(command(&f, 2, 1, 0, tables, sizeof(tables)), ERR);
    memset(tables, 0, sizeof(tables));
    assert_int_equal(command(&f, 2, 1, 0, tables, 8), OK);
    end(&f);
}

static void test_queue_pairs(void **state)
{
    struct fixture f = begin(3, ALL);

    assert_int_equal(f.backend->pairs_set, 1);
    assert_int_equal(command(&f, 6, 4, 0, "\3\0", 2), OK);
    assert_int_equal(f.backend->pairs_set, 3);
    assert_int_equal(f.backend->net.pairs, 3);
    assert_int_equal(command(&f, 6, 4, 0, "\4\0", 2), ERR);
    assert_int_equal(command(&f, 6, 4, 0, "\0\0", 2), ERR);
    assert_int_equal(command(&f, 6, 4, 0, "\1\1", 2), ERR);
    assert_int_equal(command(&f, 6, 4, 1, "\1\0", 2), ERR); /* RSS */
    assert_int_equal(f.backend->net.pairs, 3);
    assert_true(vring_driver_start(f.driver, VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ, 16));
    assert_int_equal(f.backend->net.pairs, 1);
    end(&f);
}

static void test_second_pair_works_once_asked_for(void **state)
{
    struct fixture f = begin(2, VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ);
    uint8_t frame[VIRTIO_NET_HEADER + 60] = {0};
    struct vring_buffer in = vring_in(f.driver, 2000);
    struct vring_buffer out = vring_out(f.driver, frame, sizeof(frame));
    struct vring_used used;

    vring_add(f.driver, 2, &in, 1, false);
    vring_kick(f.driver, 2);
    net_backend_put(f.backend, frame, sizeof(frame));
    assert_int_equal(net_backend_poll(f.backend, 1), VIRTIO_NET_STARVED);
    assert_false(vring_collect(f.driver, 2, &used));
    assert_int_equal(command(&f, 4, 4, 0, "\2\0", 2), OK);
    net_backend_poll(f.backend, 1);
    assert_true(vring_collect(f.driver, 2, &used));
    vring_add(f.driver, 3, &out, 1, false);
    vring_kick(f.driver, 3);
    assert_int_equal(f.backend->nr_sent, 1);
    end(&f);
}

static void test_guest_offloads(void **state)
{
    struct fixture f = begin(1, ALL & ~VIRTIO_NET_F_GUEST_UFO);
    uint64_t some = VIRTIO_NET_F_GUEST_CSUM;

    assert_int_equal(f.backend->offloads, VIRTIO_NET_GUEST_OFFLOADS & ~VIRTIO_NET_F_GUEST_UFO);
    assert_int_equal(command(&f, 2, 5, 0, &some, 8), OK);
    assert_int_equal(f.backend->offloads, some);
    some = VIRTIO_NET_F_GUEST_UFO; /* wasn't taken */
    assert_int_equal(command(&f, 2, 5, 0, &some, 8), ERR);
    some = VIRTIO_NET_F_CSUM;
    assert_int_equal(command(&f, 2, 5, 0, &some, 8), ERR);
    some = 0;
    assert_int_equal(command(&f, 2, 5, 0, &some, 7), ERR);
    assert_int_equal(f.backend->offloads, VIRTIO_NET_F_GUEST_CSUM);
    end(&f);
}

static void test_malformed_commands_break_the_device(void **state)
{
    static const struct {
        uint32_t out, in;
    } shapes[] = {{0, 1}, {1, 1}, {2, 0}, {3, 0}};

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct fixture f = begin(1, ALL);
        struct vring_buffer buffers[2];
        unsigned int count = 0;

        if (shapes[i].out != 0) {
            buffers[count++] = vring_out(f.driver, "\0\0\1", shapes[i].out);
        }
        if (shapes[i].in != 0) {
            buffers[count++] = vring_in(f.driver, shapes[i].in);
        }
        vring_add(f.driver, 2, buffers, count, false);
        vring_kick(f.driver, 2);
        assert_true(vring_read(f.driver, VRING_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
        assert_false(f.backend->running);
        end(&f);
    }
}

static void set_link(struct fixture *f, bool up)
{
    spin_lock(&f->backend->net.device.lock);
    virtio_net_set_link(&f->backend->net, up);
    spin_unlock(&f->backend->net.device.lock);
}

static void test_link(void **state)
{
    struct fixture f = begin(1, ALL);
    unsigned int before = f.driver->interrupts;

    set_link(&f, true); /* it is */
    assert_int_equal(f.driver->interrupts, before);
    set_link(&f, false);
    assert_int_equal(vring_config(f.driver, 6, 2), 0);
    assert_true(vring_handle_interrupt(f.driver) & 2);
    set_link(&f, true);
    assert_int_equal(vring_config(f.driver, 6, 2), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    assert_int_equal(command(&f, 2, 3, 0, NULL, 0), OK);
    assert_int_equal(vring_config(f.driver, 6, 2), VIRTIO_NET_S_LINK_UP);
    set_link(&f, false);
    assert_true(vring_driver_start(f.driver, VIRTIO_NET_F_STATUS, 16));
    assert_int_equal(vring_config(f.driver, 6, 2), 0);
    set_link(&f, true);
    assert_int_equal(vring_config(f.driver, 6, 2), VIRTIO_NET_S_LINK_UP); /* didn't ask for it */
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_refuses_features_without_what_they_need),
        cmocka_unit_test(test_receive_modes_and_vlans),
        cmocka_unit_test(test_what_was_not_negotiated_is_refused),
        cmocka_unit_test(test_mac_address),
        cmocka_unit_test(test_mac_tables),
        cmocka_unit_test(test_queue_pairs),
        cmocka_unit_test(test_second_pair_works_once_asked_for),
        cmocka_unit_test(test_guest_offloads),
        cmocka_unit_test(test_malformed_commands_break_the_device),
        cmocka_unit_test(test_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
