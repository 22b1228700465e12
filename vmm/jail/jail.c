/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail, from the outside in: limits, namespaces, an empty root directory that no longer has a
 * name, Landlock, another user, no capabilities, and per thread a filter of system calls. The
 * order matters: each step needs rights that a later one gives away.
 */
#include "vmm/jail/jail.h"
#include "jail_filters.h"
#include "vmm/base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EMPTY_ROOT "/tmp/bothy-root-XXXXXX"
#define NOBODY 65534u
#define DESCRIPTORS_MAX 4096u

struct identity {
    uid_t uid;
    gid_t gid;
};

/* "name" or "1234"; files are read by hand, a static program has no NSS. */
static bool find_id(const char *file, const char *name, uint32_t *ret_id, uint32_t *ret_group)
{
    char line[512];
    size_t length = strlen(name);
    bool found = false;
    FILE *stream;
    char *end;

    *ret_id = (uint32_t)strtoul(name, &end, 10);
    if (*end == '\0' && end != name) {
        return true;
    }
    stream = fopen(file, "re");
    while (stream != NULL && !found && fgets(line, sizeof(line), stream) != NULL) {
        char *rest = line + length;

        if (strncmp(line, name, length) != 0 || *rest != ':') {
            continue;
        }
        rest = strchr(rest + 1, ':');
        if (rest != NULL) {
            *ret_id = (uint32_t)strtoul(rest + 1, &rest, 10);
            *ret_group = (uint32_t)strtoul(rest + 1, NULL, 10);
            found = true;
        }
    }
    if (stream != NULL) {
        fclose(stream);
    }
    return found;
}

static bool find_identity(const struct config_jail *config, struct identity *ret_identity,
                          struct error *error)
{
    uint32_t uid = NOBODY;
    uint32_t gid = NOBODY;
    uint32_t unused;

    if (config->user != NULL && !find_id("/etc/passwd", config->user, &uid, &gid)) {
        return error_set(error, EXIT_CODE_USAGE,
                         "jail user '%s': /etc/passwd has no such user; a number is allowed too",
                         config->user);
    }
    if (config->group != NULL && !find_id("/etc/group", config->group, &gid, &unused)) {
        return error_set(error, EXIT_CODE_USAGE,
                         "jail group '%s': /etc/group has no such group; a number is allowed too",
                         config->group);
    }
    if (uid == 0) {
        return error_set(error, EXIT_CODE_USAGE,
                         "jail user '%s' is root: a VM doesn't run as root; use --no-jail to debug",
                         config->user);
    }
    *ret_identity = (struct identity){uid, gid};
    return true;
}

/* No core with guest memory in it, no more descriptors than there will ever be. */
static void set_limits(void)
{
    static const struct rlimit none = {0, 0};
    static const struct rlimit files = {1024, 1024};

    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Closes first to last, both included; a kernel before 5.9 does it one by one. */
static void close_all(unsigned int first, unsigned int last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) {
        return;
    }
    for (unsigned int fd = first; fd <= last && fd < DESCRIPTORS_MAX; fd++) {
        close((int)fd);
    }
}

void jail_close_inherited(const int *keep, uint32_t nr_keep)
{
    unsigned int from = STDERR_FILENO + 1;

    for (;;) {
        unsigned int next = UINT_MAX; /* the lowest of those to keep that isn't below `from` */

        for (uint32_t i = 0; i < nr_keep; i++) {
            if (keep[i] >= 0 && (unsigned int)keep[i] >= from && (unsigned int)keep[i] < next) {
                next = (unsigned int)keep[i];
            }
        }
        if (next == UINT_MAX) {
            close_all(from, UINT_MAX);
            return;
        }
        close_all(from, next - 1);
        from = next + 1;
    }
}

/* Root enters new namespaces as they are; an ordinary user needs one of users around them, which
 * not every host gives. */
static bool enter_namespaces(bool root)
{
    int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;

    if (unshare(root ? flags : flags | CLONE_NEWUSER) != 0) {
        log_info("jail: no namespaces: %s", strerror(errno));
        return false;
    }
    return true;
}

/* A directory that is removed while we are in it: nothing is in it and nothing can be made. */
static bool enter_empty_root(struct error *error)
{
    char path[] = EMPTY_ROOT;
    int fd;
    bool entered;

    if (mkdtemp(path) == NULL) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "jail: no directory in /tmp");
    }
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    rmdir(path);
    entered = fd >= 0 && fchdir(fd) == 0 && chroot(".") == 0;
    if (!entered) {
        error_set_errno(error, EXIT_CODE_HOST, errno, "jail: can't change the root directory");
    }
    if (fd >= 0) {
        close(fd);
    }
    return entered;
}

