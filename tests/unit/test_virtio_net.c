/* SPDX-License-Identifier: Apache-2.0 */
/* The portable network device: sending, receiving with and without mergeable buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/net_backend.h"
#include "tests/support/vring_driver.h"

#define RX 0
#define TX 1
#define HEADER VIRTIO_NET_HEADER
#define OFFLOADS (VIRTIO_NET_HOST_OFFLOADS | VIRTIO_NET_GUEST_OFFLOADS)
#define RANDOM_SEED 20260301u

/* Each way in which rings can be: most tests run in all of them. */
static const uint64_t formats[] = {
    0,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX,
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

struct fixture {
    struct net_backend *backend;
    struct vring_driver *driver;
    uint8_t frame[HEADER + VIRTIO_NET_FRAME_MAX + 64];
};

static struct fixture *begin_with(uint64_t features, uint16_t queue_size, bool has_header)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->backend = net_backend_create(1, queue_size, has_header, OFFLOADS, 0);
    f->driver = vring_driver_create(&f->backend->net.device, 1 << 20);
    assert_true(vring_driver_start(f->driver, features | VIRTIO_F_INDIRECT_DESC, queue_size));
    for (uint32_t i = 0; i < sizeof(f->frame); i++) {
        f->frame[i] = i < HEADER ? 0 : (uint8_t)(i * 7 + (i >> 8));
    }
    return f;
}

static struct fixture *begin(uint64_t features)
{
    return begin_with(features, 64, true);
}

static void end(struct fixture *f)
{
    vring_driver_destroy(f->driver);
    net_backend_destroy(f->backend);
    free(f);
}

static uint32_t status_of(struct fixture *f)
{
    return vring_read(f->driver, VRING_STATUS);
}

static bool is_broken(struct fixture *f)
{
    return status_of(f) & VIRTIO_STATUS_NEEDS_RESET;
}

static void add_rx(struct fixture *f, uint32_t size)
{
    struct vring_buffer buffer = vring_in(f->driver, size);

    assert_true(vring_add(f->driver, RX, &buffer, 1, false) >= 0);
}

static int add_tx(struct fixture *f, uint32_t size)
{
    struct vring_buffer buffer = vring_out(f->driver, f->frame, size);

    return vring_add(f->driver, TX, &buffer, 1, false);
}

/* ---- Life ---- */

static void test_tells_the_backend_what_was_negotiated(void **state)
{
    struct fixture *f = begin(VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4);

    assert_int_equal(f->backend->offloads, VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4);
    assert_int_equal(f->backend->pairs_set, 1);
    assert_true(f->backend->running);
    assert_true(vring_driver_reset(f->driver));
    assert_false(f->backend->running);
    assert_true(vring_driver_start(f->driver, 0, 64));
    assert_int_equal(f->backend->offloads, 0);
    assert_int_equal(f->backend->runs, 2);
    end(f);
}

/* ---- Sending ---- */

static void send_and_check(struct fixture *f, uint64_t format)
{
    struct vring_used used;

    for (uint32_t i = 0; i < 300; i++) { /* several times around the ring */
        uint32_t size = HEADER + 14 + (i * 37) % 3000;
        struct vring_buffer buffers[3] = {
            vring_out(f->driver, f->frame, 5),
            vring_out(f->driver, f->frame + 5, 20),
            vring_out(f->driver, f->frame + 25, size - 25),
        };
        int token = vring_add(f->driver, TX, buffers, 3, i & 1);
        const struct net_frame *sent;

        assert_true(token >= 0);
        vring_kick(f->driver, TX);
        assert_int_equal(f->backend->nr_sent, i + 1);
        sent = &f->backend->sent[i % NET_BACKEND_FRAMES];
        assert_int_equal(sent->size, size);
        assert_memory_equal(sent->bytes, f->frame, size);
        assert_true(vring_collect(f->driver, TX, &used));
        assert_int_equal(used.token, token);
        assert_int_equal(used.written, 0);
        if (i % 60 == 59) { /* guest memory is only freed by a start */
            assert_true(vring_driver_start(f->driver, format | VIRTIO_F_INDIRECT_DESC, 64));
        }
    }
}

static void test_sends(void **state)
{
    for (size_t i = 0; i < FORMATS; i++) {
        struct fixture *f = begin(formats[i]);

        send_and_check(f, formats[i]);
        assert_int_equal(f->backend->net.tx.frames, 300);
        assert_int_equal(f->backend->net.tx.dropped + f->backend->net.tx.errors, 0);
        end(f);
    }
}

