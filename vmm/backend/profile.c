/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of profiles. A row is a field of an ID register (Arm ARM D19.2) and its value in
 * each profile. All fields are unsigned but FP and AdvSIMD, where 15 is less than 0.
 */
#include "vmm/backend/profile.h"
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { V8_0, CORTEX_A72, V8_2, NEOVERSE_N1, NR_PROFILES };

static const char *const names[NR_PROFILES] = {"v8.0", "cortex-a72", "v8.2", "neoverse-n1"};

/* By CRm and op2 of op0 3, op1 0, CRn 0. */
#define PFR0 0x40u
#define ISAR0 0x60u
#define ISAR1 0x61u
#define ISAR2 0x62u
#define MMFR1 0x71u
#define MMFR2 0x72u

static const struct field {
    uint8_t reg;
    uint8_t shift;
    char name[14];
    uint8_t value[NR_PROFILES];
} fields[] = {
    /*                        v8.0 a72 v8.2 n1 */
    {PFR0, 16, "PFR0.FP",       {0, 0, 0, 1}},
    {PFR0, 20, "PFR0.AdvSIMD",  {0, 0, 0, 1}},
    {PFR0, 48, "PFR0.DIT",      {0, 0, 0, 0}},
    {ISAR0, 4, "ISAR0.AES",     {0, 2, 0, 2}},
    {ISAR0, 8, "ISAR0.SHA1",    {0, 1, 0, 1}},
    {ISAR0, 12, "ISAR0.SHA2",   {0, 1, 0, 1}},
    {ISAR0, 16, "ISAR0.CRC32",  {1, 1, 1, 1}},
    {ISAR0, 20, "ISAR0.Atomic", {0, 0, 2, 2}},
    {ISAR0, 28, "ISAR0.RDM",    {0, 0, 1, 1}},
    {ISAR0, 32, "ISAR0.SHA3",   {0, 0, 0, 0}},
    {ISAR0, 36, "ISAR0.SM3",    {0, 0, 0, 0}},
    {ISAR0, 40, "ISAR0.SM4",    {0, 0, 0, 0}},
    {ISAR0, 44, "ISAR0.DP",     {0, 0, 0, 1}},
    {ISAR0, 48, "ISAR0.FHM",    {0, 0, 0, 0}},
    {ISAR0, 52, "ISAR0.TS",     {0, 0, 0, 0}},
    {ISAR0, 56, "ISAR0.TLB",    {0, 0, 0, 0}},
    {ISAR0, 60, "ISAR0.RNDR",   {0, 0, 0, 0}},
    {ISAR1, 0, "ISAR1.DPB",     {0, 0, 1, 1}},
    {ISAR1, 12, "ISAR1.JSCVT",  {0, 0, 0, 0}},
    {ISAR1, 16, "ISAR1.FCMA",   {0, 0, 0, 0}},
    {ISAR1, 20, "ISAR1.LRCPC",  {0, 0, 0, 1}},
    {ISAR1, 32, "ISAR1.FRINT",  {0, 0, 0, 0}},
    {ISAR1, 36, "ISAR1.SB",     {0, 0, 0, 0}},
    {ISAR1, 44, "ISAR1.BF16",   {0, 0, 0, 0}},
    {ISAR1, 48, "ISAR1.DGH",    {0, 0, 0, 0}},
    {ISAR1, 52, "ISAR1.I8MM",   {0, 0, 0, 0}},
    {ISAR2, 0, "ISAR2.WFxT",    {0, 0, 0, 0}},
    {ISAR2, 4, "ISAR2.RPRES",   {0, 0, 0, 0}},
    {ISAR2, 16, "ISAR2.MOPS",   {0, 0, 0, 0}},
    {ISAR2, 20, "ISAR2.BC",     {0, 0, 0, 0}},
    {MMFR1, 0, "MMFR1.HAFDBS",  {0, 0, 0, 2}},
    {MMFR1, 12, "MMFR1.HPDS",   {0, 0, 1, 2}},
    {MMFR1, 20, "MMFR1.PAN",    {0, 0, 2, 2}},
    {MMFR1, 36, "MMFR1.ETS",    {0, 0, 0, 0}},
    {MMFR2, 0, "MMFR2.CnP",     {0, 0, 0, 1}},
    {MMFR2, 4, "MMFR2.UAO",     {0, 0, 1, 1}},
    {MMFR2, 12, "MMFR2.IESB",   {0, 0, 0, 1}},
    {MMFR2, 32, "MMFR2.AT",     {0, 0, 0, 0}},
    {MMFR2, 48, "MMFR2.TTL",    {0, 0, 0, 0}},
    {MMFR2, 52, "MMFR2.BBM",    {0, 0, 0, 0}},
    {MMFR2, 60, "MMFR2.E0PD",   {0, 0, 0, 0}},
};

