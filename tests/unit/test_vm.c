/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole VM over the fake backend: what it is built of, exits to devices, pause and resume,
 * notifications, reboots, and each way to end. The guests are scripts.
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
#include "machine/layout.h"
#include "vmm/api/metrics.h"
#include "vmm/backend/backend_fake.h"
#include "vmm/vm/affinity.h"
#include "vmm/vm/vm.h"
#include <libfdt.h>
#include <unistd.h>

#define UART_DR LAYOUT_UART_BASE
#define UART_FR (LAYOUT_UART_BASE + 0x18)
#define UART_ID0 (LAYOUT_UART_BASE + 0xfe0)
#define RTC_ID0 (LAYOUT_RTC_BASE + 0xfe0)
#define VIRTIO0 LAYOUT_VIRTIO_BASE
#define NOWHERE UINT64_C(0x0b000000)
#define NO_LIMIT_MS 20000

static char kernel_path[] = "/tmp/bothy-test-vm-XXXXXX";

struct rig {
    struct fake_plan plan;
    struct vm_config config;
    struct loop *loop;
    struct vm *vm;
    struct loop_timer alarm; /* nothing here takes that long */
    struct loop_timer tick;
    uint32_t called; /* atomic: by a guest's script */
};

static void too_long(struct loop_timer *timer)
{
    (void)timer;
    fprintf(stderr, "the VM hangs\n");
    abort();
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig->plan.caps = (struct backend_caps){.ipa_bits = 40, .max_vcpus = 64, .gic_v3 = true,
                                           .its = true, .readonly_memory = true,
                                           .inject_abort = true, .pv_time = true};
    vm_config_init(&rig->config);
    rig->config.memory.size = MIB(16);
    rig->config.kernel = kernel_path;
    rig->config.serial.kind = CONFIG_SERIAL_NONE;
    rig->config.no_rng = true;
    rig->config.jail.off = true;
    rig->loop = loop_create();
    rig->alarm.fire = too_long;
    loop_timer_set(rig->loop, &rig->alarm, loop_now_ns() + NO_LIMIT_MS * UINT64_C(1000000));
    fake_set_plan(&rig->plan);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    vm_destroy(rig->vm);
    fake_set_plan(NULL);
    loop_destroy(rig->loop);
    assert_int_equal(rig->plan.vms, rig->plan.vms_gone);
    free(rig);
    return 0;
}

static void build(struct rig *rig)
{
    struct error error = ERROR_NONE;

    rig->vm = vm_create(&rig->config, rig->loop, &error);
    if (rig->vm == NULL || !vm_build(rig->vm, &error)) {
        fail_msg("%s", error.text);
    }
}

static void start(struct rig *rig)
{
    struct error error = ERROR_NONE;

    build(rig);
    if (!vm_start(rig->vm, &error)) {
        fail_msg("%s", error.text);
    }
}

static void run(struct rig *rig)
{
    start(rig);
    loop_run(rig->loop);
}

static void refuse(struct rig *rig, enum exit_code code, const char *words)
{
    struct error error = ERROR_NONE;

    rig->vm = vm_create(&rig->config, rig->loop, &error);
    assert_false(vm_build(rig->vm, &error));
    assert_int_equal(error.code, code);
    if (strstr(error.text, words) == NULL) {
        fail_msg("\"%s\" without \"%s\"", error.text, words);
    }
}

