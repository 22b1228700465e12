# SPDX-License-Identifier: Apache-2.0
"""A guest that goes wrong: one line says why, and nobody else notices."""

from bothylab import Machine
from support import BOOT, WORK, bare, checksums, finish, healthy, linux, payload_checksum

TIMEOUT = 400
LINE = (r"crashed: its exception vectors are where it has no memory \(instruction abort, "
        r"ESR 82[0-9a-f]{6}, PC [0-9a-f]+, FAR [0-9a-f]+, vCPU 0\)")


def bystanders():
    return [bare("sums", "checksum", "seconds=4", cpus=2),
            linux("linux", "6.12-cloud", "checksum:2", cpus=2)]


def undisturbed(machine):
    payload_checksum(machine, "sums")
    checksums(machine, "linux")
    healthy(machine, "linux")


def test_crash_is_one_line():
    """Why, decoded, and where; then its policy says what becomes of it."""
    guests = [bare("stays", "crash", "do=vectors"),
              bare("again", "crash", "do=vectors", restart="on-crash", restart_limit=3),
              bare("tables", "crash", "do=tables")] + bystanders()
    with Machine(guests=guests, smp=4) as machine:
        line = machine.wait_for(rf"^stays: {LINE}$", BOOT, guest="bothy")
        assert "PC 9800200, FAR 9800200," in line.text, line.text
        machine.wait_for(rf"^tables: {LINE}$", BOOT, guest="bothy")
        line = None
        for _ in range(3):
            line = machine.wait_for(rf"^again: {LINE}; starting again$", WORK, guest="bothy",
                                    after=line)
        machine.wait_for(rf"^again: {LINE}$", WORK, guest="bothy", after=line)
        undisturbed(machine)
        stats = finish(machine, {"stays": "crashed", "again": "crashed", "tables": "crashed"})
        assert stats["again"]["restarts"] == 3, stats["again"]
        assert sum(" crashed: " in text for text in machine.texts("bothy")) == 6


def test_faults_without_end():
    """Exceptions at the full rate, on more vCPUs than there are CPUs."""
    guests = [bare(kind, "crash", f"do={kind} seconds=3") for kind in ("undef", "jump", "store")]
    with Machine(guests=guests + bystanders(), smp=2) as machine:
        for kind in ("undef", "jump", "store"):
            machine.wait_for(r"^crash: [1-9]\d+ times$", WORK, guest=kind)
        undisturbed(machine)
        finish(machine)


def test_guests_that_hang():
    """What will never do anything again keeps nobody else from working."""
    hung = ("hang", "spin", "stack")
    guests = [bare(kind, "crash", f"do={kind}") for kind in hung] + bystanders()
    with Machine(guests=guests, smp=2) as machine:
        for kind in hung:
            machine.wait_for(rf"^BOTHY-PAYLOAD crash does {kind}$", BOOT, guest=kind)
        undisturbed(machine)
        machine.wait_for(r"^linux: is off$", WORK, guest="bothy")
        machine.send(b"\x01x")
        assert machine.wait_exit(WORK) == 0
        machine.wait_for(r"^powering off$", 0, guest="bothy")
        stats = machine.stats()
        assert [stats[kind]["state"] for kind in hung] == ["running"] * 3, stats


def test_all_cpus_off():
    """The last CPU_OFF is as good as SYSTEM_OFF."""
    guests = [bare("cpuoff", "crash", "do=cpuoff", cpus=3)] + bystanders()
    with Machine(guests=guests, smp=4) as machine:
        machine.wait_for(r"^cpuoff: is off$", BOOT, guest="bothy")
        undisturbed(machine)
        finish(machine)
