/* SPDX-License-Identifier: Apache-2.0 */
/* One program that the host agent runs: its descriptors, its input under way, its end. */
#ifndef HOSTAGENT_PROCESS_H
#define HOSTAGENT_PROCESS_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include "link.h"

enum { PROCESS_TERMINAL = 1 }; /* LINK_START's flags: it gets a terminal instead of pipes */

struct process {
    bool used;
    uint32_t number;
    pid_t pid;
    bool terminal;
    int input; /* descriptors, -1 once closed; with a terminal input and output are the same */
    int output;
    int error;
    uint8_t *pending; /* input that it has not read yet */
    size_t pending_size;
    bool input_ends;
    bool exited;
    bool exit_sent;
    uint32_t status; /* LINK_EXIT's */
};

/* Starts what a LINK_START frame asks for. False: the frame makes no sense, or no process or
 * descriptor could be had (errno). A program that can't be executed is one that ends with 126 or
 * 127, having said why on its standard error. */
bool process_start(struct process *process, const struct link_frame *frame);

/* Takes input from a frame. False: more than the window. */
bool process_take_input(struct process *process, const struct link_frame *frame);
void process_end_input(struct process *process);

/* Writes pending input; LINK_TOOK tells how much it was. */
void process_feed(struct process *process, struct link *link);

/* Sends what can be read from an output now. `*fd` becomes -1 at its end. True if something was
 * sent: there may be more. */
bool process_forward(struct process *process, struct link *link, int *fd, enum link_type type);

void process_signal(const struct process *process, int number);
void process_resize(const struct process *process, uint32_t rows, uint32_t columns);

/* It was waited for: `status` is waitpid's. */
void process_reaped(struct process *process, int status);

/* Of one that has ended: sends what it had written, then its end, and frees the slot once nobody
 * has its outputs open any more. */
void process_collect(struct process *process, struct link *link);

#endif
