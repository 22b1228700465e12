/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a VM: who is attached gets what was said before and what is said now, keys are
 * obeyed, nobody makes the guest wait, input waits for the device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/vm/console.h"
#include "vmm/vm/vm.h"

struct fixture {
    struct loop *loop;
    struct console *console;
    char directory[64];
    char path[96];
    char taken[1024];
    size_t nr_taken;
    size_t room;
    int breaks;
    struct loop_timer limit;
};

static struct loop *current;
static int ends;

/* In the place of vmm/vm/vm.c's. */
void vm_end(struct vm *vm, enum exit_code code, const char *reason)
{
    (void)vm;
    (void)reason;
    assert_int_equal(code, EXIT_CODE_OK);
    ends++;
    loop_stop(current);
}

static size_t input(void *device, const uint8_t *bytes, size_t count)
{
    struct fixture *f = device;
    size_t taken = count < f->room ? count : f->room;

    assert_true(f->nr_taken + taken <= sizeof(f->taken));
    memcpy(f->taken + f->nr_taken, bytes, taken);
    f->nr_taken += taken;
    f->room -= taken;
    return taken;
}

static void break_condition(void *device)
{
    ((struct fixture *)device)->breaks++;
}

static void time_is_up(struct loop_timer *timer)
{
    (void)timer;
    loop_stop(current);
}

/* Serves events for a while: long enough for a burst to end. */
static void turn(struct fixture *f)
{
    loop_timer_set(f->loop, &f->limit, loop_now_ns() + 30000000u);
    loop_run(f->loop);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int attach(struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    turn(f);
    return fd;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct config_serial config = {.kind = CONFIG_SERIAL_SOCKET};
    struct console_sink sink = {input, break_condition, f};
    struct error error = ERROR_NONE;

    strcpy(f->directory, "/tmp/bothy-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof(f->path), "%s/console", f->directory);
    f->loop = current = loop_create();
    f->limit = (struct loop_timer){.deadline_ns = LOOP_TIMER_OFF, .fire = time_is_up};
    f->console = console_create(NULL, f->loop, &config, listen_at(f->path), &error);
    assert_non_null(f->console);
    f->room = sizeof(f->taken);
    console_attach(f->console, CONSOLE_SERIAL, &sink);
    ends = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    console_destroy(f->console);
    loop_destroy(f->loop);
    unlink(f->path);
    rmdir(f->directory);
    free(f);
    return 0;
}

static void say(struct fixture *f, const char *text)
{
    console_output(f->console, CONSOLE_SERIAL, (const uint8_t *)text, strlen(text));
}

static void expect(int fd, const char *text)
{
    char bytes[256];
    ssize_t count = read(fd, bytes, sizeof(bytes));

    assert_int_equal(count, strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
}

static void test_history_and_present(void **state)
{
    struct fixture *f = *state;
    int first;
    int second;

    say(f, "before\n");
    turn(f);
    first = attach(f);
    expect(first, "before\n");
    say(f, "login: "); /* no end of a line: it comes all the same */
    turn(f);
    expect(first, "login: ");
    second = attach(f);
    expect(second, "before\nlogin: ");
    say(f, "x\n");
    turn(f);
    expect(first, "x\n");
    expect(second, "x\n");
    close(first);
    turn(f);
    say(f, "y\n");
    turn(f);
    expect(second, "y\n");
    close(second);
}

static void test_a_slow_reader_loses_the_oldest(void **state)
{
    struct fixture *f = *state;
    static char flood[1000];
    static char got[1 << 20];
    size_t total = 0;
    ssize_t count;
    int fd = attach(f);

    memset(flood, 'a', sizeof(flood));
    flood[999] = '\n';
    for (int i = 0; i < 3000; i++) { /* more than any socket buffers */
        console_output(f->console, CONSOLE_SERIAL, (uint8_t *)flood, sizeof(flood));
        if (i % 100 == 0) {
            turn(f);
        }
    }
    say(f, "the last line\n");
    for (int idle = 0; idle < 3;) {
        count = read(fd, got + total, sizeof(got) - total);
        if (count > 0) {
            total += (size_t)count;
        } else {
            idle++;
            turn(f);
        }
        assert_true(total < sizeof(got));
    }
    assert_non_null(strstr(got, "bytes of output lost]"));
    assert_memory_equal(got + total - 14, "the last line\n", 14);
    close(fd);
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    int fd = attach(f);
    char bytes[256];

    assert_int_equal(write(fd, "a\x01\x01" "b\x01" "bc", 7), 7);
    turn(f);
    assert_int_equal(f->nr_taken, 4);
    assert_memory_equal(f->taken, "a\x01" "bc", 4);
    assert_int_equal(f->breaks, 1);
    assert_int_equal(write(fd, "\x01h", 2), 2);
    turn(f);
    assert_true(read(fd, bytes, sizeof(bytes)) > 20);
    assert_int_equal(write(fd, "\x01" "c", 2), 2);
    turn(f);
    assert_true(read(fd, bytes, sizeof(bytes)) > 20);
    assert_non_null(strstr(bytes, "no virtio console"));
    assert_int_equal(write(fd, "\x01x", 2), 2); /* only detaches */
    turn(f);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 0);
    assert_int_equal(ends, 0);
    close(fd);
}

static void test_input_waits_for_the_device(void **state)
{
    struct fixture *f = *state;
    static char text[2000];
    int fd = attach(f);

    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + i % 26);
    }
    f->room = 10;
    assert_int_equal(write(fd, text, sizeof(text) / 2), sizeof(text) / 2);
    turn(f);
    assert_int_equal(f->nr_taken, 10);
    while (f->nr_taken < sizeof(text) / 2) {
        f->room += 30;
        console_input_room(f->console, CONSOLE_SERIAL);
        turn(f);
    }
    assert_int_equal(f->nr_taken, sizeof(text) / 2);
    assert_memory_equal(f->taken, text, f->nr_taken);
    close(fd);
}

