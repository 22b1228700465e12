# SPDX-License-Identifier: Apache-2.0
"""./run --type2: boots the test host, and runs a command, a shell or a guest in it."""

import contextlib
import os
import signal
import sys
import threading
import time

from . import build, fetch, paths
from .errors import (EXIT_INTERRUPTED, EXIT_MACHINE, EXIT_OK, EXIT_SETUP, EXIT_TIMEOUT,
                     EXIT_USAGE, SetupError, UsageError)
from .host import KERNEL, Host, HostEnded
from .machine import WaitFailed
from .options import Parser, count
from .progress import say
from .terminal import Terminal, window_size

HELP = """\
Boots a Debian Linux with KVM at EL2 of an emulated Arm machine (QEMU), the host, with `bothy` on
its PATH. Without --with, --shell or COMMAND a Debian guest runs in it under `bothy run`, and a
table tells how that went.
"""
EPILOG = """\
COMMAND runs as root in /with, where the files of DIR are (a copy, which it may change). One word
is given to a shell; several are a program and its arguments. Its standard output and error are
./run's, and its exit status too (128 + N for signal N). Without COMMAND, --with gives a shell.
docs/type2-host.md has what is in the host.

exit codes: COMMAND's own, or 2 wrong usage, 3 something is missing or can't be installed, 4 the
  time was up, 5 the host panicked or its machine ended, 130 interrupted.
"""


def make_parser():
    parser = Parser(prog="./run --type2", description=HELP, allow_abbrev=False, epilog=EPILOG,
                    usage="./run --type2 [OPTION...] [--with DIR] [--shell | -- COMMAND...]")
    add = parser.add_argument
    add("--type2", action="store_true", help="the host with KVM instead of Bothy at EL2")
    add("--with", dest="with_dir", metavar="DIR", help="its files are in /with in the host")
    add("--out", metavar="DIR", help="afterwards what is in /with/out is copied to DIR")
    add("--shell", "--interactive", action="store_true", help="a shell in the host")
    add("--host-kernel", metavar="NAME", default=KERNEL, choices=list(fetch.KERNELS),
        help=f"the host's kernel (default {KERNEL})")
    add("--guest-kernel", metavar="NAME", action="append", choices=list(fetch.KERNELS),
        help="a kernel to have in /usr/share/bothy; repeatable (default linux-6.12-cloud)")
    add("--cpu", metavar="MODEL", help="max (default), cortex-a72, neoverse-n1, ...")
    add("--smp", type=count(1, 8), default=2, metavar="N", help="CPUs (default 2)")
    add("--mem", type=count(512, 65536), default=2048, metavar="MIB",
        help="the host's memory (default 2048)")
    add("--gic", type=int, choices=(2, 3), default=3, help="the interrupt controller's version")
    add("--icount", action="store_true", help="count instructions: repeatable, and slower")
    add("--timeout", type=count(0, 1 << 20), metavar="S",
        help="give up after S seconds (default 600, for a shell 0: never)")
    add("--log", metavar="FILE", help="write what the host's kernel says to FILE")
    add("--no-build", action="store_true", help="take out/ as it is")
    return parser


class Streams:
    """Brings a process's output to ours, and our input to it."""

    def __init__(self):
        self.broken = False

    def show(self, is_error, data):
        """Called by the link's thread."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(2 if is_error else 1, view):]
        except OSError:
            self.broken = True  # nobody reads any more: `./run ... | head`

    def pass_input(self, process, terminal):
        """Until the end of our input or of the process; ends with the program."""
        with contextlib.suppress(WaitFailed, OSError):
            while terminal.open and process.status is None:
                data = terminal.read(60)
                if data:
                    process.write(data, timeout=None)
            process.close_stdin()


def split_arguments(arguments):
    """What is before and after the first `--`; None if there is none."""
    if "--" not in arguments:
        return arguments, None
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1:]


def attend(host, process, streams, terminal, deadline):
    """Waits for the process's end; returns its status, None if the time was up."""
    threading.Thread(target=streams.pass_input, args=(process, terminal), daemon=True).start()
    while True:
        left = 3600 if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        try:
            return process.wait(min(left, 0.5 if streams.broken else left)).status
        except HostEnded:
            raise
        except WaitFailed:
            if streams.broken:
                raise BrokenPipeError from None


def run_in(host, command, options, deadline):
    """Runs the command (None: a shell) with our standard streams; its status as of a shell."""
    on_terminal = os.isatty(0) and os.isatty(1)
    streams = Streams()
    words = command or ["bash", "-l"]
    if len(words) == 1:
        words = ["sh", "-c", words[0]]
    with contextlib.ExitStack() as stack:
        terminal = Terminal(keep_signals=not on_terminal)
        if on_terminal:
            stack.enter_context(terminal)
        process = host.spawn(words, terminal=on_terminal, on_data=streams.show,
                             env={"TERM": os.environ.get("TERM", "xterm")})
        if on_terminal:
            process.resize(*window_size())
            signal.signal(signal.SIGWINCH, lambda *_: process.resize(*window_size()))
        status = attend(host, process, streams, terminal, deadline)
    if status is None:
        print(f"run: {options.timeout} s are over and the command still runs: the host was "
              "stopped", file=sys.stderr)
        return EXIT_TIMEOUT
    return 128 - status if status < 0 else status


def check(options, command):
    """Usage errors that can be told before anything is made."""
    if command is not None and not command:
        raise UsageError("there is no COMMAND after --")
    if command and options.shell:
        raise UsageError("--shell and a COMMAND exclude each other")
    for name, value in (("--with", options.with_dir),):
        if value is not None and not os.path.isdir(value):
            raise UsageError(f"{name} {value}: there is no such directory")


def boot_and_run(options, command, log):
    deadline = time.monotonic() + options.timeout if options.timeout else None

    def on_line(line):
        if log:
            log.write(line.text + "\n")
            log.flush()

    host = Host(options.host_kernel, options.with_dir, options.cpu, options.smp, options.mem,
                gic=options.gic, icount=options.icount,
                kernels=options.guest_kernel or [KERNEL], on_line=on_line)
    try:
        try:
            host.start(options.timeout or 300)
        except HostEnded:
            raise
        except WaitFailed:
            print(f"run: {options.timeout} s are over and the host hasn't booted", file=sys.stderr)
            return EXIT_TIMEOUT
        return run_in(host, command, options, deadline)
    finally:
        host.kill()


def run(arguments):
    arguments, command = split_arguments(arguments)
    options = make_parser().parse(arguments)
    check(options, command)
    is_shell = not command
    if options.timeout is None:
        options.timeout = 0 if is_shell else 600
    if not options.no_build:
        build.build(build.DEFAULT)
    with contextlib.ExitStack() as stack:
        log = None
        if options.log:
            try:
                log = stack.enter_context(open(options.log, "w", encoding="utf-8"))
            except OSError as error:
                raise UsageError(f"--log {error.filename}: {error.strerror}") from error
        return boot_and_run(options, command, log)


def main(arguments):
    """Returns the exit code; the errors that ./run tells are raised."""
    try:
        return run(arguments)
    except HostEnded as error:
        print(f"run: {error}", file=sys.stderr)
        return EXIT_MACHINE
