/* SPDX-License-Identifier: Apache-2.0 */
/* Exception vectors, and the call that survives an exception. */

#define FRAME 288 /* sizeof(struct frame) */

.macro vector kind
    .balign 128
    sub     sp, sp, #FRAME
    stp     x0, x1, [sp]
    mov     x1, #\kind
    b       vector_common
.endm

    .text
    .balign 2048
    .globl vectors
vectors:
    vector  0   /* current EL, SP_EL0: synchronous, IRQ, FIQ, SError */
    vector  1
    vector  2
    vector  3
    vector  0   /* current EL, SP_ELx */
    vector  1
    vector  2
    vector  3
    vector  4   /* lower EL, AArch64 */
    vector  5
    vector  6
    vector  7
    vector  8   /* lower EL, AArch32 */
    vector  9
    vector  10
    vector  11

vector_common:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el1
    stp     x30, x2, [sp, #240]
    mrs     x2, spsr_el1
    mrs     x3, esr_el1
    stp     x2, x3, [sp, #256]
    mrs     x2, far_el1
    str     x2, [sp, #272]
    mov     x0, sp
    bl      exception_entry

    ldp     x30, x2, [sp, #240]
    msr     elr_el1, x2
    ldr     x2, [sp, #256]
    msr     spsr_el1, x2
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp]
    add     sp, sp, #FRAME
    eret

/* int guard_call(void (*fn)(uint64_t), uint64_t arg, struct guard *guard): 0 if fn returned. */
    .globl guard_call
guard_call:
    stp     x19, x20, [x2]
    stp     x21, x22, [x2, #16]
    stp     x23, x24, [x2, #32]
    stp     x25, x26, [x2, #48]
    stp     x27, x28, [x2, #64]
    stp     x29, x30, [x2, #80]
    mov     x9, sp
    mrs     x10, daif
    stp     x9, x10, [x2, #96]
    mov     x19, x2
    mov     x9, x0
    mov     x0, x1
    blr     x9
    mov     x2, x19
    mov     x0, #0
    b       guard_leave

/* exception_entry returns to here with x0 = guard when fn has taken an exception. */
    .globl guard_resume
guard_resume:
    mov     x2, x0
    mov     x0, #1
guard_leave:
    ldp     x9, x10, [x2, #96]
    mov     sp, x9
    msr     daif, x10
    ldp     x29, x30, [x2, #80]
    ldp     x27, x28, [x2, #64]
    ldp     x25, x26, [x2, #48]
    ldp     x23, x24, [x2, #32]
    ldp     x21, x22, [x2, #16]
    ldp     x19, x20, [x2]
    ret

    .section .note.GNU-stack, "", %progbits
