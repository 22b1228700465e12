/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vGIC on several CPUs at once, one thread each: SGIs, device edges and levels, register
 * accesses that need other CPUs to fold, and vCPUs that migrate. Nothing may be lost: each sender
 * raises a flag before it sends, the receiver takes it down, and none may be up in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "arch/sysreg.h"
#include "bothy/atomic.h"
#include "bothy/bits.h"
#include "tests/support/vgic_rig.h"

#define STEPS 20000U
#define EDGE_SPI 64U  /* edge-triggered, 16 of them */
#define LEVEL_SPI 96U /* level-sensitive, 8 of them */
#define NR_EDGES 16U
#define NR_LEVELS 8U

static struct rig rig;
static uint32_t sgi_flag[RIG_VCPUS][16];
static uint32_t edge_flag[NR_EDGES];
static uint32_t level_flag[NR_LEVELS];        /* the wire, as the device has it */
static struct spinlock level_lock[NR_LEVELS]; /* flag and wire change together */
static uint32_t fold_requests[RIG_VCPUS], folds[RIG_VCPUS];
static uint32_t working;
static uint32_t taken;

/* What el2 does for CPU_REQ_FOLD, whenever this CPU gets to it. */
static void serve(void)
{
    struct vcpu *vcpu = sim_here()->cpu.loaded;

    if (vcpu != NULL) {
        uint32_t wanted = atomic_load32_acquire(&fold_requests[vcpu->id]);

        if (wanted != atomic_load32_acquire(&folds[vcpu->id])) {
            vgic_fold(vcpu);
            atomic_store32_release(&folds[vcpu->id], wanted);
        }
    }
}

static void sync_smp(struct vcpu *vcpu)
{
    uint32_t wanted = atomic_fetch_add32(&fold_requests[vcpu->id], 1) + 1;

    /* A vCPU that is put in the meantime is folded by that. */
    while ((int32_t)(atomic_load32_acquire(&folds[vcpu->id]) - wanted) < 0) {
        serve();
        sched_yield();
    }
}

static void kick_smp(struct vcpu *vcpu)
{
    atomic_fetch_add32(&rig.kicks[vcpu->id], 1);
}

/* vCPU n is loaded on CPU n or on none. */
static void leave(void)
{
    struct vcpu *vcpu = sim_here()->cpu.loaded;

    rig_put();
    atomic_store32_release(&folds[vcpu->id], atomic_load32_acquire(&fold_requests[vcpu->id]));
}

static void handle(uint32_t v, uint32_t intid)
{
    atomic_fetch_add32(&taken, 1);
    if (intid < 16) {
        atomic_store32_release(&sgi_flag[v][intid], 0);
    } else if (intid >= EDGE_SPI && intid < EDGE_SPI + NR_EDGES) {
        atomic_store32_release(&edge_flag[intid - EDGE_SPI], 0);
    } else if (intid >= LEVEL_SPI && intid < LEVEL_SPI + NR_LEVELS) {
        uint32_t n = intid - LEVEL_SPI;

        spin_lock(&level_lock[n]);
        level_flag[n] = 0;
        vgic_set_spi_level(&rig.vm, intid, false);
        spin_unlock(&level_lock[n]);
        rig_settle(&rig); /* the guest's device access ends with an entry */
    }
    sim_eoi(1, intid);
}

/* Run the guest's handler until nothing is left. */
static void drain(uint32_t v)
{
    uint32_t intid;

    for (;;) {
        serve();
        rig_settle(&rig);
        intid = sim_ack(1);
        if (intid == SIM_SPURIOUS) {
            return;
        }
        handle(v, intid);
    }
}

