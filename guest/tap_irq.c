/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery of interrupts by a GICv3: SGIs, priorities, preemption, both EOI modes, level and edge,
 * routing, group 0, and more pending interrupts than there can be list registers.
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_irq";

#define SPI 40u
#define LOG_MAX 256u
#define BURST_MAX 48u

static volatile uint32_t log_count;
static uint32_t log_intid[LOG_MAX];
static volatile uint32_t sgis_seen[CPU_MAX];

static void log_it(uint32_t intid)
{
    if (log_count < LOG_MAX) {
        log_intid[log_count] = intid;
    }
    log_count = log_count + 1;
}

/* Lets in what is pending, for as long as more comes. */
static void take_all(void)
{
    uint32_t before;

    do {
        before = log_count;
        irq_enable();
        isb();
        timer_spin_us(200);
        irq_disable();
    } while (log_count != before);
}

static void log_reset(void)
{
    log_count = 0;
}

static void pend(uint32_t intid)
{
    gic_set_bit(GICD_ISPENDR, intid);
    dsb(sy);
}

static void prepare(uint32_t intid, uint8_t priority)
{
    if (intid >= 32) {
        gic_set_edge(intid, true);
        gic_set_route(intid, 0);
    }
    gic_enable(intid, log_it);
    gic_set_priority(intid, priority);
}

static void test_self_sgi(void)
{
    log_reset();
    for (uint32_t sgi = 0; sgi < 16; sgi++) {
        prepare(sgi, 0xa0);
        gic_send_sgi(0, sgi);
        take_all();
    }
    tap_equal(log_count, 16, "each SGI to itself arrives once");
    log_reset();
    gic_send_sgi(0, 5);
    gic_send_sgi(0, 5);
    take_all();
    tap_equal(log_count, 1, "the same SGI twice before it is taken is one");
}

static void count_sgi(uint32_t intid)
{
    (void)intid;
    sgis_seen[cpu_id()] = sgis_seen[cpu_id()] + 1;
}

static void wait_for_sgi(uint64_t wanted)
{
    gic_init_cpu();
    gic_enable(1, count_sgi);
    gic_enable(2, count_sgi);
    while (sgis_seen[cpu_id()] < wanted) {
        if (wanted < 4) {
            wfi();
        }
        irq_enable();
        isb();
        irq_disable();
    }
}

static void wait_until(volatile uint32_t *value, uint32_t wanted)
{
    uint64_t end = counter_virt() + timer_from_us(5000000);

    while (*value < wanted && counter_virt() < end) {
        cpu_relax();
    }
}

/* To CPUs that sleep in WFI and then, with wanted >= 4, to CPUs that spin. */
static void test_sgi_to_others(uint64_t wanted)
{
    uint32_t ok = 0;

    for (uint32_t cpu = 1; cpu < machine.nr_cpus; cpu++) {
        sgis_seen[cpu] = 0;
        cpu_start(cpu, wait_for_sgi, wanted);
    }
    timer_spin_us(20000);
    for (uint32_t n = 1; n <= wanted; n++) {
        for (uint32_t cpu = 1; cpu < machine.nr_cpus; cpu++) {
            gic_send_sgi(cpu, 1 + n % 2);
            wait_until(&sgis_seen[cpu], n);
            ok += sgis_seen[cpu] == n;
        }
    }
    tap_equal(ok, wanted * (machine.nr_cpus - 1), "SGIs wake and interrupt the other CPUs");
    for (uint32_t cpu = 1; cpu < machine.nr_cpus && ok != 0; cpu++) {
        cpu_wait_off(cpu);
    }
}

static void test_broadcast(void)
{
    uint32_t ok = 0;

    gic_enable(1, count_sgi);
    sgis_seen[0] = 0;
    for (uint32_t cpu = 1; cpu < machine.nr_cpus; cpu++) {
        sgis_seen[cpu] = 0;
        cpu_start(cpu, wait_for_sgi, 1);
    }
    timer_spin_us(20000);
    write_sysreg(BIT(40) | BIT(24), ICC_SGI1R); /* IRM: all but this one */
    isb();
    for (uint32_t cpu = 1; cpu < machine.nr_cpus; cpu++) {
        wait_until(&sgis_seen[cpu], 1);
        ok += sgis_seen[cpu] == 1;
    }
    take_all();
    tap_ok(ok == machine.nr_cpus - 1 && sgis_seen[0] == 0, "a broadcast SGI reaches all others");
    for (uint32_t cpu = 1; cpu < machine.nr_cpus && ok != 0; cpu++) {
        cpu_wait_off(cpu);
    }
}

