/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between the network device and real tap interfaces. */
#include "tests/unit/tap_fixture.h"

static void both_ways(uint64_t features)
{
    struct net_rig *rig = new_tap(1);
    uint8_t *bytes = malloc(VIRTIO_NET_FRAME_MAX);
    uint8_t frame[1514];
    uint8_t got[2000];
    struct arrival arrival = {.bytes = bytes};
    int host;

    start(rig, features);
    host = open_host("bothytest0", false);
    net_rig_refill(rig, 0, 100, 1700);
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t size = make_frame(frame, 60 + (i * 91) % 1454, i);

        net_rig_send(rig, 0, frame, size);
        assert_int_equal(host_gets(host, got, sizeof(got)), size);
        assert_memory_equal(got, frame, size);
        assert_int_equal(send(host, frame, size, 0), size);
        arrival.wanted++;
        if (i % 7 == 6) {
            assert_true(net_rig_run(rig, all_arrived, &arrival, PATIENCE_MS));
            net_rig_refill(rig, 0, 7, 1700);
        }
    }
    assert_int_equal(rig->net->virtio.tx.frames, 200);
    assert_int_equal(rig->net->virtio.tx.dropped + rig->net->virtio.rx.dropped, 0);
    close(host);
    free(bytes);
    net_rig_end(rig);
}

static void test_frames_go_both_ways(void **state)
{
    need_permission();
    both_ways(VIRTIO_F_INDIRECT_DESC);
    both_ways(ALL);
    both_ways(ALL & ~VIRTIO_F_RING_PACKED);
    both_ways(ALL & ~VIRTIO_F_EVENT_IDX & ~VIRTIO_NET_F_MRG_RXBUF);
}

/* A TCP segment of 3000 bytes that is still to be cut into three. */
static uint32_t make_gso(uint8_t *packet)
{
    static const uint8_t head[10 + 14 + 20 + 20] = {
        1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0, /* NEEDS_CSUM, TCPV4, 54, 1000, 34, 16 */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
        0x45, 0, 0x0b, 0xe0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        0, 80, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0,
    };

    memset(packet, 0xa5, sizeof(head) + 3000);
    memcpy(packet, head, sizeof(head));
    return sizeof(head) + 3000;
}

struct sizes {
    uint32_t wanted, got, largest;
    uint8_t header[VIRTIO_NET_HEADER]; /* of the largest */
};

static bool tcp_arrived(struct net_rig *rig, void *argument)
{
    struct sizes *sizes = argument;
    uint8_t bytes[VIRTIO_NET_FRAME_MAX];
    uint8_t header[VIRTIO_NET_HEADER];
    uint32_t size;

    while ((size = net_rig_receive(rig, 0, bytes, header)) != 0) {
        if (bytes[12] == 0x08 && bytes[13] == 0x00) {
            sizes->got++;
            if (size > sizes->largest) {
                sizes->largest = size;
                memcpy(sizes->header, header, sizeof(header));
            }
        }
    }
    return sizes->got >= sizes->wanted;
}

static void test_offloads_are_what_the_guest_took(void **state)
{
    static const struct {
        uint64_t features;
        uint32_t frames, largest;
        uint8_t gso_type;
    } cases[] = {
        {VIRTIO_NET_F_MRG_RXBUF, 3, 14 + 40 + 1000, 0},
        {VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4, 1,
         14 + 40 + 3000, 1},
    };

    need_permission();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct net_rig *rig = new_tap(1);
        uint8_t packet[4096];
        struct sizes sizes = {.wanted = cases[i].frames};
        uint32_t size = make_gso(packet);
        int host;

        start(rig, ALL); /* what one driver took doesn't hold for the next */
        assert_true(vring_driver_start(rig->driver, cases[i].features, NET_RIG_QUEUE));
        host = open_host("bothytest0", true);
        net_rig_refill(rig, 0, 32, 1500);
        assert_int_equal(send(host, packet, size, 0), size);
        assert_true(net_rig_run(rig, tcp_arrived, &sizes, PATIENCE_MS));
        assert_int_equal(sizes.got, cases[i].frames);
        assert_int_equal(sizes.largest, cases[i].largest);
        assert_int_equal(sizes.header[1], cases[i].gso_type);
        close(host);
        net_rig_end(rig);
    }
}