/* Sentences about fields, one after another. */
struct list {
    char text[320];
    size_t at;
};

/* A register that is being changed. */
struct draft {
    const struct backend *backend;
    struct backend_vm *vm;
    struct backend_vcpu *vcpu;
    struct list lacking, beyond;
};

static int find(const char *name)
{
    for (int i = 0; i < NR_PROFILES; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

const char *profile_name(uint32_t i)
{
    return i < NR_PROFILES ? names[i] : NULL;
}

bool profile_is_named(const char *name)
{
    return name != NULL && strcmp(name, "host") != 0;
}

bool profile_check(const char *name, struct error *error)
{
    if (!profile_is_named(name) || find(name) >= 0) {
        return true;
    }
    return error_set(error, EXIT_CODE_USAGE,
                     "there is no CPU profile \"%s\": take host, v8.0, cortex-a72, v8.2 or "
                     "neoverse-n1", name);
}

static uint32_t number_of(const struct field *field)
{
    return BACKEND_SYSREG(3, 0, 0, field->reg >> 4, field->reg & 0xfu);
}

static void note(struct list *list, const struct field *field, uint64_t has, uint64_t wanted)
{
    size_t left = sizeof(list->text) - list->at;
    int length = snprintf(list->text + list->at, left, "%sID_AA64%s %u instead of %u",
                          list->at != 0 ? ", " : "", field->name, (unsigned int)has,
                          (unsigned int)wanted);

    list->at += MIN((size_t)length, left - 1);
}

/* FP and AdvSIMD: 15 is "none". */
static bool is_less(const struct field *field, uint64_t a, uint64_t b)
{
    if (field->reg == PFR0 && field->shift <= 20) {
        return ((a + 1) & 0xf) < ((b + 1) & 0xf);
    }
    return a < b;
}

/* One field of the register's value; what can't be is noted. */
static uint64_t limit(struct draft *draft, const struct field *field, uint64_t value,
                      uint64_t writable, uint64_t wanted)
{
    uint64_t mask = UINT64_C(0xf) << field->shift;
    uint64_t has = value >> field->shift & 0xf;

    if (has == wanted) {
        return value;
    }
    if (is_less(field, has, wanted)) {
        note(&draft->lacking, field, has, wanted);
        return value;
    }
    if ((writable & mask) != mask) {
        note(&draft->beyond, field, has, wanted);
        return value;
    }
    return (value & ~mask) | wanted << field->shift;
}

/* The rows of one register, which follow one another; returns the first behind them. */
static size_t apply_register(struct draft *draft, size_t first, int profile, bool *ret_ok)
{
    const struct backend_ops *ops = draft->backend->ops;
    uint32_t number = number_of(&fields[first]);
    uint64_t writable = 0;
    uint64_t old;
    uint64_t value;
    size_t i;

    if (!ops->register_get(draft->vcpu, number, &old)) {
        old = 0; /* a kernel that doesn't know it hides it */
    }
    ops->register_writable(draft->vm, number, &writable);
    value = old;
    for (i = first; i < ARRAY_SIZE(fields) && fields[i].reg == fields[first].reg; i++) {
        value = limit(draft, &fields[i], value, writable, fields[i].value[profile]);
    }
    *ret_ok = draft->lacking.at != 0 || value == old ||
              ops->register_set(draft->vcpu, number, value);
    return i;
}

bool profile_apply(const struct backend *backend, struct backend_vm *vm,
                   struct backend_vcpu *vcpu, const char *name, struct error *error)
{
    struct draft draft = {.backend = backend, .vm = vm, .vcpu = vcpu};
    bool ok = true;
    size_t i = 0;

    if (!profile_is_named(name)) {
        return true;
    }
    if (!profile_check(name, error)) {
        return false;
    }
    if (!backend->caps.id_registers) {
        return error_set(error, EXIT_CODE_HOST,
                         "CPU profile %s: this host's %s can't change ID registers (Linux can from "
                         "6.7 on): use --cpu host", name, backend->name);
    }
    while (i < ARRAY_SIZE(fields) && ok) {
        i = apply_register(&draft, i, find(name), &ok);
    }
    if (draft.lacking.at != 0) {
        return error_set(error, EXIT_CODE_HOST, "CPU profile %s: this host has %s", name,
                         draft.lacking.text);
    }
    if (!ok) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "CPU profile %s: %s doesn't take the values", name, backend->name);
    }
    if (draft.beyond.at != 0) {
        log_warning("CPU profile %s: the guest sees more than that, as this host can't hide "
                    "it: %s", name, draft.beyond.text);
    }
    return true;
}
