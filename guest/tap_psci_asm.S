/* SPDX-License-Identifier: Apache-2.0 */
/* Where CPU_ON enters: notes its state with the MMU off, then CPU_OFF by HVC or, should that come
 * back, by SMC. */

    .text
    .globl psci_raw_entry
psci_raw_entry:
    adrp    x1, psci_entry_state
    add     x1, x1, :lo12:psci_entry_state
    mrs     x2, CurrentEL
    stp     x0, x2, [x1]
    mrs     x2, daif
    mrs     x3, sctlr_el1
    stp     x2, x3, [x1, #16]
    mrs     x2, mpidr_el1
    mov     x3, #1
    stp     x2, x3, [x1, #32]
    dsb     sy
    ldr     x0, =0x84000002
    hvc     #0
    ldr     x0, =0x84000002
    smc     #0
1:  wfi
    b       1b
    .ltorg

    .bss
    .balign 64
    .globl psci_entry_state
psci_entry_state:
    .space  64

    .section .note.GNU-stack, "", %progbits
