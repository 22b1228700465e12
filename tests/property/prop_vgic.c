/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vGIC against a naive model: random register accesses, wires, SGIs, timers, loads, puts and
 * migrations, with a guest that acknowledges and ends interrupts at a simulated CPU interface.
 * What the guest can see must be the same at each step, and each vCPU that has something to do
 * must have been kicked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arch/sysreg.h"
#include "bothy/bits.h"
#include "tests/support/vgic_model.h"
#include "tests/support/vgic_rig.h"

#define GICD_CTLR RIG_DIST
#define GICD(offset) (RIG_DIST + (offset))

struct world {
    struct rig rig;
    struct model model;
    uint64_t random;
    uint32_t hot[8]; /* SPIs that are used much, so that things happen to them */
    uint64_t acks;
};

static uint64_t seed_now;
static uint32_t step_now;

static void check(bool good, const char *what, int line)
{
    if (!good) {
        fprintf(stderr, "prop_vgic: seed %lu, step %u, line %d: %s\n", (unsigned long)seed_now,
                step_now, line, what);
        abort();
    }
}
#define CHECK(condition) check(condition, #condition, __LINE__)

static uint32_t pick(struct world *w, uint32_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 20) % n;
}

static bool chance(struct world *w, uint32_t percent)
{
    return pick(w, 100) < percent;
}

static uint32_t any_irq(struct world *w)
{
    switch (pick(w, 8)) {
    case 0:
        return 27;
    case 1:
        return 16 + pick(w, 16);
    case 2:
    case 3:
        return pick(w, 16);
    default:
        return w->hot[pick(w, ARRAY_SIZE(w->hot))];
    }
}

static uint32_t any_spi(struct world *w)
{
    return w->hot[pick(w, ARRAY_SIZE(w->hot))];
}

/* Put this thread on a CPU whose vCPU can run guest code; the vCPU's id, or -1 if none. */
static int enter_guest(struct world *w)
{
    struct sim_cpu *sim = &w->rig.cpus[pick(w, w->rig.nr_cpus)];

    for (int tries = 0; sim->cpu.loaded == NULL; tries++) {
        if (tries == 8) {
            return -1;
        }
        sim = &w->rig.cpus[pick(w, w->rig.nr_cpus)];
    }
    sim_enter(sim);
    sim->cpu.running = sim->cpu.loaded;
    rig_settle_all(&w->rig);
    return (int)sim->cpu.loaded->id;
}

static uint64_t bank(uint32_t intid, int owner, uint32_t offset, uint32_t bits)
{
    uint64_t base = intid < 32 ? RIG_SGI_OF((uint32_t)owner) : RIG_DIST;

    return base + offset + (intid * bits / 32U) * 4U;
}

static void compare_word(struct world *w, int v, uint32_t intid, int owner)
{
    uint32_t first = intid & ~31U;
    uint32_t want[4] = {0, 0, 0, 0};
    static const uint32_t offsets[4] = {0x100, 0x200, 0x300, 0x80};
    uint32_t known = ~0U;

    for (uint32_t i = 0; i < 32; i++) {
        struct model_irq *irq = model_irq(&w->model, owner, first + i);

        want[0] |= irq->enabled ? 1U << i : 0;
        want[1] |= model_pending(irq) ? 1U << i : 0;
        want[2] |= irq->active ? 1U << i : 0;
        want[3] |= irq->group ? 1U << i : 0;
    }
    /* Nobody looks at another vCPU's timer. */
    if (first == 0 && owner != v) {
        known = ~(1U << 27);
    }
    for (uint32_t k = 0; k < 4; k++) {
        uint32_t alias = k < 3 && chance(w, 30) ? 0x80 : 0; /* the clear register reads the same */
        uint32_t got = rig_read32(&w->rig, bank(first, owner, offsets[k] + alias, 1));

        if ((got & known) != (want[k] & known)) {
            fprintf(stderr, "offset %x word %u of %d: %x, not %x\n", offsets[k], first / 32, owner,
                    got, want[k]);
        }
        CHECK((got & known) == (want[k] & known));
    }
    CHECK(rig_read(&w->rig,
                   bank(0, owner, 0x400, 8) * 0 +
                       (intid < 32 ? RIG_SGI_OF((uint32_t)owner) : RIG_DIST) + 0x400 + intid,
                   1) == model_irq(&w->model, owner, intid)->priority);
}

static void guest_enables(struct world *w)
{
    uint32_t intid = any_irq(w);
    int owner = (int)pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    bool on = chance(w, 85);

    irq->enabled = on;
    rig_write32(&w->rig, bank(intid, owner, on ? 0x100 : 0x180, 1), 1U << (intid % 32));
}

