/* SPDX-License-Identifier: Apache-2.0 */
/* `bothy doctor`: findings about this host, each a sentence, with its remedy. */
#ifndef VMM_CLI_DOCTOR_H
#define VMM_CLI_DOCTOR_H

#include <stdbool.h>

enum finding_state {
    FINDING_OK,
    FINDING_NOTE,    /* something is less than it could be */
    FINDING_MISSING, /* a feature of Bothy can't be used */
    FINDING_FATAL,   /* no VM can run */
};

struct doctor {
    bool as_json;
    bool fatal;
    unsigned count;
};

/* One finding. remedy: how to mend it, or NULL. */
void doctor_tell(struct doctor *doctor, const char *id, enum finding_state state,
                 const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* doctor_host.c: memory, networks, disks, containment. */
void doctor_memory(struct doctor *doctor);
void doctor_devices(struct doctor *doctor);
void doctor_jail(struct doctor *doctor);
/* A small file's text without its last newline; false: it can't be read. */
bool doctor_read(const char *path, char *ret_text, int size);

#endif