static void test_priority_order(void)
{
    prepare(SPI, 0xc0);
    prepare(SPI + 1, 0x40);
    prepare(SPI + 2, 0x80);
    log_reset();
    pend(SPI);
    pend(SPI + 1);
    pend(SPI + 2);
    tap_equal(read_sysreg(ICC_HPPIR1), SPI + 1, "ICC_HPPIR1_EL1 names the most urgent");
    take_all();
    tap_ok(log_count == 3 && log_intid[0] == SPI + 1 && log_intid[1] == SPI + 2 &&
               log_intid[2] == SPI,
           "three SPIs come in the order of their priorities");
}

static void test_priority_mask(void)
{
    prepare(SPI, 0xa0);
    log_reset();
    write_sysreg(0x80, ICC_PMR);
    isb();
    pend(SPI);
    take_all();
    tap_equal(log_count, 0, "ICC_PMR_EL1 keeps a lesser priority out");
    tap_ok(gic_test_bit(GICD_ISPENDR, SPI), "it stays pending");
    write_sysreg(0xf0, ICC_PMR);
    isb();
    take_all();
    tap_equal(log_count, 1, "and comes when the mask allows");
    write_sysreg(0xff, ICC_PMR);
}

static volatile uint64_t rpr_outer, rpr_inner;
static volatile uint32_t inner_at;

static void inner_handler(uint32_t intid)
{
    rpr_inner = read_sysreg(ICC_RPR);
    log_it(intid);
}

/* Pends one of the same priority and one that is more urgent, and lets them in. */
static void outer_handler(uint32_t intid)
{
    uint64_t elr = read_sysreg(elr_el1);
    uint64_t spsr = read_sysreg(spsr_el1);

    rpr_outer = read_sysreg(ICC_RPR);
    pend(SPI + 1);
    pend(SPI + 2);
    irq_enable();
    isb();
    timer_spin_us(500);
    irq_disable();
    write_sysreg(elr, elr_el1);
    write_sysreg(spsr, spsr_el1);
    inner_at = log_count;
    log_it(intid);
}

static void test_preemption(void)
{
    prepare(SPI, 0xa0);
    prepare(SPI + 1, 0xa0);
    prepare(SPI + 2, 0x40);
    gic_enable(SPI, outer_handler);
    gic_enable(SPI + 2, inner_handler);
    gic_set_priority(SPI + 2, 0x40);
    log_reset();
    pend(SPI);
    take_all();
    tap_ok(log_count == 3 && log_intid[0] == SPI + 2 && log_intid[1] == SPI &&
               log_intid[2] == SPI + 1,
           "the more urgent one preempts, the equal one waits");
    tap_ok((rpr_outer & 0xf8) == 0xa0 && (rpr_inner & 0xf8) == 0x40,
           "ICC_RPR_EL1 says so (0x%lx, 0x%lx)", rpr_outer, rpr_inner);
    tap_equal(read_sysreg(ICC_RPR) & 0xff, 0xff, "and is idle afterwards");
}

static volatile uint32_t raw_intid;

static void raw_eoi_only(struct frame *frame, bool fiq)
{
    (void)frame;
    (void)fiq;
    raw_intid = (uint32_t)read_sysreg(ICC_IAR1);
    log_count = log_count + 1;
    if (raw_intid < 1020) {
        write_sysreg(raw_intid, ICC_EOIR1);
        isb();
    }
}

static void test_eoi_mode(void)
{
    prepare(SPI, 0xa0);
    write_sysreg(BIT(1), ICC_CTLR);
    isb();
    irq_hook = raw_eoi_only;
    log_reset();
    pend(SPI);
    take_all();
    tap_ok(log_count == 1 && raw_intid == SPI, "EOImode 1: taken");
    tap_ok(gic_test_bit(GICD_ISACTIVER, SPI), "still active after EOIR");
    tap_equal(read_sysreg(ICC_RPR) & 0xff, 0xff, "but its priority is dropped");
    pend(SPI);
    take_all();
    tap_equal(log_count, 1, "while active it doesn't come again");
    write_sysreg(SPI, ICC_DIR);
    isb();
    tap_ok(!gic_test_bit(GICD_ISACTIVER, SPI) || log_count == 1, "ICC_DIR_EL1 deactivates it");
    take_all();
    tap_equal(log_count, 2, "after which the second one comes");
    write_sysreg(SPI, ICC_DIR);
    isb();
    take_all();
    tap_ok(!gic_test_bit(GICD_ISACTIVER, SPI), "and is deactivated as well");
    irq_hook = NULL;
    write_sysreg(0, ICC_CTLR);
    isb();
}

