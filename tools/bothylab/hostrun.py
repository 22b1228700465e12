# SPDX-License-Identifier: Apache-2.0
"""./run --type2: boots the test host, and runs a guest, a command or a shell in it."""

import contextlib
import os
import select
import signal
import stat
import sys
import threading
import time
from argparse import RawDescriptionHelpFormatter

from . import build, fetch, hostguest, hostlocal, paths
from .errors import EXIT_MACHINE, EXIT_TIMEOUT, SetupError, UsageError
from .host import BOOT_SECONDS, KERNEL, Host, HostEnded
from .machine import WaitFailed
from .options import Parser, count
from .progress import say
from .terminal import Terminal, window_size

HELP = """\
Boots a Debian Linux with KVM at EL2 of an emulated Arm machine (QEMU), the host, with `bothy` on
its PATH; on an Arm machine with /dev/kvm that one is the host. Without --with, --shell or COMMAND
a Debian guest runs in it under `bothy run`, and a table tells how that went.
"""
EPILOG = """\
COMMAND runs as root in /with, where the files of DIR are (a copy, which it may change). One word
is given to a shell; several are a program and its arguments. Its standard output and error are
./run's, and its exit status too (128 + N for signal N). --with without COMMAND gives a shell.
On a terminal all keys are COMMAND's; three times Ctrl-] in a row switches the host off.
docs/type2-host.md has what is in the host.

exit codes: COMMAND's own, or 1 the guest crashed, 2 wrong usage, 3 something is missing or can't
  be installed, 4 the time was up, 5 the guest did not start, or the host panicked or its machine
  ended, 130 interrupted.
"""


def make_parser():
    parser = Parser(prog="./run --type2", description=HELP, allow_abbrev=False, epilog=EPILOG,
                    formatter_class=RawDescriptionHelpFormatter,
                    usage="./run --type2 [OPTION...] [--with DIR] [--shell | -- COMMAND...]")
    add = parser.add_argument
    add("--type2", action="store_true", help="the host with KVM instead of Bothy at EL2")
    add("--with", dest="with_dir", metavar="DIR", help="its files are in /with in the host")
    add("--out", metavar="DIR", help="afterwards what is in /with/out is copied to DIR")
    add("--shell", "--interactive", action="store_true", help="a shell in the host")
    add("--host-kernel", metavar="NAME",
        help=f"the host's kernel (default {KERNEL}): {', '.join(fetch.KERNELS)}")
    add("--guest-kernel", metavar="NAME", action="append",
        help=f"have that one in /usr/share/bothy; repeatable (default {KERNEL})")
    add("--cpu", metavar="MODEL", help="max (default), cortex-a72, neoverse-n1, ...")
    add("--smp", type=count(1, 8), default=2, metavar="N", help="CPUs (default 2)")
    add("--mem", type=count(512, 65536), default=2048, metavar="MIB",
        help="the host's memory (default 2048)")
    add("--gic", type=int, choices=(2, 3), help="the interrupt controller (default 3)")
    add("--icount", action="store_true", help="count instructions: repeatable, and slower")
    add("--emulate", action="store_true", help="QEMU also where there is a /dev/kvm")
    add("--timeout", type=count(0, 1 << 20), metavar="S",
        help="give up after S seconds (default 600, for a shell 0: never)")
    add("--log", metavar="FILE", help="write what the host's kernel says to FILE")
    add("--no-build", action="store_true", help="take out/ as it is")
    return parser


def split_arguments(arguments):
    """What is before and after the first `--`; None if there is none."""
    if "--" not in arguments:
        return arguments, None
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1:]


LEAVE, LEAVE_TIMES = b"\x1d", 3


class Streams:
    """Brings a process's output to ours, and our input to it."""

    def __init__(self):
        self.broken = False
        self.resized = False
        self.leave_keys = 0

    def show(self, is_error, data):
        """Called by the link's thread."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(2 if is_error else 1, view):]
        except OSError:
            self.broken = True  # nobody reads any more: `./run ... | head`

    def pass_input(self, process):
        """Until the end of our input or of the process."""
        with contextlib.suppress(WaitFailed, OSError, ValueError):
            while process.status is None:
                if not select.select([0], [], [], 60)[0]:
                    continue
                data = os.read(0, 1 << 16)
                if not data:
                    break
                after = data.lstrip(LEAVE)
                self.leave_keys = len(data) - len(after) + (0 if after else self.leave_keys)
                process.write(data, timeout=None)
        process.close_stdin()


def comes_at_once():
    """Whether reading our input can't wait for anybody: a file, /dev/null, or nothing."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(0))