/* Also what namespaces and chroot don't cover: no path can be opened, whatever descriptor of a
 * directory one may hold. Needs no_new_privs or CAP_SYS_ADMIN. */
static void forbid_files(void)
{
    struct landlock_ruleset_attr all = {
        .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                             LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                             LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                             LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                             LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                             LANDLOCK_ACCESS_FS_MAKE_SYM,
    };
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);

    if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        log_info("jail: no Landlock: %s", strerror(errno));
    }
    if (ruleset >= 0) {
        close(ruleset);
    }
}

static bool become(const struct identity *identity, struct error *error)
{
    if (setgroups(0, NULL) != 0 || setresgid(identity->gid, identity->gid, identity->gid) != 0 ||
        setresuid(identity->uid, identity->uid, identity->uid) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "jail: can't become user %u",
                               identity->uid);
    }
    return true;
}

static bool drop_capabilities(struct error *error)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (syscall(SYS_capset, &header, none) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "jail: can't drop capabilities");
    }
    return true;
}

/* The number of the call that a filter refused, as a name, without any function that isn't safe
 * in a signal handler. */
static void refused(int signal, siginfo_t *info, void *context)
{
    unsigned int number = (unsigned int)info->si_syscall;
    const char *name = "";

    (void)signal;
    (void)context;
    if (number < sizeof(jail_call_names) / sizeof(jail_call_names[0])) {
        name = jail_call_names[number];
    }
    log_error("the jail ended this VM: system call %s (%u) isn't allowed",
              name[0] != '\0' ? name : "of an unknown name", number);
    _exit(EXIT_CODE_VMM);
}

static bool catch_refusals(struct error *error)
{
    struct sigaction action = {.sa_sigaction = refused, .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSYS, &action, NULL) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "jail: can't catch SIGSYS");
    }
    return true;
}

/* Becoming someone else made the kernel forget that this process ends with its parent. */
static bool follow_supervisor(pid_t parent, int wish, struct error *error)
{
    if (wish != 0 && (prctl(PR_SET_PDEATHSIG, wish, 0, 0, 0) != 0 || getppid() != parent)) {
        return error_set(error, EXIT_CODE_VMM, "jail: the supervisor is gone");
    }
    return true;
}

bool jail_enter(const struct config_jail *config, struct error *error)
{
    bool root = geteuid() == 0;
    struct identity identity = {0, 0};
    pid_t parent = getppid();
    int wish = 0;

    if (config->off) {
        return true;
    }
    prctl(PR_GET_PDEATHSIG, &wish, 0, 0, 0);
    if (root && !find_identity(config, &identity, error)) {
        return false;
    }
    set_limits();
    if (enter_namespaces(root) && !enter_empty_root(error)) {
        return false;
    }
    if (root && !become(&identity, error)) {
        return false;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "jail: no_new_privs");
    }
    forbid_files();
    return drop_capabilities(error) && follow_supervisor(parent, wish, error) &&
           catch_refusals(error);
}

bool jail_thread(const struct config_jail *config, enum jail_thread kind, struct error *error)
{
    static const struct {
        const struct sock_filter *filter;
        unsigned short length;
    } filters[JAIL_THREAD_COUNT] = {
        [JAIL_MAIN] = {jail_filter_main, sizeof(jail_filter_main) / sizeof(struct sock_filter)},
        [JAIL_VCPU] = {jail_filter_vcpu, sizeof(jail_filter_vcpu) / sizeof(struct sock_filter)},
        [JAIL_WORKER] = {jail_filter_worker,
                         sizeof(jail_filter_worker) / sizeof(struct sock_filter)},
    };
    struct sock_fprog program;
    sigset_t sigsys;

    if (config->off) {
        return true;
    }
    /* A thread that blocks it would be killed without a word. */
    sigemptyset(&sigsys);
    sigaddset(&sigsys, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &sigsys, NULL);
    /* The kernel only reads it. */
    program = (struct sock_fprog){filters[kind].length, (void *)(uintptr_t)filters[kind].filter};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) !=
        0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "jail: this kernel takes no system-call filter");
    }
    return true;
}