static void guest_priority(struct world *w)
{
    uint32_t intid = any_irq(w);
    int owner = (int)pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    uint32_t priority = chance(w, 50) ? pick(w, 4) << 6 : pick(w, 240);
    uint64_t base = intid < 32 ? RIG_SGI_OF((uint32_t)owner) : RIG_DIST;

    irq->priority = priority & w->model.priority_mask;
    rig_write(&w->rig, base + 0x400 + intid, 1, priority);
}

static void guest_group(struct world *w)
{
    uint32_t intid = any_irq(w);
    int owner = (int)pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    uint64_t at = bank(intid, owner, 0x80, 1);
    uint32_t old = rig_read32(&w->rig, at);
    uint32_t bit = 1U << (intid % 32);

    irq->group = pick(w, 2);
    rig_write32(&w->rig, at, irq->group ? old | bit : old & ~bit);
}

static void guest_pending(struct world *w)
{
    uint32_t intid = any_irq(w);
    int owner = (int)pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    bool set = chance(w, 60);

    irq->latch = set;
    rig_write32(&w->rig, bank(intid, owner, set ? 0x200 : 0x280, 1), 1U << (intid % 32));
}

static void guest_active(struct world *w)
{
    uint32_t intid = any_irq(w);
    int owner = (int)pick(w, w->rig.vm.nr_vcpus);
    bool set = chance(w, 25);

    if (!set && model_in_eoi_stack(&w->model, owner, intid)) {
        return; /* the guest's EOIR would then end another one: UNPREDICTABLE */
    }
    rig_write32(&w->rig, bank(intid, owner, set ? 0x300 : 0x380, 1), 1U << (intid % 32));
    if (set) {
        model_irq(&w->model, owner, intid)->active = true;
    } else {
        model_deactivate(&w->model, owner, intid);
    }
}

static void guest_config(struct world *w)
{
    uint32_t intid = any_spi(w);
    struct model_irq *irq = model_irq(&w->model, 0, intid);
    uint64_t at = bank(intid, 0, 0xc00, 2);
    uint32_t bit = 2U << (2 * (intid % 16));
    uint32_t old = rig_read32(&w->rig, at);

    CHECK(((old & bit) != 0) == irq->edge);
    if (irq->enabled) {
        return;
    }
    irq->edge = !irq->edge;
    rig_write32(&w->rig, at, old ^ bit);
}

static void guest_route(struct world *w)
{
    uint32_t intid = any_spi(w);
    struct model_irq *irq = model_irq(&w->model, 0, intid);
    uint64_t at = GICD(0x6000) + 8 * intid;

    CHECK(rig_read(&w->rig, at, 8) == irq->router);
    irq->router = chance(w, 20) ? 1UL << 31 : pick(w, w->rig.vm.nr_vcpus + chance(w, 10));
    if (chance(w, 50)) {
        rig_write(&w->rig, at, 8, irq->router);
    } else {
        rig_write(&w->rig, at, 4, irq->router);
        rig_write(&w->rig, at + 4, 4, 0);
    }
    model_route_all(&w->model);
}

static void guest_control(struct world *w)
{
    int v = (int)sim_here()->cpu.loaded->id;

    if (chance(w, 50)) {
        w->model.ctlr = chance(w, 85) ? 3 : pick(w, 4);
        rig_write32(&w->rig, GICD_CTLR, w->model.ctlr);
        CHECK(rig_read32(&w->rig, GICD_CTLR) == (0x50 | w->model.ctlr));
    } else {
        w->model.vcpus[v].asleep = chance(w, 30);
        rig_write32(&w->rig, RIG_REDIST_OF((uint32_t)v) + 0x14, w->model.vcpus[v].asleep ? 2 : 0);
        model_route_all(&w->model);
    }
}

static void guest_sgi(struct world *w, int v)
{
    uint32_t intid = pick(w, 16);
    uint32_t targets = pick(w, 16);
    bool all = chance(w, 20);
    bool either = chance(w, 80);
    uint64_t value = FIELD_PREP(ICC_SGI1R_EL1_INTID, intid) | (all ? ICC_SGI1R_EL1_IRM : 0) |
                     FIELD_PREP(ICC_SGI1R_EL1_TARGETLIST, targets);

    if (!all && chance(w, 10)) {
        /* Other clusters and ranges: nobody's. */
        value |=
            chance(w, 50) ? FIELD_PREP(ICC_SGI1R_EL1_AFF1, 1) : FIELD_PREP(ICC_SGI1R_EL1_RS, 1);
        targets = 0;
    }
    targets = all ? 15U & ~(1U << v) : targets;
    model_sgi(&w->model, v, intid, targets, either);
    if (either) {
        CHECK(vgic_write_sgi1r(sim_here()->cpu.loaded, value) == TRAP_NEXT);
    } else {
        CHECK(vgic_write_sgi0r(sim_here()->cpu.loaded, value) == TRAP_NEXT);
    }
}