static void test_build(void **state)
{
    struct rig *rig = *state;
    const void *fdt;
    size_t size = 0;

    rig->config.cpus.count = 17;
    build(rig);
    fdt = vm_device_tree(rig->vm, &size);
    assert_int_equal(fdt_check_header(fdt), 0);
    assert_int_equal(fdt_totalsize(fdt), size);
    assert_true(fdt_path_offset(fdt, "/cpus/cpu@100") > 0); /* the 17th */
    assert_true(fdt_path_offset(fdt, "/intc@8000000/its@8080000") > 0);
    assert_true(fdt_path_offset(fdt, "/gpio-keys/poweroff") > 0);
    assert_true(fdt_path_offset(fdt, "/pmu") < 0);
    assert_int_equal(rig->plan.pc, LAYOUT_RAM_BASE + 0x80000);
    assert_int_equal(rig->plan.x0, LAYOUT_RAM_BASE);
    assert_true(rig->plan.mapped >= MIB(16) + KIB(16));
    assert_int_equal(rig->plan.readonly, KIB(16) + LAYOUT_VARIABLES_USED); /* a raw kernel */
    assert_int_equal(vm_get_state(rig->vm), VM_CONFIGURING);
}

static void test_gicv2(void **state)
{
    struct rig *rig = *state;
    const void *fdt;
    size_t size;

    rig->plan.caps.gic_v3 = false;
    rig->plan.caps.gic_v2 = true;
    build(rig);
    fdt = vm_device_tree(rig->vm, &size);
    assert_string_equal(fdt_getprop(fdt, fdt_path_offset(fdt, "/intc@8000000"), "compatible", NULL),
                        "arm,cortex-a15-gic");
}

static void test_refused(void **state)
{
    struct rig *rig = *state;

    rig->plan.caps.max_vcpus = 4;
    rig->config.cpus.count = 5;
    refuse(rig, EXIT_CODE_HOST, "at most 4 vCPUs, not 5");
}

static void test_refused_memory(void **state)
{
    struct rig *rig = *state;

    rig->plan.caps.ipa_bits = 32;
    rig->config.memory.size = GIB(4);
    refuse(rig, EXIT_CODE_HOST, "at most 3072 MiB");
}

static void test_refused_feature(void **state)
{
    struct rig *rig = *state;

    rig->config.cpus.sve = CONFIG_ON;
    refuse(rig, EXIT_CODE_HOST, "no sve: leave out sve=on");
}

static void test_refused_backend(void **state)
{
    struct rig *rig = *state;

    rig->plan.refuse_vm = true;
    refuse(rig, EXIT_CODE_HOST, "makes no VM");
}

static void test_mmio(void **state)
{
    static const struct fake_step script[] = {
        {FAKE_LOAD, UART_ID0, 4, 0x11, true, NULL, NULL},
        {FAKE_LOAD, UART_ID0, 1, 0x11, true, NULL, NULL},
        {FAKE_LOAD, RTC_ID0, 4, 0x31, true, NULL, NULL},
        {FAKE_STORE, UART_DR, 1, 'x', false, NULL, NULL},
        {FAKE_LOAD, UART_FR, 4, 0x90 | 7, false, NULL, NULL},
        {FAKE_LOAD, NOWHERE, 4, 0, true, NULL, NULL},
        {FAKE_STORE, NOWHERE, 8, 1, false, NULL, NULL},
        {FAKE_NO_SYNDROME, NOWHERE, 0, 0, false, NULL, NULL},
        {FAKE_OFF, 0, 0, 0, false, NULL, NULL},
    };
    struct rig *rig = *state;

    rig->plan.scripts[0] = script;
    run(rig);
    assert_int_equal(vm_exit_code(rig->vm), EXIT_CODE_OK);
    assert_int_equal(vm_get_state(rig->vm), VM_STOPPED);
    assert_int_equal(rig->plan.mismatches, 0);
    assert_int_equal(rig->plan.aborts, 3);
}

static void test_ends(void **state)
{
    static const struct {
        enum fake_step_kind kind;
        enum exit_code code;
    } cases[] = {{FAKE_OFF, EXIT_CODE_OK}, {FAKE_CRASH, EXIT_CODE_GUEST},
                 {FAKE_FAIL, EXIT_CODE_VMM}};
    struct rig *rig = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct fake_step script[] = {{.kind = cases[i].kind, .value = 42}};

        rig->plan.scripts[0] = script;
        run(rig);
        assert_int_equal(vm_exit_code(rig->vm), cases[i].code);
        vm_end(rig->vm, EXIT_CODE_NO_VM, "too late");
        assert_int_equal(vm_exit_code(rig->vm), cases[i].code);
        vm_destroy(rig->vm);
        rig->vm = NULL;
    }
}

