/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measured loops, without a compiler in between. Each sample is CNTVCT after minus CNTVCT
 * before; an ISB before the second read makes it wait for what is measured. In the loops that
 * wait for an interrupt, the handler below leaves its findings in registers which the loop reads:
 * x9..x12 belong to it.
 */

    .text

/* uint64_t bench_hvc(uint64_t function) */
    .globl bench_hvc
bench_hvc:
    mov     x8, x0
    isb
    mrs     x7, cntvct_el0
    mov     x0, x8
    mov     x1, #0
    mov     x2, #0
    mov     x3, #0
    hvc     #0
    isb
    mrs     x6, cntvct_el0
    sub     x0, x6, x7
    ret

    .globl bench_smc
bench_smc:
    mov     x8, x0
    isb
    mrs     x7, cntvct_el0
    mov     x0, x8
    mov     x1, #0
    mov     x2, #0
    mov     x3, #0
    smc     #0
    isb
    mrs     x6, cntvct_el0
    sub     x0, x6, x7
    ret

/* uint64_t bench_id_register(uint64_t unused) */
    .globl bench_id_register
bench_id_register:
    isb
    mrs     x7, cntvct_el0
    mrs     x1, id_aa64pfr0_el1
    isb
    mrs     x6, cntvct_el0
    sub     x0, x6, x7
    ret

/* uint64_t bench_read32(uint64_t address) */
    .globl bench_read32
bench_read32:
    isb
    mrs     x7, cntvct_el0
    ldr     w1, [x0]
    isb
    mrs     x6, cntvct_el0
    sub     x0, x6, x7
    ret

/* uint64_t bench_touch(uint64_t address): store and load, as a first use does */
    .globl bench_touch
bench_touch:
    isb
    mrs     x7, cntvct_el0
    mov     x1, #1
    str     x1, [x0]
    ldr     x1, [x0]
    isb
    mrs     x6, cntvct_el0
    sub     x0, x6, x7
    ret

/* uint64_t bench_empty(uint64_t unused): what a sample costs by itself */
    .globl bench_empty
bench_empty:
    isb
    mrs     x7, cntvct_el0
    isb
    mrs     x6, cntvct_el0
    sub     x0, x6, x7
    ret

/* uint64_t bench_self_sgi(uint64_t sgi1r): until after the handler's EOI and ERET */
    .globl bench_self_sgi
bench_self_sgi:
    mov     x11, #0
    msr     daifclr, #2
    isb
    mrs     x7, cntvct_el0
    msr     s3_0_c12_c11_5, x0
    isb
1:  cbz     x11, 1b
    mrs     x6, cntvct_el0
    msr     daifset, #2
    sub     x0, x6, x7
    ret

/* uint64_t bench_timer_spin(uint64_t delay): from CVAL to the handler's first instruction */
    .globl bench_timer_spin
bench_timer_spin:
    mov     x11, #0
    isb
    mrs     x7, cntvct_el0
    add     x7, x7, x0
    msr     cntv_cval_el0, x7
    mov     x1, #1
    msr     cntv_ctl_el0, x1
    isb
    msr     daifclr, #2
1:  cbz     x11, 1b
    msr     daifset, #2
    sub     x0, x9, x7
    ret

    .globl bench_timer_wfi
bench_timer_wfi:
    mov     x11, #0
    isb
    mrs     x7, cntvct_el0
    add     x7, x7, x0
    msr     cntv_cval_el0, x7
    mov     x1, #1
    msr     cntv_ctl_el0, x1
    isb
    msr     daifclr, #2
2:  cbnz    x11, 3f
bench_wfi:                          /* passed over when the interrupt comes here */
    wfi
    b       2b
3:  msr     daifset, #2
    sub     x0, x9, x7
    ret

/* x9 = CNTVCT on entry, x10 = INTID, x11 = 1. The timer is turned off before the EOI, its line
 * being level. */
    .macro handle_irq
    mrs     x9, cntvct_el0
    mrs     x10, s3_0_c12_c12_0     /* ICC_IAR1 */
    msr     cntv_ctl_el0, xzr
    mov     x11, #1
    isb
    msr     s3_0_c12_c12_1, x10     /* ICC_EOIR1 */
    .endm

    .balign 128
bench_irq:
    handle_irq
    eret

/* The same for bench_timer_wfi(). It waits unmasked, as the way out of WFI into the handler is what
 * is measured; so an interrupt between its look at x11 and its WFI must not let that WFI begin. x12
 * and x13 scratch. */
    .balign 128
bench_irq_wfi:
    handle_irq
    mrs     x12, elr_el1
    adr     x13, bench_wfi
    cmp     x12, x13
    b.ne    1f
    add     x12, x12, #4
    msr     elr_el1, x12
1:  eret

/* Exception vectors for the time of the measurements; anything but an IRQ goes to the runtime's. */
    .macro vector_table name, irq
    .balign 2048
    .globl \name
\name:
    .space  0x200
    adrp    x9, vectors
    add     x9, x9, :lo12:vectors
    add     x9, x9, #0x200
    br      x9
    .balign 128
    b       \irq
    .balign 2048
    .endm

    vector_table bench_vectors, bench_irq
    vector_table bench_wfi_vectors, bench_irq_wfi

    .section .note.GNU-stack, "", %progbits