static void test_states(void)
{
    prepare(SPI, 0xa0);
    log_reset();
    gic_set_bit(GICD_ISACTIVER, SPI);
    pend(SPI);
    take_all();
    tap_equal(log_count, 0, "an interrupt made active by software isn't signalled");
    gic_set_bit(GICD_ICACTIVER, SPI);
    take_all();
    tap_equal(log_count, 1, "until it is made inactive");
    gic_disable(SPI);
    pend(SPI);
    take_all();
    tap_equal(log_count, 1, "a disabled one isn't signalled");
    gic_set_bit(GICD_ISENABLER, SPI);
    take_all();
    tap_equal(log_count, 2, "until it is enabled");
    pend(SPI);
    gic_set_bit(GICD_ICPENDR, SPI);
    take_all();
    tap_equal(log_count, 2, "what was cleared by ICPENDR doesn't come");
    pend(SPI);
    tap_equal(read_sysreg(ICC_IAR1), SPI, "ICC_IAR1_EL1 acknowledges with interrupts masked");
    tap_ok(gic_test_bit(GICD_ISACTIVER, SPI) && !gic_test_bit(GICD_ISPENDR, SPI),
           "and makes it active");
    write_sysreg(SPI, ICC_EOIR1);
    isb();
    tap_ok(!gic_test_bit(GICD_ISACTIVER, SPI), "ICC_EOIR1_EL1 ends that");
}

#define PL011_DR 0x00u
#define PL011_LCRH 0x2cu
#define PL011_CR 0x30u
#define PL011_IMSC 0x38u
#define PL011_RIS 0x3cu
#define PL011_MIS 0x40u
#define PL011_ICR 0x44u
#define PL011_TX BIT(5)

/* The line stays up until the second time. */
static void uart_handler(uint32_t intid)
{
    log_it(intid);
    if (log_count == 2) {
        write32(machine.uart + PL011_IMSC, 0);
        write32(machine.uart + PL011_ICR, PL011_TX);
        dsb(sy);
    }
}

static void test_level(void)
{
    uint64_t uart = machine.uart;

    gic_set_edge(machine.uart_irq, false);
    gic_set_route(machine.uart_irq, 0);
    gic_enable(machine.uart_irq, uart_handler);
    log_reset();
    write32(uart + PL011_CR, 0x301);
    write32(uart + PL011_IMSC, PL011_TX);
    write32(uart + PL011_DR, '\n');
    dsb(sy);
    if (!tap_ok((read32(uart + PL011_MIS) & PL011_TX) != 0, "the UART asserts its TX interrupt")) {
        write32(uart + PL011_IMSC, 0);
        return;
    }
    tap_ok(gic_test_bit(GICD_ISPENDR, machine.uart_irq), "its SPI %u is pending", machine.uart_irq);
    take_all();
    tap_equal(log_count, 2, "a level stays pending until the device lets go");
    tap_ok(!gic_test_bit(GICD_ISPENDR, machine.uart_irq), "and no longer");
    write32(uart + PL011_IMSC, PL011_TX);
    write32(uart + PL011_DR, '\n');
    dsb(sy);
    write32(uart + PL011_IMSC, 0);
    write32(uart + PL011_ICR, PL011_TX);
    dsb(sy);
    take_all();
    tap_equal(log_count, 2, "a level that went away before it was taken doesn't come");
    gic_disable(machine.uart_irq);
}

static volatile uint32_t taken_by;

static void note_cpu(uint32_t intid)
{
    (void)intid;
    taken_by = cpu_id();
    sgis_seen[cpu_id()] = sgis_seen[cpu_id()] + 1;
}

