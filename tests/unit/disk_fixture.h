/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk on a real file under a real event loop, driven by the fake driver. The VM around it is
 * this file's own. Each test runs twice: with io_uring, and with a filter that makes
 * io_uring_setup() fail as a container does.
 */
#ifndef TESTS_UNIT_DISK_FIXTURE_H
#define TESTS_UNIT_DISK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bothy/bits.h"
#include "tests/support/vring_driver.h"
#include "vmm/base/log.h"
#include "vmm/devices/disk.h"

#define T_IN 0u
#define T_OUT 1u
#define T_FLUSH 4u
#define T_GET_ID 8u
#define T_DISCARD 11u
#define T_WRITE_ZEROES 13u
#define FAILED_STATUS 255u
#define QUEUE_SIZE 256u
#define FILE_SIZE MIB(4)

struct vm {
    struct loop *loop;
    struct vm_config config;
    struct vmm_device *devices;
};

struct vmm_device *vm_devices(struct vm *vm)
{
    return vm->devices;
}

struct loop *vm_get_loop(struct vm *vm)
{
    return vm->loop;
}

struct vm_config *vm_get_config(struct vm *vm)
{
    return &vm->config;
}

struct fixture {
    struct vm vm;
    struct config_disk config;
    char path[256];
    int fd; /* the test's own, of the file */
    struct vmm_device *device;
    struct vring_driver *driver;
    struct loop_work kick;
    struct loop_hook hook;
    uint32_t wanted; /* used chains until the loop stops */
    uint32_t collected;
    int tokens[1024];
    uint32_t random;
};

static inline struct disk *the_disk(struct fixture *f)
{
    return CONTAINER_OF(f->device, struct disk, device);
}

static inline uint32_t draw(struct fixture *f, uint32_t below)
{
    f->random = f->random * 1664525u + 1013904223u;
    return (f->random >> 8) % below;
}

/* Within a round of the loop, where the VM serves its notification descriptors. */
static void kick_run(struct loop_work *work)
{
    struct fixture *f = CONTAINER_OF(work, struct fixture, kick);

    for (uint16_t i = 0; i < f->device->virtio->nr_queues; i++) {
        virtio_device_notify(f->device->virtio, i);
    }
}

static void hook_run(struct loop_hook *hook)
{
    struct fixture *f = CONTAINER_OF(hook, struct fixture, hook);
    struct vring_used used;

    for (uint16_t i = 0; f->driver != NULL && i < f->device->virtio->nr_queues; i++) {
        while (vring_collect(f->driver, i, &used)) {
            assert_true(used.token >= 0);
            f->tokens[f->collected++] = used.token;
        }
    }
    if (f->collected >= f->wanted) {
        loop_stop(f->vm.loop);
    }
}

/* Serve until this many chains were used in all queues. */
static inline void run_until(struct fixture *f, uint32_t wanted)
{
    f->collected = 0;
    f->wanted = wanted;
    if (wanted != 0) {
        loop_run(f->vm.loop);
    }
}

static inline void kick_and_run(struct fixture *f, uint32_t wanted)
{
    loop_post(f->vm.loop, &f->kick);
    run_until(f, wanted);
}

static inline void make_file(struct fixture *f, uint64_t size)
{
    snprintf(f->path, sizeof(f->path), "%s/bothy-test-disk-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/var/tmp");
    f->fd = mkstemp(f->path);
    assert_true(f->fd >= 0);
    assert_int_equal(ftruncate(f->fd, (off_t)size), 0);
}

static inline struct vmm_device *create(struct fixture *f, const struct config_disk *config,
                                        struct error *error)
{
    struct vmm_device *device = disk_create(&f->vm, config, error);

    if (device != NULL) {
        device->next = f->vm.devices;
        f->vm.devices = device;
    }
    return device;
}

static inline void destroy(struct fixture *f, struct vmm_device *device)
{
    struct vmm_device **link = &f->vm.devices;

    while (*link != NULL && *link != device) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = device->next;
    }
    device->destroy(device);
}

/* The disk that f->config describes, with a running driver. */
static inline void start(struct fixture *f)
{
    struct error error = ERROR_NONE;

    f->device = create(f, &f->config, &error);
    assert_string_equal(error.text, "");
    assert_non_null(f->device);
    f->driver = vring_driver_create(f->device->virtio, MIB(8));
    assert_true(vring_driver_start(f->driver, ~0ull & ~VIRTIO_F_RING_PACKED, QUEUE_SIZE));
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    log_init("test", LOG_LEVEL_ERROR);
    f->random = 20260102;
    f->vm.loop = loop_create();
    f->kick.run = kick_run;
    f->hook.run = hook_run;
    make_file(f, FILE_SIZE);
    f->config = (struct config_disk){
        .id = "disk0",
        .path = f->path,
        .queues = 2,
        .queue_size = QUEUE_SIZE,
    };
    f->vm.config.jail.off = true;
    *state = f;
    return f->vm.loop == NULL;
}

/* The hook that looks comes after the engine's: hooks run in the reverse order of their adding, so
 * it is added before the disk's. */
static inline int setup_started(void **state)
{
    struct fixture *f;
    int result = setup(state);

    f = *state;
    loop_hook_add(f->vm.loop, &f->hook);
    start(f);
    return result;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->device != NULL) {
        destroy(f, f->device);
    }
    vring_driver_destroy(f->driver);
    loop_destroy(f->vm.loop);
    unlink(f->path);
    close(f->fd);
    free(f);
    return 0;
}

struct header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

/* A request whose data is `data` (in guest memory, or size 0); returns where its status will be. */
static inline uint8_t *add(struct fixture *f, uint16_t queue, uint32_t type, uint64_t sector,
                           struct vring_buffer data)
{
    struct header header = {type, 0, sector};
    struct vring_buffer buffers[3];
    unsigned int count = 0;
    uint8_t *status;

    buffers[count++] = vring_out(f->driver, &header, sizeof(header));
    if (data.size != 0) {
        buffers[count++] = data;
    }
    buffers[count] = vring_in(f->driver, 1);
    status = vring_at(f->driver, buffers[count++].ipa);
    *status = FAILED_STATUS;
    assert_true(vring_add(f->driver, queue, buffers, count, true) >= 0);
    return status;
}

/* One request from end to end. */
static inline uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, void *bytes,
                              uint32_t size)
{
    uint64_t ram_used = f->driver->ram_used;
    struct vring_buffer data = {0};
    uint8_t *status;

    if (size != 0) {
        data = type == T_IN || type == T_GET_ID ? vring_in(f->driver, size)
                                                : vring_out(f->driver, bytes, size);
    }
    status = add(f, 0, type, sector, data);
    kick_and_run(f, 1);
    if (data.writable) {
        memcpy(bytes, vring_at(f->driver, data.ipa), size);
    }
    f->driver->ram_used = ram_used;
    return *status;
}

/* From now on there is no io_uring for this process. */
static inline int forbid_uring(void **state)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {ARRAY_SIZE(filter), filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0;
}

#endif
