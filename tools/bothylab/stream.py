# SPDX-License-Identifier: Apache-2.0
"""From the bytes of Bothy's console to lines that know which guest wrote them."""

import re
import shlex
import time

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")
PREFIX = re.compile(r"^\[([A-Za-z][\w.+-]*)\] ?(.*)$")


class Line:
    """One console line: .text without colours, .guest and .body from the `[guest] ` prefix."""

    def __init__(self, index, raw, when):
        self.index = index
        self.raw = raw
        self.time = when
        # A line that was redrawn counts as it looked last.
        self.text = ANSI.sub("", raw).rstrip("\r").rsplit("\r", 1)[-1]
        match = PREFIX.match(self.text)
        self.guest, self.body = match.groups() if match else (None, self.text)
        self.match = None

    def __repr__(self):
        return f"<{self.index}: {self.text!r}>"


class Transcript:
    """Collects lines as bytes arrive; `on_line` is called with each."""

    def __init__(self, on_line=None):
        self.lines = []
        self.pending = b""
        self.on_line = on_line
        self.start = time.monotonic()

    def feed(self, data):
        *whole, self.pending = (self.pending + data).split(b"\n")
        for raw in whole:
            self.add(raw)

    def finish(self):
        """The console is closed: an unfinished line counts as one."""
        if self.pending:
            self.add(self.pending)
            self.pending = b""

    def add(self, raw):
        when = time.monotonic() - self.start
        line = Line(len(self.lines), raw.decode("utf-8", "replace"), when)
        self.lines.append(line)
        if self.on_line:
            self.on_line(line)

    def partial(self):
        """The unfinished last line."""
        return Line(len(self.lines), self.pending.decode("utf-8", "replace"),
                    time.monotonic() - self.start)


def parse_stat(body):
    """`stat guest=a state=off vcpus=2` as a dictionary; None for any other line."""
    if not body.startswith("stat "):
        return None
    values = {}
    try:
        words = shlex.split(body)[1:]
    except ValueError:
        return None
    for word in words:
        key, _, value = word.partition("=")
        values[key] = int(value) if re.fullmatch(r"-?\d+", value) else value
    return values if "guest" in values else None


def stats(lines):
    """The last `stat` line of each guest."""
    result = {}
    for line in lines:
        if line.guest == "bothy":
            values = parse_stat(line.body)
            if values:
                result[str(values["guest"])] = values
    return result
