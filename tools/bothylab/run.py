# SPDX-License-Identifier: Apache-2.0
"""./run: boots Bothy with guests, shows the console, and closes with a table."""

import argparse
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

from . import build, guestspec, hostrun, paths, table
from .board import MACHINES, Guest
from .errors import (EXIT_GUEST_CRASHED, EXIT_INTERRUPTED, EXIT_MACHINE, EXIT_OK, EXIT_SETUP,
                     EXIT_TIMEOUT, EXIT_USAGE, SetupError, UsageError)
from .machine import Machine, bothy
from .options import Parser, count
from .progress import say
from .terminal import Terminal

HELP = """\
Boots Bothy at EL2 of an emulated ARM64 machine (QEMU) with guests on it. Without --guest these
are two Debian kernels, 6.1 and 6.12, with 2 vCPUs each, and a bare-metal payload with 2 vCPUs on
a CPU of its own: six vCPUs on four CPUs. It ends, with a table, when the last guest is off.
With --type2, a Debian with KVM and `bothy` instead: see ./run --type2 --help.
"""
EPILOG = """\
keys: Ctrl-A 1..9 types to that guest, Ctrl-A x leaves, Ctrl-A h helps; Ctrl-C ends the emulator
  (with --interactive it goes to the guest).
exit codes: 0 all went well, 1 a guest crashed, 2 wrong usage, 3 something is missing or can't be
  installed, 4 the time was up, 5 a guest did not start, or the machine ended before the guests,
  130 interrupted.
environment: BOTHY_CACHE (downloads; ~/.cache/bothy), BOTHY_MIRROR, NO_COLOR.
"""
WORDS = "cpus,checksum:3,poweroff"
ALL_OFF = re.compile(r"all guests are off")
# Bothy's last words before it halts: nothing ends the machine after them.
GAVE_UP = re.compile(r"; stopped$")
PANIC = re.compile(r"^panic: ")
PANIC_SECONDS = 2  # for the registers and the backtrace to come


