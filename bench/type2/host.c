/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bench/run-bench-type2 runs in the test host:
 *
 *   stamp PROGRAM ARG...   starts it, and prints in the end what the counter was just before exec
 *   split                  passes its input on; after a line `bench end NAME` prints `guest NAME
 *                          <instructions>`: what guests executed since `bench begin NAME`
 *   ping ADDRESS ROUNDS    round trips of one byte to UDP port 7; prints `ping <rounds> <ticks>
 *                          <instructions of guests>`; rounds 0: waits until something answers
 *
 * Guests' instructions are counted by the CPU (event INST_RETIRED, the host's part left out), so
 * what a guest itself has executed is known apart from all that is done for it.
 */
#include "counter.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_UP 100u

static void fail(const char *what)
{
    fprintf(stderr, "bench host: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A counter of what guests execute on CPU 0. */
static int open_guest_counter(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_host = 1,
        .pinned = 1,
    };
    int fd = (int)syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

    if (fd < 0) {
        fail("perf_event_open");
    }
    return fd;
}

static uint64_t read_counter(int fd)
{
    uint64_t count;

    if (fd < 0) {
        return 0;
    }
    if (read(fd, &count, sizeof(count)) != (ssize_t)sizeof(count)) {
        fail("the counter of guests' instructions");
    }
    return count;
}

static int stamp(char **arguments)
{
    volatile uint64_t *ticks = mmap(NULL, sizeof(*ticks), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child;
    int status;

    if (ticks == MAP_FAILED) {
        fail("mmap");
    }
    *ticks = 0;
    child = fork();
    if (child == 0) {
        *ticks = counter_read();
        execv(arguments[0], arguments);
        fail(arguments[0]);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        fail("waitpid");
    }
    printf("stamp %llu\n", (unsigned long long)*ticks);
    return status == 0 ? 0 : 1;
}

static int split(void)
{
    char line[4096];
    char verb[8];
    char name[32];
    uint64_t begin = 0;
    int fd = open_guest_counter();

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        fputs(line, stdout);
        if (sscanf(line, "bench %7s %31s", verb, name) != 2) {
            continue;
        }
        if (strcmp(verb, "begin") == 0) {
            begin = read_counter(fd);
        } else if (strcmp(verb, "end") == 0) {
            printf("guest %s %llu\n", name, (unsigned long long)(read_counter(fd) - begin));
        }
    }
    return 0;
}

static void round_trips(int fd, unsigned int rounds)
{
    char byte = 0;

    for (unsigned int i = 0; i < rounds; i++) {
        if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1) {
            fail("a round trip");
        }
    }
}

/* Until the first answer. */
static int wait_for_answer(int fd)
{
    struct pollfd source = {.fd = fd, .events = POLLIN};
    char byte = 0;

    for (int i = 0; i < 1000; i++) {
        if (send(fd, &byte, 1, 0) == 1 && poll(&source, 1, 100) == 1 &&
            recv(fd, &byte, 1, 0) == 1) {
            return 0;
        }
    }
    fail("no answer");
    return 1;
}

static int ping(const char *address, unsigned int rounds, bool with_guest)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int counter = with_guest ? open_guest_counter() : -1;
    uint64_t guest;
    uint64_t ticks;

    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        fail(address);
    }
    if (rounds == 0) {
        return wait_for_answer(fd);
    }
    round_trips(fd, WARM_UP);
    guest = read_counter(counter);
    ticks = counter_read();
    round_trips(fd, rounds);
    ticks = counter_read() - ticks;
    guest = read_counter(counter) - guest;
    printf("ping %u %llu %llu\n", rounds, (unsigned long long)ticks, (unsigned long long)guest);
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "stamp") == 0 && argc > 2) {
        return stamp(argv + 2);
    }
    if (strcmp(verb, "split") == 0) {
        return split();
    }
    if (strcmp(verb, "ping") == 0 && argc > 3) {
        return ping(argv[2], (unsigned int)atoi(argv[3]), argc > 4);
    }
    fprintf(stderr, "usage: stamp PROGRAM ARG..., split, ping ADDRESS ROUNDS [split]\n");
    return 2;
}