/* Frames wait in the kernel while the guest has no buffers, and nobody turns in circles. */
static void test_no_frame_is_lost_without_buffers(void **state)
{
    struct net_rig *rig = new_tap(1);
    uint8_t *bytes = malloc(VIRTIO_NET_FRAME_MAX);
    struct arrival arrival = {.wanted = 300, .bytes = bytes};
    uint8_t frame[200];
    unsigned int rounds;
    int host;

    need_permission();
    start(rig, ALL);
    host = open_host("bothytest0", false);
    for (uint32_t i = 0; i < 300; i++) {
        make_frame(frame, sizeof(frame), i);
        assert_int_equal(send(host, frame, sizeof(frame), 0), sizeof(frame));
    }
    net_rig_run(rig, NULL, NULL, 20);
    rounds = rig->rounds;
    net_rig_run(rig, NULL, NULL, 50);
    assert_true(rig->rounds - rounds <= 3);
    while (arrival.got < 300) {
        uint32_t before = arrival.got;

        net_rig_refill(rig, 0, 25, 1000);
        arrival.wanted = before + 1;
        assert_true(net_rig_run(rig, all_arrived, &arrival, PATIENCE_MS));
    }
    assert_int_equal(rig->net->virtio.rx.dropped, 0);
    close(host);
    free(bytes);
    net_rig_end(rig);
}

static void test_paused_devices_stand_still(void **state)
{
    struct net_rig *rig = new_tap(1);
    uint8_t *bytes = malloc(VIRTIO_NET_FRAME_MAX);
    struct arrival arrival = {.wanted = 1, .bytes = bytes};
    uint8_t frame[200];
    uint8_t got[2000];
    uint64_t before;
    int host;

    need_permission();
    start(rig, ALL);
    host = open_host("bothytest0", false);
    net_rig_refill(rig, 0, 64, 1000);
    net_rig_run(rig, NULL, NULL, 10);
    rig->device->pause(rig->device, true);
    before = rig->net->virtio.rx.frames; /* of the kernel's own */
    make_frame(frame, sizeof(frame), 0);
    assert_int_equal(send(host, frame, sizeof(frame), 0), sizeof(frame));
    net_rig_send(rig, 0, frame, sizeof(frame));
    net_rig_run(rig, NULL, NULL, 30);
    assert_int_equal(rig->net->virtio.rx.frames, before);
    assert_int_equal(host_gets(host, got, sizeof(got)), 0);
    rig->device->pause(rig->device, false);
    assert_int_equal(host_gets(host, got, sizeof(got)), sizeof(frame));
    assert_true(net_rig_run(rig, all_arrived, &arrival, PATIENCE_MS));

    rig->device->quiesce(rig->device); /* a reboot */
    assert_int_equal(send(host, frame, sizeof(frame), 0), sizeof(frame));
    net_rig_run(rig, NULL, NULL, 30);
    arrival.got = 0;
    assert_false(all_arrived(rig, &arrival));
    assert_true(vring_driver_start(rig->driver, ALL, NET_RIG_QUEUE));
    net_rig_refill(rig, 0, 64, 1000);
    assert_true(net_rig_run(rig, all_arrived, &arrival, PATIENCE_MS));
    close(host);
    free(bytes);
    net_rig_end(rig);
}

