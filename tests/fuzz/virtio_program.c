/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's interpreter. The first byte says how the device lies in the machine, and whether it
 * runs already. An operation is one byte, operands follow; what is missing at the end reads as
 * zero.
 */
#include "virtio_program.h"
#include "support/vring_driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 2000u
#define CHAIN_MAX 8u
#define HEADER_MAX 256u

struct input {
    const uint8_t *at, *end;
};

struct state {
    const struct virtio_program *program;
    struct vring_driver *driver;
    struct virtio_mmio *late; /* with late acknowledgements: of whom */
    uint32_t late_bits;
    uint64_t rings_end; /* guest memory that is used up by rings */
};

static void require(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "virtio_program: %s\n", what);
        abort();
    }
}

static uint8_t take8(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static uint16_t take16(struct input *input)
{
    uint16_t low = take8(input);

    return (uint16_t)(low | take8(input) << 8);
}

static uint32_t take32(struct input *input)
{
    uint32_t low = take16(input);

    return low | (uint32_t)take16(input) << 16;
}

/* ---- The place: acknowledgements come late if the input says so ---- */

static struct state *current; /* the place's ops only get the driver */

static void flush_acks(void *place)
{
    (void)place;
    if (current->late != NULL) {
        virtio_mmio_ack(current->late, current->late_bits);
        current->late = NULL;
    }
}

static void running(void *place, struct virtio_device *device, bool is_running)
{
    (void)place;
    require(spin_is_locked(&device->lock), "told of a start or stop without the lock");
    require(is_running == virtio_device_is_running(device), "told the wrong way round");
}

static void pulse(void *place, uint32_t spi)
{
    struct vring_driver *driver = place;

    require(spi == VRING_SPI, "another device's interrupt");
    driver->interrupts++;
}

static const struct virtio_mmio_place prompt_place = {.pulse = pulse, .running = running};
static const struct virtio_mmio_place late_place = {
    .pulse = pulse, .running = running, .flush_acks = flush_acks};

/* ---- Invariants ---- */

static void check_mirror(struct vring_driver *driver)
{
    for (uint32_t offset = 0; offset < VIRTIO_MMIO_SIZE; offset += 4) {
        uint32_t word;

        memcpy(&word, driver->mirror + offset, 4);
        require(vring_read(driver, offset) == word, "the mirror differs from the registers");
    }
}

static void check_queue(const struct virtio_device *device, const struct virtqueue *queue)
{
    uint32_t flying;

    if (!queue->running) {
        return;
    }
    require((virtio_device_is_running(device) || device->resetting) && queue->enabled,
            "a queue runs without its device");
    require(queue->ring_size != 0 && queue->ring_size <= queue->size_max, "a ring's size");
    flying = (uint16_t)(queue->next_avail - queue->next_used);
    if (queue->packed) {
        flying = (queue->avail_wrap != queue->used_wrap ? queue->ring_size : 0u) +
                 queue->next_avail - queue->next_used;
        require(queue->next_avail < queue->ring_size && queue->next_used < queue->ring_size,
                "a place outside of the ring");
    }
    require(flying <= queue->ring_size, "more chains are out than the ring has");
}

static void check(struct state *state)
{
    const struct virtio_program *program = state->program;
    const struct virtio_device *device = program->device;
    uint64_t most = program->work_max != 0 ? program->work_max : 100000;

    require(!spin_is_locked(&device->lock), "the lock is still held");
    require(state->driver->memory_calls <= most, "too much work for one step");
    state->driver->memory_calls = 0;
    require(!(device->status & VIRTIO_STATUS_DRIVER_OK) ||
                (device->status & VIRTIO_STATUS_FEATURES_OK),
            "DRIVER_OK without FEATURES_OK");
    require(!(device->status & VIRTIO_STATUS_FEATURES_OK) ||
                (device->features & ~device->features_offered) == 0,
            "features that were not offered");
    for (uint16_t i = 0; i < device->nr_queues; i++) {
        check_queue(device, &device->queues[i]);
    }
    if (state->driver->mirror != NULL) {
        check_mirror(state->driver);
    }
    if (program->check != NULL) {
        program->check(program->context);
    }
}

/* ---- Operations ---- */

static struct vring_queue *take_queue(struct state *state, struct input *input, uint16_t *ret_index)
{
    *ret_index = take8(input) % state->program->device->nr_queues;
    return &state->driver->queues[*ret_index];
}

/* Guest memory of this size; from the beginning again when it is used up. */
static uint64_t allocate(struct state *state, uint32_t size)
{
    struct vring_driver *driver = state->driver;

    if (driver->ram_used + size + 16 > driver->ram_size) {
        driver->ram_used = state->rings_end;
    }
    return vring_alloc(driver, size);
}

/* An address: in RAM mostly, at its edges, or anywhere. */
static uint64_t take_address(struct state *state, struct input *input)
{
    uint8_t kind = take8(input);
    uint64_t offset = take32(input);

    switch (kind & 7) {
    case 0:
        return offset << 32 | offset;
    case 1:
        return VRING_RAM_BASE + state->driver->ram_size - (offset & 0x1ff);
    case 2:
        return VRING_RAM_BASE - (offset & 0x1ff);
    default:
        return VRING_RAM_BASE + offset % state->driver->ram_size;
    }
}

static uint32_t take_size(struct input *input)
{
    uint32_t kind = take8(input);

    return (kind & 7) == 0 ? take32(input) : (kind & 7) == 1 ? 0 : (kind >> 3) * (1u << (kind & 7));
}

static void op_start(struct state *state, struct input *input)
{
    uint8_t choice = take8(input);
    uint64_t features = UINT64_MAX;

    features &= choice & 1 ? UINT64_MAX : ~VIRTIO_F_RING_PACKED;
    features &= choice & 2 ? UINT64_MAX : ~VIRTIO_F_EVENT_IDX;
    features &= choice & 4 ? UINT64_MAX : ~VIRTIO_F_INDIRECT_DESC;
    features &= choice & 8 ? UINT64_MAX : 0xffffffffff000000ull | take32(input);
    vring_driver_start(state->driver, features, (uint16_t)(1u << (choice >> 5)));
    state->rings_end = state->driver->ram_used;
}

static void op_register(struct state *state, struct input *input)
{
    uint32_t offset = (take8(input) & 0x3fu) * 4;
    uint32_t value = take8(input);

    if (value >= 0x80) { /* an interesting large one */
        value = value == 0x80 ? take32(input) : (uint32_t)VRING_RAM_BASE + (value - 0x81) * 64;
    }
    if (offset == VRING_INTERRUPT_ACK && state->driver->mmio.place_ops == &late_place) {
        flush_acks(NULL);
        state->late = &state->driver->mmio;
        state->late_bits = value;
    } else {
        vring_write(state->driver, offset, value);
    }
}

static void op_access(struct state *state, struct input *input)
{
    uint8_t how = take8(input);
    uint32_t size = 1u << (how & 3);
    uint64_t offset = take16(input) % (VIRTIO_MMIO_SIZE - size + 1);
    uint64_t value = take32(input);

    if (how & 0x10) {
        offset = VRING_CONFIG + offset % 64;
    }
    virtio_mmio_access(&state->driver->mmio, offset, size, how & 0x80, &value);
}

static void op_memory(struct state *state, struct input *input)
{
    uint32_t size = take8(input) & 0x3f;
    uint64_t at = take32(input) % state->driver->ram_size;

    for (uint32_t i = 0; i < size && at + i < state->driver->ram_size; i++) {
        state->driver->ram[at + i] = take8(input);
    }
}

/* A descriptor of a ring, or of a table that a ring may refer to, field by field. */
static void op_descriptor(struct state *state, struct input *input)
{
    uint16_t index;
    struct vring_queue *queue = take_queue(state, input, &index);
    uint8_t place = take8(input);
    uint64_t address = take_address(state, input);
    uint32_t size = take_size(input);
    uint16_t words[2] = {take16(input), take16(input)};
    uint64_t at = place & 0x80 || queue->size == 0
                      ? VRING_RAM_BASE + state->driver->ram_size / 2 + (place & 0x7fu) * 16
                      : queue->descriptors + place % queue->size * 16u;
    uint8_t *to = vring_at(state->driver, at);

    memcpy(to, &address, 8);
    memcpy(to + 8, &size, 4);
    memcpy(to + 12, words, 4);
}

/* What the driver's area of a ring says: split: index, an entry; packed: a descriptor's flags. */
static void op_offer(struct state *state, struct input *input)
{
    uint16_t index;
    struct vring_queue *queue = take_queue(state, input, &index);
    uint8_t at = take8(input);
    uint16_t value = take16(input);
    uint16_t *words;

    if (queue->size == 0) {
        return;
    }
    if (state->driver->features & VIRTIO_F_RING_PACKED) {
        words = vring_at(state->driver, queue->descriptors);
        words[at % queue->size * 8u + 7] = value;
        return;
    }
    words = vring_at(state->driver, queue->driver);
    words[2 + at % queue->size] = value & 0xff;
    words[1] = (uint16_t)(words[1] + (value >> 12));
}

/* A good request: a header, some more to read, some to write. */
static void op_request(struct state *state, struct input *input)
{
    const struct virtio_program *program = state->program;
    struct vring_buffer buffers[CHAIN_MAX];
    uint8_t header[HEADER_MAX] = {0};
    uint16_t index;
    uint32_t count = 0;
    uint32_t size;
    uint8_t shape;

    take_queue(state, input, &index);
    shape = take8(input);
    size = take8(input) % 64;
    size = size < (size_t)(input->end - input->at) ? size : (uint32_t)(input->end - input->at);
    if (program->header != NULL) {
        uint32_t used =
            program->header(program->context, index, input->at, size, header, sizeof(header));
        input->at += size;
        size = used;
    } else {
        for (uint32_t i = 0; i < size; i++) {
            header[i] = take8(input);
        }
    }
    if (size != 0) {
        buffers[count++] = (struct vring_buffer){allocate(state, size), size, false};
        memcpy(vring_at(state->driver, buffers[0].ipa), header, size);
    }
    for (uint32_t i = 0; i < (shape & 3u); i++) {
        uint32_t bytes = take16(input) % 5000;

        buffers[count++] = (struct vring_buffer){allocate(state, bytes), bytes, false};
    }
    for (uint32_t i = 0; i < ((shape >> 2) & 3u) || count == 0; i++) {
        uint32_t bytes = take16(input) % 5000;

        buffers[count++] = (struct vring_buffer){allocate(state, bytes), bytes, true};
    }
    vring_add(state->driver, index, buffers, count,
              (shape & 0x10) && (state->driver->features & VIRTIO_F_INDIRECT_DESC) &&
                  state->driver->ram_used + 512 < state->driver->ram_size);
    if ((shape & 0x20) && state->driver->queues[index].size != 0) {
        vring_kick(state->driver, index);
    }
}

static void op_collect(struct state *state, struct input *input)
{
    struct vring_used used;
    uint16_t index;

    take_queue(state, input, &index);
    for (unsigned int i = 0; i < 300 && vring_collect(state->driver, index, &used); i++) {
        /* a wrong ring may give them back for ever */
    }
}

static void op_step(struct state *state, struct input *input)
{
    uint8_t argument = take8(input);
    size_t size = take8(input);

    size = size < (size_t)(input->end - input->at) ? size : (size_t)(input->end - input->at);
    if (state->program->step != NULL) {
        state->program->step(state->program->context, argument, input->at, size);
    }
    input->at += size;
}

static void op_interrupts(struct state *state, struct input *input)
{
    uint16_t index;
    struct vring_queue *queue = take_queue(state, input, &index);

    if (queue->size != 0) {
        vring_set_interrupts(state->driver, index, take8(input) & 1);
    }
    vring_read(state->driver, VRING_INTERRUPT_STATUS);
}

static void execute(struct state *state, struct input *input)
{
    struct vring_driver *driver = state->driver;

    switch (take8(input) % 16) {
    case 0:
    case 1:
        op_start(state, input);
        break;
    case 2:
        op_register(state, input);
        break;
    case 3:
        op_access(state, input);
        break;
    case 4:
        op_memory(state, input);
        break;
    case 5:
    case 6:
        op_descriptor(state, input);
        break;
    case 7:
        op_offer(state, input);
        break;
    case 8:
    case 9:
        vring_write(driver, VRING_QUEUE_NOTIFY, take8(input));
        break;
    case 10:
    case 11:
        op_request(state, input);
        break;
    case 12:
        op_collect(state, input);
        break;
    case 13:
        op_step(state, input);
        break;
    case 14:
        op_interrupts(state, input);
        break;
    default:
        if (take8(input) < 16) {
            virtio_mmio_power_on(&driver->mmio);
        } else {
            flush_acks(NULL);
        }
        break;
    }
}

/* So that short programs get to what matters: a device that runs, with buffers to fill. */
static void begin_running(struct state *state, uint8_t place)
{
    struct vring_driver *driver = state->driver;

    vring_driver_start(driver, place & 0x10 ? UINT64_MAX : ~VIRTIO_F_RING_PACKED, 64);
    for (unsigned int i = 0; i < 16 && (place & 0x20); i++) {
        struct vring_buffer buffer = {allocate(state, 1024), 1024, true};

        vring_add(driver, 0, &buffer, 1, false);
    }
    state->rings_end = driver->ram_used;
    vring_write(driver, VRING_QUEUE_NOTIFY, 0);
}

int virtio_program_run(const struct virtio_program *program, const uint8_t *data, size_t size)
{
    struct input input = {data, data + size};
    struct state state = {.program = program};
    uint8_t place = take8(&input);

    current = &state;
    state.driver = vring_driver_create_at(program->device,
                                          program->ram_size != 0 ? program->ram_size : 256 << 10,
                                          place & 1 ? &late_place : &prompt_place, place & 2);
    if (place & 0x08) {
        begin_running(&state, place);
        check(&state);
    }
    for (unsigned int i = 0; i < STEPS_MAX && input.at < input.end; i++) {
        execute(&state, &input);
        check(&state);
    }
    vring_driver_reset(state.driver);
    vring_driver_destroy(state.driver);
    current = NULL;
    return 0;
}
