/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/vgic_world.h"

#include "arch/sysreg.h"
#include "bothy/bits.h"
#include <stdio.h>
#include <stdlib.h>

#define GICD_CTLR RIG_DIST
#define GICD(offset) (RIG_DIST + (offset))

void world_check(const struct world *w, bool good, const char *what, const char *file, int line)
{
    if (!good) {
        fprintf(stderr, "%s:%d: seed %lu, step %u: %s\n", file, line, (unsigned long)w->seed,
                w->step, what);
        abort();
    }
}

uint32_t world_pick(struct world *w, uint32_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 20) % n;
}

bool world_chance(struct world *w, uint32_t percent)
{
    return world_pick(w, 100) < percent;
}

static uint32_t any_irq(struct world *w)
{
    switch (world_pick(w, 8)) {
    case 0:
        return 27;
    case 1:
        return 16 + world_pick(w, 16);
    case 2:
    case 3:
        return world_pick(w, 16);
    default:
        return w->hot[world_pick(w, ARRAY_SIZE(w->hot))];
    }
}

uint32_t world_any_spi(struct world *w)
{
    return w->hot[world_pick(w, ARRAY_SIZE(w->hot))];
}

/* Put this thread on a CPU whose vCPU can run guest code; the vCPU's id, or -1 if none. */
static int enter_guest(struct world *w)
{
    struct sim_cpu *sim = &w->rig.cpus[world_pick(w, w->rig.nr_cpus)];

    for (int tries = 0; sim->cpu.loaded == NULL; tries++) {
        if (tries == 8) {
            return -1;
        }
        sim = &w->rig.cpus[world_pick(w, w->rig.nr_cpus)];
    }
    sim_enter(sim);
    sim->cpu.running = sim->cpu.loaded;
    rig_settle_all(&w->rig);
    return (int)sim->cpu.loaded->id;
}

/* The frame that has an interrupt's registers. */
static uint64_t frame(uint32_t intid, int owner)
{
    return intid < 32 ? RIG_SGI_OF((uint32_t)owner) : RIG_DIST;
}

static uint64_t bank(uint32_t intid, int owner, uint32_t offset, uint32_t bits)
{
    return frame(intid, owner) + offset + (intid * bits / 32U) * 4U;
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
        uint32_t alias =
            k < 3 && world_chance(w, 30) ? 0x80 : 0; /* the clear register reads the same */
        uint32_t got = rig_read32(&w->rig, bank(first, owner, offsets[k] + alias, 1));

        if ((got & known) != (want[k] & known)) {
            fprintf(stderr, "offset %x word %u of %d: %x, not %x\n", offsets[k], first / 32, owner,
                    got, want[k]);
        }
        CHECK(w, (got & known) == (want[k] & known));
    }
    CHECK(w, rig_read(&w->rig, frame(intid, owner) + 0x400 + intid, 1) ==
                 model_irq(&w->model, owner, intid)->priority);
}

static void guest_enables(struct world *w, int v)
{

    uint32_t intid = any_irq(w);
    int owner = (int)world_pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    bool on = world_chance(w, 85);

    irq->enabled = on;
    rig_write32(&w->rig, bank(intid, owner, on ? 0x100 : 0x180, 1), 1U << (intid % 32));
}

static void guest_priority(struct world *w, int v)
{

    uint32_t intid = any_irq(w);
    int owner = (int)world_pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    uint32_t priority = world_chance(w, 50) ? world_pick(w, 4) << 6 : world_pick(w, 240);

    irq->priority = priority & w->model.priority_mask;
    rig_write(&w->rig, frame(intid, owner) + 0x400 + intid, 1, priority);
}

static void guest_group(struct world *w, int v)
{

    uint32_t intid = any_irq(w);
    int owner = (int)world_pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    uint64_t at = bank(intid, owner, 0x80, 1);
    uint32_t old = rig_read32(&w->rig, at);
    uint32_t bit = 1U << (intid % 32);

    irq->group = world_pick(w, 2);
    rig_write32(&w->rig, at, irq->group ? old | bit : old & ~bit);
}

