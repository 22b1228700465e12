/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EL2's console over the PL011 driver over a model of a PL011: back pressure, interrupts, input,
 * deadlines, hooks that use the console themselves, several CPUs at once, and panic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "arch/fake.h"
#include "arch/sysreg.h"
#include "el2/console.h"
#include "el2/console_mux.h"
#include "el2/uart.h"
#include "el2/uart_pl011.h"

#define FIFO 16U
#define MASK_RX 0x50U
#define MASK_TX 0x20U

/* Accesses come under the console's lock. */
static struct {
    char out[1 << 18];
    size_t length;
    size_t room; /* what the transmitter takes before it is full */
    bool endless;
    const char *input;
    uint32_t mask, control, line_control;
} port;

static uint8_t port_space[0x1000];
static struct uart uart;

static uint64_t port_read(void *ctx, uint64_t offset, unsigned int bytes)
{
    (void)ctx;
    assert_int_equal(bytes, 4);
    switch (offset) {
    case 0x00:
        return (uint8_t)*port.input++;
    case 0x18:
        return (*port.input == '\0' ? 0x10 : 0) | (port.room == 0 ? 0x20 : 0);
    case 0x2c:
        return port.line_control;
    case 0x30:
        return port.control;
    default:
        fail_msg("read at %#lx", offset);
        return 0;
    }
}

static void port_write(void *ctx, uint64_t offset, unsigned int bytes, uint64_t value)
{
    (void)ctx;
    assert_int_equal(bytes, 4);
    switch (offset) {
    case 0x00:
        assert_true(port.room > 0);
        assert_int_equal(port.control, 0x301);
        port.room -= !port.endless;
        assert_true(port.length < sizeof(port.out) - 1);
        port.out[port.length++] = (char)value;
        port.out[port.length] = '\0';
        break;
    case 0x2c:
        assert_int_equal(port.control & 1, 0);
        port.line_control = (uint32_t)value;
        break;
    case 0x30:
        port.control = (uint32_t)value;
        break;
    case 0x38:
        port.mask = (uint32_t)value;
        break;
    default:
        assert_true(offset == 0x34 || offset == 0x44);
    }
}

static const struct fake_mmio_ops port_ops = {port_read, port_write};

/* What the hooks were told. */
static struct {
    char typed[2][64];
    bool deaf; /* the guests take no input */
    unsigned int ready, stats, quit;
} told;

static bool hook_rx(void *ctx, unsigned int guest, uint8_t byte)
{
    size_t length = strlen(told.typed[guest]);

    assert_ptr_equal(ctx, &told);
    if (told.deaf) {
        return false;
    }
    told.typed[guest][length] = (char)byte;
    (void)console_guest_tx(guest, byte); /* echo: hooks may use the console */
    return true;
}

static void hook_tx_ready(void *ctx, unsigned int guest)
{
    (void)ctx;
    told.ready |= 1U << guest;
    (void)console_guest_tx(guest, '!');
}

static void hook_stats(void *ctx)
{
    (void)ctx;
    told.stats++;
    console_printf("figures");
}

static void hook_quit(void *ctx)
{
    (void)ctx;
    told.quit++;
}

static const struct console_hooks hooks = {hook_rx, hook_tx_ready, hook_stats, hook_quit};

static void at_ms(uint64_t ms)
{
    fake_sysreg_set(SYSREG_CNTPCT_EL0, ms * 1000);
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    fake_log_enable(false);
    fake_sysreg_set(SYSREG_CNTFRQ_EL0, 1000000);
    at_ms(1);
    memset(&port, 0, sizeof(port));
    memset(&told, 0, sizeof(told));
    port.input = "";
    port.room = 1;
    port.endless = true;
    fake_mmio_map(port_space, sizeof(port_space), &port_ops, NULL);
    uart.ops = uart_find(BOOT_UART_PL011);
    uart.base = port_space;
    uart.ops->init(&uart);
    assert_int_equal(port.line_control, 0x70);
    console_init(&uart);
    console_add_guest(0, "a");
    console_add_guest(1, "b");
    console_set_hooks(&hooks, &told);
    return 0;
}

