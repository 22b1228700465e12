/* SPDX-License-Identifier: Apache-2.0 */
/* The API over a fake VM, and one client of it. In the texts of requests and answers a single quote
 * stands for a double one, and $ for the path of a file that exists. */
#ifndef SUPPORT_API_RIG_H
#define SUPPORT_API_RIG_H

#include "support/fake_vm.h"
#include "vmm/api/api.h"

#define POST_BOOT "The requested operation is not supported after starting the microVM."
#define PRE_BOOT "The requested operation is not supported before starting the microVM."

struct api_rig {
    struct vm vm;
    struct loop *loop;
    struct api *api;
    int client;
    char file[64]; /* one that exists */
    uint32_t starts;
    bool start_fails;
    int log_fd;
    char answer[65536];
};

/* For cmocka: *state is the rig. */
int api_rig_setup(void **state);
int api_rig_teardown(void **state);

/* Send a request; the status. The answer, from its first line on, is in rig->answer. */
int api_rig_ask(struct api_rig *f, const char *method, const char *path, const char *accept,
                const char *body);
/* The body of the last answer. */
const char *api_rig_body(const struct api_rig *f);
/* A request that is done (204). */
void api_rig_put(struct api_rig *f, const char *method, const char *path, const char *text);
/* A request that is refused (400), with a sentence that begins like this. */
void api_rig_refused(struct api_rig *f, const char *method, const char *path, const char *text,
                     const char *sentence);
/* An answer in JSON, which must be this. */
void api_rig_get(struct api_rig *f, const char *path, const char *text);
/* Give it a kernel and start it. */
void api_rig_begin(struct api_rig *f);

#endif
