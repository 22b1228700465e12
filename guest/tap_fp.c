/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FP and SIMD registers stay what they were over every kind of exit, while the other CPUs (and
 * other guests) use theirs. Boot arguments: rounds=N (default 200), seconds=N instead.
 */

#include "runtime/guest.h"

const char payload_name[] = "tap_fp";

struct fp_image {
    uint64_t v[64];
    uint64_t fpcr, fpsr;
};

/* fp_asm.S */
void fp_load(const struct fp_image *image);
void fp_save(struct fp_image *image);
uint64_t fp_compute(uint64_t seed);

static uint64_t bad, rounds_done[CPU_MAX];
static uint64_t deadline;

static void fill(struct fp_image *image, uint64_t *seed)
{
    for (unsigned i = 0; i < ARRAY_SIZE(image->v); i++) {
        image->v[i] = random_next(seed);
    }
    image->fpcr = FIELD(*seed, 1, 0) << 22; /* a rounding mode */
    image->fpsr = *seed >> 32 & 0x1f;       /* cumulative flags */
}

/* Something that leaves the guest, a different one each time. */
static void leave(uint64_t n)
{
    switch (n % 6) {
    case 0:
        smccc_call(PSCI_VERSION, 0, 0, 0);
        break;
    case 1:
        (void)read32(machine.uart + 0x18);
        break;
    case 2:
        (void)read_sysreg(id_aa64pfr0_el1);
        break;
    case 3:
        (void)read32(machine.gicd + GICD_IIDR);
        break;
    case 4:
        timer_spin_us(100);
        break;
    default:
        write_sysreg(counter_virt() + timer_from_us(300), cntv_cval_el0);
        write_sysreg(TIMER_ENABLE, cntv_ctl_el0);
        isb();
        wfi(); /* masked: woken by the pending timer */
        write_sysreg(0, cntv_ctl_el0);
        isb();
        break;
    }
}

static void keep(uint64_t rounds)
{
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15) * (cpu_id() + 1);
    struct fp_image want;
    struct fp_image got;

    if (cpu_id() != 0) {
        gic_init_cpu();
    }
    gic_set_bit(GICD_ISENABLER, PPI_VTIMER);
    for (uint64_t n = 0; n < rounds && counter_virt() < deadline; n++) {
        fill(&want, &seed);
        fp_load(&want);
        leave(n);
        fp_save(&got);
        if (memcmp(&want, &got, sizeof(want)) != 0) {
            __atomic_add_fetch(&bad, 1, __ATOMIC_RELAXED);
        }
        rounds_done[cpu_id()]++;
    }
}

static void zero_at_start(uint64_t arg)
{
    struct fp_image image;
    uint64_t *dirty = (uint64_t *)arg;
    uint64_t sum = 0;

    fp_save(&image);
    for (unsigned i = 0; i < ARRAY_SIZE(image.v); i++) {
        sum |= image.v[i];
    }
    if (sum != 0) {
        __atomic_add_fetch(dirty, 1, __ATOMIC_RELAXED);
    }
}

void payload_main(void)
{
    uint64_t seconds = bootarg_number("seconds", 0);
    uint64_t rounds = seconds != 0 ? UINT64_MAX : bootarg_number("rounds", 200);
    uint64_t dirty = 0;
    uint64_t first;

    deadline = seconds != 0 ? counter_virt() + timer_from_us(1000000 * seconds) : UINT64_MAX;
    cpu_run_all(zero_at_start, (uint64_t)&dirty);
    tap_equal(dirty, 0, "no CPU starts with somebody else's vector registers");
    first = fp_compute(1);
    gic_init();
    cpu_run_all(keep, rounds);
    tap_equal(bad, 0, "registers, FPCR and FPSR are kept, %lu rounds on the first CPU",
              rounds_done[0]);
    tap_equal(fp_compute(1), first, "computing gives the same again");
    tap_done();
}
