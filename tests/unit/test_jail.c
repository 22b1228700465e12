/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail, in processes of its own: what is refused ends with a message that names the call, what
 * was open goes on working. (What the supervisor does is test_supervisor.)
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
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/jail/jail.h"

#define FINE 42

/* Runs `body` in a child and returns its wait status; what it writes to stderr goes to text. */
static int run(int (*body)(void), char *text, size_t size)
{
    int pipes[2];
    int status;
    size_t total = 0;
    ssize_t count;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    signal(SIGPIPE, SIG_IGN);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(pipes[0]);
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[1]);
        _exit(body());
    }
    close(pipes[1]);
    while ((count = read(pipes[0], text + total, size - 1 - total)) > 0) {
        total += (size_t)count;
    }
    text[total] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static const struct config_jail shut = {0};

static bool enter(enum jail_thread kind)
{
    struct error error = ERROR_NONE;

    if (!jail_enter(&shut, &error) || !jail_thread(&shut, kind, &error)) {
        dprintf(STDERR_FILENO, "%s\n", error.text);
        return false;
    }
    return true;
}

static int open_a_file(void)
{
    return enter(JAIL_MAIN) ? open("/etc/passwd", O_RDONLY) : 1;
}

static int start_a_program(void)
{
    char *const arguments[] = {(char *)(uintptr_t) "/bin/true", NULL};

    return enter(JAIL_MAIN) ? execv("/bin/true", arguments) : 1;
}

static int make_code(void)
{
    if (!enter(JAIL_MAIN)) {
        return 1;
    }
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED;
}

static int vcpu_sends(void)
{
    return enter(JAIL_VCPU) ? (int)send(0, "x", 1, 0) : 1;
}

/* Another process of the same user, as which other VMs may run. */
static int end_another(void)
{
    int other = (int)getppid();

    return enter(JAIL_MAIN) ? (int)syscall(SYS_tgkill, other, other, SIGTERM) : 1;
}

static int go_on(void)
{
    int self = (int)getpid();
    int pipes[2];
    char byte = 'x';

    if (pipe2(pipes, O_CLOEXEC) != 0 || !enter(JAIL_MAIN)) {
        return 1;
    }
    if (syscall(SYS_tgkill, self, self, SIGURG) != 0) {
        return 4;
    }
    if (write(pipes[1], &byte, 1) != 1 || read(pipes[0], &byte, 1) != 1 || byte != 'x') {
        return 2;
    }
    if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
        MAP_FAILED) {
        return 3;
    }
    return FINE;
}

/* What the process was born with goes, but for what was named. */
static int writes_to_what_was_inherited(void)
{
    int pipes[2];
    int keep[3];

    if (pipe2(pipes, 0) != 0) {
        return 1;
    }
    keep[0] = dup(pipes[1]);
    keep[1] = -1;
    keep[2] = fcntl(pipes[1], F_DUPFD, 700);
    jail_close_inherited(keep, 3);
    if (!enter(JAIL_MAIN) || write(pipes[1], "x", 1) >= 0 || errno != EBADF) {
        return 2;
    }
    /* Nobody can read any more: SIGPIPE is ignored, the descriptors are there. */
    return write(keep[0], "x", 1) < 0 && errno == EPIPE && write(keep[2], "x", 1) < 0 &&
                   errno == EPIPE
               ? FINE
               : 3;
}

static void *vcpu_thread(void *argument)
{
    struct error error = ERROR_NONE;

    (void)argument;
    return jail_thread(&shut, JAIL_VCPU, &error) ? NULL : (void *)1;
}

/* As a VM does it: all threads, then the main thread's filter. */
static int threads_before(void)
{
    struct error error = ERROR_NONE;
    pthread_t thread;
    void *result;

    if (!jail_enter(&shut, &error) || pthread_create(&thread, NULL, vcpu_thread, NULL) != 0 ||
        !jail_thread(&shut, JAIL_MAIN, &error)) {
        return 1;
    }
    pthread_join(thread, &result);
    return result == NULL ? FINE : 2;
}

static int thread_after(void)
{
    pthread_t thread;

    return enter(JAIL_MAIN) && pthread_create(&thread, NULL, vcpu_thread, NULL) == 0 ? FINE : 1;
}

static void test_refused_calls_are_named(void **state)
{
    static const struct {
        int (*body)(void);
        const char *name;
    } cases[] = {{open_a_file, "openat"},
                 {start_a_program, "execve"},
                 {make_code, "mmap"},
                 {vcpu_sends, "sendto"},
                 {end_another, "tgkill"}};
    char text[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = run(cases[i].body, text, sizeof(text));

        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EXIT_CODE_VMM);
        assert_non_null(strstr(text, cases[i].name));
        assert_non_null(strstr(text, "isn't allowed"));
    }
}

static void test_allowed_calls_work(void **state)
{
    char text[4096];
    int status = run(go_on, text, sizeof(text));

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FINE);
    status = run(writes_to_what_was_inherited, text, sizeof(text));
    assert_int_equal(WEXITSTATUS(status), FINE);
    status = run(threads_before, text, sizeof(text));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FINE);
}

static void test_no_thread_can_be_made(void **state)
{
    char text[4096];
    int status = run(thread_after, text, sizeof(text));

    (void)state;
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == FINE);
}

static int as_root_user(void)
{
    struct config_jail config = {.user = (char *)(uintptr_t) "root"};
    struct error error = ERROR_NONE;
    bool entered = jail_enter(&config, &error);

    dprintf(STDERR_FILENO, "%s\n", error.text);
    return entered ? 0 : (int)error.code;
}

static int as_nobody_known(void)
{
    struct config_jail config = {.user = (char *)(uintptr_t) "no-such-user"};
    struct error error = ERROR_NONE;
    bool entered = jail_enter(&config, &error);

    dprintf(STDERR_FILENO, "%s\n", error.text);
    return entered ? 0 : (int)error.code;
}

static int who_am_i(void)
{
    if (!enter(JAIL_MAIN)) {
        return 1;
    }
    return FINE;
}

static void test_users(void **state)
{
    char text[4096];
    int status;

    (void)state;
    if (geteuid() == 0) { /* only root chooses */
        status = run(as_root_user, text, sizeof(text));
        assert_int_equal(WEXITSTATUS(status), EXIT_CODE_USAGE);
        assert_non_null(strstr(text, "doesn't run as root"));
        status = run(as_nobody_known, text, sizeof(text));
        assert_int_equal(WEXITSTATUS(status), EXIT_CODE_USAGE);
        assert_non_null(strstr(text, "no-such-user"));
    }
    status = run(who_am_i, text, sizeof(text));
    assert_int_equal(WEXITSTATUS(status), FINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_calls_are_named),
        cmocka_unit_test(test_allowed_calls_work),
        cmocka_unit_test(test_no_thread_can_be_made),
        cmocka_unit_test(test_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
