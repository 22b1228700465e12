/* SPDX-License-Identifier: Apache-2.0 */

    .text

/* Where a step or a breakpoint is to stop. */
    .globl cpu_step_target
cpu_step_target:
    nop
    .globl cpu_step_second
cpu_step_second:
    nop
    ret

/* void cpu_single_step(uint64_t target): ERET to it with SPSR.SS set and debug unmasked */
    .globl cpu_single_step
cpu_single_step:
    msr     elr_el1, x0
    mov     x1, #0x1c5              /* EL1h, A, I, F masked */
    orr     x1, x1, #(1 << 21)      /* SS */
    msr     spsr_el1, x1
    isb
    eret

/* uint64_t cpu_pauth(uint64_t pointer, uint64_t modifier, uint64_t *ret_signed) */
    .globl cpu_pauth
cpu_pauth:
    mov     x17, x0
    mov     x16, x1
    hint    #8                      /* PACIA1716 */
    str     x17, [x2]
    hint    #12                     /* AUTIA1716 */
    mov     x0, x17
    ret

    .section .note.GNU-stack, "", %progbits
