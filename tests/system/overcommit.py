# SPDX-License-Identifier: Apache-2.0
"""More vCPUs than CPUs: everybody gets on, nobody starves, priorities and affinity hold."""

from bothylab import Machine
from support import BOOT, WORK, bare, checksums, finish, healthy, linux, payload_checksum

TIMEOUT = 600
KINDS = ("yield", "spin", "sleep", "hot")


def mix(kind, cpus, seconds, **options):
    return bare(kind, "mix", f"kind={kind} seconds={seconds} report=200", cpus=cpus, **options)


def totals(machine, kind, cpus):
    """{cpu: (steps, gap_us, late_us)} of a mix guest."""
    result = {}
    for cpu in range(cpus):
        line = machine.wait_for(rf"^mix {kind} total cpu={cpu} steps=(\d+) gap_us=(\d+) "
                                r"late_us=(\d+)$", WORK, guest=kind)
        result[cpu] = tuple(int(number) for number in line.match.groups())
    return result


def test_all_kinds_get_on():
    """Yielding, spinning, sleeping, hot-looping and computing vCPUs, eleven on two CPUs, with
    a Linux among them."""
    guests = [mix(kind, 2, 6) for kind in KINDS]
    guests += [bare("sums", "checksum", "seconds=6", cpus=2),
               linux("linux", "6.1-cloud", "checksum:1", cpus=1)]
    with Machine(guests=guests, smp=2) as machine:
        for kind in KINDS:
            for cpu, (steps, _, _) in totals(machine, kind, 2).items():
                assert steps > 10, f"{kind} cpu={cpu}: {steps} steps"
        payload_checksum(machine, "sums")
        checksums(machine, "linux")
        stats = finish(machine)
        healthy(machine, "linux")
        assert stats["hot"]["stolen_us"] > 0, stats["hot"]


def test_nobody_waits_long():
    """Round robin with slices of 10 ms: nine vCPUs on two CPUs, in counted instructions, so that
    the limits hold on any host. (With -icount the CPUs share one clock: each has half of it.)"""
    guests = [mix("yield", 2, 1), mix("spin", 2, 1), mix("sleep", 2, 1), mix("hot", 3, 1)]
    with Machine(guests=guests, smp=2, icount=True) as machine:
        stats = {}
        for guest in guests:
            stats[guest.name] = totals(machine, guest.name, guest.cpus)
        finish(machine)
        for kind, cpus in stats.items():
            for cpu, (steps, gap, late) in cpus.items():
                text = f"{kind} cpu={cpu}: steps {steps}, gap {gap} us, late {late} us"
                assert steps >= 10, text
                assert gap < 250000 and late < 250000, text
        hot = [steps for steps, _, _ in stats["hot"].values()]
        assert max(hot) < 3 * min(hot), f"hot vCPUs got unequal shares: {hot}"


def test_higher_priority_runs_first():
    """On one CPU the lower priority gets nothing while the higher one computes."""
    guests = [bare("low", "hello", "beats=1", priority=1), mix("hot", 1, 1, priority=5)]
    with Machine(guests=guests, smp=1) as machine:
        low = machine.wait_for(r"hello from EL1", BOOT, guest="low")
        hot = machine.wait_for(r"^mix hot total", WORK, guest="hot")
        assert hot.index < low.index, "the lower priority ran before the higher one was done"
        finish(machine)


def test_higher_priority_interrupts_lower():
    """A sleeper of higher priority gets its CPU back from one that never leaves it."""
    guests = [mix("hot", 1, 2, priority=1), mix("sleep", 1, 1, priority=5)]
    with Machine(guests=guests, smp=1, icount=True) as machine:
        steps, _, late = totals(machine, "sleep", 1)[0]
        assert steps > 900 and late < 1000, f"{steps} steps of 1000, at most {late} us late"
        assert totals(machine, "hot", 1)[0][0] > 100
        finish(machine)


def test_affinity_shares_one_cpu():
    """All vCPUs on one of four CPUs, which is somebody else's as well."""
    guests = [bare("left", "tap_smp", "rounds=500", cpus=4, affinity=0x2),
              bare("right", "checksum", "rounds=5", cpus=4, affinity=[0x2, 0x4, 0x2, 0x4])]
    with Machine(guests=guests, smp=4) as machine:
        machine.wait_for(r"^# \d+ passed, 0 failed$", WORK, guest="left")
        payload_checksum(machine, "right")
        finish(machine)


def test_alone_on_its_cpu():
    """A vCPU that has its CPU for itself is not trapped when it waits, and has no tick."""
    guests = [bare("alone", "mix", "kind=sleep seconds=2", affinity=0x2, dedicated=True),
              mix("hot", 2, 2)]
    with Machine(guests=guests, smp=2) as machine:
        stats = finish(machine)
        assert stats["alone"]["wfx"] == 0, stats["alone"]
        # Both start before their CPUs have looked; from then on only one of them has to wait.
        assert stats["alone"]["stolen_us"] * 5 < stats["hot"]["stolen_us"], stats


def test_many_linuxes_on_one_cpu():
    guests = [linux(f"linux{n}", version, "cpus", cpus=cpus, memory=192)
              for n, (version, cpus) in enumerate([("6.1-cloud", 2), ("6.12-cloud", 3)])]
    with Machine(guests=guests, smp=1) as machine:
        for guest in guests:
            machine.wait_for(rf"^BOTHY-CPUS {guest.cpus}(?!\d)", BOOT, guest=guest.name)
        finish(machine)
        healthy(machine, *(guest.name for guest in guests))
