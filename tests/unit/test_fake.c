/* SPDX-License-Identifier: Apache-2.0 */
/* The fake is strict, its log says what happened, and the locks and atomics on it are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "arch/at.h"
#include "arch/barrier.h"
#include "arch/cache.h"
#include "arch/fake.h"
#include "arch/fp.h"
#include "arch/mmio.h"
#include "arch/pte.h"
#include "arch/smc.h"
#include "arch/sysreg.h"
#include "arch/tlbi.h"
#include "bothy/atomic.h"
#include "bothy/panic.h"
#include "bothy/spinlock.h"

static int setup(void **state)
{
    (void)state;
    fake_reset();
    return 0;
}

static void read_hcr(void *ctx)
{
    *(uint64_t *)ctx = read_hcr_el2();
}

static void test_unset_register_fails(void **state)
{
    uint64_t value = 1;

    (void)state;
    assert_true(fake_expect_fail(read_hcr, &value));
    assert_non_null(strstr(fake_fail_text(), "HCR_EL2"));
    assert_false(fake_sysreg_known(SYSREG_HCR_EL2));
    fake_sysreg_set(SYSREG_HCR_EL2, 0);
    assert_false(fake_expect_fail(read_hcr, &value));
    assert_int_equal(value, 0);
    assert_int_equal(fake_log_size(), 0);
}

static void test_write_then_read(void **state)
{
    (void)state;
    write_vttbr_el2(FIELD_PREP(VTTBR_EL2_VMID, 3));
    assert_true(read_vttbr_el2() == UINT64_C(3) << 48);
    write_ich_lr_el2(5, 42);
    assert_int_equal(read_ich_lr5_el2(), 42);
    assert_int_equal(read_ich_lr_el2(5), 42);
    fake_log_expect("msr vttbr_el2 0x3000000000000", "msr ich_lr5_el2 0x2a", NULL);
    assert_string_equal(fake_sysreg_name(SYSREG_ICH_LR5_EL2), "ICH_LR5_EL2");
    assert_null(fake_sysreg_name(0));
}

static void break_before_make(uint64_t *pte)
{
    pte_write(pte, 0);
    dsb_ishst();
    tlbi_ipas2e1is(FIELD_PREP(TLBI_IPA_IPA, 0x80));
    dsb_ish();
    tlbi_vmalle1is();
    dsb_ish();
    isb();
    pte_write(pte, 3);
}

static void expect_too_little(void *ctx)
{
    (void)ctx;
    fake_log_expect("isb", NULL);
}

static void expect_too_much(void *ctx)
{
    (void)ctx;
    fake_log_expect("isb", "dsb sy", "isb", NULL);
}

static void expect_other(void *ctx)
{
    (void)ctx;
    fake_log_expect("dsb s", "dsb sy", NULL);
}

static void expect_wrong_order(void *ctx)
{
    (void)ctx;
    fake_log_expect_order("dsb sy", "isb", NULL);
}

static void test_log(void **state)
{
    uint64_t pte = 7;

    (void)state;
    break_before_make(&pte);
    assert_int_equal(pte_read(&pte), 3);
    fake_log_expect("pte", "dsb ishst", "tlbi ipas2e1is 0x80", "dsb ish", "tlbi vmalle1is",
                    "dsb ish", "isb", "pte", NULL);
    fake_log_expect_order("pte", "dsb ish", "dsb ish", "pte", NULL);
    assert_int_equal(fake_log_count(FAKE_TLBI), 2);
    assert_int_equal(fake_log_find(0, FAKE_DSB, FAKE_ISH), 3);
    assert_int_equal(fake_log_find(4, FAKE_DSB, FAKE_ISH), 5);
    assert_int_equal(fake_log_find(0, FAKE_DMB, FAKE_ISH), fake_log_size());
    assert_int_equal(fake_log_at(7)->b, 3);
    assert_null(fake_log_at(8));
    fake_log_clear();
    fake_log_expect(NULL, NULL);
    fake_log_enable(false);
    break_before_make(&pte);
    assert_int_equal(fake_log_size(), 0);
}

static void test_log_mismatches_fail(void **state)
{
    (void)state;
    isb();
    dsb_sy();
    assert_true(fake_expect_fail(expect_too_little, NULL));
    assert_true(fake_expect_fail(expect_too_much, NULL));
    assert_true(fake_expect_fail(expect_other, NULL));
    assert_true(fake_expect_fail(expect_wrong_order, NULL));
}

static void test_all_events_have_text(void **state)
{
    static struct fp_state fp, fp_back;
    uint64_t word = 0;

    (void)state;
    fake_sysreg_set(SYSREG_DCZID_EL0, 4);
    fp.q[31].high = 9;
    fp_restore(&fp);
    fp_save(&fp_back);
    assert_memory_equal(&fp, &fp_back, sizeof(fp));
    dmb_ishst();
    dsb_nsh();
    dsb_nshst();
    ic_ialluis();
    cache_clean_inval_range(&word, 8);
    dc_ivac(&word);
    at_s12e1r(va(0x1000));
    mmio_write32((uint32_t *)&word, 5);
    assert_int_equal(mmio_read8(&word), 5);
    cpu_wfi();
    cpu_sev();
    tlbi_alle2();
    fake_log_expect("fp_restore", "fp_save", "dmb ishst", "dsb nsh", "dsb nshst", "ic ialluis",
                    "dc civac", "dsb sy", "dc ivac", "at s12e1r 0x1000", "mmio_write4",
                    "mmio_read1", "wfi", "sev", "tlbi alle2", NULL);
}

static void test_cache_sizes(void **state)
{
    static uint8_t block[256] __attribute__((aligned(256)));

    (void)state;
    fake_sysreg_set(SYSREG_CTR_EL0, FIELD_PREP(CTR_EL0_DMINLINE, 4));
    assert_int_equal(cache_line_size(), 64);
    fake_sysreg_set(SYSREG_DCZID_EL0, 4);
    assert_int_equal(cache_zva_size(), 64);
    memset(block, 1, sizeof(block));
    dc_zva(&block[70]);
    assert_int_equal(block[63] + block[128], 2);
    assert_int_equal(block[64] + block[127], 0);
    fake_sysreg_set(SYSREG_DCZID_EL0, 4 | DCZID_EL0_DZP);
    assert_int_equal(cache_zva_size(), 0);
}

static bool device_read(uint32_t id, uint64_t *ret_value)
{
    *ret_value = 77;
    return id == SYSREG_ICH_MISR_EL2;
}

static bool device_write(uint32_t id, uint64_t value)
{
    if (id == SYSREG_ICC_EOIR1_EL1) {
        fake_sysreg_set(SYSREG_ICC_RPR_EL1, value + 1);
    }
    return id == SYSREG_ICC_EOIR1_EL1;
}

static void test_register_device(void **state)
{
    (void)state;
    fake_sysreg_device(device_read, device_write);
    assert_int_equal(read_ich_misr_el2(), 77);
    write_icc_eoir1_el1(4);
    assert_int_equal(read_icc_rpr_el1(), 5);
    assert_false(fake_sysreg_known(SYSREG_ICC_EOIR1_EL1));
    fake_log_expect("msr icc_eoir1_el1 0x4", NULL);
}

static void answer(bool hvc, const struct smc_args *args, struct smc_result *ret_result)
{
    *ret_result = (struct smc_result){.x0 = args->fn + args->a3, .x3 = hvc};
}

static void call_smc(void *ctx)
{
    *(struct smc_result *)ctx = smc_call(0x84000000, 0, 0, 1);
}

static uint64_t translate(enum fake_at op, uint64_t va)
{
    return op == FAKE_AT_S1E1R ? va : PAR_EL1_F;
}

static void test_firmware_and_at(void **state)
{
    struct smc_result result;

    (void)state;
    assert_true(fake_expect_fail(call_smc, &result));
    fake_smc_handler(answer);
    call_smc(&result);
    assert_true(result.x0 == 0x84000001 && result.x3 == 0);
    assert_int_equal(hvc_call(1, 0, 0, 0).x3, 1);
    fake_at_handler(translate);
    at_s1e1r(va(0x5000));
    assert_int_equal(FIELD_GET(PAR_EL1_PA, read_par_el1()), 5);
    at_s12e1r(va(0x5000));
    assert_int_equal(read_par_el1() & PAR_EL1_F, 1);
}

static uint64_t reg_read(void *ctx, uint64_t offset, unsigned int bytes)
{
    return *(uint64_t *)ctx + offset + bytes;
}

static void reg_write(void *ctx, uint64_t offset, unsigned int bytes, uint64_t value)
{
    *(uint64_t *)ctx = offset + bytes + value;
}

static void read_unaligned(void *ctx)
{
    (void)mmio_read32((uint8_t *)ctx + 1);
}

static void test_mmio_device(void **state)
{
    static const struct fake_mmio_ops ops = {reg_read, reg_write};
    static uint64_t registers[8];
    uint64_t device = 100;

    (void)state;
    fake_mmio_map(registers, sizeof(registers), &ops, &device);
    assert_int_equal(mmio_read32(&registers[2]), 120);
    mmio_write64(&registers[1], 1000);
    assert_int_equal(device, 1016);
    assert_int_equal(registers[1], 0);
    assert_true(fake_expect_fail(read_unaligned, registers));
}

static void bug(void *ctx)
{
    BUG_ON(*(int *)ctx == 1);
}

static void test_panic(void **state)
{
    int no = 0, yes = 1;

    (void)state;
    assert_false(fake_expect_fail(bug, &no));
    assert_true(fake_expect_fail(bug, &yes));
    assert_non_null(strstr(fake_fail_text(), "BUG: *(int *)ctx == 1"));
}

static void test_cpus(void **state)
{
    (void)state;
    fake_sysreg_set(SYSREG_MIDR_EL1, 11);
    write_tpidr_el2(1);
    fake_cpu_select(1);
    assert_int_equal(read_midr_el1(), 11); /* given to CPU 0, so to those that follow */
    assert_false(fake_sysreg_known(SYSREG_TPIDR_EL2)); /* written by CPU 0, its own */
    fake_sysreg_set(SYSREG_MIDR_EL1, 22);
    assert_int_equal(fake_log_size(), 0);
    fake_cpu_select(0);
    assert_int_equal(read_midr_el1(), 11);
    assert_int_equal(fake_log_size(), 1);
}

