# SPDX-License-Identifier: Apache-2.0
"""The console: whose keys these are, the commands of Ctrl-A, and the closing statistics."""

from bothylab import Machine
from support import BOOT, WORK, bare, finish, healthy, linux, sane

KEY = b"\x01"


def test_typing_to_each_guest():
    """Ctrl-A and a digit choose the guest; what is typed reaches that one, and only that one."""
    guests = [linux("first", "6.1-cloud", "read,read"), linux("second", "6.12-cloud", "read")]
    with Machine(guests=guests, smp=2) as machine:
        for guest in guests:
            ready = machine.wait_for(r"^BOTHY-READY$", BOOT, guest=guest.name)
        machine.send(KEY + b"2")
        machine.wait_for(r"^typing to second \(Ctrl-A h for help\)$", WORK, guest="bothy")
        machine.send(b"to the second\r")
        machine.wait_for(r"^BOTHY-READ to the second$", WORK, guest="second")
        machine.wait_for(r"^second: is off$", WORK, guest="bothy")
        machine.send(KEY + b"1")
        machine.wait_for(r"^typing to first ", WORK, guest="bothy")
        machine.send(b"to the first\r")
        line = machine.wait_for(r"^BOTHY-READ to the first$", WORK, guest="first")
        machine.wait_for(r"^BOTHY-READY$", WORK, guest="first", after=line)
        # A Ctrl-A for the guest is an ordinary character of its line.
        machine.send(b"x" + KEY + KEY + b"y\r")
        machine.wait_for(r"^BOTHY-READ x.*y$", WORK, guest="first")
        finish(machine)
        healthy(machine, "first", "second")
        assert ready


def test_shell():
    """An interactive shell: its prompt is shown though it has no line end; more is typed at once
    than a FIFO holds."""
    with Machine(guests=[linux("shell", "6.12-cloud", "shell")], smp=1) as machine:
        machine.wait_for(r"^BOTHY-SHELL$", BOOT, guest="shell")
        machine.wait_for(r"^\[shell\] .*# $", WORK, partial=True)
        machine.send(b"echo sum $((40 + 2))\r")
        line = machine.wait_for(r"^sum 42$", WORK, guest="shell")
        machine.send(b"for i in 1 2 3 4 5 6 7 8; do echo long $i abcdefghijklmnop; done\r")
        for number in range(1, 9):
            line = machine.wait_for(rf"^long {number} abcdefghijklmnop$", WORK, guest="shell",
                                    after=line)
        machine.send(b"exit\r")
        finish(machine)


def test_help_and_statistics():
    guests = [bare("left", "crash", "do=hang"), bare("right", "crash", "do=hang")]
    with Machine(guests=guests, smp=1) as machine:
        for guest in guests:
            machine.wait_for(r"^BOTHY-PAYLOAD crash does hang$", BOOT, guest=guest.name)
        machine.send(KEY + b"h")
        for text in (r"^  Ctrl-A h  this help$", r"^  Ctrl-A x  leave: switch the machine off$",
                     r"^  Ctrl-A s  statistics$", r"^  Ctrl-A 1  type to left  <- now$",
                     r"^  Ctrl-A 2  type to right$"):
            machine.wait_for(text, WORK, guest="bothy")
        machine.send(KEY + b"s")
        machine.wait_for(r"^stat guest=right ", WORK, guest="bothy")
        for guest in guests:
            sane(guest, machine.stats()[guest.name], "running")
        machine.send(KEY + b"n")
        machine.wait_for(r"^typing to right ", WORK, guest="bothy")
        machine.send(KEY + b"7")
        machine.wait_for(r"^there is no such guest; Ctrl-A h lists them$", WORK, guest="bothy")
        machine.send(KEY + b"x")
        assert machine.wait_exit(WORK) == 0
        machine.wait_for(r"^powering off$", 0, guest="bothy")


def test_leave_while_guests_work():
    """Ctrl-A x switches a busy machine off, with the statistics."""
    guests = [linux("linux", "6.1-cloud", "spin:600", cpus=2),
              bare("hot", "mix", "kind=hot seconds=600", cpus=2)]
    with Machine(guests=guests, smp=2) as machine:
        machine.wait_for(r"^BOTHY-INIT-REACHED", BOOT, guest="linux")
        machine.wait_for(r"^mix hot cpu=1", BOOT, guest="hot")
        machine.send(KEY + b"x")
        assert machine.wait_exit(WORK) == 0
        for guest in guests:
            sane(guest, machine.stats()[guest.name], "running")


def test_a_flood_drowns_nobody():
    """One guest prints as fast as it can: the other's lines come, whole and as its own."""
    guests = [bare("flood", "tap_sysreg_sweep"), bare("flood2", "mix", "kind=hot report=0"),
              bare("calm", "hello", "beats=10")]
    with Machine(guests=guests, smp=2) as machine:
        # A host that stalls makes `hello` miss a beat, but never the last one.
        machine.wait_for(r"^beat 10 of 10, at most \d+ us late$", WORK, guest="calm")
        machine.wait_for(r"^BOTHY-PAYLOAD hello done$", WORK, guest="calm")
        finish(machine)


def test_last_guest_off_powers_off():
    """The machine ends with its last guest, not before; the statistics are those of each."""
    guests = [bare("short", "hello", "beats=1"), bare("long", "hello", "beats=15"),
              bare("quiet", "hello", "beats=1", vpl011=False)]
    with Machine(guests=guests, smp=2) as machine:
        short = machine.wait_for(r"^short: is off$", BOOT, guest="bothy")
        machine.wait_for(r"^quiet: is off$", BOOT, guest="bothy")
        machine.wait_for(r"^beat 15 of 15", BOOT, guest="long", after=short)
        stats = finish(machine)
        assert not machine.texts("quiet"), machine.texts("quiet")
        assert stats["short"]["hvc"] >= 2 and stats["short"]["device"] > 100, stats["short"]
        assert stats["quiet"]["device"] == 0 or stats["quiet"]["device"] < 50, stats["quiet"]
