/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake backend. It keeps the real one's rules: what may be called before what, one mapping a
 * place, an ioeventfd takes only the store that matches; who breaks one gets an error.
 */
#include "vmm/backend/backend_fake.h"
#include "bothy/bits.h"
#include "machine/layout.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 8u
#define NR_CORE 37u
#define FAKE_RING 4u

struct wire {
    int fd;
    uint64_t address;
    uint32_t match;
    bool used;
};

struct slot {
    uint64_t ipa, size;
};

struct fake_backend {
    struct backend base;
    struct fake_plan *plan;
};

struct backend_vcpu {
    struct backend_vm *vm;
    uint32_t index;
    bool created, kicked, ready;
    const struct fake_step *step;
    const struct fake_step *loaded; /* its value is looked at before the next step */
    uint64_t value;
    uint64_t core[NR_CORE];
};

struct backend_vm {
    struct fake_backend *backend;
    struct backend_vm_config config;
    struct slot slots[SLOTS];
    struct wire wires[FAKE_WIRES_MAX];
    bool has_irqchip;
    bool statistics_open;
    uint64_t collect_at; /* of one device: the last that asked */
    uint32_t collected[FAKE_RING];
    uint32_t nr_collected;
    pthread_mutex_t lock; /* kicks and wires */
    pthread_cond_t changed;
    uint64_t id[128]; /* ID registers by CRm and op2 */
    struct backend_vcpu vcpus[FAKE_VCPUS_MAX];
};

static struct fake_plan plan_of_none = {
    .caps = {.ipa_bits = 40, .max_vcpus = FAKE_VCPUS_MAX, .gic_v3 = true, .its = true,
             .readonly_memory = true, .inject_abort = true, .pv_time = true},
};
static struct fake_plan *next_plan = &plan_of_none;

void fake_set_plan(struct fake_plan *plan)
{
    next_plan = plan != NULL ? plan : &plan_of_none;
}

static void count(uint32_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static void fake_close(struct backend *backend)
{
    free(CONTAINER_OF(backend, struct fake_backend, base));
}

static bool fake_probe(struct backend *backend, struct error *error)
{
    (void)backend;
    (void)error;
    return true;
}

static struct backend_vm *fake_vm_create(struct backend *backend,
                                         const struct backend_vm_config *config,
                                         struct error *error)
{
    struct fake_backend *fake = CONTAINER_OF(backend, struct fake_backend, base);
    struct backend_vm *vm = fake->plan->refuse_vm ? NULL : calloc(1, sizeof(*vm));

    if (vm == NULL) {
        error_set(error, EXIT_CODE_HOST, "the fake backend makes no VM");
        return NULL;
    }
    vm->backend = fake;
    vm->config = *config;
    memcpy(vm->id, fake->plan->id, sizeof(vm->id));
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);
    count(&fake->plan->vms);
    return vm;
}

static void fake_vm_destroy(struct backend_vm *vm)
{
    if (vm == NULL) {
        return;
    }
    count(&vm->backend->plan->vms_gone);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

static bool fake_memory_map(struct backend_vm *vm, uint64_t ipa, uint64_t size, void *base,
                            uint32_t flags, struct error *error)
{
    struct fake_plan *plan = vm->backend->plan;
    struct slot *free_slot = NULL;

    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &vm->slots[i];

        if (slot->size != 0 && ipa < slot->ipa + slot->size && slot->ipa < ipa + size) {
            return error_set(error, EXIT_CODE_VMM, "memory is mapped twice");
        }
        free_slot = slot->size == 0 && free_slot == NULL ? slot : free_slot;
    }
    if (free_slot == NULL || base == NULL || !IS_ALIGNED(ipa | size | (uintptr_t)base, KIB(4))) {
        return error_set(error, EXIT_CODE_VMM, "memory can't be mapped so");
    }
    *free_slot = (struct slot){ipa, size};
    plan->mapped += size;
    plan->readonly += (flags & BACKEND_MEMORY_READONLY) != 0 ? size : 0;
    return true;
}

static bool fake_memory_unmap(struct backend_vm *vm, uint64_t ipa, struct error *error)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (vm->slots[i].size != 0 && vm->slots[i].ipa == ipa) {
            vm->slots[i].size = 0;
            return true;
        }
    }
    return error_set(error, EXIT_CODE_VMM, "no memory is mapped there");
}

