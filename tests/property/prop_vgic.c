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
#include <time.h>

#include <cmocka.h>

#include "bothy/bits.h"
#include "tests/support/vgic_world.h"

#define WORLDS 500U
#define WORLDS_LEAST 20U
#define CPU_SECONDS 5

static void timer_step(struct world *w)
{
    uint32_t v = world_pick(w, w->rig.vm.nr_vcpus);
    struct cpu *at = w->rig.vcpus[v].vgic.cpu;
    bool level = world_chance(w, 50);
    bool fell = w->rig.timer_line[v] && !level;

    w->rig.timer_line[v] = level;
    model_line(&w->model, (int)v, 27, level);
    if (at == NULL) {
        sim_enter(&w->rig.cpus[world_pick(w, w->rig.nr_cpus)]);
        rig_resample(&w->rig.vcpus[v]);
    } else {
        sim_enter(&w->rig.cpus[at->id]);
        if (fell) {
            rig_resample(&w->rig.vcpus[v]);
        } else if (level && at->running != at->loaded) {
            rig_take_timer(&w->rig); /* while it waits */
        }
    }
}

static void device_step(struct world *w)
{
    uint32_t spi = world_any_spi(w);
    uint32_t v = world_pick(w, w->rig.vm.nr_vcpus);
    bool level = world_chance(w, 50);

    sim_enter(&w->rig.cpus[world_pick(w, w->rig.nr_cpus)]);
    switch (world_pick(w, 4)) {
    case 0:
        vgic_pulse_spi(&w->rig.vm, spi);
        if (model_irq(&w->model, 0, spi)->edge) {
            model_latch(&w->model, 0, spi);
        }
        break;
    case 1:
        w->rig.ptimer_line[v] = level;
        w->rig.vcpus[v].timer.cntp_cval = level ? 0 : UINT64_MAX;
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
    struct sim_cpu *sim = &w->rig.cpus[world_pick(w, w->rig.nr_cpus)];
    struct vcpu *vcpu = &w->rig.vcpus[world_pick(w, w->rig.vm.nr_vcpus)];

    sim_enter(sim);
    if (sim->cpu.loaded != NULL) {
        if (world_chance(w, 60)) {
            return;
        }
        if (world_chance(w, 30)) {
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

        if (at != NULL && (at->running == at->loaded || vgic_has_work(&w->rig.vcpus[v].vgic))) {
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
        CHECK(w, choice.mixed || got == (choice.signals[0] || choice.signals[1]));
        if (got && !before[v] && (at == NULL || at->running != vcpu)) {
            CHECK(w, w->rig.kicks[v] != kicks[v]);
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
    w.seed = seed;
    nr_cpus = 1 + world_pick(&w, 3);
    nr_vcpus = 1 + world_pick(&w, RIG_VCPUS);
    bits = world_chance(&w, 70) ? 5 : 6 + world_pick(&w, 2);
    rig_init(&w.rig, nr_cpus, nr_vcpus, lr_counts[world_pick(&w, ARRAY_SIZE(lr_counts))], bits);
    model_init(&w.model, (int)nr_vcpus, bits);
    for (uint32_t i = 0; i < ARRAY_SIZE(w.hot); i++) {
        w.hot[i] = 32 + world_pick(&w, 256);
    }
    if (world_chance(&w, 90)) {
        boot(&w);
    }
    for (w.step = 0; w.step < steps; w.step++) {
        for (uint32_t v = 0; v < nr_vcpus; v++) {
            struct model_choice choice;

            model_choose(&w.model, (int)v, &choice);
            before[v] = choice.signals[0] || choice.signals[1] || choice.mixed;
            kicks[v] = w.rig.kicks[v];
        }
        switch (world_pick(&w, 16)) {
        case 0:
            schedule_step(&w);
            break;
        case 1:
        case 2:
        case 3:
            device_step(&w);
            break;
        default:
            world_guest_step(&w);
            break;
        }
        if (w.step % 4 == 0) {
            check_kicks(&w, before, kicks);
        }
    }
    *acks += w.acks;
}

static void test_against_model(void **state)
{
    const char *one = getenv("PROP_VGIC_SEED");
    uint64_t acks = 0;
    uint64_t seed = 1;

    (void)state;
    if (one != NULL) {
        run_world(strtoul(one, NULL, 0), 20000, &acks);
        return;
    }
    /* Always the same worlds in the same order; a sanitizer gets through fewer of them. */
    for (; seed <= WORLDS && (seed <= WORLDS_LEAST || clock() < CPU_SECONDS * CLOCKS_PER_SEC);
         seed++) {
        run_world(seed, 2000, &acks);
    }
    print_message("%lu worlds, %lu interrupts taken\n", (unsigned long)seed - 1,
                  (unsigned long)acks);
    assert_true(acks > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