/* Ten lives that each write to memory, ask for a reboot, and find zeros. */
static void dirty(void *argument)
{
    struct rig *rig = argument;
    struct vm_memory_region region;

    vm_memory_region(rig->vm, &region);
    if (((uint8_t *)region.base)[MIB(8)] != 0 || ((uint8_t *)region.base)[0x80000] != 'k') {
        rig->plan.mismatches++;
    }
    memset((uint8_t *)region.base + MIB(8), 0xee, MIB(1));
    memset((uint8_t *)region.base + 0x80000, 0xee, 4);
    rig->called++;
}

static void end_later(struct loop_timer *timer)
{
    struct rig *rig = CONTAINER_OF(timer, struct rig, tick);

    if (__atomic_load_n(&rig->plan.vms, __ATOMIC_SEQ_CST) == 11) {
        vm_end(rig->vm, EXIT_CODE_OK, "enough");
        return;
    }
    loop_timer_set(rig->loop, timer, loop_now_ns() + 1000000);
}

static void test_reboots(void **state)
{
    struct rig *rig = *state;
    const struct fake_step first[] = {{.kind = FAKE_CALL, .call = dirty, .argument = rig},
                                      {.kind = FAKE_RESET}};
    static const struct fake_step other[] = {{.kind = FAKE_SLEEP}};

    rig->config.cpus.count = 3;
    rig->plan.scripts[0] = first;
    rig->plan.scripts[1] = other;
    rig->plan.lives = 10;
    rig->tick.fire = end_later;
    loop_timer_set(rig->loop, &rig->tick, loop_now_ns() + 1000000);
    run(rig);
    assert_int_equal(rig->called, 10);
    assert_int_equal(rig->plan.vms, 11);
    assert_int_equal(rig->plan.vms_gone, 10);
    assert_int_equal(rig->plan.mismatches, 0);
}

static void test_no_reboot(void **state)
{
    static const struct fake_step script[] = {{.kind = FAKE_RESET}};
    struct rig *rig = *state;

    rig->plan.scripts[0] = script;
    rig->config.no_reboot = true;
    run(rig);
    assert_int_equal(vm_exit_code(rig->vm), EXIT_CODE_OK);
    assert_int_equal(rig->plan.vms, 1);
}

/* The guest counts; while paused it doesn't. */
static void count_up(void *argument)
{
    uint32_t *counter = argument;

    __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
    usleep(100);
}

static void wait_above(const uint32_t *counter, uint32_t value)
{
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) <= value) {
        usleep(100);
    }
}

static void test_pause(void **state)
{
    struct rig *rig = *state;
    static struct fake_step script[100001];
    uint32_t seen;

    for (size_t i = 0; i < ARRAY_SIZE(script) - 1; i++) {
        script[i] = (struct fake_step){.kind = FAKE_CALL, .call = count_up,
                                       .argument = &rig->called};
    }
    rig->config.cpus.count = 4;
    rig->plan.scripts[3] = script;
    start(rig);
    assert_false(vm_resume(rig->vm));
    for (int i = 0; i < 20; i++) {
        wait_above(&rig->called, __atomic_load_n(&rig->called, __ATOMIC_SEQ_CST));
        assert_true(vm_pause(rig->vm));
        assert_false(vm_pause(rig->vm));
        assert_int_equal(vm_get_state(rig->vm), VM_PAUSED);
        seen = __atomic_load_n(&rig->called, __ATOMIC_SEQ_CST);
        usleep(2000);
        assert_int_equal(__atomic_load_n(&rig->called, __ATOMIC_SEQ_CST), seen);
        assert_true(vm_resume(rig->vm));
        wait_above(&rig->called, seen);
    }
    assert_false(vm_start(rig->vm, &(struct error)ERROR_NONE));
}

