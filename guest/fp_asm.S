/* SPDX-License-Identifier: Apache-2.0 */
/* The FP and SIMD instructions of payloads whose C may not use them. */

    .arch   armv8-a+fp+simd
    .text

/* void fp_load(const struct fp_image *): v0..v31, FPCR, FPSR */
    .globl fp_load
fp_load:
    ldp     q0, q1, [x0], #32
    ldp     q2, q3, [x0], #32
    ldp     q4, q5, [x0], #32
    ldp     q6, q7, [x0], #32
    ldp     q8, q9, [x0], #32
    ldp     q10, q11, [x0], #32
    ldp     q12, q13, [x0], #32
    ldp     q14, q15, [x0], #32
    ldp     q16, q17, [x0], #32
    ldp     q18, q19, [x0], #32
    ldp     q20, q21, [x0], #32
    ldp     q22, q23, [x0], #32
    ldp     q24, q25, [x0], #32
    ldp     q26, q27, [x0], #32
    ldp     q28, q29, [x0], #32
    ldp     q30, q31, [x0], #32
    ldp     x1, x2, [x0]
    msr     fpcr, x1
    msr     fpsr, x2
    ret

/* void fp_save(struct fp_image *) */
    .globl fp_save
fp_save:
    stp     q0, q1, [x0], #32
    stp     q2, q3, [x0], #32
    stp     q4, q5, [x0], #32
    stp     q6, q7, [x0], #32
    stp     q8, q9, [x0], #32
    stp     q10, q11, [x0], #32
    stp     q12, q13, [x0], #32
    stp     q14, q15, [x0], #32
    stp     q16, q17, [x0], #32
    stp     q18, q19, [x0], #32
    stp     q20, q21, [x0], #32
    stp     q22, q23, [x0], #32
    stp     q24, q25, [x0], #32
    stp     q26, q27, [x0], #32
    stp     q28, q29, [x0], #32
    stp     q30, q31, [x0], #32
    mrs     x1, fpcr
    mrs     x2, fpsr
    stp     x1, x2, [x0]
    ret

/* uint64_t fp_compute(uint64_t seed): 1000 steps of fused multiply-adds, divisions and square
 * roots in doubles and of vector multiplications; the bits of the result. */
    .globl fp_compute
fp_compute:
    msr     fpcr, xzr
    msr     fpsr, xzr
    ucvtf   d0, x0
    fmov    d1, #1.5
    fmov    d2, #0.75
    movi    v4.4s, #3
    dup     v5.4s, w0
    mov     x1, #1000
1:  fmadd   d0, d0, d2, d1
    fsqrt   d3, d0
    fdiv    d3, d1, d3
    fadd    d0, d0, d3
    mul     v5.4s, v5.4s, v4.4s
    add     v5.4s, v5.4s, v4.4s
    eor     v4.16b, v4.16b, v5.16b
    orr     v4.4s, #1
    subs    x1, x1, #1
    b.ne    1b
    fmov    x0, d0
    fmov    x2, d5
    ror     x2, x2, #17
    eor     x0, x0, x2
    ret

    .section .note.GNU-stack, "", %progbits
