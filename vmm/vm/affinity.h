/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPUs of the host a vCPU may use: lists such as "0-3,8". */
#ifndef VMM_VM_AFFINITY_H
#define VMM_VM_AFFINITY_H

#include "vmm/base/error.h"
#include <stdint.h>

/* The CPU for vCPU `index`: the index-th of the list, round and round. False and a sentence if the
 * list can't be read. */
bool affinity_find(const char *list, uint32_t index, uint32_t *ret_cpu, struct error *error);

/* Bind the calling thread; list NULL: leave it. */
bool affinity_apply(const char *list, uint32_t index, struct error *error);

#endif