static bool fake_memory_dirty(struct backend_vm *vm, uint64_t ipa, uint64_t *bitmap)
{
    (void)vm;
    (void)ipa;
    (void)bitmap;
    return false;
}

static struct backend_vcpu *fake_vcpu_create(struct backend_vm *vm, uint32_t index,
                                             struct error *error)
{
    struct fake_plan *plan = vm->backend->plan;
    struct backend_vcpu *vcpu = &vm->vcpus[index];

    if (vm->has_irqchip || index >= vm->config.nr_vcpus) {
        error_set(error, EXIT_CODE_VMM, "vCPU %u comes too late", index);
        return NULL;
    }
    *vcpu = (struct backend_vcpu){.vm = vm, .index = index, .created = true};
    if (plan->lives == 0 || plan->vms <= plan->lives) {
        vcpu->step = plan->scripts[index];
    }
    return vcpu;
}

static bool fake_irqchip_create(struct backend_vm *vm, struct backend_irqchip *irqchip,
                                struct error *error)
{
    const struct backend_caps *caps = &vm->backend->base.caps;

    if (irqchip->version == BACKEND_GIC_AUTO) {
        irqchip->version = caps->gic_v3 ? BACKEND_GIC_V3 : BACKEND_GIC_V2;
    }
    if (irqchip->version == BACKEND_GIC_V3 ? !caps->gic_v3 : !caps->gic_v2) {
        return error_set(error, EXIT_CODE_HOST, "the fake host has no such GIC");
    }
    irqchip->its = irqchip->its && caps->its && irqchip->version == BACKEND_GIC_V3;
    vm->has_irqchip = true;
    return true;
}

static bool fake_vcpu_ready(struct backend_vcpu *vcpu, uint64_t stolen_ipa, struct error *error)
{
    if (!vcpu->vm->has_irqchip || (stolen_ipa != 0 && !IS_ALIGNED(stolen_ipa, 64u))) {
        return error_set(error, EXIT_CODE_VMM, "vCPU %u can't be made ready so", vcpu->index);
    }
    vcpu->ready = true;
    return true;
}

