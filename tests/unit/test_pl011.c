/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL011 as its drivers use it: identification, polling, interrupts with their levels, backpressure
 * of the console, loopback; and a storm of random accesses that must leave the invariants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/pl011.h"

#define DR 0x00
#define RSR 0x04
#define FR 0x18
#define IBRD 0x24
#define FBRD 0x28
#define LCR_H 0x2c
#define CR 0x30
#define IFLS 0x34
#define IMSC 0x38
#define RIS 0x3c
#define MIS 0x40
#define ICR 0x44
#define DMACR 0x48

#define RXFE 0x10
#define TXFF 0x20
#define RXFF 0x40
#define TXFE 0x80
#define BUSY 0x08
#define RX 0x10
#define TX 0x20
#define RT 0x40
#define OE 0x400

struct fixture {
    struct pl011 uart;
    uint8_t sent[1 << 16];
    unsigned int nr_sent;
    unsigned int room; /* how much the console still takes */
    unsigned int nr_room_calls;
    bool line;
    unsigned int changes;
};

static bool console_tx(void *vm, uint8_t byte)
{
    struct fixture *f = vm;

    if (f->room == 0) {
        return false;
    }
    f->room--;
    f->sent[f->nr_sent++ % sizeof(f->sent)] = byte;
    return true;
}

static void irq_set(void *vm, uint32_t spi, bool level)
{
    struct fixture *f = vm;

    assert_int_equal(spi, 1);
    assert_int_not_equal(f->line, level); /* only changes are told */
    f->line = level;
    f->changes++;
}

static void rx_room(void *vm)
{
    ((struct fixture *)vm)->nr_room_calls++;
}

static const struct vm_ops ops = {
    .irq_set = irq_set, .console_tx = console_tx, .console_rx_room = rx_room};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->room = UINT32_MAX;
    pl011_init(&f->uart, &ops, f, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static uint32_t rd(struct fixture *f, uint64_t offset)
{
    uint64_t value = 0xdeadbeefdeadbeef;

    pl011_access(&f->uart, offset, 4, false, &value);
    return (uint32_t)value;
}

static void wr(struct fixture *f, uint64_t offset, uint32_t number)
{
    uint64_t value = number;

    pl011_access(&f->uart, offset, 4, true, &value);
}

static void test_identification(void **state)
{
    static const uint8_t id[8] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(rd(f, 0xfe0 + 4 * i), id[i]);
    }
    assert_int_equal(rd(f, 0x800), 0);
}

static void test_reset_values(void **state)
{
    struct fixture *f = *state;

    wr(f, IBRD, 0x12345);
    wr(f, FBRD, 0xff);
    wr(f, CR, 0xffff0301);
    wr(f, IMSC, 0xffffffff);
    wr(f, DMACR, 0xff);
    assert_int_equal(rd(f, IBRD), 0x2345);
    assert_int_equal(rd(f, FBRD), 0x3f);
    assert_int_equal(rd(f, CR), 0x0301);
    assert_int_equal(rd(f, IMSC), 0x7ff);
    assert_int_equal(rd(f, DMACR), 7);
    wr(f, DR, 'x');
    assert_true(f->line);
    pl011_reset(&f->uart);
    assert_false(f->line);
    assert_int_equal(rd(f, CR), 0x300);
    assert_int_equal(rd(f, IFLS), 0x12);
    assert_int_equal(rd(f, IMSC), 0);
    assert_int_equal(rd(f, RIS), 0);
    assert_int_equal(rd(f, IBRD), 0);
    assert_int_equal(rd(f, FR), 0x97); /* empty, and the modem lines are up */
}

static void test_polled_output(void **state)
{
    struct fixture *f = *state;

    for (const char *c = "hello"; *c != '\0'; c++) {
        assert_int_equal(rd(f, FR) & TXFF, 0);
        wr(f, DR, (uint32_t)(unsigned char)*c | 0xffffff00);
        assert_int_equal(rd(f, FR) & BUSY, 0);
    }
    assert_memory_equal(f->sent, "hello", 5);
    assert_int_equal(f->nr_sent, 5);
}

