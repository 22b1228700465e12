/* SPDX-License-Identifier: Apache-2.0 */
/* What guests use of the host beside the CPU: memory, networks, disks, and what contains them. */
#include "vmm/cli/doctor.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/io_uring.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAP_NET_ADMIN_BIT 12

/* ---- memory ---- */

static void tell_total(struct doctor *doctor)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long free_pages = sysconf(_SC_AVPHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);

    doctor_tell(doctor, "memory", FINDING_OK, NULL,
                "The host has %lld MiB of memory, %lld MiB of it unused, in pages of %ld KiB",
                (long long)pages * page >> 20, (long long)free_pages * page >> 20, page >> 10);
}

/* "hugepages-2048kB": one line for each size, with how many are reserved and free. */
static void tell_hugepages(struct doctor *doctor)
{
    DIR *list = opendir("/sys/kernel/mm/hugepages");
    struct dirent *entry;
    char text[256] = "";
    bool any = false;

    while (list != NULL && (entry = readdir(list)) != NULL) {
        char path[400];
        char total[32] = "0";
        char unused[32] = "0";
        size_t used = strlen(text);

        if (strncmp(entry->d_name, "hugepages-", 10) != 0) {
            continue;
        }
        snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/nr_hugepages", entry->d_name);
        doctor_read(path, total, sizeof(total));
        snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/free_hugepages", entry->d_name);
        doctor_read(path, unused, sizeof(unused));
        any = any || strcmp(unused, "0") != 0;
        snprintf(text + used, sizeof(text) - used, "%s%.16s: %s free of %s", used > 0 ? ", " : "",
                 entry->d_name + 10, unused, total);
    }
    if (list != NULL) {
        closedir(list);
    }
    if (text[0] == '\0') {
        doctor_tell(doctor, "hugepages", FINDING_MISSING, "use a kernel with CONFIG_HUGETLBFS",
                    "Reserved huge pages (--memory hugepages=2M): the kernel has none");
        return;
    }
    doctor_tell(doctor, "hugepages", any ? FINDING_OK : FINDING_NOTE,
                any ? NULL : "to reserve 512 of them: sudo sysctl vm.nr_hugepages=512",
                "Reserved huge pages (--memory hugepages=2M): %s", text);
}

static void tell_thp(struct doctor *doctor)
{
    char text[128];

    if (!doctor_read("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text))) {
        doctor_tell(doctor, "thp", FINDING_NOTE, "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE",
                    "The kernel has no transparent huge pages; guests run a little slower");
    } else if (strstr(text, "[never]") != NULL) {
        doctor_tell(doctor, "thp", FINDING_NOTE,
                    "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
                    "Transparent huge pages are switched off; guests run a little slower");
    } else {
        doctor_tell(doctor, "thp", FINDING_OK, NULL, "Transparent huge pages are used for guests");
    }
}

static void tell_lock_limit(struct doctor *doctor)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur == RLIM_INFINITY || geteuid() == 0) {
        doctor_tell(doctor, "memlock", FINDING_OK, NULL,
                    "Memory can be locked without a limit (--memory locked=on)");
    } else {
        doctor_tell(doctor, "memlock", FINDING_NOTE,
                    "raise it with ulimit -l, in /etc/security/limits.conf, or LimitMEMLOCK= of "
                    "the service",
                    "At most %llu KiB of memory can be locked (--memory locked=on)",
                    (unsigned long long)limit.rlim_cur >> 10);
    }
}

void doctor_memory(struct doctor *doctor)
{
    tell_total(doctor);
    tell_hugepages(doctor);
    tell_thp(doctor);
    tell_lock_limit(doctor);
}

/* ---- devices ---- */

static void tell_device(struct doctor *doctor, const char *id, const char *path, const char *what,
                        const char *load, const char *permit)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
        doctor_tell(doctor, id, FINDING_OK, NULL, "%s: %s may be used", what, path);
    } else if (errno == EACCES || errno == EPERM) {
        doctor_tell(doctor, id, FINDING_MISSING, permit, "%s: %s may not be opened by this user",
                    what, path);
    } else if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
        doctor_tell(doctor, id, FINDING_MISSING, load, "%s: %s isn't there", what, path);
    } else {
        doctor_tell(doctor, id, FINDING_MISSING, NULL, "%s: %s: %s", what, path, strerror(errno));
    }
}

static bool may_make_interfaces(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long caps = 0;
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "CapEff: %llx", &caps) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (caps >> CAP_NET_ADMIN_BIT & 1) != 0;
}

static bool in_path(const char *program)
{
    const char *path = getenv("PATH");

    while (path != NULL && *path != '\0') {
        int length = (int)strcspn(path, ":");
        char file[512];

        snprintf(file, sizeof(file), "%.*s/%s", length, path, program);
        if (access(file, X_OK) == 0) {
            return true;
        }
        path += length;
        path += *path == ':' ? 1 : 0;
    }
    return false;
}