static unsigned int rounds;

static void count_round(struct loop_hook *hook)
{
    (void)hook;
    rounds++;
}

/* Who has typed more than the guest takes, and left, doesn't keep the loop awake; nor does another
 * who types meanwhile. */
static void test_who_left_is_not_heard_of_again_and_again(void **state)
{
    struct fixture *f = *state;
    struct loop_hook hook = {.run = count_round};
    char text[300];
    int first = attach(f);
    int second = attach(f);

    f->room = 0;
    memset(text, 'a', sizeof(text));
    assert_int_equal(write(first, text, sizeof(text)), sizeof(text));
    turn(f);
    assert_int_equal(write(second, "b", 1), 1);
    close(first);
    rounds = 0;
    loop_hook_add(f->loop, &hook);
    turn(f);
    assert_true(rounds < 10);
    loop_hook_remove(f->loop, &hook);
    f->room = sizeof(f->taken);
    console_input_room(f->console, CONSOLE_SERIAL);
    turn(f);
    assert_int_equal(f->nr_taken, 301);
    close(second);
}

static void test_too_many_are_told(void **state)
{
    struct fixture *f = *state;
    char bytes[256];
    int fds[6];

    for (int i = 0; i < 6; i++) {
        fds[i] = attach(f);
    }
    assert_true(read(fds[5], bytes, sizeof(bytes)) > 20);
    assert_int_equal(read(fds[5], bytes, sizeof(bytes)), 0);
    for (int i = 0; i < 6; i++) {
        close(fds[i]);
    }
    turn(f);
    fds[0] = attach(f);
    say(f, "room again\n");
    turn(f);
    assert_int_equal(read(fds[0], bytes, sizeof(bytes)), 11);
    close(fds[0]);
}

static void *chatter(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        console_output(argument, CONSOLE_SERIAL, (const uint8_t *)"0123456789abcde\n", 16);
    }
    return NULL;
}

/* Two vCPUs write while the main thread serves; for ThreadSanitizer, and nothing gets lost. */
static void test_threads(void **state)
{
    struct fixture *f = *state;
    static char got[2 * 2000 * 16 + 4096];
    pthread_t threads[2];
    size_t total = 0;
    int fd = attach(f);
    ssize_t count;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, f->console), 0);
    }
    for (int idle = 0; idle < 5;) {
        turn(f);
        count = read(fd, got + total, sizeof(got) - total);
        total += count > 0 ? (size_t)count : 0;
        idle = count > 0 ? 0 : idle + 1;
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(total >= 16384);
    assert_memory_equal(got + total - 16, "0123456789abcde\n", 16);
    close(fd);
}

static void test_output_file(void **state)
{
    struct fixture *f = *state;
    struct config_serial config = {.kind = CONFIG_SERIAL_FILE};
    struct error error = ERROR_NONE;
    struct console *console;
    char path[128];
    char bytes[64];
    int fd;

    snprintf(path, sizeof(path), "%s/log", f->directory);
    config.path = path;
    console = console_create(NULL, f->loop, &config, -1, &error);
    assert_non_null(console);
    console_output(console, CONSOLE_SERIAL, (const uint8_t *)"to a file", 9);
    console_destroy(console);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 9);
    close(fd);
    unlink(path);
    snprintf(path, sizeof(path), "%s/none/log", f->directory);
    assert_null(console_create(NULL, f->loop, &config, -1, &error));
    assert_int_equal(error.code, EXIT_CODE_INPUT);
    assert_non_null(strstr(error.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_history_and_present, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_reader_loses_the_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_input_waits_for_the_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_left_is_not_heard_of_again_and_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_too_many_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
