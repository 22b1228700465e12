/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults, the end, and what can be told wrong about a configuration without asking the host. */
#include "vmm/config/config.h"
#include "vmm/config/fields.h"
#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define MEMORY_STEP (2 * MIB)
#define MEMORY_LEAST (16 * MIB)
#define MEMORY_MOST (UINT64_C(1) << 46)
#define SOCKET_PATH_MAX 107u /* of struct sockaddr_un, with its end */
#define PORT_DIGITS 11u      /* "_4294967295" */
#define INTERFACE_MAX 15u    /* IFNAMSIZ */
#define MTU_LEAST 68u

void vm_config_init(struct vm_config *config)
{
    memset(config, 0, sizeof(*config));
    config->cpus.count = 1;
    config->memory.size = 256 * MIB;
    config->memory.numa_node = -1;
    config->serial.kind = CONFIG_SERIAL_STDIO;
}

void vm_config_release(struct vm_config *config)
{
    if (config != NULL) {
        config_group_release(&config_vm_group, config);
        vm_config_init(config);
    }
}

static bool refuse(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(struct error *error, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_set(error, EXIT_CODE_USAGE, "%s", text);
}

bool vm_config_check_name(const char *name, const char *what, struct error *error)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_.";
    size_t length = strlen(name);

    if (length == 0 || length > CONFIG_NAME_MAX || strspn(name, allowed) != length ||
        name[0] == '.' || name[0] == '-') {
        return refuse(error,
                      "%s: \"%.80s\" is not a name; allowed are 1 to %u letters, digits, '-', '_' "
                      "and '.', the first of them no '-' or '.'", what, name, CONFIG_NAME_MAX);
    }
    return true;
}

static bool check_cpus(const struct config_cpus *cpus, struct error *error)
{
    if (cpus->count < 1 || cpus->count > CONFIG_VCPUS_MAX) {
        return refuse(error, "cpus: %u are not possible; allowed are 1 to %u", cpus->count,
                      CONFIG_VCPUS_MAX);
    }
    if (cpus->affinity != NULL && config_parse_cpus(cpus->affinity, NULL, 0) < 1) {
        return refuse(error, "cpus: affinity: \"%.80s\" is not a list of CPUs like 0-3,8",
                      cpus->affinity);
    }
    return true;
}

uint64_t config_huge_size(enum config_hugepages kind)
{
    static const uint64_t sizes[] = {
        [CONFIG_HUGE_64K] = 64 << 10, [CONFIG_HUGE_2M] = 2 << 20, [CONFIG_HUGE_32M] = 32 << 20,
        [CONFIG_HUGE_1G] = 1 << 30};

    return sizes[kind];
}

static bool check_memory(const struct config_memory *memory, struct error *error)
{
    uint64_t huge = config_huge_size(memory->hugepages);
    char size[32];

    config_format_size(memory->size, size, sizeof(size));
    if (memory->size < MEMORY_LEAST || memory->size > MEMORY_MOST ||
        memory->size % MEMORY_STEP != 0) {
        return refuse(error, "memory: size: %s is not possible; allowed are multiples of 2M from "
                             "16M up to what the host's CPU can address", size);
    }
    if (huge != 0 && memory->size % huge != 0) {
        char page[32];

        config_format_size(huge, page, sizeof(page));
        return refuse(error, "memory: size: %s is no multiple of the huge pages' size, %s", size,
                      page);
    }
    return true;
}

