/* SPDX-License-Identifier: Apache-2.0 */
/* CPU lists are walked, not stored: there are few, and they are read once a thread. */
#include "vmm/vm/affinity.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define CPU_MAX 1024u

struct range {
    uint32_t first, last;
};

/* The range at *text, which is moved behind it and its comma. */
static bool next_range(const char **text, struct range *range)
{
    char *end;
    unsigned long first;
    unsigned long last;

    if (**text < '0' || **text > '9') {
        return false;
    }
    first = strtoul(*text, &end, 10);
    last = first;
    if (*end == '-') {
        const char *second = end + 1;

        if (*second < '0' || *second > '9') {
            return false;
        }
        last = strtoul(second, &end, 10);
    }
    if (last < first || last >= CPU_MAX || (*end != '\0' && (*end != ',' || end[1] == '\0'))) {
        return false;
    }
    *range = (struct range){(uint32_t)first, (uint32_t)last};
    *text = *end == ',' ? end + 1 : end;
    return true;
}

bool affinity_find(const char *list, uint32_t index, uint32_t *ret_cpu, struct error *error)
{
    const char *at = list;
    uint32_t left = index;
    uint32_t total = 0;
    struct range range;

    while (*at != '\0' && next_range(&at, &range)) {
        total += range.last - range.first + 1;
    }
    if (*at != '\0' || total == 0) {
        return error_set(error, EXIT_CODE_USAGE,
                         "the CPU list \"%s\" isn't of the form 0-3,8 with CPUs below %u", list,
                         CPU_MAX);
    }
    left %= total;
    at = list;
    while (next_range(&at, &range) && left > range.last - range.first) {
        left -= range.last - range.first + 1;
    }
    *ret_cpu = range.first + left;
    return true;
}

bool affinity_apply(const char *list, uint32_t index, struct error *error)
{
    cpu_set_t set;
    uint32_t cpu;

    if (list == NULL) {
        return true;
    }
    if (!affinity_find(list, index, &cpu, error)) {
        return false;
    }
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "vCPU %u can't be bound to CPU %u of this host", index, cpu);
    }
    return true;
}
