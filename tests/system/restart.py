# SPDX-License-Identifier: Apache-2.0
"""A guest's reset is its own affair: it starts again from its pristine image, in scrubbed memory,
while the others work on."""

from bothylab import Machine
from support import (BOOT, WORK, bare, checksums, finish, healthy, linux, payload_checksum,
                     whole_lines)

TIMEOUT = 600


def lives(machine, guest, count):
    """A tap_reset guest found its memory scrubbed and its image pristine in each of its lives."""
    texts = whole_lines(machine, guest)
    for point in ("ok 1 - free memory holds nothing", "ok 2 - the image is pristine"):
        found = sum(text.startswith(point) for text in texts)
        assert found == count, f"{guest}: {found} of {count} lives say {point!r}"
    assert not any(text.startswith("not ok") for text in texts), texts


def restart_twenty_times(cpu, smp):
    guests = [bare("again", "tap_reset", "do=reset", restart_limit=20, memory=64),
              bare("again2", "tap_reset", "do=reset2", restart_limit=20, memory=16),
              bare("sums", "checksum", "seconds=8 megabytes=16", cpus=2),
              linux("linux", "6.1-cloud", "checksum:2", cpus=2)]
    with Machine(guests=guests, cpu=cpu, smp=smp) as machine:
        for name in ("again", "again2"):
            last = None
            for _ in range(20):
                last = machine.wait_for(rf"^{name}: asked for a reset; starting again$", WORK,
                                        guest="bothy", after=last)
            machine.wait_for(rf"^{name}: asked for a reset; its restart (policy|limit) .*off$",
                             WORK, guest="bothy", after=last)
        payload_checksum(machine, "sums")
        checksums(machine, "linux")
        stats = finish(machine, {"again": "reset", "again2": "reset"})
        for name in ("again", "again2"):
            lives(machine, name, 21)
            assert stats[name]["restarts"] == 20, stats[name]
        for name in ("sums", "linux"):
            assert stats[name]["restarts"] == 0, stats[name]
        healthy(machine, "linux")


def test_twenty_restarts():
    restart_twenty_times(None, 4)


def test_twenty_restarts_overcommitted_without_fwb():
    restart_twenty_times("cortex-a72", 2)


def test_others_do_not_miss_a_beat():
    """In counted instructions: a guest that computes on a CPU of its own never stands still for
    long while its neighbour restarts twenty times."""
    guests = [bare("again", "tap_reset", "do=reset", restart_limit=20, memory=64, affinity=0x1),
              bare("hot", "mix", "kind=hot seconds=1", affinity=0x2, dedicated=True)]
    with Machine(guests=guests, smp=2, icount=True) as machine:
        line = machine.wait_for(r"^mix hot total cpu=0 steps=\d+ gap_us=(\d+)", WORK, guest="hot")
        assert int(line.match[1]) < 20000, line.text
        assert finish(machine, {"again": "reset"})["again"]["restarts"] == 20


def test_linux_reboots():
    """SYSTEM_RESET by Linux, three times, beside another Linux."""
    guests = [linux("reboots", "6.12-cloud", "cpus,reboot", cpus=2, restart_limit=3),
              linux("works", "6.1-cloud", "checksum:3", cpus=2)]
    with Machine(guests=guests, smp=4) as machine:
        init = None
        for _ in range(4):
            init = machine.wait_for(r"^BOTHY-INIT-REACHED", BOOT, guest="reboots", after=init)
            init = machine.wait_for(r"^BOTHY-CPUS 2(?!\d)", BOOT, guest="reboots", after=init)
        checksums(machine, "works")
        stats = finish(machine, {"reboots": "reset"})
        assert stats["reboots"]["restarts"] == 3, stats["reboots"]
        healthy(machine, "reboots", "works")


def test_linux_panics():
    """A kernel panic with panic=-1 ends in SYSTEM_RESET; its command line makes it panic again."""
    guests = [linux("panics", "6.12-cloud", "crash", cpus=2, restart_limit=1),
              linux("works", "6.1-cloud", "checksum:2", cpus=1)]
    with Machine(guests=guests, smp=2) as machine:
        panic = None
        for again in ("; starting again", "; its restart "):
            panic = machine.wait_for(r"Kernel panic - not syncing: sysrq triggered crash", BOOT,
                                     guest="panics", after=panic)
            machine.wait_for(rf"^panics: asked for a reset{again}", BOOT, guest="bothy",
                             after=panic)
        checksums(machine, "works")
        assert finish(machine, {"panics": "reset"})["panics"]["restarts"] == 1
        healthy(machine, "works")


def test_policies():
    """Who starts again after what."""
    reset, off, crash = "do=reset", "do=off", "do=crash"
    table = {  # name: (what it does, policy, restarts, state)
        "never-reset": (reset, "never", 0, "reset"), "never-off": (off, "never", 0, "off"),
        "never-crash": (crash, "never", 0, "crashed"),
        "reset-reset": (reset, "on-reset", 2, "reset"), "reset-off": (off, "on-reset", 0, "off"),
        "reset-crash": (crash, "on-reset", 0, "crashed"),
        "crash-reset": (reset, "on-crash", 2, "reset"), "crash-off": (off, "on-crash", 0, "off"),
        "crash-crash": (crash, "on-crash", 2, "crashed"),
        "always-reset": (reset, "always", 2, "reset"), "always-off": (off, "always", 2, "off"),
        "always-crash": (crash, "always", 2, "crashed"),
    }
    guests = [bare(name, "tap_reset", does, memory=16, restart=policy, restart_limit=2)
              for name, (does, policy, _, _) in table.items()]
    with Machine(guests=guests, smp=2) as machine:
        stats = finish(machine, {name: row[3] for name, row in table.items()})
        for name, (_, _, restarts, _) in table.items():
            assert stats[name]["restarts"] == restarts, f"{name}: {stats[name]}"
            lives(machine, name, restarts + 1)
