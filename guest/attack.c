/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest: does on all CPUs at once, again and again in a random order, what a hypervisor
 * must survive. It may ruin itself (its interrupts, its timers) but never turns itself off before
 * its time. Boot arguments: seconds=N (default 10) or rounds=N; seed=N; only=<name> of one attack.
 * Prints `attack cpu=<n> <name>` never more than once a second and a CPU, and at the end
 * `BOTHY-PAYLOAD attack done rounds=<n> faults=<n>`.
 */

#include "runtime/guest.h"

const char payload_name[] = "attack";

#define CHUNK 256u

struct state {
    uint64_t seed, faults, rounds;
};

static struct state states[CPU_MAX];
static uint64_t deadline, rounds_max;
static char only[12];

static void count(struct state *state, bool survived)
{
    state->faults += !survived;
}

static unsigned random_size(struct state *state)
{
    return 1u << (random_next(&state->seed) % 4);
}

/* What this program lives in stays unharmed, or it would only hurt itself; and the UART's data
 * register, for the sake of the console. */
static bool is_own(uint64_t addr)
{
    uint64_t fdt = (uint64_t)machine.fdt;

    if (addr + 8 > machine.uart && addr < machine.uart + 4) {
        return true;
    }
    return (addr + 8 > (uint64_t)image_start && addr < (uint64_t)image_end) ||
           (addr + 8 > fdt && addr < fdt + machine.fdt_size);
}

static void touch(struct state *state, uint64_t addr, unsigned size)
{
    uint64_t value;

    count(state, try_read(addr, size, &value, NULL));
    if (!is_own(addr)) {
        count(state, try_write(addr, size, random_next(&state->seed), NULL));
    }
}

/* All of the lower 512 GiB in steps of 1 MiB, a part each round. */
static void attack_sweep(struct state *state)
{
    uint64_t base = random_next(&state->seed) % 1024u * MIB(512);

    for (unsigned i = 0; i < 512; i++) {
        touch(state, base + MIB(i), 8);
    }
}

static void attack_random_memory(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t bits = 12 + random_next(&state->seed) % 28;

        touch(state, random_next(&state->seed) & BITS(bits, 0), random_size(state));
    }
}

/* Just around the borders of what is there. */
static void attack_edges(struct state *state)
{
    uint64_t edges[] = {0,
                        machine.gicd,
                        machine.gicd + 0x10000,
                        machine.gicr,
                        machine.gicr + machine.gicr_size,
                        machine.uart,
                        machine.uart + 0x1000,
                        machine.ram_base,
                        machine.ram_base + machine.ram_size,
                        GIB(512) - 8};

    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t edge = edges[random_next(&state->seed) % ARRAY_SIZE(edges)];
        uint64_t addr = edge + random_next(&state->seed) % 64 - 32;

        if (addr < GIB(512)) {
            touch(state, addr, random_size(state));
        }
    }
}

static void attack_gic(struct state *state)
{
    uint64_t redist = machine.gicr + machine.nr_cpus * 0x20000u;

    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t random = random_next(&state->seed);
        uint64_t base = random % 3 == 0 ? machine.gicr : machine.gicd;
        uint64_t size = random % 3 == 0 ? redist - machine.gicr : 0x10000;

        touch(state, base + (random >> 16) % size, random_size(state));
    }
}

static void attack_uart(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        touch(state, machine.uart + random_next(&state->seed) % 0x1000, random_size(state));
    }
    write32(machine.uart + 0x38, 0);     /* IMSC */
    write32(machine.uart + 0x30, 0x301); /* CR */
}

/* Registers without which this program can't go on. */
static bool is_vital(uint32_t sysreg)
{
    uint32_t op0 = (uint32_t)FIELD(sysreg, 20, 19);
    uint32_t op1 = (uint32_t)FIELD(sysreg, 18, 16);
    uint32_t crn = (uint32_t)FIELD(sysreg, 15, 12);
    uint32_t crm = (uint32_t)FIELD(sysreg, 11, 8);

    return op0 == 3 && ((op1 == 0 && (crn == 1 || crn == 2 || crn == 4 || crn == 10 ||
                                      (crn == 12 && crm == 0) || crn == 13)) ||
                        (op1 == 3 && crn == 4));
}

static void attack_sysregs(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t random = random_next(&state->seed);
        uint32_t sysreg = (2u + (uint32_t)(random & 1)) << 19 | (uint32_t)(random >> 8 & 0x3fff)
                                                                    << 5;
        uint64_t value;

        count(state, probe_mrs(sysreg, &value, NULL));
        if (!is_vital(sysreg)) {
            count(state, probe_msr(sysreg, random_next(&state->seed), NULL));
        }
    }
    write_sysreg(0, mdscr_el1);
    isb();
}

/* SYS instructions: cache, TLB and address translation operations, on addresses without memory. */
static void attack_sys(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t random = random_next(&state->seed);
        uint64_t x0 = 0x09800000u + (random >> 40 & 0xffff00u);

        count(state, probe_run(0xd5080000u | (uint32_t)(random & 0x7ffe0u), &x0, 0, NULL));
    }
}

