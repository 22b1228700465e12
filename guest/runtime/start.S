/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry: EL1, MMU off, x0 = device tree. The first 64 bytes have the shape of an arm64 Image
 * header without its magic, so that this is a raw binary, and one patched word makes it an Image
 * for loaders that want one. Position independent: relocations are applied before any C.
 */

#define LINK_BASE 0x40080000
#define STACK_SHIFT 14 /* 16 KiB a CPU */

    .section .text.start, "ax"
    .globl image_start
image_start:
    mrs     x19, cntvct_el0
    b       start
    .quad   0x80000             /* text_offset */
    .quad   0                   /* image_size, to be patched with the magic */
    .quad   0xa                 /* little endian, 4 KiB pages */
    .quad   0, 0, 0
    .long   0                   /* magic: "ARM\x64" in an Image */
    .long   0

start:
    mrs     x20, cntpct_el0
    mov     x21, x0
    msr     daifset, #15
    bl      cpu_setup

    adr     x22, image_start
    ldr     x1, =LINK_BASE
    sub     x1, x22, x1         /* how far from where we were linked */
    adrp    x2, rela_start
    add     x2, x2, :lo12:rela_start
    adrp    x3, rela_end
    add     x3, x3, :lo12:rela_end
1:  cmp     x2, x3
    b.hs    2f
    ldp     x4, x5, [x2], #16   /* offset, type */
    ldr     x6, [x2], #8        /* addend */
    cmp     w5, #1027           /* R_AARCH64_RELATIVE */
    b.ne    1b
    add     x6, x6, x1
    str     x6, [x4, x1]
    b       1b

2:  adrp    x2, bss_start
    add     x2, x2, :lo12:bss_start
    adrp    x3, bss_end
    add     x3, x3, :lo12:bss_end
3:  cmp     x2, x3
    b.hs    4f
    stp     xzr, xzr, [x2], #16
    b       3b

4:  mov     x0, #0
    bl      stack_setup
    mov     x0, x21
    mov     x1, x19
    mov     x2, x20
    bl      machine_start
5:  wfi
    b       5b

/* PSCI CPU_ON enters here with x0 = the CPU's number. */
    .globl secondary_entry
secondary_entry:
    mov     x21, x0
    msr     daifset, #15
    bl      cpu_setup
    mov     x0, x21
    bl      stack_setup
    mov     x0, x21
    bl      cpu_start_secondary
6:  wfi
    b       6b

/* What each CPU needs before C: a known SCTLR, vectors, FP not trapped. */
cpu_setup:
    ldr     x1, =0x30d00800     /* RES1 bits, everything off */
    msr     sctlr_el1, x1
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    mov     x1, #(3 << 20)
    msr     cpacr_el1, x1
    msr     spsel, #1
    isb
    ret

/* x0 = the CPU's number, kept in TPIDR_EL1. */
stack_setup:
    msr     tpidr_el1, x0
    add     x1, x0, #1
    lsl     x1, x1, #STACK_SHIFT
    adrp    x2, stacks
    add     x2, x2, :lo12:stacks
    add     x1, x1, x2
    mov     sp, x1
    mov     x29, #0
    ret

    .ltorg

    .section .stacks, "aw", %nobits
    .balign 16
stacks:
    .space  8 << STACK_SHIFT

    .section .note.GNU-stack, "", %progbits