static void test_routing(void)
{
    bool ok = true;

    prepare(SPI, 0xa0);
    gic_enable(SPI, note_cpu);
    for (uint32_t cpu = 1; cpu < machine.nr_cpus; cpu++) {
        sgis_seen[cpu] = 0;
        gic_set_route(SPI, cpu);
        cpu_start(cpu, wait_for_sgi, 1);
        timer_spin_us(10000);
        pend(SPI);
        wait_until(&sgis_seen[cpu], 1);
        if (sgis_seen[cpu] != 1 || taken_by != cpu) {
            ok = false;
            gic_send_sgi(cpu, 1);
        }
        cpu_wait_off(cpu);
    }
    gic_set_route(SPI, 0);
    tap_ok(ok, "GICD_IROUTER takes an SPI to each CPU");
}

static uint8_t burst_priority(uint32_t n)
{
    return (uint8_t)(n * 7u % 14u * 16u + 16u);
}

/* All at once, in one order, to be taken in another. */
static void test_burst(void)
{
    uint32_t first = 32;
    uint32_t lines = gic_lines();
    uint32_t count = lines - first < BURST_MAX ? lines - first : BURST_MAX;
    bool sorted = true;
    uint64_t seen = 0;

    for (uint32_t n = 0; n < count; n++) {
        prepare(first + n, burst_priority(n));
    }
    log_reset();
    write32(machine.gicd + GICD_ISPENDR + 4, UINT32_MAX);
    write32(machine.gicd + GICD_ISPENDR + 8, (uint32_t)BITS(count - 33, 0));
    dsb(sy);
    take_all();
    for (uint32_t n = 0; n < log_count && n < LOG_MAX; n++) {
        uint32_t index = log_intid[n] - first;

        seen |= BIT(index);
        if (n > 0 && burst_priority(index) < burst_priority(log_intid[n - 1] - first)) {
            sorted = false;
        }
    }
    tap_equal(log_count, count, "%u SPIs pending at once are all taken, once", count);
    tap_equal(seen, BITS(count - 1, 0), "each of them");
    tap_ok(sorted, "in the order of their priorities");
    for (uint32_t n = 0; n < count; n++) {
        gic_disable(first + n);
    }
}

static volatile bool came_as_fiq;

static void fiq_hook(struct frame *frame, bool fiq)
{
    uint32_t intid = (uint32_t)(fiq ? read_sysreg(ICC_IAR0) : read_sysreg(ICC_IAR1));

    (void)frame;
    came_as_fiq = fiq;
    log_it(intid);
    if (intid < 1020 && fiq) {
        write_sysreg(intid, ICC_EOIR0);
    } else if (intid < 1020) {
        write_sysreg(intid, ICC_EOIR1);
    }
    isb();
}

static void test_group0(void)
{
    prepare(SPI, 0xa0);
    write32(machine.gicd + GICD_IGROUPR + SPI / 32 * 4, ~(uint32_t)BIT(SPI % 32));
    irq_hook = fiq_hook;
    log_reset();
    write_sysreg(0, ICC_IGRPEN0);
    isb();
    pend(SPI);
    take_all();
    tap_equal(log_count, 0, "group 0 isn't signalled while ICC_IGRPEN0_EL1 is 0");
    write_sysreg(1, ICC_IGRPEN0);
    isb();
    take_all();
    tap_ok(log_count == 1 && came_as_fiq && log_intid[0] == SPI, "group 0 comes as FIQ");
    irq_hook = NULL;
    write_sysreg(0, ICC_IGRPEN0);
    write32(machine.gicd + GICD_IGROUPR + SPI / 32 * 4, UINT32_MAX);
    write_sysreg(0, ICC_IGRPEN1);
    isb();
    log_reset();
    pend(SPI);
    take_all();
    tap_equal(log_count, 0, "group 1 isn't signalled while ICC_IGRPEN1_EL1 is 0");
    write_sysreg(1, ICC_IGRPEN1);
    isb();
    take_all();
    tap_equal(log_count, 1, "and is when it is 1");
}

void payload_main(void)
{
    gic_init();
    test_self_sgi();
    test_priority_order();
    test_priority_mask();
    test_preemption();
    test_eoi_mode();
    test_states();
    test_level();
    test_burst();
    test_group0();
    if (machine.nr_cpus > 1) {
        test_sgi_to_others(2);
        test_sgi_to_others(4);
        test_broadcast();
        test_routing();
    } else {
        tap_skip("one CPU", "interrupts between CPUs");
    }
    tap_done();
}
