/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL031. The count is not kept but computed: load + whole seconds since origin, modulo 2^32. The
 * alarm comes when the count reaches MR. A match that lies "in the past" comes after the count has
 * wrapped, as in hardware, so the deadline is (MR - count) mod 2^32 seconds ahead.
 */
#include "machine/pl031.h"
#include "bothy/bits.h"

#define NS_PER_SECOND 1000000000ull

#define RTC_DR 0x000u
#define RTC_MR 0x004u
#define RTC_LR 0x008u
#define RTC_CR 0x00cu
#define RTC_IMSC 0x010u
#define RTC_RIS 0x014u
#define RTC_MIS 0x018u
#define RTC_ICR 0x01cu
#define RTC_ID 0xfe0u

/* PeriphID0..3, PCellID0..3 (DDI 0224C 3.3.9, 3.3.10) */
static const uint8_t pl031_id[8] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

static uint64_t elapsed_ns(const struct pl031 *rtc)
{
    return rtc->ops->clock_ns(rtc->vm) - rtc->origin;
}

static uint32_t count_now(const struct pl031 *rtc)
{
    return rtc->load + (uint32_t)(elapsed_ns(rtc) / NS_PER_SECOND);
}

/* When MR is reached: at the next second whose count is MR, which may be this one's end. */
static uint64_t match_time(const struct pl031 *rtc)
{
    uint64_t second = elapsed_ns(rtc) / NS_PER_SECOND;
    uint32_t ahead = rtc->match - (rtc->load + (uint32_t)second);

    return rtc->origin + (second + ahead) * NS_PER_SECOND;
}

static void update_line(struct pl031 *rtc)
{
    bool level = (rtc->ris & rtc->imsc) != 0;

    if (level != rtc->line) {
        rtc->line = level;
        rtc->ops->irq_set(rtc->vm, rtc->spi, level);
    }
}

/* After MR or LR was written: an equal count matches at once. */
static void arm(struct pl031 *rtc)
{
    rtc->due = match_time(rtc);
    rtc->armed = true;
}

static void check(struct pl031 *rtc)
{
    if (rtc->armed && rtc->ops->clock_ns(rtc->vm) >= rtc->due) {
        rtc->armed = false;
        rtc->ris = 1;
    }
    update_line(rtc);
}

static uint32_t read_register(struct pl031 *rtc, uint32_t offset)
{
    switch (offset) {
    case RTC_DR:
        return count_now(rtc);
    case RTC_MR:
        return rtc->match;
    case RTC_LR:
        return rtc->load;
    case RTC_CR:
        return 1; /* RTCEN: runs always */
    case RTC_IMSC:
        return rtc->imsc;
    case RTC_RIS:
        return rtc->ris;
    case RTC_MIS:
        return rtc->ris & rtc->imsc;
    default:
        return offset >= RTC_ID && offset < 0x1000 ? pl031_id[(offset - RTC_ID) / 4] : 0;
    }
}

static void write_register(struct pl031 *rtc, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case RTC_MR:
        rtc->match = value;
        arm(rtc);
        break;
    case RTC_LR:
        rtc->load = value;
        rtc->origin = rtc->ops->clock_ns(rtc->vm);
        if (rtc->armed) {
            arm(rtc);
        }
        break;
    case RTC_IMSC:
        rtc->imsc = value & 1;
        break;
    case RTC_ICR:
        rtc->ris &= ~value;
        break;
    default: /* CR can't stop the clock; the others are read-only */
        break;
    }
}

void pl031_access(void *device, uint64_t offset, unsigned int size, bool write, uint64_t *value)
{
    struct pl031 *rtc = device;
    uint32_t shift = (uint32_t)(offset & 3) * 8;
    uint32_t reg = (uint32_t)offset & 0xffcu;

    (void)size;
    spin_lock(&rtc->lock);
    check(rtc);
    if (!write) {
        *value = read_register(rtc, reg) >> shift;
    } else if (shift == 0) {
        write_register(rtc, reg, (uint32_t)*value);
    }
    check(rtc);
    spin_unlock(&rtc->lock);
}

uint64_t pl031_deadline(struct pl031 *rtc)
{
    uint64_t when = PL031_NO_DEADLINE;

    spin_lock(&rtc->lock);
    if (rtc->armed && rtc->imsc != 0) {
        when = rtc->due;
    }
    spin_unlock(&rtc->lock);
    return when;
}

void pl031_poll(struct pl031 *rtc)
{
    spin_lock(&rtc->lock);
    check(rtc);
    spin_unlock(&rtc->lock);
}

void pl031_reset(struct pl031 *rtc)
{
    spin_lock(&rtc->lock);
    rtc->match = 0;
    rtc->imsc = 0;
    rtc->ris = 0;
    rtc->armed = false;
    update_line(rtc);
    spin_unlock(&rtc->lock);
}

void pl031_init(struct pl031 *rtc, const struct vm_ops *ops, void *vm, uint32_t spi,
                uint32_t seconds)
{
    *rtc = (struct pl031){.ops = ops, .vm = vm, .spi = spi};
    spin_init(&rtc->lock);
    rtc->load = seconds;
    rtc->origin = ops->clock_ns(vm);
}
