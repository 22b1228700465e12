/* SPDX-License-Identifier: Apache-2.0 */
/* The table: what a VM's configuration has, how it is called, what is allowed. */
#include "vmm/config/fields.h"
#include <stdlib.h>
#include <string.h>

#define AT(type, member)                                                                          \
    .offset = offsetof(struct type, member), .size = sizeof(((struct type *)NULL)->member)
#define LIST_AT(member, number, most, element)                                                    \
    .offset = offsetof(struct vm_config, member), .count = offsetof(struct vm_config, number),    \
    .size = sizeof(struct element), .max = (most)
#define END {.key = NULL}
#define BUCKET_VALUE "SIZE[+BURST][/PERIOD]"

static const struct config_word switch_words[] = {
    {"auto", CONFIG_AUTO, false}, {"on", CONFIG_ON, false}, {"off", CONFIG_OFF, false}, {0}};
static const struct config_word hugepage_words[] = {
    {"thp", CONFIG_HUGE_THP, false}, {"off", CONFIG_HUGE_OFF, false},
    {"64K", CONFIG_HUGE_64K, false}, {"2M", CONFIG_HUGE_2M, false},
    {"32M", CONFIG_HUGE_32M, false}, {"1G", CONFIG_HUGE_1G, false},
    {"on", CONFIG_HUGE_2M, true},    {0}};
static const struct config_word gic_words[] = {
    {"auto", CONFIG_GIC_AUTO, false}, {"v2", CONFIG_GIC_V2, false}, {"v3", CONFIG_GIC_V3, false},
    {"2", CONFIG_GIC_V2, true},       {"3", CONFIG_GIC_V3, true},   {"gicv2", CONFIG_GIC_V2, true},
    {"gicv3", CONFIG_GIC_V3, true},   {"gicv3-its", CONFIG_GIC_V3, true}, {0}};
static const struct config_word serial_words[] = {
    {"stdio", CONFIG_SERIAL_STDIO, false}, {"none", CONFIG_SERIAL_NONE, false},
    {"file", CONFIG_SERIAL_FILE, false},   {"socket", CONFIG_SERIAL_SOCKET, false}, {0}};
static const struct config_word net_words[] = {
    {"user", CONFIG_NET_USER, false}, {"tap", CONFIG_NET_TAP, false}, {0}};
static const struct config_word vsock_words[] = {
    {"vhost", CONFIG_VSOCK_VHOST, false}, {"unix", CONFIG_VSOCK_UNIX, false}, {0}};
static const struct config_word console_words[] = {
    {"serial", 0, false}, {"virtio", 1, false}, {0}};
static const struct config_word cache_words[] = {
    {"writeback", 0, false}, {"unsafe", 1, false}, {0}};

static const struct config_field cpus_fields[] = {
    {.key = "count", .aliases = "n", .value = "N", .type = FIELD_NUMBER, AT(config_cpus, count),
     .min = 1, .max = CONFIG_VCPUS_MAX, .help = "virtual CPUs"},
    {.key = "affinity", .value = "CPUS", .type = FIELD_STRING, AT(config_cpus, affinity),
     .help = "CPUs of the host to run on in turn, as 0-3,8 (in a list: affinity=\"0-3,8\")"},
    {.key = "profile", .aliases = "model", .value = "NAME", .type = FIELD_STRING,
     AT(config_cpus, profile), .help = "what the guest sees as its CPU: host, or a profile"},
    {.key = "sve", .type = FIELD_WORD, AT(config_cpus, sve), .words = switch_words,
     .help = "vector extension: on fails if the host hasn't it, auto takes what there is"},
    {.key = "pauth", .type = FIELD_WORD, AT(config_cpus, pauth), .words = switch_words,
     .help = "pointer authentication"},
    {.key = "pmu", .type = FIELD_WORD, AT(config_cpus, pmu), .words = switch_words,
     .help = "performance counters"},
    END,
};