static void send(unsigned int guest, const char *text)
{
    for (; *text != '\0'; text++) {
        assert_true(console_guest_tx(guest, (uint8_t)*text));
    }
}

/* The port takes this much more. */
static void let_out(size_t room)
{
    port.endless = false;
    port.room = room;
}

static void test_drivers_by_kind(void **state)
{
    (void)state;
    assert_ptr_equal(uart_find(BOOT_UART_PL011), &uart_pl011_ops);
    assert_ptr_equal(uart_find(BOOT_UART_SBSA), &uart_sbsa_ops);
    assert_null(uart_find(BOOT_UART_NONE));
}

static void test_lines_go_out_at_once(void **state)
{
    (void)state;
    console_printf("%u CPUs", 4);
    send(0, "hello\n");
    assert_string_equal(port.out, "\033[1m[bothy]\033[0m 4 CPUs\r\n\033[32m[a]\033[0m hello\r\n");
    assert_int_equal(console_deadline(), UINT64_MAX);
}

static void test_without_a_port(void **state)
{
    (void)state;
    console_init(NULL);
    console_add_guest(0, "a");
    console_irq_enable();
    for (int i = 0; i < 1000; i++) {
        console_printf("line");
        send(0, "line\n");
    }
    console_poll();
    console_flush();
    assert_string_equal(port.out, "");
}

static void test_unfinished_lines_have_a_deadline(void **state)
{
    (void)state;
    send(1, "login: ");
    assert_int_equal(console_deadline(), 201000);
    console_poll();
    assert_string_equal(port.out, "");
    send(0, "# ");
    assert_int_equal(console_deadline(), 11000);
    at_ms(11);
    console_poll();
    assert_string_equal(port.out, "\033[32m[a]\033[0m # ");
    assert_int_equal(console_deadline(), 201000);
    console_rx_ready(1);
    assert_non_null(strstr(port.out, "login: "));
}

static void test_the_port_interrupts_when_it_was_full(void **state)
{
    (void)state;
    console_irq_enable();
    assert_int_equal(port.mask, MASK_RX);
    let_out(FIFO);
    send(0, "a line that is longer than the FIFO\n");
    assert_int_equal(port.length, FIFO);
    assert_int_equal(port.mask, MASK_RX | MASK_TX);
    assert_int_equal(console_deadline(), 21000); /* should the interrupt never come */
    let_out(1000);
    console_irq();
    assert_string_equal(port.out, "\033[32m[a]\033[0m a line that is longer than the FIFO\r\n");
    assert_int_equal(port.mask, MASK_RX);
    assert_int_equal(console_deadline(), UINT64_MAX);
}

static void test_a_guest_is_stopped_and_told_to_go_on(void **state)
{
    unsigned int taken = 0;

    (void)state;
    let_out(0);
    while (console_guest_tx(0, taken % 32 == 31 ? '\n' : 'x')) {
        taken++;
        assert_true(taken <= MUX_QUEUE);
    }
    assert_int_equal(told.ready, 0);
    port.endless = true;
    port.room = 1;
    for (unsigned int i = 0; i < 20 && told.ready == 0; i++) {
        console_poll();
    }
    assert_int_equal(told.ready, 1);
    console_flush();
    for (const char *at = port.out; (at = strchr(at, 'x')) != NULL; at++) {
        taken--;
    }
    assert_non_null(strchr(port.out, '!'));
    assert_true(taken < MUX_QUEUE / 16); /* the line ends are left */
}

static void test_one_call_moves_a_bounded_amount(void **state)
{
    (void)state;
    let_out(0);
    for (unsigned int i = 0; i < 40; i++) {
        send(0, "little more than thirty bytes a line\n");
    }
    port.endless = true;
    port.room = 1;
    console_poll();
    assert_in_range(port.length, 100, 512);
}

static void test_typed_bytes(void **state)
{
    (void)state;
    port.input = "ls\001\0012\0012x\001s\001x";
    console_irq();
    assert_string_equal(told.typed[0], "ls\0012");
    assert_string_equal(told.typed[1], "x");
    assert_int_equal(told.stats, 1);
    assert_int_equal(told.quit, 1);
    console_flush();
    assert_non_null(strstr(port.out, "figures"));
}

