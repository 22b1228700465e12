/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doctor's way through the host: what runs guests first, then what they use. Nothing is
 * changed by it.
 */
#include "vmm/cli/doctor.h"
#include "vmm/backend/backend.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/rundir.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define KERNEL_LOG_MAX (1u << 20)

static void print_plain(enum finding_state state, const char *text, const char *remedy)
{
    static const char *const words[] = {"ok", "note", "lacks", "STOP"};

    printf("%-6s %s.\n", words[state], text);
    if (remedy != NULL) {
        printf("       -> %s.\n", remedy);
    }
}

static void print_json(const struct doctor *doctor, const char *id, enum finding_state state,
                       const char *text, const char *remedy)
{
    static const char *const words[] = {"ok", "note", "missing", "fatal"};
    json_t *json = json_pack("{s:s,s:s,s:s,s:s*}", "id", id, "state", words[state], "text", text,
                             "remedy", remedy);
    char *line = json != NULL ? json_dumps(json, JSON_PRESERVE_ORDER) : NULL;

    printf("%s\n    %s", doctor->count > 0 ? "," : "", line != NULL ? line : "{}");
    free(line);
    json_decref(json);
}

void doctor_tell(struct doctor *doctor, const char *id, enum finding_state state,
                 const char *remedy, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (doctor->as_json) {
        print_json(doctor, id, state, text, remedy);
    } else {
        print_plain(state, text, remedy);
    }
    doctor->fatal = doctor->fatal || state == FINDING_FATAL;
    doctor->count++;
}

bool doctor_read(const char *path, char *ret_text, int size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd >= 0 ? read(fd, ret_text, (size_t)size - 1) : -1;

    if (fd >= 0) {
        close(fd);
    }
    if (count < 0) {
        return false;
    }
    ret_text[count] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
    return true;
}

/* ---- Why there is no KVM ---- */

enum boot_level { BOOT_UNKNOWN, BOOT_EL1, BOOT_EL2 };

/* Linux says at its start at which exception level it was entered; the log may not be ours to
 * read, and the line may have been overwritten. */