static const struct config_field memory_fields[] = {
    {.key = "size", .value = "SIZE", .type = FIELD_SIZE, .flags = FIELD_IN_MIB,
     AT(config_memory, size), .help = "multiple of 2 MiB"},
    {.key = "hugepages", .type = FIELD_WORD, AT(config_memory, hugepages), .words = hugepage_words,
     .help = "thp: transparent ones, as the kernel finds them; a size: reserved ones"},
    {.key = "shared", .type = FIELD_BOOL, AT(config_memory, shared),
     .help = "mapped MAP_SHARED, for other processes to look at"},
    {.key = "locked", .type = FIELD_BOOL, AT(config_memory, locked),
     .help = "all of it taken at start, and never swapped"},
    {.key = "numa_node", .aliases = "node", .value = "N", .type = FIELD_NUMBER,
     .flags = FIELD_MAYBE, AT(config_memory, numa_node), .max = 1023,
     .help = "NUMA node of the host that it comes from"},
    END,
};

static const struct config_field serial_fields[] = {
    {.key = "mode", .type = FIELD_WORD, AT(config_serial, kind), .words = serial_words,
     .help = "where the serial port leads; socket: only to `bothy console`"},
    {.key = "path", .aliases = "file", .value = "FILE", .type = FIELD_STRING,
     AT(config_serial, path), .help = "mode file: what the guest writes is appended there"},
    END,
};

static const struct config_field disk_fields[] = {
    {.key = "path", .aliases = "file", .value = "FILE", .type = FIELD_STRING,
     AT(config_disk, path), .help = "raw image or block device"},
    {.key = "readonly", .aliases = "ro", .type = FIELD_BOOL, AT(config_disk, readonly),
     .help = "the guest can't write to it"},
    {.key = "direct", .type = FIELD_BOOL, AT(config_disk, direct),
     .help = "past the host's page cache (O_DIRECT)"},
    {.key = "cache", .type = FIELD_WORD, AT(config_disk, unsafe), .words = cache_words,
     .help = "unsafe: flushes are not carried out, a crash of the host loses data"},
    {.key = "serial", .value = "TEXT", .type = FIELD_NAME, AT(config_disk, serial),
     .help = "what the guest reads as its serial number, at most 20 characters"},
    {.key = "id", .value = "NAME", .type = FIELD_NAME, AT(config_disk, id),
     .help = "its name in the API and in metrics; default disk0, disk1 ..."},
    {.key = "queues", .value = "N", .type = FIELD_NUMBER, AT(config_disk, queues), .min = 1,
     .max = CONFIG_QUEUES_MAX, .help = "virtqueues"},
    {.key = "queue_size", .value = "N", .type = FIELD_NUMBER, AT(config_disk, queue_size),
     .min = 2, .max = 1024, .help = "entries of a queue, a power of 2"},
    {.key = "bandwidth", .aliases = "bw", .value = BUCKET_VALUE, .type = FIELD_BUCKET,
     AT(config_disk, rate.bandwidth),
     .help = "bytes in a period (default 1s), e.g. 10M or 1M/50ms"},
    {.key = "ops", .value = BUCKET_VALUE, .type = FIELD_BUCKET, AT(config_disk, rate.ops),
     .help = "operations in a period"},
    END,
};

static const struct config_field net_fields[] = {
    {.key = "mode", .type = FIELD_WORD, AT(config_net, kind), .words = net_words,
     .help = "user: by passt, without privileges; tap: an interface of the host"},
    {.key = "tap", .aliases = "tapif", .value = "NAME", .type = FIELD_TAP, AT(config_net, tap),
     .help = "the interface; new: make one with a free name"},
    {.key = "make", .type = FIELD_BOOL, AT(config_net, make_tap),
     .help = "make the interface, and remove it at the end"},
    {.key = "tapfd", .value = "FD", .type = FIELD_NUMBER, .flags = FIELD_MAYBE,
     AT(config_net, tap_fd), .max = 65535, .help = "an open tap that was inherited"},
    {.key = "vhost", .type = FIELD_BOOL, AT(config_net, vhost),
     .help = "packets go through the kernel's vhost-net"},
    {.key = "mac", .aliases = "guest_mac", .value = "MAC", .type = FIELD_MAC, AT(config_net, mac),
     .help = "address of the guest's interface; default: from the names of VM and device"},
    {.key = "mtu", .value = "N", .type = FIELD_NUMBER, AT(config_net, mtu), .max = 65535,
     .help = "told to the guest; 0: not told"},
    {.key = "forward", .value = "PORTS", .type = FIELD_STRING, AT(config_net, forward),
     .help = "mode user: ports of the host that lead to the guest, e.g. 2222:22 (passt -t)"},
    {.key = "id", .value = "NAME", .type = FIELD_NAME, AT(config_net, id),
     .help = "its name in the API and in metrics; default net0, net1 ..."},
    {.key = "queues", .aliases = "mq", .value = "N", .type = FIELD_NUMBER, AT(config_net, queues),
     .min = 1, .max = CONFIG_QUEUES_MAX, .help = "pairs of virtqueues"},
    {.key = "queue_size", .value = "N", .type = FIELD_NUMBER, AT(config_net, queue_size),
     .min = 2, .max = 1024, .help = "entries of a queue, a power of 2"},
    {.key = "rx_bandwidth", .value = BUCKET_VALUE, .type = FIELD_BUCKET,
     AT(config_net, rx_rate.bandwidth), .help = "bytes that reach the guest in a period"},
    {.key = "rx_ops", .value = BUCKET_VALUE, .type = FIELD_BUCKET, AT(config_net, rx_rate.ops),
     .help = "packets that reach the guest in a period"},
    {.key = "tx_bandwidth", .value = BUCKET_VALUE, .type = FIELD_BUCKET,
     AT(config_net, tx_rate.bandwidth), .help = "bytes that leave the guest in a period"},
    {.key = "tx_ops", .value = BUCKET_VALUE, .type = FIELD_BUCKET, AT(config_net, tx_rate.ops),
     .help = "packets that leave the guest in a period"},
    END,
};