static void test_backpressure(void **state)
{
    struct fixture *f = *state;

    wr(f, LCR_H, 0x70); /* FIFOs on */
    wr(f, IMSC, TX);
    f->room = 0;
    for (uint32_t i = 0; i < 32; i++) {
        assert_int_equal(rd(f, FR) & TXFF, 0);
        wr(f, DR, 'a' + i);
    }
    assert_int_equal(rd(f, FR) & (TXFF | TXFE | BUSY), TXFF | BUSY);
    assert_false(f->line);
    wr(f, DR, '!'); /* lost: the guest did not look */
    assert_false(pl011_tx_ready(&f->uart));
    f->room = 10;
    assert_false(pl011_tx_ready(&f->uart));
    assert_int_equal(f->nr_sent, 10);
    assert_false(f->line); /* 22 wait: more than half */
    f->room = 6;
    assert_false(pl011_tx_ready(&f->uart));
    assert_true(f->line); /* 16 wait */
    wr(f, DR, 'z');
    assert_false(f->line); /* again above the level */
    f->room = 100;
    assert_true(pl011_tx_ready(&f->uart));
    assert_true(f->line);
    assert_int_equal(f->nr_sent, 33);
    assert_int_equal(f->sent[31], 'a' + 31);
    assert_int_equal(f->sent[32], 'z');
    assert_int_equal(rd(f, FR) & (TXFF | TXFE | BUSY), TXFE);
}

static void test_backpressure_without_fifo(void **state)
{
    struct fixture *f = *state;

    f->room = 0;
    wr(f, DR, 'a');
    assert_int_equal(rd(f, FR) & (TXFF | BUSY), TXFF | BUSY);
    wr(f, DR, 'b');
    f->room = 5;
    assert_true(pl011_tx_ready(&f->uart));
    assert_int_equal(f->nr_sent, 1);
    assert_int_equal(f->sent[0], 'a');
}

/* As Linux does: it fills, unmasks, and waits to be told. */
static void test_transmit_interrupt(void **state)
{
    struct fixture *f = *state;

    wr(f, LCR_H, 0x70);
    assert_int_equal(rd(f, RIS) & TX, 0);
    wr(f, DR, 'a');
    wr(f, IMSC, TX);
    assert_true(f->line);
    assert_int_equal(rd(f, MIS), TX);
    wr(f, ICR, TX);
    assert_false(f->line);
    wr(f, DR, 'b');
    assert_true(f->line);
    wr(f, IMSC, 0);
    assert_false(f->line);
    assert_int_equal(rd(f, MIS), 0);
    assert_int_equal(rd(f, RIS), TX);
}

static void test_receive_levels(void **state)
{
    static const uint8_t level[5] = {4, 8, 16, 24, 28};
    struct fixture *f = *state;
    uint8_t bytes[32];

    memset(bytes, 'x', sizeof(bytes));
    wr(f, LCR_H, 0x10);
    for (uint32_t i = 0; i < 5; i++) {
        wr(f, IFLS, i << 3);
        assert_int_equal(pl011_rx(&f->uart, bytes, level[i] - 1), level[i] - 1);
        assert_int_equal(rd(f, RIS) & (RX | RT), RT);
        assert_int_equal(pl011_rx(&f->uart, bytes, 1), 1);
        assert_int_equal(rd(f, RIS) & (RX | RT), RX | RT);
        rd(f, DR);
        assert_int_equal(rd(f, RIS) & (RX | RT), RT);
        while (!(rd(f, FR) & RXFE)) {
            assert_int_equal(rd(f, DR), 'x');
        }
        assert_int_equal(rd(f, RIS) & (RX | RT), 0);
    }
}

static void test_receive(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[40];

    for (uint8_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i;
    }
    assert_int_equal(pl011_rx_space(&f->uart), 1); /* FIFOs are off */
    assert_int_equal(pl011_rx(&f->uart, bytes, 2), 1);
    assert_int_equal(rd(f, FR) & (RXFE | RXFF), RXFF);
    assert_int_equal(rd(f, RIS) & RX, RX);
    assert_int_equal(f->nr_room_calls, 0);
    assert_int_equal(rd(f, DR), 0);
    assert_int_equal(f->nr_room_calls, 1);
    wr(f, LCR_H, 0x10);
    wr(f, IMSC, RX | RT);
    assert_int_equal(pl011_rx_space(&f->uart), 32);
    assert_int_equal(pl011_rx(&f->uart, bytes, 40), 32);
    assert_int_equal(pl011_rx_space(&f->uart), 0);
    assert_true(f->line);
    wr(f, ICR, RX | RT);
    assert_false(f->line);
    for (uint32_t i = 0; i < 32; i++) {
        assert_int_equal(rd(f, DR), i);
        assert_int_equal(f->line, i != 31); /* what is left times out again */
    }
    assert_int_equal(f->nr_room_calls, 2);
    assert_int_equal(rd(f, DR), 0); /* empty */
}

