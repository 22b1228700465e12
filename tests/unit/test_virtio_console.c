/* SPDX-License-Identifier: Apache-2.0 */
/* virtio console: output of any shape, input as far as there are buffers, emergency writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/virtio/console.h"
#include "tests/support/vring_driver.h"

struct fixture {
    struct virtio_console console;
    struct vring_driver *driver;
    char output[8192];
    size_t nr_output; /* of which so many are in `output` as have room */
    int rooms;
    int agains;
};

static void output(void *backend, const uint8_t *bytes, size_t count)
{
    struct fixture *f = backend;

    if (f->nr_output + count <= sizeof(f->output)) {
        memcpy(f->output + f->nr_output, bytes, count);
    }
    f->nr_output += count;
}

static void input_room(void *backend)
{
    ((struct fixture *)backend)->rooms++;
}

static void again(void *backend)
{
    ((struct fixture *)backend)->agains++;
}

static const struct virtio_console_backend backend_ops = {output, input_room, again};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    virtio_console_init(&f->console, &backend_ops, f);
    f->driver = vring_driver_create(&f->console.device, MIB(1));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vring_driver_destroy(f->driver);
    free(f);
    return 0;
}

static void start(struct fixture *f, bool packed)
{
    assert_true(vring_driver_start(
        f->driver, (packed ? VIRTIO_F_RING_PACKED : 0) | VIRTIO_F_EVENT_IDX |
                       VIRTIO_F_INDIRECT_DESC, 16));
}

static void test_output(void **state)
{
    struct fixture *f = *state;

    for (int packed = 0; packed < 2; packed++) {
        struct vring_used used;

        start(f, packed != 0);
        f->nr_output = 0;
        for (int i = 0; i < 40; i++) {
            struct vring_buffer buffers[] = {vring_out(f->driver, "gu", 2),
                                             vring_out(f->driver, "est", 3)};

            vring_add(f->driver, VIRTIO_CONSOLE_TX, buffers, 2, i % 2 != 0);
            vring_kick(f->driver, VIRTIO_CONSOLE_TX);
            assert_true(vring_collect(f->driver, VIRTIO_CONSOLE_TX, &used));
            assert_int_equal(used.written, 0);
        }
        assert_int_equal(f->nr_output, 200);
        assert_memory_equal(f->output + 195, "guest", 5);
    }
    assert_int_equal(f->agains, 0);
}

/* Chains that together claim more than there is memory: a bounded share of them is looked at. */
static void test_output_has_a_bound(void **state)
{
    struct fixture *f = *state;
    struct vring_buffer buffers[32];
    struct vring_used used;
    char *last;

    start(f, false);
    buffers[0] = vring_in(f->driver, 512 * 1024);
    last = vring_at(f->driver, buffers[0].ipa);
    last[512 * 1024 - 1] = '!';
    for (int i = 0; i < 32; i++) {
        buffers[i] = buffers[0];
        buffers[i].writable = false;
    }
    for (int i = 0; i < 4; i++) {
        vring_add(f->driver, VIRTIO_CONSOLE_TX, buffers, 32, true);
    }
    for (size_t i = 1; i <= 4; i++) {
        if (i == 1) {
            vring_kick(f->driver, VIRTIO_CONSOLE_TX);
        } else {
            virtio_device_notify(&f->console.device, VIRTIO_CONSOLE_TX);
        }
        assert_int_equal(f->nr_output, i * 65536);
        assert_int_equal(f->agains, i);
        assert_true(vring_collect(f->driver, VIRTIO_CONSOLE_TX, &used));
        assert_false(vring_collect(f->driver, VIRTIO_CONSOLE_TX, &used));
    }
}

static void test_input_waits_for_buffers(void **state)
{
    struct fixture *f = *state;
    const uint8_t text[] = "0123456789";
    struct vring_buffer first;
    struct vring_buffer second;
    struct vring_used used;
    int rooms;

    assert_int_equal(virtio_console_input(&f->console, text, 10), 0); /* no driver yet */
    start(f, false);
    rooms = f->rooms;
    assert_true(rooms > 0);
    assert_int_equal(virtio_console_input(&f->console, text, 10), 0);
    first = vring_in(f->driver, 4);
    vring_add(f->driver, VIRTIO_CONSOLE_RX, &first, 1, false);
    second = vring_in(f->driver, 64);
    vring_add(f->driver, VIRTIO_CONSOLE_RX, &second, 1, false);
    vring_kick(f->driver, VIRTIO_CONSOLE_RX);
    assert_true(f->rooms > rooms);
    assert_int_equal(virtio_console_input(&f->console, text, 10), 10);
    assert_true(vring_collect(f->driver, VIRTIO_CONSOLE_RX, &used));
    assert_int_equal(used.written, 4);
    assert_memory_equal(vring_at(f->driver, first.ipa), "0123", 4);
    assert_true(vring_collect(f->driver, VIRTIO_CONSOLE_RX, &used));
    assert_int_equal(used.written, 6);
    assert_memory_equal(vring_at(f->driver, second.ipa), "456789", 6);
    assert_int_equal(virtio_console_input(&f->console, text, 10), 0);
}

static void test_emergency_write(void **state)
{
    struct fixture *f = *state;

    vring_config_write(f->driver, 8, 4, '!');
    assert_int_equal(f->nr_output, 1);
    assert_int_equal(f->output[0], '!');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_output_has_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_input_waits_for_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_emergency_write, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
