/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console. Output: guests' threads append to one ring for each port under a lock; the main
 * thread writes it to all readers, each of which has its own position. So a byte costs the guest
 * no system call, but for the first of a burst: that one wakes the main thread, which then waits
 * for a line to end, or 2 ms.
 *
 * Input is the main thread's alone: what a device has no room for waits in `pending`, and its
 * source isn't read until there is. The lock is never held while a device is called, because
 * devices call console_output() with their own lock held.
 */
#include "vmm/vm/console.h"
#include "bothy/bits.h"
#include "bothy/spinlock.h"
#include "vmm/base/log.h"
#include "vmm/vm/console_keys.h"
#include "vmm/vm/vm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_SIZE 16384u /* a power of 2 */
#define READERS_MAX 5u   /* the process' own output, and four who are attached */
#define PENDING_MAX 256u
#define BURST_NS 2000000u
#define BURST_BYTES 512u

static const char help_text[] = "\r\nCtrl-A x leave  Ctrl-A c switch between serial port and "
                                "virtio console  Ctrl-A b break  Ctrl-A Ctrl-A send Ctrl-A\r\n";

struct port {
    struct console_sink sink;
    uint64_t head; /* bytes ever written by the guest */
    uint8_t pending[PENDING_MAX];
    size_t nr_pending;
    uint8_t *ring; /* RING_SIZE bytes, made with the first output */
};

struct reader {
    struct loop_source source; /* of its input; fd -1 when there is none */
    struct console *console;
    bool used;
    bool attached; /* by the console socket */
    bool escaped;
    bool stuck; /* waits for EPOLLOUT */
    bool reading;
    enum console_port port; /* to which it types and listens */
    int output_fd;
    uint64_t tail;
};

struct console {
    struct vm *vm;
    struct loop *loop;
    struct spinlock lock; /* rings, heads, `announced` */
    bool announced;       /* the main thread knows that there is output */
    struct port ports[CONSOLE_PORTS];
    struct reader readers[READERS_MAX];
    struct loop_source listener;
    struct loop_work output_work;
    struct loop_work room_work;
    struct loop_timer burst_timer;
    int output_file;
};

static void read_input(struct loop_source *source, uint32_t events);

/* ---- output ---- */

void console_output(struct console *console, enum console_port at, const uint8_t *bytes,
                    size_t count)
{
    struct port *port = &console->ports[at];
    bool announce;

    spin_lock(&console->lock);
    if (port->ring == NULL) {
        port->ring = malloc(RING_SIZE);
    }
    for (size_t i = 0; i < count && port->ring != NULL; i++) {
        port->ring[port->head++ & (RING_SIZE - 1)] = bytes[i];
    }
    announce = !console->announced;
    console->announced = true;
    spin_unlock(&console->lock);
    if (announce) {
        loop_post(console->loop, &console->output_work);
    }
}

/* Copies what a reader hasn't seen, at most size bytes; what was overwritten in the meantime is
 * lost, and said. */
static size_t take_output(struct console *console, struct reader *reader, uint8_t *to, size_t size)
{
    struct port *port = &console->ports[reader->port];
    uint64_t lost = 0;
    size_t count = 0;

    spin_lock(&console->lock);
    if (port->head - reader->tail > RING_SIZE) {
        lost = port->head - reader->tail - RING_SIZE;
        reader->tail = port->head - RING_SIZE;
        count = (size_t)snprintf((char *)to, size, "\r\n[%llu bytes of output lost]\r\n",
                                 (unsigned long long)lost);
    }
    while (count < size && reader->tail != port->head) {
        to[count++] = port->ring[reader->tail++ & (RING_SIZE - 1)];
    }
    spin_unlock(&console->lock);
    return count;
}

static void close_reader(struct reader *reader)
{
    loop_remove(reader->console->loop, &reader->source);
    if (reader->attached && reader->source.fd >= 0) {
        close(reader->source.fd);
    }
    reader->source.fd = -1;
    if (reader->attached) {
        reader->output_fd = -1;
        reader->used = false;
    }
}

