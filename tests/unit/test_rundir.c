/* SPDX-License-Identifier: Apache-2.0 */
/* The run directory: names are taken once, dead VMs are cleaned away, links are not followed. */
#include "vmm/cli/rundir.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/bothy-test-XXXXXX";
static char path[64];
static struct rundir dir;
static struct error error;

static int setup(void **state)
{
    (void)state;
    strcpy(base + sizeof(base) - 7, "XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof(path), "%s/run", base);
    setenv("BOTHY_RUN_DIR", path, 1);
    error = (struct error)ERROR_NONE;
    assert_true(rundir_open(&dir, true, &error));
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    rundir_close(&dir);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command);
}

static bool exists(const char *name)
{
    struct stat info;

    return fstatat(dir.fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

static void touch(const char *name, const char *content)
{
    int fd = openat(dir.fd, name, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
}

static void test_directory_is_private(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(fstat(dir.fd, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void test_claim_and_release(void **state)
{
    struct rundir_claim claim = {.lock_fd = -1};
    struct rundir_vm vm;

    (void)state;
    touch("web.api", "");
    assert_true(rundir_claim(&dir, "web", &claim, &error));
    assert_false(exists("web.api")); /* of an earlier one */
    assert_false(rundir_probe(&dir, "web", &vm)); /* no record yet */
    assert_true(exists("web.lock"));
    assert_true(rundir_record(&claim, getpid(), 77, "/a b/c.sock"));
    assert_true(rundir_probe(&dir, "web", &vm));
    assert_int_equal(vm.pid, getpid());
    assert_int_equal(vm.vm_pid, 77);
    assert_string_equal(vm.api, "/a b/c.sock");
    assert_true(rundir_record(&claim, getpid(), 78, NULL));
    assert_true(rundir_lookup(&dir, "web", &vm, &error));
    assert_non_null(strstr(vm.api, "/run/web.api"));
    touch("web.api", "");
    touch("web.console", "");
    rundir_release(&claim);
    assert_false(exists("web.api") || exists("web.console") || exists("web.lock"));
    rundir_release(&claim); /* harmless */
}

static void test_a_name_is_taken_once(void **state)
{
    struct rundir_claim first = {.lock_fd = -1};
    struct rundir_claim second = {.lock_fd = -1};
    char expected[160];

    (void)state;
    assert_true(rundir_claim(&dir, "web", &first, &error));
    assert_true(rundir_record(&first, getpid(), getpid(), NULL));
    assert_false(rundir_claim(&dir, "web", &second, &error));
    assert_int_equal(error.code, EXIT_CODE_NO_VM);
    snprintf(expected, sizeof(expected),
             "a VM called web runs already, as process %d; give this one another --name, or end "
             "that one: bothy stop web", getpid());
    assert_string_equal(error.text, expected);
    assert_true(exists("web.lock"));
    rundir_release(&first);
    error = (struct error)ERROR_NONE;
    assert_true(rundir_claim(&dir, "web", &second, &error));
    rundir_release(&second);
}

static unsigned seen;

static void count_vm(const struct rundir_vm *vm, void *context)
{
    (void)context;
    assert_string_equal(vm->name, "alive");
    seen++;
}

static void test_dead_ones_are_cleaned(void **state)
{
    struct rundir_claim claim = {.lock_fd = -1};

    (void)state;
    assert_true(rundir_claim(&dir, "alive", &claim, &error));
    assert_true(rundir_record(&claim, getpid(), getpid(), NULL));
    touch("dead.lock", "1 2 \n");
    touch("dead.api", "");
    touch("dead.console", "");
    touch("empty.lock", "");
    touch("unrelated", "");
    seen = 0;
    rundir_each(&dir, count_vm, NULL);
    assert_int_equal(seen, 1);
    assert_false(exists("dead.lock") || exists("dead.api") || exists("dead.console"));
    assert_false(exists("empty.lock"));
    assert_true(exists("unrelated") && exists("alive.lock"));
    rundir_release(&claim);
}

static void test_links_are_not_followed(void **state)
{
    struct rundir_claim claim = {.lock_fd = -1};
    struct rundir_vm vm;
    char target[80];
    struct rundir other;

    (void)state;
    snprintf(target, sizeof(target), "%s/precious", base);
    assert_int_equal(symlinkat(target, dir.fd, "evil.lock"), 0);
    assert_false(rundir_probe(&dir, "evil", &vm));
    assert_false(rundir_claim(&dir, "evil", &claim, &error));
    assert_int_equal(error.code, EXIT_CODE_HOST);
    assert_int_not_equal(access(target, F_OK), 0);
    /* A link in the directory's own place. */
    snprintf(target, sizeof(target), "%s/link", base);
    assert_int_equal(symlink(path, target), 0);
    setenv("BOTHY_RUN_DIR", target, 1);
    error = (struct error)ERROR_NONE;
    assert_false(rundir_open(&other, true, &error));
    assert_non_null(strstr(error.text, "which must be a directory, not a link"));
}

static void test_names_that_are_none(void **state)
{
    static const char *const names[] = {"", "..", "a/b", "-x", "../web", "a b", "\n"};
    struct rundir_vm vm;

    (void)state;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        error = (struct error)ERROR_NONE;
        assert_false(rundir_lookup(&dir, names[i], &vm, &error));
        assert_int_equal(error.code, EXIT_CODE_USAGE);
    }
}

static void test_garbage_in_a_record(void **state)
{
    static const char *const records[] = {"", "x", "12", "99999999999999999999 1 /x\n", "-1 -1 \n",
                                          "1\n2\n"};
    struct rundir_vm vm;

    (void)state;
    for (unsigned i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        int fd;

        touch("odd.lock", records[i]);
        fd = openat(dir.fd, "odd.lock", O_RDONLY);
        assert_int_equal(flock(fd, LOCK_EX), 0);
        if (rundir_probe(&dir, "odd", &vm)) {
            assert_true(vm.pid > 0);
        }
        unlinkat(dir.fd, "odd.lock", 0);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_directory_is_private, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claim_and_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_name_is_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead_ones_are_cleaned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links_are_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_in_a_record, setup, teardown),
    };

    return cmocka_run_group_tests_name("rundir", tests, NULL, NULL);
}
