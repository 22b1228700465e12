/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of a Linux whose boot is measured: prints `bench linux-init <n>`, the virtual
 * counter as this program found it, and powers off. A static Linux executable without a library.
 */

#define SYS_WRITE 64
#define SYS_REBOOT 142

    .text
    .globl _start
_start:
    mrs     x19, cntvct_el0
    adr     x1, text_end            /* digits from behind, into the stack */
    sub     sp, sp, #64
    add     x20, sp, #64
    mov     w2, #'\n'
    strb    w2, [x20, #-1]!
    mov     x3, #10
1:  udiv    x4, x19, x3
    msub    x5, x4, x3, x19
    add     w5, w5, #'0'
    strb    w5, [x20, #-1]!
    mov     x19, x4
    cbnz    x19, 1b
2:  ldrb    w5, [x1, #-1]!          /* and the words before them */
    strb    w5, [x20, #-1]!
    adr     x6, text
    cmp     x1, x6
    b.ne    2b

    mov     x0, #1
    mov     x1, x20
    add     x2, sp, #64
    sub     x2, x2, x20
    mov     x8, #SYS_WRITE
    svc     #0

    ldr     w0, =0xfee1dead
    ldr     w1, =672274793
    ldr     w2, =0x4321fedc         /* LINUX_REBOOT_CMD_POWER_OFF */
    mov     x3, #0
    mov     x8, #SYS_REBOOT
    svc     #0
3:  b       3b

text:
    .ascii  "bench linux-init "
text_end:
    .balign 4
    .ltorg

    .section .note.GNU-stack, "", %progbits