static void act(uint32_t v, uint32_t random)
{
    uint32_t n = random >> 8;
    uint64_t word;

    switch (random % 8) {
    case 0:
    case 1:
        for (uint32_t to = 0; to < RIG_VCPUS; to++) {
            if ((n >> to) & 1U) {
                atomic_store32_release(&sgi_flag[to][v], 1);
            }
        }
        vgic_write_sgi1r(&rig.vcpus[v], FIELD_PREP(ICC_SGI1R_EL1_INTID, v) | (n & 15U));
        break;
    case 2:
        atomic_store32_release(&edge_flag[n % NR_EDGES], 1);
        vgic_pulse_spi(&rig.vm, EDGE_SPI + n % NR_EDGES);
        break;
    case 3:
        n %= NR_LEVELS;
        spin_lock(&level_lock[n]);
        level_flag[n] = 1;
        vgic_set_spi_level(&rig.vm, LEVEL_SPI + n, true);
        spin_unlock(&level_lock[n]);
        break;
    case 4:
        word = RIG_DIST + (n & 1U ? 0x200 : 0x300) + 4 * (2 + (n / 2) % 2);
        rig_read32(&rig, word);
        break;
    case 5:
        rig_write(&rig, RIG_DIST + 0x6000 + 8 * (EDGE_SPI + n % 48), 8, (n / 64) % RIG_VCPUS);
        break;
    case 6:
        /* Off and on again, and an active bit that is not set. */
        word = RIG_DIST + 0x180 + 4 * (2 + (n / 32) % 2);
        rig_write32(&rig, word, 1U << (n % 32));
        rig_write32(&rig, word - 0x80, 1U << (n % 32));
        rig_read32(&rig, RIG_SGI_OF(n % RIG_VCPUS) + 0x200);
        break;
    default:
        if (n % 8 == 0) {
            leave();
            sched_yield();
            rig_load(&rig.vcpus[v]);
        }
        break;
    }
}

static void *cpu_thread(void *arg)
{
    uint32_t v = (uint32_t)(uintptr_t)arg;
    uint64_t random = 0x9e3779b97f4a7c15UL * (v + 1);

    sim_enter(&rig.cpus[v]);
    rig_load(&rig.vcpus[v]);
    for (uint32_t i = 0; i < STEPS; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        act(v, (uint32_t)(random >> 16));
        if (random % 3 == 0) {
            drain(v);
        }
        serve();
    }
    /* Until all are here, others may still send or wait for a fold. */
    atomic_fetch_sub32(&working, 1);
    while (atomic_load32_acquire(&working) != 0) {
        drain(v);
        sched_yield();
    }
    return NULL;
}

static void nothing_is_lost(void **state)
{
    pthread_t threads[RIG_CPUS];

    (void)state;
    rig_init(&rig, RIG_CPUS, RIG_VCPUS, 4, 5);
    rig.hooks.sync_vcpu = sync_smp;
    rig.hooks.kick = kick_smp;
    for (uint32_t v = 0; v < RIG_VCPUS; v++) {
        sim_enter(&rig.cpus[v]);
        rig_load(&rig.vcpus[v]);
        rig_enable_all(&rig, 0xa0);
        rig_write32(&rig, RIG_DIST + 0xc00 + 4 * (EDGE_SPI / 16), 0xaaaaaaaa);
        rig_put();
    }
    working = RIG_VCPUS;
    for (uintptr_t v = 0; v < RIG_CPUS; v++) {
        assert_int_equal(pthread_create(&threads[v], NULL, cpu_thread, (void *)v), 0);
    }
    for (uint32_t v = 0; v < RIG_CPUS; v++) {
        pthread_join(threads[v], NULL);
    }
    /* What one has still to give up may be another's. */
    for (uint32_t i = 0; i < 2 * RIG_CPUS; i++) {
        sim_enter(&rig.cpus[i % RIG_CPUS]);
        drain(i % RIG_CPUS);
    }
    for (uint32_t i = 0; i < NR_EDGES; i++) {
        assert_int_equal(edge_flag[i], 0);
    }
    for (uint32_t i = 0; i < NR_LEVELS; i++) {
        assert_int_equal(level_flag[i], 0);
    }
    for (uint32_t v = 0; v < RIG_VCPUS; v++) {
        for (uint32_t i = 0; i < 16; i++) {
            assert_int_equal(sgi_flag[v][i], 0);
        }
    }
    assert_true(taken > 1000);
    print_message("%u interrupts taken\n", taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
