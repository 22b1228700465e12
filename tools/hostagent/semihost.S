/* SPDX-License-Identifier: Apache-2.0 */
/*
 * long semihost_call(unsigned long operation, void *arguments)
 *
 * The emulator itself does the operation, with the whole machine standing still meanwhile: see
 * Arm's "Semihosting for AArch32 and AArch64".
 */
    .text
    .globl semihost_call
    .type semihost_call, %function
semihost_call:
    hlt     #0xf000
    ret
    .size semihost_call, . - semihost_call

    .section .note.GNU-stack, "", %progbits
