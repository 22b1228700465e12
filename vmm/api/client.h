/* SPDX-License-Identifier: Apache-2.0 */
/* One request to the API of a VM, for the verbs of `bothy`. */
#ifndef VMM_API_CLIENT_H
#define VMM_API_CLIENT_H

#include "vmm/base/error.h"
#include <stdbool.h>
#include <stddef.h>

struct api_answer {
    unsigned int status;
    char *body; /* ended by a NUL; NULL: none */
    size_t size;
};

/* Nobody waits longer for an answer. A VM of hundreds of GiB may take its time to start. */
#define API_PATIENCE_S 60

/* body: JSON, or NULL. True if the VM answered, whatever it said; *ret_answer is then to be
 * released. False and a sentence: EXIT_CODE_NO_VM if nobody listens there. */
bool api_request(const char *socket_path, const char *method, const char *path, const char *body,
                 struct api_answer *ret_answer, struct error *error);

/* True for a status below 400; else the fault_message as the error. */
bool api_check(const struct api_answer *answer, struct error *error);

/* Leaves an empty one. */
void api_answer_release(struct api_answer *answer);

#endif
