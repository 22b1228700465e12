/* SPDX-License-Identifier: Apache-2.0 */
/* Code and constants are never written, so their pages are the file's: what the program headers
 * call loaded and not writable. */
#include "vmm/base/program.h"
#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The linker's: the file's header, where it is mapped. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

void program_forget(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t header = (uintptr_t)&__ehdr_start;
    const ElfW(Phdr) *part = (const ElfW(Phdr) *)(header + __ehdr_start.e_phoff);
    uintptr_t base = header;

    for (unsigned int i = 0; i < __ehdr_start.e_phnum; i++, part++) {
        uintptr_t first = base + part->p_vaddr;

        if (part->p_type == PT_LOAD && part->p_offset == 0) {
            base = header - part->p_vaddr; /* 0 is where a program that can't be moved was linked */
            first = header;
        }
        if (part->p_type == PT_LOAD && (part->p_flags & PF_W) == 0) {
            first &= ~(page - 1);
            madvise((void *)first, base + part->p_vaddr + part->p_filesz - first, MADV_DONTNEED);
        }
    }
}
