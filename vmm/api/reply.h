/* SPDX-License-Identifier: Apache-2.0 */
/* What a request is answered with, and its bytes in HTTP/1.1. */
#ifndef VMM_API_REPLY_H
#define VMM_API_REPLY_H

#include "vmm/api/text.h"
#include <stdbool.h>

struct json_t; /* jansson's */

enum reply_type { REPLY_JSON, REPLY_OPENMETRICS, REPLY_TEXT };

struct reply {
    unsigned int status;
    enum reply_type type;
    struct text body;
};

/* 204, without a body. */
void reply_empty(struct reply *reply);
/* 200; takes the reference. NULL or too little memory: 500. */
void reply_json(struct reply *reply, struct json_t *json);
/* {"fault_message": ...}, as Firecracker answers. */
void reply_fault(struct reply *reply, unsigned int status, const char *message);
/* The whole answer after what is in `out`. head: without the body, as HEAD is answered. */
void reply_write(const struct reply *reply, bool keep_alive, bool head, struct text *out);
void reply_release(struct reply *reply);

#endif
