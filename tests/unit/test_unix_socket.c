/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets by path: what a killed process left is replaced, everything else stays. */
#include "vmm/base/unix_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/bothy-test-XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    strcpy(base + sizeof(base) - 7, "XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof(path), "%s/socket", base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(base);
}

static void fails(int result, int expected)
{
    int found = errno;

    assert_int_equal(result, -1);
    assert_int_equal(found, expected);
}

static void both_ends_meet(void **state)
{
    int listener = unix_listen(path, S_IRUSR | S_IWUSR, 1);
    struct stat info;
    int client;
    int server;

    (void)state;
    assert_true(listener >= 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    fails(accept(listener, NULL, NULL), EAGAIN);
    client = unix_connect(path, 0, 10);
    assert_true(client >= 0);
    server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(write(client, "x", 1), 1);
    assert_int_equal(read(server, (char[1]){0}, 1), 1);
    close(server);
    close(client);
    close(listener);
}

static void a_full_backlog_is_not_waited_for(void **state)
{
    int listener = unix_listen(path, ACCESSPERMS, 0);
    int first = unix_connect(path, SOCK_NONBLOCK, 0);

    (void)state;
    assert_true(first >= 0);
    fails(unix_connect(path, SOCK_NONBLOCK, 0), EAGAIN);
    close(first);
    close(listener);
}

static void patience_has_an_end(void **state)
{
    int listener = unix_listen(path, ACCESSPERMS, 0);
    int client = unix_connect(path, 0, 1);

    (void)state;
    assert_true(client >= 0);
    fails((int)read(client, (char[1]){0}, 1), EAGAIN);
    close(client);
    close(listener);
}

static void a_leftover_is_replaced(void **state)
{
    int listener = unix_listen(path, ACCESSPERMS, 1);

    (void)state;
    close(listener); /* as after kill -9: the file stays */
    fails(unix_connect(path, 0, 0), ECONNREFUSED);
    listener = unix_listen(path, ACCESSPERMS, 1);
    assert_true(listener >= 0);
    assert_false(unix_remove_stale(path)); /* in use */
    fails(unix_listen(path, ACCESSPERMS, 1), EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    close(listener);
    assert_true(unix_remove_stale(path));
    assert_int_equal(access(path, F_OK), -1);
    assert_false(unix_remove_stale(path));
}

static void what_is_no_socket_stays(void **state)
{
    int file = open(path, O_WRONLY | O_CREAT, 0600);

    (void)state;
    assert_true(file >= 0);
    close(file);
    fails(unix_connect(path, 0, 0), ECONNREFUSED);
    fails(unix_listen(path, ACCESSPERMS, 1), EEXIST);
    assert_false(unix_remove_stale(path));
    assert_int_equal(access(path, F_OK), 0);
}

static void a_link_to_a_leftover_stays(void **state)
{
    char target[80];

    (void)state;
    snprintf(target, sizeof(target), "%s.target", path);
    close(unix_listen(target, ACCESSPERMS, 1));
    assert_int_equal(symlink(target, path), 0);
    fails(unix_listen(path, ACCESSPERMS, 1), EEXIST);
    assert_false(unix_remove_stale(path));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(target), 0);
}

static void paths_that_cannot_be(void **state)
{
    char longest[200] = "/tmp/";

    (void)state;
    memset(longest + 5, 'x', 103);
    fails(unix_connect(longest, 0, 0), ENAMETOOLONG); /* 108 bytes */
    fails(unix_listen(longest, ACCESSPERMS, 1), ENAMETOOLONG);
    longest[107] = '\0';
    fails(unix_connect(longest, 0, 0), ENOENT);
    fails(unix_listen("/nonexistent/socket", ACCESSPERMS, 1), ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ends_meet, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_backlog_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(patience_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leftover_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_socket_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_to_a_leftover_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_that_cannot_be, setup, teardown),
    };

    return cmocka_run_group_tests_name("unix_socket", tests, NULL, NULL);
}