static void tell_networks(struct doctor *doctor)
{
    tell_device(doctor, "tun", "/dev/net/tun", "Networks by tap (--net tap=NAME)",
                "sudo modprobe tun, and a line tun in /etc/modules-load.d/tun.conf",
                "sudo chmod 666 /dev/net/tun, the kernel checks each tap's owner itself");
    if (may_make_interfaces()) {
        doctor_tell(doctor, "make-tap", FINDING_OK, NULL, "Taps can be made (--net tap)");
    } else {
        doctor_tell(doctor, "make-tap", FINDING_NOTE,
                    "have them made for you: sudo ip tuntap add tap0 mode tap user $USER; then "
                    "--net tap=tap0. Or use --net user",
                    "Taps can't be made by this user (--net tap needs CAP_NET_ADMIN)");
    }
    tell_device(doctor, "vhost-net", "/dev/vhost-net", "The kernel's packet path (--net vhost=on)",
                "sudo modprobe vhost_net", "add this user to the group of /dev/vhost-net (kvm)");
    if (in_path("passt")) {
        doctor_tell(doctor, "passt", FINDING_OK, NULL,
                    "Networks without privileges (--net user): passt is there");
    } else {
        doctor_tell(doctor, "passt", FINDING_MISSING, "sudo apt install passt",
                    "Networks without privileges (--net user): passt isn't in the PATH");
    }
}

static void tell_io_uring(struct doctor *doctor)
{
    struct io_uring_params params = {0};
    char disabled[16] = "0";
    int fd = (int)syscall(SYS_io_uring_setup, 2, &params);

    if (fd >= 0) {
        close(fd);
        doctor_tell(doctor, "io-uring", FINDING_OK, NULL, "Disks are served by io_uring");
        return;
    }
    doctor_read("/proc/sys/kernel/io_uring_disabled", disabled, sizeof(disabled));
    doctor_tell(doctor, "io-uring", FINDING_NOTE,
                strcmp(disabled, "0") != 0 ? "sudo sysctl kernel.io_uring_disabled=0"
                                           : "use a kernel with CONFIG_IO_URING, or allow it in "
                                             "the container's seccomp profile",
                "io_uring can't be used (%s): disks are served by a thread, and are slower",
                strerror(errno));
}

void doctor_devices(struct doctor *doctor)
{
    tell_io_uring(doctor);
    tell_networks(doctor);
    tell_device(doctor, "vhost-vsock", "/dev/vhost-vsock", "Sockets to guests (--vsock CID)",
                "sudo modprobe vhost_vsock; or --vsock CID,path=SOCKET, which needs nothing",
                "add this user to the group of /dev/vhost-vsock (kvm); or --vsock CID,path=SOCKET, "
                "which needs nothing");
}

/* ---- containment ---- */

static void tell_seccomp(struct doctor *doctor)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) {
        doctor_tell(doctor, "seccomp", FINDING_OK, NULL,
                    "System calls of a VM's process are filtered (seccomp)");
    } else {
        doctor_tell(doctor, "seccomp", FINDING_FATAL,
                    "use a kernel with CONFIG_SECCOMP_FILTER; or, for debugging only, --no-jail",
                    "The kernel can't filter system calls (seccomp)");
    }
}

static void tell_landlock(struct doctor *doctor)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version >= 1) {
        doctor_tell(doctor, "landlock", FINDING_OK, NULL,
                    "A VM's process gives up the file system (Landlock, version %ld)", version);
    } else {
        doctor_tell(doctor, "landlock", FINDING_NOTE,
                    "a kernel with CONFIG_SECURITY_LANDLOCK, and landlock in its lsm= list",
                    "No Landlock: the jail stands on its other walls");
    }
}

/* In a process of its own: what it tries it can't take back. */
static void tell_namespaces(struct doctor *doctor)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

        _exit(unshare(geteuid() == 0 ? flags : flags | CLONE_NEWUSER) == 0 ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        doctor_tell(doctor, "namespaces", FINDING_OK, NULL,
                    "A VM's process gets namespaces of its own");
    } else {
        doctor_tell(doctor, "namespaces", FINDING_NOTE,
                    "sudo sysctl user.max_user_namespaces=10000 (and, where there is one, "
                    "kernel.unprivileged_userns_clone=1), or start bothy as root",
                    "Namespaces can't be made by this user: the jail stands on its other walls");
    }
}

void doctor_jail(struct doctor *doctor)
{
    tell_seccomp(doctor);
    tell_landlock(doctor);
    tell_namespaces(doctor);
}