/* With nothing to wait for it leaves the loop, which would tell of the other end's closing again
 * and again. */
static void update_events(struct reader *reader)
{
    struct loop *loop = reader->console->loop;
    struct loop_source *source = &reader->source;
    uint32_t events = (reader->reading ? (uint32_t)EPOLLIN : 0) |
                      (reader->stuck && reader->attached ? (uint32_t)EPOLLOUT : 0);

    if (source->fd < 0 || events == source->events) {
        return;
    }
    if (events == 0) {
        loop_remove(loop, source);
    } else if (source->events != 0) {
        loop_change(loop, source, events);
    }
    if (source->events == 0) {
        source->events = events;
        loop_add(loop, source);
    }
    source->events = events;
}

/* Writes as much as the reader takes now. The process' own output may block for the length of one
 * write; an attached reader never does. */
static void write_output(struct reader *reader)
{
    uint8_t bytes[1024];
    size_t count;

    reader->stuck = false;
    while (reader->output_fd >= 0 &&
           (count = take_output(reader->console, reader, bytes, sizeof(bytes))) > 0) {
        ssize_t done = reader->attached
                           ? send(reader->output_fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT)
                           : write(reader->output_fd, bytes, count);

        if (done < 0 && errno != EAGAIN && errno != EINTR) {
            reader->output_fd = reader->attached ? reader->output_fd : -1;
            if (reader->attached) {
                close_reader(reader);
            }
            return;
        }
        done = done < 0 ? 0 : done;
        if ((size_t)done < count) {
            reader->tail -= count - (size_t)done;
            reader->stuck = true;
            break;
        }
    }
    update_events(reader);
}

void console_flush(struct console *console)
{
    spin_lock(&console->lock);
    console->announced = false;
    spin_unlock(&console->lock);
    loop_timer_set(console->loop, &console->burst_timer, LOOP_TIMER_OFF);
    for (uint32_t i = 0; i < READERS_MAX; i++) {
        if (console->readers[i].used) {
            write_output(&console->readers[i]);
        }
    }
}

/* Whether there is enough to write now rather than with what follows. */
static bool is_worth_writing(struct console *console)
{
    bool worth = false;

    spin_lock(&console->lock);
    for (uint32_t i = 0; i < READERS_MAX && !worth; i++) {
        struct reader *reader = &console->readers[i];
        struct port *port = &console->ports[reader->port];

        worth = reader->used && reader->tail != port->head &&
                (port->head - reader->tail >= BURST_BYTES ||
                 port->ring[(port->head - 1) & (RING_SIZE - 1)] == '\n');
    }
    spin_unlock(&console->lock);
    return worth;
}

static void output_announced(struct loop_work *work)
{
    struct console *console = CONTAINER_OF(work, struct console, output_work);

    if (is_worth_writing(console)) {
        console_flush(console);
    } else {
        loop_timer_set(console->loop, &console->burst_timer, loop_now_ns() + BURST_NS);
    }
}

static void burst_over(struct loop_timer *timer)
{
    console_flush(CONTAINER_OF(timer, struct console, burst_timer));
}

/* ---- input ---- */

static void tell(struct reader *reader, const char *text)
{
    ssize_t done = reader->attached ? send(reader->output_fd, text, strlen(text),
                                           MSG_NOSIGNAL | MSG_DONTWAIT)
                                    : write(STDERR_FILENO, text, strlen(text));

    (void)done; /* help that nobody can read is no loss */
}

static void offer_pending(struct port *port)
{
    size_t taken;

    if (port->sink.input == NULL) {
        port->nr_pending = 0; /* nobody will ever take it */
        return;
    }
    taken = port->sink.input(port->sink.device, port->pending, port->nr_pending);
    port->nr_pending -= taken;
    memmove(port->pending, port->pending + taken, port->nr_pending);
}

