/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exception classes and fault status codes: the values of ESR_ELx.EC and of the DFSC and IFSC
 * fields (Arm ARM, "ESR_EL2"). The fields themselves are generated: ESR_EL2_EC, ISS_DABT_DFSC...
 */
#ifndef BOTHY_ESR_H
#define BOTHY_ESR_H

enum esr_ec {
    EC_UNKNOWN = 0x00,      /* undefined instruction, and much else */
    EC_WFX = 0x01,          /* WFI, WFE, WFIT, WFET */
    EC_CP15_MCR = 0x03,     /* AArch32 MCR, MRC, coprocessor 15 */
    EC_CP15_MCRR = 0x04,    /* AArch32 MCRR, MRRC, coprocessor 15 */
    EC_CP14_MCR = 0x05,     /* AArch32 MCR, MRC, coprocessor 14 */
    EC_CP14_LDC = 0x06,     /* AArch32 LDC, STC */
    EC_FP = 0x07,           /* SVE, SIMD or floating point, through CPTR or CPACR */
    EC_VMRS = 0x08,         /* AArch32 VMRS of an ID register */
    EC_PAC = 0x09,          /* pointer authentication instruction, HCR_EL2.API */
    EC_LS64 = 0x0a,         /* LD64B and such */
    EC_CP14_MRRC = 0x0c,    /* AArch32 MRRC, coprocessor 14 */
    EC_BTI = 0x0d,          /* branch target exception */
    EC_ILLEGAL = 0x0e,      /* illegal execution state */
    EC_SVC32 = 0x11,        /* AArch32 SVC */
    EC_HVC32 = 0x12,        /* AArch32 HVC */
    EC_SMC32 = 0x13,        /* AArch32 SMC */
    EC_SYS128 = 0x14,       /* MSRR, MRRS, SYSP */
    EC_SVC64 = 0x15,        /* SVC */
    EC_HVC64 = 0x16,        /* HVC */
    EC_SMC64 = 0x17,        /* SMC, HCR_EL2.TSC */
    EC_SYS64 = 0x18,        /* MSR, MRS, SYS */
    EC_SVE = 0x19,          /* SVE, through CPTR or CPACR */
    EC_ERET = 0x1a,         /* ERET, HCR_EL2.NV or a fine-grained trap */
    EC_TSTART = 0x1b,       /* TSTART */
    EC_FPAC = 0x1c,         /* pointer authentication failure */
    EC_SME = 0x1d,          /* SME, through CPTR or CPACR */
    EC_IABT_LOWER = 0x20,   /* instruction abort from a lower level */
    EC_IABT_CURRENT = 0x21, /* instruction abort from this level */
    EC_PC_ALIGN = 0x22,     /* PC alignment */
    EC_DABT_LOWER = 0x24,   /* data abort from a lower level */
    EC_DABT_CURRENT = 0x25, /* data abort from this level */
    EC_SP_ALIGN = 0x26,     /* SP alignment */
    EC_MOPS = 0x27,         /* memory copy and set */
    EC_FP32 = 0x28,         /* AArch32 trapped floating-point exception */
    EC_FP64 = 0x2c,         /* trapped floating-point exception */
    EC_GCS = 0x2d,          /* guarded control stack */
    EC_SERROR = 0x2f,       /* SError */
    EC_BREAKPT_LOWER = 0x30,
    EC_BREAKPT_CURRENT = 0x31,
    EC_STEP_LOWER = 0x32,
    EC_STEP_CURRENT = 0x33,
    EC_WATCHPT_LOWER = 0x34,
    EC_WATCHPT_CURRENT = 0x35,
    EC_BKPT32 = 0x38,  /* AArch32 BKPT */
    EC_VECTOR32 = 0x3a, /* AArch32 vector catch */
    EC_BRK64 = 0x3c,   /* BRK */
};

/* DFSC and IFSC. For the kinds that have a level (0 to 3), it is added to the value. */
enum esr_fsc {
    FSC_ADDRESS_SIZE = 0x00,
    FSC_TRANSLATION = 0x04,
    FSC_ACCESS_FLAG = 0x08,
    FSC_PERMISSION = 0x0c,
    FSC_EXTERNAL = 0x10,      /* synchronous external abort, not on a table walk */
    FSC_TAG_CHECK = 0x11,     /* synchronous tag check fault */
    FSC_EXTERNAL_WALK = 0x14, /* synchronous external abort on a table walk */
    FSC_ALIGNMENT = 0x21,
    FSC_TLB_CONFLICT = 0x30,
    FSC_ATOMIC = 0x31,    /* unsupported atomic hardware update */
    FSC_LOCKDOWN = 0x34,  /* implementation defined */
    FSC_EXCLUSIVE = 0x35, /* unsupported exclusive or atomic access */
};

/* The kind and the level of a fault status code below 0x10. */
#define FSC_KIND(fsc) ((fsc) & 0x3cU)
#define FSC_LEVEL(fsc) ((fsc) & 0x03U)

#endif
