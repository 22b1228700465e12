/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel, CPUs, memory, entropy. */
#include "bothy/bits.h"
#include "vmm/api/body.h"
#include "vmm/api/routes.h"
#include "vmm/api/text.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEM_SIZE_MIB_MAX (1ull << 28) /* 256 TiB, more than any guest's address space */

static bool check_readable(const char *what, const char *path, struct error *error)
{
    if (path != NULL && access(path, R_OK) != 0) {
        return call_refuse(error, "Boot source error: The %s %.300s cannot be read: %s", what,
                           path, strerror(errno));
    }
    return true;
}

bool route_put_boot_source(struct call *call, struct error *error)
{
    struct source {
        const char *kernel, *initrd, *args;
    } read = {0};
    static const struct body_field fields[] = {
        {"kernel_image_path", BODY_STRING, true, offsetof(struct source, kernel), 0, 0},
        {"initrd_path", BODY_STRING, false, offsetof(struct source, initrd), 0, 0},
        {"boot_args", BODY_STRING, false, offsetof(struct source, args), 0, 0},
    };
    struct vm_config *config = call->config;
    char *kernel, *initrd, *args;
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error) ||
        !check_readable("kernel", read.kernel, error) ||
        !check_readable("initrd", read.initrd, error)) {
        return false;
    }
    kernel = strdup(read.kernel);
    initrd = read.initrd != NULL ? strdup(read.initrd) : NULL;
    args = read.args != NULL ? strdup(read.args) : NULL;
    if (kernel == NULL || (read.initrd != NULL && initrd == NULL) ||
        (read.args != NULL && args == NULL)) {
        free(kernel);
        free(initrd);
        free(args);
        return call_refuse(error, "There is no memory for the boot source.");
    }
    free(config->kernel);
    free(config->initrd);
    free(config->cmdline);
    config->kernel = kernel;
    config->initrd = initrd;
    config->cmdline = args;
    return true;
}

json_t *route_show_boot_source(const struct api *api)
{
    const struct vm_config *config = api->config;

    if (config->kernel == NULL) {
        return NULL;
    }
    return json_pack("{s:o*,s:o*,s:o*}", "kernel_image_path", body_show_string(config->kernel),
                     "initrd_path", body_show_string(config->initrd), "boot_args",
                     body_show_string(config->cmdline));
}

/* Whether a word of the command line begins with "root=". */
static bool has_root(const char *cmdline)
{
    const char *at = cmdline;

    while (at != NULL && (at = strstr(at, "root=")) != NULL) {
        if (at == cmdline || at[-1] == ' ') {
            return true;
        }
        at++;
    }
    return false;
}

bool route_add_root(struct api *api, struct error *error)
{
    struct vm_config *config = api->config;
    struct text cmdline = {0};

    if (api->root_drive[0] == '\0' || has_root(config->cmdline)) {
        return true;
    }
    /* It is the first of the drives. */
    text_format(&cmdline, "%s%sroot=%s%s %s", config->cmdline != NULL ? config->cmdline : "",
                config->cmdline != NULL && config->cmdline[0] != '\0' ? " " : "",
                api->root_partuuid != NULL ? "PARTUUID=" : "/dev/vda",
                api->root_partuuid != NULL ? api->root_partuuid : "",
                config->disks[0].readonly ? "ro" : "rw");
    if (cmdline.failed) {
        text_release(&cmdline);
        return error_set(error, EXIT_CODE_HOST, "no memory for the kernel's command line");
    }
    free(config->cmdline);
    config->cmdline = cmdline.data;
    return true;
}

static const char *const huge_words[] = {
    [CONFIG_HUGE_THP] = "Transparent", [CONFIG_HUGE_OFF] = "None", [CONFIG_HUGE_64K] = "64K",
    [CONFIG_HUGE_2M] = "2M",           [CONFIG_HUGE_32M] = "32M",  [CONFIG_HUGE_1G] = "1G",
    NULL,
};

struct machine {
    uint64_t vcpus, mib;
    bool smt, track;
    const char *template, *huge;
};

