# SPDX-License-Identifier: Apache-2.0
"""The user's terminal while a machine runs: keys go through unchanged, and it is put back."""

import os
import select
import sys
import termios


def window_size():
    """(rows, columns) of the terminal; usual ones if it doesn't know its own."""
    size = os.get_terminal_size(0)
    return size.lines or 24, size.columns or 80


class Terminal:
    """With it, stdin passes single bytes; `keep_signals` leaves Ctrl-C to the terminal;
    `raw_output` shows bytes as they are, for what comes from another terminal."""

    def __init__(self, keep_signals, raw_output=False):
        self.keep_signals = keep_signals
        self.raw_output = raw_output
        self.descriptor = sys.stdin.fileno() if sys.stdin and not sys.stdin.closed else -1
        self.is_tty = self.descriptor >= 0 and os.isatty(self.descriptor)
        self.saved = None
        self.open = self.descriptor >= 0

    def __enter__(self):
        if self.is_tty:
            self.saved = termios.tcgetattr(self.descriptor)
            mode = termios.tcgetattr(self.descriptor)
            mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON)
            if self.raw_output:
                mode[1] &= ~termios.OPOST
            mode[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            if not self.keep_signals:
                mode[3] &= ~termios.ISIG
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.descriptor, termios.TCSADRAIN, mode)
        return self

    def __exit__(self, *exception):
        if self.saved:
            termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self.saved)
            if os.isatty(1):
                sys.stdout.write("\x1b[0m")
                sys.stdout.flush()

    def read(self, timeout):
        """What was typed within `timeout` seconds, possibly nothing."""
        if not self.open:
            select.select([], [], [], timeout)
            return b""
        ready, _, _ = select.select([self.descriptor], [], [], timeout)
        if not ready:
            return b""
        data = os.read(self.descriptor, 1024)
        self.open = bool(data)
        return data
