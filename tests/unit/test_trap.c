/* SPDX-License-Identifier: Apache-2.0 */
/* What an exit leads to: who is asked, where PC goes, what is injected, what is counted. */
#include "tests/support/core_guest.h"

#include "core/trap.h"
#include "core/vgic.h"

#define IL (UINT64_C(1) << 25)
#define ESR(ec) ((uint64_t)(ec) << 26 | IL)
#define ISV (UINT64_C(1) << 24)
#define WNR (UINT64_C(1) << 6)
#define WORD (UINT64_C(2) << 22)
#define SRT(n) ((uint64_t)(n) << 16)
#define TRANSLATION_3 0x7u
#define GICD UINT64_C(0x08000000)
#define UART UINT64_C(0x09000000)
#define SS (UINT64_C(1) << 21)
#define BTYPE (UINT64_C(3) << 10)

static struct mmio_access seen;
static unsigned int gic_calls, mmio_calls, ram_calls, fp_calls;
static ipa_t ram_ipa;

/* In place of the vGIC and of vfp.c. */
enum trap_result vgic_mmio(struct vcpu *cur, struct mmio_access *access)
{
    (void)cur;
    if (access->ipa.ipa - GICD >= 0x10000)
        return TRAP_ABORT; /* not the vGIC's */
    seen = *access;
    gic_calls++;
    access->value = 0x1234;
    return TRAP_NEXT;
}

void vfp_take(struct vcpu *vcpu)
{
    (void)vcpu;
    fp_calls++;
}

static enum trap_result hook_mmio(struct vcpu *vcpu, struct mmio_access *access)
{
    (void)vcpu;
    seen = *access;
    mmio_calls++;
    access->value = 0x56;
    return access->ipa.ipa == UART ? TRAP_NEXT : TRAP_ABORT;
}

static enum trap_result hook_ram(struct vcpu *vcpu, ipa_t at)
{
    (void)vcpu;
    ram_ipa = at;
    ram_calls++;
    return TRAP_RESUME;
}

static int setup(void **state)
{
    int result = guest_setup(state);
    struct test_guest *guest = *state;

    guest->hooks.mmio = hook_mmio;
    guest->hooks.ram_fault = hook_ram;
    spin_init(&guest->vm.lifecycle);
    set_reg(SYSREG_VBAR_EL1, 0x40001000);
    set_reg(SYSREG_FAR_EL2, 0);
    set_reg(SYSREG_HPFAR_EL2, 0);
    gic_calls = mmio_calls = ram_calls = fp_calls = 0;
    return result;
}

static void fault_at(uint64_t ipa)
{
    set_reg(SYSREG_FAR_EL2, ipa);
    set_reg(SYSREG_HPFAR_EL2, ipa >> 12 << 4);
}

static void injected(const struct vcpu *vcpu, uint64_t ec)
{
    assert_int_equal(vcpu->regs.pc, 0x40001200); /* synchronous, current EL with SP_ELx */
    assert_int_equal(get_reg(SYSREG_ESR_EL1) >> 26, ec);
    assert_int_equal(get_reg(SYSREG_ELR_EL1), GUEST_PC);
}

static void a_load_from_a_device(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    vcpu->regs.x[3] = UINT64_MAX;
    vcpu->regs.pstate |= SS | BTYPE;
    fault_at(UART);
    assert_int_equal(trap_handle(vcpu, ESR(EC_DABT_LOWER) | ISV | WORD | SRT(3) | TRANSLATION_3),
                     TRAP_RESUME);
    assert_int_equal(mmio_calls, 1);
    assert_int_equal(seen.size, 4);
    assert_false(seen.write);
    assert_int_equal(vcpu->regs.x[3], 0x56);
    assert_int_equal(vcpu->regs.pc, GUEST_PC + 4);
    assert_int_equal(vcpu->regs.pstate & (SS | BTYPE), 0);
    assert_int_equal(vcpu->exits[EXIT_DATA_ABORT_DEVICE], 1);
}

static void a_store_to_the_gic(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    vcpu->regs.x[5] = UINT64_C(0xaabbccdd11223344);
    fault_at(GICD + 0x104);
    assert_int_equal(
        trap_handle(vcpu, ESR(EC_DABT_LOWER) | ISV | WORD | SRT(5) | WNR | TRANSLATION_3),
        TRAP_RESUME);
    assert_int_equal(gic_calls, 1);
    assert_int_equal(mmio_calls, 0);
    assert_true(seen.write);
    assert_int_equal(seen.value, 0x11223344);
    assert_int_equal(vcpu->exits[EXIT_DATA_ABORT_GIC], 1);
}

static void nobody_lives_there(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    fault_at(UINT64_C(0x0b000000));
    assert_int_equal(trap_handle(vcpu, ESR(EC_DABT_LOWER) | ISV | WORD | TRANSLATION_3),
                     TRAP_RESUME);
    injected(vcpu, 0x25);
    assert_int_equal(get_reg(SYSREG_FAR_EL1), 0x0b000000);
}