static const struct config_field vsock_fields[] = {
    {.key = "cid", .value = "CID", .type = FIELD_NUMBER, AT(config_vsock, cid), .min = 3,
     .max = 0xfffffffeu, .help = "the guest's address"},
    {.key = "path", .value = "SOCKET", .type = FIELD_STRING, AT(config_vsock, path),
     .help = "mode unix: the socket; the guest reaches SOCKET_PORT"},
    {.key = "mode", .type = FIELD_WORD, AT(config_vsock, kind), .words = vsock_words,
     .help = "by the kernel's vhost-vsock, or by Unix sockets; default: unix if there is a path"},
    END,
};

static const struct config_field balloon_fields[] = {
    {.key = "target_mib", .aliases = "target amount_mib", .value = "MIB", .type = FIELD_NUMBER,
     AT(config_balloon, target_mib), .max = UINT32_MAX,
     .help = "what the guest is asked to give back, in MiB"},
    {.key = "deflate_on_oom", .type = FIELD_BOOL, AT(config_balloon, deflate_on_oom),
     .help = "the guest may take it back when it runs out of memory"},
    {.key = "free_page_reporting", .type = FIELD_BOOL, AT(config_balloon, free_page_reporting),
     .help = "the guest reports unused pages, which go back to the host at once"},
    {.key = "stats_interval_s", .aliases = "stats", .value = "SECONDS", .type = FIELD_NUMBER,
     AT(config_balloon, stats_interval_s), .max = 86400,
     .help = "seconds between statistics; 0: none"},
    END,
};

static const struct config_field jail_fields[] = {
    {.key = "enabled", .type = FIELD_BOOL, .flags = FIELD_INVERTED, AT(config_jail, off),
     .help = "off: for debugging only, a guest that breaks out has your privileges"},
    {.key = "user", .value = "NAME", .type = FIELD_STRING, AT(config_jail, user),
     .help = "whom to become when started by root; default nobody"},
    {.key = "group", .value = "NAME", .type = FIELD_STRING, AT(config_jail, group),
     .help = "the group to become"},
    END,
};

static void disk_init(void *object)
{
    struct config_disk *disk = object;

    disk->queues = 1;
    disk->queue_size = 256;
}

/* "disk" or "net", and the index in decimal: no stdio on the way to the guest. */
static void name_default(char *id, const char *stem, size_t index)
{
    size_t length = strlen(stem);

    if (id[0] != '\0') {
        return;
    }
    memcpy(id, stem, length);
    if (index >= 10) {
        id[length++] = (char)('0' + index / 10);
    }
    id[length++] = (char)('0' + index % 10);
    id[length] = '\0';
}

static void disk_finish(void *object, uint64_t given, size_t index)
{
    struct config_disk *disk = object;

    (void)given;
    name_default(disk->id, "disk", index);
}

static void net_init(void *object)
{
    struct config_net *net = object;

    net->kind = CONFIG_NET_USER;
    net->tap_fd = -1;
    net->queues = 1;
    net->queue_size = 256;
}