def attend(host, process, streams, deadline, on_terminal):
    """Waits for the process's end; returns its status, None if the time was up."""
    if host.icount and comes_at_once():
        streams.pass_input(process)  # before the host goes on: so its input is part of the run
    else:
        threading.Thread(target=streams.pass_input, args=(process,), daemon=True).start()
    while True:
        if on_terminal and streams.leave_keys >= LEAVE_TIMES:
            raise KeyboardInterrupt
        if streams.resized:
            streams.resized = False
            process.resize(*window_size())
        left = 1 if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        try:
            host.link.wait_until(lambda: process.status is not None, min(left, 0.5))
            return process.status
        except HostEnded:
            raise
        except WaitFailed:
            if streams.broken:
                raise BrokenPipeError from None


def run_in(host, words, deadline):
    """Runs a program with our standard streams; its status, None if the time was up."""
    on_terminal = os.isatty(0) and os.isatty(1)
    streams = Streams()
    with contextlib.ExitStack() as stack:
        if on_terminal:
            stack.enter_context(Terminal(keep_signals=False, raw_output=True))
        process = host.spawn(words, terminal=on_terminal, on_data=streams.show,
                             env={"TERM": os.environ.get("TERM", "xterm")})
        if on_terminal:
            streams.resized = True
            signal.signal(signal.SIGWINCH, lambda *_: setattr(streams, "resized", True))
        return attend(host, process, streams, deadline, on_terminal)


def late(seconds):
    print(f"run: {seconds} s are over: the host was stopped", file=sys.stderr)
    return EXIT_TIMEOUT


def use(host, options, command, deadline):
    """Does in the host what was asked for; returns the exit code."""
    if options.out:
        host.run("mkdir -p /with/out").check()
    if options.is_guest:
        return hostguest.show(host, deadline)
    words = command or ["bash", "-l"]
    status = run_in(host, ["sh", "-c", words[0]] if len(words) == 1 else words, deadline)
    if status is None:
        return late(options.timeout)
    if options.out:
        host.fetch_tree("/with/out", options.out)
    return 128 - status if status < 0 else status


def emulated(options, command, log):
    deadline = time.monotonic() + options.timeout if options.timeout else None

    def on_line(line):
        if log:
            log.write(line.text + "\n")
            log.flush()

    kernels = options.guest_kernel or [KERNEL]
    host = Host(options.host_kernel or KERNEL, options.with_dir, options.cpu, options.smp, options.mem,
                gic=options.gic or 3, icount=options.icount, kernels=kernels, on_line=on_line)
    try:
        if options.is_guest:
            say(f"booting the host: {options.host_kernel or KERNEL}, {options.smp} CPUs, "
                f"{options.mem} MiB, in QEMU")
        host.start(options.timeout or BOOT_SECONDS)
        return use(host, options, command, deadline)
    except HostEnded:
        raise
    except WaitFailed:
        return late(options.timeout or BOOT_SECONDS)
    finally:
        host.kill()


def check(options, command):
    """Usage errors, before anything is made."""
    if command is not None and not command:
        raise UsageError("there is no COMMAND after --")
    if command and options.shell:
        raise UsageError("--shell and a COMMAND exclude each other")
    if options.with_dir is not None and not os.path.isdir(options.with_dir):
        raise UsageError(f"--with {options.with_dir}: there is no such directory")
    if options.out is not None and not command:
        raise UsageError("--out needs a COMMAND")
    if options.out is not None and os.path.exists(options.out) and not os.path.isdir(options.out):
        raise UsageError(f"--out {options.out}: this is not a directory")
    for name in [options.host_kernel or KERNEL] + (options.guest_kernel or []):
        if name not in fetch.KERNELS:
            raise UsageError(f"{name} is none of the Debian kernels {', '.join(fetch.KERNELS)}")


def prepare(options, command):
    options.is_guest = not (command or options.shell or options.with_dir)
    if options.timeout is None:
        options.timeout = 600 if command or options.is_guest else 0
    if not options.no_build:
        build.build(build.DEFAULT)
    if options.is_guest and not os.path.exists(paths.out("bothy")):
        raise SetupError("out/bothy isn't built: run ./build")


def run(arguments):
    arguments, command = split_arguments(arguments)
    options = make_parser().parse(arguments)
    check(options, command)
    prepare(options, command)
    if hostlocal.fits(options):
        return hostlocal.run(options, command)
    with contextlib.ExitStack() as stack:
        log = None
        if options.log:
            try:
                log = stack.enter_context(open(options.log, "w", encoding="utf-8"))
            except OSError as error:
                raise UsageError(f"--log {error.filename}: {error.strerror}") from error
        return emulated(options, command, log)


def main(arguments):
    """Returns the exit code; the errors that ./run tells are raised."""
    try:
        return run(arguments)
    except HostEnded as error:
        print(f"run: {error}", file=sys.stderr)
        return EXIT_MACHINE
