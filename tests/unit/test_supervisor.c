/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor passes the VM's end on, and does for it only what was allowed before the seal. */
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
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/jail/supervisor.h"

#define FINE 42

static char directory[64];
static int cleanups;

static void cleanup(void *argument, int code)
{
    (void)argument;
    (void)code;
    cleanups++;
}

/* Forks; the child runs body and exits with what it returns. Returns the supervisor's code. */
static int supervise(int (*body)(void))
{
    struct supervisor_hooks hooks = {cleanup, NULL};
    struct error error = ERROR_NONE;
    int code = -1;

    fflush(NULL);
    cleanups = 0;
    if (supervisor_fork(&hooks, &code, &error)) {
        _exit(body());
    }
    assert_int_equal(error.code, EXIT_CODE_OK);
    assert_int_equal(cleanups, 1);
    return code;
}

static int returns_7(void)
{
    return 7;
}

static int dies(void)
{
    raise(SIGKILL);
    return 0;
}

static int asks(void)
{
    char path[128];
    char data[4];
    int fd;

    snprintf(path, sizeof(path), "%s/file", directory);
    if (supervisor_open(path, true, false) >= 0 || errno != EACCES) {
        return 1; /* not yet allowed */
    }
    if (!supervisor_allow_open(path, false)) {
        return 2;
    }
    supervisor_seal();
    if (supervisor_allow_open("/etc/hosts", true) ||
        supervisor_open("/etc/passwd", true, false) >= 0) {
        return 3;
    }
    fd = supervisor_open(path, true, false);
    if (fd < 0 || read(fd, data, 4) != 4 || memcmp(data, "data", 4) != 0) {
        return 4;
    }
    if (supervisor_open(path, false, false) >= 0 || errno != EBUSY) {
        return 7; /* somebody reads it */
    }
    close(fd);
    fd = supervisor_open(path, false, false);
    if (fd < 0 || supervisor_open(path, true, false) >= 0 || errno != EBUSY) {
        return 8; /* somebody writes to it */
    }
    snprintf(path, sizeof(path), "%s/../%s/file", directory, strrchr(directory, '/') + 1);
    if (supervisor_open(path, true, false) >= 0) {
        return 5; /* another way to write the directory isn't the directory */
    }
    snprintf(path, sizeof(path), "%s/link", directory);
    if (supervisor_open(path, true, false) >= 0) {
        return 6;
    }
    return FINE;
}

/* What lies beside a disk and isn't called like one stays out of reach, as does writing where the
 * disk is only read. */
static int asks_for_neighbours(void)
{
    char path[128];
    size_t end = (size_t)snprintf(path, sizeof(path), "%s/a.img", directory);
    static const struct {
        const char *name;
        bool readonly;
        bool allowed;
    } cases[] = {
        {"b.img", false, true}, {"b.img", true, true},        {"c.raw", true, true},
        {"c.raw", false, false}, {".bashrc", false, false},   {".img", false, false},
        {"run.sh", true, false}, {"plain", true, false},      {"", true, false},
    };

    if (!supervisor_allow_open(path, false)) {
        return 1;
    }
    strcpy(path + end - 5, "a.raw");
    if (!supervisor_allow_open(path, true)) {
        return 2;
    }
    supervisor_seal();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd;

        strcpy(path + end - 5, cases[i].name);
        fd = supervisor_open(path, cases[i].readonly, false);
        if ((fd >= 0) != cases[i].allowed || (fd < 0 && errno != EACCES)) {
            return 3 + (int)i;
        }
        close(fd);
    }
    return FINE;
}

static int connects(void)
{
    char prefix[128];
    int fd;

    snprintf(prefix, sizeof(prefix), "%s/v.sock", directory);
    if (!supervisor_allow_connect(prefix)) {
        return 1;
    }
    supervisor_seal();
    fd = supervisor_connect(prefix, 1024);
    if (fd < 0) {
        return 2;
    }
    if (supervisor_connect(prefix, 1025) >= 0 || errno != ENOENT) {
        return 3;
    }
    snprintf(prefix, sizeof(prefix), "%s/other", directory);
    if (supervisor_connect(prefix, 1024) >= 0 || errno != EACCES) {
        return 4;
    }
    return FINE;
}

static void test_supervisor_codes(void **state)
{
    (void)state;
    assert_int_equal(supervise(returns_7), 7);
    assert_int_equal(supervise(dies), EXIT_CODE_SIGNAL + SIGKILL);
}

static const char *const neighbours[] = {"a.img",   "a.raw", "b.img", "c.raw", ".bashrc",
                                         ".img", "run.sh", "plain", NULL};

static void make_files(const char *const *names)
{
    char path[128];

    for (; *names != NULL; names++) {
        snprintf(path, sizeof(path), "%s/%s", directory, *names);
        close(open(path, O_CREAT | O_WRONLY, 0644));
    }
}

static void remove_files(const char *const *names)
{
    char path[128];

    for (; *names != NULL; names++) {
        snprintf(path, sizeof(path), "%s/%s", directory, *names);
        unlink(path);
    }
}

static void test_supervisor_requests(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[128];
    int fd;

    (void)state;
    strcpy(directory, "/tmp/bothy-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/file", directory);
    fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_int_equal(write(fd, "data", 4), 4);
    close(fd);
    snprintf(path, sizeof(path), "%s/link", directory);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(supervise(asks), FINE);
    make_files(neighbours);
    assert_int_equal(supervise(asks_for_neighbours), FINE);
    remove_files(neighbours);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/v.sock_1024", directory);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(supervise(connects), FINE);
    close(fd);
    unlink(address.sun_path);
    unlink(path);
    snprintf(path, sizeof(path), "%s/file", directory);
    unlink(path);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_supervisor_codes),
        cmocka_unit_test(test_supervisor_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
