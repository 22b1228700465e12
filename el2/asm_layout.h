/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the assembly files and C agree on: EL2's address space, its translation attributes and the
 * vCPU's register frame. Included by both; vcpu_layout.c asserts the offsets.
 */
#ifndef EL2_ASM_LAYOUT_H
#define EL2_ASM_LAYOUT_H

/* The top slot of the 48-bit space: memory is never there, so that the identity block (at the
 * image's physical address) and the image's link address can't meet. */
#define EL2_VA_BASE 0xff8000000000
#define EL2_VA_L0_INDEX 511

/* Each area has a 1 GiB slot of its own above EL2_VA_BASE, the pool all that is left. */
#define EL2_VA_DEVICE (EL2_VA_BASE + 0x40000000)
#define EL2_VA_WINDOW (EL2_VA_BASE + 0x80000000)
#define EL2_VA_STACK (EL2_VA_BASE + 0xc0000000)
#define EL2_VA_FDT (EL2_VA_BASE + 0x100000000)
#define EL2_VA_POOL (EL2_VA_BASE + 0x200000000)

/* Memory types, as indexes into MAIR_EL2: 0 Normal write-back, 1 Device-nGnRE. */
#define EL2_MAIR 0x04ff

/* EL2 stage-1 descriptor bits (Arm ARM D8.3): AF, inner shareable, AttrIndx 0. */
#define EL2_PTE_COMMON 0x700
#define EL2_PTE_RW 0x40
#define EL2_PTE_RO 0xc0
#define EL2_PTE_XN 0x40000000000000
#define EL2_PTE_DEVICE 0x404 /* AF, AttrIndx 1 */

/* TCR_EL2: RES1 31 and 23, inner shareable, write-back walks, T0SZ 16. PS is added at boot. */
#define EL2_TCR 0x80803510
/* TCR_EL1: EPD1, the same walk attributes, T0SZ 16. */
#define EL1_TCR 0x803510
/* SCTLR_EL2: RES1, WXN, I, SA, C, M. */
#define EL2_SCTLR 0x30cd183d
#define EL1_SCTLR 0x30d0180d

#define CPU_SLOTS 8
#define BOOT_STACK_SIZE 16384

/* struct vcpu_regs */
#define VCPU_X(n) ((n) * 8)
#define VCPU_PC 248
#define VCPU_PSTATE 256
#define VCPU_STACK 264

#endif