/* Each group's fields whose presence decides something, by their places in the tables above. */
enum { NET_MODE, NET_TAP, NET_MAKE, NET_TAPFD };
enum { SERIAL_MODE, SERIAL_PATH };
enum { VSOCK_CID, VSOCK_PATH, VSOCK_MODE };
#define GIVEN(given, field) (((given) >> (field) & 1) != 0)

static void net_finish(void *object, uint64_t given, size_t index)
{
    struct config_net *net = object;

    if (!GIVEN(given, NET_MODE) &&
        (GIVEN(given, NET_TAP) || GIVEN(given, NET_TAPFD) || net->make_tap)) {
        net->kind = CONFIG_NET_TAP;
    }
    if (net->kind == CONFIG_NET_TAP && net->tap == NULL && net->tap_fd < 0) {
        net->make_tap = true;
    }
    name_default(net->id, "net", index);
}

static void serial_finish(void *object, uint64_t given, size_t index)
{
    struct config_serial *serial = object;

    (void)index;
    if (GIVEN(given, SERIAL_PATH) && !GIVEN(given, SERIAL_MODE)) {
        serial->kind = CONFIG_SERIAL_FILE;
    }
}

static void vsock_finish(void *object, uint64_t given, size_t index)
{
    struct config_vsock *vsock = object;

    (void)index;
    if (!GIVEN(given, VSOCK_MODE) && vsock->kind == CONFIG_VSOCK_NONE) {
        vsock->kind = vsock->path != NULL ? CONFIG_VSOCK_UNIX : CONFIG_VSOCK_VHOST;
    }
}

static void vsock_off(void *object)
{
    struct config_vsock *vsock = object;

    free(vsock->path);
    *vsock = (struct config_vsock){.kind = CONFIG_VSOCK_NONE};
}

static bool vsock_present(const void *object)
{
    return ((const struct config_vsock *)object)->kind != CONFIG_VSOCK_NONE;
}

static void balloon_finish(void *object, uint64_t given, size_t index)
{
    (void)given;
    (void)index;
    ((struct config_balloon *)object)->present = true;
}

static void balloon_off(void *object)
{
    *(struct config_balloon *)object = (struct config_balloon){.present = false};
}

static bool balloon_present(const void *object)
{
    return ((const struct config_balloon *)object)->present;
}

static void jail_off(void *object)
{
    ((struct config_jail *)object)->off = true;
}

static const struct config_group cpus_group = {
    .noun = "cpus", .help = "Virtual CPUs", .fields = cpus_fields, .first = "count"};
static const struct config_group memory_group = {
    .noun = "memory", .help = "The guest's memory", .fields = memory_fields, .first = "size"};
static const struct config_group serial_group = {
    .noun = "serial", .help = "The serial port (PL011)", .fields = serial_fields, .first = "mode",
    .finish = serial_finish};
static const struct config_group disk_group = {
    .noun = "disk", .help = "A disk (virtio-blk)", .fields = disk_fields, .first = "path",
    .required = "path", .init = disk_init, .finish = disk_finish};
static const struct config_group net_group = {
    .noun = "net", .help = "A network interface (virtio-net)", .fields = net_fields,
    .first = "mode", .init = net_init, .finish = net_finish};
static const struct config_group vsock_group = {
    .noun = "vsock", .help = "Sockets between host and guest (virtio-vsock)",
    .fields = vsock_fields, .first = "cid", .required = "cid", .finish = vsock_finish,
    .off = vsock_off, .present = vsock_present};
static const struct config_group balloon_group = {
    .noun = "balloon", .help = "Memory that the guest gives back (virtio-balloon)",
    .fields = balloon_fields, .first = "target_mib", .finish = balloon_finish, .off = balloon_off,
    .present = balloon_present};
static const struct config_group jail_group = {
    .noun = "jail", .help = "What the process locks itself into before the guest starts",
    .fields = jail_fields, .first = "enabled", .off = jail_off};