/* What Firecracker can on PCs, or for snapshots. */
static bool check_machine(const struct machine *machine, struct error *error)
{
    if (machine->smt) {
        return call_refuse(error, "Machine config error: Enabling simultaneous multithreading is "
                                  "not supported on aarch64.");
    }
    if (machine->track) {
        return call_refuse(error, "Machine config error: track_dirty_pages is not supported: "
                                  "Bothy has no snapshots.");
    }
    if (machine->mib % 2 != 0) {
        return call_refuse(error,
                           "Machine config error: mem_size_mib is %llu, must be a multiple of 2.",
                           (unsigned long long)machine->mib);
    }
    return true;
}

/* "None" is no profile, anything else the name of one. */
static bool set_profile(struct vm_config *config, const char *name, struct error *error)
{
    bool none = strcmp(name, "None") == 0;
    char *profile = none ? NULL : strdup(name);

    if (profile == NULL && !none) {
        return call_refuse(error, "There is no memory for the CPU template.");
    }
    free(config->cpus.profile);
    config->cpus.profile = profile;
    return true;
}

bool route_put_machine(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {
        {"vcpu_count", BODY_NUMBER, true, offsetof(struct machine, vcpus), 1, CONFIG_VCPUS_MAX},
        {"mem_size_mib", BODY_NUMBER, true, offsetof(struct machine, mib), 2, MEM_SIZE_MIB_MAX},
        {"smt", BODY_BOOL, false, offsetof(struct machine, smt), 0, 0},
        {"track_dirty_pages", BODY_BOOL, false, offsetof(struct machine, track), 0, 0},
        {"cpu_template", BODY_STRING, false, offsetof(struct machine, template), 0, 0},
        {"huge_pages", BODY_STRING, false, offsetof(struct machine, huge), 0, 0},
    };
    bool patch = strcmp(call->method, "PATCH") == 0;
    struct vm_config *config = call->config;
    struct body_field optional[ARRAY_SIZE(fields)];
    struct machine read = {.vcpus = config->cpus.count, .mib = config->memory.size / MIB(1)};
    size_t huge = patch ? config->memory.hugepages : CONFIG_HUGE_THP;
    uint32_t given;

    memcpy(optional, fields, sizeof(fields));
    for (size_t i = 0; patch && i < ARRAY_SIZE(optional); i++) {
        optional[i].required = false;
    }
    if (!body_read(call->body, optional, ARRAY_SIZE(optional), &read, &given, error)) {
        return false;
    }
    if (given == 0) {
        return call_refuse(error, "Empty PATCH request.");
    }
    if (!check_machine(&read, error) ||
        (read.huge != NULL && !body_find_word("huge_pages", read.huge, huge_words, &huge, error)) ||
        ((read.template != NULL || !patch) &&
         !set_profile(config, read.template != NULL ? read.template : "None", error))) {
        return false;
    }
    config->cpus.count = (uint32_t)read.vcpus;
    config->memory.size = read.mib * MIB(1);
    config->memory.hugepages = (enum config_hugepages)huge;
    return true;
}

json_t *route_show_machine(const struct api *api)
{
    const struct vm_config *config = api->config;

    return json_pack("{s:I,s:I,s:b,s:b,s:s,s:o*}", "vcpu_count", (json_int_t)config->cpus.count,
                     "mem_size_mib", (json_int_t)(config->memory.size / MIB(1)), "smt", 0,
                     "track_dirty_pages", 0, "huge_pages", huge_words[config->memory.hugepages],
                     "cpu_template", body_show_string(config->cpus.profile));
}

bool route_get_machine(struct call *call, struct error *error)
{
    call->answer = route_show_machine(call->api);
    return call->answer != NULL || call_refuse(error, "There is no memory for the answer.");
}

bool route_put_entropy(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {{"rate_limiter", BODY_OBJECT, false, 0, 0, 0}};
    const json_t *limiter = NULL;
    struct config_rate rate = {0};
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &limiter, &given, error) ||
        !body_read_rate(limiter, &rate, error)) {
        return false;
    }
    if (rate.bandwidth.size != 0 || rate.ops.size != 0) {
        return call_refuse(error, "The requested operation is not supported: Bothy has no rate "
                                  "limiter for entropy.");
    }
    call->config->no_rng = false;
    return true;
}
