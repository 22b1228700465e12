/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First instructions. Entered as an arm64 Image (Documentation/arch/arm64/booting.rst of Linux):
 * MMU off, x0 = physical address of the device tree, at EL2, or at EL1 if somebody made a mistake.
 *
 * All of this file runs at the address where it was loaded, so it reaches memory by ADRP only. It
 * builds EL2's first page tables (the image at its link address, page by page, W^X; and a
 * read-only identity block to survive turning the MMU on), turns the MMU on and jumps to C. Tables
 * are written with the caches off: lines that a boot loader may have left are invalidated after.
 */
#include "arch/sysreg_fields.h"
#include "el2/asm_layout.h"

    .section .head.text, "ax"
    .global _start
_start:
    b       primary_entry           // code0
    .long   0                       // code1
    .quad   0                       // text_offset
    .quad   _image_size             // image_size, .bss included
    .quad   0xa                     // flags: little-endian, 4 KiB pages, anywhere
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .long   0

/* x19 = device tree, x20 = physical base of the image, x21 = CurrentEL */
primary_entry:
    mov     x19, x0
    adrp    x20, _start
    mrs     x21, CurrentEL
    cmp     x21, #(3 << 2)
    b.eq    park                    // EL3 has no console that we know of
    bl      build_tables
    bl      mmu_on
    ldr     x0, =primary_virtual
    br      x0

/* A secondary CPU: x0 = its struct cpu (link address), from PSCI CPU_ON's context or from
 * spin_entry below. */
    .global secondary_entry
secondary_entry:
    mov     x19, x0
    mrs     x21, CurrentEL
    cmp     x21, #(2 << 2)
    b.ne    park
    bl      mmu_on
    ldr     x0, =secondary_virtual
    br      x0

/* Spin-table CPUs arrive without an argument: the table that main.c filled tells by MPIDR. */
    .global spin_entry
spin_entry:
    mrs     x1, mpidr_el1
    and     x2, x1, #0xffffff
    and     x1, x1, #0xff00000000
    orr     x1, x1, x2
    adrp    x2, boot_spin_table
    add     x2, x2, :lo12:boot_spin_table
    mov     x3, #CPU_SLOTS
1:  ldp     x4, x0, [x2], #16
    cmp     x4, x1
    b.eq    secondary_entry
    subs    x3, x3, #1
    b.ne    1b
park:
    wfi
    b       park

/* Fill boot_l0 and what it points to. Clobbers x0-x10. */
build_tables:
    mov     x10, x30
    adrp    x0, boot_tables
    adrp    x1, boot_tables_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b

    adrp    x0, boot_l0
    adrp    x1, boot_id_l1
    adrp    x2, boot_va_l1
    adrp    x3, boot_va_l2
    adrp    x4, boot_va_l3
    mov     x9, #3                  // table descriptor
    orr     x5, x1, x9
    ubfx    x6, x20, #39, #9
    str     x5, [x0, x6, lsl #3]
    orr     x5, x2, x9
    str     x5, [x0, #(EL2_VA_L0_INDEX * 8)]
    orr     x5, x3, x9
    str     x5, [x2]
    orr     x5, x4, x9
    str     x5, [x3]

    // Identity: the 1 GiB around the image, read-only and executable. An image that straddles two
    // of them does not exist: it is 2 MiB-aligned and smaller than that.
    ubfx    x6, x20, #30, #9
    lsr     x5, x20, #30
    lsl     x5, x5, #30
    ldr     x7, =(EL2_PTE_COMMON | EL2_PTE_RO | 1)
    orr     x5, x5, x7
    str     x5, [x1, x6, lsl #3]

    // The image: each section with its own rights.
    adrp    x5, _text_start
    adrp    x6, _text_end
    ldr     x7, =(EL2_PTE_COMMON | EL2_PTE_RO | 3)
    bl      map_pages
    adrp    x5, _rodata_start
    adrp    x6, _rodata_end
    ldr     x7, =(EL2_PTE_COMMON | EL2_PTE_RO | EL2_PTE_XN | 3)
    bl      map_pages
    adrp    x5, _data_start
    adrp    x6, _image_end
    ldr     x7, =(EL2_PTE_COMMON | EL2_PTE_RW | EL2_PTE_XN | 3)
    bl      map_pages
    ret     x10

/* Pages [x5, x6) with attributes x7 into the level 3 table x4; x20 = base of the image. */
map_pages:
    cmp     x5, x6
    b.hs    1f
    sub     x0, x5, x20
    lsr     x0, x0, #12
    orr     x1, x5, x7
    str     x1, [x4, x0, lsl #3]
    add     x5, x5, #4096
    b       map_pages
1:  ret

/* Turn the MMU and caches on with the tables above, at EL2 or EL1. Returns at the same place of
 * the identity block. Clobbers x0-x8. */
mmu_on:
    // What speculation or firmware may have cached of the tables is stale: drop it.
    adrp    x0, boot_tables
    adrp    x1, boot_tables_end
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4
    mov     x3, #4
    lsl     x2, x3, x2
    dmb     sy
1:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy

    ldr     x0, =EL2_MAIR
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf            // PARange
    cmp     x1, #5                  // 48 bits are what a 4 KiB-granule address holds
    mov     x2, #5
    csel    x1, x1, x2, lo
    adrp    x3, boot_l0
    mrs     x4, CurrentEL
    cmp     x4, #(2 << 2)
    b.ne    el1_mmu_on

    ldr     x4, =HCR_EL2_RW         // E2H = 0: this hypervisor is nVHE
    msr     hcr_el2, x4
    isb
    ldr     x4, =EL2_TCR
    orr     x4, x4, x1, lsl #16     // TCR_EL2.PS
    msr     mair_el2, x0
    msr     tcr_el2, x4
    msr     ttbr0_el2, x3
    isb
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    ldr     x4, =EL2_SCTLR
    msr     sctlr_el2, x4
    isb
    ret

el1_mmu_on:
    ldr     x4, =EL1_TCR
    orr     x4, x4, x1, lsl #32     // TCR_EL1.IPS
    msr     mair_el1, x0
    msr     tcr_el1, x4
    msr     ttbr0_el1, x3
    isb
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    ldr     x4, =EL1_SCTLR
    msr     sctlr_el1, x4
    isb
    ret
    .ltorg

    .section .text, "ax"
primary_virtual:
    ldr     x0, =boot_stack_top
    mov     sp, x0
    ldr     x0, =_bss_start
    ldr     x1, =_bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:  mov     x29, xzr
    mov     x30, xzr
    mov     x0, x19
    mov     x1, x20
    cmp     x21, #(2 << 2)
    b.ne    el1_main
    ldr     x2, =el2_vectors
    msr     vbar_el2, x2
    isb
    b       el2_main

secondary_virtual:
    ldr     x2, =el2_vectors
    msr     vbar_el2, x2
    isb
    ldr     x0, [x19]               // struct cpu: stack_top comes first
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x19
    b       el2_secondary_main
    .ltorg

    .section .boot_tables, "aw", %nobits
    .balign 4096
    .global boot_l0
boot_tables:
boot_l0:    .skip 4096
boot_id_l1: .skip 4096
boot_va_l1: .skip 4096
boot_va_l2: .skip 4096
boot_va_l3: .skip 4096
boot_tables_end:

    .section .bss, "aw", %nobits
    .balign 16
    .skip BOOT_STACK_SIZE
boot_stack_top:
