/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed at a console: bytes for the guest, and commands after Ctrl-A. */
#ifndef VMM_VM_CONSOLE_KEYS_H
#define VMM_VM_CONSOLE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define CONSOLE_KEY_ESCAPE 1 /* Ctrl-A */

enum console_key {
    CONSOLE_KEY_DATA,    /* *byte is for the guest */
    CONSOLE_KEY_PENDING, /* a Ctrl-A: the next byte decides */
    CONSOLE_KEY_LEAVE,
    CONSOLE_KEY_SWITCH,
    CONSOLE_KEY_BREAK,
    CONSOLE_KEY_HELP,
};

/* escaped: the state of one typist, false at first. An unknown command is swallowed with help. */
enum console_key console_key_classify(bool *escaped, uint8_t byte);

#endif
