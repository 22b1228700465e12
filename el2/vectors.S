/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EL2's exception vectors, and the way into a guest.
 *
 * Invariant: while a guest runs, SP_EL2 is the address of its struct vcpu, whose first member is
 * the register frame; so an exit needs no scratch register. EL2's own stack is empty then, and
 * each exit starts at its top. Exceptions taken from EL2 itself are bugs and go to panic; they
 * switch to a stack of their own, since SP may be what is wrong.
 */
#include "el2/asm_layout.h"

    .macro save_guest
    stp     x0, x1, [sp, #VCPU_X(0)]
    stp     x2, x3, [sp, #VCPU_X(2)]
    stp     x4, x5, [sp, #VCPU_X(4)]
    stp     x6, x7, [sp, #VCPU_X(6)]
    stp     x8, x9, [sp, #VCPU_X(8)]
    stp     x10, x11, [sp, #VCPU_X(10)]
    stp     x12, x13, [sp, #VCPU_X(12)]
    stp     x14, x15, [sp, #VCPU_X(14)]
    stp     x16, x17, [sp, #VCPU_X(16)]
    stp     x18, x19, [sp, #VCPU_X(18)]
    stp     x20, x21, [sp, #VCPU_X(20)]
    stp     x22, x23, [sp, #VCPU_X(22)]
    stp     x24, x25, [sp, #VCPU_X(24)]
    stp     x26, x27, [sp, #VCPU_X(26)]
    stp     x28, x29, [sp, #VCPU_X(28)]
    mrs     x1, elr_el2
    stp     x30, x1, [sp, #VCPU_X(30)]
    mrs     x1, spsr_el2
    ldr     x2, [sp, #VCPU_STACK]
    str     x1, [sp, #VCPU_PSTATE]
    mov     x0, sp
    mov     sp, x2
    mov     x29, xzr
    .endm

    .macro guest_exit handler
    .balign 128
    save_guest
    bl      \handler
    b       vcpu_enter
    .endm

    .macro el2_fault kind
    .balign 128
    b       el2_fault_\kind
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global el2_vectors
el2_vectors:
    el2_fault 0                     // current EL with SP_EL0
    el2_fault 1
    el2_fault 2
    el2_fault 3
    el2_fault 4                     // current EL with SP_ELx
    el2_fault 5
    el2_fault 6
    el2_fault 7
    guest_exit run_exit_sync        // lower EL, AArch64
    guest_exit run_exit_irq
    guest_exit run_exit_irq         // FIQ: Group 0 belongs to the secure side; treated alike
    guest_exit run_exit_serror
    guest_exit run_exit_sync        // lower EL, AArch32 (EL0 only)
    guest_exit run_exit_irq
    guest_exit run_exit_irq
    guest_exit run_exit_serror

/* void vcpu_enter(struct vcpu *): leave for the guest; does not return. */
    .balign 64
    .global vcpu_enter
vcpu_enter:
    mov     sp, x0
    ldp     x30, x1, [sp, #VCPU_X(30)]
    ldr     x2, [sp, #VCPU_PSTATE]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x28, x29, [sp, #VCPU_X(28)]
    ldp     x26, x27, [sp, #VCPU_X(26)]
    ldp     x24, x25, [sp, #VCPU_X(24)]
    ldp     x22, x23, [sp, #VCPU_X(22)]
    ldp     x20, x21, [sp, #VCPU_X(20)]
    ldp     x18, x19, [sp, #VCPU_X(18)]
    ldp     x16, x17, [sp, #VCPU_X(16)]
    ldp     x14, x15, [sp, #VCPU_X(14)]
    ldp     x12, x13, [sp, #VCPU_X(12)]
    ldp     x10, x11, [sp, #VCPU_X(10)]
    ldp     x8, x9, [sp, #VCPU_X(8)]
    ldp     x6, x7, [sp, #VCPU_X(6)]
    ldp     x4, x5, [sp, #VCPU_X(4)]
    ldp     x2, x3, [sp, #VCPU_X(2)]
    ldp     x0, x1, [sp, #VCPU_X(0)]
    eret
    // No speculation past ERET: the next bytes are somebody else's.
    dsb     nsh
    isb

    .macro fault_stub kind
el2_fault_\kind:
    msr     tpidr_el0, x0           // the guest's value is lost: EL2 won't return
    mov     x0, #\kind
    b       el2_fault_common
    .endm
    fault_stub 0
    fault_stub 1
    fault_stub 2
    fault_stub 3
    fault_stub 4
    fault_stub 5
    fault_stub 6
    fault_stub 7

/* Save x0..x30 and SP in panic_frame and call panic_exception(kind, frame). Nothing is pushed:
 * SP may be what is wrong. */
el2_fault_common:
    msr     tpidrro_el0, x1
    ldr     x1, =panic_frame
    stp     x2, x3, [x1, #VCPU_X(2)]
    mrs     x2, tpidr_el0
    mrs     x3, tpidrro_el0
    stp     x2, x3, [x1, #VCPU_X(0)]
    str     x4, [x1, #VCPU_X(4)]
    stp     x5, x6, [x1, #VCPU_X(5)]
    stp     x7, x8, [x1, #VCPU_X(7)]
    stp     x9, x10, [x1, #VCPU_X(9)]
    stp     x11, x12, [x1, #VCPU_X(11)]
    stp     x13, x14, [x1, #VCPU_X(13)]
    stp     x15, x16, [x1, #VCPU_X(15)]
    stp     x17, x18, [x1, #VCPU_X(17)]
    stp     x19, x20, [x1, #VCPU_X(19)]
    stp     x21, x22, [x1, #VCPU_X(21)]
    stp     x23, x24, [x1, #VCPU_X(23)]
    stp     x25, x26, [x1, #VCPU_X(25)]
    stp     x27, x28, [x1, #VCPU_X(27)]
    stp     x29, x30, [x1, #VCPU_X(29)]
    mov     x3, sp
    str     x3, [x1, #VCPU_X(31)]
    ldr     x3, =panic_stack_top
    mov     sp, x3
    b       panic_exception
    .ltorg

    .section .bss, "aw", %nobits
    .balign 16
    .global panic_frame
panic_frame: .skip 256
    .skip 4096
panic_stack_top:
