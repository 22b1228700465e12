/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A naive GICv3 with one security state, as a guest sees it: every interrupt's state is in one
 * place and everything takes effect at once. There are no list registers here.
 */
#ifndef TESTS_VGIC_MODEL_H
#define TESTS_VGIC_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_VCPUS 4
#define MODEL_IRQS 288
#define MODEL_STACK 32
#define MODEL_NONE 1023U

struct model_irq {
    bool enabled, edge, line, latch, active;
    uint32_t group, priority;
    uint64_t router;
    int where; /* vCPU; -1 if nobody */
};

struct model_running {
    uint32_t intid, group, level; /* level: group priority, of all 8 bits */
};

struct model_vcpu {
    struct model_irq private_irqs[32];
    struct model_running stack[MODEL_STACK]; /* acknowledged, priority not dropped */
    int depth;
    uint32_t dropped[MODEL_IRQS]; /* EOImode 1: priority dropped, not deactivated */
    int nr_dropped;
    bool asleep, split, enable[2];
    uint32_t pmr, bpr[2];
};

struct model {
    int nr_vcpus;
    uint32_t priority_mask, min_bpr, ctlr;
    struct model_vcpu vcpus[MODEL_VCPUS];
    struct model_irq spis[MODEL_IRQS]; /* from 32 on */
};

/* What an acknowledge may give: the interrupts of the highest pending priority. */
struct model_choice {
    uint32_t intids[MODEL_IRQS];
    int count;
    bool signals[2]; /* one of them in that group signals */
    bool mixed;      /* there are both groups among them */
};

void model_init(struct model *model, int nr_vcpus, uint32_t priority_bits);
struct model_irq *model_irq(struct model *model, int vcpu, uint32_t intid);
bool model_pending(const struct model_irq *irq);
void model_line(struct model *model, int vcpu, uint32_t intid, bool level);
void model_latch(struct model *model, int vcpu, uint32_t intid);
void model_sgi(struct model *model, int from, uint32_t intid, uint32_t targets, bool either);
void model_choose(struct model *model, int vcpu, struct model_choice *ret_choice);
void model_ack(struct model *model, int vcpu, uint32_t intid);
void model_eoi(struct model *model, int vcpu);
void model_deactivate(struct model *model, int vcpu, uint32_t intid);
void model_route_all(struct model *model);
/* Whether it is acknowledged by a vCPU that will end it by EOIR alone. */
bool model_in_eoi_stack(const struct model *model, int vcpu, uint32_t intid);

#endif
