/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic timer: both timers' registers, their interrupts and wake-ups, their lines in the GIC,
 * counters that agree on all CPUs. Boot arguments: wakes=N (default 50).
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_timer";

static volatile uint32_t fired_virt, fired_phys;
static volatile uint64_t fired_at;

struct timer {
    const char *name;
    uint32_t intid;
    uint64_t (*now)(void);
    void (*set)(uint64_t ctl, uint64_t cval);
    uint64_t (*ctl)(void);
    void (*set_tval)(uint64_t ctl, uint64_t tval);
    uint64_t (*tval)(void);
    uint64_t (*cval)(void);
    volatile uint32_t *fired;
};

static void virt_set(uint64_t ctl, uint64_t cval)
{
    write_sysreg(cval, cntv_cval_el0);
    write_sysreg(ctl, cntv_ctl_el0);
    isb();
}

static uint64_t virt_ctl(void)
{
    isb();
    return read_sysreg(cntv_ctl_el0);
}

static void virt_set_tval(uint64_t ctl, uint64_t tval)
{
    write_sysreg(tval, cntv_tval_el0);
    write_sysreg(ctl, cntv_ctl_el0);
    isb();
}

static uint64_t virt_tval(void)
{
    return read_sysreg(cntv_tval_el0);
}

static uint64_t virt_cval(void)
{
    return read_sysreg(cntv_cval_el0);
}

static void phys_set(uint64_t ctl, uint64_t cval)
{
    write_sysreg(cval, cntp_cval_el0);
    write_sysreg(ctl, cntp_ctl_el0);
    isb();
}

static uint64_t phys_ctl(void)
{
    isb();
    return read_sysreg(cntp_ctl_el0);
}

static void phys_set_tval(uint64_t ctl, uint64_t tval)
{
    write_sysreg(tval, cntp_tval_el0);
    write_sysreg(ctl, cntp_ctl_el0);
    isb();
}

static uint64_t phys_tval(void)
{
    return read_sysreg(cntp_tval_el0);
}

static uint64_t phys_cval(void)
{
    return read_sysreg(cntp_cval_el0);
}

static const struct timer timers[] = {
    {"virtual", PPI_VTIMER, counter_virt, virt_set, virt_ctl, virt_set_tval, virt_tval, virt_cval,
     &fired_virt},
    {"physical", PPI_PTIMER, counter_phys, phys_set, phys_ctl, phys_set_tval, phys_tval, phys_cval,
     &fired_phys},
};

static void on_virt(uint32_t intid)
{
    (void)intid;
    fired_at = counter_virt();
    virt_set(0, UINT64_MAX);
    fired_virt = fired_virt + 1;
}

static void on_phys(uint32_t intid)
{
    (void)intid;
    fired_at = counter_phys();
    phys_set(0, UINT64_MAX);
    fired_phys = fired_phys + 1;
}

static void test_registers(const struct timer *timer)
{
    uint64_t now;
    uint64_t tval;

    timer->set(0, UINT64_C(0x123456789abcde));
    tap_equal(timer->cval(), UINT64_C(0x123456789abcde), "%s: CVAL is kept", timer->name);
    tap_equal(timer->ctl() & 3, 0, "%s: CTL is kept", timer->name);
    now = timer->now();
    timer->set(TIMER_ENABLE | TIMER_IMASK, now + timer_frequency() * 100);
    tap_equal(timer->ctl(), TIMER_ENABLE | TIMER_IMASK, "%s: not due, ISTATUS is 0", timer->name);
    tval = timer->tval();
    tap_ok(tval <= timer_frequency() * 100 && tval > timer_frequency() * 50 / 100,
           "%s: TVAL counts down to CVAL", timer->name);
    timer->set(TIMER_ENABLE | TIMER_IMASK, timer->now());
    tap_equal(timer->ctl(), TIMER_ENABLE | TIMER_IMASK | TIMER_ISTATUS,
              "%s: due, ISTATUS is 1 though masked", timer->name);
    tap_ok((int32_t)timer->tval() <= 0, "%s: TVAL has become negative", timer->name);
    now = timer->now();
    timer->set_tval(0, (uint32_t)-1000);
    tap_ok(timer->cval() >= now - 1000 && timer->cval() <= timer->now() - 1000,
           "%s: a negative TVAL is CVAL in the past", timer->name);
    now = timer->now();
    timer->set_tval(0, 5000);
    tap_ok(timer->cval() >= now + 5000 && timer->cval() <= timer->now() + 5000,
           "%s: TVAL sets CVAL", timer->name);
}

static void test_line(const struct timer *timer)
{
    uint64_t at = gic_redist() + GICR_SGI + GICD_ISPENDR;
    uint32_t bit = 1u << timer->intid;

    gic_disable(timer->intid);
    timer->set(TIMER_ENABLE, timer->now() + timer_frequency() * 100);
    tap_ok((read32(at) & bit) == 0, "%s: not due, not pending in GICR_ISPENDR0", timer->name);
    timer->set(TIMER_ENABLE, 0);
    timer_spin_us(100);
    tap_ok((read32(at) & bit) != 0, "%s: due, pending in GICR_ISPENDR0", timer->name);
    timer->set(TIMER_ENABLE | TIMER_IMASK, 0);
    timer_spin_us(100);
    tap_ok((read32(at) & bit) == 0, "%s: masked, no longer pending", timer->name);
    timer->set(0, UINT64_MAX);
}