/* True: an eventfd took the store, or it was collected. */
static bool take_store(struct backend_vm *vm, const struct fake_step *step)
{
    uint64_t one = 1;
    int fd = -1;
    bool collected;

    pthread_mutex_lock(&vm->lock);
    collected = vm->collect_at != 0 && step->address == vm->collect_at &&
                vm->nr_collected < FAKE_RING;
    if (collected) {
        vm->collected[vm->nr_collected++] = (uint32_t)step->value;
    }
    for (uint32_t i = 0; i < FAKE_WIRES_MAX; i++) {
        if (vm->wires[i].used && vm->wires[i].address == step->address &&
            vm->wires[i].match == step->value && step->size == sizeof(uint32_t)) {
            fd = vm->wires[i].fd;
        }
    }
    pthread_mutex_unlock(&vm->lock);
    return collected || (fd >= 0 && write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void sleep_until_kicked(struct backend_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->vm->lock);
    while (!vcpu->kicked) {
        pthread_cond_wait(&vcpu->vm->changed, &vcpu->vm->lock);
    }
    pthread_mutex_unlock(&vcpu->vm->lock);
}

static bool is_kicked(struct backend_vcpu *vcpu)
{
    bool kicked;

    pthread_mutex_lock(&vcpu->vm->lock);
    kicked = vcpu->kicked;
    pthread_mutex_unlock(&vcpu->vm->lock);
    return kicked;
}

static void access_device(struct backend_vcpu *vcpu, const struct fake_step *step,
                          struct backend_exit *exit)
{
    vcpu->value = step->kind == FAKE_STORE ? step->value : UINT64_C(0xdead);
    vcpu->loaded = step->kind == FAKE_LOAD && step->check ? step : NULL;
    *exit = (struct backend_exit){.kind = BACKEND_EXIT_MMIO,
                                  .size = step->size,
                                  .write = step->kind == FAKE_STORE,
                                  .address = step->address,
                                  .value = &vcpu->value};
}

/* One step of the script. False: the guest goes on by itself. */
static bool play(struct backend_vcpu *vcpu, const struct fake_step *step,
                 struct backend_exit *exit)
{
    *exit = (struct backend_exit){.address = step->address};
    switch (step->kind) {
    case FAKE_STORE:
        if (take_store(vcpu->vm, step)) {
            return false;
        }
        access_device(vcpu, step, exit);
        return true;
    case FAKE_LOAD:
        access_device(vcpu, step, exit);
        return true;
    case FAKE_CALL:
        step->call(step->argument);
        return false;
    case FAKE_OFF:
        exit->kind = BACKEND_EXIT_OFF;
        return true;
    case FAKE_RESET:
        exit->kind = BACKEND_EXIT_RESET;
        return true;
    case FAKE_CRASH:
        exit->kind = BACKEND_EXIT_CRASH;
        return true;
    case FAKE_NO_SYNDROME:
        exit->kind = BACKEND_EXIT_NO_SYNDROME;
        return true;
    default:
        exit->kind = BACKEND_EXIT_FAILED;
        exit->code = step->value;
        exit->text = "the fake CPU refused";
        return true;
    }
}

static void fake_vcpu_run(struct backend_vcpu *vcpu, struct backend_exit *ret_exit)
{
    struct fake_plan *plan = vcpu->vm->backend->plan;

    if (vcpu->loaded != NULL && vcpu->value != vcpu->loaded->value) {
        count(&plan->mismatches);
    }
    vcpu->loaded = NULL;
    while (!is_kicked(vcpu)) {
        if (vcpu->step == NULL || vcpu->step->kind == FAKE_SLEEP) {
            sleep_until_kicked(vcpu);
        } else if (play(vcpu, vcpu->step++, ret_exit)) {
            return;
        }
    }
    *ret_exit = (struct backend_exit){.kind = BACKEND_EXIT_INTERRUPTED};
}

static void fake_vcpu_kick(struct backend_vcpu *vcpu, int tid)
{
    (void)tid;
    count(&vcpu->vm->backend->plan->kicks);
    pthread_mutex_lock(&vcpu->vm->lock);
    vcpu->kicked = true;
    pthread_cond_broadcast(&vcpu->vm->changed);
    pthread_mutex_unlock(&vcpu->vm->lock);
}

static void fake_vcpu_unkick(struct backend_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->vm->lock);
    vcpu->kicked = false;
    pthread_mutex_unlock(&vcpu->vm->lock);
}

static bool fake_vcpu_abort(struct backend_vcpu *vcpu)
{
    if (!vcpu->vm->backend->base.caps.inject_abort) {
        return false;
    }
    count(&vcpu->vm->backend->plan->aborts);
    return true;
}

static uint64_t *find_register(struct backend_vcpu *vcpu, uint32_t number)
{
    if (number < NR_CORE) {
        return &vcpu->core[number];
    }
    return (number & ~UINT32_C(0x7f)) == BACKEND_SYSREG(3, 0, 0, 0, 0)
               ? &vcpu->vm->id[number & 0x7f] : NULL;
}

static bool fake_register_get(struct backend_vcpu *vcpu, uint32_t number, uint64_t *ret_value)
{
    const uint64_t *reg = find_register(vcpu, number);

    if (number == BACKEND_REG_MPIDR_EL1) {
        *ret_value = BIT(31) | (vcpu->index >> 4) << 8 | (vcpu->index & 0xf);
        return true;
    }
    if (reg != NULL) {
        *ret_value = *reg;
    }
    return reg != NULL;
}

static bool fake_register_set(struct backend_vcpu *vcpu, uint32_t number, uint64_t value)
{
    uint64_t *reg = find_register(vcpu, number);

    if (reg == NULL) {
        errno = ENOENT;
        return false;
    }
    *reg = value;
    if (vcpu->index == 0) {
        vcpu->vm->backend->plan->pc = vcpu->core[BACKEND_REG_PC];
        vcpu->vm->backend->plan->x0 = vcpu->core[BACKEND_REG_X0];
        memcpy(vcpu->vm->backend->plan->id_after, vcpu->vm->id, sizeof(vcpu->vm->id));
    }
    return true;
}

static bool fake_register_writable(struct backend_vm *vm, uint32_t number, uint64_t *ret_mask)
{
    *ret_mask = vm->backend->plan->id_writable[number & 0x7f];
    return vm->backend->base.caps.id_registers;
}

