/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description of a VM: what the command line, a JSON file and the API fill in, and what the
 * builder builds from. Strings are owned (malloc) and NULL when not given. docs/vm.schema.json is
 * the JSON form; the two are tested against one another.
 */
#ifndef VMM_CONFIG_CONFIG_H
#define VMM_CONFIG_CONFIG_H

#include "vmm/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_NAME_MAX 63u /* of a VM and of a device: letters, digits, '-', '_', '.' */
#define CONFIG_VCPUS_MAX 64u
#define CONFIG_DISKS_MAX 16u
#define CONFIG_NETS_MAX 8u
#define CONFIG_QUEUES_MAX 16u
#define CONFIG_SERIAL_MAX 20u /* virtio-blk's VIRTIO_BLK_ID_BYTES */

/* off: hide it; on: fail if the host hasn't it; auto: take what the host gives. */
enum config_switch { CONFIG_AUTO, CONFIG_ON, CONFIG_OFF };

/* A token bucket, in Firecracker's terms: `size` tokens, refilled within refill_ms, and a burst
 * that is there once. size 0: no limit. Tokens are bytes or operations. */
struct config_bucket {
    uint64_t size;
    uint64_t one_time_burst;
    uint64_t refill_ms;
};

struct config_rate {
    struct config_bucket bandwidth;
    struct config_bucket ops;
};

struct config_disk {
    char id[CONFIG_NAME_MAX + 1]; /* disk0, disk1 ... unless given */
    char *path;
    bool readonly;
    bool direct; /* O_DIRECT */
    bool unsafe; /* cache=unsafe: flushes are not carried out */
    char serial[CONFIG_SERIAL_MAX + 1];
    uint16_t queues;     /* default 1 */
    uint16_t queue_size; /* default 256 */
    struct config_rate rate;
};

enum config_net_kind {
    CONFIG_NET_USER, /* passt, without privileges */
    CONFIG_NET_TAP,  /* `tap`: an existing interface, or one that is made (tap=new) */
};

struct config_net {
    char id[CONFIG_NAME_MAX + 1]; /* net0, net1 ... */
    enum config_net_kind kind;
    char *tap;   /* interface name; NULL with make_tap: the kernel chooses */
    bool make_tap;
    int tap_fd;  /* an open tap that was inherited (tapfd=N), or -1 */
    bool vhost;  /* the data path in the kernel (vhost-net) */
    uint8_t mac[6];
    bool mac_given; /* else one is derived from the VM's name and the device's id */
    uint16_t mtu;    /* 0: not announced */
    uint16_t queues; /* pairs; default 1 */
    uint16_t queue_size;
    char *forward; /* user: ports of the host that lead to the guest, passt's -t syntax */
    struct config_rate rx_rate, tx_rate;
};

enum config_vsock_kind { CONFIG_VSOCK_NONE, CONFIG_VSOCK_VHOST, CONFIG_VSOCK_UNIX };

struct config_vsock {
    enum config_vsock_kind kind;
    uint32_t cid; /* of the guest, from 3 */
    char *path;   /* unix: the socket, guest-initiated connections to port P go to PATH_P */
};

struct config_balloon {
    bool present;
    uint64_t target_mib; /* memory that the guest should give back */
    bool deflate_on_oom;
    bool free_page_reporting;
    uint32_t stats_interval_s; /* 0: no statistics */
};

enum config_hugepages { CONFIG_HUGE_THP, CONFIG_HUGE_OFF, CONFIG_HUGE_64K, CONFIG_HUGE_2M,
                        CONFIG_HUGE_32M, CONFIG_HUGE_1G };

/* Bytes of an explicit huge page; 0: memory consists of the host's usual pages. */
uint64_t config_huge_size(enum config_hugepages kind);

struct config_memory {
    uint64_t size; /* bytes, a multiple of 2 MiB; default 256 MiB */
    enum config_hugepages hugepages;
    bool shared;   /* MAP_SHARED: for vhost-user and for others to look at */
    bool locked;   /* mlock: touched and kept at start */
    int numa_node; /* -1: anywhere */
};

struct config_cpus {
    uint32_t count;   /* default 1 */
    char *affinity;   /* "0-3,8": vCPU i runs on the i-th of them, in turn; NULL: anywhere */
    char *profile;    /* NULL or "host", or a profile's name */
    enum config_switch sve, pauth, pmu;
};

enum config_gic { CONFIG_GIC_AUTO, CONFIG_GIC_V2, CONFIG_GIC_V3 };

enum config_serial_kind {
    CONFIG_SERIAL_STDIO, /* default; read only if stdin is a terminal or a pipe */
    CONFIG_SERIAL_NONE,
    CONFIG_SERIAL_FILE,   /* output appended to `path` */
    CONFIG_SERIAL_SOCKET, /* only `bothy console NAME` */
};

struct config_serial {
    enum config_serial_kind kind;
    char *path;
};

struct config_jail {
    bool off;     /* --no-jail: for debugging only */
    char *user;   /* name or number to become, if started by root; default nobody */
    char *group;
};

struct vm_config {
    char name[CONFIG_NAME_MAX + 1]; /* default: vm-PID */
    char *kernel;  /* Image, raw binary, or U-Boot; NULL until boot-source is given */
    char *initrd;
    char *cmdline;
    char *dtb;     /* an FDT to use instead of the generated one */
    struct config_cpus cpus;
    struct config_memory memory;
    enum config_gic gic;
    bool no_its;
    struct config_serial serial;
    bool virtio_console; /* hvc0, on the same terminal as the serial port's owner chooses */
    bool no_rng;
    struct config_disk disks[CONFIG_DISKS_MAX];
    uint32_t nr_disks;
    struct config_net nets[CONFIG_NETS_MAX];
    uint32_t nr_nets;
    struct config_vsock vsock;
    struct config_balloon balloon;
    struct config_jail jail;
    char *api_socket; /* NULL: in the run directory, by name */
    char *netns;      /* name below /run/netns or a path: the tap lives there */
    char *log_level;
    bool wait_for_api; /* no kernel given: wait for PUT /boot-source and InstanceStart */
    bool no_reboot;    /* a guest's reboot ends the VM (exit code 0) */
};

/* Defaults; nothing is allocated. */
void vm_config_init(struct vm_config *config);
/* Frees what it owns; NULL-safe; leaves defaults. */
void vm_config_release(struct vm_config *config);
/* Everything that can be told wrong without the host: names twice, sizes, options that exclude one
 * another. False and a sentence. */
bool vm_config_check(const struct vm_config *config, struct error *error);

/* Whether it can be a VM's or a device's name; what: how the sentence calls it. */
bool vm_config_check_name(const char *name, const char *what, struct error *error);

/* From JSON text (origin: the file's name, for messages) into an initialized config, and back;
 * the text is the caller's to free. Unknown keys are errors that suggest the nearest known one. */
bool vm_config_from_json(struct vm_config *config, const char *text, size_t size,
                         const char *origin, struct error *error);
char *vm_config_to_json(const struct vm_config *config);

#endif
