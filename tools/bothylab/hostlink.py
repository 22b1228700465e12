# SPDX-License-Identifier: Apache-2.0
"""The outer end of the host agent's port: processes in the test host, as Python objects.

tools/hostagent/link.h describes the frames; the numbers here are the same.
"""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import threading
import time

from .machine import WaitFailed

START, INPUT, EOF, SIGNAL, SIZE, TURN = 1, 2, 3, 4, 5, 6
HELLO, OUTPUT, ERROR, TOOK, EXIT, CLOSED = 16, 17, 18, 19, 20, 21
TERMINAL = 1
WINDOW = 256 << 10
CHUNK = 64 << 10
HEADER = struct.Struct("<III")
LOOK = 0.5  # seconds after which a host that doesn't speak yet is looked at
TAIL = 4000  # how much of a process's output a failure shows


class Result:
    """How a command ended: .status (negative: by that signal), .stdout and .stderr as text,
    .out and .err as bytes."""

    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err

    @property
    def stdout(self):
        return self.out.decode("utf-8", "replace")

    @property
    def stderr(self):
        return self.err.decode("utf-8", "replace")

    def __repr__(self):
        return (f"<{self.command!r}: status {self.status}, stdout {self.stdout[-TAIL:]!r}, "
                f"stderr {self.stderr[-TAIL:]!r}>")

    def check(self):
        """The result itself; raises AssertionError when the status isn't 0."""
        if self.status:
            raise AssertionError(f"{self!r}")
        return self


class Process:
    """A program that runs in the host. See Host.spawn()."""

    def __init__(self, link, number, command, on_data):
        self.link = link
        self.number = number
        self.command = command
        self.on_data = on_data
        self.data = {OUTPUT: bytearray(), ERROR: bytearray()}
        self.seen = {OUTPUT: 0, ERROR: 0}
        self.status = None
        self.closed = False
        self.room = WINDOW

    @property
    def out(self):
        return bytes(self.data[OUTPUT])

    @property
    def err(self):
        return bytes(self.data[ERROR])

    @property
    def stdout(self):
        return self.out.decode("utf-8", "replace")

    @property
    def stderr(self):
        return self.err.decode("utf-8", "replace")

    def take(self, kind, payload):
        """A frame has come for it; the link's lock is held."""
        if kind in self.data:
            self.data[kind] += payload
        elif kind == TOOK:
            self.room += struct.unpack("<I", payload)[0]
        elif kind == EXIT:
            status = struct.unpack("<I", payload)[0]
            self.status = 256 - status if status > 256 else status
        elif kind == CLOSED:
            self.closed = True

    def wait_until(self, ready, timeout, what):
        """Waits until ready() returns something true, and returns that."""
        try:
            return self.link.wait_until(ready, timeout)
        except WaitFailed as error:
            raise type(error)(f"{self.command!r}: waited for {what}, but {error}\n"
                              f"its stdout: {self.stdout[-TAIL:]!r}\n"
                              f"its stderr: {self.stderr[-TAIL:]!r}") from None

    def wait(self, timeout=120):
        """Its Result, once it has ended."""
        self.wait_until(lambda: self.status is not None, timeout, "its end")
        return Result(self.command, self.status, self.out, self.err)

    def expect(self, regex, timeout=120, stream="stdout"):
        """The match of the first place after the last expected one where `regex` (multi-line)
        matches its output. On a terminal everything is stdout."""
        kind = {"stdout": OUTPUT, "stderr": ERROR}[stream]
        pattern = re.compile(regex.encode() if isinstance(regex, str) else regex, re.M)

        def ready():
            match = pattern.search(self.data[kind], self.seen[kind])
            if not match and self.closed:
                raise WaitFailed("it has ended")
            # A match may grow with what is still to come: it is taken as it is.
            return match and (match.end(), tuple(match.groups()), match.group(0))

        end, groups, whole = self.wait_until(ready, timeout, f"{regex!r} on {stream}")
        self.seen[kind] = end
        return Found(whole, groups)

    def write(self, data, timeout=120):
        """Passes `data` to its standard input; returns when all is on its way."""
        data = data.encode() if isinstance(data, str) else data
        view = memoryview(data)
        while view:
            room = self.wait_until(lambda: self.status is not None or self.room, timeout,
                                   "it to read its input")
            if self.status is not None:
                return
            part = view[:min(CHUNK, room)]
            self.room -= len(part)
            self.link.send(self.number, INPUT, bytes(part))
            view = view[len(part):]

    def close_stdin(self):
        self.link.send(self.number, EOF)

    def kill(self, number=signal.SIGKILL):
        """Sends a signal to it and to all of its process group."""
        self.link.send(self.number, SIGNAL, struct.pack("<I", number))

    def resize(self, rows, columns):
        """Tells it a new size of its terminal."""
        self.link.send(self.number, SIZE, struct.pack("<II", rows, columns))


class Found:
    """What expect() found: [0] is the whole text, [1] and so on the groups."""

    def __init__(self, whole, groups):
        self.parts = [None if part is None else part.decode("utf-8", "replace")
                      for part in (whole,) + groups]

    def __getitem__(self, index):
        return self.parts[index]

    def __repr__(self):
        return f"<found {self.parts[0]!r}>"


class Pipes:
    """Two named pipes in a directory as a connection, for a host that takes turns."""

    def __init__(self, directory):
        there, back = (os.path.join(directory, name) for name in ("agent.in", "agent.out"))
        os.mkfifo(there)
        os.mkfifo(back)
        self.writer = os.open(there, os.O_RDWR | os.O_NONBLOCK)
        self.reader = os.open(back, os.O_RDONLY | os.O_NONBLOCK)
        # Until the emulator has opened its end, there would be an end of file.
        self.keeper = os.open(back, os.O_WRONLY)
        os.set_blocking(self.reader, True)
        # A turn of that much is read in one piece.
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.open = True

    def let_go(self):
        """The emulator has its end: when it goes, recv() tells."""
        os.close(self.keeper)

    def recv(self, count):
        return os.read(self.reader, count)

    def sendall(self, data):
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.writer, view):]
            except BlockingIOError:
                if not self.open:
                    raise
                select.select([], [self.writer], [], 1)

    def close(self):
        self.open = False


class Link:
    """Both directions of the connection, and the processes at its other end.

    alive()      false when nothing can come any more
    why_ended()  the reason to tell then
    turns        the other end waits for its turn: see link.h
    """

    def __init__(self, connection, alive, why_ended, turns=False):
        self.connection = connection
        self.alive = alive
        self.why_ended = why_ended
        self.turns = turns
        self.our_turn = False
        self.changed = threading.Condition()
        self.sending = threading.Lock()
        self.outgoing = b""
        self.processes = {}
        self.last = 0
        self.ready = False
        self.gone = False
        threading.Thread(target=self.receive, daemon=True).start()

    def read_exactly(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.connection.recv(min(count - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def receive(self):
        with contextlib.suppress(OSError, EOFError):
            while True:
                size, number, kind = HEADER.unpack(self.read_exactly(HEADER.size))
                self.dispatch(number, kind, self.read_exactly(size))
        self.connection.close()
        with self.changed:
            self.gone = True
            self.changed.notify_all()

    def dispatch(self, number, kind, payload):
        process = self.processes.get(number)
        if process and process.on_data and kind in (OUTPUT, ERROR):
            # Without the lock: it may take its time, and the host's side waits then.
            process.on_data(kind == ERROR, payload)
            return
        with self.changed:
            self.take(number, kind, payload)
            self.changed.notify_all()

    def take(self, number, kind, payload):
        if kind == HELLO:
            self.ready = True
            if self.turns:
                self.connection.let_go()
        elif kind == TURN:
            self.our_turn = True
        elif number in self.processes:
            self.processes[number].take(kind, payload)
            if kind == CLOSED:
                del self.processes[number]

    def send(self, number, kind, payload=b""):
        with self.sending, contextlib.suppress(OSError):  # who waits for an answer tells it
            self.outgoing += HEADER.pack(len(payload), number, kind) + payload
            if self.turns and kind != TURN:
                return  # a turn is passed on in one piece: the other end reads it in one
            data, self.outgoing = self.outgoing, b""
            self.connection.sendall(data)

    def wait_until(self, ready, timeout):
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.changed:
            while True:
                result = ready()
                if result:
                    return result
                if self.gone or not (self.ready or self.alive()):
                    break
                left = LOOK if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise WaitFailed(f"{timeout} s passed")
                if self.our_turn:
                    self.our_turn = False
                    self.send(0, TURN)
                self.changed.wait(min(left, LOOK))
        raise HostEnded(self.why_ended())

    def start(self, arguments, directory, environment, terminal=False, on_data=None):
        words = [directory] + list(arguments) + [f"{k}={v}" for k, v in environment.items()]
        if any("\0" in word for word in words):
            raise ValueError("a command can't have zero bytes")
        payload = struct.pack("<II", TERMINAL if terminal else 0, len(arguments))
        payload += b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)
        with self.changed:
            self.last += 1
            process = Process(self, self.last, list(arguments), on_data)
            self.processes[self.last] = process
        self.send(process.number, START, payload)
        return process


class HostEnded(WaitFailed):
    """The host panicked, or its machine ended."""
