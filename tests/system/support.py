# SPDX-License-Identifier: Apache-2.0
"""What several system tests share: guests of the usual kinds, and what must be true at the end."""

import re
import time

from bothylab import Guest, WaitFailed, initrd, kernel, payload

# Limits in seconds, far above what a loaded host needs: only a hang reaches them.
BOOT = 240
WORK = 240

MAX = None  # the laboratory's own choice of -cpu
MODELS = {"max": MAX, "cortex_a53": "cortex-a53", "cortex_a72": "cortex-a72",
          "neoverse_n1": "neoverse-n1", "neoverse_n2": "neoverse-n2"}
STATES = ("off", "crashed", "reset", "running")
EXITS = ("irq", "hvc", "smc", "sysreg", "gic", "device", "ram", "fetch", "wfx", "fp", "other")
KERNEL_TROUBLE = (r"WARNING: CPU|BUG: |Oops|Internal error|Unhandled|SError|Unable to handle|"
                  r"Kernel panic|undefined instruction")


def linux(name, version, words, cpus=1, **options):
    """A Debian kernel that does `words` (tools/make-initrd lists them) and powers off."""
    options.setdefault("memory", 256)
    options.setdefault("bootargs", f"console=ttyAMA0 panic=-1 bothy.do={words}")
    return Guest(name, kernel(f"linux-{version}"), initrd=initrd(), cpus=cpus, **options)


def bare(name, program, bootargs="", cpus=1, **options):
    """A payload."""
    options.setdefault("memory", 32)
    return Guest(name, payload(program), cpus=cpus, bootargs=bootargs, **options)


def sane(guest, values, state):
    """What the statistics of a guest must satisfy, whatever it did."""
    where = f"{guest.name}: {values}"
    assert values["state"] == state, f"state is not {state}: {where}"
    assert values["vcpus"] == guest.cpus, where
    assert values["memory_kib"] == guest.memory * 1024, where
    assert 0 < values["populated_kib"] <= values["memory_kib"], where
    assert values["exits_total"] == sum(values[key] for key in EXITS), where
    assert values["first_us"] > 0 and values["stolen_us"] >= 0, where


def finish(machine, states=None, timeout=WORK):
    """Waits until the last guest is off and the machine with it; returns the statistics."""
    states = states or {}
    status = machine.wait_exit(timeout)
    assert status == 0, f"QEMU ended with {status}; last lines:\n{machine.tail()}"
    machine.wait_for(r"^all guests are off: powering off$", timeout=0, guest="bothy")
    machine.absent(r"^panic: |lines? lost", guest="bothy")
    stats = machine.stats()
    assert list(stats) == [guest.name for guest in machine.guests], list(stats)
    for guest in machine.guests:
        sane(guest, stats[guest.name], states.get(guest.name, "off"))
    return stats


def healthy(machine, *names):
    """These Linux guests had nothing to complain about."""
    for name in names:
        machine.absent(KERNEL_TROUBLE, guest=name)


def checksums(machine, name, timeout=WORK):
    """Waits for the result of `checksum` in a Linux guest, which must be right."""
    line = machine.wait_for(r"^BOTHY-CHECKSUM \w+ (ok|bad)", timeout, guest=name)
    assert line.match[1] == "ok", line.text
    return line


def payload_checksum(machine, name, timeout=WORK):
    """Waits for the result of the payload `checksum`."""
    line = machine.wait_for(r"^checksum result (\w+) rounds=(\d+) bad=(\d+)$", timeout, guest=name)
    assert line.match[1] == "ok" and int(line.match[2]) > 0, line.text
    return line


def whole_lines(machine, name):
    """A guest's lines without those that were shown before they were finished: such a one comes
    again, as the start of the next."""
    texts = machine.texts(name)
    return [text for text, after in zip(texts, texts[1:] + [""])
            if not text or not after.startswith(text)]


def tap(machine, name, timeout=WORK):
    """Waits for the end of a TAP report; every point must be there and be ok."""
    deadline = time.monotonic() + timeout
    ends = [r"^# \d+ passed, \d+ failed$", r"Bail out!"]
    line = machine.wait_for_any(ends, timeout, guest=name)
    machine.wait_for(rf"^BOTHY-PAYLOAD \w+ |^\[bothy\] {re.escape(name)}: ",
                     max(1, deadline - time.monotonic()))
    points, notes = {}, []
    plan = None
    for text in whole_lines(machine, name):
        plan = re.match(r"1\.\.(\d+)$", text) or plan
        point = re.match(r"(not ok|ok) (\d+) - ", text)
        if point:
            points[int(point[2])] = text
        if text.startswith("#"):
            notes.append(text)
    failed = [text for text in points.values() if text.startswith("not ok")]
    if failed or not plan or sorted(points) != list(range(1, int(plan[1]) + 1)):
        raise WaitFailed(f"{name}: plan {plan and plan[0]}, points {len(points)}, {line.body}\n" +
                         "\n".join(failed + notes) + f"\nlast lines:\n{machine.tail()}")
    return points
