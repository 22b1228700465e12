/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal that a command was started on: raw for a guest's console, and back. */
#ifndef VMM_VM_TERMINAL_H
#define VMM_VM_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

struct terminal {
    bool saved;
    struct termios before;
};

/* Remember how stdin's terminal is set; false if stdin is none, or isn't ours to change because the
 * command runs in the background. */
bool terminal_save(struct terminal *terminal);

/* Keys come one by one and unseen, none of them is a signal; output keeps its line ends. */
void terminal_raw(const struct terminal *terminal);

/* As it was when saved. Harmless if it wasn't. */
void terminal_restore(const struct terminal *terminal);

#endif
