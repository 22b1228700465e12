/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the handling of a trap decided. Guest misbehaviour is one of these and never an
 * enum status: it can concern nobody but the vCPU that did it.
 */
#ifndef CORE_TRAP_RESULT_H
#define CORE_TRAP_RESULT_H

enum trap_result {
    TRAP_NEXT,         /* emulated: go on behind the instruction */
    TRAP_RESUME,       /* PC is right as it is (HVC, or try the same instruction again) */
    TRAP_UNDEF,        /* inject an Undefined Instruction exception */
    TRAP_ABORT,        /* inject a synchronous external abort on the accessed address */
    TRAP_WAIT,         /* WFI/WFE/CPU_SUSPEND: go on behind it, once there is something to do */
    TRAP_YIELD,        /* go on behind it, after others had their turn */
    TRAP_OFF,          /* this vCPU is not to be entered again until somebody starts it */
};

#endif