static bool is_power_of_2(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static bool check_queue_size(const char *id, uint16_t size, struct error *error)
{
    return is_power_of_2(size) ||
           refuse(error, "%s: queue_size: %u is no power of 2; allowed are 2, 4, 8 ... 1024", id,
                  size);
}

static bool check_disk(const struct config_disk *disk, struct error *error)
{
    if (!vm_config_check_name(disk->id, "disk: id", error)) {
        return false;
    }
    if (disk->path == NULL) {
        return refuse(error, "%s: path is missing: give the image or block device", disk->id);
    }
    if (disk->queues < 1 || disk->queues > CONFIG_QUEUES_MAX) {
        return refuse(error, "%s: queues: %u is not possible; allowed are 1 to %u", disk->id,
                      disk->queues, CONFIG_QUEUES_MAX);
    }
    return check_queue_size(disk->id, disk->queue_size, error);
}

static bool check_net_kind(const struct config_net *net, struct error *error)
{
    bool tap = net->tap != NULL || net->tap_fd >= 0 || net->make_tap;

    if (net->kind == CONFIG_NET_USER && (tap || net->vhost)) {
        return refuse(error, "%s: %s needs mode=tap, not mode=user", net->id,
                      net->vhost ? "vhost" : "tap");
    }
    if (net->kind == CONFIG_NET_TAP && net->forward != NULL) {
        return refuse(error, "%s: forward needs mode=user; the host routes to a tap", net->id);
    }
    if (net->tap_fd >= 0 && (net->tap != NULL || net->make_tap)) {
        return refuse(error, "%s: tap and tapfd exclude one another", net->id);
    }
    if (net->tap != NULL && strlen(net->tap) > INTERFACE_MAX) {
        return refuse(error, "%s: tap: \"%.80s\" is too long for an interface, which has at most "
                             "%u characters", net->id, net->tap, INTERFACE_MAX);
    }
    if (net->tap != NULL && (strpbrk(net->tap, "/ %\t\n") != NULL || net->tap[0] == '.')) {
        return refuse(error, "%s: tap: \"%.80s\" is not the name of an interface", net->id,
                      net->tap);
    }
    return true;
}

static bool check_net(const struct config_net *net, struct error *error)
{
    if (!vm_config_check_name(net->id, "net: id", error) || !check_net_kind(net, error)) {
        return false;
    }
    if (net->mtu != 0 && net->mtu < MTU_LEAST) {
        return refuse(error, "%s: mtu: %u is not possible; allowed are 0 (not told) and %u to "
                             "65535", net->id, net->mtu, MTU_LEAST);
    }
    if (net->queues < 1 || net->queues > CONFIG_QUEUES_MAX) {
        return refuse(error, "%s: queues: %u is not possible; allowed are 1 to %u", net->id,
                      net->queues, CONFIG_QUEUES_MAX);
    }
    if (net->kind == CONFIG_NET_USER && net->queues != 1) {
        return refuse(error, "%s: queues: mode=user has one pair of queues", net->id);
    }
    return check_queue_size(net->id, net->queue_size, error);
}

/* The i-th name of all devices that have one; NULL behind the last. */
static const char *device_id(const struct vm_config *config, uint32_t i)
{
    if (i < config->nr_disks) {
        return config->disks[i].id;
    }
    i -= config->nr_disks;
    return i < config->nr_nets ? config->nets[i].id : NULL;
}

static bool check_names(const struct vm_config *config, struct error *error)
{
    const char *id;
    const char *other;

    for (uint32_t i = 0; (id = device_id(config, i)) != NULL; i++) {
        for (uint32_t j = 0; j < i && (other = device_id(config, j)) != NULL; j++) {
            if (strcmp(id, other) == 0) {
                return refuse(error, "two devices are called %s; give one of them another id", id);
            }
        }
    }
    return true;
}

/* Two disks over one file destroy each other's data, unless both only read. */
static bool check_disks(const struct vm_config *config, struct error *error)
{
    for (uint32_t i = 0; i < config->nr_disks; i++) {
        const struct config_disk *disk = &config->disks[i];

        if (!check_disk(disk, error)) {
            return false;
        }
        for (uint32_t j = 0; j < i; j++) {
            const struct config_disk *other = &config->disks[j];

            if (strcmp(disk->path, other->path) == 0 && !(disk->readonly && other->readonly)) {
                return refuse(error, "%s and %s are the same file, %.200s; that needs both to be "
                                     "readonly", other->id, disk->id, disk->path);
            }
        }
    }
    return true;
}

static bool check_socket_path(const char *path, size_t more, const char *what, struct error *error)
{
    if (path != NULL && strlen(path) + more > SOCKET_PATH_MAX) {
        return refuse(error, "%s: \"%.120s\" is too long for a socket, whose path has at most %zu "
                             "characters", what, path, SOCKET_PATH_MAX - more);
    }
    return true;
}

static bool check_vsock(const struct config_vsock *vsock, struct error *error)
{
    if (vsock->kind == CONFIG_VSOCK_NONE) {
        return true;
    }
    if (vsock->cid < 3 || vsock->cid == UINT32_MAX) {
        return refuse(error, "vsock: cid: %u is not possible; allowed are 3 to 4294967294",
                      vsock->cid);
    }
    if (vsock->kind == CONFIG_VSOCK_UNIX && vsock->path == NULL) {
        return refuse(error, "vsock: path is missing: mode=unix needs path=SOCKET");
    }
    if (vsock->kind == CONFIG_VSOCK_VHOST && vsock->path != NULL) {
        return refuse(error, "vsock: path needs mode=unix; vhost has no socket in the host");
    }
    return check_socket_path(vsock->path, PORT_DIGITS, "vsock: path", error);
}

static bool check_others(const struct vm_config *config, struct error *error)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    bool known = config->log_level == NULL;

    for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        known = known || strcmp(config->log_level, levels[i]) == 0;
    }
    if (!known) {
        return refuse(error, "log_level: \"%.80s\" is not possible; allowed are error, warning, "
                             "info and debug", config->log_level);
    }
    if (config->serial.kind == CONFIG_SERIAL_FILE && config->serial.path == NULL) {
        return refuse(error, "serial: path is missing: mode=file needs path=FILE");
    }
    if (config->balloon.present && config->balloon.target_mib > config->memory.size / MIB) {
        return refuse(error, "balloon: target_mib: %llu is more than the guest's memory, %llu MiB",
                      (unsigned long long)config->balloon.target_mib,
                      (unsigned long long)(config->memory.size / MIB));
    }
    if (config->initrd != NULL && config->kernel == NULL) {
        return refuse(error, "initrd: needs a kernel: give --kernel FILE");
    }
    return check_socket_path(config->api_socket, 0, "api_socket", error);
}

bool vm_config_check(const struct vm_config *config, struct error *error)
{
    if (config->name[0] != '\0' && !vm_config_check_name(config->name, "name", error)) {
        return false;
    }
    if (!check_cpus(&config->cpus, error) || !check_memory(&config->memory, error) ||
        !check_disks(config, error)) {
        return false;
    }
    for (uint32_t i = 0; i < config->nr_nets; i++) {
        if (!check_net(&config->nets[i], error)) {
            return false;
        }
    }
    return check_names(config, error) && check_vsock(&config->vsock, error) &&
           check_others(config, error);
}