static void switch_port(struct reader *reader)
{
    struct console *console = reader->console;
    enum console_port other = reader->port == CONSOLE_SERIAL ? CONSOLE_VIRTIO : CONSOLE_SERIAL;

    if (console->ports[other].sink.input == NULL) {
        tell(reader, "\r\n[there is no virtio console: start the VM with --console virtio]\r\n");
        return;
    }
    reader->port = other;
    spin_lock(&console->lock);
    reader->tail = console->ports[other].head;
    spin_unlock(&console->lock);
    tell(reader, other == CONSOLE_VIRTIO ? "\r\n[virtio console]\r\n" : "\r\n[serial port]\r\n");
}

/* False if the reader is gone. */
static bool obey(struct reader *reader, enum console_key key)
{
    struct console_sink *sink = &reader->console->ports[reader->port].sink;

    switch (key) {
    case CONSOLE_KEY_LEAVE:
        if (reader->attached) {
            close_reader(reader);
        } else {
            vm_end(reader->console->vm, EXIT_CODE_OK, "ended from the console");
        }
        return false;
    case CONSOLE_KEY_SWITCH:
        switch_port(reader);
        break;
    case CONSOLE_KEY_BREAK:
        if (sink->break_condition != NULL) {
            sink->break_condition(sink->device);
        }
        break;
    case CONSOLE_KEY_HELP:
        tell(reader, help_text);
        break;
    default:
        break;
    }
    return true;
}

static void take_input(struct reader *reader, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum console_key key = console_key_classify(&reader->escaped, bytes[i]);
        struct port *port = &reader->console->ports[reader->port];

        if (key == CONSOLE_KEY_DATA && port->nr_pending < PENDING_MAX) {
            port->pending[port->nr_pending++] = bytes[i];
        } else if (key != CONSOLE_KEY_DATA && !obey(reader, key)) {
            return;
        }
    }
    for (uint32_t i = 0; i < CONSOLE_PORTS; i++) {
        offer_pending(&reader->console->ports[i]);
    }
}

/* Reads no more than there is surely room for. */
static void read_input(struct loop_source *source, uint32_t events)
{
    struct reader *reader = CONTAINER_OF(source, struct reader, source);
    uint8_t bytes[PENDING_MAX];
    size_t room = PENDING_MAX - reader->console->ports[reader->port].nr_pending;
    ssize_t count;

    if ((events & EPOLLOUT) != 0) {
        write_output(reader);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || source->fd < 0) {
        return;
    }
    if (room == 0) { /* another reader has filled it */
        reader->reading = false;
        update_events(reader);
        return;
    }
    count = read(source->fd, bytes, room);
    if (count > 0) {
        take_input(reader, bytes, (size_t)count);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_reader(reader);
    }
    if (reader->used) {
        reader->reading = reader->console->ports[reader->port].nr_pending < PENDING_MAX;
        update_events(reader);
    }
}

static void room_again(struct loop_work *work)
{
    struct console *console = CONTAINER_OF(work, struct console, room_work);

    for (uint32_t i = 0; i < CONSOLE_PORTS; i++) {
        offer_pending(&console->ports[i]);
    }
    for (uint32_t i = 0; i < READERS_MAX; i++) {
        struct reader *reader = &console->readers[i];

        if (reader->used) {
            reader->reading = console->ports[reader->port].nr_pending < PENDING_MAX;
            update_events(reader);
        }
    }
}

void console_input_room(struct console *console, enum console_port port)
{
    (void)port;
    loop_post(console->loop, &console->room_work);
}

/* ---- who reads and types ---- */

static struct reader *add_reader(struct console *console, int input_fd, int output_fd,
                                 bool attached)
{
    struct reader *reader = console->readers;

    while (reader < console->readers + READERS_MAX && reader->used) {
        reader++;
    }
    if (reader == console->readers + READERS_MAX) {
        return NULL;
    }
    *reader = (struct reader){.source = {input_fd, EPOLLIN, read_input},
                              .console = console,
                              .used = true,
                              .attached = attached,
                              .reading = true,
                              .port = CONSOLE_SERIAL,
                              .output_fd = output_fd};
    /* A file as input, or /dev/null, can't be waited for: then nobody types. */
    if (input_fd >= 0 && !loop_add(console->loop, &reader->source)) {
        reader->source.fd = -1;
    }
    return reader;
}

