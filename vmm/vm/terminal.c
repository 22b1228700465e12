/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal: raw and back. */
#include "vmm/vm/terminal.h"
#include <unistd.h>

bool terminal_save(struct terminal *terminal)
{
    terminal->saved = false;
    if (isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp()) {
        terminal->saved = tcgetattr(STDIN_FILENO, &terminal->before) == 0;
    }
    return terminal->saved;
}

void terminal_raw(const struct terminal *terminal)
{
    struct termios raw = terminal->before;

    if (terminal->saved) {
        cfmakeraw(&raw);
        raw.c_oflag |= OPOST | ONLCR;
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    }
}

void terminal_restore(const struct terminal *terminal)
{
    if (terminal->saved) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
    }
}