static void test_fifo_toggle(void **state)
{
    struct fixture *f = *state;

    wr(f, LCR_H, 0x10);
    pl011_rx(&f->uart, (const uint8_t *)"abc", 3);
    wr(f, LCR_H, 0x00);
    assert_int_equal(rd(f, FR) & (RXFE | RXFF), RXFE);
    assert_int_equal(rd(f, RIS) & (RX | RT), 0);
}

static void test_break(void **state)
{
    struct fixture *f = *state;

    wr(f, IMSC, 0x200);
    pl011_rx_break(&f->uart);
    assert_true(f->line);
    assert_int_equal(rd(f, DR), 0x400);
    assert_int_equal(rd(f, RSR), 4);
    wr(f, RSR, 0);
    assert_int_equal(rd(f, RSR), 0);
}

static void test_loopback(void **state)
{
    struct fixture *f = *state;

    wr(f, CR, 0x381);
    wr(f, LCR_H, 0x10);
    for (uint32_t i = 0; i < 33; i++) {
        wr(f, DR, i);
    }
    assert_int_equal(f->nr_sent, 0);
    assert_int_equal(rd(f, RIS) & OE, OE);
    for (uint32_t i = 0; i < 32; i++) {
        assert_int_equal(rd(f, DR) & 0xff, i);
    }
    assert_int_equal(rd(f, FR) & 0x107, 0);
    wr(f, CR, 0x381 | 0x800);
    assert_int_equal(rd(f, FR) & 0x107, 1); /* RTS comes back as CTS */
    wr(f, LCR_H, 0x11);
    assert_int_equal(rd(f, DR), 0x400);
}

/* All sizes reach the registers; the upper bytes are zero and reading them eats nothing. */
static void test_sizes(void **state)
{
    struct fixture *f = *state;
    uint64_t value = 'q';

    for (unsigned int size = 1; size <= 8; size *= 2) {
        pl011_access(&f->uart, DR, size, true, &value);
    }
    assert_memory_equal(f->sent, "qqqq", 4);
    pl011_access(&f->uart, DR + 1, 1, true, &value);
    assert_int_equal(f->nr_sent, 4);
    pl011_rx(&f->uart, (const uint8_t *)"r", 1);
    pl011_access(&f->uart, DR + 1, 1, false, &value);
    assert_int_equal(value, 0);
    pl011_access(&f->uart, DR, 1, false, &value);
    assert_int_equal(value, 'r');
    pl011_access(&f->uart, CR + 1, 1, false, &value);
    assert_int_equal(value & 0xff, 3);
}

static void test_last_words(void **state)
{
    struct fixture *f = *state;

    wr(f, LCR_H, 0x10);
    f->room = 0;
    wr(f, DR, 'x');
    f->room = 9;
    pl011_reset(&f->uart);
    assert_int_equal(f->nr_sent, 1);
}

static void test_storm(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[64] = {0};

    srand(2);
    for (unsigned int i = 0; i < 300000; i++) {
        uint64_t value = (uint64_t)rand() << 16 ^ (uint64_t)rand();
        uint64_t offset = (uint64_t)rand() % 0x60;

        f->room = rand() % 4 == 0 ? 3 : 0;
        switch (rand() % 8) {
        case 0:
            assert_true(pl011_rx(&f->uart, bytes, (size_t)rand() % 64) <= 32);
            break;
        case 1:
            pl011_tx_ready(&f->uart);
            break;
        default:
            pl011_access(&f->uart, offset, 1u << rand() % 4, rand() % 2, &value);
            break;
        }
        assert_true(f->uart.rx.count <= PL011_FIFO && f->uart.tx.count <= PL011_FIFO);
        assert_true(pl011_rx_space(&f->uart) <= PL011_FIFO);
        assert_int_equal(f->line, (f->uart.ris & f->uart.imsc) != 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identification),
        TEST(test_reset_values),
        TEST(test_polled_output),
        TEST(test_backpressure),
        TEST(test_backpressure_without_fifo),
        TEST(test_transmit_interrupt),
        TEST(test_receive_levels),
        TEST(test_receive),
        TEST(test_fifo_toggle),
        TEST(test_break),
        TEST(test_loopback),
        TEST(test_sizes),
        TEST(test_last_words),
        TEST(test_storm),
    };

    return cmocka_run_group_tests_name("pl011", tests, NULL, NULL);
}
