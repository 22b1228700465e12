/* SPDX-License-Identifier: Apache-2.0 */
/*
 * void smc_call_asm(const struct smc_args *args, struct smc_result *ret_result), and the same
 * for HVC. x19 is the only register that the convention preserves which we need.
 */
.macro conduit name, instruction
    .globl  \name
    .type   \name, %function
    .balign 4
\name:
    stp     x29, x30, [sp, #-32]!
    mov     x29, sp
    str     x19, [sp, #16]
    mov     x19, x1
    ldp     x5, x6, [x0, #40]
    ldp     x3, x4, [x0, #24]
    ldp     x1, x2, [x0, #8]
    ldr     x0, [x0]
    mov     x7, xzr
    \instruction #0
    stp     x0, x1, [x19]
    stp     x2, x3, [x19, #16]
    ldr     x19, [sp, #16]
    ldp     x29, x30, [sp], #32
    ret
    .size   \name, . - \name
.endm

    .section .text.smc, "ax", %progbits
    conduit smc_call_asm, smc
    conduit hvc_call_asm, hvc

    .section .note.GNU-stack, "", %progbits