static void guest_pending(struct world *w, int v)
{

    uint32_t intid = any_irq(w);
    int owner = (int)world_pick(w, w->rig.vm.nr_vcpus);
    struct model_irq *irq = model_irq(&w->model, owner, intid);
    bool set = world_chance(w, 60);

    irq->latch = set;
    rig_write32(&w->rig, bank(intid, owner, set ? 0x200 : 0x280, 1), 1U << (intid % 32));
}

static void guest_active(struct world *w, int v)
{

    uint32_t intid = any_irq(w);
    int owner = (int)world_pick(w, w->rig.vm.nr_vcpus);
    bool set = world_chance(w, 25);

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

static void guest_config(struct world *w, int v)
{

    uint32_t intid = world_any_spi(w);
    struct model_irq *irq = model_irq(&w->model, 0, intid);
    uint64_t at = bank(intid, 0, 0xc00, 2);
    uint32_t bit = 2U << (2 * (intid % 16));
    uint32_t old = rig_read32(&w->rig, at);

    CHECK(w, ((old & bit) != 0) == irq->edge);
    if (irq->enabled) {
        return;
    }
    irq->edge = !irq->edge;
    rig_write32(&w->rig, at, old ^ bit);
}

static void guest_route(struct world *w, int v)
{

    uint32_t intid = world_any_spi(w);
    struct model_irq *irq = model_irq(&w->model, 0, intid);
    uint64_t at = GICD(0x6000) + 8 * intid;

    CHECK(w, rig_read(&w->rig, at, 8) == irq->router);
    irq->router =
        world_chance(w, 20) ? 1UL << 31 : world_pick(w, w->rig.vm.nr_vcpus + world_chance(w, 10));
    if (world_chance(w, 50)) {
        rig_write(&w->rig, at, 8, irq->router);
    } else {
        rig_write(&w->rig, at, 4, irq->router);
        rig_write(&w->rig, at + 4, 4, 0);
    }
    model_route_all(&w->model);
}

static void guest_control(struct world *w, int v)
{

    if (world_chance(w, 50)) {
        w->model.ctlr = world_chance(w, 85) ? 3 : world_pick(w, 4);
        rig_write32(&w->rig, GICD_CTLR, w->model.ctlr);
        CHECK(w, rig_read32(&w->rig, GICD_CTLR) == (0x50 | w->model.ctlr));
    } else {
        w->model.vcpus[v].asleep = world_chance(w, 30);
        rig_write32(&w->rig, RIG_REDIST_OF((uint32_t)v) + 0x14, w->model.vcpus[v].asleep ? 2 : 0);
        model_route_all(&w->model);
    }
}

static void guest_sgi(struct world *w, int v)
{
    uint32_t intid = world_pick(w, 16);
    uint32_t targets = world_pick(w, 16);
    bool all = world_chance(w, 20);
    bool either = world_chance(w, 80);
    uint64_t value = FIELD_PREP(ICC_SGI1R_EL1_INTID, intid) | (all ? ICC_SGI1R_EL1_IRM : 0) |
                     FIELD_PREP(ICC_SGI1R_EL1_TARGETLIST, targets);

    if (!all && world_chance(w, 10)) {
        /* Other clusters and ranges: nobody's. */
        value |= world_chance(w, 50) ? FIELD_PREP(ICC_SGI1R_EL1_AFF1, 1)
                                     : FIELD_PREP(ICC_SGI1R_EL1_RS, 1);
        targets = 0;
    }
    targets = all ? 15U & ~(1U << v) : targets;
    model_sgi(&w->model, v, intid, targets, either);
    if (either) {
        CHECK(w, vgic_write_sgi1r(sim_here()->cpu.loaded, value) == TRAP_NEXT);
    } else {
        CHECK(w, vgic_write_sgi0r(sim_here()->cpu.loaded, value) == TRAP_NEXT);
    }
}

static void guest_interface(struct world *w, int v)
{
    struct model_vcpu *vcpu = &w->model.vcpus[v];
    uint32_t group = world_pick(w, 2);

    switch (world_pick(w, 8)) {
    case 0:
    case 1:
        vcpu->pmr = (world_chance(w, 90) ? 0xff : world_pick(w, 256)) & w->model.priority_mask;
        sim_set_pmr(vcpu->pmr);
        break;
    case 2:
    case 3:
        vcpu->enable[group] = world_chance(w, 85);
        sim_set_enable(group, vcpu->enable[group]);
        break;
    case 4:
        if (vcpu->depth == 0 && vcpu->nr_dropped == 0) {
            vcpu->split = world_chance(w, 40);
            sim_set_eoimode(vcpu->split);
        }
        break;
    case 5:
        if (vcpu->depth == 0) {
            uint32_t min = w->model.min_bpr + group;
            uint32_t bpr = world_pick(w, 8);

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
    uint32_t group = world_chance(w, 85) ? sim_irq_signalled(1) : world_pick(w, 2);
    uint32_t intid;
    bool listed = false;

    if (w->model.vcpus[v].depth == MODEL_STACK) {
        return;
    }
    model_choose(&w->model, v, &choice);
    intid = sim_ack(group);
    if (intid == SIM_SPURIOUS) {
        CHECK(w, !choice.signals[group] || choice.mixed);
        return;
    }
    for (int i = 0; i < choice.count; i++) {
        listed |= choice.intids[i] == intid;
    }
    CHECK(w, listed);
    CHECK(w, choice.signals[group]);
    CHECK(w, model_irq(&w->model, v, intid)->group == group);
    model_ack(&w->model, v, intid);
    w->acks++;
}

static void guest_eoi(struct world *w, int v)
{
    struct model_vcpu *vcpu = &w->model.vcpus[v];

    if (vcpu->depth > 0 && vcpu->nr_dropped < MODEL_IRQS && world_chance(w, 60)) {
        struct model_running *top = &vcpu->stack[vcpu->depth - 1];

        sim_eoi(top->group, top->intid);
        model_eoi(&w->model, v);
    }
}

static void guest_dir(struct world *w, int v)
{
    /* SPIs may be ended on another vCPU than the one that took them. */
    int owner = world_chance(w, 15) ? (int)world_pick(w, w->rig.vm.nr_vcpus) : v;
    struct model_vcpu *taker = &w->model.vcpus[owner];
    uint32_t intid;
    uint32_t n;

    if (taker->nr_dropped == 0 || !w->model.vcpus[v].split) {
        return;
    }
    n = world_pick(w, (uint32_t)taker->nr_dropped);
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

/* Looks at the registers right after an interrupt ended, when only a list register or EOIcount
 * knows about it; perhaps from another vCPU. */
static void guest_eoi_look(struct world *w, int v)
{
    struct model_vcpu *vcpu = &w->model.vcpus[v];
    struct sim_cpu *other = &w->rig.cpus[world_pick(w, w->rig.nr_cpus)];
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

static void guest_look(struct world *w, int v)
{
    uint32_t intid = any_irq(w);

    compare_word(w, v, intid, (int)world_pick(w, w->rig.vm.nr_vcpus));
}

/* What a guest does, and how often. */
static const struct {
    void (*act)(struct world *w, int v);
    uint32_t weight;
} acts[] = {
    {guest_enables, 7}, {guest_priority, 7},  {guest_group, 7}, {guest_pending, 7},
    {guest_active, 7},  {guest_config, 7},    {guest_route, 7}, {guest_control, 1},
    {guest_sgi, 21},    {guest_interface, 7}, {guest_ack, 42},  {guest_eoi, 35},
    {guest_dir, 14},    {guest_eoi_look, 7},  {guest_look, 14},
};

void world_guest_step(struct world *w)
{
    int v = enter_guest(w);
    uint32_t all = 0;
    uint32_t n;

    if (v < 0) {
        return;
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(acts); i++) {
        all += acts[i].weight;
    }
    n = world_pick(w, all);
    for (uint32_t i = 0; i < ARRAY_SIZE(acts); i++) {
        if (n < acts[i].weight) {
            acts[i].act(w, v);
            return;
        }
        n -= acts[i].weight;
    }
}