static void test_strips_the_header_for_a_backend_without(void **state)
{
    static const uint32_t cuts[] = {1, 11, 12, 13, 26};

    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct fixture *f = begin_with(0, 64, false);
        struct vring_buffer buffers[2] = {
            vring_out(f->driver, f->frame, cuts[i]),
            vring_out(f->driver, f->frame + cuts[i], HEADER + 100 - cuts[i]),
        };

        vring_add(f->driver, TX, buffers, 2, false);
        vring_kick(f->driver, TX);
        assert_int_equal(f->backend->nr_sent, 1);
        assert_int_equal(f->backend->sent[0].size, 100);
        assert_memory_equal(f->backend->sent[0].bytes, f->frame + HEADER, 100);
        end(f);
    }
}

static void test_gives_back_frames_of_impossible_sizes(void **state)
{
    struct fixture *f = begin(0);
    struct vring_used used;

    add_tx(f, HEADER);
    add_tx(f, HEADER + VIRTIO_NET_FRAME_MIN - 1);
    add_tx(f, HEADER + VIRTIO_NET_FRAME_MAX + 1);
    add_tx(f, HEADER + VIRTIO_NET_FRAME_MAX);
    vring_kick(f->driver, TX);
    for (int i = 0; i < 4; i++) {
        assert_true(vring_collect(f->driver, TX, &used));
    }
    assert_int_equal(f->backend->net.tx.errors, 3);
    assert_int_equal(f->backend->nr_sent, 1);
    assert_false(is_broken(f));
    end(f);
}

static void test_breaks_without_a_whole_header(void **state)
{
    for (uint32_t size = 1; size < HEADER; size += 10) {
        struct fixture *f = begin(0);

        add_tx(f, size);
        vring_kick(f->driver, TX);
        assert_true(is_broken(f));
        assert_false(f->backend->running);
        assert_true(vring_driver_start(f->driver, 0, 64)); /* and is mended by a reset */
        add_tx(f, HEADER + 60);
        vring_kick(f->driver, TX);
        assert_int_equal(f->backend->nr_sent, 1);
        end(f);
    }
}

static void test_waits_for_a_backend_without_room(void **state)
{
    for (size_t i = 0; i < FORMATS; i++) {
        struct fixture *f = begin(formats[i]);
        struct vring_used used;
        enum virtio_net_progress progress;

        f->backend->block = true;
        add_tx(f, HEADER + 60);
        add_tx(f, HEADER + 61);
        vring_kick(f->driver, TX);
        assert_false(vring_collect(f->driver, TX, &used));
        f->backend->block = false;
        progress = virtio_net_transmit(&f->backend->net, 0, 1);
        assert_int_equal(progress, VIRTIO_NET_MORE);
        progress = virtio_net_transmit(&f->backend->net, 0, 5);
        assert_int_equal(progress, VIRTIO_NET_IDLE);
        assert_int_equal(f->backend->nr_sent, 2);
        assert_int_equal(f->backend->sent[0].size, HEADER + 60);
        assert_int_equal(f->backend->sent[1].size, HEADER + 61);
        assert_true(vring_collect(f->driver, TX, &used));
        assert_true(vring_collect(f->driver, TX, &used));
        add_tx(f, HEADER + 62); /* and is notified again */
        assert_true(vring_kick(f->driver, TX));
        assert_int_equal(f->backend->nr_sent, 3);
        end(f);
    }
}

static void test_counts_what_the_backend_drops(void **state)
{
    struct fixture *f = begin(0);
    struct vring_used used;

    f->backend->drop = true;
    add_tx(f, HEADER + 60);
    vring_kick(f->driver, TX);
    assert_true(vring_collect(f->driver, TX, &used));
    assert_int_equal(f->backend->net.tx.dropped, 1);
    assert_int_equal(f->backend->net.tx.frames, 0);
    end(f);
}

/* ---- Receiving ---- */