static void guest_interface(struct world *w, int v)
{
    struct model_vcpu *vcpu = &w->model.vcpus[v];
    uint32_t group = pick(w, 2);

    switch (pick(w, 8)) {
    case 0:
    case 1:
        vcpu->pmr = (chance(w, 90) ? 0xff : pick(w, 256)) & w->model.priority_mask;
        sim_set_pmr(vcpu->pmr);
        break;
    case 2:
    case 3:
        vcpu->enable[group] = chance(w, 85);
        sim_set_enable(group, vcpu->enable[group]);
        break;
    case 4:
        if (vcpu->depth == 0 && vcpu->nr_dropped == 0) {
            vcpu->split = chance(w, 40);
            sim_set_eoimode(vcpu->split);
        }
        break;
    case 5:
        if (vcpu->depth == 0) {
            uint32_t min = w->model.min_bpr + group;
            uint32_t bpr = pick(w, 8);

            vcpu->bpr[group] = bpr < min ? min : bpr;
            sim_set_bpr(group, bpr);
        }
        break;
    default:
        break;
    }
}

static void guest_ack(struct world *w, int v)
{
    struct model_choice choice;
    uint32_t group = chance(w, 85) ? sim_irq_signalled(1) : pick(w, 2);
    uint32_t intid;
    bool listed = false;

    if (w->model.vcpus[v].depth == MODEL_STACK) {
        return;
    }
    model_choose(&w->model, v, &choice);
    intid = sim_ack(group);
    if (intid == SIM_SPURIOUS) {
        CHECK(!choice.signals[group] || choice.mixed);
        return;
    }
    for (int i = 0; i < choice.count; i++) {
        listed |= choice.intids[i] == intid;
    }
    CHECK(listed);
    CHECK(choice.signals[group]);
    CHECK(model_irq(&w->model, v, intid)->group == group);
    model_ack(&w->model, v, intid);
    w->acks++;
}

static void guest_eoi(struct world *w, int v)
{
    struct model_vcpu *vcpu = &w->model.vcpus[v];

    if (vcpu->depth > 0 && vcpu->nr_dropped < MODEL_IRQS && chance(w, 60)) {
        struct model_running *top = &vcpu->stack[vcpu->depth - 1];

        sim_eoi(top->group, top->intid);
        model_eoi(&w->model, v);
    }
}

static void guest_dir(struct world *w, int v)
{
    /* SPIs may be ended on another vCPU than the one that took them. */
    int owner = chance(w, 15) ? (int)pick(w, w->rig.vm.nr_vcpus) : v;
    struct model_vcpu *taker = &w->model.vcpus[owner];
    uint32_t intid;
    uint32_t n;

    if (taker->nr_dropped == 0 || !w->model.vcpus[v].split) {
        return;
    }
    n = pick(w, (uint32_t)taker->nr_dropped);
    intid = taker->dropped[n];
    if (owner != v && intid < 32) {
        return;
    }
    taker->dropped[n] = taker->dropped[--taker->nr_dropped];
    if (model_in_eoi_stack(&w->model, v, intid)) {
        return; /* ICACTIVER ended it, and it was taken again */
    }
    rig_dir(intid);
    model_deactivate(&w->model, v, intid);
}

/* Looks at the registers right after an interrupt ended, when only a list register or EOIcount knows
 * about it; perhaps from another vCPU. */
static void guest_eoi_look(struct world *w, int v)
{
    struct model_vcpu *vcpu = &w->model.vcpus[v];
    struct sim_cpu *other = &w->rig.cpus[pick(w, w->rig.nr_cpus)];
    uint32_t intid;

    if (vcpu->depth == 0) {
        return;
    }
    intid = vcpu->stack[vcpu->depth - 1].intid;
    guest_eoi(w, v);
    if (other->cpu.loaded != NULL && other->cpu.running == other->cpu.loaded) {
        sim_enter(other);
    }
    compare_word(w, (int)sim_here()->cpu.loaded->id, intid, v);
}