static void test_typed_bytes_wait_for_the_guest(void **state)
{
    (void)state;
    told.deaf = true;
    port.input = "abc";
    console_irq();
    assert_string_equal(told.typed[0], "");
    console_rx_ready(0);
    assert_string_equal(told.typed[0], "");
    told.deaf = false;
    console_rx_ready(0);
    assert_string_equal(told.typed[0], "abc");
    console_rx_ready(0);
    assert_string_equal(told.typed[0], "abc");
}

static void test_a_reset_guest_gets_no_old_input(void **state)
{
    (void)state;
    told.deaf = true;
    port.input = "abc";
    console_irq();
    send(0, "cut");
    console_guest_reset(0);
    told.deaf = false;
    console_poll();
    assert_string_equal(told.typed[0], "");
    assert_string_equal(port.out, "\033[32m[a]\033[0m cut\r\n");
}

static void test_flush_shows_unfinished_lines(void **state)
{
    (void)state;
    send(0, "last words");
    console_flush();
    assert_string_equal(port.out, "\033[32m[a]\033[0m last words");
}

static void *busy(void *arg)
{
    unsigned int guest = *(unsigned int *)arg;
    char line[32];

    for (unsigned int i = 0; i < 300; i++) {
        snprintf(line, sizeof(line), "%u-%03u\n", guest, i);
        for (const char *at = line; *at != '\0'; at++) {
            while (!console_guest_tx(guest, (uint8_t)*at)) {
                console_poll();
            }
        }
        console_printf("own %u-%03u", guest, i);
    }
    return NULL;
}

static void check_order(const char *what)
{
    const char *at = port.out;
    char text[32];

    for (unsigned int i = 0; i < 300; i++) {
        snprintf(text, sizeof(text), "%s-%03u\r\n", what, i);
        at = strstr(at, text);
        assert_non_null(at);
    }
}

static void test_several_cpus_at_once(void **state)
{
    static const struct console_hooks quiet = {hook_rx, hook_tx_ready, hook_stats, hook_quit};
    unsigned int guests[2] = {0, 1};
    pthread_t threads[2];

    (void)state;
    console_set_hooks(&quiet, &told);
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, busy, &guests[i]), 0);
    }
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    console_flush();
    check_order(" 0");
    check_order(" 1");
    check_order("own 0");
    check_order("own 1");
}

/* Last: there is no way back. */
static void test_panic_takes_the_console(void **state)
{
    (void)state;
    send(0, "unfinished");
    console_panic_enter();
    console_panic_puts("panic: over\r\n");
    console_printf("not to be seen");
    send(0, "nor this\n");
    console_poll();
    console_flush();
    assert_string_equal(port.out, "\033[0m\r\npanic: over\r\n");
    let_out(3);
    console_panic_puts("stuck");
    assert_non_null(strstr(port.out, "stu"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_drivers_by_kind, setup),
        cmocka_unit_test_setup(test_lines_go_out_at_once, setup),
        cmocka_unit_test_setup(test_without_a_port, setup),
        cmocka_unit_test_setup(test_unfinished_lines_have_a_deadline, setup),
        cmocka_unit_test_setup(test_the_port_interrupts_when_it_was_full, setup),
        cmocka_unit_test_setup(test_a_guest_is_stopped_and_told_to_go_on, setup),
        cmocka_unit_test_setup(test_one_call_moves_a_bounded_amount, setup),
        cmocka_unit_test_setup(test_typed_bytes, setup),
        cmocka_unit_test_setup(test_typed_bytes_wait_for_the_guest, setup),
        cmocka_unit_test_setup(test_a_reset_guest_gets_no_old_input, setup),
        cmocka_unit_test_setup(test_flush_shows_unfinished_lines, setup),
        cmocka_unit_test_setup(test_several_cpus_at_once, setup),
        cmocka_unit_test_setup(test_panic_takes_the_console, setup),
    };

    return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