#define THREADS 4
#define ROUNDS 20000

static struct spinlock lock = SPINLOCK_INIT;
static uint64_t guarded;
static uint64_t counter;

static void *count(void *arg)
{
    (void)arg;
    write_tpidr_el2(read_midr_el1());
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 2 == 0 || !spin_trylock(&lock)) {
            spin_lock(&lock);
        }
        guarded++;
        spin_unlock(&lock);
        atomic_fetch_add64(&counter, 1);
    }
    fake_log_expect("msr tpidr_el2 0x7", NULL);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    guarded = 0;
    counter = 0;
    fake_sysreg_set(SYSREG_MIDR_EL1, 7);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(guarded, THREADS * ROUNDS);
    assert_int_equal(atomic_load64_acquire(&counter), THREADS * ROUNDS);
    assert_false(spin_is_locked(&lock));
}

static void test_atomics(void **state)
{
    uint32_t word = 5, expected = 4;

    (void)state;
    assert_false(atomic_cas32(&word, &expected, 9));
    assert_int_equal(expected, 5);
    assert_true(atomic_cas32(&word, &expected, 9));
    assert_int_equal(atomic_xchg32(&word, 1), 9);
    assert_int_equal(atomic_fetch_or32(&word, 6), 1);
    assert_int_equal(atomic_fetch_and32(&word, 3), 7);
    assert_int_equal(atomic_fetch_sub32(&word, 1), 3);
    atomic_store32_release(&word, 8);
    assert_int_equal(atomic_load32_relaxed(&word), 8);
    assert_true(spin_trylock(&lock));
    assert_false(spin_trylock(&lock));
    assert_true(spin_is_locked(&lock));
    spin_unlock(&lock);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_unset_register_fails), T(test_write_then_read), T(test_log),
        T(test_log_mismatches_fail),  T(test_all_events_have_text),
        T(test_cache_sizes),          T(test_register_device),
        T(test_firmware_and_at),      T(test_mmio_device),
        T(test_panic),                T(test_cpus),
        T(test_threads),              T(test_atomics),
    };

    return cmocka_run_group_tests_name("fake", tests, NULL, NULL);
}