static void guest_step(struct world *w)
{
    int v = enter_guest(w);
    uint32_t intid;

    if (v < 0) {
        return;
    }
    switch (pick(w, 28)) {
    case 0:
        guest_enables(w);
        break;
    case 1:
        guest_priority(w);
        break;
    case 2:
        guest_group(w);
        break;
    case 3:
        guest_pending(w);
        break;
    case 4:
        guest_active(w);
        break;
    case 5:
        guest_config(w);
        break;
    case 27:
        guest_eoi_look(w, v);
        break;
    case 26:
        guest_dir(w, v);
        break;
    case 6:
        guest_route(w);
        break;
    case 7:
        if (chance(w, 15)) {
            guest_control(w);
        }
        break;
    case 8:
    case 9:
    case 10:
        guest_sgi(w, v);
        break;
    case 11:
        guest_interface(w, v);
        break;
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
        guest_ack(w, v);
        break;
    case 18:
    case 19:
    case 20:
    case 21:
    case 22:
        guest_eoi(w, v);
        break;
    case 23:
        guest_dir(w, v);
        break;
    default:
        intid = any_irq(w);
        compare_word(w, v, intid, (int)pick(w, w->rig.vm.nr_vcpus));
        break;
    }
}

static void timer_step(struct world *w)
{
    uint32_t v = pick(w, w->rig.vm.nr_vcpus);
    struct cpu *at = w->rig.vcpus[v].vgic.cpu;
    bool level = chance(w, 50);
    bool fell = w->rig.timer_line[v] && !level;

    w->rig.timer_line[v] = level;
    model_line(&w->model, (int)v, 27, level);
    if (at == NULL) {
        sim_enter(&w->rig.cpus[pick(w, w->rig.nr_cpus)]);
        vtimer_resample(&w->rig.vcpus[v]);
    } else {
        sim_enter(&w->rig.cpus[at->id]);
        if (fell) {
            vtimer_resample(&w->rig.vcpus[v]);
        } else if (level && at->running != at->loaded) {
            rig_take_timer(&w->rig); /* while it waits */
        }
    }
}

static void device_step(struct world *w)
{
    uint32_t spi = any_spi(w);
    uint32_t v = pick(w, w->rig.vm.nr_vcpus);
    bool level = chance(w, 50);

    sim_enter(&w->rig.cpus[pick(w, w->rig.nr_cpus)]);
    switch (pick(w, 4)) {
    case 0:
        vgic_pulse_spi(&w->rig.vm, spi);
        if (model_irq(&w->model, 0, spi)->edge) {
            model_latch(&w->model, 0, spi);
        }
        break;
    case 1:
        w->rig.ptimer_line[v] = level;
        vgic_set_ppi_level(&w->rig.vcpus[v], 30, level);
        model_line(&w->model, (int)v, 30, level);
        break;
    case 2:
        timer_step(w);
        break;
    default:
        vgic_set_spi_level(&w->rig.vm, spi, level);
        model_line(&w->model, 0, spi, level);
        break;
    }
}

static void schedule_step(struct world *w)
{
    struct sim_cpu *sim = &w->rig.cpus[pick(w, w->rig.nr_cpus)];
    struct vcpu *vcpu = &w->rig.vcpus[pick(w, w->rig.vm.nr_vcpus)];

    sim_enter(sim);
    if (sim->cpu.loaded != NULL) {
        if (chance(w, 60)) {
            return;
        }
        if (chance(w, 30)) {
            rig_settle(&w->rig);
            sim->cpu.running = NULL; /* waits, but nobody else came */
        } else {
            rig_put();
        }
    } else if (vcpu->vgic.cpu == NULL) {
        rig_load(vcpu);
    }
}