static void accept_reader(struct loop_source *source, uint32_t events)
{
    struct console *console = CONTAINER_OF(source, struct console, listener);
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct reader *reader;
    struct port *port;

    (void)events;
    if (fd < 0) {
        return;
    }
    reader = add_reader(console, fd, fd, true);
    if (reader == NULL || reader->source.fd < 0) {
        static const char full[] = "bothy: four are attached to this console already\r\n";

        if (send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            log_debug("console: %s", strerror(errno));
        }
        if (reader != NULL) {
            reader->used = false;
        }
        close(fd);
        return;
    }
    port = &console->ports[CONSOLE_SERIAL];
    spin_lock(&console->lock);
    reader->tail = port->head > RING_SIZE ? port->head - RING_SIZE : 0;
    spin_unlock(&console->lock);
    write_output(reader);
}

static bool open_output(struct console *console, const struct config_serial *config,
                        struct error *error)
{
    switch (config->kind) {
    case CONFIG_SERIAL_STDIO:
        add_reader(console, STDIN_FILENO, STDOUT_FILENO, false);
        return true;
    case CONFIG_SERIAL_FILE:
        console->output_file =
            open(config->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
        if (console->output_file < 0) {
            return error_set_errno(error, EXIT_CODE_INPUT, errno,
                                   "serial output file '%s': can't be opened for writing",
                                   config->path);
        }
        add_reader(console, -1, console->output_file, false);
        return true;
    default:
        return true;
    }
}

struct console *console_create(struct vm *vm, struct loop *loop, const struct config_serial *config,
                               int listen_fd, struct error *error)
{
    struct console *console = calloc(1, sizeof(*console));

    if (console == NULL) {
        error_set(error, EXIT_CODE_HOST, "console: no memory");
        return NULL;
    }
    console->vm = vm;
    console->loop = loop;
    spin_init(&console->lock);
    console->output_work.run = output_announced;
    console->room_work.run = room_again;
    console->burst_timer = (struct loop_timer){.deadline_ns = LOOP_TIMER_OFF, .fire = burst_over};
    console->listener = (struct loop_source){listen_fd, EPOLLIN, accept_reader};
    console->output_file = -1;
    if (!open_output(console, config, error) ||
        (listen_fd >= 0 && !loop_add(loop, &console->listener) &&
         !error_set_errno(error, EXIT_CODE_HOST, errno, "console socket: can't be waited for"))) {
        console->listener.fd = -1; /* still the caller's */
        console_destroy(console);
        return NULL;
    }
    return console;
}

int console_give_back_socket(struct console *console)
{
    int fd = console->listener.fd;

    loop_remove(console->loop, &console->listener);
    console->listener.fd = -1;
    return fd;
}

void console_attach(struct console *console, enum console_port port,
                    const struct console_sink *sink)
{
    console->ports[port].sink = *sink;
    offer_pending(&console->ports[port]);
}

void console_destroy(struct console *console)
{
    if (console == NULL) {
        return;
    }
    console_flush(console);
    loop_timer_remove(console->loop, &console->burst_timer);
    loop_cancel(console->loop, &console->output_work);
    loop_cancel(console->loop, &console->room_work);
    for (uint32_t i = 0; i < READERS_MAX; i++) {
        if (console->readers[i].used) {
            close_reader(&console->readers[i]);
        }
    }
    loop_remove(console->loop, &console->listener);
    if (console->listener.fd >= 0) {
        close(console->listener.fd);
    }
    if (console->output_file >= 0) {
        close(console->output_file);
    }
    for (uint32_t i = 0; i < CONSOLE_PORTS; i++) {
        free(console->ports[i].ring);
    }
    free(console);
}
