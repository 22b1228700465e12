/* SPDX-License-Identifier: Apache-2.0 */
/* Going through the run directory, and finding one VM in it. */
#include "vmm/cli/rundir.h"
#include "vmm/config/nearest.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void rundir_each(const struct rundir *dir,
                 void (*each)(const struct rundir_vm *vm, void *context), void *context)
{
    int fd = dir->fd >= 0 ? dup(dir->fd) : -1;
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (list == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    rewinddir(list);
    while ((entry = readdir(list)) != NULL) {
        size_t length = strlen(entry->d_name);
        char name[CONFIG_NAME_MAX + 1];
        struct rundir_vm vm;

        if (length < 6 || length - 5 > CONFIG_NAME_MAX ||
            strcmp(entry->d_name + length - 5, ".lock") != 0) {
            continue;
        }
        memcpy(name, entry->d_name, length - 5);
        name[length - 5] = '\0';
        if (rundir_probe(dir, name, &vm) && each != NULL) {
            each(&vm, context);
        }
    }
    closedir(list);
}

struct search {
    struct nearest nearest;
    char names[16][CONFIG_NAME_MAX + 1]; /* nearest keeps pointers */
    unsigned count;
};

static void offer(const struct rundir_vm *vm, void *context)
{
    struct search *search = context;

    if (search->count < 16) {
        strcpy(search->names[search->count], vm->name);
        nearest_offer(&search->nearest, search->names[search->count]);
    }
    search->count++;
}

bool rundir_lookup(const struct rundir *dir, const char *name, struct rundir_vm *ret_vm,
                   struct error *error)
{
    struct search search = {.count = 0};

    if (!vm_config_check_name(name, "NAME", error)) {
        return false;
    }
    if (dir->fd >= 0 && rundir_probe(dir, name, ret_vm)) {
        return true;
    }
    nearest_init(&search.nearest, name, strlen(name));
    rundir_each(dir, offer, &search);
    if (search.nearest.best != NULL) {
        return error_set(error, EXIT_CODE_NO_VM, "no VM called %s runs: did you mean %s?", name,
                         search.nearest.best);
    }
    if (search.count == 0) {
        return error_set(error, EXIT_CODE_NO_VM,
                         "no VM called %s runs; none does, as far as %s knows", name, dir->path);
    }
    return error_set(error, EXIT_CODE_NO_VM, "no VM called %s runs; bothy list shows those that do",
                     name);
}
