/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake's CPUs and their system registers. A CPU's memory comes from calloc(), so that of the
 * half megabyte of register values only the pages in use are real.
 *
 * A thread remembers its CPU together with the number of resets it has seen: after a reset it
 * looks for a CPU anew.
 */
#include "arch/fake.h"
#include "arch/sysreg_ids.h"
#include "fake_cpu.h"

#include <stdlib.h>
#include <string.h>

/* Those that can be selected, and then those of threads that selected none. */
#define ALL_CPUS 1024U

static struct {
    struct fake_cpu *cpus[ALL_CPUS];
    unsigned int next_thread_cpu;
    unsigned int resets;
    fake_sysreg_read_fn read;
    fake_sysreg_write_fn write;
    uint32_t initial[FAKE_SYSREGS]; /* registers that CPU 0 was given */
    size_t nr_initial;
} fake = {.resets = 1, .next_thread_cpu = FAKE_CPUS};

static __thread struct fake_cpu *here;
static __thread unsigned int here_resets;

static struct fake_cpu *cpu_create(unsigned int n)
{
    struct fake_cpu *cpu = calloc(1, sizeof(*cpu));

    if (cpu == NULL) {
        abort();
    }
    for (size_t i = 0; n != 0 && i < fake.nr_initial; i++) {
        uint32_t id = fake.initial[i];

        cpu->value[id] = fake.cpus[0]->value[id];
        cpu->known[id] = 1;
    }
    fake.cpus[n] = cpu;
    return cpu;
}

static struct fake_cpu *cpu_get(unsigned int n)
{
    return fake.cpus[n] != NULL ? fake.cpus[n] : cpu_create(n);
}

void fake_cpu_select(unsigned int cpu)
{
    if (cpu >= FAKE_CPUS) {
        fake_fail("there is no CPU %u", cpu);
        return;
    }
    here = cpu_get(cpu);
    here_resets = fake.resets;
}

struct fake_cpu *fake_cpu_here(void)
{
    unsigned int n;

    if (here != NULL && here_resets == fake.resets) {
        return here;
    }
    n = __atomic_fetch_add(&fake.next_thread_cpu, 1U, __ATOMIC_RELAXED);
    if (n >= ALL_CPUS) {
        fake_fail("too many threads without a CPU since fake_reset()");
        abort();
    }
    here = cpu_get(n);
    here_resets = fake.resets;
    return here;
}

void fake_reset(void)
{
    for (unsigned int n = 0; n < ALL_CPUS; n++) {
        if (fake.cpus[n] != NULL) {
            free(fake.cpus[n]->events);
            free(fake.cpus[n]);
            fake.cpus[n] = NULL;
        }
    }
    fake.resets++;
    fake.next_thread_cpu = FAKE_CPUS;
    fake.nr_initial = 0;
    fake.read = NULL;
    fake.write = NULL;
    fake_log_reset();
    fake_io_reset();
    fake_cpu_select(0);
}

void fake_sysreg_device(fake_sysreg_read_fn read, fake_sysreg_write_fn write)
{
    fake.read = read;
    fake.write = write;
}

static struct fake_cpu *cpu_for(uint32_t id)
{
    if (id >= FAKE_SYSREGS) {
        fake_fail("0x%x is no system register", id);
        abort();
    }
    return fake_cpu_here();
}

void fake_sysreg_set(uint32_t id, uint64_t value)
{
    struct fake_cpu *cpu = cpu_for(id);

    cpu->value[id] = value;
    if (!cpu->known[id]) {
        cpu->known[id] = 1;
        if (cpu == fake.cpus[0]) {
            fake.initial[fake.nr_initial++] = id;
        }
    }
}

bool fake_sysreg_known(uint32_t id)
{
    return cpu_for(id)->known[id] != 0;
}

uint64_t fake_sysreg_get(uint32_t id)
{
    struct fake_cpu *cpu = cpu_for(id);
    const char *name = fake_sysreg_name(id);

    if (!cpu->known[id]) {
        fake_fail("read of %s (0x%x), which has no value", name != NULL ? name : "a register", id);
    }
    return cpu->value[id];
}

uint64_t fake_sysreg_read(uint32_t id)
{
    uint64_t value;

    if (fake.read != NULL && fake.read(id, &value)) {
        return value;
    }
    return fake_sysreg_get(id);
}

void fake_sysreg_write(uint32_t id, uint64_t value)
{
    struct fake_cpu *cpu = cpu_for(id);

    fake_log_add(FAKE_MSR, id, 0, value);
    if (fake.write != NULL && fake.write(id, value)) {
        return;
    }
    cpu->value[id] = value;
    cpu->known[id] = 1;
}

const char *fake_sysreg_name(uint32_t id)
{
    static const struct {
        uint32_t id;
        const char *name;
    } rows[] = {
#define SYSREG_ROW(name, op0, op1, crn, crm, op2) {SYSREG_ENC(op0, op1, crn, crm, op2), #name},
#include "arch/sysreg_table.inc"
#undef SYSREG_ROW
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].id == id) {
            return rows[i].name;
        }
    }
    return NULL;
}