static enum boot_level find_boot_level(void)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    enum boot_level level = BOOT_UNKNOWN;
    char record[1024];
    size_t seen = 0;

    while (fd >= 0 && level == BOOT_UNKNOWN && seen < KERNEL_LOG_MAX) {
        ssize_t count = read(fd, record, sizeof(record) - 1);

        if (count < 0 && errno == EPIPE) {
            continue; /* overwritten while we read: the next call goes on behind the gap */
        }
        if (count <= 0) {
            break;
        }
        record[count] = '\0';
        seen += (size_t)count;
        if (strstr(record, "CPU(s) started at EL1") != NULL ||
            strstr(record, "HYP mode not available") != NULL) {
            level = BOOT_EL1;
        } else if (strstr(record, "CPU(s) started at EL2") != NULL) {
            level = BOOT_EL2;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return level;
}

/* 'y', 'm', 'n', or '?' if the configuration isn't where distributions put it. */
static char kernel_has_kvm(void)
{
    struct utsname name;
    char path[128];
    char line[256];
    char answer = '?';
    FILE *file;

    if (uname(&name) != 0) {
        return '?';
    }
    snprintf(path, sizeof(path), "/boot/config-%.100s", name.release);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        answer = answer == '?' ? 'n' : answer;
        if (strncmp(line, "CONFIG_KVM=", 11) == 0) {
            answer = line[11];
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return answer;
}

static void explain_no_kvm(struct doctor *doctor)
{
    enum boot_level level = find_boot_level();
    char kvm = kernel_has_kvm();

    if (access("/dev/kvm", F_OK) == 0) {
        return; /* the backend's own sentence said it */
    }
    if (level == BOOT_EL1) {
        doctor_tell(doctor, "el2", FINDING_FATAL,
                    "have the firmware or the hypervisor beneath start Linux at EL2: on a board a "
                    "newer TF-A or U-Boot; under QEMU -machine virt,virtualization=on; a cloud's "
                    "virtual machine needs nested virtualization or a bare-metal kind",
                    "This Linux was started at EL1, so it can't run guests of its own");
    } else if (level == BOOT_EL2) {
        doctor_tell(doctor, "el2", FINDING_OK, NULL, "This Linux was started at EL2");
    }
    if (kvm == 'n') {
        doctor_tell(doctor, "kernel", FINDING_FATAL,
                    "install a kernel of the distribution, or build one with CONFIG_KVM=y",
                    "The kernel was built without CONFIG_KVM");
    } else if (kvm == 'm') {
        doctor_tell(doctor, "kernel", FINDING_NOTE, "sudo modprobe kvm",
                    "KVM is a module of this kernel, and isn't loaded");
    }
}

/* ---- What runs guests ---- */

static void tell_gic(struct doctor *doctor, const struct backend_caps *caps)
{
    if (caps->gic_v3) {
        doctor_tell(doctor, "gic", FINDING_OK, NULL, "Guests get a GICv3%s%s",
                    caps->its ? " with ITS" : "", caps->gic_v2 ? ", or a GICv2 (--gic v2)" : "");
    } else if (caps->gic_v2) {
        doctor_tell(doctor, "gic", FINDING_NOTE, NULL,
                    "The interrupt controller of this host is a GICv2, so guests get one too, and "
                    "at most 8 vCPUs");
    } else {
        doctor_tell(doctor, "gic", FINDING_FATAL,
                    "check that the device tree or ACPI describes the GIC with its virtual "
                    "interfaces, and dmesg for vgic",
                    "No interrupt controller for guests can be made");
    }
}

static void tell_feature(struct doctor *doctor, const char *id, bool there, const char *what,
                         const char *without)
{
    doctor_tell(doctor, id, there ? FINDING_OK : FINDING_NOTE, NULL, "%s: %s", what,
                there ? "guests can have it" : without);
}

static void tell_caps(struct doctor *doctor, const struct backend *backend)
{
    const struct backend_caps *caps = &backend->caps;

    tell_gic(doctor, caps);
    doctor_tell(doctor, "ipa", FINDING_OK, NULL,
                "Guests address up to %u bits, and have up to %u vCPUs", caps->ipa_bits,
                caps->max_vcpus < CONFIG_VCPUS_MAX ? caps->max_vcpus : CONFIG_VCPUS_MAX);
    tell_feature(doctor, "sve", caps->sve, "SVE", "this host can't offer it to guests");
    tell_feature(doctor, "pauth", caps->pauth, "Pointer authentication",
                 "this host can't offer it to guests");
    tell_feature(doctor, "pmu", caps->pmu, "Performance counters",
                 "this host can't offer them to guests");
    tell_feature(doctor, "profiles", caps->id_registers, "CPU profiles (--cpu NAME)",
                 "this kernel can't change ID registers; Linux 6.7 and later can");
}

static void tell_backend(struct doctor *doctor)
{
    struct error error = ERROR_NONE;
    struct backend *backend = backend_open(&error);
    char *to_doctor = strstr(error.text, "; `bothy doctor`");

    if (to_doctor != NULL) {
        *to_doctor = '\0'; /* we are there */
    }
    if (backend == NULL) {
        doctor_tell(doctor, "kvm", FINDING_FATAL, NULL, "%s", error.text);
        explain_no_kvm(doctor);
        return;
    }
    if (strcmp(backend->name, "KVM") != 0) {
        doctor_tell(doctor, "kvm", FINDING_FATAL,
                    "take the arm64 program out/bothy to an arm64 Linux with KVM",
                    "This build of bothy has the %s backend, which only tests use: it runs no "
                    "guests", backend->name);
    } else {
        doctor_tell(doctor, "kvm", FINDING_OK, NULL, "KVM is there, and may be used by this user");
        if (backend->ops->probe(backend, &error)) {
            tell_caps(doctor, backend);
        } else {
            doctor_tell(doctor, "kvm-vm", FINDING_FATAL, NULL, "%s", error.text);
        }
    }
    backend->ops->close(backend);
}

static void tell_run_directory(struct doctor *doctor)
{
    struct error error = ERROR_NONE;
    struct rundir dir = {.fd = -1};

    if (!rundir_open(&dir, true, &error)) {
        doctor_tell(doctor, "run-directory", FINDING_FATAL,
                    "set BOTHY_RUN_DIR to a directory of your own", "%s", error.text);
    } else {
        doctor_tell(doctor, "run-directory", FINDING_OK, NULL,
                    "VMs are known by their names in %s", dir.path);
    }
    rundir_close(&dir);
}

int cmd_doctor(const struct cli *cli, struct error *error)
{
    struct doctor doctor = {.as_json = cli_find(cli, CLI_JSON) != NULL};

    (void)error;
    if (doctor.as_json) {
        printf("{\n  \"findings\": [");
    }
    tell_backend(&doctor);
    tell_run_directory(&doctor);
    doctor_memory(&doctor);
    doctor_devices(&doctor);
    doctor_jail(&doctor);
    if (doctor.as_json) {
        printf("\n  ],\n  \"can_run\": %s\n}\n", doctor.fatal ? "false" : "true");
    } else {
        puts(doctor.fatal ? "\nNo VM can run on this host until what is marked STOP is mended."
                          : "\nVMs can run on this host.");
    }
    return doctor.fatal ? EXIT_CODE_HOST : EXIT_CODE_OK;
}