/* A reboot that the guest asks for while it is being paused comes, and doesn't run. */
static void test_reset_while_paused(void **state)
{
    static const struct fake_step script[] = {{.kind = FAKE_RESET}};
    struct rig *rig = *state;

    rig->plan.scripts[0] = script;
    rig->plan.lives = 1;
    start(rig);
    usleep(20000);
    assert_true(vm_pause(rig->vm));
    rig->tick.fire = end_later;
    rig->plan.vms = 10; /* the reboot's is the 11th */
    rig->plan.vms_gone += 9;
    loop_timer_set(rig->loop, &rig->tick, loop_now_ns() + 1000000);
    loop_run(rig->loop);
    assert_int_equal(rig->plan.vms, 11);
}

static void test_metrics(void **state)
{
    static const struct fake_step script[] = {
        {FAKE_LOAD, UART_ID0, 4, 0x11, true, NULL, NULL},
        {FAKE_STORE, UART_DR, 1, 'x', false, NULL, NULL},
        {FAKE_STORE, UART_DR, 1, 'y', false, NULL, NULL},
        {.kind = FAKE_OFF},
    };
    struct rig *rig = *state;
    struct metrics *metrics = metrics_create();
    size_t size;
    char *text;

    rig->plan.scripts[0] = script;
    run(rig);
    vm_collect_metrics(rig->vm, metrics);
    text = metrics_text(metrics, &size);
    assert_non_null(strstr(text, "kind=\"mmio_read\"} 1\n"));
    assert_non_null(strstr(text, "kind=\"mmio_write\"} 2\n"));
    assert_non_null(strstr(text, "kind=\"off\"} 1\n"));
    assert_non_null(strstr(text, "stat=\"remote_tlb_flush\"} 7\n"));
    assert_non_null(strstr(text, "vcpu=\"0\",reason=\"HVC64\",stat=\"hvc_exit_stat\"} 5\n"));
    assert_non_null(strstr(text, "vcpu=\"0\",stat=\"exits\"} 11\n"));
    free(text);
    metrics_destroy(metrics);
}

static void test_affinity(void **state)
{
    struct error error = ERROR_NONE;
    const uint32_t expected[] = {0, 1, 2, 3, 8, 0, 1};
    uint32_t cpu;

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_true(affinity_find("0-3,8", i, &cpu, &error));
        assert_int_equal(cpu, expected[i]);
    }
    assert_true(affinity_find("5", 9, &cpu, &error));
    assert_int_equal(cpu, 5);
    static const char *const wrong[] = {"", "a", "1-", "-1", "3-1", "0,", ",0", "0-3x", "0--3",
                                        "1024", "0-99999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        error = (struct error)ERROR_NONE;
        assert_false(affinity_find(wrong[i], 0, &cpu, &error));
        assert_int_equal(error.code, EXIT_CODE_USAGE);
    }
}

static int make_kernel(void **state)
{
    int fd = mkstemp(kernel_path);
    char text[4096];

    (void)state;
    memset(text, 'k', sizeof(text));
    if (fd < 0 || write(fd, text, sizeof(text)) != (ssize_t)sizeof(text)) {
        return -1;
    }
    return close(fd);
}

static int remove_kernel(void **state)
{
    (void)state;
    return unlink(kernel_path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_build), TEST(test_gicv2), TEST(test_refused), TEST(test_refused_memory),
        TEST(test_refused_feature), TEST(test_refused_backend), TEST(test_mmio), TEST(test_ends),
        TEST(test_reboots), TEST(test_no_reboot), TEST(test_pause), TEST(test_reset_while_paused),
        TEST(test_metrics), cmocka_unit_test(test_affinity),
    };

    return cmocka_run_group_tests_name("vm", tests, make_kernel, remove_kernel);
}
