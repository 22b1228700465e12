/* SPDX-License-Identifier: Apache-2.0 */
/* The devices that need no bus of their own: serial port, real time clock, power button. */
#include "bothy/bits.h"
#include "vmm/vm/parts.h"
#include <time.h>

/* How long the power button is held: this long, and on until the guest has looked. A guest whose
 * CPUs have to wait for the host's would find it released again. At most for so long, because not
 * every guest looks, and because systemd-logind tells presses from 5 s on from short ones. */
#define BUTTON_HELD_NS 100000000ull
#define BUTTON_HELD_MAX_NS 3000000000ull

/* What comes from the console to the guest's serial port. */
static size_t uart_input(void *device, const uint8_t *bytes, size_t count)
{
    return pl011_rx(device, bytes, count);
}

static void uart_break(void *device)
{
    pl011_rx_break(device);
}

/* Main thread: the alarm's time may have come or have moved. */
static void follow_alarm(struct vm *vm)
{
    pl031_poll(&vm->rtc);
    loop_timer_set(vm->loop, &vm->rtc_timer, pl031_deadline(&vm->rtc));
}

static void rtc_fire(struct loop_timer *timer)
{
    follow_alarm(CONTAINER_OF(timer, struct vm, rtc_timer));
}

static void rtc_moved(struct loop_work *work)
{
    follow_alarm(CONTAINER_OF(work, struct vm, rtc_work));
}

/* Stores may move the alarm; the timer is the main thread's. */
static void rtc_access(void *device, uint64_t offset, unsigned int size, bool write,
                       uint64_t *value)
{
    struct vm *vm = CONTAINER_OF(device, struct vm, rtc);

    pl031_access(device, offset, size, write, value);
    if (write) {
        loop_post(vm->loop, &vm->rtc_work);
    }
}

static void button_release(struct loop_timer *timer)
{
    struct vm *vm = CONTAINER_OF(timer, struct vm, button_timer);
    uint64_t now = loop_now_ns();

    if (now < vm->button_end_ns && !pl061_input_seen(&vm->gpio, PL061_PIN_POWER)) {
        loop_timer_set(vm->loop, &vm->button_timer, now + BUTTON_HELD_NS);
        return;
    }
    pl061_set_input(&vm->gpio, PL061_PIN_POWER, false);
}

bool vm_power_button(struct vm *vm)
{
    uint64_t now = loop_now_ns();

    if (vm_get_state(vm) != VM_RUNNING) {
        return false;
    }
    pl061_set_input(&vm->gpio, PL061_PIN_POWER, true);
    vm->button_end_ns = now + BUTTON_HELD_MAX_NS;
    loop_timer_set(vm->loop, &vm->button_timer, now + BUTTON_HELD_NS);
    return true;
}

static bool attach(struct vm *vm, enum layout_id id, device_access_t access, void *device)
{
    const struct layout_region *region = &layout_regions[id];

    return bus_attach(&vm->bus, region->base, region->size, access, device) == BUS_OK;
}

bool serial_create(struct vm *vm, struct error *error)
{
    const struct console_sink sink = {uart_input, uart_break, &vm->uart};
    int listen_fd = vm->console_listen_fd;

    pl011_init(&vm->uart, &vm_device_ops, vm, LAYOUT_SPI_UART);
    pl031_init(&vm->rtc, &vm_device_ops, vm, LAYOUT_SPI_RTC, (uint32_t)time(NULL));
    pl061_init(&vm->gpio, &vm_device_ops, vm, LAYOUT_SPI_GPIO);
    vm->rtc_timer = (struct loop_timer){LOOP_TIMER_OFF, rtc_fire, NULL};
    vm->button_timer = (struct loop_timer){LOOP_TIMER_OFF, button_release, NULL};
    vm->rtc_work.run = rtc_moved;
    if (!attach(vm, LAYOUT_UART, pl011_access, &vm->uart) ||
        !attach(vm, LAYOUT_RTC, rtc_access, &vm->rtc) ||
        !attach(vm, LAYOUT_GPIO, pl061_access, &vm->gpio)) {
        return error_set(error, EXIT_CODE_VMM, "no room on the bus");
    }
    vm->console = console_create(vm, vm->loop, &vm->config->serial, listen_fd, error);
    if (vm->console == NULL) {
        return false;
    }
    vm->console_listen_fd = -1;
    console_attach(vm->console, CONSOLE_SERIAL, &sink);
    return true;
}

/* A reboot: interrupts go down in the VM that is still there; the clock keeps its time. */
void serial_reset(struct vm *vm)
{
    pl011_reset(&vm->uart);
    pl031_reset(&vm->rtc);
    pl061_reset(&vm->gpio);
    pl061_set_input(&vm->gpio, PL061_PIN_POWER, false);
    loop_timer_set(vm->loop, &vm->button_timer, LOOP_TIMER_OFF);
    loop_timer_set(vm->loop, &vm->rtc_timer, LOOP_TIMER_OFF);
}

void serial_destroy(struct vm *vm)
{
    if (vm->rtc_work.run != NULL) {
        loop_timer_remove(vm->loop, &vm->rtc_timer);
        loop_timer_remove(vm->loop, &vm->button_timer);
        loop_cancel(vm->loop, &vm->rtc_work);
    }
    console_destroy(vm->console);
    vm->console = NULL;
}