static bool is_power_call(uint64_t function)
{
    switch (function & 0xbfffffffu) {
    case PSCI_CPU_OFF:
    case PSCI_32BIT(PSCI_CPU_SUSPEND):
    case PSCI_32BIT(PSCI_CPU_ON):
    case PSCI_SYSTEM_OFF:
    case PSCI_SYSTEM_RESET:
    case PSCI_32BIT(PSCI_SYSTEM_SUSPEND):
    case PSCI_32BIT(PSCI_SYSTEM_RESET2):
    case PSCI_CPU_FREEZE:
    case 0x8400000cu: /* CPU_DEFAULT_SUSPEND */
        return true;
    default:
        return false;
    }
}

static void smc(uint64_t arg)
{
    smccc_smc((struct smccc_regs *)arg);
}

static void hvc(uint64_t arg)
{
    smccc_hvc((struct smccc_regs *)arg);
}

static void attack_calls(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        struct smccc_regs regs;
        uint64_t random = random_next(&state->seed);

        for (unsigned n = 0; n < ARRAY_SIZE(regs.x); n++) {
            regs.x[n] = random_next(&state->seed);
        }
        if (random % 2 == 0) { /* near the numbers that mean something */
            regs.x[0] = (0x80u | (random >> 8 & 0x4fu)) << 24 | (random >> 16 & 0x5fu);
        }
        if (!is_power_call(regs.x[0])) {
            count(state, !expect_exception(random >> 60 & 1 ? smc : hvc, (uint64_t)&regs, NULL));
        }
    }
}

/* CPU_ON of CPUs that are on, at wild addresses. */
static void attack_cpu_on(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        uint32_t cpu = random_next(&state->seed) % 2 ? 0 : cpu_id(); /* never one that is off */

        smccc_call(PSCI_CPU_ON, machine.mpidr[cpu], random_next(&state->seed), 0);
        smccc_call(PSCI_CPU_ON, random_next(&state->seed) | BIT(50), (uint64_t)image_start, 0);
        smccc_call(PSCI_AFFINITY_INFO, random_next(&state->seed) % 16,
                   random_next(&state->seed) % 4, 0);
    }
}

static void attack_interrupts(struct state *state)
{
    write32(machine.gicd + GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GRP1 | GICD_CTLR_GRP0);
    write_sysreg(0xff, ICC_PMR);
    write_sysreg(1, ICC_IGRPEN1);
    write_sysreg(random_next(&state->seed) & 1, ICC_IGRPEN0);
    isb();
    irq_enable();
    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t random = random_next(&state->seed);

        write_sysreg((random & 0xf) << 24 | (random >> 8 & 0xffff), ICC_SGI1R);
        write_sysreg(BIT(40) | (random >> 4 & 0xf) << 24, ICC_SGI1R);
        write32(machine.gicd + GICD_ISPENDR + 4 + (random >> 32 & 0x1f) * 4,
                (uint32_t)(random >> 20));
        write32(machine.gicd + GICD_ISENABLER + 4 + (random >> 40 & 0x1f) * 4,
                (uint32_t)(random >> 12));
    }
    irq_disable();
}

/* Interrupts that are taken and never ended. */
static void attack_eoi(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t random = random_next(&state->seed);

        switch (random % 5) {
        case 0:
            (void)read_sysreg(ICC_IAR1);
            break;
        case 1:
            write_sysreg(random >> 8 & 0x3ff, ICC_EOIR1);
            break;
        case 2:
            write_sysreg(random >> 8 & 0xffffff, ICC_DIR);
            break;
        case 3:
            write_sysreg(random >> 8 & 3, ICC_CTLR);
            break;
        default:
            write_sysreg(random >> 8 & 0xff, ICC_PMR);
            break;
        }
        isb();
    }
}

static void attack_timers(struct state *state)
{
    gic_set_bit(GICD_ISENABLER, PPI_VTIMER);
    gic_set_bit(GICD_ISENABLER, PPI_PTIMER);
    irq_enable();
    for (unsigned i = 0; i < CHUNK; i++) {
        uint64_t random = random_next(&state->seed);
        uint64_t near = counter_virt() + random % 4096 - 2048;

        write_sysreg(random & BIT(9) ? near : random_next(&state->seed), cntv_cval_el0);
        write_sysreg(random >> 10 & 3, cntv_ctl_el0);
        write_sysreg(random & BIT(12) ? near : 0, cntp_cval_el0);
        write_sysreg(random >> 14 & 3, cntp_ctl_el0);
        isb();
    }
    irq_disable();
    write_sysreg(0, cntv_ctl_el0);
    write_sysreg(0, cntp_ctl_el0);
    isb();
}