static void an_access_without_a_syndrome_is_aborted(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    fault_at(UART);
    assert_int_equal(trap_handle(vcpu, ESR(EC_DABT_LOWER) | TRANSLATION_3), TRAP_RESUME);
    assert_int_equal(mmio_calls, 0);
    injected(vcpu, 0x25);
}

static void memory_is_mapped_whatever_the_access(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    fault_at(GUEST_RAM + 0x5678);
    assert_int_equal(trap_handle(vcpu, ESR(EC_DABT_LOWER) | TRANSLATION_3), TRAP_RESUME);
    assert_int_equal(trap_handle(vcpu, ESR(EC_IABT_LOWER) | TRANSLATION_3), TRAP_RESUME);
    assert_int_equal(ram_calls, 2);
    assert_int_equal(ram_ipa.ipa, GUEST_RAM + 0x5678);
    assert_int_equal(vcpu->regs.pc, GUEST_PC);
    fault_at(GUEST_RAM + GUEST_RAM_SIZE); /* the first byte behind it */
    assert_int_equal(trap_handle(vcpu, ESR(EC_DABT_LOWER) | TRANSLATION_3), TRAP_RESUME);
    assert_int_equal(ram_calls, 2);
    injected(vcpu, 0x25);
}

static void a_fetch_from_nowhere_is_aborted(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    fault_at(UART);
    assert_int_equal(trap_handle(vcpu, ESR(EC_IABT_LOWER) | TRANSLATION_3), TRAP_RESUME);
    injected(vcpu, 0x21);
}

static void missing_vectors_are_a_crash(void **state)
{
    struct test_guest *guest = guest_of(state);
    struct vcpu *vcpu = guest->vcpu[0];

    set_reg(SYSREG_VBAR_EL1, 0);
    vcpu->regs.pc = 0x200;
    fault_at(0x200);
    assert_int_equal(trap_handle(vcpu, ESR(EC_IABT_LOWER) | TRANSLATION_3), TRAP_OFF);
    assert_int_equal(guest->power_calls, 1);
    assert_int_equal(guest->power_what, VM_POWER_CRASHED);
    assert_true(guest->vm.crash.valid);
    assert_int_equal(guest->vm.crash.pc, 0x200);
    assert_int_equal(guest->vm.crash.esr, ESR(EC_IABT_LOWER) | TRANSLATION_3);
}

static void waiting_goes_on_behind_it(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    assert_int_equal(trap_handle(vcpu, ESR(EC_WFX)), TRAP_WAIT);
    assert_int_equal(trap_handle(vcpu, ESR(EC_WFX) | 1), TRAP_YIELD);
    assert_int_equal(vcpu->regs.pc, GUEST_PC + 8);
    assert_int_equal(vcpu->exits[EXIT_WFX], 2);
}

static void fp_is_given_and_tried_again(void **state)
{
    struct vcpu *vcpu = guest_of(state)->vcpu[0];

    assert_int_equal(trap_handle(vcpu, ESR(EC_FP)), TRAP_RESUME);
    assert_int_equal(fp_calls, 1);
    assert_int_equal(vcpu->regs.pc, GUEST_PC);
}

static void all_other_classes_are_undefined(void **state)
{
    static const uint8_t handled[] = {EC_WFX,   EC_FP,         EC_HVC64,     EC_SMC64,
                                      EC_SYS64, EC_IABT_LOWER, EC_DABT_LOWER};
    struct test_guest *guest = guest_of(state);

    for (uint64_t ec = 0; ec < 64; ec++) {
        if (memchr(handled, (int)ec, sizeof(handled)))
            continue;
        guest_reset(guest);
        assert_int_equal(trap_handle(guest->vcpu[0], ESR(ec)), TRAP_RESUME);
        injected(guest->vcpu[0], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_load_from_a_device, setup, guest_teardown),
        cmocka_unit_test_setup_teardown(a_store_to_the_gic, setup, guest_teardown),
        cmocka_unit_test_setup_teardown(nobody_lives_there, setup, guest_teardown),
        cmocka_unit_test_setup_teardown(an_access_without_a_syndrome_is_aborted, setup,
                                        guest_teardown),
        cmocka_unit_test_setup_teardown(memory_is_mapped_whatever_the_access, setup,
                                        guest_teardown),
        cmocka_unit_test_setup_teardown(a_fetch_from_nowhere_is_aborted, setup, guest_teardown),
        cmocka_unit_test_setup_teardown(missing_vectors_are_a_crash, setup, guest_teardown),
        cmocka_unit_test_setup_teardown(waiting_goes_on_behind_it, setup, guest_teardown),
        cmocka_unit_test_setup_teardown(fp_is_given_and_tried_again, setup, guest_teardown),
        cmocka_unit_test_setup_teardown(all_other_classes_are_undefined, setup, guest_teardown),
    };

    return cmocka_run_group_tests_name("trap", tests, NULL, NULL);
}
