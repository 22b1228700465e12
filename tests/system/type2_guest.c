/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What busybox can't do in the guests of the type-2 tests (tests/system/type2.py), and in their
 * host:
 *
 *   guest button                 waits for the power button, a line of the PL061, and says PRESSED
 *   guest key                    waits for the key that Linux's driver makes of it; says PRESSED,
 *                                RELEASED
 *   guest blocks DEVICE          writes numbered blocks; says each number once it is durable
 *   guest zero DEVICE AT SIZE    BLKZEROOUT
 *   guest echo ADDRESS           serves one connection: sends back what comes
 *   guest call ADDRESS TEXT      sends TEXT (and a line end), says what comes back
 *   guest sink ADDRESS           serves one connection: checks what `source` sends
 *   guest source ADDRESS BYTES   sends bytes of which each is known
 *
 * ADDRESS is vsock:CID:PORT, unix:PATH or tcp:A.B.C.D:PORT; servers say LISTENING.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/gpio.h>
#include <linux/input.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h> /* which needs sys/socket.h */

#define BLOCK 4096
#define BLOCKS 256 /* of the ring that `blocks` writes */
#define POWER_LINE 3
#define PERIOD 251 /* of `source`: no power of two */

static uint8_t data[65536];

static int failed(const char *what)
{
    perror(what);
    return 1;
}

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

static int wait_for_button(void)
{
    struct gpioevent_request request = {.lineoffset = POWER_LINE,
                                        .handleflags = GPIOHANDLE_REQUEST_INPUT,
                                        .eventflags = GPIOEVENT_REQUEST_RISING_EDGE};
    struct gpioevent_data event;
    int chip = open("/dev/gpiochip0", O_RDWR);

    if (chip < 0 || ioctl(chip, GPIO_GET_LINEEVENT_IOCTL, &request) != 0) {
        return failed("/dev/gpiochip0");
    }
    say("WAITING");
    if (read(request.fd, &event, sizeof(event)) != sizeof(event)) {
        return failed("event");
    }
    say("PRESSED");
    return 0;
}

/* The first input device: the button is the only one that these guests have. */
static int wait_for_key(void)
{
    const char *path = "/dev/input/event0";
    int fd = open(path, O_RDONLY);
    struct input_event event;

    if (fd < 0) {
        return failed(path);
    }
    say("WAITING");
    while (read(fd, &event, sizeof(event)) == sizeof(event)) {
        if (event.type == EV_KEY && event.code == KEY_POWER) {
            say(event.value != 0 ? "PRESSED" : "RELEASED");
            if (event.value == 0) {
                return 0;
            }
        }
    }
    return failed(path);
}

static int write_blocks(const char *path)
{
    static uint64_t block[BLOCK / sizeof(uint64_t)];
    int fd = open(path, O_RDWR);

    for (uint64_t number = 1; fd >= 0; number++) {
        for (unsigned i = 0; i < BLOCK / sizeof(uint64_t); i++) {
            block[i] = number;
        }
        if (pwrite(fd, block, BLOCK, (off_t)(number % BLOCKS * BLOCK)) != BLOCK ||
            fdatasync(fd) != 0) {
            return failed("block");
        }
        printf("durable %llu\n", (unsigned long long)number);
        fflush(stdout);
    }
    return failed(path);
}

static int zero(const char *path, const char *at, const char *size)
{
    uint64_t range[2] = {strtoull(at, NULL, 0), strtoull(size, NULL, 0)};
    int fd = open(path, O_RDWR);

    return fd < 0 || ioctl(fd, BLKZEROOUT, range) != 0 ? failed(path) : 0;
}

union address {
    struct sockaddr any;
    struct sockaddr_vm vm;
    struct sockaddr_un local;
    struct sockaddr_in ip;
};

/* Its length; 0: not understood. */
static socklen_t parse(const char *text, union address *ret_address)
{
    const char *port = strrchr(text, ':') + 1;
    char host[64] = "";

    memset(ret_address, 0, sizeof(*ret_address));
    if (strncmp(text, "unix:", 5) == 0) {
        ret_address->local.sun_family = AF_UNIX;
        strncpy(ret_address->local.sun_path, text + 5, sizeof(ret_address->local.sun_path) - 1);
        return sizeof(ret_address->local);
    }
    if (strncmp(text, "vsock:", 6) == 0) {
        ret_address->vm.svm_family = AF_VSOCK;
        ret_address->vm.svm_cid = (unsigned)strtoul(text + 6, NULL, 0);
        ret_address->vm.svm_port = (unsigned)strtoul(port, NULL, 0);
        return sizeof(ret_address->vm);
    }
    if (strncmp(text, "tcp:", 4) == 0 && port - text - 5 < (int)sizeof(host)) {
        memcpy(host, text + 4, (size_t)(port - text - 5));
        ret_address->ip.sin_family = AF_INET;
        ret_address->ip.sin_port = htons((uint16_t)strtoul(port, NULL, 0));
        return inet_aton(host, &ret_address->ip.sin_addr) ? sizeof(ret_address->ip) : 0;
    }
    return 0;
}