/* Take one frame as a driver does; its size with the header. */
static uint32_t take_frame(struct fixture *f, uint64_t *ipas, uint8_t *to, uint32_t *ret_buffers)
{
    struct vring_used used;
    uint32_t size = 0;
    uint32_t buffers = 1;

    for (uint32_t i = 0; i < buffers; i++) {
        const uint8_t *from;

        assert_true(vring_collect(f->driver, RX, &used));
        assert_true(used.token >= 0);
        from = vring_at(f->driver, ipas[used.token]);
        memcpy(to + size, from, used.written);
        size += used.written;
        if (i == 0) {
            assert_true(used.written >= HEADER);
            buffers = from[10] | (uint32_t)from[11] << 8;
        }
    }
    *ret_buffers = buffers;
    to[10] = to[11] = 0;
    return size;
}

static void add_rx_at(struct fixture *f, uint64_t *ipas, uint32_t size)
{
    struct vring_buffer buffer = vring_in(f->driver, size);
    int token = vring_add(f->driver, RX, &buffer, 1, false);

    assert_true(token >= 0);
    ipas[token] = buffer.ipa;
}

static void test_receives_into_one_buffer(void **state)
{
    for (size_t i = 0; i < 2 * FORMATS; i++) {
        struct fixture *f = begin_with(formats[i / 2], 64, i & 1);
        uint64_t ipas[64];
        uint8_t *got = malloc(4096);
        uint32_t buffers;

        add_rx_at(f, ipas, 2000);
        memset(vring_at(f->driver, ipas[0]), 0xee, 2000);
        vring_kick(f->driver, RX);
        net_backend_put(f->backend, f->frame + (i & 1 ? 0 : HEADER), 100 + (i & 1 ? HEADER : 0));
        assert_int_equal(net_backend_poll(f->backend, 0), VIRTIO_NET_STARVED);
        assert_int_equal(take_frame(f, ipas, got, &buffers), HEADER + 100);
        assert_int_equal(buffers, 1);
        assert_memory_equal(got, f->frame, HEADER + 100);
        assert_true(vring_handle_interrupt(f->driver) & 1);
        free(got);
        end(f);
    }
}

static void test_asks_nothing_without_buffers(void **state)
{
    for (size_t i = 0; i < FORMATS; i++) {
        struct fixture *f = begin(formats[i] | VIRTIO_NET_F_MRG_RXBUF);
        uint64_t ipas[64];
        uint8_t got[256];
        uint32_t buffers;

        net_backend_put(f->backend, f->frame, HEADER + 100);
        assert_int_equal(net_backend_poll(f->backend, 0), VIRTIO_NET_STARVED);
        assert_int_equal(f->backend->asked, 0);
        add_rx_at(f, ipas, 1500);
        add_rx_at(f, ipas, 1500);
        assert_true(vring_kick(f->driver, RX)); /* it wants to know */
        assert_int_equal(take_frame(f, ipas, got, &buffers), HEADER + 100);
        end(f);
    }
}

static void test_spreads_a_frame_over_buffers(void **state)
{
    for (size_t i = 0; i < 2 * FORMATS; i++) {
        bool header = i & 1;
        struct fixture *f = begin_with(formats[i / 2] | VIRTIO_NET_F_MRG_RXBUF, 64, header);
        static const uint32_t sizes[] = {5000, 5000, 60, 65000, 9000};
        uint64_t ipas[64];
        uint8_t *got = malloc(sizeof(f->frame));
        uint32_t buffers;

        for (int n = 0; n < 64; n++) {
            add_rx_at(f, ipas, 1536);
        }
        vring_kick(f->driver, RX);
        for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++) {
            uint32_t total = HEADER + sizes[n];

            net_backend_put(f->backend, f->frame + (header ? 0 : HEADER),
                            sizes[n] + (header ? HEADER : 0));
            net_backend_poll(f->backend, 0);
            assert_int_equal(take_frame(f, ipas, got, &buffers), total);
            assert_int_equal(buffers, (total + 1535) / 1536);
            assert_memory_equal(got, f->frame, total);
        }
        assert_int_equal(f->backend->net.rx.frames, 5);
        assert_int_equal(f->backend->net.rx.dropped, 0);
        free(got);
        end(f);
    }
}

