/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU profiles: named sets of ID-register fields, so that a VM sees the same CPU on each host that
 * can give it. A host that lacks a field can't; one that can't hide what it has beyond the profile
 * is said to, and the guest sees more than was asked for. Fields that are in no profile, such as
 * those about speculation, stay the host's.
 */
#ifndef VMM_BACKEND_PROFILE_H
#define VMM_BACKEND_PROFILE_H

#include "vmm/backend/backend.h"

/* NULL and "host" are the host's own CPU. False and a sentence that lists the known names. */
bool profile_check(const char *name, struct error *error);

/* Whether a profile other than the host's is named: SVE and pointer authentication, which the
 * profiles don't have, are then off unless they are asked for. */
bool profile_is_named(const char *name);

/* The i-th profile's name, in order; NULL: no more. */
const char *profile_name(uint32_t i);

/* Before the first run of any vCPU of the VM; vcpu: its first. */
bool profile_apply(const struct backend *backend, struct backend_vm *vm,
                   struct backend_vcpu *vcpu, const char *name, struct error *error);

#endif