/* A vCPU that does not run, and that has something to take now but had not before, was kicked. */
static void check_kicks(struct world *w, const bool *before, const uint32_t *kicks)
{
    /* Whoever was kicked looks at once; it may find that another has to. */
    for (uint32_t i = 0; i < 2 * w->rig.vm.nr_vcpus; i++) {
        uint32_t v = i % w->rig.vm.nr_vcpus;
        struct cpu *at = w->rig.vcpus[v].vgic.cpu;

        if (at != NULL && (at->running == at->loaded || w->rig.kicks[v] != kicks[v])) {
            sim_enter(&w->rig.cpus[at->id]);
            rig_settle(&w->rig);
        }
    }
    for (uint32_t v = 0; v < w->rig.vm.nr_vcpus; v++) {
        struct vcpu *vcpu = &w->rig.vcpus[v];
        struct cpu *at = vcpu->vgic.cpu;
        struct model_choice choice;
        bool got;

        if (at != NULL) {
            sim_enter(&w->rig.cpus[at->id]);
            if (at->running == vcpu) {
                rig_settle(&w->rig);
            } else {
                rig_take_timer(&w->rig);
            }
        }
        got = vgic_deliverable(vcpu);
        model_choose(&w->model, (int)v, &choice);
        if (got != (choice.signals[0] || choice.signals[1]) && !choice.mixed) {
            fprintf(stderr, "vCPU %u (%s): %d, first of %d is %u\n", v,
                    at == NULL            ? "out"
                    : at->running == vcpu ? "runs"
                                          : "waits",
                    got, choice.count, choice.intids[0]);
            const struct vgic_irq *irq =
                choice.count > 0 && choice.intids[0] < 32
                    ? &vcpu->vgic.irqs[choice.intids[0]]
                    : &w->rig.vm.vgic.spis[choice.count > 0 ? choice.intids[0] - 32 : 0];
            fprintf(stderr,
                    "lr %u held %u line %d latch %d active %d soft %d hw %d enabled %d prio %x "
                    "overflow %d phys %d\n",
                    irq->lr, irq->held, irq->line, irq->latch, irq->active, irq->soft_active,
                    irq->hw, irq->enabled, irq->priority, vcpu->vgic.overflow,
                    sim_here()->ppi27_active);
            CHECK(false);
        }
        if (got && !before[v] && (at == NULL || at->running != vcpu)) {
            CHECK(w->rig.kicks[v] != kicks[v]);
        }
    }
}

/* A guest that has set itself up: everything enabled, everything in group 1. */
static void boot(struct world *w)
{
    for (uint32_t v = 0; v < w->rig.vm.nr_vcpus; v++) {
        struct model_vcpu *vcpu = &w->model.vcpus[v];

        sim_enter(&w->rig.cpus[0]);
        rig_load(&w->rig.vcpus[v]);
        rig_enable_all(&w->rig, 0xa0);
        rig_put();
        vcpu->pmr = 0xff & w->model.priority_mask;
        vcpu->enable[0] = vcpu->enable[1] = true;
    }
    for (int v = 0; v < w->model.nr_vcpus; v++) {
        for (uint32_t i = 0; i < MODEL_IRQS; i++) {
            struct model_irq *irq = model_irq(&w->model, v, i);

            irq->enabled = true;
            irq->group = 1;
            irq->priority = 0xa0;
        }
    }
    w->model.ctlr = 3;
}

static void run_world(uint64_t seed, uint32_t steps, uint64_t *acks)
{
    static struct world w;
    static const uint32_t lr_counts[] = {1, 2, 3, 4, 4, 4, 8, 16};
    bool before[RIG_VCPUS];
    uint32_t kicks[RIG_VCPUS];
    uint32_t nr_cpus, nr_vcpus, bits;

    w.random = seed * 0x9e3779b97f4a7c15UL + 1;
    w.acks = 0;
    seed_now = seed;
    nr_cpus = 1 + pick(&w, 3);
    nr_vcpus = 1 + pick(&w, RIG_VCPUS);
    bits = chance(&w, 70) ? 5 : 6 + pick(&w, 2);
    rig_init(&w.rig, nr_cpus, nr_vcpus, lr_counts[pick(&w, ARRAY_SIZE(lr_counts))], bits);
    model_init(&w.model, (int)nr_vcpus, bits);
    for (uint32_t i = 0; i < ARRAY_SIZE(w.hot); i++) {
        w.hot[i] = 32 + pick(&w, 256);
    }
    if (chance(&w, 90)) {
        boot(&w);
    }
    for (step_now = 0; step_now < steps; step_now++) {
        for (uint32_t v = 0; v < nr_vcpus; v++) {
            struct model_choice choice;

            model_choose(&w.model, (int)v, &choice);
            before[v] = choice.signals[0] || choice.signals[1] || choice.mixed;
            kicks[v] = w.rig.kicks[v];
        }
        switch (pick(&w, 16)) {
        case 0:
            schedule_step(&w);
            break;
        case 1:
        case 2:
        case 3:
            device_step(&w);
            break;
        default:
            guest_step(&w);
            break;
        }
        if (step_now % 4 == 0) {
            check_kicks(&w, before, kicks);
        }
    }
    *acks += w.acks;
}

static void test_against_model(void **state)
{
    const char *one = getenv("PROP_VGIC_SEED");
    uint64_t acks = 0;

    (void)state;
    if (one != NULL) {
        run_world(strtoul(one, NULL, 0), 20000, &acks);
        return;
    }
    for (uint64_t seed = 1; seed <= 150; seed++) {
        run_world(seed, 2000, &acks);
    }
    print_message("%lu interrupts taken\n", (unsigned long)acks);
    assert_true(acks > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