static void test_keeps_a_frame_that_lacks_buffers(void **state)
{
    for (size_t i = 0; i < FORMATS; i++) {
        struct fixture *f = begin(formats[i] | VIRTIO_NET_F_MRG_RXBUF);
        struct vring_used used;
        uint64_t ipas[64];
        uint8_t *got = malloc(8192);
        uint32_t buffers;

        add_rx_at(f, ipas, 1500);
        add_rx_at(f, ipas, 1500);
        vring_kick(f->driver, RX);
        net_backend_put(f->backend, f->frame, HEADER + 5000);
        net_backend_put(f->backend, f->frame, HEADER + 70);
        assert_int_equal(net_backend_poll(f->backend, 0), VIRTIO_NET_STARVED);
        assert_false(vring_collect(f->driver, RX, &used));
        memset(vring_at(f->driver, ipas[0]), 0x11, 1500); /* the guest may: they are its own */
        assert_int_equal(net_backend_poll(f->backend, 0), VIRTIO_NET_STARVED);
        assert_int_equal(f->backend->asked, 2); /* by the kick, and once for the frame */
        for (int n = 0; n < 4; n++) {
            add_rx_at(f, ipas, 1500);
        }
        assert_true(vring_kick(f->driver, RX));
        assert_int_equal(take_frame(f, ipas, got, &buffers), HEADER + 5000);
        assert_int_equal(buffers, 4);
        assert_memory_equal(got, f->frame, HEADER + 5000);
        assert_int_equal(take_frame(f, ipas, got, &buffers), HEADER + 70);
        assert_int_equal(f->backend->net.rx.dropped, 0);
        free(got);
        end(f);
    }
}

static void test_drops_what_no_ring_can_hold(void **state)
{
    for (size_t i = 0; i < FORMATS; i++) {
        struct fixture *f = begin_with(formats[i] | VIRTIO_NET_F_MRG_RXBUF, 4, true);
        uint64_t ipas[4];
        uint8_t got[256];
        uint32_t buffers;

        for (int n = 0; n < 4; n++) {
            add_rx_at(f, ipas, 200);
        }
        vring_kick(f->driver, RX);
        net_backend_put(f->backend, f->frame, HEADER + 5000);
        net_backend_put(f->backend, f->frame, HEADER + 70);
        assert_int_equal(net_backend_poll(f->backend, 0), VIRTIO_NET_IDLE);
        assert_int_equal(f->backend->net.rx.dropped, 1);
        assert_int_equal(take_frame(f, ipas, got, &buffers), HEADER + 70);
        end(f);
    }
}

static void test_drops_what_one_chain_cannot_hold(void **state)
{
    struct fixture *f = begin(0);
    uint64_t ipas[64];
    uint8_t got[256];
    uint32_t buffers;

    add_rx_at(f, ipas, HEADER + 100);
    add_rx_at(f, ipas, HEADER + 100);
    vring_kick(f->driver, RX);
    net_backend_put(f->backend, f->frame, HEADER + 101);
    net_backend_put(f->backend, f->frame, HEADER + 100);
    net_backend_poll(f->backend, 0);
    assert_int_equal(take_frame(f, ipas, got, &buffers), HEADER + 100);
    assert_int_equal(f->backend->net.rx.dropped, 1);
    end(f);
}

static void test_breaks_at_a_buffer_without_room_for_the_header(void **state)
{
    struct fixture *f = begin(VIRTIO_NET_F_MRG_RXBUF);

    add_rx(f, HEADER - 1);
    vring_kick(f->driver, RX);
    assert_true(is_broken(f));
    end(f);

    f = begin(0);
    struct vring_buffer out = vring_out(f->driver, f->frame, 100);
    vring_add(f->driver, RX, &out, 1, false); /* nothing to write to */
    vring_kick(f->driver, RX);
    assert_true(is_broken(f));
    end(f);
}

static void test_ignores_a_backend_that_gives_nonsense(void **state)
{
    struct fixture *f = begin(0);
    struct vring_used used;

    add_rx(f, 2000);
    vring_kick(f->driver, RX);
    net_backend_put(f->backend, f->frame, HEADER + 3);
    net_backend_poll(f->backend, 0);
    assert_false(vring_collect(f->driver, RX, &used));
    assert_int_equal(f->backend->net.rx.errors, 1);
    end(f);
}

static void test_forgets_a_kept_frame_at_reset(void **state)
{
    struct fixture *f = begin(VIRTIO_NET_F_MRG_RXBUF);
    struct vring_used used;

    add_rx(f, 1500);
    vring_kick(f->driver, RX);
    net_backend_put(f->backend, f->frame, HEADER + 5000);
    net_backend_poll(f->backend, 0);
    assert_int_not_equal(f->backend->receivers[0].stashed, 0);
    assert_true(vring_driver_start(f->driver, VIRTIO_NET_F_MRG_RXBUF, 64));
    for (int n = 0; n < 8; n++) {
        add_rx(f, 1500);
    }
    vring_kick(f->driver, RX);
    assert_false(vring_collect(f->driver, RX, &used));
    end(f);
}

