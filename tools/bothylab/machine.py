# SPDX-License-Identifier: Apache-2.0
"""One run of an emulated machine, as a test or ./run sees it."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

from . import fetch, paths, stream
from .board import Board, loader_arguments
from .errors import SetupError


# A private QEMU passes over modules of another QEMU on the same machine, and says so.
NOISE = re.compile(rb"failed to initialize module|Only modules from the same build")


class WaitFailed(AssertionError):
    """What was waited for did not come; the message shows the last lines."""


def built(path, what):
    if not os.path.exists(path):
        raise SetupError(f"{os.path.relpath(path, paths.TOP)} ({what}) isn't built: run ./build")
    return path


def bothy():
    """Path of the EL2 image."""
    return built(paths.out("bothy.bin"), "the EL2 image")


def payload(name):
    """Path of a bare-metal guest."""
    return built(paths.out("guest", name + ".bin"), "a guest payload")


class Machine:
    """See the package's documentation."""

    def __init__(self, guests=(), machine="virt", cpu=None, smp=4, mem=2048, icount=False,
                 image=None, append=None, initrd=None, el2=True, edit_dts=None, dtb=None,
                 extra=(), on_line=None, on_bytes=None):
        self.board = Board(machine, cpu, smp, mem, icount=icount, el2=el2)
        self.guests = list(guests)
        self.image = image
        self.linux = (append, initrd)
        self.edit_dts = edit_dts
        self.dtb = dtb
        self.extra = list(extra)
        self.on_bytes = on_bytes
        self.transcript = stream.Transcript(on_line)
        self.changed = threading.Condition()
        self.ended = False
        self.process = None
        self.reader = None
        self.directory = None
        self.command = None

    def prepare(self, directory=None):
        """Makes the device tree and .command, without starting anything."""
        self.directory = directory or tempfile.mkdtemp(prefix="bothy-")
        try:
            self.make_command()
        except BaseException:
            self.kill()
            raise
        return self

    def make_command(self):
        qemu = fetch.qemu()
        self.command = qemu + self.board.arguments()
        self.command += ["-serial", "stdio", "-monitor", "none", "-no-reboot",
                         "-kernel", self.image or bothy()]
        append, initrd = self.linux
        if append is not None:
            self.command += ["-append", append]
        if initrd:
            self.command += ["-initrd", initrd]
        if self.dtb is None and (self.guests or self.edit_dts):
            self.dtb, modules = self.board.make_dtb(qemu, self.directory, self.guests,
                                                    self.edit_dts)
            self.command += loader_arguments(modules)
        if self.dtb:
            self.command += ["-dtb", self.dtb]
        self.command += self.extra

    def start(self):
        if not self.command:
            self.prepare()
        self.transcript.start = time.monotonic()
        # A session of its own: Ctrl-C at the terminal is ours to answer. It dies with us.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--"] + self.command,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        threading.Thread(target=self.read_complaints, daemon=True).start()
        self.reader = threading.Thread(target=self.read_console, daemon=True)
        self.reader.start()
        return self

    def read_complaints(self):
        """QEMU's own messages become lines of a source named qemu."""
        for line in self.process.stderr:
            if NOISE.search(line):
                continue
            line = b"[qemu] " + line.rstrip(b"\n")
            if self.on_bytes:
                self.on_bytes(line + b"\n")
            with self.changed:
                self.transcript.add(line)
                self.changed.notify_all()

    def read_console(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            if data and self.on_bytes:
                self.on_bytes(data)
            with self.changed:
                if data:
                    self.transcript.feed(data)
                else:
                    self.transcript.finish()
                    self.ended = True
                self.changed.notify_all()
            if not data:
                return

    @property
    def lines(self):
        return self.transcript.lines

    def texts(self, guest=None):
        return [line.body if guest else line.text for line in list(self.lines)
                if guest is None or line.guest == guest]

    def stats(self):
        return stream.stats(self.lines)

    def first_match(self, regexes, guest, index, partial):
        candidates = self.lines[index:]
        if partial:
            candidates = candidates + [self.transcript.partial()]
        for line in candidates:
            if guest is not None and line.guest != guest:
                continue
            for regex in regexes:
                match = re.search(regex, line.text if guest is None else line.body)
                if match:
                    line.match = match
                    return line
        return None

    def wait_for_any(self, regexes, timeout=60, guest=None, after=None, partial=False):
        index = after.index + 1 if isinstance(after, stream.Line) else (after or 0)
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                seen = len(self.lines)
                line = self.first_match(regexes, guest, index, partial)
                if line:
                    return line
                index = max(index, seen)
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    break
                self.changed.wait(left)
        why = "the machine ended" if self.ended else f"{timeout} s passed"
        what = " or ".join(repr(regex) for regex in regexes)
        where = f" from {guest}" if guest else ""
        raise WaitFailed(f"waited for {what}{where}, but {why}; last lines:\n{self.tail()}")

    def wait_for(self, regex, timeout=60, guest=None, after=None, partial=False):
        return self.wait_for_any([regex], timeout, guest, after, partial)

    def tap(self, guest, timeout=60):
        """Waits for a payload's whole TAP report; raises WaitFailed if a point failed."""
        deadline = time.monotonic() + timeout
        plan = self.wait_for(r"^1\.\.(\d+)", timeout, guest)
        count, line, failed = int(plan.match[1]), None, []
        for _ in range(count):
            line = self.wait_for(r"^(not )?ok\b", deadline - time.monotonic(), guest, line)
            if line.match[1]:
                failed.append(line.body)
        if failed:
            raise WaitFailed(f"{guest}: " + "\n".join(failed) + f"\nall:\n{self.tail()}")
        return count

    def absent(self, regex, guest=None):
        with self.changed:
            line = self.first_match([regex], guest, 0, False)
        if line:
            raise WaitFailed(f"unexpected line: {line.text}\nlast lines:\n{self.tail()}")

    def tail(self, count=25):
        return "\n".join("    " + line.text for line in self.lines[-count:]) or "    (none)"

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_exit(self, timeout=60):
        deadline = time.monotonic() + timeout
        with self.changed:
            while not self.ended and time.monotonic() < deadline:
                self.changed.wait(max(0, deadline - time.monotonic()))
        if not self.ended:
            raise WaitFailed(f"the machine still runs after {timeout} s; last lines:\n"
                             f"{self.tail()}")
        return self.process.wait()

    def kill(self):
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            if threading.current_thread() is not self.reader:
                self.reader.join(5)
        if self.directory and os.path.basename(self.directory).startswith("bothy-"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.kill()