static int client_of(const char *text)
{
    union address address;
    socklen_t length = parse(text, &address);
    int fd = socket(address.any.sa_family, SOCK_STREAM, 0);

    return fd >= 0 && connect(fd, &address.any, length) == 0 ? fd : -1;
}

static int server_of(const char *text)
{
    const int on = 1;
    union address address;
    socklen_t length = parse(text, &address);
    int fd = socket(address.any.sa_family, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, &address.any, length) != 0 || listen(fd, 1) != 0) {
        return -1;
    }
    say("LISTENING");
    return accept(fd, NULL, NULL);
}

static int write_all(int fd, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = write(fd, (const uint8_t *)bytes + done, size - done);

        if (count <= 0) {
            return failed("write");
        }
        done += (size_t)count;
    }
    return 0;
}

static int echo(int fd)
{
    ssize_t size;

    while ((size = read(fd, data, sizeof(data))) > 0) {
        if (write_all(fd, data, (size_t)size) != 0) {
            return 1;
        }
    }
    return size < 0 ? failed("read") : 0;
}

/* As many lines come back as were sent. */
static int call(int fd, const char *text)
{
    size_t left = 1;
    ssize_t size;

    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        left++;
    }
    if (write_all(fd, text, strlen(text)) != 0 || write_all(fd, "\n", 1) != 0) {
        return 1;
    }
    while (left > 0 && (size = read(fd, data, sizeof(data))) > 0) {
        fwrite(data, 1, (size_t)size, stdout);
        for (ssize_t i = 0; i < size && left > 0; i++) {
            left -= data[i] == '\n';
        }
    }
    fflush(stdout);
    return left > 0 ? failed("read") : 0;
}

static int source(int fd, uint64_t total)
{
    for (uint64_t done = 0; done < total;) {
        size_t size = total - done < sizeof(data) ? (size_t)(total - done) : sizeof(data);

        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)((done + i) % PERIOD);
        }
        if (write_all(fd, data, size) != 0) {
            return 1;
        }
        done += size;
    }
    return shutdown(fd, SHUT_WR) != 0 || read(fd, data, 1) < 0 ? failed("shutdown") : 0;
}

static int sink(int fd)
{
    uint64_t done = 0;
    ssize_t size;

    while ((size = read(fd, data, sizeof(data))) > 0) {
        for (ssize_t i = 0; i < size; i++, done++) {
            if (data[i] != done % PERIOD) {
                printf("wrong byte at %llu\n", (unsigned long long)done);
                return 1;
            }
        }
    }
    printf("got %llu\n", (unsigned long long)done);
    return size < 0 ? failed("read") : 0;
}

static int with_socket(const char *verb, const char *address, const char *more)
{
    int serves = strcmp(verb, "echo") == 0 || strcmp(verb, "sink") == 0;
    int fd = serves ? server_of(address) : client_of(address);

    if (fd < 0) {
        return failed(address);
    }
    if (serves) {
        return verb[0] == 'e' ? echo(fd) : sink(fd);
    }
    return verb[0] == 'c' ? call(fd, more) : source(fd, strtoull(more, NULL, 0));
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "button") == 0) {
        return wait_for_button();
    }
    if (strcmp(verb, "key") == 0) {
        return wait_for_key();
    }
    if (strcmp(verb, "blocks") == 0 && argc == 3) {
        return write_blocks(argv[2]);
    }
    if (strcmp(verb, "zero") == 0 && argc == 5) {
        return zero(argv[2], argv[3], argv[4]);
    }
    if (((strcmp(verb, "echo") == 0 || strcmp(verb, "sink") == 0) && argc == 3) ||
        ((strcmp(verb, "call") == 0 || strcmp(verb, "source") == 0) && argc == 4)) {
        return with_socket(verb, argv[2], argv[3]);
    }
    fprintf(stderr, "guest: what is %s?\n", verb);
    return 2;
}