static void test_no_frame_for_a_stopped_device(void **state)
{
    struct fixture *f = begin(0);

    add_rx(f, 1500);
    vring_driver_reset(f->driver);
    net_backend_put(f->backend, f->frame, HEADER + 100);
    assert_int_equal(net_backend_poll(f->backend, 0), VIRTIO_NET_STARVED);
    assert_int_equal(f->backend->asked, 0);
    assert_int_equal(virtio_net_transmit(&f->backend->net, 0, 1), VIRTIO_NET_IDLE);
    assert_int_equal(virtio_net_control(&f->backend->net), VIRTIO_NET_IDLE);
    end(f);
}

/* Frames of any size into buffers of any size come out whole and in order. */
static void random_traffic(uint64_t format, unsigned int seed)
{
    struct fixture *f = begin_with(format | VIRTIO_NET_F_MRG_RXBUF, 128, seed & 1);
    uint32_t header = seed & 1 ? HEADER : 0;
    uint64_t ipas[128];
    uint32_t sizes[400];
    uint8_t *got = malloc(sizeof(f->frame));
    uint32_t received = 0;
    uint32_t put = 0;
    uint32_t buffers;

    srand(RANDOM_SEED + seed);
    while (received < 400) {
        for (int n = rand() % 40; n > 0 && f->driver->queues[RX].free > 0; n--) {
            if (f->driver->ram_used > f->driver->ram_size - 8192) {
                break;
            }
            add_rx_at(f, ipas, 12 + (uint32_t)rand() % 3000);
        }
        vring_kick(f->driver, RX);
        while (put < 400 && put - received < 8 && rand() % 4 != 0) {
            sizes[put] = 14 + (uint32_t)rand() % (rand() % 4 == 0 ? 30000 : 1500);
            f->frame[HEADER] = (uint8_t)put;
            net_backend_put(f->backend, f->frame + HEADER - header, sizes[put++] + header);
        }
        net_backend_poll(f->backend, 0);
        while (received < f->backend->net.rx.frames) {
            assert_int_equal(take_frame(f, ipas, got, &buffers), HEADER + sizes[received]);
            f->frame[HEADER] = (uint8_t)received;
            assert_memory_equal(got, f->frame, HEADER + sizes[received]);
            received++;
        }
        if (f->driver->ram_used > f->driver->ram_size - 8192) {
            break; /* guest memory can't be freed one by one; enough has been seen */
        }
    }
    assert_true(received > 20);
    assert_int_equal(f->backend->net.rx.dropped, 0);
    assert_false(is_broken(f));
    free(got);
    end(f);
}

static void test_random_traffic(void **state)
{
    for (unsigned int seed = 0; seed < 40; seed++) {
        random_traffic(formats[seed / 2 % FORMATS], seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tells_the_backend_what_was_negotiated),
        cmocka_unit_test(test_sends),
        cmocka_unit_test(test_strips_the_header_for_a_backend_without),
        cmocka_unit_test(test_gives_back_frames_of_impossible_sizes),
        cmocka_unit_test(test_breaks_without_a_whole_header),
        cmocka_unit_test(test_waits_for_a_backend_without_room),
        cmocka_unit_test(test_counts_what_the_backend_drops),
        cmocka_unit_test(test_receives_into_one_buffer),
        cmocka_unit_test(test_asks_nothing_without_buffers),
        cmocka_unit_test(test_spreads_a_frame_over_buffers),
        cmocka_unit_test(test_keeps_a_frame_that_lacks_buffers),
        cmocka_unit_test(test_drops_what_no_ring_can_hold),
        cmocka_unit_test(test_drops_what_one_chain_cannot_hold),
        cmocka_unit_test(test_breaks_at_a_buffer_without_room_for_the_header),
        cmocka_unit_test(test_ignores_a_backend_that_gives_nonsense),
        cmocka_unit_test(test_forgets_a_kept_frame_at_reset),
        cmocka_unit_test(test_no_frame_for_a_stopped_device),
        cmocka_unit_test(test_random_traffic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