def make_parser():
    parser = Parser(prog="./run", description=HELP, allow_abbrev=False,
                    epilog=guestspec.help_text(WORDS) + "\n" + EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--guest", action="append", metavar="SPEC", help="a partition, see below; repeatable")
    add("--interactive", action="store_true",
        help="the default guests run a shell; all keys go to the guests")
    add("--machine", choices=list(MACHINES), default="virt", help="the board (default virt)")
    add("--cpu", metavar="MODEL", help="max (default), cortex-a53, cortex-a72, neoverse-n1, ...")
    add("--smp", type=count(1, 8), default=4, metavar="N", help="physical CPUs (default 4)")
    add("--mem", type=count(128, 65536), default=2048, metavar="MIB",
        help="the machine's memory (default 2048)")
    add("--icount", action="store_true", help="count instructions: repeatable, and slower")
    add("--timeout", type=count(0, 1 << 20), metavar="S",
        help="give up after S seconds (default 600, with --interactive or --gdb 0: never)")
    add("--log", metavar="FILE", help="write the console, without colours, also to FILE")
    add("--dtb-out", metavar="FILE", help="write the board's device tree to FILE")
    add("--gdb", action="store_true",
        help="stop at the first instruction and start gdb-multiarch; the console goes to the log")
    add("--dry-run", action="store_true", help="only print the QEMU command")
    add("--no-build", action="store_true", help="take out/ as it is")
    return parser


def words(options):
    return "shell,poweroff" if options.interactive else WORDS


def default_guests(options):
    """Two Debians that float, and a payload alone on the last CPU."""
    guests = [Guest(f"debian-{version}", f"linux-{version}-cloud", None, 2, 256,
                    guestspec.LINUX_BOOTARGS + words(options)) for version in ("6.1", "6.12")]
    alone = options.smp > 1
    guests.append(Guest("hello", "hello", None, 2, 16,
                        affinity=1 << (options.smp - 1) if alone else None, dedicated=alone))
    return guests


def chosen_guests(options):
    if not options.guest:
        return default_guests(options)
    guests = [guestspec.parse(text, words(options), index)
              for index, text in enumerate(options.guest, 1)]
    names = [guest.name for guest in guests]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--guest: two guests are called {name}: names must differ")
    return guests


class Screen:
    """Shows the console: bytes as they come on a terminal, plain lines elsewhere."""

    def __init__(self, log):
        self.colour = os.isatty(1) and "NO_COLOR" not in os.environ
        self.log = log
        self.halt_at = None  # when to switch off a machine on which Bothy has halted
        self.panicked = False

    def show_bytes(self, data):
        if self.colour:
            with contextlib.suppress(OSError, ValueError):
                os.write(1, data)

    def note_halt(self, line):
        if line.guest != "bothy" or self.halt_at:
            return
        self.panicked = bool(PANIC.search(line.body))
        if self.panicked or GAVE_UP.search(line.body):
            self.halt_at = time.monotonic() + (PANIC_SECONDS if self.panicked else 0)

    def show_line(self, line):
        self.note_halt(line)
        if self.log:
            self.log.write(line.text + "\n")
            self.log.flush()
        if not self.colour:
            with contextlib.suppress(OSError, ValueError):
                os.write(1, (line.text + "\n").encode("utf-8", "replace"))


def watch(machine, screen, terminal, timeout):
    """Passes keys on until the machine ends or Bothy halts; False if the time was up first."""
    deadline = time.monotonic() + timeout if timeout else None
    while not machine.ended:
        typed = terminal.read(0.1)
        if typed:
            with contextlib.suppress(OSError):
                machine.send(typed)
        if screen.halt_at and time.monotonic() > screen.halt_at:
            return True
        if deadline and time.monotonic() > deadline:
            return False
    return True


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def debug(machine, port, log_name):
    """gdb has the terminal; the console is in a file."""
    machine.start()
    say(f"the console is written to {log_name} (see it with: tail -f {log_name})")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = ["gdb-multiarch", "-q", paths.out("bothy.elf"),
               "-ex", "set architecture aarch64", "-ex", f"target remote 127.0.0.1:{port}"]
    helper = os.path.join(paths.TOP, "tools/gdb/bothy.py")
    if os.path.exists(helper):
        command += ["-x", helper]
    subprocess.run(command, check=False,
                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return EXIT_OK


def verdict(machine, screen):
    """The exit code once the machine ended by itself."""
    stats = machine.stats()
    missing = [guest.name for guest in machine.guests if guest.name not in stats]
    if screen.panicked:
        print("run: Bothy panicked, which is a bug of its own; docs/debugging.md says how to read "
              "the lines above", file=sys.stderr)
        return EXIT_MACHINE
    if screen.halt_at:
        print("run: Bothy has stopped without starting a guest; its lines above say why",
              file=sys.stderr)
        return EXIT_MACHINE
    if not stats and not any(ALL_OFF.search(text) for text in machine.texts("bothy")):
        print("run: the machine ended before its guests", file=sys.stderr)
        return EXIT_MACHINE
    if missing:
        print(f"run: {', '.join(missing)} did not start; Bothy's lines above say why",
              file=sys.stderr)
        return EXIT_MACHINE
    crashed = any(values.get("state") == "crashed" for values in stats.values())
    return EXIT_GUEST_CRASHED if crashed else EXIT_OK


def too_late(machine, timeout):
    """What to say when the time is up."""
    if not machine.lines:
        return (f"{timeout} s are over and nothing came from the machine: is its CPU one that has "
                "AArch64 and EL2?")
    return f"{timeout} s are over and the guests still run: the machine was stopped"


def run(machine, screen, options):
    """Starts, shows and ends the machine."""
    with Terminal(keep_signals=not options.interactive) as terminal:
        try:
            machine.start()
            in_time = watch(machine, screen, terminal, options.timeout)
            if in_time and not screen.halt_at:
                machine.wait_exit(5)
        finally:
            machine.kill()
    lines = table.render(machine.lines)
    if lines:
        print("\n" + "\n".join(lines), flush=True)
    if not in_time:
        print(f"run: {too_late(machine, options.timeout)}", file=sys.stderr)
        return EXIT_TIMEOUT
    return verdict(machine, screen)


@contextlib.contextmanager
def naming(option):
    """A file that the user named and that can't be written is the user's to correct."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{option} {error.filename}: {error.strerror}") from error


def prepare(options, log):
    if options.timeout is None:
        options.timeout = 0 if options.interactive or options.gdb else 600
    guests = chosen_guests(options)
    if not options.no_build:
        build.build(build.DEFAULT)
    guests = [guestspec.resolve(guest) for guest in guests]
    screen = Screen(log)
    extra = []
    options.port = free_port() if options.gdb else None
    if options.gdb:
        extra = ["-gdb", f"tcp:127.0.0.1:{options.port}", "-S"]
    machine = Machine(guests, options.machine, options.cpu, options.smp,
                      options.mem, options.icount, bothy(), extra=extra,
                      on_line=None if options.dry_run else screen.show_line,
                      on_bytes=None if options.gdb else screen.show_bytes)
    if options.gdb:
        screen.colour = True
    folder = None
    if options.dry_run:
        folder = paths.out("run")
        os.makedirs(folder, exist_ok=True)
    machine.prepare(folder)
    if options.dtb_out:
        with naming("--dtb-out"):
            shutil.copyfile(machine.dtb, options.dtb_out)
    return machine, screen


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    try:
        if "--type2" in hostrun.split_arguments(sys.argv[1:])[0]:
            return hostrun.main(sys.argv[1:])
        options = make_parser().parse(sys.argv[1:])
        log_name = options.log or (paths.out("console.log") if options.gdb else None)
        with contextlib.ExitStack() as stack:
            log = None
            if log_name:
                os.makedirs(paths.OUT, exist_ok=True)
                with naming("--log"):
                    log = stack.enter_context(open(log_name, "w", encoding="utf-8"))
            machine, screen = prepare(options, log)
            stack.callback(machine.kill)
            if options.dry_run:
                print(shlex.join(machine.command))
                return EXIT_OK
            if options.gdb:
                return debug(machine, options.port, log_name)
            return run(machine, screen, options)
    except UsageError as error:
        print(f"run: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:  # nobody reads any more: `./run | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_INTERRUPTED
    except (SetupError, OSError) as error:
        print(f"run: {error}", file=sys.stderr)
        return EXIT_SETUP
    except build.BuildFailed as error:
        print(f"run: {error}", file=sys.stderr)
        return EXIT_SETUP
    except KeyboardInterrupt:
        print("\nrun: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
