# SPDX-License-Identifier: Apache-2.0
"""Unmodified kernels reach their init, with the CPUs and memory that they were given, on all CPU
models and numbers of CPUs; other machines; and a start at the wrong exception level."""

from bothylab import Machine
from support import (BOOT, MODELS, bare, checksums, finish, healthy, linux, payload_checksum)

TIMEOUT = 600
VERSIONS = {"6_1": "6.1-cloud", "6_12": "6.12-cloud"}
# Physical CPUs for (model, version): 1 to 8 all occur, with fewer and with more than there are
# vCPUs.
CPUS = {("max", "6_1"): 4, ("max", "6_12"): 5, ("cortex_a53", "6_1"): 1, ("cortex_a53", "6_12"): 8,
        ("cortex_a72", "6_1"): 2, ("cortex_a72", "6_12"): 6, ("neoverse_n1", "6_1"): 7,
        ("neoverse_n1", "6_12"): 3, ("neoverse_n2", "6_1"): 3, ("neoverse_n2", "6_12"): 2}


def reach_init(version, cpu, smp):
    """One kernel with 1, 2 and 4 vCPUs side by side."""
    guests = [linux("one", version, "cpus,memory", cpus=1),
              linux("two", version, "cpus,hotplug:2", cpus=2, memory=192),
              linux("four", version, "cpus,checksum:1", cpus=4, memory=512)]
    with Machine(guests=guests, cpu=cpu, smp=smp) as machine:
        machine.wait_for(rf"^Bothy at EL2: {smp} CPU\(s\), ", BOOT, guest="bothy")
        for guest in guests:
            machine.wait_for(r"Linux version \d", BOOT, guest=guest.name)
            machine.wait_for(r"^BOTHY-INIT-REACHED uptime=", BOOT, guest=guest.name)
            machine.wait_for(rf"^BOTHY-CPUS {guest.cpus}(?!\d)", BOOT, guest=guest.name)
        memory = machine.wait_for(r"^BOTHY-MEMORY (\d+) kB", BOOT, guest="one")
        assert 0.7 * 256 * 1024 < int(memory.match[1]) < 256 * 1024, memory.text
        machine.wait_for(r"^BOTHY-HOTPLUG 2 of 2", BOOT, guest="two")
        checksums(machine, "four")
        finish(machine)
        healthy(machine, "one", "two", "four")


def add_matrix():
    for (model, name), smp in CPUS.items():
        globals()[f"test_linux_{name}_on_{model}_with_{smp}_cpus"] = (
            lambda version=VERSIONS[name], cpu=MODELS[model], smp=smp:
            reach_init(version, cpu, smp))


add_matrix()


def test_linux_with_16k_pages():
    reach_init("6.12-16k", MODELS["max"], 4)


def test_versions_side_by_side_with_a_payload():
    """What ./run shows: six vCPUs on four CPUs, one of them alone on its own."""
    guests = [linux("old", "6.1-cloud", "cpus,checksum:1", cpus=2),
              linux("new", "6.12-cloud", "cpus,checksum:1", cpus=2),
              bare("hello", "hello", "beats=20", cpus=2, memory=16, affinity=0x8, dedicated=True)]
    with Machine(guests=guests, smp=4) as machine:
        machine.wait_for(r"^beat 20 of 20", BOOT, guest="hello")
        machine.wait_for(r"^BOTHY-PAYLOAD hello done$", BOOT, guest="hello")
        for name in ("old", "new"):
            machine.wait_for(r"^BOTHY-CPUS 2(?!\d)", BOOT, guest=name)
            checksums(machine, name)
        finish(machine)
        healthy(machine, "old", "new")


def test_memory_populated_at_start():
    """All of the memory before the first instruction; a large one, beyond 1 GiB."""
    guests = [linux("all", "6.12-cloud", "memory,checksum:1", cpus=2, memory=1536,
                    populate="start"),
              bare("bare", "checksum", "rounds=3", cpus=2, populate="start")]
    with Machine(guests=guests, smp=2, mem=3072) as machine:
        memory = machine.wait_for(r"^BOTHY-MEMORY (\d+) kB", BOOT, guest="all")
        assert 0.9 * 1536 * 1024 < int(memory.match[1]) < 1536 * 1024, memory.text
        checksums(machine, "all")
        payload_checksum(machine, "bare")
        stats = finish(machine)
        for guest in guests:
            values = stats[guest.name]
            assert values["populated_kib"] == values["memory_kib"], values


def test_another_board():
    """The same image on a machine with another memory map, found by its device tree only."""
    guests = [linux("linux", "6.12-cloud", "cpus,checksum:1", cpus=2),
              bare("hello", "hello", cpus=2), bare("sums", "checksum", "rounds=3", cpus=2)]
    with Machine(guests=guests, machine="xlnx-versal-virt", smp=4) as machine:
        machine.wait_for(r"^Bothy at EL2: 2 CPU\(s\), ", BOOT, guest="bothy")
        machine.wait_for(r"^BOTHY-PAYLOAD hello done$", BOOT, guest="hello")
        payload_checksum(machine, "sums")
        machine.wait_for(r"^BOTHY-CPUS 2(?!\d)", BOOT, guest="linux")
        checksums(machine, "linux")
        finish(machine)
        healthy(machine, "linux")


def test_entered_at_el1():
    """One line that says so, and then nothing more."""
    with Machine(guests=[bare("hello", "hello")], el2=False) as machine:
        machine.wait_for(r"^Entered at EL1: Bothy is a hypervisor and must be started at EL2 .*; "
                         r"stopped$", BOOT, guest="bothy")
        machine.send(b"\x01h")
        assert len(machine.texts()) == 1, machine.texts()


def test_no_partitions():
    with Machine(edit_dts=lambda text: text) as machine:
        machine.wait_for(r"^There is no partition to start; stopped$", BOOT, guest="bothy")


def test_machine_without_gicv3():
    """A machine that can't run guests is told what it lacks."""
    with Machine(guests=[bare("hello", "hello")],
                 machine="virt,gic-version=2,virtualization=on") as machine:
        machine.wait_for(r"^/intc@8000000: compatible: this interrupt controller is not supported; "
                         r'allowed is "arm,gic-v3"$', BOOT, guest="bothy")
        machine.wait_for(r"does not describe what is needed to run guests; stopped$", BOOT,
                         guest="bothy")