static bool fake_irq_line(struct backend_vm *vm, uint32_t spi, bool level)
{
    struct fake_plan *plan = vm->backend->plan;

    if (!vm->has_irqchip || spi >= ARRAY_SIZE(plan->edges)) {
        return false;
    }
    if (level) {
        count(&plan->edges[spi]);
    }
    plan->levels[spi] = level;
    return true;
}

static bool fake_irqfd(struct backend_vm *vm, int fd, uint32_t spi, bool assign)
{
    (void)assign;
    if (vm->has_irqchip && fd >= 0 && spi < ARRAY_SIZE(vm->backend->plan->edges)) {
        count(&vm->backend->plan->irqfds);
        return true;
    }
    errno = EINVAL;
    return false;
}

static bool fake_ioeventfd(struct backend_vm *vm, int fd, uint64_t address, uint32_t match,
                           bool assign)
{
    const struct wire wire = {fd, address, match, true};
    bool done = false;

    pthread_mutex_lock(&vm->lock);
    for (uint32_t i = 0; i < FAKE_WIRES_MAX && !done; i++) {
        struct wire *at = &vm->wires[i];
        bool same = at->used && at->address == address && at->match == match;

        if (assign ? !at->used : same) {
            *at = assign ? wire : (struct wire){0};
            done = true;
        }
    }
    pthread_mutex_unlock(&vm->lock);
    return done;
}

static bool fake_collect(struct backend_vm *vm, uint64_t address, bool assign)
{
    pthread_mutex_lock(&vm->lock);
    vm->collect_at = assign ? address : 0;
    pthread_mutex_unlock(&vm->lock);
    return true;
}

static void fake_collected(struct backend_vm *vm, backend_store_t each, void *context)
{
    uint32_t taken[FAKE_RING];
    uint32_t nr;

    pthread_mutex_lock(&vm->lock);
    nr = vm->nr_collected;
    memcpy(taken, vm->collected, sizeof(taken));
    vm->nr_collected = 0;
    pthread_mutex_unlock(&vm->lock);
    for (uint32_t i = 0; i < nr; i++) {
        each(context, vm->collect_at, taken[i]);
    }
}

static bool fake_statistics_ready(const struct backend_vm *vm)
{
    return vm->statistics_open;
}

static void fake_statistics_open(struct backend_vm *vm)
{
    vm->statistics_open = true;
}

static void fake_statistics(struct backend_vm *vm, backend_stat_t each, void *context)
{
    each(context, -1, "remote_tlb_flush", 7);
    for (uint32_t i = 0; i < vm->config.nr_vcpus; i++) {
        each(context, (int)i, "exits", 11 + i);
        each(context, (int)i, "hvc_exit_stat", 5 + i);
    }
}

static const struct backend_ops fake_ops = {
    .close = fake_close,
    .probe = fake_probe,
    .vm_create = fake_vm_create,
    .vm_destroy = fake_vm_destroy,
    .memory_map = fake_memory_map,
    .memory_unmap = fake_memory_unmap,
    .memory_dirty = fake_memory_dirty,
    .vcpu_create = fake_vcpu_create,
    .irqchip_create = fake_irqchip_create,
    .vcpu_ready = fake_vcpu_ready,
    .vcpu_run = fake_vcpu_run,
    .vcpu_kick = fake_vcpu_kick,
    .vcpu_unkick = fake_vcpu_unkick,
    .vcpu_abort = fake_vcpu_abort,
    .register_get = fake_register_get,
    .register_set = fake_register_set,
    .register_writable = fake_register_writable,
    .irq_line = fake_irq_line,
    .irqfd = fake_irqfd,
    .ioeventfd = fake_ioeventfd,
    .collect = fake_collect,
    .collected = fake_collected,
    .statistics_ready = fake_statistics_ready,
    .statistics_open = fake_statistics_open,
    .statistics = fake_statistics,
};

struct backend *backend_open(struct error *error)
{
    struct fake_backend *fake = calloc(1, sizeof(*fake));

    if (fake == NULL) {
        error_set(error, EXIT_CODE_HOST, "no memory for the VM");
        return NULL;
    }
    fake->base = (struct backend){&fake_ops, "fake", next_plan->caps};
    fake->plan = next_plan;
    return &fake->base;
}
