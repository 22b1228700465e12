/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLB invalidation (Arm ARM, "TLB maintenance instructions"). Each is only the instruction: the
 * caller orders it with dsb_*() and isb(). Arguments are register values, made of the fields of
 * TLBI_IPA, TLBI_RIPA and TLBI_VA: an address goes in shifted right by 12.
 */
#ifndef ARCH_TLBI_H
#define ARCH_TLBI_H

#include <stdint.h>

/* Stage 2, last level and walk, of one IPA of the current VMID, all CPUs. */
static inline void tlbi_ipas2e1is(uint64_t arg)
{
    __asm__ volatile("tlbi ipas2e1is, %x0" : : "rZ"(arg) : "memory");
}

/* The same, last level only. */
static inline void tlbi_ipas2le1is(uint64_t arg)
{
    __asm__ volatile("tlbi ipas2le1is, %x0" : : "rZ"(arg) : "memory");
}

/* A range of IPAs (FEAT_TLBIRANGE); the argument is a TLBI_RIPA. */
static inline void tlbi_ripas2e1is(uint64_t arg)
{
    __asm__ volatile("sys #4, c8, c0, #2, %x0" : : "rZ"(arg) : "memory");
}

/* Stage 1 of the current VMID, all CPUs. */
static inline void tlbi_vmalle1is(void)
{
    __asm__ volatile("tlbi vmalle1is" : : : "memory");
}

/* Stage 1 of the current VMID, this CPU. */
static inline void tlbi_vmalle1(void)
{
    __asm__ volatile("tlbi vmalle1" : : : "memory");
}

/* Stages 1 and 2 of the current VMID, all CPUs. */
static inline void tlbi_vmalls12e1is(void)
{
    __asm__ volatile("tlbi vmalls12e1is" : : : "memory");
}

/* Stages 1 and 2 of the current VMID, this CPU. */
static inline void tlbi_vmalls12e1(void)
{
    __asm__ volatile("tlbi vmalls12e1" : : : "memory");
}

/* Everything of EL1 and EL0, of all VMIDs, all CPUs. */
static inline void tlbi_alle1is(void)
{
    __asm__ volatile("tlbi alle1is" : : : "memory");
}

/* Everything of EL1 and EL0, of all VMIDs, this CPU. */
static inline void tlbi_alle1(void)
{
    __asm__ volatile("tlbi alle1" : : : "memory");
}

/* Everything of EL2, all CPUs. */
static inline void tlbi_alle2is(void)
{
    __asm__ volatile("tlbi alle2is" : : : "memory");
}

/* Everything of EL2, this CPU. */
static inline void tlbi_alle2(void)
{
    __asm__ volatile("tlbi alle2" : : : "memory");
}

/* One page of EL2, all CPUs; the argument is a TLBI_VA. */
static inline void tlbi_vae2is(uint64_t arg)
{
    __asm__ volatile("tlbi vae2is, %x0" : : "rZ"(arg) : "memory");
}

/* One page of EL2, this CPU; the argument is a TLBI_VA. */
static inline void tlbi_vae2(uint64_t arg)
{
    __asm__ volatile("tlbi vae2, %x0" : : "rZ"(arg) : "memory");
}

#endif
