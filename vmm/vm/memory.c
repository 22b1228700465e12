/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM: reserved with guards, mapped into the middle, advised, bound, locked, cleared. */
#include "vmm/vm/memory.h"
#include "bothy/bits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD MIB(2)
#define START MIB(2) /* see memory_begin_load() */
#define HUGE_SHIFT 26 /* MFD_HUGE_SHIFT */
#define NODES_MAX 1024
#define MPOL_BIND_MODE 2

/* Address space for memory and guards; memory begins on its largest page. */
static bool reserve(struct vm_memory *memory, uint64_t align, struct error *error)
{
    size_t size = memory->size + 2 * GUARD + align;
    void *reserved = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                          0);

    if (reserved == MAP_FAILED) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "no address space for %llu MiB of guest memory",
                               (unsigned long long)(memory->size >> 20));
    }
    memory->reserved = reserved;
    memory->reserved_size = size;
    memory->base = (uint8_t *)ALIGN_UP((uintptr_t)reserved + GUARD, align);
    return true;
}

static bool open_memfd(struct vm_memory *memory, uint64_t huge, struct error *error)
{
    unsigned int flags = MFD_CLOEXEC;

    if (huge != 0) {
        flags |= MFD_HUGETLB | (unsigned int)bits_first(huge) << HUGE_SHIFT;
    }
    memory->fd = memfd_create("bothy-guest", flags);
    if (memory->fd < 0 && huge != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "this host has no pages of %llu KiB",
                               (unsigned long long)(huge >> 10));
    }
    if (memory->fd < 0 || ftruncate(memory->fd, (off_t)memory->size) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "can't make a memory file of %llu MiB",
                               (unsigned long long)(memory->size >> 20));
    }
    return true;
}

static bool map(struct vm_memory *memory, uint64_t huge, struct error *error)
{
    int flags = MAP_FIXED | (memory->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);

    /* Huge pages are set aside here, so that a lack of them shows now and not as a SIGBUS. */
    flags |= huge != 0 ? 0 : MAP_NORESERVE;
    if (mmap(memory->base, memory->size, PROT_READ | PROT_WRITE, flags, memory->fd, 0) ==
        MAP_FAILED) {
        if (huge != 0) {
            return error_set_errno(error, EXIT_CODE_HOST, errno,
                                   "there are fewer free huge pages than %llu of %llu KiB: write "
                                   "more to /sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
                                   (unsigned long long)(memory->size / huge),
                                   (unsigned long long)(huge >> 10),
                                   (unsigned long long)(huge >> 10));
        }
        return error_set_errno(error, EXIT_CODE_HOST, errno, "can't map %llu MiB of guest memory",
                               (unsigned long long)(memory->size >> 20));
    }
    return true;
}

static bool bind_node(const struct vm_memory *memory, int node, struct error *error)
{
    unsigned long nodes[NODES_MAX / 64] = {0};

    if (node >= NODES_MAX) {
        return error_set(error, EXIT_CODE_USAGE, "NUMA node %d: there is no such node", node);
    }
    nodes[node / 64] = 1ul << (node % 64);
    if (syscall(SYS_mbind, memory->base, memory->size, MPOL_BIND_MODE, nodes, NODES_MAX + 1, 0) !=
        0) {
        return error_set_errno(error, errno == EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_HOST, errno,
                               "can't bind guest memory to NUMA node %d, see /sys/devices/system/"
                               "node/online", node);
    }
    return true;
}

static bool lock_memory(struct vm_memory *memory, struct error *error)
{
    if (mlock(memory->base, memory->size) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno,
                               "can't lock %llu MiB of guest memory: raise `ulimit -l`, or leave "
                               "out locked=on", (unsigned long long)(memory->size >> 20));
    }
    memory->locked = true;
    return true;
}

/* Advice: an old kernel or one without huge pages may well refuse it. */
static void advise(const struct vm_memory *memory, uint64_t size, bool huge)
{
    madvise(memory->base, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void memory_begin_load(struct vm_memory *memory, const struct config_memory *config,
                       uint64_t size)
{
    if (size < START / 2 && config->hugepages == CONFIG_HUGE_THP) {
        advise(memory, MIN(START, memory->size), false);
    }
}

void memory_end_load(struct vm_memory *memory, const struct config_memory *config)
{
    if (config->hugepages == CONFIG_HUGE_THP) {
        advise(memory, MIN(START, memory->size), true);
    }
}

static bool set_up(struct vm_memory *memory, const struct config_memory *config,
                   struct error *error)
{
    uint64_t huge = config_huge_size(config->hugepages);

    if (huge != 0 && !IS_ALIGNED(config->size, huge)) {
        return error_set(error, EXIT_CODE_USAGE,
                         "%llu MiB of memory are no multiple of its pages of %llu KiB",
                         (unsigned long long)(config->size >> 20),
                         (unsigned long long)(huge >> 10));
    }
    if (!reserve(memory, MAX(huge, (uint64_t)MIB(2)), error) ||
        ((huge != 0 || config->shared) && !open_memfd(memory, huge, error)) ||
        !map(memory, huge, error)) {
        return false;
    }
    if (huge == 0) {
        advise(memory, memory->size, config->hugepages == CONFIG_HUGE_THP);
    }
    return (config->numa_node < 0 || bind_node(memory, config->numa_node, error)) &&
           (!config->locked || lock_memory(memory, error));
}

bool memory_create(struct vm_memory *memory, const struct config_memory *config,
                   struct error *error)
{
    *memory = (struct vm_memory){.size = config->size, .fd = -1};
    if (!set_up(memory, config, error)) {
        memory_destroy(memory);
        return false;
    }
    return true;
}

void memory_destroy(struct vm_memory *memory)
{
    if (memory->reserved != NULL) {
        munmap(memory->reserved, memory->reserved_size);
    }
    if (memory->fd >= 0) {
        close(memory->fd);
    }
    *memory = (struct vm_memory){.fd = -1};
}

/* Locked pages stay, so they are written; others are given back. */
bool memory_clear(struct vm_memory *memory, struct error *error)
{
    if (memory->locked) {
        memset(memory->base, 0, memory->size);
        return true;
    }
    if (memory->fd >= 0
            ? fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                        (off_t)memory->size) != 0
            : madvise(memory->base, memory->size, MADV_DONTNEED) != 0) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "can't clear the guest's memory");
    }
    return true;
}