static void attack_set_way(struct state *state)
{
    for (unsigned i = 0; i < 4 * CHUNK; i++) {
        __asm__ volatile("dc cisw, %0" ::"r"(random_next(&state->seed) & 0xffffffffu) : "memory");
    }
    dsb(sy);
}

static void attack_waits(struct state *state)
{
    (void)state;
    for (unsigned i = 0; i < CHUNK; i++) {
        /* A timer in the past ends the WFI. */
        write_sysreg(0, cntv_cval_el0);
        write_sysreg(TIMER_ENABLE, cntv_ctl_el0);
        gic_set_bit(GICD_ISENABLER, PPI_VTIMER);
        cpu_relax();
        sev();
        wfe();
    }
    write_sysreg(0, cntv_ctl_el0);
    isb();
}

static void fault_again(uint64_t depth)
{
    struct fault fault;

    if (depth > 0) {
        expect_exception(fault_again, depth - 1, &fault);
    }
    __asm__ volatile(".inst 0");
}

static void jump(uint64_t addr)
{
    ((void (*)(void))addr)();
}

static void attack_exceptions(struct state *state)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        expect_exception(fault_again, 4, NULL);
        count(state, false);
        expect_exception(jump, 0x09800000u + i * 4096u, NULL);
        expect_exception(jump, machine.gicd, NULL);
    }
}

/* Turns its MMU off and on: what the caches hold, and what watches that, must keep up. */
static void attack_mmu(struct state *state)
{
    if (machine.nr_cpus > 1) {
        return; /* locks don't work without it */
    }
    for (unsigned i = 0; i < 8; i++) {
        mmu_off();
        state->seed++;
        mmu_on();
    }
}

static const struct {
    const char *name;
    void (*fn)(struct state *state);
} attacks[] = {
    {"sweep", attack_sweep},
    {"memory", attack_random_memory},
    {"edges", attack_edges},
    {"gic", attack_gic},
    {"uart", attack_uart},
    {"sysregs", attack_sysregs},
    {"sys", attack_sys},
    {"calls", attack_calls},
    {"cpu_on", attack_cpu_on},
    {"interrupts", attack_interrupts},
    {"eoi", attack_eoi},
    {"timers", attack_timers},
    {"set_way", attack_set_way},
    {"waits", attack_waits},
    {"exceptions", attack_exceptions},
    {"mmu", attack_mmu},
};

/* Takes whatever comes, and silences what doesn't end by itself. */
static void on_interrupt(struct frame *frame, bool fiq)
{
    uint64_t intid = fiq ? read_sysreg(ICC_IAR0) : read_sysreg(ICC_IAR1);

    (void)frame;
    if (intid == PPI_VTIMER) {
        write_sysreg(0, cntv_ctl_el0);
    } else if (intid == PPI_PTIMER) {
        write_sysreg(0, cntp_ctl_el0);
    } else if (intid >= 16 && intid < 1020) {
        gic_set_bit(GICD_ICENABLER, (uint32_t)intid);
    }
    if (intid < 1020 && fiq) {
        write_sysreg(intid, ICC_EOIR0);
    } else if (intid < 1020) {
        write_sysreg(intid, ICC_EOIR1);
    }
    isb();
}

/* What comes when nothing is expected: go on behind it. */
static bool on_exception(struct frame *frame)
{
    states[cpu_id()].faults++;
    frame->elr += 4;
    return true;
}

static void work(uint64_t arg)
{
    struct state *state = &states[cpu_id()];
    uint64_t next_print = counter_virt();

    state->seed = arg * 1000 + cpu_id() + 1;
    if (cpu_id() != 0) {
        gic_init_cpu();
    }
    while (counter_virt() < deadline && state->rounds < rounds_max) {
        uint64_t n = random_next(&state->seed) % ARRAY_SIZE(attacks);

        if (only[0] != '\0' && !string_equal(only, attacks[n].name)) {
            continue;
        }
        if (counter_virt() >= next_print) {
            next_print = counter_virt() + timer_frequency();
            print("attack cpu=%u %s rounds=%lu\n", cpu_id(), attacks[n].name, state->rounds);
        }
        attacks[n].fn(state);
        state->rounds++;
    }
}

void payload_main(void)
{
    uint64_t rounds = 0;
    uint64_t faults = 0;

    bootarg_string("only", only, sizeof(only));
    rounds_max = bootarg_number("rounds", UINT64_MAX);
    deadline = UINT64_MAX;
    if (rounds_max == UINT64_MAX) {
        deadline = counter_virt() + timer_from_us(1000000 * bootarg_number("seconds", 10));
    }
    irq_hook = on_interrupt;
    exception_hook = on_exception;
    gic_init();
    cpu_run_all(work, bootarg_number("seed", 1));
    for (uint32_t cpu = 0; cpu < machine.nr_cpus; cpu++) {
        rounds += states[cpu].rounds;
        faults += states[cpu].faults;
    }
    print("BOTHY-PAYLOAD attack done rounds=%lu faults=%lu\n", rounds, faults);
    system_off();
}