static const struct config_field vm_fields[] = {
    {.key = "name", .letter = 'N', .value = "NAME", .type = FIELD_NAME, AT(vm_config, name),
     .help = "the VM's name; default vm-PID"},
    {.key = "kernel", .letter = 'k', .aliases = "firmware", .value = "FILE", .type = FIELD_STRING,
     AT(vm_config, kernel), .help = "arm64 Image, U-Boot, or a raw program"},
    {.key = "initrd", .letter = 'i', .value = "FILE", .type = FIELD_STRING, AT(vm_config, initrd),
     .help = "initial RAM disk"},
    {.key = "cmdline", .letter = 'p', .aliases = "params append", .value = "TEXT",
     .type = FIELD_STRING, AT(vm_config, cmdline), .help = "the kernel's parameters"},
    {.key = "dtb", .value = "FILE", .type = FIELD_STRING, AT(vm_config, dtb),
     .help = "device tree to use instead of the generated one"},
    {.key = "cpus", .letter = 'c', .aliases = "smp", .value = "N[,KEY=VALUE...]",
     .type = FIELD_GROUP, AT(vm_config, cpus), .group = &cpus_group, .help = "virtual CPUs"},
    {.key = "memory", .letter = 'm', .aliases = "mem", .value = "SIZE[,KEY=VALUE...]",
     .type = FIELD_GROUP, AT(vm_config, memory), .group = &memory_group,
     .help = "memory, in MiB or with K, M, G"},
    {.key = "gic", .aliases = "irqchip", .type = FIELD_WORD, AT(vm_config, gic),
     .words = gic_words, .help = "interrupt controller"},
    {.key = "its", .type = FIELD_BOOL, .flags = FIELD_INVERTED, AT(vm_config, no_its),
     .help = "the GICv3's translation service, for MSIs"},
    {.key = "serial", .letter = 's', .value = "MODE[,KEY=VALUE...]", .type = FIELD_GROUP,
     AT(vm_config, serial), .group = &serial_group,
     .help = "serial port: stdio, none, socket, or file=FILE"},
    {.key = "console", .type = FIELD_WORD, AT(vm_config, virtio_console),
     .words = console_words, .help = "virtio: a virtio console (hvc0) beside the serial port"},
    {.key = "rng", .type = FIELD_BOOL, .flags = FIELD_INVERTED, AT(vm_config, no_rng),
     .help = "random numbers for the guest (virtio-rng)"},
    {.key = "disks", .option = "disk", .letter = 'd', .value = "FILE[,KEY=VALUE...]",
     .type = FIELD_LIST, LIST_AT(disks, nr_disks, CONFIG_DISKS_MAX, config_disk),
     .group = &disk_group, .help = "a disk; may be repeated"},
    {.key = "nets", .option = "net", .letter = 'n', .aliases = "network",
     .value = "MODE[,KEY=VALUE...]", .type = FIELD_LIST,
     LIST_AT(nets, nr_nets, CONFIG_NETS_MAX, config_net), .group = &net_group,
     .help = "a network interface: user, or tap=NAME; may be repeated"},
    {.key = "vsock", .value = "CID[,KEY=VALUE...]", .type = FIELD_GROUP, AT(vm_config, vsock),
     .group = &vsock_group, .help = "sockets between host and guest"},
    {.key = "balloon", .value = "[MIB][,KEY=VALUE...]", .type = FIELD_GROUP,
     AT(vm_config, balloon), .group = &balloon_group, .help = "memory that can be taken back"},
    {.key = "jail", .value = "on|off[,KEY=VALUE...]", .type = FIELD_GROUP, AT(vm_config, jail),
     .group = &jail_group, .help = "privileges are dropped before the guest starts"},
    {.key = "api_socket", .aliases = "api_sock", .value = "PATH", .type = FIELD_STRING,
     AT(vm_config, api_socket), .help = "the API's socket, if not in the run directory"},
    {.key = "netns", .value = "NAME", .type = FIELD_STRING, AT(vm_config, netns),
     .help = "network namespace of taps and passt: a name below /run/netns, or a path"},
    {.key = "log_level", .value = "LEVEL", .type = FIELD_STRING, AT(vm_config, log_level),
     .help = "error, warning, info (default) or debug"},
    {.key = "wait", .type = FIELD_BOOL, AT(vm_config, wait_for_api),
     .help = "don't start: wait for the API's InstanceStart"},
    {.key = "reboot", .type = FIELD_BOOL, .flags = FIELD_INVERTED, AT(vm_config, no_reboot),
     .help = "a guest may reboot; off: that ends the VM"},
    END,
};

const struct config_group config_vm_group = {
    .noun = "VM", .help = "A virtual machine, as `bothy run --config` takes it",
    .fields = vm_fields, .first = NULL};
