/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See vfp.h. cpu->fp_owner == vcpu and vcpu->fp_cpu == cpu together say that the CPU's registers
 * are this vCPU's latest; either alone may be stale.
 */
#include "core/vfp.h"

#include "arch/barrier.h"
#include "arch/fp.h"
#include "arch/sysreg.h"
#include "bothy/string.h"
#include "core/cpu.h"
#include "core/vcpu.h"

void vfp_load(struct vcpu *vcpu, uint64_t cptr)
{
    struct cpu *cpu = cpu_this();
    bool here = cpu->fp_owner == vcpu && vcpu->fp_cpu == cpu;

    write_cptr_el2(here ? cptr & ~CPTR_EL2_TFP : cptr);
}

void vfp_put(struct vcpu *vcpu)
{
    struct cpu *cpu = cpu_this();

    if (cpu->fp_owner == vcpu && vcpu->fp_cpu == cpu)
        fp_save(&vcpu->fp);
}

void vfp_take(struct vcpu *vcpu)
{
    struct cpu *cpu = cpu_this();

    write_cptr_el2(read_cptr_el2() & ~CPTR_EL2_TFP);
    isb(); /* untrapped before the registers are touched */
    fp_restore(&vcpu->fp);
    cpu->fp_owner = vcpu;
    vcpu->fp_cpu = cpu;
}

void vfp_reset(struct vcpu *vcpu)
{
    memset(&vcpu->fp, 0, sizeof(vcpu->fp));
    vcpu->fp_cpu = NULL;
}
