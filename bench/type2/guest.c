/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of a Linux guest whose devices are measured. It loads the modules that
 * /modules/order lists and does what its arguments say (after `--` on the kernel's command line):
 *
 *   blk OPS    4 KiB reads of random blocks of /dev/vda past the guest's own page cache
 *   pong       eth0 is 10.0.0.2; echoes what comes to UDP port 7
 *   idle       says that it was reached
 *
 * It prints `bench begin NAME` and, when that has come through, works; then `bench end NAME <ops>
 * <ticks>`. Each figure comes after a round with no operations: what that takes isn't the device's.
 */
#define _GNU_SOURCE 1
#include "counter.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK 4096u
#define DEPTH_MAX 8
#define SETTLE_US 300000
#define BOOTED_S 3 /* until the kernel has done what it left for later */
#define WARM_UP 2000

static uint8_t buffers[DEPTH_MAX][BLOCK] __attribute__((aligned(BLOCK)));
static uint64_t blocks;
static uint64_t state = 1;
static aio_context_t context;

static void fail(const char *what)
{
    printf("bench failed: %s: %s\n", what, strerror(errno));
    usleep(SETTLE_US);
    reboot(RB_POWER_OFF);
}

static void load_modules(void)
{
    char name[256];
    FILE *order = fopen("/modules/order", "r");

    while (order != NULL && fscanf(order, "%255s", name) == 1) {
        int fd = open(name, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) {
            fail(name);
        }
        close(fd);
    }
    if (order != NULL) {
        fclose(order);
    }
}

/* The same blocks in each run. */
static uint64_t next_offset(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % blocks * BLOCK;
}

static void read_one_by_one(int fd, unsigned int ops)
{
    for (unsigned int i = 0; i < ops; i++) {
        if (pread(fd, buffers[0], BLOCK, (off_t)next_offset()) != (ssize_t)BLOCK) {
            fail("pread");
        }
    }
}

static void submit(int fd, struct iocb *request)
{
    struct iocb *list[1] = {request};
    int slot = (int)request->aio_data;

    request->aio_fildes = (uint32_t)fd;
    request->aio_lio_opcode = IOCB_CMD_PREAD;
    request->aio_buf = (uintptr_t)buffers[slot];
    request->aio_nbytes = BLOCK;
    request->aio_offset = (int64_t)next_offset();
    if (syscall(SYS_io_submit, context, 1, list) != 1) {
        fail("io_submit");
    }
}

/* Always DEPTH_MAX reads under way. */
static void read_overlapping(int fd, unsigned int ops)
{
    struct iocb requests[DEPTH_MAX];
    struct io_event events[DEPTH_MAX];
    unsigned int begun = 0;
    unsigned int done = 0;

    memset(requests, 0, sizeof(requests));
    for (; begun < DEPTH_MAX && begun < ops; begun++) {
        requests[begun].aio_data = begun;
        submit(fd, &requests[begun]);
    }
    while (done < ops) {
        long count = syscall(SYS_io_getevents, context, 1, DEPTH_MAX, events, NULL);

        if (count < 1) {
            fail("io_getevents");
        }
        for (long i = 0; i < count; i++, done++) {
            if (events[i].res != (int64_t)BLOCK) {
                fail("a read");
            }
            if (begun < ops) {
                submit(fd, &requests[events[i].data]);
                begun++;
            }
        }
    }
}

static void round_of(const char *name, void (*work)(int, unsigned int), int fd, unsigned int ops)
{
    uint64_t ticks;

    printf("bench begin %s-%u\n", name, ops);
    usleep(SETTLE_US);
    ticks = counter_read();
    work(fd, ops);
    ticks = counter_read() - ticks;
    usleep(SETTLE_US);
    printf("bench end %s-%u %u %llu\n", name, ops, ops, (unsigned long long)ticks);
    usleep(SETTLE_US);
}

static void measure(const char *name, void (*work)(int, unsigned int), int fd, unsigned int ops)
{
    work(fd, WARM_UP);
    round_of(name, work, fd, 0);
    round_of(name, work, fd, ops);
}

static void blk(unsigned int ops)
{
    int fd = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
    uint64_t size;

    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) != 0) {
        fail("/dev/vda");
    }
    if (syscall(SYS_io_setup, DEPTH_MAX, &context) != 0) {
        fail("io_setup");
    }
    blocks = size / BLOCK;
    sleep(BOOTED_S);
    measure("blk1", read_one_by_one, fd, ops);
    measure("blk8", read_overlapping, fd, ops);
}

static void set_address(int fd)
{
    struct ifreq request = {.ifr_name = "eth0"};
    struct sockaddr_in address = {.sin_family = AF_INET};

    address.sin_addr.s_addr = htonl(0x0a000002);
    memcpy(&request.ifr_addr, &address, sizeof(address));
    if (ioctl(fd, SIOCSIFADDR, &request) != 0) {
        fail("SIOCSIFADDR");
    }
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
        fail("SIOCSIFFLAGS");
    }
}

static void pong(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7)};

    set_address(fd);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fail("bind");
    }
    printf("bench pong\n");
    for (;;) {
        struct sockaddr_in from;
        socklen_t size = sizeof(from);
        char byte;

        if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &size) == 1) {
            sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, size);
        }
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    if (argc > 2 && strcmp(argv[1], "blk") == 0) {
        blk((unsigned int)atoi(argv[2]));
    } else if (argc > 1 && strcmp(argv[1], "pong") == 0) {
        pong();
    } else {
        printf("bench idle\n");
        sleep(1000000);
    }
    reboot(RB_POWER_OFF);
    return 1;
}