static void test_rates_are_kept(void **state)
{
    struct net_rig *rig = new_tap(1);
    uint8_t *bytes = malloc(VIRTIO_NET_FRAME_MAX);
    struct arrival arrival = {.wanted = 30, .bytes = bytes};
    struct config_bucket slow = {.size = 5000, .refill_ms = 50};
    uint8_t frame[1000];
    uint64_t begin;
    int host;

    need_permission();
    rig->vm.config.nets[0].rx_rate.bandwidth = slow;
    rig->vm.config.nets[0].tx_rate.bandwidth = slow;
    start(rig, ALL);
    host = open_host("bothytest0", false);
    net_rig_refill(rig, 0, 120, 1100);
    begin = loop_now_ns();
    for (uint32_t i = 0; i < 30; i++) {
        make_frame(frame, sizeof(frame), i);
        assert_int_equal(send(host, frame, sizeof(frame), 0), sizeof(frame));
        net_rig_send(rig, 0, frame, sizeof(frame));
    }
    assert_true(net_rig_run(rig, all_arrived, &arrival, PATIENCE_MS));
    while (rig->net->virtio.tx.frames < 30) {
        net_rig_run(rig, NULL, NULL, 5);
    }
    /* 30 KB at 100 KB/s, of which the first 5 are there at once; and one frame is on credit. */
    assert_true(loop_now_ns() - begin > 230000000);
    net_rig_end(rig);
    close(host);
    free(bytes);
}

static uint32_t add_command(struct net_rig *rig, uint16_t queue, uint8_t pairs)
{
    uint8_t command[4] = {4, 0, pairs, 0};
    struct vring_buffer buffers[2] = {vring_out(rig->driver, command, 4), vring_in(rig->driver, 1)};
    struct vring_used used;

    vring_add(rig->driver, queue, buffers, 2, false);
    vring_kick(rig->driver, queue);
    assert_true(vring_collect(rig->driver, queue, &used));
    return *(uint8_t *)vring_at(rig->driver, buffers[1].ipa);
}

/* The kernel chooses the queue by flow; before it knows better, by a hash: one of them gets it. */
static bool any_pair(struct net_rig *rig, void *argument)
{
    struct arrival *arrivals = argument;

    return all_arrived(rig, &arrivals[0]) || all_arrived(rig, &arrivals[1]);
}

static void test_several_queues(void **state)
{
    struct net_rig *rig = new_tap(2);
    uint8_t *bytes = malloc(VIRTIO_NET_FRAME_MAX);
    struct arrival arrivals[2] = {{.wanted = 1, .bytes = bytes},
                                  {.wanted = 1, .bytes = bytes, .pair = 1}};
    uint8_t frame[200];
    uint8_t got[2000];
    int host;

    need_permission();
    start(rig, ALL);
    host = open_host("bothytest0", false);
    net_rig_refill(rig, 0, 32, 1000);
    net_rig_refill(rig, 1, 32, 1000);
    for (uint32_t round = 0; round < 5; round++) {
        assert_int_equal(add_command(rig, 4, 1 + round % 2), 0);
        for (uint16_t pair = 0; pair < 1 + round % 2; pair++) {
            make_frame(frame, sizeof(frame), pair);
            net_rig_send(rig, pair, frame, sizeof(frame));
            assert_int_equal(host_gets(host, got, sizeof(got)), sizeof(frame));
        }
        make_frame(frame, sizeof(frame), 0);
        assert_int_equal(send(host, frame, sizeof(frame), 0), sizeof(frame));
        arrivals[0].got = arrivals[1].got = 0;
        assert_true(net_rig_run(rig, any_pair, arrivals, PATIENCE_MS));
        assert_true(rig->net->virtio.link_up);
    }
    assert_true(vring_driver_start(rig->driver, ALL & ~VIRTIO_NET_F_MQ, NET_RIG_QUEUE));
    net_rig_refill(rig, 0, 32, 1000);
    assert_int_equal(send(host, frame, sizeof(frame), 0), sizeof(frame));
    arrivals[0].got = 0;
    assert_true(net_rig_run(rig, all_arrived, arrivals, PATIENCE_MS));
    close(host);
    free(bytes);
    net_rig_end(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_go_both_ways),
        cmocka_unit_test(test_offloads_are_what_the_guest_took),
        cmocka_unit_test(test_no_frame_is_lost_without_buffers),
        cmocka_unit_test(test_paused_devices_stand_still),
        cmocka_unit_test(test_rates_are_kept),
        cmocka_unit_test(test_several_queues),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
