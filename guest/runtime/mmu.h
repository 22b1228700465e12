/* SPDX-License-Identifier: Apache-2.0 */
/* An identity map of the lower 512 GiB in 1 GiB blocks: RAM is Normal, all else is Device. */
#ifndef RUNTIME_MMU_H
#define RUNTIME_MMU_H

#include "base.h"

#define MMU_NORMAL 0u    /* write-back */
#define MMU_NORMAL_NC 1u /* non-cacheable */
#define MMU_DEVICE 2u    /* nGnRE */
#define MMU_DEVICE_NGNRNE 3u

/* Builds the tables; then on, for each CPU. */
void mmu_init(void);
void mmu_on(void);

/* Off, with everything that this program has written so far in memory. */
void mmu_off(void);
bool mmu_is_on(void);

/* A second view of the 1 GiB at pa (aligned), with other attributes. Slots 0..3; the view's
 * address is returned. */
uint64_t mmu_alias(unsigned slot, uint64_t pa, unsigned attribute);

/* Maps the page at pa into a window, or takes it out (pa 0), on all CPUs. Returns the window. */
uint64_t mmu_window(uint64_t pa, unsigned attribute);

/* Clean and invalidate / invalidate only, by address to the point of coherency. */
void cache_flush(const void *addr, size_t size);
void cache_invalidate(const void *addr, size_t size);

#endif
