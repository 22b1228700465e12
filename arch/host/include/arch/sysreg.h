/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System registers: fields (HCR_EL2_VM), encodings (SYSREG_HCR_EL2) and accessors
 * (read_hcr_el2(), write_hcr_el2()), all generated from arch/arm64/sysreg.def. Assembler gets the
 * first two. A write takes effect for later instructions only after isb(), as the Arm ARM says.
 */
#ifndef ARCH_SYSREG_H
#define ARCH_SYSREG_H

#include "arch/sysreg_fields.h"
#include "arch/sysreg_ids.h"

#ifndef __ASSEMBLER__
#include "arch/sysreg_accessors.h"
#endif

#endif
