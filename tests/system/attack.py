# SPDX-License-Identifier: Apache-2.0
"""A guest that attacks with all that it has, while two others compute what must come out right."""

from bothylab import Machine
from support import WORK, bare, checksums, finish, healthy, linux, payload_checksum

TIMEOUT = 600


def attack(cpu, smp, attackers, bootargs="", mem=2048):
    """Attackers with the numbers of vCPUs in `attackers`."""
    guests = [bare(f"attack{n}", "attack", f"seconds=12 seed={n + 1}{bootargs}", cpus=cpus)
              for n, cpus in enumerate(attackers)]
    guests += [bare("sums", "checksum", "seconds=12 megabytes=16", cpus=2),
               linux("linux", "6.12-cloud", "checksum:4", cpus=2)]
    with Machine(guests=guests, cpu=cpu, smp=smp, mem=mem) as machine:
        for n, _ in enumerate(attackers):
            line = machine.wait_for(r"^BOTHY-PAYLOAD attack done rounds=(\d+) faults=(\d+)$",
                                    WORK, guest=f"attack{n}")
            assert int(line.match[1]) > 10 and int(line.match[2]) > 100, line.text
        payload_checksum(machine, "sums")
        checksums(machine, "linux")
        finish(machine)
        healthy(machine, "linux")


def test_attack_on_max():
    attack(None, 4, [2])


def test_attack_on_cortex_a72():
    attack("cortex-a72", 4, [2])


def test_attack_on_neoverse_n2_overcommitted():
    attack("neoverse-n2", 2, [1, 3])


def test_attack_on_cortex_a53_on_one_cpu():
    attack("cortex-a53", 1, [1])