static void wait_fired(const struct timer *timer, uint32_t wanted, bool sleep)
{
    uint64_t end = counter_virt() + timer_frequency() * 10;

    while (*timer->fired < wanted && counter_virt() < end) {
        irq_disable();
        if (sleep && *timer->fired < wanted) {
            wfi();
        }
        irq_enable();
        isb();
    }
    irq_disable();
}

static void test_interrupts(const struct timer *timer, bool sleep)
{
    uint32_t wakes = (uint32_t)bootarg_number("wakes", 50);
    uint32_t early = 0;
    uint32_t came = 0;

    for (uint32_t i = 0; i < wakes; i++) {
        uint64_t cval = timer->now() + timer_from_us(50 + i * 37 % 1000);
        uint32_t before = *timer->fired;

        timer->set(TIMER_ENABLE, cval);
        wait_fired(timer, before + 1, sleep);
        came += *timer->fired == before + 1;
        early += fired_at < cval;
    }
    tap_ok(came == wakes && early == 0, "%s: %u interrupts %s, %u early", timer->name, came,
           sleep ? "out of WFI" : "while spinning", early);
}

static void test_past(const struct timer *timer)
{
    uint32_t before = *timer->fired;

    timer->set(TIMER_ENABLE, timer->now() - 1);
    wait_fired(timer, before + 1, true);
    tap_equal(*timer->fired, before + 1, "%s: CVAL in the past fires at once", timer->name);
    timer->set(0, UINT64_MAX);
}

/* Only a deadline that was moved before it came counts: on a host with other work to do this CPU
 * may stand still in between. */
static void test_moved(const struct timer *timer)
{
    uint32_t before = 0;
    bool in_time = false;

    for (unsigned tries = 0; tries < 50 && !in_time; tries++) {
        uint64_t deadline = timer->now() + timer_from_us(300);

        before = *timer->fired;
        timer->set(TIMER_ENABLE, deadline);
        timer->set(TIMER_ENABLE, UINT64_MAX);
        in_time = timer->now() < deadline;
        irq_enable();
        timer_spin_us(2000);
        irq_disable();
    }
    tap_ok(in_time && *timer->fired == before, "%s: a deadline that was moved doesn't fire",
           timer->name);
    timer->set(0, UINT64_MAX);
}

static void test_counters(void)
{
    uint64_t virt = counter_virt();
    uint64_t phys = counter_phys();
    uint64_t offset = phys - virt;
    bool monotonic = true;

    for (unsigned i = 0; i < 10000; i++) {
        uint64_t next = counter_virt();

        monotonic = monotonic && next >= virt;
        virt = next;
    }
    tap_ok(monotonic, "CNTVCT doesn't go back");
    timer_spin_us(50000);
    virt = counter_virt();
    phys = counter_phys();
    tap_ok(phys - virt - offset < timer_from_us(20000) || virt + offset - phys < timer_from_us(20),
           "CNTPCT and CNTVCT run alike (%ld apart)", (int64_t)(phys - virt - offset));
    tap_ok(timer_frequency() >= 1000000, "CNTFRQ is %lu", timer_frequency());
}

static volatile uint64_t ball;
static volatile uint32_t turn;
static volatile uint64_t went_back;

/* Each CPU must find that its counter is not behind what the last one wrote. */
static void pass_ball(uint64_t rounds)
{
    uint32_t self = cpu_id();

    for (uint64_t i = 0; i < rounds; i++) {
        while (turn != self) {
            cpu_relax();
        }
        dmb(ish);
        if (counter_virt() < ball) {
            went_back = went_back + 1;
        }
        ball = counter_virt();
        dmb(ish);
        turn = (self + 1) % machine.nr_cpus;
    }
}

/* The others' timers are their own. */
static void timer_elsewhere(uint64_t arg)
{
    (void)arg;
    if (cpu_id() != 0) {
        gic_init_cpu();
    }
    virt_set(TIMER_ENABLE | TIMER_IMASK, counter_virt() + timer_from_us(1000) * (cpu_id() + 1));
    while ((virt_ctl() & TIMER_ISTATUS) == 0) {
        cpu_relax();
    }
    virt_set(0, UINT64_MAX);
    __atomic_add_fetch(&fired_virt, 1, __ATOMIC_RELAXED);
}

void payload_main(void)
{
    gic_init();
    test_counters();
    for (unsigned i = 0; i < ARRAY_SIZE(timers); i++) {
        test_registers(&timers[i]);
        test_line(&timers[i]);
        gic_enable(timers[i].intid, timers[i].intid == PPI_VTIMER ? on_virt : on_phys);
        test_interrupts(&timers[i], false);
        test_interrupts(&timers[i], true);
        test_past(&timers[i]);
        test_moved(&timers[i]);
    }
    cpu_run_all(pass_ball, 100);
    tap_equal(went_back, 0, "the counter doesn't go back from CPU to CPU");
    fired_virt = 0;
    cpu_run_all(timer_elsewhere, 0);
    tap_equal(fired_virt, machine.nr_cpus, "each CPU has its own timer");
    tap_done();
}
