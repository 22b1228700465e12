/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-A and the byte after it. */
#include "vmm/vm/console_keys.h"

enum console_key console_key_classify(bool *escaped, uint8_t byte)
{
    if (!*escaped) {
        *escaped = byte == CONSOLE_KEY_ESCAPE;
        return *escaped ? CONSOLE_KEY_PENDING : CONSOLE_KEY_DATA;
    }
    *escaped = false;
    switch (byte) {
    case CONSOLE_KEY_ESCAPE:
        return CONSOLE_KEY_DATA;
    case 'x':
    case 'X':
        return CONSOLE_KEY_LEAVE;
    case 'c':
    case 'C':
        return CONSOLE_KEY_SWITCH;
    case 'b':
    case 'B':
        return CONSOLE_KEY_BREAK;
    default:
        return CONSOLE_KEY_HELP;
    }
}
