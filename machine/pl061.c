/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL061. Only inputs interrupt, as in hardware where a pin's direction decides who drives it; a
 * pin under hardware control (GPIOAFSEL) is an ordinary one here, since nothing else drives it.
 */
#include "machine/pl061.h"
#include "bothy/bits.h"

#define GPIO_DATA_END 0x400u /* GPIODATA: address bits 9:2 are a mask */
#define GPIO_DIR 0x400u
#define GPIO_IS 0x404u
#define GPIO_IBE 0x408u
#define GPIO_IEV 0x40cu
#define GPIO_IE 0x410u
#define GPIO_RIS 0x414u
#define GPIO_MIS 0x418u
#define GPIO_IC 0x41cu
#define GPIO_AFSEL 0x420u
#define GPIO_ID 0xfe0u

/* PeriphID0..3, PCellID0..3 (DDI 0190B 3.3.11, 3.3.12) */
static const uint8_t pl061_id[8] = {0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

static uint8_t levels(const struct pl061 *gpio)
{
    return (uint8_t)((gpio->data & gpio->dir) | (gpio->inputs & ~gpio->dir));
}

/* Pins that are sensed by level interrupt as long as the level lasts; edges are kept in `raw`. */
static void update(struct pl061 *gpio)
{
    uint8_t active = (uint8_t)~(levels(gpio) ^ gpio->event);
    uint8_t by_level = (uint8_t)(gpio->sense & ~gpio->dir);
    bool level;

    gpio->raw = (uint8_t)((gpio->raw & ~by_level) | (active & by_level));
    level = (gpio->raw & gpio->mask) != 0;
    if (level != gpio->line) {
        gpio->line = level;
        gpio->ops->irq_set(gpio->vm, gpio->spi, level);
    }
}

static uint32_t read_register(struct pl061 *gpio, uint32_t offset)
{
    if (offset < GPIO_DATA_END) {
        gpio->seen |= (uint8_t)(offset >> 2);
        return levels(gpio) & offset >> 2;
    }
    switch (offset) {
    case GPIO_DIR:
        return gpio->dir;
    case GPIO_IS:
        return gpio->sense;
    case GPIO_IBE:
        return gpio->both_edges;
    case GPIO_IEV:
        return gpio->event;
    case GPIO_IE:
        return gpio->mask;
    case GPIO_RIS:
        return gpio->raw;
    case GPIO_MIS:
        return gpio->raw & gpio->mask;
    case GPIO_AFSEL:
        return gpio->mode;
    default:
        return offset >= GPIO_ID && offset < 0x1000 ? pl061_id[(offset - GPIO_ID) / 4] : 0;
    }
}

static void write_register(struct pl061 *gpio, uint32_t offset, uint8_t value)
{
    if (offset < GPIO_DATA_END) {
        uint8_t pins = (uint8_t)(offset >> 2);

        gpio->data = (uint8_t)((gpio->data & ~pins) | (value & pins));
        return;
    }
    switch (offset) {
    case GPIO_DIR:
        gpio->dir = value;
        break;
    case GPIO_IS:
        gpio->sense = value;
        break;
    case GPIO_IBE:
        gpio->both_edges = value;
        break;
    case GPIO_IEV:
        gpio->event = value;
        break;
    case GPIO_IE:
        gpio->mask = value;
        break;
    case GPIO_IC:
        gpio->raw = (uint8_t)(gpio->raw & ~value);
        break;
    case GPIO_AFSEL:
        gpio->mode = value;
        break;
    default: /* read-only or not there */
        break;
    }
}

void pl061_access(void *device, uint64_t offset, unsigned int size, bool write, uint64_t *value)
{
    struct pl061 *gpio = device;
    uint32_t shift = (uint32_t)(offset & 3) * 8;
    uint32_t reg = (uint32_t)offset & 0xffcu;

    (void)size;
    spin_lock(&gpio->lock);
    if (!write) {
        *value = read_register(gpio, reg) >> shift;
    } else if (shift == 0) {
        write_register(gpio, reg, (uint8_t)*value);
    }
    update(gpio);
    spin_unlock(&gpio->lock);
}

void pl061_set_input(struct pl061 *gpio, unsigned int pin, bool level)
{
    uint8_t bit = (uint8_t)BIT(pin & 7);
    uint8_t before;

    spin_lock(&gpio->lock);
    before = gpio->inputs;
    gpio->inputs = (uint8_t)(level ? before | bit : before & ~bit);
    gpio->seen &= (uint8_t)~(gpio->inputs ^ before);
    if (gpio->inputs != before && (bit & (gpio->dir | gpio->sense)) == 0 &&
        ((gpio->both_edges & bit) != 0 || ((gpio->event & bit) != 0) == level)) {
        gpio->raw |= bit;
    }
    update(gpio);
    spin_unlock(&gpio->lock);
}

bool pl061_input_seen(struct pl061 *gpio, unsigned int pin)
{
    bool seen;

    spin_lock(&gpio->lock);
    seen = (gpio->seen & BIT(pin & 7)) != 0;
    spin_unlock(&gpio->lock);
    return seen;
}

void pl061_reset(struct pl061 *gpio)
{
    spin_lock(&gpio->lock);
    gpio->data = gpio->dir = gpio->sense = gpio->both_edges = 0;
    gpio->event = gpio->mask = gpio->raw = gpio->mode = gpio->seen = 0;
    update(gpio);
    spin_unlock(&gpio->lock);
}

void pl061_init(struct pl061 *gpio, const struct vm_ops *ops, void *vm, uint32_t spi)
{
    *gpio = (struct pl061){.ops = ops, .vm = vm, .spi = spi};
    spin_init(&gpio->lock);
}
