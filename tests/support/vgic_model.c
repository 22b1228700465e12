/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/vgic_model.h"

#include <string.h>

void model_init(struct model *model, int nr_vcpus, uint32_t priority_bits)
{
    memset(model, 0, sizeof(*model));
    model->nr_vcpus = nr_vcpus;
    model->priority_mask = 0xffU & (0xff00U >> priority_bits);
    model->min_bpr = 7U - priority_bits;
    for (int v = 0; v < nr_vcpus; v++) {
        struct model_vcpu *vcpu = &model->vcpus[v];

        vcpu->asleep = true;
        vcpu->bpr[0] = model->min_bpr;
        vcpu->bpr[1] = model->min_bpr + 1U;
        for (int i = 0; i < 32; i++) {
            vcpu->private_irqs[i].where = v;
            vcpu->private_irqs[i].edge = i < 16;
        }
    }
}

struct model_irq *model_irq(struct model *model, int vcpu, uint32_t intid)
{
    return intid < 32 ? &model->vcpus[vcpu].private_irqs[intid] : &model->spis[intid];
}

bool model_pending(const struct model_irq *irq)
{
    return irq->latch || (irq->line && !irq->edge);
}

static int route(const struct model *model, uint64_t router)
{
    if (router & (1UL << 31)) {
        for (int v = 0; v < model->nr_vcpus; v++) {
            if (!model->vcpus[v].asleep) {
                return v;
            }
        }
        return 0;
    }
    return router < (uint64_t)model->nr_vcpus ? (int)router : -1;
}

/* An active interrupt stays where it is. */
void model_route_all(struct model *model)
{
    for (int i = 32; i < MODEL_IRQS; i++) {
        if (!model->spis[i].active) {
            model->spis[i].where = route(model, model->spis[i].router);
        }
    }
}

void model_line(struct model *model, int vcpu, uint32_t intid, bool level)
{
    struct model_irq *irq = model_irq(model, vcpu, intid);

    if (irq->edge && level && !irq->line) {
        irq->latch = true;
    }
    irq->line = level;
}

void model_latch(struct model *model, int vcpu, uint32_t intid)
{
    model_irq(model, vcpu, intid)->latch = true;
}

void model_sgi(struct model *model, int from, uint32_t intid, uint32_t targets, bool either)
{
    for (int v = 0; v < model->nr_vcpus; v++) {
        struct model_irq *irq = &model->vcpus[v].private_irqs[intid];

        (void)from;
        if (((targets >> v) & 1U) && (either || irq->group == 0)) {
            irq->latch = true;
        }
    }
}

static bool preempts(const struct model *model, const struct model_vcpu *vcpu,
                     const struct model_irq *irq)
{
    uint32_t sub = irq->group == 0 ? vcpu->bpr[0] + 1U : vcpu->bpr[1];

    (void)model;
    if (irq->priority >= vcpu->pmr) {
        return false;
    }
    return vcpu->depth == 0 || (irq->priority >> sub) < (vcpu->stack[vcpu->depth - 1].level >> sub);
}

void model_choose(struct model *model, int v, struct model_choice *ret_choice)
{
    struct model_vcpu *vcpu = &model->vcpus[v];
    uint32_t best = 256;
    bool seen[2] = {false, false};

    memset(ret_choice, 0, sizeof(*ret_choice));
    for (uint32_t i = 0; i < MODEL_IRQS; i++) {
        struct model_irq *irq = model_irq(model, v, i);

        if (irq->where != v || !irq->enabled || !((model->ctlr >> irq->group) & 1U) ||
            !model_pending(irq) || irq->active || !vcpu->enable[irq->group] ||
            irq->priority > best) {
            continue;
        }
        if (irq->priority < best) {
            best = irq->priority;
            memset(ret_choice, 0, sizeof(*ret_choice));
            seen[0] = seen[1] = false;
        }
        ret_choice->intids[ret_choice->count++] = i;
        seen[irq->group] = true;
        ret_choice->signals[irq->group] = preempts(model, vcpu, irq);
    }
    ret_choice->mixed = seen[0] && seen[1];
}

void model_ack(struct model *model, int v, uint32_t intid)
{
    struct model_vcpu *vcpu = &model->vcpus[v];
    struct model_irq *irq = model_irq(model, v, intid);
    uint32_t sub = irq->group == 0 ? vcpu->bpr[0] + 1U : vcpu->bpr[1];

    irq->latch = false;
    irq->active = true;
    vcpu->stack[vcpu->depth++] =
        (struct model_running){intid, irq->group, irq->priority >> sub << sub};
}

void model_eoi(struct model *model, int v)
{
    struct model_vcpu *vcpu = &model->vcpus[v];
    uint32_t intid = vcpu->stack[--vcpu->depth].intid;

    if (vcpu->split) {
        vcpu->dropped[vcpu->nr_dropped++] = intid;
    } else {
        model_deactivate(model, v, intid);
    }
}

void model_deactivate(struct model *model, int v, uint32_t intid)
{
    model_irq(model, v, intid)->active = false;
    model_route_all(model);
}

bool model_in_eoi_stack(const struct model *model, int vcpu, uint32_t intid)
{
    for (int v = 0; v < model->nr_vcpus; v++) {
        for (int i = 0; i < model->vcpus[v].depth; i++) {
            if (!model->vcpus[v].split && model->vcpus[v].stack[i].intid == intid &&
                (intid >= 32 || v == vcpu)) {
                return true;
            }
        }
    }
    return false;
}
