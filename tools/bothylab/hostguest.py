# SPDX-License-Identifier: Apache-2.0
"""The guest that ./run --type2 shows when nothing else is asked for, and its closing table."""

import os
import sys
import time

from . import stream, table
from .errors import EXIT_GUEST_CRASHED, EXIT_MACHINE, EXIT_OK, EXIT_TIMEOUT
from .host import KERNEL, HostEnded
from .machine import WaitFailed
from .progress import say

NAME, CPUS, MEMORY = "debian", 2, 256
BOOTARGS = "console=ttyAMA0 panic=-1 bothy.do=cpus,checksum,poweroff"
ENDS = {0: "off", 1: "crashed"}


def command(share):
    """The guest's `bothy run`, with the images below `share`."""
    return ["bothy", "run", "--name", NAME, "--kernel", os.path.join(share, KERNEL),
            "--initrd", os.path.join(share, "initrd.cpio.gz"), "--cpus", str(CPUS),
            "--memory", f"{MEMORY}M", "--cmdline", BOOTARGS]


class Screen:
    """Shows the guest's lines and what bothy says, and keeps the lines with their times."""

    def __init__(self):
        self.transcript = stream.Transcript(self.show)
        self.complaints = stream.Transcript(lambda line: self.write(2, line.text))

    def show(self, line):
        self.write(1, line.text)

    @staticmethod
    def write(descriptor, text):
        try:
            os.write(descriptor, (text + "\n").encode("utf-8", "replace"))
        except OSError:
            pass  # nobody reads it; the exit code still tells

    def take(self, is_error, data):
        (self.complaints if is_error else self.transcript).feed(data)

    def finish(self):
        self.transcript.finish()
        self.complaints.finish()


def after(seconds):
    return "-" if seconds is None else f"{seconds:.2f} s"


def close(screen, status, what):
    """The table; returns the exit code for the guest's status (None: the time was up)."""
    screen.finish()
    lines = screen.transcript.lines
    reached = [line for line in lines if table.INIT.search(line.text)]
    own = table.INIT.search(reached[0].text).group(1) + " s" if reached else "-"
    ran = reached[0].time if reached else None
    end = "the time was up" if status is None else ENDS.get(status, f"exit status {status}")
    rows = [["guest", "kernel", "vCPUs", "memory", "init after (own clock)", "end"],
            [NAME, table.banner(lines), str(CPUS), f"{MEMORY} MiB", f"{after(ran)} ({own})", end]]
    print("\n" + "\n".join(table.columns(rows)))
    print(f"\ninit after: seconds from the start of `bothy run` to the guest's init, {what}",
          flush=True)
    if status is None:
        print("run: the time is over and the guest still runs: it was stopped", file=sys.stderr)
        return EXIT_TIMEOUT
    if status == 1:
        return EXIT_GUEST_CRASHED
    if status == 0 and reached:
        return EXIT_OK
    what = "get as far as its init" if status == 0 else "start; bothy's lines above say why"
    print(f"run: the guest did not {what}", file=sys.stderr)
    return EXIT_MACHINE


def show(host, deadline):
    """Runs the guest in the host; returns the exit code."""
    release = host.run("uname -r").check().stdout.strip()
    say(f"the host is up: Linux {release} with KVM")
    screen = Screen()
    process = host.spawn(command("/usr/share/bothy"), on_data=screen.take)
    screen.transcript.start = time.monotonic()
    process.close_stdin()
    left = None if deadline is None else max(0, deadline - time.monotonic())
    status = None
    try:
        host.link.wait_until(lambda: process.status is not None, left)
        status = process.status
    except HostEnded:
        raise
    except WaitFailed:
        pass
    return close(screen, status, "in the emulated host")
